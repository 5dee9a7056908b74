# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Primary's users see: its own outage while Meta takes it over."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import yaml

from . import lab, migration, outage, playbook

#: Kept after Meta and Primary watch each other, for a run on a finished pair.
MUTUAL = "bench_mutual"
TAGS = f"{migration.FREEZE},recreate_primary"
_ROLES = {"recreate": "recreate_primary", "adopt": "adopt_primary"}
_CCK = ("-d", "bosh-primary", "cck", "--resolution=recreate_vm")


def measure(handover: str, size: str) -> dict[str, Any]:
    """Seconds and questions without an answer at Primary, from the begin until it is Meta's; nobody writes to Micro."""
    store = migration.begin(size)
    label = f"handover-{handover}"
    lab.say(f"{label}: the freeze, and Meta takes Primary over")
    with lab.probing(label) as out:
        run = playbook.migrate(label, TAGS, bosh_ha_freeze="minimal", bosh_ha_handover=handover)
    asked = lab.asked(out)
    return migration.tell(run, asked) | {"store": store} | primary(run, asked, handover)


def primary(run: playbook.Run, asked: list[outage.Sample], handover: str) -> dict[str, Any]:
    """Of Primary: what the handover cost, and what the deploy after it, which BOSH ends with a restart."""
    done = [task for task in run.tasks if task.role == _ROLES[handover]]
    if not done:
        raise lab.BenchError(f"the run did nothing of {_ROLES[handover]}, so there was no such handover")
    # The first question after it may find it away still.
    until = done[-1].ended
    down, questions = outage.failed(asked, "primary", 0, until)
    later = outage.outages(asked, "primary", until)
    return {
        "outage": round(sum(found.seconds for found in outage.outages(asked, "primary", 0, until)), 2),
        "failed": down,
        "asked": questions,
        "later_outage": round(sum(found.seconds for found in later), 2),
    }


def recreation(rounds: int) -> list[float]:
    """Seconds for which Primary does not answer where Meta recreates it with nothing of ours: two calls of `bosh`."""
    return [round(_once(number + 1), 2) for number in range(rounds)]


def _once(number: int) -> float:
    for name in ("meta", "primary"):
        bosh(name, "update-resurrection", "off")
    cid = _rows(bosh("meta", "-d", "bosh-primary", "vms"))[0]["vm_cid"]
    with lab.probing(f"recreation-{number}") as out:
        began = time.time()
        bosh("meta", "-d", "bosh-primary", "delete-vm", cid)
        bosh("meta", *_CCK)
        _both_run(300)
    found = outage.outages(lab.asked(out), "primary", began)
    lab.say(f"Primary was recreated by itself: {sum(one.seconds for one in found):.1f} s")
    return sum(one.seconds for one in found)


def _both_run(patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            said = [_rows(bosh(by, "-d", f"bosh-{of}", "vms")) for by, of in (("meta", "primary"), ("primary", "meta"))]
            if [row["process_state"] for rows in said for row in rows] == ["running", "running"]:
                return
        except lab.BenchError:
            if time.monotonic() > until:
                raise
        if time.monotonic() > until:
            raise lab.BenchError(f"Primary and Meta were not both `running` in {patience:.0f} s after the recreation")
        time.sleep(2)


def _rows(said: dict[str, Any]) -> list[dict[str, str]]:
    return list(said["Tables"][0]["Rows"])


def bosh(name: str, *words: str) -> dict[str, Any]:
    """What `bosh --json` says as a director's admin; its password goes by the environment."""
    store = lab.STATE / "workspace" / "deployments" / "boshes" / f"{name}-vars.yml"
    values = yaml.safe_load(store.read_text(encoding="utf-8"))
    login = {
        "BOSH_ENVIRONMENT": lab.ADDRESSES[name],
        "BOSH_CLIENT": "admin",
        "BOSH_CLIENT_SECRET": values["admin_password"],
        "BOSH_CA_CERT": values["director_ssl"]["ca"],
        "BOSH_CONFIG": str(lab.CACHE / "bosh-config"),
    }
    command = ["bosh", "--json", "-n", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=os.environ | login)
    if done.returncode != 0:
        raise lab.BenchError(f"`bosh {' '.join(words)}` at {name} failed: {done.stdout.strip()[-500:]}")
    return dict(json.loads(done.stdout))
