# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When each task of a run began and ended, from ansible-runner's events (`created` is ISO 8601, UTC)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

#: The two tasks that nothing can do without: their names in the roles stop_boshes and start_meta.
STOP, START = "Stop all of Micro's processes", "Start Meta's processes"
COPY = "bosh.ha.store_copy"

_TASK = ("playbook_on_task_start", "playbook_on_handler_task_start")
_END = ("playbook_on_play_start", "playbook_on_stats")
_RESULT = ("runner_on_ok", "runner_item_on_ok")


class NoTask(Exception):
    """The run has no such task; the message says which."""


@dataclass(frozen=True)
class Span:
    """A task from its begin to the next one's, in seconds since 1970, so that nothing between two is lost."""

    name: str
    role: str
    action: str
    began: float
    ended: float

    def inside(self, began: float, ended: float) -> float:
        """Seconds of it in such a time."""
        return max(0.0, min(self.ended, ended) - max(self.began, began))


def moment(created: str) -> float:
    """Seconds since 1970; where an event names no zone it is UTC."""
    found = datetime.fromisoformat(created)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def spans(events: Iterable[dict[str, Any]]) -> list[Span]:
    """The tasks in their order; the one that runs last ends with the last event."""
    found: list[Span] = []
    running: dict[str, Any] | None = None
    last = 0.0
    for event in sorted(events, key=lambda event: event["counter"]):
        at = moment(event["created"])
        # Events of two processes may overtake each other by some milliseconds.
        last = max(last, at)
        kind = event["event"]
        if kind in _TASK + _END and running:
            found.append(Span(**running, ended=last))
            running = None
        if kind in _TASK:
            data = event["event_data"]
            running = {
                "name": data.get("task") or data.get("task_action") or "",
                "role": (data.get("role") or "").rpartition(".")[2],
                "action": data.get("resolved_action") or data.get("task_action") or "",
                "began": last,
            }
    if running:
        found.append(Span(**running, ended=last))
    return found


def results(events: Iterable[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    """What a module returned each time that it went well, of a loop each item by itself."""
    found = [
        event["event_data"]
        for event in sorted(events, key=lambda event: event["counter"])
        if event["event"] in _RESULT
        and action in (event["event_data"].get("task_action"), event["event_data"].get("resolved_action"))
    ]
    # A loop's own result repeats those of its items.
    return [data.get("res") or {} for data in found if "results" not in (data.get("res") or {})]


def named(tasks: Iterable[Span], name: str) -> Span:
    """The first task of that name; raises NoTask. A later one finds it done: Meta is started once more to compare."""
    found = [task for task in tasks if task.name == name]
    if not found:
        raise NoTask(f"the run has no task '{name}': did it do this step at all, or has the task another name now?")
    return found[0]


def floor(tasks: list[Span], began: float, ended: float) -> float:
    """Seconds of such a time in which Micro's processes were being stopped or Meta's being started."""
    return sum(named(tasks, name).inside(began, ended) for name in (STOP, START)) + _answer(tasks, began, ended)


def _answer(tasks: list[Span], began: float, ended: float) -> float:
    # From the end of the start to the API's first answer it is still BOSH that everybody waits for.
    return max(0.0, ended - max(named(tasks, START).ended, began))


def between(tasks: list[Span]) -> tuple[float, float]:
    """From Micro's stop to Meta's start: the time that is ours."""
    return named(tasks, STOP).ended, named(tasks, START).began


def shares(tasks: Iterable[Span], began: float, ended: float) -> list[dict[str, Any]]:
    """Of each task in such a time its seconds; those of one role and name together, in the order of their begin."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for task in tasks:
        seconds = task.inside(began, ended)
        if seconds > 0:
            row = found.setdefault((task.role, task.name), {"role": task.role, "task": task.name, "seconds": 0.0})
            row["seconds"] = round(row["seconds"] + seconds, 3)
    return list(found.values())


def plain(tasks: Iterable[Span]) -> list[dict[str, Any]]:
    """For the file of raw numbers."""
    return [asdict(task) for task in tasks]
