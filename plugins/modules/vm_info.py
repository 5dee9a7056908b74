#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instances of a deployment with their VMs, disks and agents."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Ask a BOSH director about the instances of a deployment
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Instances with the CIDs of VM and disks, and what the agent says of itself.
  - Right after the loss of a VM the director still lists its old CID as V(unresponsive agent).
  - A VM whose agent answers and that has no process at all is V(bare) here, where BOSH says V(running). It is what a creation leaves that
    failed half way.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  orphaned:
    description: Whether to list the director's orphaned disks, too.
    type: bool
    default: false
  wait_until_running:
    description:
      - Seconds to wait until every instance is V(running), with its agent on this director's bus. It is a failure if they are not then.
      - A director that does not answer meanwhile is asked again. One that refuses the credentials, has a certificate of another CA, or does
        not know the deployment, is not, as no wait mends that.
    type: int
"""

EXAMPLES = r"""
- name: Ask Meta about Primary
  bosh.ha.vm_info:
    environment: meta
    deployment: bosh-primary
  register: primary

- name: Wait until Primary's agent is on Meta's bus
  bosh.ha.vm_info:
    environment: meta
    deployment: bosh-primary
    wait_until_running: 900
"""

RETURN = r"""
instances:
  description: Instances of the deployment.
  returned: always
  type: list
  elements: dict
  sample: [{instance: bosh/c85229cd, group: bosh, id: c85229cd, index: 0, bootstrap: true, agent_id: 38e41cf3, vm_cid: vm-e0958411,
            disk_cids: [disk-10dc8044312f], ips: [10.10.0.4], az: z1, state: started, process_state: running, ignore: false}]
orphaned_disks:
  description: CIDs of the director's orphaned disks.
  returned: when asked for
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import (
    awaited_instances,
    instances,
    not_running,
    orphaned_disks,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module


def ask(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    deployment, seconds = module.params["deployment"], module.params["wait_until_running"]
    if seconds is None:
        found = instances(cli, deployment)
    else:
        found = awaited_instances(cli, deployment, seconds)
        late = not_running(found)
        if late:
            where = f" at {module.params['environment']}" if module.params["environment"] else ""
            told = f"{deployment} does not run{where} after {seconds} s: {', '.join(late)}"
            module.fail_json(msg=told, instances=found)
    result: dict[str, Any] = {"changed": False, "instances": found}
    if module.params["orphaned"]:
        result["orphaned_disks"] = [disk["disk_cid"] for disk in orphaned_disks(cli)]
    return result


def main() -> None:
    run_director_module(
        {
            "deployment": {"type": "str", "required": True},
            "orphaned": {"type": "bool", "default": False},
            "wait_until_running": {"type": "int"},
        },
        ask,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
