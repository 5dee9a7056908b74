#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A config of a director."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config
short_description: Keep a cloud, runtime, CPI or resurrection config of a BOSH director
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Compares the wanted config with the director's as data, and updates or deletes it.
  - Values below C(properties) and C(bosh) may be secrets; as BOSH does in its diff of a deployment, they are shown as C(<redacted>).
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
  diff_mode:
    description: The config before and after, properties redacted.
    support: full
options:
  type:
    description: Type of the config.
    type: str
    choices: [cloud, runtime, cpi, resurrection]
    required: true
  name:
    description: Name of the config.
    type: str
    default: default
  path:
    description: File with the config. One of O(path) and O(content) is needed when it is to be present.
    type: path
  content:
    description: The config itself, as YAML text.
    type: str
  state:
    description: Whether the config is there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Give Micro its cloud config
  bosh.ha.config:
    environment: micro
    type: cloud
    path: boshes/cloud-config-micro.yml
"""

RETURN = r"""
content:
  description: The config that the director has after the call, as text, properties redacted; empty where there is none.
  returned: always
  type: str
  sample: |
    azs:
    - name: z1
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import config_content
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.redaction import redacted_yaml


def keep(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    kind, name = module.params["type"], module.params["name"]
    before = config_content(cli, kind, name)
    if module.params["state"] == "absent":
        changed = bool(before)
        if changed and not module.check_mode:
            cli.run("delete-config", f"--type={kind}", f"--name={name}")
        return answer(changed, before, "")
    wanted, path = wanted_config(module)
    changed = not before or bosh_yaml.load(before) != bosh_yaml.load(wanted)
    if changed and not module.check_mode:
        cli.run("update-config", f"--type={kind}", f"--name={name}", path)
    return answer(changed, before, wanted if changed else before)


def answer(changed: bool, before: str, after: str) -> dict[str, Any]:
    """The module's result, secrets hidden."""
    told = {"before": redacted_yaml(before), "after": redacted_yaml(after)}
    return {"changed": changed, "content": told["after"], "diff": told}


def wanted_config(module: AnsibleModule) -> tuple[str, str]:
    """The wanted text and a file that holds it."""
    path = module.params["path"]
    if path:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    else:
        text = module.params["content"]
        path = f"{module.tmpdir}/config.yml"
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    try:
        data = bosh_yaml.load(text)
    except bosh_yaml.BadYaml as error:
        raise ValueError(f"the config {module.params['path'] or 'content'} is no YAML: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"the config {module.params['path'] or 'content'} holds no mapping")
    return text, path


def main() -> None:
    run_director_module(
        {
            "type": {"type": "str", "required": True, "choices": ["cloud", "runtime", "cpi", "resurrection"]},
            "name": {"type": "str", "default": "default"},
            "path": {"type": "path"},
            "content": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        keep,
        supports_check_mode=True,
        mutually_exclusive=[("path", "content")],
        required_if=[("state", "present", ["path", "content"], True)],
    )


if __name__ == "__main__":
    main()
