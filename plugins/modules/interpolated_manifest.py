#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A manifest with everything laid over it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: interpolated_manifest
short_description: Read a BOSH manifest with its ops files and variables applied
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh interpolate) and returns the manifest as data. The values of variables are in it with O(with_variables), so use C(no_log) then.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.manifest]
attributes:
  check_mode:
    description: Nothing is changed.
    support: full
  diff_mode:
    description: Nothing is compared line by line.
    support: none
options:
  with_variables:
    description: Whether the vars files and the vars store are applied, so that secrets are in the result.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Read Primary's manifest, variables left as they are
  bosh.ha.interpolated_manifest:
    manifest: boshes/bosh-primary.yml
    ops_files: [resurrector.yml]
"""

RETURN = r"""
content:
  description: The manifest.
  returned: always
  type: dict
  sample: {name: bosh-primary}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import MANIFEST_ARGS, BoshCli, manifest_words
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module


def interpolate(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    params = dict(module.params)
    if not params["with_variables"]:
        params |= {"vars_files": [], "vars_store": None}
    output = cli.run("interpolate", *manifest_words(params))
    content = yaml_load("".join(output.blocks))
    if not isinstance(content, dict):
        raise ValueError(f"the manifest {params['manifest']} holds no mapping")
    return {"changed": False, "content": content}


def main() -> None:
    run_director_module(
        MANIFEST_ARGS | {"with_variables": {"type": "bool", "default": False}},
        interpolate,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
