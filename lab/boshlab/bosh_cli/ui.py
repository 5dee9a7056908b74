# SPDX-License-Identifier: GPL-3.0-or-later
"""What the CLI prints: text for people, or one JSON document of Tables, Blocks and Lines at the end.

Shapes and wording follow what the real CLI v7.10 printed (lab/tests/contract/recorded).
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from boshlab.bosh_cli.errors import BoshError


def duration(seconds: float) -> str:
    """Whole seconds as HH:MM:SS."""
    total = int(seconds)
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"


def full_time(stamp: float | None) -> str:
    """Unix seconds as the CLI prints a time, e.g. ``Sat Nov 21 01:23:25 UTC 2026``; empty for none or 0."""
    if not stamp:
        return ""
    moment = datetime.fromtimestamp(int(stamp), UTC)
    return f"{moment:%a %b} {moment.day:2d} {moment:%H:%M:%S} UTC {moment.year}"


def hours(stamp: float) -> str:
    """Unix seconds as HH:MM:SS in UTC."""
    return f"{datetime.fromtimestamp(int(stamp), UTC):%H:%M:%S}"


def human_size(size: int, *, binary: bool = False) -> str:
    """Bytes for people: ``1.9 GB`` in powers of 1000, ``64 GiB`` in powers of 1024."""
    base = 1024 if binary else 1000
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] if binary else ["B", "kB", "MB", "GB", "TB", "PB"]
    if size < 10:
        return f"{size} B"
    value, unit = float(size), 0
    while value >= base and unit < len(units) - 1:
        value, unit = value / base, unit + 1
    value = int(value * 10 + 0.5) / 10
    return f"{value:.1f} {units[unit]}" if value < 10 else f"{value:.0f} {units[unit]}"


def header_key(title: str, index: int) -> str:
    """JSON key of a column title; a title without letters and digits is known by its place."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or str(index)


@dataclass
class Table:
    """One table; ``transpose`` only changes the text form."""

    content: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] | None = None
    title: str = ""
    transpose: bool = False


class UI:
    """Prints at once in text mode; collects and prints one document in JSON mode."""

    def __init__(
        self,
        *,
        json_mode: bool,
        interactive: bool,
        columns: Sequence[str] = (),
        tty: bool | None = None,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.json_mode = json_mode
        self.interactive = interactive
        self.columns = list(columns)
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        # without a terminal the CLI prints only tables (tab separated) and blocks, as scripts want it
        self.tty = self.out.isatty() if tty is None else tty
        self._tables: list[dict[str, Any]] = []
        self._blocks: list[str] = []
        self._lines: list[str] = []

    def line(self, text: str) -> None:
        """A line of its own."""
        if self.json_mode:
            self._lines.append(text)
        elif self.tty:
            self._write(self.out, text + "\n")

    def error_line(self, text: str) -> None:
        """A line on stderr; with ``--json`` it is among the Lines on stdout."""
        if self.json_mode:
            self._lines.append(text)
        else:
            self._write(self.err, text + "\n")

    def begin(self, text: str) -> None:
        """The beginning of a line (the text ends it itself, if at all)."""
        if self.json_mode:
            self._lines.append(text)
        elif self.tty:
            self._write(self.out, text)

    def end(self, text: str) -> None:
        """The end of a line."""
        self.line(text)

    def block(self, text: str) -> None:
        """Output as it is."""
        if self.json_mode:
            self._blocks.append(text)
        else:
            self._write(self.out, text)

    def table(self, table: Table) -> None:
        """A table, with only the columns of ``--column`` if any were given."""
        if self.json_mode:
            keys = [header_key(title, index) for index, title in enumerate(table.header)]
            self._tables.append(
                {
                    "Content": table.content,
                    "Header": dict(sorted(zip(keys, table.header, strict=True))),
                    "Rows": [dict(sorted(zip(keys, row, strict=True))) for row in table.rows],
                    "Notes": table.notes,
                }
            )
            return
        self._write(self.out, self._text_table(table))

    def _text_table(self, table: Table) -> str:
        header, rows = table.header, table.rows
        if self.columns:
            wanted = [header_key(column, 0) for column in self.columns]
            places = [i for i, title in enumerate(header) if header_key(title, i) in wanted]
            header, rows = [header[i] for i in places], [[row[i] for i in places] for row in rows]
        cells = [[cell.replace("\n", " ") for cell in row] for row in rows]
        titles = [title.replace("\n", " ") for title in header]
        if not self.tty:
            if table.transpose:
                return "".join(f"{t}\t{c}\n" for row in cells for t, c in zip(titles, row, strict=True))
            return "".join("\t".join(row) + "\t\n" for row in cells)
        if table.transpose:
            wide = max((len(t) for t in titles), default=0)
            text = ""
            for row in rows:
                for title, cell in zip(titles, row, strict=True):
                    first, *more = cell.split("\n")
                    text += f"{title:<{wide}}  {first}\n" + "".join(f"{'':<{wide}}  {line}\n" for line in more)
            return f"\n{text}\n"
        widths = [max([len(t), *(len(row[i]) for row in cells)]) for i, t in enumerate(titles)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)) for r in [titles, *cells]]
        text = (f"{table.title}\n\n" if table.title else "") + "\n".join(lines) + "\n"
        for note in table.notes or []:
            text += f"\n{note}"
        return f"\n{text}\n{len(rows)} {table.content}\n\n"

    def confirm(self) -> None:
        """Ask whether to go on, unless ``-n`` was given. Raises BoshError when the answer is no."""
        if not self.interactive:
            return
        if self.json_mode:
            raise BoshError("Cannot ask for confirmation in JSON UI")
        self._write(self.out, "\nContinue? [yN]: ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise BoshError("Stopped")

    def flush(self) -> None:
        """Print the JSON document, if there is anything to print."""
        if self.json_mode and (self._tables or self._blocks or self._lines):
            document = {
                "Tables": self._tables or None,
                "Blocks": self._blocks or None,
                "Lines": self._lines or None,
            }
            self._write(self.out, json.dumps(document, indent=4, ensure_ascii=False))

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()


class SkipStage(BoshError):
    """A step that had nothing to do; the stage prints it as skipped and goes on."""

    def __init__(self, why: str, cause: str) -> None:
        super().__init__(f"{why}: {cause}")
        self.why, self.cause = why, cause


class Stage:
    """Progress of ``create-env`` and ``delete-env``: ``Started validating``, ``Finished deploying (00:00:40)``."""

    def __init__(self, ui: UI, depth: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.ui, self.depth, self.clock = ui, depth, clock
        # a blank line stands only where a step follows a complex one
        self._simple = True

    def _pad(self) -> str:
        return "  " * self.depth

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One simple step on one line."""
        if not self._simple:
            self.ui.begin(f"{self._pad()}\n")
        self._simple = True
        self.ui.begin(f"{self._pad()}{name}...")
        start = self.clock()
        try:
            yield
        except SkipStage as skip:
            self.ui.end(f" Skipped [{skip.why}] ({duration(self.clock() - start)})")
        except BaseException:
            self.ui.end(f" Failed ({duration(self.clock() - start)})")
            raise
        else:
            self.ui.end(f" Finished ({duration(self.clock() - start)})")

    @contextmanager
    def complex(self, name: str) -> Iterator[Stage]:
        """A step made of steps."""
        self.ui.begin(f"{self._pad()}\n")
        self._simple = False
        self.ui.begin(f"{self._pad()}Started {name}\n")
        start = self.clock()
        try:
            yield Stage(self.ui, self.depth + 1, self.clock)
        except BaseException:
            self.ui.begin(f"{self._pad()}Failed {name} ({duration(self.clock() - start)})\n")
            raise
        self.ui.begin(f"{self._pad()}Finished {name} ({duration(self.clock() - start)})\n")


class Reporter:
    """Turns a task's events into the CLI's progress blocks; with ``events=False`` prints the output as it is."""

    def __init__(self, ui: UI, *, events: bool) -> None:
        self.ui, self.events = ui, events
        self._seen: list[dict[str, Any]] = []
        self._tasks = 0
        self._last: dict[str, Any] | None = None
        self._rest = ""
        self._output = False

    def started(self, task: int) -> None:
        """A task begins."""
        if self._tasks:
            self.ui.end("")
        self._tasks += 1
        self._seen, self._rest, self._output, self._last = [], "", False, None
        self.ui.begin(f"Task {task}")

    def chunk(self, task: int, text: str) -> None:
        """More output of the task."""
        if not text:
            return
        if not self._output:
            self.ui.begin("\n")
            if not self.events:
                self.ui.begin("\n")
            self._output = True
        if not self.events:
            self.ui.block(text)
            return
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line:
                self._event(task, json.loads(line))

    def finished(self, task: int, state: str) -> None:
        """The task ended in this state."""
        if self._seen:
            first, last = self._seen[0]["time"], self._seen[-1]["time"]
            self.ui.begin(
                f"\n\nTask {task} Started  {full_time(first)}\nTask {task} Finished {full_time(last)}\n"
                f"Task {task} Duration {duration(last - first)}"
            )
        if self._output:
            self.ui.begin(f"\nTask {task} {state}\n")
        else:
            self.ui.end(f". {state.capitalize()}")

    @staticmethod
    def _same(one: dict[str, Any] | None, other: dict[str, Any]) -> bool:
        if one is None or not one.get("stage"):
            return False
        keys = ("stage", "task")
        return all(one.get(k) == other.get(k) for k in keys) and (one.get("tags") or []) == (other.get("tags") or [])

    def _event(self, task: int, event: dict[str, Any]) -> None:
        start = next((seen for seen in self._seen if self._same(seen, event)), None)
        took = duration(event["time"] - start["time"]) if start else ""
        prefix = f"\nTask {task} | {hours(event['time'])} | "
        state, name, data = event.get("state"), event.get("task", ""), event.get("data") or {}
        failure = f"\n     {' ' * len(str(task))}            L Error: {data.get('error', '')}"
        block = self.ui.block
        if self._same(self._last, event):
            if state == "finished":
                block(f" ({took})")
            elif state == "in_progress":
                block(prefix)
                block(f"L {data.get('status', '')}: {name}")
            elif state == "failed":
                block(f" ({took})")
                block(failure)
        else:
            stage = event.get("stage") or ""
            title = f"{stage} {', '.join(event['tags'])}" if event.get("tags") else stage
            if event.get("type") in ("deprecation", "warning"):
                block(prefix)
                block(f"{event['type'].capitalize()}: {event.get('message', '')}")
            elif state == "started":
                block(prefix)
                block(f"{title}: {name}")
            elif state == "in_progress":
                block(prefix)
                block(f"{title}: {name}")
                block(prefix)
                block(f"L {data.get('status', '')}: {name}")
            elif state in ("finished", "failed"):
                block(prefix)
                block(f"{title}: {name} ({took})")
                if state == "failed":
                    block(failure)
            elif event.get("error"):
                block(prefix)
                block(f"Error: {event['error'].get('message', '')}")
        self._seen.append(event)
        self._last = event
