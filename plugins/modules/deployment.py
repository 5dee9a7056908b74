#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deployment of a director."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment
short_description: Deploy or delete a BOSH deployment
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh deploy) with the manifest and what is laid over it, or C(bosh delete-deployment).
  - Whether something changed is what BOSH said, that is a diff of the manifest, or an instance that its task touched.
  - Check mode is C(bosh deploy --dry-run), built by the same code as the deploy. The diff is BOSH's own, with values redacted.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.manifest, bosh.ha.attributes]
attributes:
  check_mode:
    description: A dry run, with a copy of the vars store.
    details:
      - The director binds releases, stemcells, cloud config and agents, and renders every template, so a missing property is an error.
      - It notes the dry run as a task, and for a new deployment its name. Variables of CredHub that are missing are generated.
        A release that the manifest gives by URL is uploaded.
    support: partial
  diff_mode:
    description: BOSH's own diff, values redacted.
    support: full
  action:
    description: An action plugin follows the command while it runs and shows each new stage and percentage.
    support: full
  async:
    description: With C(async) set on the task nothing is followed.
    support: full
options:
  deployment:
    description: Name of the deployment. A manifest that names another is refused by BOSH.
    type: str
    required: true
  state:
    description: Whether the deployment exists.
    type: str
    choices: [present, absent]
    default: present
  recreate:
    description: Whether every VM of the deployment is recreated.
    type: bool
    default: false
  force:
    description: Whether errors are ignored while a deployment is deleted.
    type: bool
    default: false
  wait_for_running_task:
    description:
      - Whether a task of this deployment that already runs, for example one of a run that was interrupted, is followed to its end first.
      - Without it BOSH refuses the deploy while the other task holds the lock.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Micro deploys Primary
  bosh.ha.deployment:
    environment: micro
    deployment: bosh-primary
    manifest: boshes/bosh-primary.yml
    vars_store: boshes/primary-vars.yml
"""

RETURN = r"""
task:
  description: The task that deployed or deleted.
  returned: when there was one
  type: dict
  sample: {id: 46}
tasks:
  description: The tasks that the command followed.
  returned: always
  type: list
  elements: dict
  sample: [{id: 46}]
manifest_changes:
  description: Added and removed lines of the manifest, values redacted by BOSH.
  returned: when present
  type: list
  elements: str
  sample: ['-         resurrector_enabled: "<redacted>"', '+         resurrector_enabled: "<redacted>"']
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import MANIFEST_ARGS, BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.deploy_command import deploy_words
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import deployments
from ansible_collections.bosh.ha.plugins.module_utils.director_module import (
    manifest_diff,
    run_director_module,
    tasks_of,
)


def deploy(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    name = module.params["deployment"]
    if module.params["state"] == "absent":
        return delete(module, cli, name)
    output = cli.run(*deploy_words(module.params, module.tmpdir, module.check_mode), deployment=name)
    changes = output.changed_lines()
    tasks = tasks_of(output)
    return {
        # A dry run renders but touches no instance, so `recreate` must be counted by itself.
        "changed": bool(changes) or output.touched_instances() or (module.check_mode and module.params["recreate"]),
        "tasks": tasks,
        "manifest_changes": changes,
        "diff": manifest_diff(output),
    } | ({"task": tasks[-1]} if tasks else {})


def delete(module: AnsibleModule, cli: BoshCli, name: str) -> dict[str, Any]:
    # `delete-deployment` of an unknown deployment exits 0, so BOSH is asked before.
    if name not in [deployment["name"] for deployment in deployments(cli)]:
        return {"changed": False, "tasks": []}
    if module.check_mode:
        return {"changed": True, "tasks": []}
    words = ["delete-deployment", *(["--force"] if module.params["force"] else [])]
    tasks = tasks_of(cli.run(*words, deployment=name))
    return {"changed": True, "tasks": tasks} | ({"task": tasks[-1]} if tasks else {})


def main() -> None:
    run_director_module(
        MANIFEST_ARGS
        | {
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "recreate": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "wait_for_running_task": {"type": "bool", "default": True},
        },
        deploy,
        supports_check_mode=True,
        required_if=[("state", "present", ["manifest"])],
    )


if __name__ == "__main__":
    main()
