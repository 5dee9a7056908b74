#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start processes of monit's without those that depend on them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monit_program
short_description: Start processes of a BOSH VM alone, by their own start programs
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - C(monit start) of a stemcell's monit starts the processes that depend on the one that is meant, too, and every worker of a
    director depends on it. This module runs the start program that monit's job file names, as monit would, and nothing else.
  - Monit does not look after a process that was started so, and goes on to call it C(not monitored).
  - It returns which processes live, by their pid files, whether monit looks after them or not.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says which processes would be started.
    support: full
options:
  names:
    description: Processes to start. Without them the module only looks.
    type: list
    elements: str
    default: []
  monit_dir:
    description: The agent's directory of monit, which has C(job).
    type: path
    default: /var/vcap/monit
  timeout:
    description: Seconds until all of them must live.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Start a director's API without its workers
  bosh.ha.monit_program:
    names: [director, director_nginx]
  become: true
"""

RETURN = r"""
started:
  description: Names of those that did not live before.
  returned: success
  type: list
  elements: str
  sample: [director, director_nginx]
running:
  description: Names of all processes of monit's job files that live.
  returned: success
  type: list
  elements: str
  sample: [blobstore_nginx, director, director_nginx, postgres]
names:
  description: Names of all processes of monit's job files.
  returned: success
  type: list
  elements: str
  sample: [blobstore_nginx, director, director_nginx, postgres, worker_1]
"""

import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import monit_programs

#: Characters of what the start programs printed last.
TAIL = 1000


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "default": []},
            "monit_dir": {"type": "path", "default": "/var/vcap/monit"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    with tempfile.TemporaryFile() as said:
        try:
            known = monit_programs.programs(module.params["monit_dir"])
            live = monit_programs.running(known)
            if module.check_mode:
                started = [name for name in names if name not in live]
            else:
                started = monit_programs.start(known, names, module.params["timeout"], said)
        except (monit_programs.Refused, OSError) as error:
            said.seek(0)
            printed = " ".join(said.read()[-TAIL:].decode(errors="replace").split())
            module.fail_json(msg=f"{error}: {printed}" if printed else str(error))
    module.exit_json(changed=bool(started), started=started, running=monit_programs.running(known), names=sorted(known))


if __name__ == "__main__":
    main()
