# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table at the end."""

from __future__ import annotations

from chaos.case import Told


def verdict(told: Told) -> str:
    if not told.here:
        return "not here"
    return "held" if told.held else "NOT HELD"


def table(all_told: list[Told]) -> str:
    """A line for each case, and the counts of tried and held."""
    width = max([len(told.case) for told in all_told] + [4])
    lines = [f"{'case':{width}}  {'':8}  {'faults':>6}  {'s':>5}  why"]
    for told in all_told:
        why = " ".join(told.why.split())
        lines.append(f"{told.case:{width}}  {verdict(told):8}  {told.faults:6}  {told.seconds:5.0f}  {why}".rstrip())
    tried = [told for told in all_told if told.here]
    held = [told for told in tried if told.held]
    away = len(all_told) - len(tried)
    lines.append(
        f"{len(tried)} cases tried with {sum(told.faults for told in tried)} faults, {len(held)} held"
        + (f"; {away} not here" if away else "")
    )
    return "\n".join(lines)


def good(all_told: list[Told]) -> bool:
    """Whether every case that was tried held, and there was one."""
    tried = [told for told in all_told if told.here]
    return bool(tried) and all(told.held for told in tried)
