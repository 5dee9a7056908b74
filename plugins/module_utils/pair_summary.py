# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person is told at the end of a run."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NEXT, known_phase


def step_seconds(began: list[dict[str, Any]], now: float) -> list[str]:
    """A line for each step with the seconds that it took; `began` has each step's name and when it began."""
    if not began:
        return []
    ends = [step["at"] for step in began[1:]] + [now]
    lines = [f"{end - step['at']:4.0f} s  {step['step']}" for step, end in zip(began, ends, strict=True)]
    return [*lines, f"{now - began[0]['at']:4.0f} s  in all"]


def pair_summary(
    seen: dict[str, Any],
    phase: str,
    directors: dict[str, Any],
    proofs: dict[str, list[dict[str, Any]]],
    backups: dict[str, list[dict[str, Any]]] | None = None,
) -> list[str]:
    """Who deploys and watches whom, what was proved, what became of Micro, and where the last backups are.

    `seen` is what the phase was judged from, `proofs` those of pair_facts.history_of, by the name of the director that
    was resurrected, `backups` what M(bosh.ha.bbr_backups) told, by the name of the director.
    Raises ValueError where there is no such phase.
    """
    after = NEXT[known_phase(phase)]
    lines = []
    for by, of in (("micro", "primary"), ("primary", "meta"), ("meta", "primary")):
        if seen["names"][of] in seen["known"][by]:
            watches = " and watches" if seen["settled"] and by != "micro" else ""
            lines.append(f"{by} ({directors[by]['address']}) deploys{watches} {seen['names'][of]}")
    for of, by in (("primary", "meta"), ("meta", "primary")):
        lines += [_proof(by, of, proof) for proof in proofs.get(of, [])[:1]]
    if phase == "micro_gone":
        lines.append(f"micro ({directors['micro']['address']}) is gone")
    lines += [_backup(name, told[0]) for name, told in (backups or {}).items() if told]
    if seen.get("reason"):
        lines.append(seen["reason"])
    return [*lines, f"phase: {phase}; next is {after}"]


def _proof(by: str, of: str, proof: dict[str, Any]) -> str:
    told = f"{by} resurrected {of} in task {proof['task']}, {proof['at']}"
    if proof["back"] is None:
        return told
    return f"{told}: detected after {proof['detected']} s, back after {proof['back']} s"


def _backup(name: str, backup: dict[str, Any]) -> str:
    tried = "rehearsed" if backup["rehearsed"] else "not rehearsed yet"
    return f"last backup of {name}: {backup['path']}, begun {backup['begun']}, {tried}"
