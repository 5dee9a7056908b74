# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import (
    NEXT,
    PHASES,
    judge,
    known_phase,
)

ALL = ["micro", "primary", "meta"]
NOTHING = {
    "answers": [],
    "reachable": [],
    "barred": [],
    "stopped": [],
    "unasked": [],
    "unfinished": [],
    "known": {"micro": [], "primary": [], "meta": []},
    "names": {"primary": "bosh-primary", "meta": "bosh-meta"},
    "primary_running": False,
    "primary_agent": "",
    "adopted": False,
    "settled": False,
    "store": "none",
    "micro_vm": "",
    "micro_state": False,
    "micro_silent": False,
    "freeze": "all",
}
MICRO = {"answers": ["micro"], "reachable": ["micro"], "micro_vm": "vm-1", "micro_state": True}
DEPLOYED = MICRO | {
    "answers": ALL,
    "reachable": ALL,
    "known": {"micro": ["bosh-primary"], "primary": ["bosh-meta"], "meta": []},
}
FROZEN = {"reachable": ALL, "stopped": ALL, "micro_vm": "vm-1", "micro_state": True}
# A stop that was interrupted: Micro still answers.
HALF = DEPLOYED | {
    "answers": ["micro"],
    "stopped": ["primary", "meta"],
    "known": {"micro": ["bosh-primary"], "primary": [], "meta": []},
}
# Directors that were deployed from elsewhere: they answer, and no host key is pinned.
NEW = DEPLOYED | {"reachable": [], "barred": ALL, "unpinned": ALL}
LOST = {"micro_vm": "", "micro_state": False}
ACTIVE = FROZEN | {
    "answers": ["meta"],
    "stopped": ["micro", "primary"],
    "known": {"micro": [], "primary": [], "meta": ["bosh-primary"]},
    "store": "swapped",
    "primary_agent": "unresponsive agent",
}
MUTUAL = ACTIVE | {
    "answers": ["primary", "meta"],
    "stopped": ["micro"],
    "known": {"micro": [], "primary": ["bosh-meta"], "meta": ["bosh-primary"]},
    "primary_running": True,
    "primary_agent": "running",
    "adopted": True,
    "settled": True,
}
GONE = MUTUAL | {"reachable": ["primary", "meta"], "stopped": [], "micro_vm": ""}


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        ({}, "nothing"),
        # create-env that failed half-way: a record, and nobody there.
        ({"micro_vm": "vm-1"}, "nothing"),
        (MICRO, "only_micro"),
        (MICRO | {"known": HALF["known"], "unfinished": ["primary"]}, "only_micro"),
        (
            MICRO | {"answers": ["micro", "primary"], "reachable": ["micro", "primary"], "known": HALF["known"]},
            "only_micro",
        ),
        # Meta's director neither answers nor is it stopped: it starts, or it is ill.
        (DEPLOYED | {"answers": ["micro", "primary"]}, "unclear"),
        (DEPLOYED, "deployed"),
        # Deploys that did not go through are run again.
        (DEPLOYED | {"unfinished": ["meta"]}, "only_micro"),
        (DEPLOYED | {"answers": ["micro", "primary"], "unfinished": ["meta"]}, "only_micro"),
        (DEPLOYED | {"answers": ["micro", "primary"], "stopped": ["meta"], "unfinished": ["meta"]}, "only_micro"),
        (DEPLOYED | {"answers": ["micro", "meta"], "stopped": ["primary"], "unfinished": ["primary"]}, "only_micro"),
        # Directors report their deployments themselves; SSH adds nothing to that.
        (DEPLOYED | {"reachable": ["micro", "primary"]}, "deployed"),
        (DEPLOYED | {"reachable": []}, "deployed"),
        (NEW, "deployed"),
        (NEW | {"answers": ["micro", "primary"]}, "unclear"),
        (NEW | {"answers": ["micro", "meta"]}, "unclear"),
        (NEW | {"answers": ["primary", "meta"]}, "unclear"),
        (NEW | {"answers": []}, "unclear"),
        (NEW | {"unfinished": ["primary"]}, "only_micro"),
        (NEW | {"known": NOTHING["known"], "answers": ["micro"]}, "unclear"),
        (MUTUAL | {"reachable": [], "stopped": [], "barred": ALL, "unpinned": ALL}, "unclear"),
        (GONE | {"reachable": [], "barred": ["primary", "meta"], "unpinned": ["primary", "meta"]}, "micro_gone"),
        (DEPLOYED | {"reachable": ["micro"], "answers": ["micro", "primary"], "unfinished": ["meta"]}, "only_micro"),
        # Half a stop goes on, whoever was stopped first.
        (HALF, "deployed"),
        (HALF | {"answers": ["micro", "meta"], "stopped": ["primary"]}, "deployed"),
        (DEPLOYED | {"answers": ["micro", "primary"], "stopped": ["meta"]}, "deployed"),
        (FROZEN | {"stopped": ["micro"]}, "deployed"),
        # Stopped, but not by a stop of ours.
        (HALF | {"unfinished": ["primary"]}, "unclear"),
        (HALF | {"known": NOTHING["known"]}, "unclear"),
        (HALF | {"reachable": ["micro", "meta"], "stopped": ["meta"], "known": NOTHING["known"]}, "unclear"),
        (HALF | {"reachable": ["micro", "primary"], "stopped": ["primary"]}, "unclear"),
        (HALF | {"stopped": ["primary"]}, "unclear"),
        (HALF | {"stopped": ["meta"]}, "unclear"),
        (HALF | {"stopped": ["meta"], "unasked": ["primary"]}, "unclear"),
        (HALF | {"store": "swapped"}, "unclear"),
        (HALF | {"store": "swapping"}, "unclear"),
        (HALF | {"store": "staged"}, "deployed"),
        # Deployed once, and away now: its director resurrects it, or a person looks.
        (DEPLOYED | {"answers": ["micro"], "reachable": ["micro"]}, "unclear"),
        (DEPLOYED | {"answers": ["micro", "primary"], "reachable": ["micro", "primary"]}, "unclear"),
        # Somebody is there whom Micro, or Primary, did not deploy.
        (DEPLOYED | {"known": {"micro": [], "primary": ["bosh-meta"], "meta": []}}, "unclear"),
        (DEPLOYED | {"known": {"micro": ["bosh-primary"], "primary": [], "meta": []}}, "unclear"),
        # Somebody stopped Meta beforehand, as it serves nobody.
        (DEPLOYED | {"answers": ["primary", "meta"], "stopped": ["micro"]}, "deployed"),
        (FROZEN | {"stopped": ["micro", "meta"], "answers": ["primary"]}, "deployed"),
        # Primary goes on serving its users, or does not: that is its own business.
        (FROZEN | {"stopped": ["micro", "meta"], "answers": ["primary"], "freeze": "minimal"}, "frozen"),
        (FROZEN | {"stopped": ["micro", "meta"], "freeze": "minimal"}, "frozen"),
        (FROZEN | {"freeze": "minimal"}, "frozen"),
        (FROZEN | {"stopped": ["micro", "primary"], "freeze": "minimal"}, "deployed"),
        (DEPLOYED | {"answers": ["micro", "primary"], "stopped": ["meta"], "freeze": "minimal"}, "deployed"),
        (FROZEN, "frozen"),
        (FROZEN | {"store": "staged"}, "frozen"),
        (FROZEN | {"store": "swapping"}, "frozen"),
        (FROZEN | {"store": "swapped"}, "synced"),
        (ACTIVE, "meta_active"),
        (MUTUAL | {"settled": False}, "primary_adopted"),
        (MUTUAL, "mutual"),
        (MUTUAL | {"reachable": ["primary", "meta"], "stopped": []}, "mutual"),
        (GONE, "micro_gone"),
        # Only one that Meta has not adopted is to be recreated.
        (GONE | {"primary_running": False, "primary_agent": "failing"}, "unclear"),
        (GONE | {"primary_running": False, "primary_agent": "unresponsive agent"}, "unclear"),
        (GONE | {"primary_running": False, "primary_agent": ""}, "unclear"),
        (ACTIVE | {"primary_agent": ""}, "meta_active"),
        (ACTIVE | {"primary_agent": "bare"}, "meta_active"),
        (ACTIVE | {"primary_agent": "starting"}, "unclear"),
        # Moved to Meta's bus, and not started again: step 7 ends what it began.
        (ACTIVE | {"primary_agent": "failing"}, "meta_active"),
        (ACTIVE | {"primary_agent": "failing", "stopped": ["micro"]}, "unclear"),
        (ACTIVE | {"primary_agent": "failing", "adopted": True}, "unclear"),
        # Half up, or not to be asked: Meta has its data.
        (ACTIVE | {"stopped": ["primary"]}, "unclear"),
        (MUTUAL | {"stopped": []}, "unclear"),
        (MUTUAL | {"reachable": ["primary", "meta"], "stopped": [], "barred": ["micro"]}, "unclear"),
        # Primary's new key is still to be pinned.
        (GONE | {"reachable": ["meta"], "barred": ["primary"]}, "micro_gone"),
        # A VM whose nginx answers is there.
        ({"not_ready": ["micro"], "micro_vm": "vm-1"}, "unclear"),
        (MUTUAL | {"reachable": ["primary", "meta"], "stopped": [], "not_ready": ["micro"]}, "unclear"),
        (FROZEN | {"not_ready": ["meta"]}, "frozen"),
        # Whoever lets nobody in may be stopped.
        ({"barred": ["micro"], "micro_vm": "vm-1"}, "unclear"),
        ({"barred": ["primary", "meta"]}, "unclear"),
        (FROZEN | {"reachable": [], "stopped": [], "barred": ALL}, "unclear"),
        (FROZEN | {"reachable": ["micro", "primary"], "stopped": ["micro", "primary"], "barred": ["meta"]}, "unclear"),
        # One that answers and was not pinned yet, and one whose deploy was cut off before.
        (MICRO | {"reachable": [], "barred": ["micro"]}, "only_micro"),
        (DEPLOYED | {"reachable": ["micro", "primary"], "barred": ["meta"]}, "deployed"),
        (
            DEPLOYED
            | {
                "answers": ["micro", "primary"],
                "reachable": ["micro", "primary"],
                "barred": ["meta"],
                "unfinished": ["meta"],
            },
            "only_micro",
        ),
        # A state file that is lost tells nothing; then its address has to.
        (GONE | LOST, "mutual"),
        (MUTUAL | LOST, "mutual"),
        (MUTUAL | LOST | {"stopped": []}, "unclear"),
        (MUTUAL | LOST | {"micro_silent": True}, "mutual"),
        (GONE | LOST | {"micro_silent": True}, "micro_gone"),
        (GONE | LOST | {"micro_silent": True, "known": ACTIVE["known"]}, "mutual"),
        # Two on one set of data, or a second Micro.
        (ACTIVE | {"answers": ["micro", "meta"], "stopped": ["primary"]}, "unclear"),
        (MUTUAL | {"answers": ALL, "stopped": []}, "unclear"),
        # Micro's data may be in use on a Meta that is merely away.
        (MUTUAL | {"answers": ["primary"], "reachable": ["micro", "primary"]}, "unclear"),
        (GONE | {"answers": ["primary"], "reachable": ["primary"]}, "unclear"),
        (FROZEN | {"reachable": ["micro", "meta"], "stopped": ["micro", "meta"]}, "unclear"),
        (FROZEN | {"reachable": ["micro", "primary"], "stopped": ["micro", "primary"]}, "unclear"),
        (DEPLOYED | {"answers": ["primary", "meta"], "reachable": ["primary", "meta"]}, "unclear"),
    ],
)
def test_what_was_seen_tells_the_phase(seen, phase):
    assert judge(NOTHING | seen)[0] == phase


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (HALF, "primary and meta are stopped, but not micro: the stop goes on with the rest"),
        (
            FROZEN | {"stopped": ["micro"], "answers": ["primary"]},
            "micro is stopped, but not primary and meta: the stop goes on with the rest",
        ),
        (DEPLOYED, ""),
        (
            NEW | {"host_keys": "compare them"},
            "micro answers, but cannot be logged in to, as no host key is pinned for it; "
            "primary answers, but cannot be logged in to, as no host key is pinned for it; "
            "meta answers, but cannot be logged in to, as no host key is pinned for it; compare them",
        ),
        (DEPLOYED | {"reachable": ["micro", "primary"]}, "meta answers, but cannot be reached by SSH"),
        (
            FROZEN | {"reachable": [], "stopped": [], "barred": ["micro", "meta"], "unpinned": ["meta"]},
            "micro lets nobody in by SSH: its host key is not the one that is pinned, or it refuses the user's key; "
            "meta cannot be logged in to, as no host key is pinned for it",
        ),
        (GONE, ""),
        (MICRO, ""),
        (
            HALF | {"stopped": ["meta"], "unasked": ["primary"]},
            "micro has deployed bosh-primary, but primary can be reached by SSH, and cannot be asked, "
            "as its vars store does not exist here",
        ),
        (
            HALF | {"unfinished": ["primary"]},
            "meta is stopped, but primary is still to be deployed: start meta's processes (`monit start all` there)",
        ),
        (
            FROZEN | {"reachable": [], "stopped": [], "barred": ["micro"]},
            "micro lets nobody in by SSH: its host key is not the one that is pinned, or it refuses the user's key",
        ),
        (
            MUTUAL | {"stopped": []},
            "micro can be reached by SSH, but neither answers nor is stopped (see `monit summary` there), although "
            "meta has bosh-primary already: it must be stopped (`monit stop all` there), or gone",
        ),
        (
            GONE | {"primary_running": False, "primary_agent": "bare"},
            "Primary was adopted by Meta, and its VM has nothing on it, as its creation failed half way: "
            "`bosh -d bosh-primary recreate` at Meta makes it anew, with its disk",
        ),
        (
            GONE | {"primary_running": False, "primary_agent": "failing"},
            "Primary was adopted by Meta, and its agent is `failing`: look at `monit summary` there "
            "(or wait, if Meta is resurrecting it)",
        ),
        (
            GONE | {"primary_running": False, "primary_agent": ""},
            "Primary was adopted by Meta, and has no VM: wait, if Meta is resurrecting it; "
            "else `bosh -d bosh-primary cck --resolution=recreate_vm` at Meta brings it back",
        ),
        (
            GONE | LOST,
            "micro neither answers nor can be reached by SSH; "
            "its state file is not there, so it does not count as gone",
        ),
    ],
)
def test_why_it_is_that_phase(seen, reason):
    assert judge(NOTHING | seen)[1] == reason


@pytest.mark.parametrize("phase", ["", "Frozen", None, 3, ["frozen"]])
def test_no_phase(phase):
    with pytest.raises(ValueError, match=r"^there is no phase .*; the phases are unclear, nothing, "):
        known_phase(phase)


def test_every_phase_has_a_next_step():
    assert set(NEXT) == set(PHASES)


def test_micro_is_brought_up_only_where_nobody_is():
    """Whatever else is seen: create-env beside a pair would make a second Micro."""
    for answering, reaching in itertools.product(_subsets(), _subsets()):
        seen = NOTHING | {"answers": answering, "reachable": reaching}
        if judge(seen)[0] == "nothing":
            assert not answering and not reaching


WAYS = ("answers", "stopped", "runs", "away")


def every_sight():
    """Each director found in each way, before Meta has Micro's data, with and without deploys that went through."""
    lists = [["bosh-primary"], []], [["bosh-meta"], []], [[], ["primary"], ["meta"], ["primary", "meta"]]
    for ways in itertools.product(WAYS, repeat=3):
        at = dict(zip(ALL, ways, strict=True))
        for micro, primary, unfinished in itertools.product(*lists):
            yield (
                at,
                NOTHING
                | {
                    "answers": [name for name in ALL if at[name] == "answers"],
                    "reachable": [name for name in ALL if at[name] != "away"],
                    "stopped": [name for name in ALL if at[name] == "stopped"],
                    # Only one that answers tells what it knows.
                    "known": {
                        "micro": micro if at["micro"] == "answers" else [],
                        "primary": primary if at["primary"] == "answers" else [],
                        "meta": [],
                    },
                    "unfinished": unfinished,
                    "micro_state": True,
                    "micro_vm": "vm-1",
                },
            )


def test_in_every_sight_of_the_three_nothing_is_deployed_beside_one_that_is_stopped():
    for at, seen in every_sight():
        phase, reason = judge(seen)
        assert (phase == "unclear") <= bool(reason), seen
        assert "\n" not in reason and not reason.endswith(".")
        halted = {name for name in ALL if at[name] == "stopped"}
        if phase == "only_micro":
            assert at["micro"] == "answers", seen
            # Only to mend its own deploy.
            assert halted <= set(seen["unfinished"]), seen
        if phase == "deployed":
            assert "away" not in at.values(), seen
            assert at["micro"] == "stopped" or "runs" not in at.values(), seen
            assert bool(halted) == bool(reason), seen
        if phase == "frozen":
            assert halted == set(ALL)
        assert phase in ("unclear", "nothing", "only_micro", "deployed", "frozen"), seen


def _subsets():
    return [list(some) for size in range(4) for some in itertools.combinations(ALL, size)]
