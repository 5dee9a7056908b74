# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One freeze on the lab, seen from outside: the raw numbers of a run."""

from __future__ import annotations

import json
from typing import Any

from . import lab, machine, outage, playbook, timeline

#: All three are there, and Meta has Micro's CAs, so that either handover can follow.
DEPLOYED = "bench_deployed"
FREEZE = "stop_boshes,sync_store,start_meta"


def deploy() -> dict[str, Any]:
    """From nothing to three directors, kept as a snapshot: so each figure costs a freeze, and no migration."""
    lab.say("the lab is reset, and Micro, Primary and Meta are deployed")
    lab.lab("reset")
    run = playbook.migrate("deploy", "bootstrap_micro,deploy_primary,deploy_meta", bosh_ha_handover="adopt")
    lab.lab("snapshot", DEPLOYED)
    return {"seconds": round(run.seconds, 1)}


def begin(size: str) -> dict[str, Any]:
    """Back to the deployed three, with a store of that size in Micro; returns what it is made of."""
    lab.lab("restore", DEPLOYED)
    lab.say(f"Micro's store is filled with {size}")
    filled = dict(json.loads(lab.lab("fill", "micro", "--size", size)))
    return filled | {"bytes": lab.store_bytes("micro")}


def observe(label: str, **inputs: Any) -> dict[str, Any]:
    """The steps of the freeze with writes going on, of which none may be lost."""
    began = machine.clock()
    with lab.probing(label) as out, lab.writing("micro"):
        run = playbook.migrate(label, FREEZE, **inputs)
    noise = machine.stolen(began, machine.clock())
    return tell(run, lab.asked(out)) | {"written": lab.written("meta"), "stolen": noise}


def tell(run: playbook.Run, asked: list[outage.Sample]) -> dict[str, Any]:
    """The freeze, its floor, and where the rest of it went; all seconds."""
    tasks = run.tasks
    frozen = outage.freeze(asked, outage.uuid_of(asked, "micro"))
    window = (frozen.began, frozen.ended)
    ours = timeline.between(tasks)
    copies = timeline.results(run.events, timeline.COPY)
    return {
        "run": round(run.seconds, 1),
        "freeze": round(frozen.seconds, 2),
        "floor": round(timeline.floor(tasks, *window), 2),
        "stop": round(timeline.named(tasks, timeline.STOP).inside(*window), 2),
        "start": round(timeline.named(tasks, timeline.START).inside(*window), 2),
        "between": round(ours[1] - ours[0], 2),
        "copy": round(sum(task.inside(*ours) for task in tasks if task.action == timeline.COPY), 2),
        "shares": timeline.shares(tasks, *window),
        "copies": [
            {key: copy[key] for key in ("bytes_sent", "bytes_total", "files_total", "files_copied", "seconds")}
            for copy in copies
        ],
        "window": window,
        "tasks": timeline.plain(tasks),
    }
