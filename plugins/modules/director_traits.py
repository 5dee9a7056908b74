#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What else a director holds that is looked at before a takeover."""

from __future__ import annotations

DOCUMENTATION = r"""
module: director_traits
short_description: Ask a BOSH director for its cloud configs and its orphans
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - The active cloud configs as data, and the disks and VMs that the director has let go of.
  - A question that the director does not answer is told in RV(unanswered), and is no failure.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.reads]
"""

EXAMPLES = r"""
- name: Ask Micro what it has let go of
  bosh.ha.director_traits:
    environment: micro
  register: micro
"""

RETURN = r"""
cloud_configs:
  description: Name and content of each active cloud config. What may be a secret is shown as C(<redacted>).
  returned: when it was answered
  type: list
  elements: dict
  sample: [{name: default, content: {azs: [{name: z1}]}}]
orphaned_disks:
  description: Disks that belong to no instance any more.
  returned: when it was answered
  type: list
  elements: dict
  sample: [{disk_cid: disk-10dc8044312f, deployment: bosh-primary, instance: bosh/3bc98394}]
orphaned_vms:
  description: VMs that belong to no instance any more, with their addresses.
  returned: when it was answered
  type: list
  elements: dict
  sample: [{vm_cid: vm-b90042ef, deployment: bosh-primary, instance: bosh/3bc98394, ips: [10.10.0.4]}]
unanswered:
  description: Why a question has no answer, in a sentence, by the name of what would be returned.
  returned: always
  type: dict
  sample: {}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import split_lines
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import configs, orphaned_disks
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.redaction import redacted_yaml


def cloud_configs(cli: BoshCli) -> list[dict[str, Any]]:
    found = []
    for name in [row["name"] for row in configs(cli) if row["type"] == "cloud"]:
        text = cli.run("config", "--type=cloud", f"--name={name}").first_row("config")["content"]
        try:
            found.append({"name": name, "content": bosh_yaml.load(redacted_yaml(text))})
        except bosh_yaml.BadYaml as error:
            raise ValueError(f"the cloud config {name} is no YAML that is known here: {error}") from None
    return found


def orphaned_vms(cli: BoshCli) -> list[dict[str, Any]]:
    """Source of the columns: bosh-cli cmd/orphaned_vms.go."""
    return [
        {key: row[key] for key in ("vm_cid", "deployment", "instance")} | {"ips": split_lines(row["ips"])}
        for row in cli.run("orphaned-vms").rows("orphaned_vms")
    ]


def ask(_module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    result: dict[str, Any] = {"changed": False, "unanswered": {}}
    for reader in (cloud_configs, orphaned_disks, orphaned_vms):
        try:
            result[reader.__name__] = reader(cli)
        except BoshFailure as failure:
            result["unanswered"][reader.__name__] = failure.sentence()
        except ValueError as error:
            result["unanswered"][reader.__name__] = str(error)
    return result


def main() -> None:
    run_director_module({}, ask, supports_check_mode=True)


if __name__ == "__main__":
    main()
