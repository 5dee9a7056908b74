#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An orphaned disk, by its CID."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk
short_description: Delete an orphaned disk through a BOSH director
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh delete-disk). What is on the disk is gone for good.
  - The CLI exits with 0 for a disk that an instance has, which BOSH does not delete, and for a CID that it does not know. So the module asks first
    whether it is an orphan.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  cid:
    description: CID of the disk.
    type: str
    required: true
  state:
    description: The disk is deleted.
    type: str
    choices: [absent]
    default: absent
"""

EXAMPLES = r"""
- name: Delete the disk of a director that was thrown away
  bosh.ha.disk:
    environment: meta
    cid: disk-10dc8044312f
"""

RETURN = r"""
tasks:
  description: The tasks that the command followed.
  returned: always
  type: list
  elements: dict
  sample: [{id: 36}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import orphaned_disks
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module, tasks_of


def delete(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    cid = module.params["cid"]
    if cid not in [disk["disk_cid"] for disk in orphaned_disks(cli)]:
        return {"changed": False, "tasks": []}
    if module.check_mode:
        return {"changed": True, "tasks": []}
    return {"changed": True, "tasks": tasks_of(cli.run("delete-disk", cid))}


def main() -> None:
    run_director_module(
        {
            "cid": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        },
        delete,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
