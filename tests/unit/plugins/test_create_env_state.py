# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import create_env_state as state

GOOD = {
    "director_id": "d1",
    "current_vm_cid": "vm-1",
    "current_disk_id": "k1",
    "current_stemcell_id": "s1",
    "disks": [{"id": "k1", "cid": "disk-1", "size": 1024}],
    "stemcells": [{"id": "s1", "name": "debian", "version": "1.1", "cid": "stemcell-1"}],
    "releases": [],
}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "state.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def test_a_good_state(written):
    found = state.read_state(written(GOOD))
    assert (state.current_vm_cid(found), state.current_disk_cid(found)) == ("vm-1", "disk-1")


def test_no_state_yet(tmp_path):
    assert state.read_state(str(tmp_path / "none.json")) == {}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("", "cannot be read as JSON"),
        ('{"director_id": "d1"', "cannot be read as JSON"),
        ([], "no JSON object"),
        ({"disks": []}, "no director_id"),
        (GOOD | {"stemcells": [{}]}, r"stemcells\[0\] has no id, name, version, cid"),
        (GOOD | {"stemcells": [GOOD["stemcells"][0] | {"cid": ""}]}, r"stemcells\[0\] has no cid"),
        (GOOD | {"disks": []}, "current_disk_id k1 is not among its disks"),
        (GOOD | {"current_stemcell_id": "other"}, "current_stemcell_id other"),
        ("\ufeff" + json.dumps(GOOD), "BOM"),
        (" \n", "it is empty"),
        ("null", "it is empty"),
        ('{"director_id": NaN}', "NaN is no JSON"),
        ({}, "no director_id"),
        (GOOD | {"director_id": 7}, "director_id is no text"),
        (GOOD | {"current_vm_cid": ["vm-1"]}, "current_vm_cid is no text"),
        (GOOD | {"stemcells": {}}, "stemcells is no list"),
        (GOOD | {"releases": ["bosh"]}, r"releases\[0\] has no id, name, version"),
        (GOOD | {"disks": [GOOD["disks"][0] | {"size": "1024"}]}, r"disks\[0\] has size of another type"),
        (GOOD | {"disks": [GOOD["disks"][0] | {"cid": 5}]}, r"disks\[0\] has cid of another type"),
        (GOOD | {"disks": [GOOD["disks"][0] | {"cloud_properties": []}]}, "cloud_properties of another type"),
        (GOOD | {"disks": GOOD["disks"] * 2}, r"disks\[0\] and disks\[1\] have the same id"),
        (
            GOOD
            | {
                "stemcells": [*GOOD["stemcells"], {"id": "s2", "name": "debian", "version": "1.2", "cid": "stemcell-1"}]
            },
            "have the same cid",
        ),
        (
            GOOD
            | {
                "stemcells": [*GOOD["stemcells"], {"id": "s2", "name": "debian", "version": "1.1", "cid": "stemcell-2"}]
            },
            "have the same name and version",
        ),
        (GOOD | {"current_release_ids": "r1"}, "current_release_ids is no list"),
        (GOOD | {"current_stemcell_id": ""}, r"current_stemcell_id is empty .* s1 \(debian/1\.1, stemcell-1\)"),
        (GOOD | {"current_stemcell_id": None}, "current_stemcell_id is empty"),
        (GOOD | {"current_disk_id": ""}, r"current_disk_id is empty .* k1 \(disk-1\)"),
    ],
)
def test_a_damaged_state_is_refused_by_name(written, broken, words):
    path = written(broken)
    with pytest.raises(state.DamagedState, match=words) as caught:
        state.read_state(path)
    assert path in str(caught.value)


def test_a_copy_is_kept_for_its_owner_only(written, tmp_path):
    copy = state.keep_copy(written(GOOD), str(tmp_path / "copies"))
    assert json.loads(Path(copy).read_text(encoding="utf-8")) == GOOD
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600


@pytest.mark.parametrize(
    "empty", [{"disks": None}, {"releases": None}, {"current_release_ids": None}, {"a_new_key": 1}]
)
def test_what_the_cli_itself_accepts_is_accepted(written, empty):
    whole = GOOD | ({"current_disk_id": ""} if "disks" in empty else {}) | empty
    assert state.read_state(written(whole)) == whole


def test_a_state_without_a_current_record_can_be_read_to_delete_it(written):
    lost = GOOD | {"current_stemcell_id": "", "current_disk_id": "", "current_vm_cid": ""}
    assert state.cids(state.read_state(written(lost), to_deploy=False))["disk_cids"] == ["disk-1"]


def test_a_retry_with_the_recorded_stemcell_loses_nothing():
    lost = GOOD | {"current_stemcell_id": ""}
    assert state.without_current(lost, [("debian-go_agent", "1.1"), ("debian", "1.1")]) == ""
    assert "s1" in state.without_current(lost, [("debian", "1.2")])
    two = lost | {
        "stemcells": [*GOOD["stemcells"], {"id": "s0", "name": "debian", "version": "1.0", "cid": "stemcell-0"}]
    }
    assert "stemcell-0" in state.without_current(two, [("debian", "1.1")])
