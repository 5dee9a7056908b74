# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked for in manifests, and how ops files are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml, manifests


def to_bosh_yaml(data: Any) -> str:
    """Data as YAML that BOSH reads as the same data."""
    try:
        return bosh_yaml.dump(data)
    except ValueError as error:
        raise AnsibleFilterError(f"to_bosh_yaml: {error}") from error


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "address_mentions": manifests.address_mentions,
            "dead_dns_keys": manifests.dead_dns_keys,
            "enable_resurrector_ops": manifests.enable_resurrector_ops,
            "strip_dns_recursor_ops": manifests.strip_dns_recursor_ops,
            "to_bosh_yaml": to_bosh_yaml,
        }
