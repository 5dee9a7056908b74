# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the BOSH CLI v7 prints with ``--json``, as typed values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure

_TASK_LINE = re.compile(r"^Task (\d+)$")
# When it began and ended, and the state that the sentence after it names, too.
_TASK_TIMES = re.compile(
    r"^Task \d+ (Started|Finished|Duration|done|error|cancelled|timeout|processing|cancelling)\b.*$\n?", re.MULTILINE
)
_INSTANCE_UPDATE = re.compile(r"^(Updating instance|Creating missing vms|Deleting unneeded instances|Recreating)\b")
# `bosh deploy` prints the diff line by line: two columns for the sign, then the manifest's own text.
_DIFF_LINE = re.compile(r"^[ +-] [^\n]*\n$")
#: Cause of a failure for output that is not what the CLI prints: "no rows" must never be read from it.
UNREADABLE = "unreadable_output"
_UNREADABLE_HINT = "run the command by hand: a wrapper of the CLI, or another program of its name, may answer"
# Colours and other control sequences of a terminal (ECMA-48), which a wrapper may add; the CLI's JSON has no raw ESC.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# Go's time.UnixDate (bosh-cli ui/fmt), and the director's own form (configs). English and UTC whatever the locale:
# strptime's %a and %b would follow LC_TIME, which AnsibleModule sets from the environment.
_STAMPS = (
    re.compile(
        r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>[0-9]{1,2}) "
        r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) (?:UTC|GMT|\+0000) (?P<year>[0-9]{4})"
    ),
    re.compile(
        r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[ T]"
        r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?: ?(?:UTC|GMT|Z|\+00:?00))"
    ),
)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Row(dict[str, str]):
    """One row of a table. A column that is absent is a BoshFailure, and no KeyError without a command."""

    def __init__(self, cells: dict[str, str], content: str, command: list[str]) -> None:
        super().__init__(cells)
        self._content, self._command = content, command

    def __missing__(self, column: str) -> str:
        raise unreadable(self._command, f"a row of the table `{self._content}` has no column `{column}`")


@dataclass(frozen=True)
class BoshOutput:
    """One answer of the CLI.

    ``lines`` and ``blocks`` keep BOSH's words; ``tables`` maps a table's content name to its rows.
    Source: bosh-cli ui/json.go, and the recorded outputs in tests/unit/fixtures/recorded.
    """

    lines: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    plain: str = ""
    #: Whether it is the CLI's JSON.
    parsed: bool = True
    #: The command that printed it, for failures.
    command: list[str] = field(default_factory=list)

    def rows(self, content: str) -> list[dict[str, str]]:
        """Rows of the table named content.

        The CLI prints a table without rows for "nothing" (bosh-cli cmd/tasks.go, locks.go, vms.go and others), so a
        table that is absent is no answer. Raises BoshFailure with the cause UNREADABLE.
        """
        if content not in self.tables:
            raise unreadable(self.command, f"it printed no table `{content}`")
        return [Row(row, content, self.command) for row in self.tables[content]]

    def has_table(self, content: str) -> bool:
        """Whether the table was printed, with rows or without."""
        return content in self.tables

    def first_row(self, content: str) -> dict[str, str]:
        """The first row of a table that has one at least, such as `config`. Raises BoshFailure."""
        rows = self.rows(content)
        if not rows:
            raise unreadable(self.command, f"its table `{content}` has no row")
        return rows[0]

    def text(self) -> str:
        """What `curl` and `interpolate` print: one block at least, which may be empty. Raises BoshFailure."""
        if not self.blocks:
            raise unreadable(self.command, "it printed no text")
        return "".join(self.blocks)

    def data(self) -> dict[str, Any]:
        """The JSON object that the director's API returned to `curl`. Raises BoshFailure."""
        try:
            data = json.loads(self.text())
        except ValueError:
            data = None
        if not isinstance(data, dict):
            # Not quoted: it may hold a manifest with its secrets.
            raise unreadable(self.command, "what answered is no director: it sent no JSON object")
        return data

    def task_ids(self) -> list[int]:
        """Ids of the tasks that the command started or followed, in order."""
        return [int(match.group(1)) for line in self.lines if (match := _TASK_LINE.match(line))]

    def diff_lines(self) -> list[str]:
        """Lines of the manifest diff that `bosh deploy` printed, values redacted by BOSH."""
        return [line.rstrip("\n") for line in self.lines if _DIFF_LINE.match(line)]

    def changed_lines(self) -> list[str]:
        """Only the added and removed lines of the diff."""
        return [line for line in self.diff_lines() if line[:1] in "+-"]

    def touched_instances(self) -> bool:
        """True when the task's stages say that an instance was created, updated or deleted."""
        return any(_INSTANCE_UPDATE.match(block) for block in self.blocks)

    def message(self) -> str:
        """BOSH's own words about a failure: without greeting, tasks' times and exit code, each error once."""
        skipped = ("Using environment", "Using deployment", "Exit code", "Succeeded")
        words = [_TASK_TIMES.sub("", line).strip() for line in self.lines if not line.startswith(skipped)]
        errors = [block.strip() for block in self.blocks if block.lstrip().startswith(("Error:", "L Error:"))]
        # A stage's error comes again as the task's own.
        errors = [one for one in errors if not any(_is_within(one, other) for other in errors)]
        said = [word for word in errors + words if word and not _TASK_LINE.match(word)]
        return "\n".join(said) or self.plain.strip()


def _is_within(stage: str, other: str) -> bool:
    return stage.startswith("L Error: ") and other is not stage and other.endswith(stage.removeprefix("L Error: "))


def unreadable(command: list[str], words: str, rc: int = 0) -> BoshFailure:
    """The failure for output that is not what the CLI prints for this command."""
    return BoshFailure(command or ["bosh"], rc, words, cause=UNREADABLE, hint=_UNREADABLE_HINT)


def parse_output(text: str) -> BoshOutput:
    """Parse what the CLI wrote to stdout.

    Wrappers of the CLI print before and after its JSON, some of them JSON too, so every JSON object at the top level
    is looked at, and only those of the CLI's own form count. Of several of them the tables and blocks of the last
    one count, and the lines of all.

    Text without any (an unknown command, a Go panic, JSON that was cut off) is kept in ``plain`` and as ``lines``:
    the CLI does not print JSON before it knows the command.
    """
    answers = [_answer(found) for found in _objects(_TERMINAL.sub("", text)) if _is_answer(found)]
    if not answers:
        return BoshOutput(lines=text.splitlines(), plain=text, parsed=False)
    merged = answers[0]
    for answer in answers[1:]:
        merged = replace(
            answer,
            lines=merged.lines + answer.lines,
            blocks=answer.blocks or merged.blocks,
            tables=merged.tables | answer.tables,
        )
    return merged


def _objects(text: str) -> Iterator[Any]:
    """Every JSON object at the top level of a text that has other things between them."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
            yield found
        except ValueError:
            end = at + 1
        except RecursionError:
            # Nothing of the CLI's is nested so deep.
            return
        at = text.find("{", end)


def _is_answer(data: dict[str, Any]) -> bool:
    """Whether it is of the CLI's form: three lists, each null where it is empty (bosh-cli ui/json_ui.go, uiResp)."""
    if not {"Tables", "Blocks", "Lines"} <= data.keys():
        return False
    texts = [*(data["Blocks"] or []), *(data["Lines"] or [])] if _are_lists(data, "Blocks", "Lines", "Tables") else [0]
    return all(isinstance(text, str) for text in texts) and all(_is_table(table) for table in data["Tables"] or [])


def _are_lists(data: dict[str, Any], *keys: str) -> bool:
    return all(data[key] is None or isinstance(data[key], list) for key in keys)


def _is_table(table: Any) -> bool:
    if not isinstance(table, dict) or not isinstance(table.get("Content"), str) or "Rows" not in table:
        return False
    rows = table["Rows"]
    return rows is None or (isinstance(rows, list) and all(_is_row(row) for row in rows))


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(cell, str) for cell in row.values())


def _answer(data: dict[str, Any]) -> BoshOutput:
    # `bosh vms` of several deployments prints a table of the same name for each.
    tables: dict[str, list[dict[str, str]]] = {}
    for table in data["Tables"] or []:
        tables.setdefault(table["Content"], []).extend(table["Rows"] or [])
    return BoshOutput(lines=data["Lines"] or [], blocks=data["Blocks"] or [], tables=tables)


def epoch(stamp: str) -> int | None:
    """Seconds since 1970 of one of BOSH's UTC stamps, whatever the locale and time zone; None for `-` and "".

    Raises ValueError for a stamp of another form: a time that is not known must not pass as "not yet".
    """
    wanted = stamp.strip()
    if wanted in ("", "-"):
        return None
    for form in _STAMPS:
        if found := form.fullmatch(wanted):
            try:
                return _seconds(found.groupdict())
            except ValueError:
                break
    raise ValueError(f"{stamp!r} is no time as the CLI prints it, such as `Tue Dec  1 13:40:46 UTC 2026`")


def _seconds(parts: dict[str, str]) -> int:
    name = parts.pop("month")
    month = int(name) if name.isdigit() else _MONTHS.index(name) + 1
    numbers = {key: int(value) for key, value in parts.items()}
    return int(datetime(month=month, tzinfo=UTC, **numbers).timestamp())


def utc_stamp(seconds: int) -> str:
    """Seconds since 1970 as `bosh tasks` prints them."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[at.weekday()]} {_MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S} UTC {at.year:04d}"


def split_lines(cell: str) -> list[str]:
    """The values of a cell that BOSH fills with one value a line, such as IPs or disk CIDs."""
    return [part.strip() for part in cell.splitlines() if part.strip()]


def without_marks(cell: str) -> tuple[str, bool]:
    """A version without BOSH's `*` (currently deployed) and `+` marks, and whether it is deployed."""
    return cell.rstrip("*+"), cell.endswith("*")
