# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables for a terminal; Markdown takes them, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .figures import Line

_HEAD = ("figure", "value", "against", "ratio", "target", "reached", "the limit, where it is not")


def of_figures(lines: Iterable[Line]) -> str:
    return _table([_HEAD, *(_row(line) for line in lines)])


def of_shares(shares: Iterable[dict[str, Any]], seconds: float) -> str:
    """Where a freeze went, the longest first; what took less than a tenth of a second is one row."""
    rows = sorted(shares, key=lambda share: -share["seconds"])
    long = [share for share in rows if share["seconds"] >= 0.1]
    short = sum(share["seconds"] for share in rows if share["seconds"] < 0.1)
    found: list[tuple[str, ...]] = [("role", "task", "seconds", "share")]
    found += [
        (share["role"], share["task"], f"{share['seconds']:.1f}", _part(share["seconds"], seconds)) for share in long
    ]
    if short:
        found.append(("", f"{len(rows) - len(long)} tasks of less than 0.1 s", f"{short:.1f}", _part(short, seconds)))
    return _table(found)


def _row(line: Line) -> tuple[str, ...]:
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    # As the issue has it: a tenth, and no 0.10.
    if line.target.startswith("<= 1/") and line.ratio:
        ratio = f"1/{1 / line.ratio:.1f}"
    reached = {None: "", True: "yes", False: "NO"}[line.reached]
    return line.figure, line.value, line.against, ratio, line.target, reached, line.limit


def _part(seconds: float, whole: float) -> str:
    return f"{100 * seconds / whole:.0f} %" if whole else ""


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows = [rows[0], tuple("-" * max(width, 3) for width in widths), *rows[1:]]
    return "\n".join(
        "| " + " | ".join(f"{cell:{max(width, 3)}}" for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
