# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench`: measures on the lab, and prints a table of ratios. It resets the lab."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import copies, figures, finished, freeze, handover, lab, machine, migration, table, timeline
from .outage import NoAnswer

STAGES = ("deploy", "copies", "freeze", "recreate", "adopt", "finished")
RESULTS = "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["1", "4", "8"], help="of Micro's store in GiB (default 1 4 8)")
    parser.add_argument("--rounds", type=int, default=3, help="of what is measured more than once (default 3)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="only these, in their order")
    parser.add_argument("--show", action="store_true", help="measure nothing; print what was measured last")
    options = parser.parse_args()
    lab.CACHE.mkdir(parents=True, exist_ok=True)
    # Without all stages it goes on with what the last run found.
    whole = set(options.stages) == set(STAGES)
    raw = {} if whole and not options.show else _last()
    status = 0
    if not options.show:
        try:
            _measure(options, raw)
        except (lab.BenchError, timeline.NoTask, NoAnswer, subprocess.SubprocessError, OSError) as error:
            print(f"bench: {error}", file=sys.stderr)
            status = 1
    print(_told(raw))
    return status


def _last() -> dict[str, Any]:
    try:
        return dict(json.loads((lab.CACHE / RESULTS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _measure(options: argparse.Namespace, raw: dict[str, Any]) -> None:
    """Each stage by itself; what is known is written down after each."""
    sizes = [f"{size.rstrip('Gg')}G" for size in options.sizes]
    for stage in (stage for stage in STAGES if stage in options.stages):
        began = machine.clock()
        if stage == "deploy":
            _keep(raw, stage, migration.deploy(), began)
        elif stage == "copies":
            store = migration.begin(sizes[0])
            with copies.way_in():
                _keep(raw, stage, {"store": store, "seconds": copies.measure(options.rounds)}, began)
        elif stage == "freeze":
            for size in sizes:
                _keep(raw, stage, (raw.get(stage) or {}) | {size: freeze.measure(size, options.rounds)}, began)
        elif stage == "recreate":
            found = handover.measure("recreate", sizes[0])
            lab.lab("snapshot", handover.MUTUAL)
            _keep(raw, stage, found | {"alone": handover.recreation(options.rounds)}, began)
        elif stage == "adopt":
            _keep(raw, stage, handover.measure("adopt", sizes[0]), began)
        else:
            _keep(raw, stage, finished.measure(options.rounds), began)


def _keep(raw: dict[str, Any], stage: str, found: dict[str, Any], began: list[int]) -> None:
    raw[stage] = found
    raw.setdefault("machine", {})[stage] = machine.now(began)
    (lab.CACHE / RESULTS).write_text(json.dumps(raw, indent=1), encoding="utf-8")


def _told(raw: dict[str, Any]) -> str:
    found = [table.of_figures(figures.lines(raw))]
    for size, one in (raw.get("freeze") or {}).items():
        shares = table.of_shares(one["shares"], one["freeze"])
        found.append(f"Where the freeze of {one['freeze']:.1f} s went, {size}{machine.noise(one)}:\n\n{shares}")
    for stage, one in (raw.get("machine") or {}).items():
        found.append(f"{stage}: {machine.told(one)}")
    found.append(f"All numbers: {Path(os.path.relpath(lab.CACHE / RESULTS))}")
    return "\n\n".join(found)


if __name__ == "__main__":
    sys.exit(main())
