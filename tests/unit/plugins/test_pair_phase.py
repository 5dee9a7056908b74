# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NEXT, PHASES, pair_phase

NOTHING = dict.fromkeys(
    (
        "micro_answers",
        "primary_answers",
        "meta_answers",
        "micro_reachable",
        "micro_stopped",
        "micro_has_primary",
        "primary_has_meta",
        "meta_has_primary",
        "primary_running",
        "resurrector_on",
    ),
    False,
) | {"store": "none"}
MICRO = {"micro_answers": True, "micro_reachable": True}
DEPLOYED = MICRO | {"micro_has_primary": True, "primary_answers": True, "primary_has_meta": True, "meta_answers": True}
FROZEN = {"micro_reachable": True, "micro_stopped": True}
ACTIVE = FROZEN | {"meta_answers": True, "meta_has_primary": True, "store": "swapped"}
MUTUAL = ACTIVE | {"primary_answers": True, "primary_has_meta": True, "primary_running": True, "resurrector_on": True}


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        ({}, "nothing"),
        (MICRO, "only_micro"),
        (MICRO | {"micro_has_primary": True}, "only_micro"),
        (DEPLOYED, "deployed"),
        (FROZEN, "frozen"),
        (FROZEN | {"store": "staged"}, "frozen"),
        (FROZEN | {"store": "swapping"}, "frozen"),
        (FROZEN | {"store": "swapped"}, "synced"),
        (ACTIVE, "meta_active"),
        (MUTUAL | {"resurrector_on": False}, "primary_adopted"),
        (MUTUAL, "mutual"),
        (MUTUAL | {"micro_reachable": False, "micro_stopped": False, "store": "none"}, "micro_gone"),
    ],
)
def test_what_was_seen_tells_the_phase(seen, phase):
    assert pair_phase(NOTHING | seen) == phase


def test_every_phase_has_a_next_step():
    assert set(NEXT) == set(PHASES)
