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
  - Runs C(bosh interpolate) and returns the result as data. Secrets may be in it, of the manifest itself or of vars files and the vars store,
    so use C(no_log), or O(values=false) where only its structure is wanted.
  - Variables that the vars store does not have yet are generated for this result alone; the vars store itself is never written.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.manifest, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  path:
    description: Path of a part of the result, such as V(/director_ssl/ca), to return only that. A part that is no mapping and no list is returned as text.
    type: str
  values:
    description:
      - Whether values are returned. Without them RV(manifest) has every key, but of values only the names of instance groups, jobs and templates.
    type: bool
    default: true
  mentions_of:
    description: An address that is looked for in the values. Only the places are returned.
    type: str
"""

EXAMPLES = r"""
- name: Look where Primary's manifest names Micro
  bosh.ha.interpolated_manifest:
    manifest: boshes/bosh-primary.yml
    ops_files: [resurrector.yml]
    values: false
    mentions_of: 10.10.0.3

- name: Read Primary's admin password from its vars store
  bosh.ha.interpolated_manifest:
    manifest: boshes/primary-vars.yml
    path: /admin_password
  no_log: true
"""

RETURN = r"""
content:
  description: The same as RV(manifest).
  returned: always
  type: raw
  sample: {name: bosh-primary}
manifest:
  description: The manifest, or the part of it that O(path) names.
  returned: always
  type: raw
  sample: {name: bosh-primary}
mentions:
  description: Path of each value that names the address as a whole word.
  returned: when O(mentions_of) is set
  type: list
  elements: str
  sample: [/networks/name=default/subnets/0/dns/0]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import MANIFEST_ARGS, BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.interpolation import as_mapping, interpolated_text
from ansible_collections.bosh.ha.plugins.module_utils.manifests import address_mentions, without_values


def interpolate(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    text = interpolated_text(cli, module.params, module.tmpdir)
    if module.params["path"]:
        # The CLI prints a string as it is, and one newline: a PEM text must keep its lines.
        manifest = as_data(text)
        manifest = text.removesuffix("\n") if manifest is None else manifest
    else:
        manifest = as_mapping(text, module.params["manifest"])
    wanted = module.params["mentions_of"]
    found = {"mentions": address_mentions(manifest, wanted)} if wanted else {}
    if not module.params["values"]:
        manifest = without_values(manifest)
    return {"changed": False, "manifest": manifest, "content": manifest} | found


def as_data(text: str) -> Any:
    """A mapping or a list; None for a text that is neither."""
    try:
        data = bosh_yaml.load(text)
    except bosh_yaml.BadYaml:
        return None
    return data if isinstance(data, (dict, list)) else None


def main() -> None:
    run_director_module(
        MANIFEST_ARGS
        | {"path": {"type": "str"}, "values": {"type": "bool", "default": True}, "mentions_of": {"type": "str"}},
        interpolate,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
