#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An alias of a director in the CLI's config."""

from __future__ import annotations

DOCUMENTATION = r"""
module: environment
short_description: Keep an alias of a director in the BOSH CLI's config
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Adds or removes an alias, as C(bosh alias-env) and C(bosh unalias-env) do.
  - The address and the CA are compared with what the config has, so nothing is asked of a director whose alias is right.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  alias:
    description: Name of the alias.
    type: str
    required: true
  state:
    description: Whether the alias exists.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Call the new director meta
  bosh.ha.environment:
    alias: meta
    environment: 10.10.0.5
    ca_cert: "{{ meta_ca }}"
"""

RETURN = r"""
aliases:
  description: Aliases in the config after the call, with their URLs.
  returned: always
  type: dict
  sample: {meta: 'https://10.10.0.5:25555'}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.cli_config import Aliases
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module


def keep(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    alias, wanted = module.params["alias"], module.params["state"] == "present"
    aliases = Aliases.read(cli)
    if wanted:
        if not cli.director.environment:
            raise ValueError("`environment` is needed for an alias that is to be present")
        changed = not aliases.same(alias, cli.director.environment, cli.director.ca_cert)
        words = ("alias-env", alias)
    else:
        changed = alias in aliases.urls
        words = ("unalias-env", alias)
    if changed and not module.check_mode:
        cli.run(*words)
        aliases = Aliases.read(cli)
    return {"changed": changed, "aliases": aliases.urls}


def main() -> None:
    run_director_module(
        {
            "alias": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        keep,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
