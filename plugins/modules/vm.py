#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM, by its CID."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: Terminate a VM through a BOSH director
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh delete-vm), so the director's own CPI terminates the VM; its persistent disk is detached and stays.
  - A director terminates VMs that it does not know, too, through its default CPI, so any surviving director on the account replaces the IaaS console.
  - A gone CID is no error for BOSH, so the module asks first whether the deployment still has the VM.
    Of a VM of no deployment it can only say that it was told to be deleted.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
  action:
    description: An action plugin follows the command while it runs and shows each new stage and percentage.
    support: full
  async:
    description: With C(async) set on the task nothing is followed.
    support: full
options:
  cid:
    description: CID of the VM.
    type: str
    required: true
  deployment:
    description: Deployment of the VM. The CLI needs one even for a VM of none.
    type: str
    required: true
  foreign:
    description: Whether the VM belongs to no deployment of this director, for example one made by C(create-env).
    type: bool
    default: false
  wait_for_running_task:
    description: Whether a task of this deployment that already runs is followed to its end first, as it holds the lock.
    type: bool
    default: true
  state:
    description: The VM is terminated.
    type: str
    choices: [absent]
    default: absent
"""

EXAMPLES = r"""
- name: Meta terminates the old Primary
  bosh.ha.vm:
    environment: meta
    deployment: bosh-primary
    cid: vm-e0958411
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
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import instances
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module, tasks_of


def terminate(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    cid, deployment = module.params["cid"], module.params["deployment"]
    known = cid in [instance["vm_cid"] for instance in instances(cli, deployment)]
    if not known and not module.params["foreign"]:
        return {"changed": False, "tasks": []}
    if module.check_mode:
        return {"changed": True, "tasks": []}
    return {"changed": True, "tasks": tasks_of(cli.run("delete-vm", cid, deployment=deployment))}


def main() -> None:
    run_director_module(
        {
            "cid": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "foreign": {"type": "bool", "default": False},
            "wait_for_running_task": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        },
        terminate,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
