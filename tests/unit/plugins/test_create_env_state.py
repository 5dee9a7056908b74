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
