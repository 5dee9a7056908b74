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
  - Keeps a file that is the lease of one process of Ansible on a pair. It is the outermost C(ansible-playbook) above the module, so
    the module runs on the control node, and all plays of one run share the lock.
  - A small process renews the file as long as the run lives, and removes it when the run has ended, however it ended.
  - A holder in the same namespace of process IDs is dead if its process does not run. Any other holder, such as another job of AWX, is
    watched. Its lock is taken over if the file did not change for as long as the lease lasts, by the clock of the machine that watches.
  - A run that lost its lock, for example because its machine was suspended, is ended by the process that renewed it.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Looks, and fails where another run holds the lock, but does not take it or give it back. A lock is watched for
      a sixth of its lease only.
    support: full
options:
  path:
    description:
      - The file. Its directory is made with mode 0700 where it is not there. All who shall keep each other away need this directory.
      - Beside it is a C(.guard), an empty file that stays.
    type: path
    required: true
  state:
    description:
      - V(held) takes the lock, or fails where another run holds it.
      - V(kept) fails where this run does not hold the lock any more, and takes none. In check mode it does nothing.
      - V(free) gives it back, if it is this run's own.
    type: str
    choices: [held, kept, free]
    default: held
  lease:
    description:
      - Seconds from 5 to 600 after which others may take a lock that this run does not renew. It is renewed twelve times as often.
      - This run is ended if it can't be renewed for six tenths of them.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Keep other runs away
  bosh.ha.run_lock:
    path: ~/.bosh_ha/run.lock

- name: Go on only as the one that has it
  bosh.ha.run_lock:
    path: ~/.bosh_ha/run.lock
    state: kept

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
from ansible_collections.bosh.ha.plugins.module_utils import lease_renewer, run_lock


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["held", "kept", "free"], "default": "held"},
            "lease": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    path, state, lease, check = (*(module.params[name] for name in ("path", "state", "lease")), module.check_mode)
    if not 5 <= lease <= 600:
        module.fail_json(msg=f"lease: {lease} is out of range; set a number of seconds from 5 to 600")
    try:
        me = run_lock.identify(run_lock.runner(os.getpid()), lease=lease)
        result = {"changed": False, "pid": me.pid, "host": me.host}
        if state == "free":
            result["changed"] = run_lock.free(path, me, check)
        elif state == "held":
            result["changed"], result["taken_over"] = run_lock.hold(path, me, check)
            if why := run_lock.ephemeral(path):
                module.warn(
                    f"{path}: another job does not see this lock, as {why}; put it on a volume that all jobs share"
                )
        if state != "free" and not check:
            lease_renewer.start(path, me)
    except run_lock.Locked as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{path} cannot be used as a lock: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
