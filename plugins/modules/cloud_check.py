#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloud check of a deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cloud_check
short_description: Find and resolve differences between a BOSH director and its IaaS
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh cloud-check) and, where asked, resolves the problems that it finds.
  - C(--auto) is not used, as it ignores unresponsive agents.
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
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  mode:
    description:
      - V(report) only reports problems, V(resolve) applies O(resolutions).
      - Where it is not set, problems are resolved if there are O(resolutions), and reported if there are none.
    type: str
    choices: [report, resolve]
  resolutions:
    description:
      - Resolutions to apply to problems of any type that knows them, such as V(recreate_vm).
    type: list
    elements: str
    default: []
  wait_for_running_task:
    description: Whether a task of this deployment that already runs is followed to its end first, as it holds the lock.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Meta recreates Primary's missing VM
  bosh.ha.cloud_check:
    environment: meta
    deployment: bosh-primary
    mode: resolve
    resolutions: [recreate_vm]

- name: Only look
  bosh.ha.cloud_check:
    environment: meta
    deployment: bosh-primary
    mode: report
"""

RETURN = r"""
problems:
  description: Problems found.
  returned: always
  type: list
  elements: dict
  sample: [{id: 3, type: missing_vm, description: "VM for 'bosh/c85229cd (0)' with cloud ID 'vm-e0958411' missing."}]
tasks:
  description: The tasks that the command followed.
  returned: always
  type: list
  elements: dict
  sample: [{id: 42}, {id: 43}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module, tasks_of


def check(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    resolutions = module.params["resolutions"]
    resolving = (module.params["mode"] or ("resolve" if resolutions else "report")) == "resolve"
    if resolving and not resolutions:
        raise ValueError("`resolutions` is needed to resolve problems, for example [recreate_vm]")
    only_report = module.check_mode or not resolving
    words = (
        ["cloud-check", "--report"]
        if only_report
        else ["cloud-check", *(f"--resolution={name}" for name in resolutions)]
    )
    rc, output, command = cli.try_run(*words, deployment=module.params["deployment"])
    # `--report` exits with 1 for "problems found" as well as for "failed": the rows tell them apart.
    if rc != 0 and not (only_report and output.tables.get("problems")):
        raise BoshFailure(command, rc, output.message())
    rows = output.rows("problems")
    problems = [{"id": int(row["0"]), "type": row["type"], "description": row["description"]} for row in rows]
    return {"changed": bool(problems) and resolving, "problems": problems, "tasks": tasks_of(output)}


def main() -> None:
    run_director_module(
        {
            "deployment": {"type": "str", "required": True},
            "mode": {"type": "str", "choices": ["report", "resolve"]},
            "resolutions": {"type": "list", "elements": "str", "default": []},
            "wait_for_running_task": {"type": "bool", "default": True},
        },
        check,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
