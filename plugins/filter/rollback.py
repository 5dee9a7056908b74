# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back to Micro, before it is gone."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import rollback


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {
            "last_resort": rollback.last_resort,
            "own_configs": rollback.own_configs,
            "own_tasks": rollback.own_tasks,
            "rollback_plan": rollback.rollback_plan,
            "vm_at": rollback.vm_at,
        }
