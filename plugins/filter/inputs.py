# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inputs with their defaults, what is wrong with them, and what two directors are compared by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import inputs, snapshot


def director(directors: dict[str, Any], name: str) -> dict[str, Any]:
    """One director of bosh_ha_directors with every default filled in."""
    try:
        return inputs.director(directors, name)
    except (ValueError, KeyError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"director": director, "snapshot": snapshot.snapshot}
