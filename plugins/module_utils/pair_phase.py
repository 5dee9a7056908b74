# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which phase of the procedure a pair is, judged from what hosts and directors said."""

from __future__ import annotations

from typing import Any

PHASES = (
    "unclear",
    "nothing",
    "only_micro",
    "deployed",
    "frozen",
    "synced",
    "meta_active",
    "primary_adopted",
    "mutual",
    "micro_gone",
)
NEXT = {
    "unclear": "bring back the host that cannot be reached; without it nobody can tell how far it is",
    "nothing": "step 1: bring up Micro",
    "only_micro": "steps 2 and 3: Micro deploys Primary, Primary deploys Meta",
    "deployed": "step 4: stop the BOSHes",
    "frozen": "step 5: copy Micro's store to Meta",
    "synced": "step 6: start Meta on Micro's data",
    "meta_active": "step 7: Meta recreates Primary",
    "primary_adopted": "step 7: strip dns.recursor and enable the resurrector on both",
    "mutual": "steps 8 and 9: prove resurrection, destroy Micro",
    "micro_gone": "nothing: each deploys and resurrects the other",
}


def pair_phase(seen: dict[str, Any]) -> str:
    """The phase.

    `seen` has lists of directors' names: answers (API), reachable (SSH), stopped (every process, by monit and ports);
    the deployments that each knows: known (a dict of lists); names: deployments of primary and meta (a dict);
    and primary_running (its agent, at Meta), settled (both deployed manifests have the resurrector and no
    dns.recursor), store (phase of Meta's store), micro_vm (the CID in Micro's state file).
    """
    answers, reachable, stopped = (set(seen[key]) for key in ("answers", "reachable", "stopped"))
    known, names = seen["known"], seen["names"]
    if "meta" in answers and names["primary"] in known["meta"]:
        if not seen["primary_running"]:
            return "meta_active"
        if not seen["settled"]:
            return "primary_adopted"
        # Without a VM in its state file Micro is gone; one that is merely cut off still has it.
        return "mutual" if seen["micro_vm"] or "micro" in reachable else "micro_gone"
    if "micro" in answers:
        complete = names["primary"] in known["micro"] and names["meta"] in known["primary"]
        return "deployed" if complete and {"primary", "meta"} <= answers else "only_micro"
    if "micro" in stopped and "meta" in reachable:
        if seen["store"] == "swapped":
            return "synced"
        # A stop that was interrupted goes on with those that still run.
        return "frozen" if {"primary", "meta"} <= stopped else "deployed"
    # Somebody is there, but neither Micro nor Meta says who has the data.
    return "unclear" if answers | reachable else "nothing"
