# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Meta can take Primary's agent over as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import adoption


def adoption_obstacle(agent: dict[str, Any], shared: dict[str, Any], at_least: str | float = "") -> str:
    """Why Primary's agent cannot be pointed at Meta, in one sentence; empty if it can."""
    try:
        return adoption.obstacle(agent, shared, at_least)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"adoption_obstacle": adoption_obstacle}
