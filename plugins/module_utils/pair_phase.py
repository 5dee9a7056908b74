# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which phase of the procedure a pair is, judged from what hosts and directors said."""

from __future__ import annotations

from typing import Any

#: The directors, in the order of the procedure.
NAMES = ("micro", "primary", "meta")
#: Who is deployed by which director before the freeze.
DEPLOYED_BY = (("primary", "micro"), ("meta", "primary"))
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
    "unclear": "a person's: bring back who is missing, or mend what is told; until then nobody can tell how far it is",
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


#: Whom a freeze stops, by bosh_ha_freeze: Primary may go on serving its users.
FROZEN = {"all": ("micro", "primary", "meta"), "minimal": ("micro", "meta")}
#: Phases that are judged by hosts, too: a director that answers should be one that can be logged in to.
_BY_HOSTS = ("only_micro", "deployed", "unclear")
_WORDS = {
    "answers": "answers",
    "stopped": "is stopped",
    "runs": "can be reached by SSH, but neither answers nor is stopped (see `monit summary` there)",
    "unasked": "can be reached by SSH, and cannot be asked, as its vars store does not exist here",
    "barred": "lets nobody in by SSH: its host key is not the one that is pinned, or it refuses the user's key",
    "unpinned": "cannot be logged in to, as no host key is pinned for it",
    "starting": "cannot be reached by SSH, and its API answers that its director does not run yet",
    "away": "neither answers nor can be reached by SSH",
}


def known_phase(phase: Any) -> str:
    """The phase itself; raises ValueError, with the phases that there are, where it is none."""
    if phase not in PHASES:
        raise ValueError(f"there is no phase {phase!r}; the phases are {', '.join(PHASES)}")
    return str(phase)


def before(phase: str, other: str) -> bool:
    """Whether a phase comes before another in the procedure."""
    return PHASES.index(phase) < PHASES.index(other)


def judge(seen: dict[str, Any]) -> tuple[str, str]:
    """The phase, and a sentence where somebody has to know why; else an empty string.

    `seen` has lists of directors' names: answers (API), reachable (SSH), barred (SSH is there, but the host key or the
    login is refused), stopped (every process, by monit and ports), unasked (no credentials, as their vars store does
    not exist), unfinished (their last deploy, as the director that deploys them tells it, did not end well or runs
    still); the deployments that each knows: known (a dict of lists); names: deployments of primary and meta (a dict);
    and primary_running (its agent, at Meta), primary_agent (what Meta says of it, empty without a VM), adopted (Meta
    has had Primary's agent before), settled (both deployed manifests have the resurrector and no dns.recursor), store
    (phase of Meta's store), micro_vm (the CID in Micro's state file), micro_state (whether there is that file),
    micro_silent (nobody listens at Micro's address, as Meta sees it), freeze (bosh_ha_freeze: whom a freeze stops).
    It may have not_ready (names of those whose API answers, and whose director does not run yet), unpinned (names of
    those barred for which no host key is pinned) and host_keys (a sentence on what to do about these).
    """
    phase, reason = _judge(seen)
    # What only a host reports, such as a copy on Meta's disk, is not known of these.
    shut = [name for name in seen["answers"] if name not in seen["reachable"]] if phase in _BY_HOSTS else []
    told = [reason, *(f"{name} answers, but {_shut(seen, name)}" for name in shut), seen.get("host_keys") or ""]
    return phase, "; ".join(filter(None, told))


def _judge(seen: dict[str, Any]) -> tuple[str, str]:
    at = {name: _at(seen, name) for name in NAMES}
    if at["meta"] == "answers" and seen["names"]["primary"] in seen["known"]["meta"]:
        return _led_by_meta(seen, at)
    if at["micro"] == "answers":
        return _led_by_micro(seen, at)
    # Whoever cannot be asked may be stopped, and then create-env would make a second Micro beside the first.
    barred = [name for name in at if at[name] == "barred"]
    if barred:
        return "unclear", "; ".join(f"{name} {_shut(seen, name)}" for name in barred)
    if at["micro"] == "stopped":
        return _frozen(seen, at)
    if set(at.values()) == {"away"}:
        return "nothing", ""
    told = f"micro {_WORDS[at['micro']]}, and meta does not have {seen['names']['primary']}"
    return "unclear", f"{told}: nobody can tell who has the data"


def _at(seen: dict[str, Any], name: str) -> str:
    """How a director was found: a key of _WORDS."""
    if name in seen["answers"]:
        return "answers"
    if name not in seen["reachable"]:
        if name in seen["barred"]:
            return "barred"
        # Its nginx answers: whatever is wrong with SSH, a VM is there.
        return "starting" if name in seen.get("not_ready", ()) else "away"
    if name in seen["stopped"]:
        return "stopped"
    return "unasked" if name in seen["unasked"] else "runs"


def _words(seen: dict[str, Any], at: dict[str, str], name: str) -> str:
    """How a director was found, in words."""
    return _shut(seen, name) if at[name] == "barred" else _WORDS[at[name]]


def _shut(seen: dict[str, Any], name: str) -> str:
    """Why a host cannot be logged in to."""
    if name in seen.get("unpinned", ()):
        return _WORDS["unpinned"]
    return _WORDS["barred"] if name in seen["barred"] else "cannot be reached by SSH"


def _led_by_meta(seen: dict[str, Any], at: dict[str, str]) -> tuple[str, str]:
    if at["micro"] == "answers":
        # Two on one set of data, or a second Micro: whoever goes on may recreate what the other has.
        return "unclear", (
            f"micro answers, although meta has {seen['names']['primary']} already: "
            "stop micro's processes (`monit stop all` there) if it is the Micro whose data meta took over"
        )
    if at["micro"] not in ("stopped", "away"):
        return "unclear", (
            f"micro {_words(seen, at, 'micro')}, although meta has {seen['names']['primary']} already: "
            "it must be stopped (`monit stop all` there), or gone"
        )
    if not seen["primary_running"]:
        return _lost(seen)
    if not seen["settled"]:
        return "primary_adopted", ""
    if at["micro"] == "away" and seen["micro_state"]:
        # Without a VM in its state file Micro is gone; one that is merely cut off still has it.
        return ("mutual" if seen["micro_vm"] else "micro_gone"), ""
    if at["micro"] == "away" and seen["micro_silent"] and seen["names"]["meta"] in seen["known"]["primary"]:
        return "micro_gone", "micro's state file is not there, and nobody listens at its address, so it counts as gone"
    if not seen["micro_state"]:
        return "mutual", f"micro {_WORDS[at['micro']]}; its state file is not there, so it does not count as gone"
    return "mutual", ""


def _lost(seen: dict[str, Any]) -> tuple[str, str]:
    """Primary's agent is not running at Meta: to be adopted still, or ill, which is not for a recreation to mend."""
    agent = seen["primary_agent"]
    # Its agent was moved to Meta's bus, and its processes were not started again after the freeze.
    halted = agent in ("failing", "stopped") and _at(seen, "primary") == "stopped"
    if not seen["adopted"] and (agent in ("", "unresponsive agent", "bare") or halted):
        return "meta_active", ""
    if not agent:
        return "unclear", (
            "Primary was adopted by Meta, and has no VM: wait, if Meta is resurrecting it; "
            f"else `bosh -d {seen['names']['primary']} cck --resolution=recreate_vm` at Meta brings it back"
        )
    if agent == "bare":
        return "unclear", (
            "Primary was adopted by Meta, and its VM has nothing on it, as its creation failed half way: "
            f"`bosh -d {seen['names']['primary']} recreate` at Meta makes it anew, with its disk"
        )
    return "unclear", (
        f"Primary was adopted by Meta, and its agent is `{agent}`: look at `monit summary` there "
        "(or wait, if Meta is resurrecting it)"
    )


def _led_by_micro(seen: dict[str, Any], at: dict[str, str]) -> tuple[str, str]:
    """Micro answers and Meta does not have Primary: deploys to do, all to be stopped, or half a stop."""
    names, known = seen["names"], seen["known"]
    if seen["store"] in ("swapping", "swapped"):
        return "unclear", (
            "micro answers, although a copy of its store is in place on meta: "
            "stop micro's processes to go on, and its store is compared with that copy, and copied again where it has "
            "changed; or go back with playbooks/rollback.yml"
        )
    if names["primary"] not in known["micro"] and at["meta"] != "away" and at["primary"] == "away":
        return "unclear", f"meta {_WORDS[at['meta']]}, but micro has no deployment {names['primary']}"
    todo = []
    for name, by in DEPLOYED_BY:
        if at[by] != "answers":
            continue
        deployed, ended = names[name] in known[by], name not in seen["unfinished"]
        if not deployed and at[name] != "away":
            return "unclear", f"{name} {_words(seen, at, name)}, but {by} has no deployment {names[name]}"
        if deployed and ended and at[name] not in ("answers", "stopped"):
            return "unclear", f"{by} has deployed {names[name]}, but {name} {_words(seen, at, name)}"
        if not (deployed and ended):
            todo.append(name)
    # Whether Meta was deployed is asked of Primary; of one that does not answer it cannot be.
    if at["primary"] != "answers" and at["meta"] not in ("answers", "stopped") and (not todo or at["meta"] != "away"):
        return (
            "unclear",
            f"primary {_words(seen, at, 'primary')}, and meta {_words(seen, at, 'meta')}: "
            "only primary can tell of meta",
        )
    halted = [name for name, _by in DEPLOYED_BY if at[name] == "stopped" and name not in todo]
    if todo and halted:
        told = f"{halted[0]} is stopped, but {todo[0]} is still to be deployed"
        return "unclear", f"{told}: start {halted[0]}'s processes (`monit start all` there)"
    if todo:
        return "only_micro", ""
    return "deployed", _half(halted, [name for name in FROZEN[seen["freeze"]] if at[name] != "stopped"])


def _frozen(seen: dict[str, Any], at: dict[str, str]) -> tuple[str, str]:
    """Micro is stopped and Meta does not have Primary."""
    if at["meta"] == "away":
        return "unclear", f"micro is stopped, but meta {_WORDS['away']}: it may have micro's data"
    if seen["store"] == "swapped":
        return "synced", ""
    if at["primary"] == "away":
        return "unclear", f"micro is stopped, but primary {_WORDS['away']}: nobody can tell whether it is stopped"
    running = [name for name in FROZEN[seen["freeze"]] if at[name] != "stopped"]
    if not running:
        return "frozen", ""
    return "deployed", _half([name for name in at if at[name] == "stopped"], running)


def _half(halted: list[str], running: list[str]) -> str:
    """A stop that was interrupted goes on with those that still run."""
    if not halted:
        return ""
    verb = "is" if len(halted) == 1 else "are"
    return f"{' and '.join(halted)} {verb} stopped, but not {' and '.join(running)}: the stop goes on with the rest"
