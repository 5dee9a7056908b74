#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New host keys of Primary and Meta."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pair_host_keys
short_description: Pin new host keys of Primary and Meta for which a director vouches
version_added: 0.2.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Asks the director that deploys the VM for the VM's host keys, and pins them if the host shows one of them.
  - A run that was stopped after a VM was made or resurrected, and before its key was pinned, left another key than the host shows, or none.
  - A key for which no director vouches is no failure of the module. The reason is returned.
extends_documentation_fragment: [bosh.ha.pair, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: The keys are compared, and not pinned.
    support: full
options:
  names:
    description: The hosts whose keys are new.
    type: list
    elements: str
    choices: [primary, meta]
    required: true
  known_hosts:
    description: The known_hosts file in which the keys are pinned.
    type: path
    required: true
  answers:
    description: RV(bosh.ha.inputs_info#module:answers), which has who answers and deploys what.
    type: dict
    required: true
  wait:
    description: Seconds to wait for a director that works on the deployment.
    type: int
    default: 300
  retry:
    description: Seconds to wait for the VM's agent.
    type: int
    default: 20
  entries:
    description:
      - C(address), C(port), C(ssh_args), C(deployment) and C(instance_group) of each. The default is that of C(bosh_ha_directors) and of the
        host's C(ansible_port) and C(ansible_ssh_common_args).
    type: dict
"""

EXAMPLES = r"""
- name: Pin the key of a Primary that was resurrected
  bosh.ha.pair_host_keys:
    names: [primary]
    known_hosts: "{{ bosh_ha_known_hosts }}"
    answers: "{{ inputs.answers }}"
"""

RETURN = r"""
vouched:
  description: For each host whose key is pinned now the director that vouched for it.
  returned: always
  type: dict
  sample: {primary: meta}
reasons:
  description: For each other host why its key is not pinned.
  returned: always
  type: dict
  sample: {primary: no director that answers has the deployment bosh-primary and could vouch for its key}
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.known_hosts import entry, must_show, write_pinned
from ansible_collections.bosh.ha.plugins.module_utils.pair_module import run_pair_module
from ansible_collections.bosh.ha.plugins.module_utils.vouched_keys import DEPLOYERS, Host, deployer, vouched


def pin(module: AnsibleModule, clis: dict[str, BoshCli]) -> dict[str, Any]:
    """The module's result. Raises OSError."""
    params = module.params
    found: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name in params["names"]:
        one = params["entries"][name]
        host = Host(one["address"], one["deployment"], one["instance_group"])
        try:
            by = deployer(name, host.deployment, params["answers"])
            reach = (host.address, int(one["port"]), one["ssh_args"], module.tmpdir)
            shown = partial(must_show, module.run_command, *reach)
            keys = vouched(clis[by], by, host, shown, params["wait"], params["retry"])
        except BoshFailure as failure:
            reasons[name] = failure.sentence()
        except ValueError as error:
            reasons[name] = str(error)
        else:
            found[name] = by
            if not module.check_mode:
                write_pinned(params["known_hosts"], entry(host.address, int(one["port"])), keys)
    return {"changed": bool(found), "vouched": found, "reasons": reasons}


def main() -> None:
    run_pair_module(
        {
            "names": {"type": "list", "elements": "str", "required": True, "choices": list(DEPLOYERS)},
            # Host keys are public; the name alone makes Ansible ask.
            "known_hosts": {"type": "path", "required": True, "no_log": False},
            "answers": {"type": "dict", "required": True},
            "wait": {"type": "int", "default": 300},
            "retry": {"type": "int", "default": 20},
            # The action plugin fills it in from bosh_ha_directors.
            "entries": {"type": "dict"},
        },
        pin,
    )


if __name__ == "__main__":
    main()
