# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the BOSH CLI v7 prints with ``--json``, as typed values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

_TASK_LINE = re.compile(r"^Task (\d+)$")
# When it began and ended, and the state that the sentence after it names, too.
_TASK_TIMES = re.compile(
    r"^Task \d+ (Started|Finished|Duration|done|error|cancelled|timeout|processing|cancelling)\b.*$\n?", re.MULTILINE
)
_INSTANCE_UPDATE = re.compile(r"^(Updating instance|Creating missing vms|Deleting unneeded instances|Recreating)\b")
# `bosh deploy` prints the diff line by line: two columns for the sign, then the manifest's own text.
_DIFF_LINE = re.compile(r"^[ +-] [^\n]*\n$")
_STAMP_FORMATS = ("%a %b %d %H:%M:%S UTC %Y", "%Y-%m-%d %H:%M:%S UTC")


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

    def rows(self, content: str) -> list[dict[str, str]]:
        """Rows of the table named content; an empty list where BOSH printed none."""
        return self.tables.get(content, [])

    def first_row(self, content: str) -> dict[str, str]:
        """The single row of a table, or an empty dict."""
        rows = self.rows(content)
        return rows[0] if rows else {}

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


def parse_output(text: str) -> BoshOutput:
    """Parse what the CLI wrote to stdout.

    Plain text (an unknown command, a Go panic) is kept in ``plain`` and as ``lines``: the CLI does
    not print JSON before it knows the command.
    """
    start = text.find("{")
    if start < 0:
        return BoshOutput(lines=text.splitlines(), plain=text)
    try:
        data = json.loads(text[start:])
    except ValueError:
        return BoshOutput(lines=text.splitlines(), plain=text)
    if not isinstance(data, dict) or "Lines" not in data:
        return BoshOutput(lines=text.splitlines(), plain=text)
    # `bosh vms` of several deployments prints a table of the same name for each.
    tables: dict[str, list[dict[str, str]]] = {}
    for table in data.get("Tables") or []:
        tables.setdefault(table["Content"], []).extend(table.get("Rows") or [])
    return BoshOutput(lines=data.get("Lines") or [], blocks=data.get("Blocks") or [], tables=tables)


def epoch(stamp: str) -> int | None:
    """Seconds since 1970 of one of BOSH's UTC stamps; None for `-` and the empty string."""
    for form in _STAMP_FORMATS:
        try:
            return int(datetime.strptime(stamp.strip(), form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def utc_stamp(seconds: int) -> str:
    """Seconds since 1970 as `bosh tasks` prints them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%a %b %e %H:%M:%S UTC %Y")


def split_lines(cell: str) -> list[str]:
    """The values of a cell that BOSH fills with one value a line, such as IPs or disk CIDs."""
    return [part.strip() for part in cell.splitlines() if part.strip()]


def without_marks(cell: str) -> tuple[str, bool]:
    """A version without BOSH's `*` (currently deployed) and `+` marks, and whether it is deployed."""
    return cell.rstrip("*+"), cell.endswith("*")
