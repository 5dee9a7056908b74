# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/what-can-go-wrong.md, from the cases."""

from __future__ import annotations

from collections.abc import Iterable

from chaos.case import Case, Chain

HEAD = """# What can go wrong, and what you do

Each row is a case that `make chaos` plays on the lab, with a store that is written to while the run goes on; the last
column names it. A case counts as held only if, besides what the row says, every row and blob that was committed at
Micro is on the surviving side, never two PostgreSQLs or directors worked on the same data at a time, no key of ours is
left, and `sshd_config` is what it was.

Whatever it is: **start it again.** Every run asks hosts and directors how far it is, and goes on from there. Until
Micro is destroyed `playbooks/rollback.yml` goes back to it instead.

This page is made from `tests/chaos/cases.py` by `make chaos-docs`; a unit test compares both.
"""


def page(cases: Iterable[Case | Chain]) -> str:
    """A section for each group, with a row for each thing that happens; cases that differ by little share one."""
    groups: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for case in cases:
        groups.setdefault(case.group, {}).setdefault((case.what, case.it, case.you), []).append(case.name)
    parts = [HEAD]
    for group, rows in groups.items():
        parts.append(f"\n## {group}\n\n| what happens | what the run does | what you do | cases |\n|---|---|---|---|\n")
        for (what, it, you), names in rows.items():
            parts.append(f"| {what} | {it} | {you} | {', '.join(f'`{name}`' for name in names)} |\n")
    return "".join(parts)
