#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resurrection, on or off, for a whole director."""

from __future__ import annotations

DOCUMENTATION = r"""
module: resurrection
short_description: Switch resurrection of a BOSH director on or off
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh update-resurrection on) or C(off), unless the director already has it so.
  - The CLI has no command that shows the switch; the director's own C(GET /resurrection) does, read through C(bosh curl).
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  enabled:
    description: Whether the director resurrects lost VMs.
    type: bool
    required: true
  wait:
    description: Seconds to go on asking a director that does not answer, as one that was just started or recreated.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Keep Meta's health monitor from recreating Primary while it is stopped
  bosh.ha.resurrection:
    environment: meta
    enabled: false
"""

RETURN = r"""
enabled:
  description: Whether resurrection was on before the call.
  returned: always
  type: bool
  sample: true
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for


def switch(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    return wait_for(lambda: switch_once(module, cli), module.params["wait"])


def switch_once(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    wanted = module.params["enabled"]
    # bosh-director api/controllers/resurrection_controller.rb
    now = json.loads("".join(cli.run("curl", "/resurrection").blocks))["resurrection"]
    if now != wanted and not module.check_mode:
        cli.run("update-resurrection", "on" if wanted else "off")
    return {"changed": now != wanted, "enabled": now}


def main() -> None:
    options = {"enabled": {"type": "bool", "required": True}, "wait": {"type": "int", "default": 0}}
    run_director_module(options, switch, supports_check_mode=True)


if __name__ == "__main__":
    main()
