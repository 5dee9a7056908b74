#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest that a director deployed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployed_manifest
short_description: Read the manifest of a deployment from its BOSH director
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Returns the manifest of the last successful deploy as data.
  - The values of variables are in it, so use C(no_log).
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ask whether Primary's health monitor resurrects
  bosh.ha.deployed_manifest:
    environment: meta
    deployment: bosh-primary
  register: deployed
  no_log: true
"""

RETURN = r"""
content:
  description: The manifest.
  returned: always
  type: dict
  sample: {name: bosh-primary}
resurrector_enabled:
  description: Whether its health monitor resurrects.
  returned: always
  type: bool
  sample: true
dns_recursors:
  description: Paths of each C(dns.recursor) in it, global or of a job.
  returned: always
  type: list
  elements: str
  sample: [/properties/dns/recursor]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.manifests import deployed_manifest


def read(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    return {"changed": False} | deployed_manifest(cli, module.params["deployment"])


def main() -> None:
    run_director_module({"deployment": {"type": "str", "required": True}}, read, supports_check_mode=True)


if __name__ == "__main__":
    main()
