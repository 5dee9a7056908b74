# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the out-of-band kit holds, and what it has from the one before."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import out_of_band_kit as kits

NAMES = {"primary": "bosh-primary", "meta": "bosh-meta"}
VM = {"vm_cid": "vm-1", "disk_cids": ["disk-1"]}


def kit(**more: Any) -> dict[str, Any]:
    return {
        "readme": "r",
        "made": "now",
        "directors": {"primary": {"address": "10.10.0.4"}},
        "inputs": {},
        "origins": {},
        "files": {},
    } | more


def test_each_file_has_a_place_of_its_own(tmp_path):
    (tmp_path / "work").mkdir()
    for name in ("primary-resurrector.yml", "micro-snapshot.json", "kit.vault"):
        (tmp_path / "work" / name).touch()
    same = {"manifest": "/a/x.yml", "ops_files": ["/b/x.yml", "/c/x.yml"], "vars_store": "/d/x.yml", "address": "1"}
    directors = {"micro": same, "primary": same | {"ca_cert": "/e/ca.pem"}, "meta": same | {"ca_cert": "-----BEGIN X"}}
    told, files = kits.inventory(directors, "/f/known_hosts", str(tmp_path / "work"), ["/g/key"])
    assert told["micro"]["ops_files"] == ["micro/ops_files/0/x.yml", "micro/ops_files/1/x.yml"]
    assert [files[path] for path in told["micro"]["ops_files"]] == ["/b/x.yml", "/c/x.yml"]
    assert files[told["primary"]["ca_cert"]] == "/e/ca.pem"
    assert told["meta"]["ca_cert"] == "-----BEGIN X"
    assert files["known_hosts/known_hosts"] == "/f/known_hosts"
    assert files["more/0/key"] == "/g/key"
    assert sorted(path for path in files if path.startswith("work_dir/")) == [
        "work_dir/micro-snapshot.json",
        "work_dir/primary-resurrector.yml",
    ]
    assert len(set(files.values())) == 4 + 1 + 2 + 1 + 1 + 1, "x.yml of the state file's default, CA, work, hosts, key"


def test_what_is_told_has_its_time_and_nothing_is_said():
    fresh = kit(directors={"primary": {"api": {"uuid": "u"}, "deployed": {"by": "meta"}, "vm": VM}})
    made, said = kits.merged(fresh, {}, "12:00")
    assert made["directors"]["primary"]["vm"] == VM | {"told_at": "12:00"}
    assert said == []


def test_what_nobody_tells_now_is_kept_with_its_time_and_said():
    former, _said = kits.merged(kit(directors={"primary": {"vm": VM}}), {}, "11:00")
    made, said = kits.merged(kit(), former, "12:00")
    assert made["directors"]["primary"]["vm"] == VM | {"told_at": "11:00", "stale": True}
    assert "primary: nobody tells the CIDs of its VM and disk now; the kit keeps what was told at 11:00" in said
    assert "primary: nobody tells its UUID, version and deployments, and no kit before had them" in said
    again, _said = kits.merged(kit(directors={"primary": {"vm": VM}}), made, "13:00")
    assert again["directors"]["primary"]["vm"] == VM | {"told_at": "13:00"}


def test_a_file_that_is_gone_is_kept_and_said():
    origins = {"a/x": "/x", "b/y": "/y"}
    former = kit(origins=origins, files={"a/x": "old"})
    made, said = kits.merged(kit(origins=origins), former, "12:00")
    assert made["files"] == {"a/x": "old"}
    assert "/x is not there; the kit keeps it as it was" in said
    assert "/y is not there; the kit is without it" in said


def test_time_alone_is_no_difference_but_a_file_s_text_is():
    one, _said = kits.merged(kit(directors={"primary": {"vm": VM}}), {}, "11:00")
    other, _said = kits.merged(kit(directors={"primary": {"vm": VM}}, made="later"), one, "12:00")
    assert kits.same(one, other)
    assert not kits.same(kit(files={"made": "1"}), kit(files={"made": "2"}))
    assert not kits.same(one, kits.merged(kit(), one, "12:00")[0]), "that nobody answers is worth a kit"


def test_an_unpacked_kit_names_only_files_that_it_has():
    directors = {name: {"manifest": f"/{name}.yml", "vars_store": f"/{name}-vars.yml"} for name in kits.inputs.NAMES}
    told, _files = kits.inventory(directors)
    found = kits.unpacked_inputs({"inputs": told, "files": {"micro/manifest/micro.yml": ""}}, "/there")
    assert found["micro"]["manifest"] == "/there/micro/manifest/micro.yml"
    assert (found["micro"]["vars_store"], found["primary"]["manifest"]) == ("", "")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", ".."])
def test_a_path_that_leads_out_is_refused(path):
    with pytest.raises(ValueError, match="leads out of it"):
        kits.check(kit(files={path: ""}))


@pytest.mark.parametrize("data", [None, [], "text", {"files": {}}])
def test_what_is_no_kit_is_refused(data):
    with pytest.raises(ValueError, match="no out-of-band kit"):
        kits.check(data)


def answer(name: str, *deployments: str) -> dict[str, Any]:
    rows = [{"name": other, "releases": ["bosh/1"], "stemcells": ["s/1"]} for other in deployments]
    return {"item": name, "logged_in": True, "director": {"uuid": f"uuid-{name}"}, "deployments": rows}


def test_meta_tells_of_primary_where_micro_knows_it_too():
    asked = [answer("micro", "bosh-primary"), answer("primary", "bosh-meta"), answer("meta", "bosh-primary")]
    assert kits.deployers(asked, NAMES) == [{"of": "primary", "by": "meta"}, {"of": "meta", "by": "primary"}]
    assert kits.deployers(asked[:2], NAMES)[0] == {"of": "primary", "by": "micro"}
    assert kits.deployers([{"item": "meta", "skipped": True}], NAMES) == []


def test_only_what_was_told_is_in_it():
    asked = [answer("meta", "bosh-primary"), {"item": "primary", "logged_in": False}]
    seen = [{"item": {"of": "primary", "by": "meta"}, "instances": [VM | {"instance": "bosh/x", "az": "z1"}]}]
    found = kits.told(asked, seen, NAMES)
    assert found["primary"]["vm"] == VM | {"instance": "bosh/x", "az": "z1", "by": "meta"}
    assert found["primary"]["deployed"] == {"by": "meta", "releases": ["bosh/1"], "stemcells": ["s/1"]}
    assert "api" not in found["primary"]
    assert found["meta"]["api"]["uuid"] == "uuid-meta"
    assert "vm" not in found["meta"]


@pytest.mark.parametrize("instances", [[], [{"vm_cid": "vm-1", "disk_cids": []}], [VM, VM]])
def test_an_instance_without_a_disk_tells_no_cids(instances):
    """The kit before it knows the disk."""
    seen = [{"item": {"of": "primary", "by": "meta"}, "instances": instances}]
    assert "vm" not in kits.told([answer("meta", "bosh-primary")], seen, NAMES)["primary"]
