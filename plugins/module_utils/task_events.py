# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A BOSH task's event log: which stage it is in, how far, and how it ended."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_INSTANCE = re.compile(r"\b([\w-]+)/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} \((\d+)\)")


@dataclass(frozen=True)
class Event:
    """One line of a task's event log.

    ``time`` is in seconds since 1970, ``progress`` in percent. An entry of a stage has ``stage``, ``task`` and
    ``state``, and ``failure`` where that step failed; a ``warning`` or ``deprecation`` has ``kind`` and ``message``
    only; the end of a task that failed has ``error`` only.
    Sources: bosh-director event_log.rb, bosh-cli ui/task/event.go and reporter.go (v7.10.6).
    """

    time: int
    stage: str
    task: str
    state: str
    progress: int
    status: str = ""
    error: str = ""
    kind: str = ""
    message: str = ""
    tags: tuple[str, ...] = ()
    failure: str = ""

    def line(self) -> str:
        """One line for a person who waits, in the CLI's words; never empty for an event of `parse_events`."""
        if self.message:
            return f"{self.kind[:1].upper()}{self.kind[1:]}: {self.message}" if self.kind else self.message
        if self.error:
            return f"Error: {_text(self.error)}"
        task = short_instance(self.task)
        stage = " ".join(word for word in (self.stage, ", ".join(self.tags)) if word)
        told = ": ".join(dict.fromkeys(word for word in (stage, task) if word))
        if self.state == "in_progress":
            return f"{told} {self.progress} % {self.status}".rstrip()
        if self.state == "failed" and self.failure:
            return f"{told} failed: {self.failure}"
        return told if self.state == "started" else f"{told} {self.state}".rstrip()


def short_instance(text: str) -> str:
    """`bosh/0` for `bosh/3bc98394-f6bc-4700-b5fe-c8d0fb33ebe9 (0)`."""
    return _INSTANCE.sub(r"\1/\2", text)


def parse_events(text: str) -> list[Event]:
    """Events of a log as `bosh task N --event` prints it, one JSON object a line.

    A half-written last line of a running task is left for the next look. A whole line that is no JSON object is kept as
    a message; one that has nothing to show is left out, as the CLI does.
    """
    events = []
    for raw in text.splitlines(keepends=True):
        try:
            item = json.loads(raw)
        except ValueError:
            item = {"message": raw} if raw.endswith(("\n", "\r")) else {}
        if not isinstance(item, dict):
            item = {"message": raw}
        event = _event(item)
        if event.stage or event.task or event.message or event.error:
            events.append(event)
    return events


def _event(item: dict[str, Any]) -> Event:
    data, error, tags = item.get("data"), item.get("error"), item.get("tags")
    data = data if isinstance(data, dict) else {}
    if isinstance(error, dict):
        error = error.get("message") or error.get("code") or json.dumps(error)
    return Event(
        time=_number(item.get("time")),
        stage=_text(item.get("stage")),
        task=_text(item.get("task")),
        state=_text(item.get("state")),
        progress=_number(item.get("progress")),
        status=_text(data.get("status")),
        # As it is: a failure's own words have it, too.
        error=str(error or "").strip(),
        kind=_text(item.get("type")),
        message=_text(item.get("message")),
        tags=tuple(_text(tag) for tag in tags if _text(tag)) if isinstance(tags, list) else (),
        failure=_text(data.get("error")),
    )


def _text(value: Any) -> str:
    """A value in one line; empty for none."""
    return " ".join(str(value).split()) if value not in (None, "", [], {}) else ""


def _number(value: Any) -> int:
    try:
        return int(float(value or 0))
    except (TypeError, ValueError, OverflowError):
        return 0


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
