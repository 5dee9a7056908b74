# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make chaos`: every fault in a migration on the lab. Exit code 1 if a case does not hold.

PYTHONPATH=tests python -m chaos [--sample] [--only REGEX] [--break GUARD] ...
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from chaos.breaks import break_guard
from chaos.case import Case, Chain, Told
from chaos.cases import BREAKS, CASES
from chaos.harness import Harness
from chaos.page import page
from chaos.table import good, table

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "chaos"
PAGE = ROOT / "docs" / "what-can-go-wrong.md"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Faults in a migration on the lab.")
    parser.add_argument("--list", action="store_true", help="the cases, and nothing else")
    parser.add_argument("--docs", action="store_true", help="write the page of the documentation, and nothing else")
    parser.add_argument("--sample", action="store_true", help="only what is part of `make test`")
    parser.add_argument("--only", default="", metavar="REGEX", help="only cases with such a name")
    parser.add_argument("--kill-every", type=int, default=1, metavar="N", help="at every Nth boundary between tasks")
    parser.add_argument("--kill-at", default="", metavar="NAME", help="only at tasks with this name")
    parser.add_argument("--reuse", action="store_true", help="take snapshots of the lab that an earlier call left")
    parser.add_argument(
        "--deployed", default="", metavar="SNAPSHOT", help="of three directors, instead of deploying them"
    )
    guards = [one.guard for one in BREAKS]
    parser.add_argument("--break", dest="guard", choices=[*guards, "all"], help="without a guard: its case must fail")
    parser.add_argument("--minutes", type=float, default=0, help="begin no case after so many")
    return parser.parse_args()


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def chosen(wanted: argparse.Namespace) -> list[Case | Chain]:
    """In the order of the page."""
    return [case for case in CASES if re.search(wanted.only, case.name) and (case.sample or not wanted.sample)]


def play_all(harness: Harness, cases: list[Case | Chain], minutes: float) -> list[Told]:
    all_told: list[Told] = []
    began = time.monotonic()
    try:
        for case in cases:
            if minutes and time.monotonic() - began > minutes * 60:
                say(f"{len(cases) - len(all_told)} cases were not begun in {minutes:g} minutes")
                break
            say(f"{case.name}: {case.what}")
            told = harness.play(case)
            all_told.append(told)
            say(table([told]).splitlines()[1])
            with (CACHE / "told.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(told) | {"at": time.time()}) + "\n")
    finally:
        harness.mend(None)
    return all_told


def broken_guards(harness: Harness, guard: str) -> list[Told]:
    """A guard's case must not hold without it. Told as held where it failed, so that the table counts what is shown."""
    found = []
    for what in BREAKS:
        if guard not in (what.guard, "all"):
            continue
        harness.collections = break_guard(what, ROOT, CACHE)
        harness.playbooks = harness.collections / "ansible_collections" / "bosh" / "ha"
        case = next(case for case in CASES if case.name == what.case)
        say(f"without {what.guard}: {case.name} must fail")
        [told] = play_all(harness, [case], 0)
        seen = not told.held and bool(re.search(what.shows, told.why))
        why = f"it fails, as it should: {told.why}" if seen else f"this shows nothing: {told.why or 'the case holds'}"
        found.append(Told(f"without {what.guard}: {told.case}", seen, told.seconds, told.faults, why, told.here))
    return found


def main() -> int:
    wanted = options()
    if wanted.list:
        print("\n".join(f"{case.name:30}{case.what}" for case in chosen(wanted)))
        return 0
    if wanted.docs:
        PAGE.write_text(page(CASES), encoding="utf-8")
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    # So that what was begun is ended, too.
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(1))
    harness = Harness(
        root=ROOT,
        cache=CACHE,
        collections=Path(os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0]),
        say=say,
        again=not wanted.reuse,
        every=wanted.kill_every,
        at=wanted.kill_at,
        deployed=wanted.deployed,
    )
    all_told = (
        broken_guards(harness, wanted.guard) if wanted.guard else play_all(harness, chosen(wanted), wanted.minutes)
    )
    print(table(all_told))
    return 0 if good(all_told) else 1


if __name__ == "__main__":
    sys.exit(main())
