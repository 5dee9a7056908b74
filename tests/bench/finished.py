# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run on a finished pair, against the calls of `bosh` that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import handover, lab, playbook, timeline

WRAPPER = Path(__file__).resolve().parent / "bin"
_REST = "recreate_primary,prove_resurrection,destroy_micro,target_primary"


def measure(rounds: int) -> dict[str, Any]:
    """From the pair that watches each other to the end, then runs that change nothing."""
    lab.lab("restore", handover.MUTUAL)
    lab.say("finished: the proofs, and Micro goes")
    playbook.migrate("finish", _REST)
    return {"runs": [_again(number + 1) for number in range(rounds)]}


def _again(number: int) -> dict[str, Any]:
    log = lab.CACHE / f"bosh-calls-{number}.log"
    log.unlink(missing_ok=True)
    run = playbook.migrate(f"finished-{number}", "", path=WRAPPER, environment={"BENCH_BOSH_CALLS": str(log)})
    told = [event for event in run.events if event["event"] == "playbook_on_stats"]
    changed = sum((told[-1]["event_data"].get("changed") or {}).values()) if told else -1
    found = calls(log.read_text(encoding="utf-8"))
    lab.say(f"finished: {run.seconds:.1f} s, {len(found)} calls of bosh in {sum(found):.1f} s, {changed} changed")
    tasks = run.tasks
    return {
        "seconds": round(run.seconds, 2),
        "calls": len(found),
        "calls_seconds": round(sum(found), 2),
        "changed": changed,
        "tasks": len(tasks),
        "shares": timeline.shares(tasks, 0, float("inf")),
    }


def calls(log: str) -> list[float]:
    """Seconds of each call; a line is `began ended`, both in seconds since 1970."""
    found = []
    for line in log.splitlines():
        began, ended = line.split()[:2]
        found.append(float(ended) - float(began))
    return found
