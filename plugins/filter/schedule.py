# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a backup starts by itself, as systemd and AWX are told it, and systemd's ways to write words and variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import backup_schedule


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "on_calendar": backup_schedule.on_calendar,
            "rrule": backup_schedule.rrule,
            "schedule_problems": backup_schedule.problems,
            "systemd_command": backup_schedule.command_line,
            "systemd_environment": backup_schedule.environment_file,
        }
