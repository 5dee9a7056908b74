# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a recorded history proves: Primary was adopted in task 43, lost, and resurrected in task 79."""

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import parse_output
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import task
from ansible_collections.bosh.ha.plugins.module_utils.proofs import (
    adopted,
    first_deploy,
    given_up,
    recreated,
    resurrections,
    took_over,
)
from ansible_collections.bosh.ha.plugins.module_utils.task_events import parse_events, recreated_vms, stage_seconds

from ..conftest import recorded

ADOPTED = 1795222769
BEGAN = 1795223518
ENDED = 1795223623
FOUND = {
    "task": 79,
    "at": "Sat Nov 21 01:11:58 UTC 2026",
    "detected": None,
    "back": None,
    "seconds": {"Scanning 1 VMs": 10, "Applying problem resolutions": 95},
}


@pytest.fixture
def tasks():
    """Meta's tasks while task 79 ran, as task_info tells them."""
    return [task(row) for row in parse_output(recorded("resurrect_bosh-primary_tasks")[1]).rows("tasks")]


@pytest.fixture
def running(tasks):
    """Task 79 with its events, as it was listed: it had not ended yet."""
    events = parse_events("".join(parse_output(recorded("resurrect_bosh-primary_task_event")[1]).blocks))
    (row,) = (row for row in tasks if row["id"] == 79)
    return row | {"recreated": recreated_vms(events), "seconds": stage_seconds(events)}


@pytest.fixture
def scan(running):
    """Task 79 after its end, which its last event tells."""
    return running | {"state": "done", "finished_epoch": ENDED}


def deletion(started, **other):
    """A `delete vm` as the director lists it: of no deployment."""
    row = {"id": 70, "state": "done", "user": "admin", "deployment": "", "description": "delete vm vm-9b3ace79"}
    return row | {"started_epoch": started, "finished_epoch": started and started + 1} | other


# adopted, took_over, first_deploy


def own(task_id, description="apply resolutions", **other):
    """A task of Primary's deployment that a person had done, a minute for each ID."""
    row = {"id": task_id, "state": "done", "user": "admin", "deployment": "bosh-primary", "description": description}
    return row | {"started_epoch": task_id * 60, "finished_epoch": task_id * 60 + 30} | other


HISTORY = [own(90), own(80, "create deployment"), own(70), own(60, "vms"), own(40), own(30, "create deployment")]


def test_the_recorded_adoption(tasks):
    assert [row["id"] for row in tasks if row["description"] == "apply resolutions"] == [43, 39]
    assert adopted(tasks, "bosh-primary", 42) == took_over(tasks, "bosh-primary", 42) == ADOPTED


def test_who_adopted_nobody(tasks):
    assert adopted(tasks, "bosh-meta") == adopted(tasks, "bosh-meta", 42) == took_over(tasks, "bosh-meta", 42, 1) == 0
    assert adopted([], "bosh-primary") == took_over([], "bosh-primary", 42) == took_over([], "bosh-primary", 0, 1) == 0


def test_the_first_after_micros_last_task_is_the_adoption():
    # A cloud check of later does not make a proof before it void.
    assert adopted(HISTORY, "bosh-primary", 50) == took_over(HISTORY, "bosh-primary", 50) == 70 * 60 + 30
    assert took_over(HISTORY[::-1], "bosh-primary", 50) == 70 * 60 + 30
    assert took_over(HISTORY, "bosh-primary", 75) == 80 * 60 + 30


@pytest.mark.parametrize(
    "other",
    [
        {"user": "hm"},
        {"state": "error"},
        {"state": "processing", "finished_epoch": None},
        {"deployment": "bosh-meta"},
        {"description": "scan cloud"},
        {"description": "create deployment (dry run)"},
        {"id": 43},
    ],
)
def test_what_is_no_adoption(other):
    row = own(55) | other
    if other != {"user": "hm"}:
        assert adopted([row], "bosh-primary", 50) == 0
    assert took_over([row, *HISTORY], "bosh-primary", 50) == 70 * 60 + 30


def test_a_primary_that_the_health_monitor_recreated_is_adopted():
    scan = own(60, "scan and fix", user="hm")
    assert adopted([scan], "bosh-primary", 50) == 60 * 60 + 30
    assert adopted([scan], "bosh-primary") == 0


def test_a_primary_that_was_repointed_is_metas_from_its_first_task(scan):
    vms = own(78, "vms", deployment="bosh-primary", started_epoch=BEGAN - 500, finished_epoch=BEGAN - 499)
    assert took_over([vms], "bosh-primary", 70) == BEGAN - 501
    assert took_over([scan, own(71, "vms", started_epoch=None)], "bosh-primary", 70) == BEGAN - 1
    assert adopted([vms], "bosh-primary", 70) == 0
    assert resurrections([], [scan], took_over([scan], "bosh-primary", 70)) == [FOUND]


def test_without_micros_last_task_only_a_cloud_check_tells_of_an_adoption():
    assert adopted(HISTORY, "bosh-primary") > 0
    assert adopted([own(80, "create deployment"), own(81, user="hm")], "bosh-primary") == 0


def test_without_micros_last_task_it_is_the_last_one_since_meta_was_made():
    assert took_over(HISTORY, "bosh-primary", 0, 35 * 60) == 90 * 60 + 30
    assert took_over(HISTORY, "bosh-primary", 0, 91 * 60) == 0
    assert took_over(HISTORY, "bosh-primary") == 0


def test_when_meta_was_made():
    assert first_deploy(HISTORY, "bosh-primary") == 30 * 60 + 30
    tries = [own(9, "create deployment", state="error"), own(8, "create deployment (dry run)")]
    assert first_deploy([*HISTORY, *tries], "bosh-primary") == 30 * 60 + 30
    assert first_deploy(tries, "bosh-primary") == 0


# resurrections


def test_the_recorded_resurrection_is_found(tasks, scan):
    assert resurrections(tasks, [scan], took_over(tasks, "bosh-primary", 42)) == [FOUND]


def test_a_resurrection_that_goes_on_proves_nothing_yet(tasks, running):
    assert (running["state"], running["finished_epoch"]) == ("processing", None)
    assert resurrections(tasks, [running], ADOPTED) == []


@pytest.mark.parametrize("other", [{"state": "error"}, {"state": "timeout"}, {"recreated": []}])
def test_a_scan_that_brought_nobody_back_proves_nothing(tasks, scan, other):
    assert resurrections(tasks, [scan | other], ADOPTED) == []


@pytest.mark.parametrize(("since", "found"), [(BEGAN - 1, [FOUND]), (BEGAN, []), (ENDED, [])])
def test_what_was_inherited_is_no_proof(tasks, scan, since, found):
    assert resurrections(tasks, [scan], since) == found


def test_the_times_count_from_the_loss(tasks, scan):
    (found,) = resurrections([deletion(BEGAN - 30), *tasks], [scan], ADOPTED)
    assert (found["detected"], found["back"]) == (30, 135)


@pytest.mark.parametrize(
    ("started", "detected"),
    [
        ([BEGAN - 30, BEGAN - 400], 30),
        ([BEGAN - 400, BEGAN - 30], 30),
        ([BEGAN], 0),
        # Of the next loss, and of one before the adoption.
        ([BEGAN + 1, BEGAN - 30], 30),
        ([BEGAN + 1], None),
        ([ADOPTED], None),
        # One that is queued has no beginning yet.
        ([None, BEGAN - 30], 30),
        ([None], None),
    ],
)
def test_the_loss_is_the_newest_before_the_scan(tasks, scan, started, detected):
    (found,) = resurrections([*map(deletion, started), *tasks], [scan], ADOPTED)
    assert found["detected"] == detected
    assert found["back"] == (None if detected is None else detected + ENDED - BEGAN)


def test_only_the_deletion_of_a_vm_is_a_loss(tasks, scan):
    other = deletion(BEGAN - 30, description="delete deployment bosh-primary", deployment="bosh-primary")
    assert resurrections([other, *tasks], [scan], ADOPTED) == [FOUND]


def test_each_has_its_own_loss_and_the_newest_is_first(tasks, scan):
    again = scan | {"id": 120, "started_epoch": BEGAN + 1000, "finished_epoch": ENDED + 1000}
    losses = [deletion(BEGAN + 980), deletion(BEGAN - 30)]
    found = resurrections([*losses, *tasks], [again, scan], ADOPTED)
    assert [(one["task"], one["detected"]) for one in found] == [(120, 20), (79, 30)]


def test_without_a_scan_nothing_is_proved(tasks):
    assert resurrections(tasks, [], ADOPTED) == []
    assert resurrections([], [], 0) == []


def test_where_nobody_knows_when_meta_took_over_nothing_is_proved(tasks, scan):
    assert resurrections(tasks, [scan], 0) == []


def _scan(state, started=100, recreates=()):
    return {"id": 1, "state": state, "started_epoch": started, "recreated": list(recreates)}


@pytest.mark.parametrize(
    ("scans", "made", "over"),
    [
        ([], False, False),
        ([_scan("processing", recreates=["bosh/0"])], False, False),
        ([_scan("done")], False, False),
        ([_scan("done", recreates=["bosh/0"])], True, False),
        ([_scan("error", 130), _scan("done", 100, ["bosh/0"])], True, False),
        ([_scan("error", 100)], False, True),
        # The health monitor may ask once more.
        ([_scan("error", 130), _scan("error", 100)], False, False),
        ([_scan("queued", None), _scan("error", 100)], False, False),
    ],
)
def test_a_resurrection_is_waited_for_until_it_recreated_or_failed_for_good(scans, made, over):
    assert (recreated(scans), given_up(scans, now=200, patience=90)) == (made, over)
