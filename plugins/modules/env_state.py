#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file of bosh create-env, read and corrected."""

from __future__ import annotations

DOCUMENTATION = r"""
module: env_state
short_description: Read the state file of bosh create-env, or let it forget a VM
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Checks the state file of C(bosh create-env) and tells the CIDs that it has.
  - A VM that another director terminated can be forgotten, which is what C(bosh delete-env) does after it deleted the VM.
    It is not while a C(create-env) of this collection works on the file.
    Its disk stays, so a later C(create-env) makes a VM with this disk.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  state_file:
    description: State file of the environment. One that is not there names nothing.
    type: path
    required: true
  forget_vm_cid:
    description: CID of a VM that is gone. It is forgotten only if the state file has this one.
    type: str
  backup_dir:
    description:
      - Directory for a copy of the state file, made before it is changed.
      - Where it is not set, it is C(state-copies) beside the state file.
    type: path
"""

EXAMPLES = r"""
- name: Ask for Micro's VM
  bosh.ha.env_state:
    state_file: microbosh/micro_bosh-state.json
  register: state

- name: Forget it, after Meta terminated it
  bosh.ha.env_state:
    state_file: microbosh/micro_bosh-state.json
    forget_vm_cid: "{{ state.vm_cid }}"
"""

RETURN = r"""
exists:
  description: Whether there is a state file. Only one that is there can tell that there is no VM.
  returned: always
  type: bool
  sample: true
vm_cid:
  description: CID of the VM, empty where there is none.
  returned: always
  type: str
  sample: vm-b90042ef
disk_cid:
  description: CID of the persistent disk in use, empty where there is none.
  returned: always
  type: str
  sample: disk-10dc8044312f
disk_cids:
  description: CIDs of all disks, the one in use first.
  returned: always
  type: list
  elements: str
  sample: [disk-10dc8044312f]
state_copy:
  description: Copy of the state file as it was before.
  returned: when it was changed
  type: str
  sample: /root/.bosh_ha/state/micro_bosh-state.json.20261121T003341.000000Z
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import (
    DamagedState,
    cids,
    forget_vm,
    keep_copy,
    read_state,
)
from ansible_collections.bosh.ha.plugins.module_utils.state_lock import StateInUse, lock_state


def main() -> None:
    module = AnsibleModule(
        {
            "state_file": {"type": "path", "required": True},
            "forget_vm_cid": {"type": "str"},
            "backup_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    path, gone = module.params["state_file"], module.params["forget_vm_cid"]
    try:
        state = read_state(path, to_deploy=False)
        if gone and cids(state)["vm_cid"] == gone and not module.check_mode:
            lock_state(path)
            # What another wrote until then.
            state = read_state(path, to_deploy=False)
    except (DamagedState, StateInUse, OSError) as error:
        module.fail_json(msg=str(error))
    # One that is there has a director_id, else it is damaged.
    exists = bool(state)
    if not gone or cids(state)["vm_cid"] != gone:
        module.exit_json(changed=False, exists=exists, **cids(state))
    after = forget_vm(state)
    if module.check_mode:
        module.exit_json(changed=True, exists=exists, **cids(after))
    copy = keep_copy(path, module.params["backup_dir"] or os.path.join(os.path.dirname(path), "state-copies"))
    fresh = os.path.join(module.tmpdir, "state.json")
    with open(fresh, "w", encoding="utf-8") as stream:
        # In the CLI's own form: bosh-cli config/file_system_deployment_state_service.go.
        json.dump(after, stream, indent=4)
    # Through a link, so that the file itself is the one that changes.
    module.atomic_move(fresh, os.path.realpath(path))
    module.exit_json(changed=True, exists=exists, state_copy=copy, **cids(after))


if __name__ == "__main__":
    main()
