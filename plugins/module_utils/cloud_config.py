# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked for in cloud configs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any


def static_holds(config: Any, address: str) -> bool:
    """Whether a static range of the config holds the address: one address, `first-last`, or CIDR."""
    return any(_within(address, text) for subnet in _subnets(config) for text in _listed(subnet.get("static")))


def zone_properties(config: Any, name: str) -> dict[str, Any] | None:
    """Cloud properties of an availability zone, empty where it has none; None where there is no such zone."""
    for row in _mappings(config, "azs"):
        if row.get("name") == name:
            return row.get("cloud_properties") or {}
    return None


def _within(address: str, text: str) -> bool:
    first, dash, last = (part.strip() for part in text.partition("-"))
    try:
        place = ipaddress.ip_address(address)
        if not dash:
            return place in ipaddress.ip_network(first, strict=False)
        ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
        return place.version == ends[0].version == ends[1].version and int(ends[0]) <= int(place) <= int(ends[1])
    except ValueError:
        # A variable, or something that BOSH will refuse in its own words.
        return False


def _subnets(config: Any) -> Iterator[dict[str, Any]]:
    for network in _mappings(config, "networks"):
        yield from _mappings(network, "subnets")


def _listed(given: Any) -> list[str]:
    return [str(text) for text in given] if isinstance(given, list) else [] if given is None else [str(given)]


def _mappings(data: Any, key: str) -> list[dict[str, Any]]:
    rows = data.get(key) if isinstance(data, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
