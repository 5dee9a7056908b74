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


def _subnets(config: Any) -> Iterator[dict[str, Any]]:
    for network in _mappings(config, "networks"):
        yield from _mappings(network, "subnets")


def _listed(given: Any) -> list[str]:
    return [str(text) for text in given] if isinstance(given, list) else [] if given is None else [str(given)]


def _mappings(data: Any, key: str) -> list[dict[str, Any]]:
    rows = data.get(key) if isinstance(data, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
