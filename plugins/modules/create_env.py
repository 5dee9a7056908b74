#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director made from a manifest and a state file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: create_env
short_description: Create or delete a director with bosh create-env
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh create-env) or C(bosh delete-env) with the manifest and its state file.
  - The state file is checked before it is used, as a damaged one is dangerous, and a copy of it is kept.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.manifest]
attributes:
  check_mode:
    description: Not for every change.
    details: A first run and a deletion are foretold; whether a changed manifest would be applied is known only to create-env itself.
    support: partial
  diff_mode:
    description: Nothing is compared line by line.
    support: none
options:
  state_file:
    description: State file of the environment.
    type: path
    required: true
  backup_dir:
    description: Directory for copies of the state file, made before each run that could change it.
    type: path
    required: true
  state:
    description: Whether the environment exists.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Bring up Micro
  bosh.ha.create_env:
    manifest: microbosh/micro_bosh.yml
    vars_store: microbosh/vars.yml
    state_file: microbosh/micro_bosh-state.json
    backup_dir: ~/.bosh_ha/state
"""

RETURN = r"""
vm_cid:
  description: CID of the VM after the call.
  returned: always
  type: str
  sample: vm-b90042ef
disk_cid:
  description: CID of the persistent disk after the call.
  returned: always
  type: str
  sample: disk-10dc8044312f
state_copy:
  description: Copy of the state file as it was before.
  returned: when there was one and the command was run
  type: str
  sample: /root/.bosh_ha/state/micro_bosh-state.json.20261121T003341.000000Z
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import MANIFEST_ARGS, BoshCli, manifest_words
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import (
    current_disk_cid,
    current_vm_cid,
    keep_copy,
    read_state,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module

SKIPPED = "Skipping deploy"


def keep(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    path = module.params["state_file"]
    before = read_state(path)
    absent = module.params["state"] == "absent"
    if absent and not (current_vm_cid(before) or current_disk_cid(before)):
        return {"changed": False} | found(before)
    if module.check_mode:
        # Without running it, create-env does not tell whether its manifest changed; a missing VM is certain.
        return {"changed": absent or not current_vm_cid(before)} | found(before)
    copy = keep_copy(path, module.params["backup_dir"]) if before else ""
    words = ["delete-env" if absent else "create-env", *manifest_words(module.params), "--state", path]
    output = cli.run(*words)
    skipped = any(SKIPPED in line for line in [*output.lines, *output.blocks])
    result = {"changed": not skipped} | found(read_state(path))
    return result | {"state_copy": copy} if copy else result


def found(state: dict[str, Any]) -> dict[str, Any]:
    """The CIDs that a state file has."""
    return {"vm_cid": current_vm_cid(state), "disk_cid": current_disk_cid(state)}


def main() -> None:
    run_director_module(
        MANIFEST_ARGS
        | {
            "state_file": {"type": "path", "required": True},
            "backup_dir": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        keep,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
