# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which phase of the procedure a pair is, judged from what hosts and directors said."""

from __future__ import annotations

from typing import Any

PHASES = (
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

    `seen` has booleans: micro_answers, primary_answers, meta_answers (API), micro_reachable (SSH), micro_stopped,
    micro_has_primary, primary_has_meta, meta_has_primary (deployments), primary_running (its agent, at Meta),
    resurrector_on (in both deployed manifests); and store (the phase of Meta's store).
    """
    if seen["meta_answers"] and seen["meta_has_primary"]:
        if not seen["primary_running"]:
            return "meta_active"
        if not seen["resurrector_on"]:
            return "primary_adopted"
        return "mutual" if seen["micro_reachable"] else "micro_gone"
    if seen["store"] == "swapped":
        return "synced"
    if seen["micro_stopped"]:
        return "frozen"
    if not seen["micro_answers"]:
        return "nothing"
    complete = ("micro_has_primary", "primary_answers", "primary_has_meta", "meta_answers")
    return "deployed" if all(seen[key] for key in complete) else "only_micro"
