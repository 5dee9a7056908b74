# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two directors over the same data have the same snapshot, and over other data another one."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import director_facts
from ansible_collections.bosh.ha.plugins.module_utils.snapshot import snapshot
from hypothesis import given
from hypothesis import strategies as st

SAID = {
    "changed": False,
    "reachable": True,
    "director": {"name": "micro", "uuid": "3dc705d1", "version": "283.1.0", "cpi": "rig_cpi", "user": "admin"},
    "deployments": [{"name": "bosh-primary", "releases": ["bosh/283.1.6"], "stemcells": ["debian/1.1"]}],
    "releases": [
        {"name": "bosh", "version": "283.1.6", "deployed": True},
        {"name": "bosh", "version": "283.1.5", "deployed": False},
    ],
    "stemcells": [{"name": "debian", "version": "1.1", "cid": "stemcell-1", "os": "debian", "deployed": True}],
    "configs": [{"type": "cloud", "name": "default", "id": "1"}, {"type": "runtime", "name": "default", "id": "2"}],
    "vms": [
        {"instance": "bosh/1", "vm_cid": "vm-1", "process_state": "running", "az": "z1", "ips": ["10.10.0.4"]},
        {"instance": "bosh/0", "vm_cid": "vm-0", "process_state": "running", "az": "z1", "ips": ["10.10.0.9"]},
    ],
}
SUBSETS = ("deployments", "releases", "stemcells", "configs", "vms")
TASK = {
    "id": 7,
    "state": "done",
    "user": "admin",
    "deployment": "bosh-primary",
    "description": "retrieve vm-stats",
    "result": "",
    "started_at": "Fri Nov 21 03:00:00 UTC 2026",
    "finished_at": "Fri Nov 21 03:00:01 UTC 2026",
    "started_epoch": 1795230000,
    "finished_epoch": 1795230001,
}


def test_what_is_written_down():
    assert snapshot(SAID, [TASK], [{"disk_cids": ["disk-1"]}]) == {
        "uuid": "3dc705d1",
        "deployments": [{"name": "bosh-primary", "releases": ["bosh/283.1.6"], "stemcells": ["debian/1.1"]}],
        "releases": [
            {"name": "bosh", "version": "283.1.5", "deployed": False},
            {"name": "bosh", "version": "283.1.6", "deployed": True},
        ],
        "stemcells": [{"name": "debian", "version": "1.1", "os": "debian", "cid": "stemcell-1", "deployed": True}],
        "configs": [{"type": "cloud", "name": "default", "id": "1"}, {"type": "runtime", "name": "default", "id": "2"}],
        "vms": [
            {"instance": "bosh/0", "vm_cid": "vm-0", "az": "z1", "ips": ["10.10.0.9"]},
            {"instance": "bosh/1", "vm_cid": "vm-1", "az": "z1", "ips": ["10.10.0.4"]},
        ],
        "primary_disks": ["disk-1"],
        "last_task": {key: value for key, value in TASK.items() if not key.endswith("_epoch")},
    }


def test_the_name_of_the_director_and_the_state_of_an_agent_do_not_count():
    other = copy.deepcopy(SAID)
    other["director"] |= {"name": "meta", "user": "bosh_ha", "version": "283.1.1"}
    other["vms"][0]["process_state"] = "unresponsive agent"
    assert snapshot(other, [TASK]) == snapshot(SAID, [TASK])


@pytest.mark.parametrize(
    ("subset", "key"),
    [
        ("deployments", "name"),
        ("deployments", "releases"),
        ("deployments", "stemcells"),
        ("releases", "version"),
        ("releases", "deployed"),
        ("stemcells", "cid"),
        ("configs", "id"),
        ("vms", "vm_cid"),
        ("vms", "az"),
        ("vms", "ips"),
    ],
)
def test_what_counts(subset, key):
    other = copy.deepcopy(SAID)
    other[subset][0][key] = "another"
    assert snapshot(other, [TASK]) != snapshot(SAID, [TASK])


def test_the_uuid_is_the_databases():
    other = SAID | {"director": SAID["director"] | {"uuid": "another"}}
    assert snapshot(other, [TASK]) != snapshot(SAID, [TASK])


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_lost_row_is_seen(subset):
    assert snapshot(SAID | {subset: SAID[subset][1:]}, [TASK]) != snapshot(SAID, [TASK])


def test_only_the_newest_task_counts():
    assert snapshot(SAID, [TASK, TASK | {"id": 6}]) == snapshot(SAID, [TASK])
    assert snapshot(SAID, [TASK | {"id": 8}, TASK]) != snapshot(SAID, [TASK])


def test_a_director_that_never_had_a_task():
    assert snapshot(SAID, [])["last_task"] == {}


def test_a_key_that_a_row_does_not_have_is_empty():
    said = SAID | {"vms": [{"instance": "bosh/0", "vm_cid": "vm-0"}]}
    assert snapshot(said, [])["vms"] == [{"instance": "bosh/0", "vm_cid": "vm-0", "az": "", "ips": ""}]


@given(st.data())
def test_the_order_of_the_rows_does_not_count_and_nothing_is_changed(data):
    shuffled = SAID | {subset: data.draw(st.permutations(SAID[subset])) for subset in SUBSETS}
    before = copy.deepcopy(shuffled)
    assert snapshot(shuffled, [TASK]) == snapshot(SAID, [TASK])
    assert shuffled == before


def test_the_snapshot_of_a_recorded_director(cli):
    answers = {name: name for name in ("deployments", "releases", "stemcells", "configs")} | {"vms": "vms_all"}
    bosh, _replay = cli(answers)
    said = {"director": {"uuid": "3dc705d1"}} | director_facts.gather(bosh, set(SUBSETS))
    known = snapshot(said, [])
    assert [deployment["name"] for deployment in known["deployments"]] == ["bosh-primary"]
    # Nothing that is compared is missing from what the CLI says.
    assert all("" not in row.values() for subset in SUBSETS for row in known[subset])
