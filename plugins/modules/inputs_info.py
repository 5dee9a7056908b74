#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the inputs of a pair can be used."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inputs_info
short_description: Check the variables of a pair of directors
version_added: 0.2.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Checks the variables on the control node, lets the CLI read the manifests, and asks each director for its login. Changes nothing.
  - Fails with a sentence for each thing that is wrong, naming the variable, file or host.
extends_documentation_fragment: [bosh.ha.pair, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  entries:
    description:
      - What is looked at of the three directors. The default is that of the variable C(bosh_ha_directors), which is checked first, with the
        hosts of the inventory, C(bosh_ha_known_hosts), C(bosh_ha_backup) and C(bosh_ha_backup_dir).
      - Of a secret or certificate it has only whether it is given.
    type: dict
  cli:
    description: The C(bosh) command. The default is that of C(bosh_ha_cli_options).
    type: str
    default: bosh
"""

EXAMPLES = r"""
- name: Check the inputs
  bosh.ha.inputs_info:
  register: inputs
"""

RETURN = r"""
answers:
  description: RV(bosh.ha.pair_info#module:answers).
  returned: success
  type: dict
  sample: {meta: {reachable: true, logged_in: true, reason: "", cause: "", uuid: 3f1c, deployments: [bosh-primary]}}
answering:
  description: Names of the directors that answer.
  returned: success
  type: list
  elements: str
  sample: [primary, meta]
micro_is_there:
  description: Whether something answers at Micro's address that may be a director.
  returned: success
  type: bool
  sample: true
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import director_inputs, pair_facts
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli, Director
from ansible_collections.bosh.ha.plugins.module_utils.pair_module import run_pair_module


def look(module: AnsibleModule, clis: dict[str, BoshCli]) -> dict[str, Any]:
    """The module's result. Raises BoshFailure, and ValueError with a sentence for each problem."""
    entries = module.params["entries"]
    cli = BoshCli(Director(cli=module.params["cli"]), module.run_command)
    problems = director_inputs.cli_problems(cli) or director_inputs.manifest_problems(cli, entries, module.tmpdir)
    if problems:
        raise ValueError("; ".join(problems))
    answers = pair_facts.ask_all(clis)
    problems = list(director_inputs.answer_problems(entries, answers))
    if problems:
        raise ValueError("; ".join(problems))
    return {
        "changed": False,
        "answers": answers,
        "answering": pair_facts.answering(answers),
        "micro_is_there": director_inputs.micro_is_there(answers),
    }


def main() -> None:
    # The action plugin fills in all of them.
    run_pair_module({"entries": {"type": "dict"}, "cli": {"type": "str", "default": "bosh"}}, look)


if __name__ == "__main__":
    main()
