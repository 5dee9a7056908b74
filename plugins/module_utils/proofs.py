# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director's own task history proves: that its health monitor resurrected its partner.

Meta inherits Micro's history. Which of the tasks are Meta's own is certain from the ID of Micro's last one; without it
only from times.
"""

from __future__ import annotations

from typing import Any

#: Description of a deploy among the tasks.
DEPLOY = "create deployment"
_CLOUD_CHECK = "apply resolutions"
#: Description of what the health monitor makes the director do, as the user `hm`.
SCAN = "scan and fix"


def adopted(tasks: list[dict[str, Any]], deployment: str, last: int = 0) -> int:
    """When Meta first did what needs the agent of this deployment, in seconds since 1970; 0 for never.

    `tasks` are those of `task_info`, `last` the ID of Micro's last one, 0 where nobody knows it. Then only a cloud
    check of a person tells, as Meta does one in the procedure, and Micro's deploys are always in the history.
    """
    descriptions = (DEPLOY, _CLOUD_CHECK, SCAN) if last else (_CLOUD_CHECK,)
    times = [
        task["finished_epoch"] or 0
        for task in _done(tasks, deployment, descriptions)
        if task["id"] > last and (last or task["user"] != "hm")
    ]
    return min(times, default=0)


def took_over(tasks: list[dict[str, Any]], deployment: str, last: int = 0, made: int = 0) -> int:
    """Since when a resurrection in Meta's history is Meta's own, in seconds since 1970; 0 where nothing proves it.

    After Micro's last task (`last`) it is the first deploy or cloud check of a person, so that later ones do not
    matter, or, of an agent that was adopted without any, Meta's first task of this deployment. Without `last` it is the
    last of those, if it ended after Meta itself was `made` (Primary's first deploy of Meta, in seconds since 1970).
    """
    own = [
        task["finished_epoch"] or 0
        for task in _done(tasks, deployment, (DEPLOY, _CLOUD_CHECK))
        if task["user"] != "hm" and task["id"] > last
    ]
    if last:
        begun = [task["started_epoch"] for task in tasks if _own(task, deployment, last) and task["started_epoch"]]
        # All of them are Meta's, so the first one may be a resurrection itself.
        return min(own) if own else min(begun, default=1) - 1
    return max((time for time in own if made and time > made), default=0)


def first_deploy(tasks: list[dict[str, Any]], deployment: str) -> int:
    """When a deployment was first deployed, in seconds since 1970; 0 where the history does not tell."""
    return min((task["finished_epoch"] or 0 for task in _done(tasks, deployment, (DEPLOY,))), default=0)


def _done(tasks: list[dict[str, Any]], deployment: str, descriptions: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        task
        for task in tasks
        if task["deployment"] == deployment and task["description"] in descriptions and task["state"] == "done"
    ]


def _own(task: dict[str, Any], deployment: str, last: int) -> bool:
    return bool(task["deployment"] == deployment and task["id"] > last)


def resurrections(tasks: list[dict[str, Any]], scans: list[dict[str, Any]], since: int) -> list[dict[str, Any]]:
    """Each `scan and fix` of the health monitor after `since` that recreated a VM, newest first, with its times.

    Nothing is proved where `since` is 0: then nobody knows whose resurrection it was.

    `scans` are those tasks with their events; among `tasks` are the `delete vm CID` tasks, which belong to no
    deployment (bosh-director api/controllers/vms_controller.rb). A VM that was lost in another way has no such task:
    then `detected` and `back`, in seconds after the loss, are None.
    """
    if not since:
        return []
    found = []
    for scan in scans:
        if scan["state"] != "done" or not scan["recreated"] or (scan["started_epoch"] or 0) <= since:
            continue
        if not scan["finished_epoch"]:
            # Without both times nobody knows how long it took, and it proves nothing.
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


def recreated(tasks: list[dict[str, Any]]) -> bool:
    """Whether one of these tasks, which have their events, ended well and recreated a VM."""
    return any(task["state"] == "done" and task["recreated"] for task in tasks)


def given_up(tasks: list[dict[str, Any]], now: float, patience: float) -> bool:
    """Whether all of the tasks failed, the last one begun more than `patience` seconds ago (times since 1970)."""
    failed = bool(tasks) and all(task["state"] == "error" for task in tasks)
    return failed and now - max(task["started_epoch"] or 0 for task in tasks) > patience
