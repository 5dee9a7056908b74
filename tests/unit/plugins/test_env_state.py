# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole module env_state, over state files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import DamagedState, read_state

from ..conftest import Failed
from .test_create_env_state import GOOD

# What the CLI writes, more than we look at, and a key that only a newer CLI would know.
FULL = GOOD | {
    "installation_id": "i1",
    "current_manifest_sha": "abc",
    "current_ip": "10.10.0.3",
    "current_release_ids": ["r1"],
    "disks": [{"id": "k0", "cid": "disk-0", "size": 512}, *GOOD["disks"]],
    "releases": [{"id": "r1", "name": "bosh", "version": "283.1.0"}],
    "of_a_newer_cli": {"name": "Zürich"},
}
NAMED = {"vm_cid": "vm-1", "disk_cid": "disk-1", "disk_cids": ["disk-1", "disk-0"]}


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "micro-state.json"
    path.write_text(json.dumps(FULL, indent=4), encoding="utf-8")
    path.chmod(0o640)
    return path


def named(result):
    return {key: result[key] for key in NAMED}


def test_what_the_state_file_names(run_module, state):
    before = state.read_bytes()
    result, replay = run_module("env_state", {"state_file": str(state)})
    assert (result["changed"], named(result)) == (False, NAMED)
    assert result["exists"] is True
    assert "state_copy" not in result
    assert state.read_bytes() == before
    assert os.listdir(state.parent) == [state.name]
    assert replay.calls == [], "neither the CLI nor a director is asked"


def test_no_file_names_nothing(run_module, tmp_path):
    wanted = {"state_file": str(tmp_path / "none.json")}
    for options in ({}, {"forget_vm_cid": "vm-1"}):
        result, _replay = run_module("env_state", wanted | options)
        assert (result["changed"], named(result)) == (False, {"vm_cid": "", "disk_cid": "", "disk_cids": []})
        assert result["exists"] is False
    assert os.listdir(tmp_path) == []


def test_the_vm_is_forgotten_and_everything_else_is_kept(run_module, state):
    wanted = {"state_file": str(state), "forget_vm_cid": "vm-1"}
    result, _replay = run_module("env_state", wanted)
    assert (result["changed"], named(result), result["exists"]) == (True, NAMED | {"vm_cid": ""}, True)
    # With the manifest's digest create-env would skip the deploy.
    after = json.loads(state.read_text(encoding="utf-8"))
    assert after == FULL | {"current_vm_cid": "", "current_manifest_sha": ""}
    assert list(after) == list(FULL)
    result, _replay = run_module("env_state", wanted)
    assert (result["changed"], named(result)) == (False, NAMED | {"vm_cid": ""})


def test_the_file_keeps_its_mode(run_module, state):
    run_module("env_state", {"state_file": str(state), "forget_vm_cid": "vm-1"})
    assert stat.S_IMODE(state.stat().st_mode) == 0o640


@pytest.mark.parametrize("given", ["", "copies"])
def test_a_copy_is_kept_of_what_was_there(run_module, state, tmp_path, given):
    before = state.read_bytes()
    options = {"backup_dir": str(tmp_path / given)} if given else {}
    result, _replay = run_module("env_state", {"state_file": str(state), "forget_vm_cid": "vm-1"} | options)
    copy = Path(result["state_copy"])
    assert copy.parent == tmp_path / (given or "state-copies")
    assert copy.read_bytes() == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("gone", ["vm-2", "vm-", "VM-1", "disk-1", ""])
def test_another_vm_is_not_forgotten(run_module, state, gone):
    before = state.read_bytes()
    result, _replay = run_module("env_state", {"state_file": str(state), "forget_vm_cid": gone})
    assert (result["changed"], named(result)) == (False, NAMED)
    assert state.read_bytes() == before
    assert os.listdir(state.parent) == [state.name]


def test_check_mode_writes_nothing(run_module, state):
    before, written = state.read_bytes(), state.stat().st_mtime_ns
    result, _replay = run_module("env_state", {"state_file": str(state), "forget_vm_cid": "vm-1"}, check=True)
    assert (result["changed"], named(result)) == (True, NAMED | {"vm_cid": ""})
    assert "state_copy" not in result
    assert (state.read_bytes(), state.stat().st_mtime_ns) == (before, written)
    assert os.listdir(state.parent) == [state.name]
    result, _replay = run_module("env_state", {"state_file": str(state), "forget_vm_cid": "vm-2"}, check=True)
    assert result["changed"] is False


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "has no director_id"),
        (json.dumps(FULL | {"stemcells": [{}]}), "stemcells[0] has no id, name, version, cid"),
        (json.dumps(FULL | {"disks": 5}), "disks is no list"),
        (json.dumps(FULL | {"current_disk_id": "k9"}), "current_disk_id k9 is not among its disks"),
    ],
)
def test_a_damaged_state_is_refused_in_one_sentence(run_module, state, broken, words):
    state.write_text(broken, encoding="utf-8")
    with pytest.raises(Failed) as failed:
        run_module("env_state", {"state_file": str(state), "forget_vm_cid": "vm-1"})
    told = failed.value.result["msg"]
    assert str(state) in told and words in told and "\n" not in told
    assert "exception" not in failed.value.result
    assert state.read_text(encoding="utf-8") == broken
    assert os.listdir(state.parent) == [state.name]


@pytest.mark.parametrize("records", ["stemcells", "disks", "releases"])
@pytest.mark.parametrize("other", [5, 0, True, False, 1.5, "disk-1", "", {"id": "k1"}, {}])
def test_records_of_another_type_are_damage(state, records, other):
    state.write_text(json.dumps(FULL | {records: other}), encoding="utf-8")
    with pytest.raises(DamagedState) as caught:
        read_state(str(state))
    assert str(caught.value) == f"the state file {state} is damaged: {records} is no list"


@pytest.mark.parametrize("records", ["stemcells", "disks", "releases"])
@pytest.mark.parametrize("other", [5, None, "k1", ["k1"], True])
def test_a_record_that_is_no_mapping_is_damage(state, records, other):
    state.write_text(json.dumps(FULL | {records: [*FULL[records], other]}), encoding="utf-8")
    with pytest.raises(DamagedState) as caught:
        read_state(str(state))
    assert f"{records}[{len(FULL[records])}] has no id, " in str(caught.value)


def test_null_is_an_empty_list(state):
    """Go writes a list that nobody filled as null."""
    state.write_text(json.dumps(FULL | {"releases": None}), encoding="utf-8")
    assert read_state(str(state))["releases"] is None
