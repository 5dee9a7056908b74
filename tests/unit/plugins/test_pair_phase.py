# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NEXT, PHASES, pair_phase

ALL = ["micro", "primary", "meta"]
NOTHING = {
    "answers": [],
    "reachable": [],
    "stopped": [],
    "known": {"micro": [], "primary": [], "meta": []},
    "names": {"primary": "bosh-primary", "meta": "bosh-meta"},
    "primary_running": False,
    "settled": False,
    "store": "none",
    "micro_vm": "",
}
MICRO = {"answers": ["micro"], "reachable": ["micro"], "micro_vm": "vm-1"}
DEPLOYED = MICRO | {
    "answers": ALL,
    "reachable": ALL,
    "known": {"micro": ["bosh-primary"], "primary": ["bosh-meta"], "meta": []},
}
FROZEN = {"reachable": ALL, "stopped": ALL, "micro_vm": "vm-1"}
ACTIVE = FROZEN | {
    "answers": ["meta"],
    "stopped": ["micro", "primary"],
    "known": {"micro": [], "primary": [], "meta": ["bosh-primary"]},
    "store": "swapped",
}
MUTUAL = ACTIVE | {
    "answers": ["primary", "meta"],
    "stopped": ["micro"],
    "known": {"micro": [], "primary": ["bosh-meta"], "meta": ["bosh-primary"]},
    "primary_running": True,
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
        (MICRO | {"known": {"micro": ["bosh-primary"], "primary": [], "meta": []}}, "only_micro"),
        (DEPLOYED | {"answers": ["micro", "primary"]}, "only_micro"),
        (DEPLOYED, "deployed"),
        # Somebody stopped Meta beforehand, as it serves nobody.
        (DEPLOYED | {"answers": ["primary", "meta"], "stopped": ["micro"]}, "deployed"),
        (FROZEN | {"stopped": ["micro", "meta"], "answers": ["primary"]}, "deployed"),
        (FROZEN, "frozen"),
        (FROZEN | {"store": "staged"}, "frozen"),
        (FROZEN | {"store": "swapping"}, "frozen"),
        (FROZEN | {"store": "swapped"}, "synced"),
        (ACTIVE, "meta_active"),
        (MUTUAL | {"settled": False}, "primary_adopted"),
        (MUTUAL, "mutual"),
        (MUTUAL | {"reachable": ["primary", "meta"], "stopped": []}, "mutual"),
        (GONE, "micro_gone"),
        (GONE | {"primary_running": False}, "meta_active"),
        # Micro's data may be in use on a Meta that is merely away.
        (MUTUAL | {"answers": ["primary"], "reachable": ["micro", "primary"]}, "unclear"),
        (GONE | {"answers": ["primary"], "reachable": ["primary"]}, "unclear"),
        (FROZEN | {"reachable": ["micro", "primary"], "stopped": ["micro", "primary"]}, "unclear"),
        (DEPLOYED | {"answers": ["primary", "meta"], "reachable": ["primary", "meta"]}, "unclear"),
    ],
)
def test_what_was_seen_tells_the_phase(seen, phase):
    assert pair_phase(NOTHING | seen) == phase


def test_every_phase_has_a_next_step():
    assert set(NEXT) == set(PHASES)


def test_micro_is_brought_up_only_where_nobody_is():
    """Whatever else is seen: create-env beside a pair would make a second Micro."""
    for answering, reaching in itertools.product(_subsets(), _subsets()):
        seen = NOTHING | {"answers": answering, "reachable": reaching}
        if pair_phase(seen) == "nothing":
            assert not answering and not reaching


def _subsets():
    return [list(some) for size in range(4) for some in itertools.combinations(ALL, size)]
