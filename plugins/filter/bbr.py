# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of BBR's locks, what its jobs leave, and how it tells failures."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup, bbr_jobs, bbr_room


def bbr_waves(found: dict[str, list[dict[str, Any]]], order: str) -> list[dict[str, list[str]]]:
    try:
        return bbr_jobs.waves_by_host(found, order)
    except bbr_jobs.Cycle as cycle:
        raise AnsibleFilterError(str(cycle)) from None


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {
            "backup_shortages": bbr_room.backup_shortages,
            "bbr_artifacts": bbr_backup.artifacts_of,
            "bbr_each": bbr_jobs.one_by_one,
            "bbr_exit_code": bbr_backup.exit_code,
            "bbr_unfit": bbr_backup.unfit,
            "bbr_waves": bbr_waves,
            "restore_shortages": bbr_room.restore_shortages,
        }
