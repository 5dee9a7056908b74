#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a pair."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Let one run of Ansible at a time work on a pair
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Keeps a file that says which process of Ansible works on a pair. It is the outermost C(ansible-playbook) above the module, so it
    runs on the control node, and all plays of one run share the lock.
  - A run that ended without giving it back, even by a power failure, holds it no more, as its process is not there.
  - A holder on another host, or in another container, cannot be asked. Then the module fails, and says how to go on.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Looks, and fails where another run holds the lock, but does not take it or give it back.
    support: full
options:
  path:
    description:
      - The file. Its directory is made with mode 0700 where it is not there.
      - Beside it is a C(.guard), an empty file that stays.
    type: path
    required: true
  state:
    description:
      - V(held) takes the lock, or fails where another run holds it.
      - V(free) gives it back, if it is this run's own.
    type: str
    choices: [held, free]
    default: held
"""

EXAMPLES = r"""
- name: Keep other runs away
  bosh.ha.run_lock:
    path: ~/.bosh_ha/run.lock

- name: Let others in
  bosh.ha.run_lock:
    path: ~/.bosh_ha/run.lock
    state: free
"""

RETURN = r"""
pid:
  description: Process ID of this run.
  returned: always
  type: int
  sample: 4711
host:
  description: Name of the control node.
  returned: always
  type: str
  sample: jumpbox
taken_over:
  description: The lock was that of a run that is dead.
  returned: when O(state=held)
  type: bool
  sample: false
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import run_lock


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["held", "free"], "default": "held"},
        },
        supports_check_mode=True,
    )
    path, check = module.params["path"], module.check_mode
    try:
        me = run_lock.identify(run_lock.runner(os.getpid()))
        if module.params["state"] == "free":
            module.exit_json(changed=run_lock.free(path, me, check), pid=me.pid, host=me.host)
        changed, taken_over = run_lock.hold(path, me, check)
    except run_lock.Locked as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{path} cannot be used as a lock: {error}")
    module.exit_json(changed=changed, taken_over=taken_over, pid=me.pid, host=me.host)


if __name__ == "__main__":
    main()
