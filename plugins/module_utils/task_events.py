# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A BOSH task's event log: which stage it is in, how far, and how it ended."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_INSTANCE = re.compile(r"\b([\w-]+)/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} \((\d+)\)")


@dataclass(frozen=True)
class Event:
    """One line of a task's event log.

    ``time`` is in seconds since 1970, ``progress`` in percent. Source: bosh-director event_log.rb.
    """

    time: int
    stage: str
    task: str
    state: str
    progress: int
    status: str = ""
    error: str = ""

    def line(self) -> str:
        """One line for a person who waits."""
        if self.error:
            return f"Error: {self.error}"
        task = short_instance(self.task)
        told = f"{self.stage}: {task}" if task != self.stage else self.stage
        if self.state == "started":
            return told
        if self.state == "in_progress":
            return f"{told} {self.progress} % {self.status}".rstrip()
        return f"{told} {self.state}"


def short_instance(text: str) -> str:
    """`bosh/0` for `bosh/3bc98394-f6bc-4700-b5fe-c8d0fb33ebe9 (0)`."""
    return _INSTANCE.sub(r"\1/\2", text)


def parse_events(text: str) -> list[Event]:
    """Events of a log as `bosh task N --event` prints it, one JSON object a line.

    A half-written last line of a running task is left for the next look.
    """
    events = []
    for raw in text.splitlines():
        try:
            item = json.loads(raw)
        except ValueError:
            continue
        if not isinstance(item, dict):
            continue
        error = item.get("error")
        events.append(
            Event(
                time=int(item.get("time", 0)),
                stage=item.get("stage", ""),
                task=item.get("task", ""),
                state=item.get("state", ""),
                progress=int(item.get("progress") or 0),
                status=(item.get("data") or {}).get("status", ""),
                error=error.get("message", "") if isinstance(error, dict) else "",
            )
        )
    return events


def progress_of(events: list[Event]) -> dict[str, object]:
    """Where a task is by its last event, percent from 0 to 100; empty without events."""
    last = next((event for event in reversed(events) if event.stage), None)
    if not last:
        return {}
    return {
        "stage": last.stage,
        "task": short_instance(last.task),
        "percent": last.progress,
        "status": last.status,
        "state": last.state,
    }


def error_of(events: list[Event]) -> str:
    """The message of the log's error event, or an empty string."""
    return next((event.error for event in reversed(events) if event.error), "")


def recreated_vms(events: list[Event]) -> list[str]:
    """What a `scan and fix` or `apply resolutions` task recreated, in BOSH's own words."""
    return [
        event.task
        for event in events
        if event.stage == "Applying problem resolutions" and event.state == "finished" and "Recreate VM" in event.task
    ]


def stage_seconds(events: list[Event]) -> dict[str, int]:
    """Seconds from the first to the last event of each stage, in order."""
    spans: dict[str, tuple[int, int]] = {}
    for event in events:
        if event.stage:
            first, _last = spans.get(event.stage, (event.time, event.time))
            spans[event.stage] = (first, event.time)
    return {stage: last - first for stage, (first, last) in spans.items()}
