#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal of the deploy with which a director of the pair begins to watch the other one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_dry_run
short_description: Rehearse the deploy of a director with the resurrector
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh deploy --dry-run) of a director's manifest with what the roles C(strip_dns_recursor) and C(enable_resurrector) lay over it.
    The operations are made by the same functions as the ops files of those roles.
  - The director binds releases, stemcells, its cloud config and the agents, and renders every template, but compiles, uploads
    and updates nothing.
  - It knows neither what a CPI, a compilation or a process will do, nor another director's cloud config, releases or stemcells.
  - The vars store is not written. The director keeps a record of the task, and generates variables of CredHub that are missing.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.manifest, bosh.ha.attributes, bosh.ha.attributes.reads]
attributes:
  check_mode:
    description: The same with and without it.
    support: full
  action:
    description: An action plugin waits for tasks of this deployment that run already.
    support: full
  async:
    description: With C(async) set on the task nothing is waited for.
    support: full
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  minimum_down_jobs:
    description: As in the role C(enable_resurrector), whose default it has.
    type: int
  percent_threshold:
    description: As in the role C(enable_resurrector), whose default it has.
    type: float
  time_threshold:
    description: As in the role C(enable_resurrector), whose default it has.
    type: int
  wait_for_running_task:
    description: Whether a task of this deployment that runs already is followed to its end first.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Rehearse at Micro how Meta will deploy Primary
  bosh.ha.deployment_dry_run:
    environment: micro
    deployment: bosh-primary
    manifest: boshes/bosh-primary.yml
    vars_store: boshes/primary-vars.yml
"""

RETURN = r"""
operations:
  description: Paths of the operations that were laid over the manifest.
  returned: when the director accepts the deploy
  type: list
  elements: str
  sample: ['/instance_groups/name=bosh/properties/hm?/resurrector_enabled?']
manifest_changes:
  description: Added and removed lines of the manifest, values redacted by BOSH.
  returned: when the director accepts the deploy
  type: list
  elements: str
  sample: ['+         resurrector_enabled: "<redacted>"']
refused_by:
  description: C(manifest) where the CLI, a file or an operation refused it, C(director) where the director's task failed, else C(nobody).
  returned: always
  type: str
  sample: director
refusal:
  description: Why it was refused, in BOSH's words; empty where it was not.
  returned: always
  type: str
  sample: "line 4: Can't find property 'director.address'"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import MANIFEST_ARGS, BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.deploy_command import (
    deploy_words,
    pair_operations,
    write_operations,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module, with_evidence
from ansible_collections.bosh.ha.plugins.module_utils.interpolation import as_mapping, interpolated_text

THRESHOLDS = ("minimum_down_jobs", "percent_threshold", "time_threshold")


def rehearse(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    """Return what BOSH would do; a refusal is a result, any other failure is raised (BoshFailure)."""
    params = module.params
    try:
        operations = operations_of(module, cli)
    except BoshFailure as failure:
        return refused("manifest", failure.words)
    except ValueError as error:
        return refused("manifest", str(error))
    given = params | {"ops_files": [*params["ops_files"], write_operations(operations, module.tmpdir)]}
    try:
        output = cli.run(*deploy_words(given, module.tmpdir, dry_run=True), deployment=params["deployment"])
    except BoshFailure as failure:
        if failure.task_id is None and failure.cause not in ("", "wrong_deployment"):
            # Such as a director that is unreachable: no refusal, as nothing was judged.
            raise
        evidence = with_evidence(failure, cli)
        if failure.cause == "lock_held":
            raise
        task = evidence.get("task") or {}
        return refused("director" if task else "manifest", task.get("error") or last_words(failure.words))
    return {
        "changed": False,
        "refused_by": "nobody",
        "refusal": "",
        "operations": [operation["path"] for operation in operations],
        "manifest_changes": output.changed_lines(),
    }


def operations_of(module: AnsibleModule, cli: BoshCli) -> list[dict[str, Any]]:
    """Operations of step 7 on the manifest; raises BoshFailure or ValueError where the manifest refuses them."""
    # As the roles do: operations are applied before variables, which may give names.
    manifest = interpolated(module, cli, {"vars_files": [], "vars_store": None})
    resolved = interpolated(module, cli, {"vars_store": None}) if module.params["vars_files"] else None
    return pair_operations(manifest, {name: module.params[name] for name in THRESHOLDS}, resolved)


def interpolated(module: AnsibleModule, cli: BoshCli, without: dict[str, Any]) -> dict[str, Any]:
    """The manifest as data; `without` are parameters in place of the module's. Raises BoshFailure or ValueError."""
    text = interpolated_text(cli, module.params | without, module.tmpdir)
    return as_mapping(text, module.params["manifest"])


def last_words(words: str) -> str:
    """BOSH's words without the diff of the manifest that it prints before an error."""
    lines = [line.strip() for line in words.splitlines() if line.strip() and line[:2] not in ("+ ", "- ", "  ")]
    return " ".join(lines) or words


def refused(by: str, words: str) -> dict[str, Any]:
    """The result where BOSH would refuse the deploy."""
    return {"changed": False, "refused_by": by, "refusal": words}


def main() -> None:
    run_director_module(
        MANIFEST_ARGS
        | {
            "deployment": {"type": "str", "required": True},
            "minimum_down_jobs": {"type": "int"},
            "percent_threshold": {"type": "float"},
            "time_threshold": {"type": "int"},
            "wait_for_running_task": {"type": "bool", "default": True},
        },
        rehearse,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
