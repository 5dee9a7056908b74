# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked for in cloud configs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import addresses


def static_holds(config: Any, address: str) -> bool | None:
    """Whether a static range of the config holds the address: one address, `first-last`, or CIDR.

    None if that is not known: the config has no subnet, or a range that is still a variable.
    """
    subnets = list(_subnets(config))
    found = [addresses.holds(text, address) for subnet in subnets for text in _listed(subnet.get("static"))]
    if any(found):
        return True
    return None if not subnets or None in found else False


def zone_properties(config: Any, name: str) -> dict[str, Any] | None:
    """Cloud properties of an availability zone, empty where it has none; None where there is no such zone."""
    for row in _mappings(config, "azs"):
        if row.get("name") == name:
            return row.get("cloud_properties") or {}
    return None


#: What an instance group names, and the list of the cloud config in which it is. Source: bosh-director v283.1.6
#: deployment_plan/instance_group_spec_parser.rb, job_network_parser and cloud_manifest_parser.rb.
_NAMED = {
    "vm_type": "vm_types",
    "vm_extensions": "vm_extensions",
    "persistent_disk_type": "disk_types",
    "azs": "azs",
}


def lacking(manifest: dict[str, Any], configs: list[Any]) -> list[str]:
    """What the instance groups of a v2 manifest name and none of the cloud configs has, such as `vm_type large`.

    Empty for a manifest with networks of its own (v1), which takes nothing from a cloud config; variables without a
    value are left out.
    """
    if manifest.get("networks"):
        return []
    found: list[str] = []
    for group in _mappings(manifest, "instance_groups"):
        for key, place in _NAMED.items():
            has = [row.get("name") for config in configs for row in _mappings(config, place)]
            found += [f"{key.removesuffix('s')} {name}" for name in _listed(group.get(key)) if name not in has]
        for wanted in _mappings(group, "networks"):
            rows = [row for config in configs for row in _mappings(config, "networks")]
            networks = [row for row in rows if row.get("name") == wanted.get("name")]
            if not networks:
                found.append(f"network {wanted.get('name')}")
            # Addresses of a VIP network are in no range.
            elif networks[0].get("type", "manual") == "manual":
                found += [
                    f"static IP {address} of network {wanted.get('name')}"
                    for address in _listed(wanted.get("static_ips"))
                    if any(static_holds({"networks": networks}, one) is False for one in _ends(address))
                ]
    return [text for text in dict.fromkeys(found) if "((" not in text]


def _ends(address: str) -> list[str]:
    """First and last address of `first-last` or CIDR, or the one address."""
    first, dash, last = (part.strip() for part in address.partition("-"))
    return [first, last] if dash else [first.partition("/")[0]]


def _subnets(config: Any) -> Iterator[dict[str, Any]]:
    for network in _mappings(config, "networks"):
        yield from _mappings(network, "subnets")


def _listed(given: Any) -> list[str]:
    return [str(text) for text in given] if isinstance(given, list) else [] if given is None else [str(given)]


def _mappings(data: Any, key: str) -> list[dict[str, Any]]:
    rows = data.get(key) if isinstance(data, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
