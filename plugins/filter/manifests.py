# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked for in manifests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import manifests


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "address_mentions": manifests.address_mentions,
            "dead_dns_keys": manifests.dead_dns_keys,
            "enable_resurrector_ops": manifests.enable_resurrector_ops,
            "resurrector_enabled": manifests.resurrector_enabled,
            "strip_dns_recursor_ops": manifests.strip_dns_recursor_ops,
        }
