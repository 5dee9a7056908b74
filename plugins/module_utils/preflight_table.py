# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings of the preflight as text of a fixed width."""

from __future__ import annotations

import textwrap

from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import ERROR, VERDICTS, WARNING, Finding

#: Keys, headings, and how wide each column is at most; with two blanks between them 120 characters.
_COLUMNS = (
    ("what", "what", 25),
    ("source", "source (Micro)", 22),
    ("target", "target (Meta)", 22),
    ("verdict", "verdict", 7),
    ("do", "what to do", 36),
)


def table(findings: list[Finding]) -> list[str]:
    """A line for each row, more where a cell is longer than its column, and the count of the verdicts."""
    rows = [{key: heading for key, heading, _most in _COLUMNS}, *findings]
    widths = [min(most, max(len(row[key]) for row in rows)) for key, _heading, most in _COLUMNS]
    lines = [*_row(rows[0], widths), "  ".join("-" * width for width in widths)]
    for row in findings:
        lines += _row(row, widths)
    return [*lines, summary(findings)]


def summary(findings: list[Finding]) -> str:
    """How many of each verdict there are, the worst first."""
    verdicts = [row["verdict"] for row in findings]
    counts = {verdict: verdicts.count(verdict) for verdict in reversed(VERDICTS) if verdict in verdicts}
    told = [
        f"{count} {verdict}{'s' * (count > 1 and verdict in (WARNING, ERROR))}" for verdict, count in counts.items()
    ]
    return ", ".join(told) or "nothing was compared"


def _row(row: Finding, widths: list[int]) -> list[str]:
    cells = [textwrap.wrap(row[key], width) or [""] for (key, _h, _m), width in zip(_COLUMNS, widths, strict=True)]
    height = max(len(cell) for cell in cells)
    padded = [cell + [""] * (height - len(cell)) for cell in cells]
    return [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    ]
