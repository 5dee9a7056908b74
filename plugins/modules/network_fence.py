#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM that reaches nobody."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_fence
short_description: Keep a BOSH VM from reaching anybody, and prove it
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Lets the VM answer at some TCP ports, and talk to itself. Every other packet is rejected or dropped, IPv6 too.
    So a director on it can neither call its IaaS nor be found by an agent.
  - The VM's own BOSH agent, as C(root), may go on to talk to its bus, so that whoever deployed the VM does not take it for lost.
  - Whether it holds is tried by connecting to O(unreachable) from the VM, before and after.
  - The rules stand in chains of their own, before all others, and are gone with the next reboot.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change. Nothing is tried then.
    support: full
requirements:
  - C(iptables), and C(ip6tables) where the VM has IPv6, as stemcells have them
options:
  state:
    description: Whether the VM is fenced.
    type: str
    choices: [closed, open]
    default: closed
  ports:
    description: TCP ports at which the VM answers. Without 22 nobody logs in any more.
    type: list
    elements: int
    default: [22, 25555]
  unreachable:
    description: Addresses of which at least one is reached before, and none may be reached afterwards.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: Address of a host.
        type: str
        required: true
      port:
        description: Its TCP port.
        type: int
        required: true
  directory:
    description: Where the agent lives.
    type: path
    default: /var/vcap/bosh
"""

EXAMPLES = r"""
- name: Fence a throw-away director
  bosh.ha.network_fence:
    unreachable:
      - {address: 10.10.0.4, port: 25555}
  become: true
"""

RETURN = r"""
bus:
  description: Where the agent may still connect to.
  returned: when O(state=closed)
  type: list
  elements: str
  sample: ["10.10.0.4:4222"]
tried:
  description: Each of O(unreachable), with whether it was reached before and after.
  returned: when O(state=closed), but in check mode
  type: list
  elements: dict
  sample: [{address: 10.10.0.4, port: 25555, before: true, after: false}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import agent_settings, network_fence
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

#: By the program whether it is the one of IPv6.
FAMILIES = {"iptables": False, "ip6tables": True}
#: Empty or not there where the kernel has no IPv6.
INET6 = "/proc/net/if_inet6"


def has_ipv6() -> bool:
    try:
        with open(INET6, encoding="ascii") as stream:
            return bool(stream.read().strip())
    except OSError:
        return False


def look(module: AnsibleModule, program: str) -> dict[str, str]:
    """The rules of each of the kernel's chains. Fails where no packet filter can be had."""
    path = module.get_bin_path(program, opt_dirs=["/sbin", "/usr/sbin"])
    if not path:
        module.fail_json(
            msg=f"this host has no {program}, so nothing keeps it from reaching others, and it is not fenced"
        )
    found = {}
    for chain in network_fence.CHAINS:
        rc, out, err = module.run_command([path, "-S", chain])
        if rc:
            module.fail_json(msg=f"{program} cannot be used on this host, so it is not fenced: {err.strip()}")
        found[chain] = out
    return found


def tell(module: AnsibleModule, program: str, rules: str) -> None:
    path = module.get_bin_path(f"{program}-restore", required=True, opt_dirs=["/sbin", "/usr/sbin"])
    rc, _out, err = module.run_command([path, "--noflush"], data=rules, binary_data=True)
    if rc:
        module.fail_json(msg=f"{program}-restore did not take the rules: {err.strip()}")


def reached(module: AnsibleModule) -> list[bool]:
    return [network_fence.is_reached(one["address"], one["port"]) for one in module.params["unreachable"]]


def close(module: AnsibleModule, listed: dict[str, dict[str, str]]) -> dict[str, Any]:
    try:
        urls, _source = agent_settings.mbus_urls(agent_settings.read(module.params["directory"]))
        bus = network_fence.addresses(urls, agent_settings.NATS_PORT)
    except (agent_settings.BadSettings, OSError) as error:
        module.fail_json(msg=f"the agent's bus is not known, so this host is not fenced: {error}")
    changed = not all(network_fence.is_first(rules[chain], chain) for rules in listed.values() for chain in rules)
    result: dict[str, Any] = {"changed": changed, "bus": [f"{address}:{port}" for address, port in bus]}
    if module.check_mode:
        return result
    before = reached(module)
    for program, chains in listed.items():
        tell(module, program, network_fence.closed(chains, module.params["ports"], bus, FAMILIES[program]))
    after = reached(module)
    result["tried"] = [
        one | {"before": was, "after": now}
        for one, was, now in zip(module.params["unreachable"], before, after, strict=True)
    ]
    through = [f"{one['address']} port {one['port']}" for one in result["tried"] if one["after"]]
    if through:
        module.fail_json(msg=f"the fence does not hold: {', '.join(through)} is reached all the same", **result)
    if before and changed and not any(before):
        module.fail_json(
            msg="none of the addresses that must not be reached was reached before, so nothing proves the fence",
            **result,
        )
    return result


def open_again(module: AnsibleModule, listed: dict[str, dict[str, str]]) -> dict[str, Any]:
    fenced = {
        program: chains
        for program, chains in listed.items()
        if any(network_fence.is_there(chains[chain], chain) for chain in chains)
    }
    if not module.check_mode:
        for program, chains in fenced.items():
            tell(module, program, network_fence.opened(chains))
    return {"changed": bool(fenced)}


def main() -> None:
    place = {"address": {"type": "str", "required": True}, "port": {"type": "int", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["closed", "open"], "default": "closed"},
            "ports": {"type": "list", "elements": "int", "default": [22, 25555]},
            "unreachable": {"type": "list", "elements": "dict", "default": [], "options": place},
            "directory": {"type": "path", "default": "/var/vcap/bosh"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    listed = {program: look(module, program) for program, v6 in FAMILIES.items() if not v6 or has_ipv6()}
    deed = close if module.params["state"] == "closed" else open_again
    module.exit_json(**deed(module, listed))


if __name__ == "__main__":
    main()
