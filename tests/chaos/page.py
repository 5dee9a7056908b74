# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/what-can-go-wrong.md, from the cases."""

from __future__ import annotations

from collections.abc import Iterable

from chaos.case import Case, Chain

HEAD = """# What can go wrong, and what you do

`make chaos` plays each of these cases on the lab, with a store that is written to while the run goes on; the last
column names them. A case counts as held only if, besides what the row says, every row and blob that was committed at
Micro is on the surviving side, never two PostgreSQLs or directors worked on the same data at a time, no key of ours is
left, and `sshd_config` is what it was.

Whatever it is: **start it again.** Every run asks hosts and directors how far it is, and goes on from there. Until
Micro is destroyed `playbooks/rollback.yml` goes back to it instead.

This page is made from `tests/chaos/cases.py` by `make chaos-docs`; a unit test compares both.
"""


def page(cases: Iterable[Case | Chain]) -> str:
    """A section for each group; cases that go the same way and ask for the same share a row."""
    groups: dict[str, dict[tuple[str, str], list[Case | Chain]]] = {}
    for case in cases:
        groups.setdefault(case.group, {}).setdefault((case.it, case.you), []).append(case)
    parts = [HEAD]
    for group, rows in groups.items():
        parts.append(f"\n## {group}\n\n| what happens | what the run does | what you do | cases |\n|---|---|---|---|\n")
        for (it, you), alike in rows.items():
            whats = "<br>".join(dict.fromkeys(case.what for case in alike))
            parts.append(f"| {whats} | {it} | {you} | {', '.join(f'`{case.name}`' for case in alike)} |\n")
    return "".join(parts)
