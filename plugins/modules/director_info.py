#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director knows."""

from __future__ import annotations

DOCUMENTATION = r"""
module: director_info
short_description: Ask a BOSH director what it knows
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Asks a director for its identity, deployments, releases, stemcells, configs, VMs, locks and running tasks.
  - A director that answers but refuses the client is told apart from one that does not answer.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  gather_subset:
    description: What to ask for besides the director itself. V(vms) makes a task of its own on the director.
    type: list
    elements: str
    choices: [all, info, deployments, releases, stemcells, configs, vms, locks, tasks]
    default: [info]
  deployment:
    description: The deployment whose VMs are asked for; all deployments' where it is not set.
    type: str
  mentions_of:
    description:
      - An address that is looked for in the director's active cloud and runtime configs.
      - Only the places are returned, as the configs themselves may hold secrets.
    type: str
  fail_when_unreachable:
    description:
      - Whether an unreachable director, one that does not run behind its nginx, or one that refuses the client or whose
        certificate cannot be used, is a failure. A proxy that fails always is.
      - Where it is none, and O(environment) is an address, no proxy is used and O(wait) is 0, the CLI is not asked when nobody listens
        there within 5 s.
    type: bool
    default: true
  wait:
    description:
      - Seconds to wait for a director that does not answer yet. It is asked once at least.
      - One that refuses the credentials, or has a certificate that cannot be used, is not asked again.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Ask Micro what it deployed
  bosh.ha.director_info:
    environment: 10.10.0.3
    client: admin
    client_secret: "{{ micro_admin_password }}"
    ca_cert: "{{ micro_ca }}"
    gather_subset: [deployments, stemcells]
  register: micro

- name: Ask Meta where its configs name Micro's address
  bosh.ha.director_info:
    environment: meta
    mentions_of: 10.10.0.3
  register: meta
"""

RETURN = r"""
reachable:
  description:
    - Whether somebody answers at this address.
    - Where it is true and RV(logged_in) is not, whoever answers cannot be asked, by the certificate or by the login.
  returned: always
  type: bool
  sample: true
logged_in:
  description: Whether the director accepted the client.
  returned: always
  type: bool
  sample: true
reason:
  description: Why it is not reachable or not logged in, in one sentence.
  returned: always
  type: str
  sample: ""
cause:
  description: Short name of the reason, such as V(unreachable), V(not_ready), V(wrong_ca), V(certificate_expired) or V(wrong_credentials).
  returned: always
  type: str
  sample: ""
director:
  description: Name, UUID, version, CPI and user.
  returned: when logged in
  type: dict
  sample: {name: micro, uuid: 3dc705d1-d4e1-408f-aa24-3e85d4657b3a, version: 283.1.0 (00000000), cpi: rig_cpi, user: admin}
deployments:
  description: Deployments with their releases and stemcells.
  returned: when asked for
  type: list
  elements: dict
  sample: [{name: bosh-primary, releases: [bosh/283.1.6], stemcells: [bosh-rig-debian-forky-go_agent/1.1]}]
releases:
  description: Releases.
  returned: when asked for
  type: list
  elements: dict
  sample: [{name: bosh, version: 283.1.6, deployed: true}]
stemcells:
  description: Stemcells.
  returned: when asked for
  type: list
  elements: dict
  sample: [{name: bosh-rig-debian-forky-go_agent, version: '1.1', cid: stemcell-5ef54ac1ac9c, os: debian-forky, deployed: true}]
configs:
  description: Active configs.
  returned: when asked for
  type: list
  elements: dict
  sample: [{type: cloud, name: default, id: '1'}]
mentions:
  description: Each value of an active cloud or runtime config that names the address as a whole word, by the config's type and name and the path in it.
  returned: when O(mentions_of) is set
  type: list
  elements: dict
  sample: [{type: cloud, name: default, path: /networks/name=default/subnets/0/dns/0}]
vms:
  description: VMs as the director sees them.
  returned: when asked for
  type: list
  elements: dict
  sample: [{instance: bosh/3bc98394, vm_cid: vm-b90042ef, process_state: running, ips: [10.10.0.4]}]
locks:
  description: Locks held.
  returned: when asked for
  type: list
  elements: dict
  sample: [{type: deployment, resource: bosh-primary, task_id: '36'}]
tasks:
  description: Tasks that are queued or running.
  returned: when asked for
  type: list
  elements: dict
  sample: [{id: 36, state: processing, user: admin, deployment: bosh-primary, description: create deployment}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import SUBSETS, configs, gather, identity
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.director_probe import ANSWERED, probe
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for
from ansible_collections.bosh.ha.plugins.module_utils.manifests import address_mentions


def ask(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    # For all modules of the playbook that follow.
    cli.require_version()
    wanted = set(module.params["gather_subset"])
    wanted = set(SUBSETS) if "all" in wanted else wanted - {"info"}
    if module.params["fail_when_unreachable"]:
        return (
            {"changed": False}
            | ANSWERED
            | wait_for(lambda: facts_of(cli, module.params, wanted), module.params["wait"])
        )
    return {"changed": False} | probe(cli, lambda: facts_of(cli, module.params, wanted), module.params["wait"])


def facts_of(cli: BoshCli, params: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Who the director is, and what of it was asked for."""
    facts = {"director": identity(cli)} | gather(cli, wanted, params["deployment"] or "")
    if params["mentions_of"]:
        facts["mentions"] = mentions(cli, params["mentions_of"])
    return facts


def mentions(cli: BoshCli, address: str) -> list[dict[str, str]]:
    """Where the active configs that a deployment is made with name the address."""
    found = []
    for config in configs(cli):
        if config["type"] in ("cloud", "runtime"):
            shown = cli.run("config", f"--type={config['type']}", f"--name={config['name']}")
            content = as_data(shown.first_row("config")["content"])
            found += [
                {"type": config["type"], "name": config["name"], "path": path}
                for path in address_mentions(content, address)
            ]
    return found


def as_data(text: str) -> Any:
    """A config as data, or the text itself, whose only path is the empty one, where BOSH's YAML is another than ours."""
    try:
        return bosh_yaml.load(text)
    except bosh_yaml.BadYaml:
        return text


def main() -> None:
    run_director_module(
        {
            "gather_subset": {
                "type": "list",
                "elements": "str",
                "default": ["info"],
                "choices": ["all", "info", *SUBSETS],
            },
            "deployment": {"type": "str"},
            "mentions_of": {"type": "str"},
            "fail_when_unreachable": {"type": "bool", "default": True},
            "wait": {"type": "int", "default": 0},
        },
        ask,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
