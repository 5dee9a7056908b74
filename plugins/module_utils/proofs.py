# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director's own task history proves: that its health monitor resurrected its partner."""

from __future__ import annotations

from typing import Any


def adopted(tasks: list[dict[str, Any]], deployment: str) -> int:
    """When a director last recreated a lost VM of this deployment by cloud check, in seconds since 1970; 0 for never.

    `tasks` are those of `task_info`. Meta inherits Micro's history: what came before the adoption proves nothing
    of the pair.
    """
    return max(
        (
            task["finished_epoch"] or 0
            for task in tasks
            if task["deployment"] == deployment
            and task["description"] == "apply resolutions"
            and task["state"] == "done"
            and task["user"] != "hm"
        ),
        default=0,
    )


def resurrections(tasks: list[dict[str, Any]], scans: list[dict[str, Any]], since: int) -> list[dict[str, Any]]:
    """Each `scan and fix` of the health monitor after `since` that recreated a VM, newest first, with its times.

    `scans` are those tasks with their events; among `tasks` are the `delete vm CID` tasks, which belong to no
    deployment (bosh-director api/controllers/vms_controller.rb). A VM that was lost in another way has no such task:
    then `detected` and `back`, in seconds after the loss, are None.
    """
    found = []
    for scan in scans:
        if scan["state"] != "done" or not scan["recreated"] or scan["started_epoch"] <= since:
            continue
        lost = max(
            (
                task["started_epoch"]
                for task in tasks
                # A task that is still queued has no beginning.
                if task["description"].startswith("delete vm ")
                and since < (task["started_epoch"] or 0) <= scan["started_epoch"]
            ),
            default=None,
        )
        found.append(
            {
                "task": scan["id"],
                "at": scan["started_at"],
                "detected": None if lost is None else scan["started_epoch"] - lost,
                "back": None if lost is None else scan["finished_epoch"] - lost,
                "seconds": scan["seconds"],
            }
        )
    return found
