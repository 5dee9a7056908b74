# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The create-env manifest that goes on with Primary's data, and the state file that names its disk."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils import rebuilt_manifest as subject
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import cids, read_state

from ..conftest import Failed

ADDRESSES = {"micro": "10.10.0.3", "primary": "10.10.0.4"}
TLS = {"ca": "MICRO-CA", "certificate": "MICRO-CERT", "private_key": "MICRO-KEY"}


def micro() -> dict[str, Any]:
    """As bosh-deployment has it, interpolated."""
    return copy.deepcopy(
        {
            "name": "micro",
            "releases": [
                {"name": "bosh", "version": "283.1.6", "url": "https://x/bosh.tgz", "sha1": "a"},
                {"name": "cpi", "version": "1", "url": "https://x/cpi.tgz", "sha1": "b"},
            ],
            "resource_pools": [
                {
                    "name": "vms",
                    "network": "default",
                    "env": {"bosh": {"password": "x", "mbus": {"cert": TLS}}},
                    "stemcell": {"url": "https://x/stemcell.tgz", "sha1": "c"},
                }
            ],
            "disk_pools": [{"name": "disks", "disk_size": 65536, "cloud_properties": {"type": "ssd"}}],
            "networks": [
                {"name": "default", "type": "manual", "subnets": [{"range": "10.10.0.0/24", "static": ["10.10.0.3"]}]}
            ],
            "instance_groups": [
                {
                    "name": "bosh",
                    "instances": 1,
                    "resource_pool": "vms",
                    "persistent_disk_pool": "disks",
                    "networks": [{"name": "default", "static_ips": ["10.10.0.3"]}],
                    "jobs": [{"name": "director", "release": "bosh", "properties": {"director": {"name": "micro"}}}],
                }
            ],
            "cloud_provider": {
                "template": {"name": "cpi", "release": "cpi"},
                "mbus": "https://mbus:pw@10.10.0.3:6868",
                "cert": TLS,
                "properties": {"agent": {"mbus": "https://mbus:pw@0.0.0.0:6868"}, "ntp": ["110.10.0.3", "10.10.0.31"]},
            },
            "variables": [{"name": "mbus_bootstrap_ssl", "type": "certificate"}],
            "tags": {"a": "b"},
        }
    )


def primary(**properties: Any) -> dict[str, Any]:
    jobs = [
        {"name": "director", "release": "bosh", "properties": {"director": {"name": "primary"}} | properties},
        {"name": "user_add", "release": "os-conf", "properties": {}},
    ]
    return {
        "name": "bosh-primary",
        "releases": [
            {"name": "bosh", "version": "latest"},
            {"name": "os-conf", "version": "22", "url": "https://x/os-conf-22.tgz", "sha1": "d"},
        ],
        "instance_groups": [{"name": "bosh", "instances": 1, "azs": ["z1"], "vm_type": "director", "jobs": jobs}],
        "variables": [{"name": "admin_password", "type": "password"}],
    }


def made(base: Any = None, director: Any = None, **more: Any) -> subject.Rebuilt:
    return subject.rebuilt(base or micro(), director or primary(), ADDRESSES, "disk-1", **more)


def test_the_vm_is_micro_s_and_the_director_is_primary_s():
    manifest = made().manifest
    group = manifest["instance_groups"][0]
    assert [job["name"] for job in group["jobs"]] == ["director", "user_add"]
    assert group["jobs"][0]["properties"]["director"]["name"] == "primary"
    assert (group["resource_pool"], group["persistent_disk_pool"]) == ("vms", "disks")
    assert "vm_type" not in group and "azs" not in group
    assert manifest["resource_pools"][0]["stemcell"]["url"] == "https://x/stemcell.tgz"
    assert manifest["cloud_provider"]["template"] == {"name": "cpi", "release": "cpi"}
    assert (manifest["name"], manifest["tags"]) == ("micro", {"a": "b"})


def test_it_is_at_primary_s_address():
    manifest = made().manifest
    assert manifest["instance_groups"][0]["networks"] == [{"name": "default", "static_ips": ["10.10.0.4"]}]
    assert manifest["networks"][0]["subnets"] == [{"range": "10.10.0.0/24", "static": ["10.10.0.4"]}]
    assert manifest["cloud_provider"]["mbus"] == "https://mbus:pw@10.10.0.4:6868"
    assert manifest["cloud_provider"]["properties"]["ntp"] == ["110.10.0.3", "10.10.0.31"], "other addresses stay"


def test_the_way_to_its_agent_has_a_new_certificate_for_that_address():
    """Micro's is for Micro's address, and the CLI checks it."""
    manifest = made().manifest
    assert manifest["cloud_provider"]["cert"] == "((rebuilt_mbus_tls))"
    assert manifest["resource_pools"][0]["env"]["bosh"] == {"password": "x", "mbus": {"cert": "((rebuilt_mbus_tls))"}}
    assert "MICRO-" not in json.dumps(manifest)
    assert [one["name"] for one in manifest["variables"]] == ["rebuilt_mbus_ca", "rebuilt_mbus_tls"]
    assert "10.10.0.4" in manifest["variables"][1]["options"]["alternative_names"]


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("10.10.0.3", ["10.10.0.4", "127.0.0.1"]),
        ("203.0.113.5", ["10.10.0.4", "127.0.0.1", "203.0.113.5"]),
        ("bosh.example.com", ["10.10.0.4", "127.0.0.1", "bosh.example.com"]),
        ("[2001:db8::5]", ["10.10.0.4", "127.0.0.1", "2001:db8::5"]),
        ("10.10.0.30", ["10.10.0.4", "127.0.0.1", "10.10.0.30"]),
    ],
)
def test_the_certificate_has_the_host_by_which_the_cli_reaches_the_agent(host, names):
    """As bosh-deployment's external-ip-not-recommended.yml has it; the CLI verifies the host."""
    base = micro()
    base["cloud_provider"]["mbus"] = f"https://mbus:pw@{host}:6868"
    assert made(base).manifest["variables"][1]["options"]["alternative_names"] == names


def test_a_host_that_is_a_variable_is_refused():
    base = micro()
    base["cloud_provider"]["mbus"] = "https://mbus:pw@((external_ip)):6868"
    with pytest.raises(ValueError, match="no value is known of external_ip"):
        made(base)


@pytest.mark.parametrize("mbus", ["https://mbus:pw@:6868", "https://mbus:pw@[fd00::6:6868"])
def test_an_endpoint_without_a_host_is_refused(mbus):
    base = micro()
    base["cloud_provider"]["mbus"] = mbus
    with pytest.raises(ValueError, match=r"cloud_provider\.mbus has no host"):
        made(base)


def test_neighbours_of_an_ipv6_address_stay():
    given = {"micro": "fd00::6", "primary": "fd00::7"}
    base, director = micro(), primary(dns={"recursor": "FD00:0::6"}, ntp=["fd00::6a"])
    base["networks"][0]["subnets"] = [{"range": "fd00::/64", "static": ["fd00::6"]}]
    base["instance_groups"][0]["networks"][0]["static_ips"] = ["FD00::0:6"]
    base["cloud_provider"]["mbus"] = "https://mbus:pw@[fd00::6]:6868"
    base["cloud_provider"]["properties"]["ntp"] = ["fd00::6a"]
    manifest = subject.rebuilt(base, director, given, "disk-1").manifest
    assert manifest["cloud_provider"]["mbus"] == "https://mbus:pw@[fd00::7]:6868"
    assert manifest["cloud_provider"]["properties"]["ntp"] == ["fd00::6a"]
    assert manifest["networks"][0]["subnets"] == [{"range": "fd00::/64", "static": ["fd00::7"]}]
    assert manifest["instance_groups"][0]["networks"][0]["static_ips"] == ["fd00::7"]
    assert manifest["instance_groups"][0]["jobs"][0]["properties"]["dns"] == {}
    assert manifest["variables"][1]["options"]["alternative_names"] == ["fd00::7", "127.0.0.1"]


@pytest.mark.parametrize("env", [None, {}, {"bosh": None}, {"bosh": {"mbus": None}}])
def test_an_agent_without_a_certificate_gets_one(env):
    base = micro()
    base["resource_pools"][0]["env"] = env
    assert made(base).manifest["resource_pools"][0]["env"]["bosh"]["mbus"]["cert"] == "((rebuilt_mbus_tls))"


def test_the_disk_is_the_current_one_and_is_not_migrated(tmp_path):
    """create-env compares size and cloud properties of record and pool, and makes a new disk where they differ."""
    result = made()
    pool = result.manifest["disk_pools"][0]
    state = subject.state(result.disk)
    assert (result.disk["size"], result.disk["cloud_properties"]) == (pool["disk_size"], pool["cloud_properties"])
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    assert cids(read_state(str(tmp_path / "state.json"))) == {
        "vm_cid": "",
        "disk_cid": "disk-1",
        "disk_cids": ["disk-1"],
    }
    assert state["current_manifest_sha"] == "", "else create-env would skip the deploy"


def test_a_disk_without_a_pool_has_the_group_s_size():
    base = micro()
    del base["instance_groups"][0]["persistent_disk_pool"], base["disk_pools"]
    base["instance_groups"][0]["persistent_disk"] = 1024
    result = made(base)
    assert (result.disk["size"], result.disk["cloud_properties"]) == (1024, {})
    assert result.manifest["instance_groups"][0]["persistent_disk"] == 1024
    del base["instance_groups"][0]["persistent_disk"]
    with pytest.raises(ValueError, match="no persistent disk"):
        made(base)


def test_the_resurrector_is_off_and_that_is_said():
    result = made(director=primary(hm={"resurrector_enabled": True}))
    assert result.manifest["instance_groups"][0]["jobs"][0]["properties"]["hm"] == {"resurrector_enabled": False}
    assert [note for note in result.notes if "resurrector" in note]


def test_what_still_names_micro_is_said():
    notes = made(director=primary(ntp=["10.10.0.3"])).notes
    assert [note for note in notes if "/ntp/0 names Micro's address" in note]


def test_a_recursor_at_micro_s_address_is_left_out():
    result = made(director=primary(dns={"recursor": "10.10.0.3"}))
    assert result.manifest["instance_groups"][0]["jobs"][0]["properties"]["dns"] == {}
    assert result.notes == ["dns.recursor is left out: 10.10.0.3 is Micro's"]
    other = {"recursor": "10.10.0.30"}
    assert made(director=primary(dns=other)).manifest["instance_groups"][0]["jobs"][0]["properties"]["dns"] == other


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"bosh": "283.1.6"}, ""),
        ({}, ""),
        ({"bosh": "283.1.5"}, "used with bosh 283.1.5; this one is 283.1.6"),
        ({"os-conf": "22"}, ""),
    ],
)
def test_a_newer_release_is_said(wanted, told):
    result = made(wanted=wanted)
    assert result.releases == ["bosh/283.1.6", "cpi/1", "os-conf/22"]
    assert all(one["url"] for one in result.manifest["releases"])
    assert told in "; ".join(result.notes)
    assert bool(told) == bool(result.notes)


def test_an_older_release_is_refused():
    with pytest.raises(ValueError, match=r"last used with bosh 284\.0\.0, and the kit has a URL of 283\.1\.6 only"):
        made(wanted={"bosh": "284.0.0"})


def test_primary_s_own_release_is_taken_where_it_is_the_one():
    given = [{"url": "https://x/bosh-284.0.0.tgz", "sha1": "e"}]
    result = made(given=given, wanted={"bosh": "284.0.0"})
    assert result.manifest["releases"][0] == {"name": "bosh", "url": "https://x/bosh-284.0.0.tgz", "sha1": "e"}
    assert made(given=given, wanted={"bosh": "283.1.6"}).releases[0] == "bosh/283.1.6"


def test_a_release_that_nobody_has_is_refused():
    director = primary()
    del director["releases"][1]["url"]
    with pytest.raises(ValueError, match="URL of the release os-conf"):
        made(director=director, given=[{"url": "/t/release.tgz", "version": "1"}])


def test_a_network_without_primary_s_address_is_refused():
    base = micro()
    base["networks"][0]["subnets"][0]["range"] = "10.10.0.0/30"
    with pytest.raises(ValueError, match=r"does not hold Primary's address 10\.10\.0\.4"):
        made(base)
    base = micro()
    base["instance_groups"][0]["networks"][0]["static_ips"] = ["10.10.0.9"]
    with pytest.raises(ValueError, match="among its static IPs"):
        made(base)


def test_values_that_nobody_has_are_refused():
    """The director that deployed Primary may have had a config server."""
    with pytest.raises(ValueError, match=r"no value is known of /micro/x, admin\.password:"):
        made(director=primary(a="((admin.password))", b="x((/micro/x))y"))


def test_several_groups_are_told_apart_by_name():
    director = primary()
    director["instance_groups"].append({"name": "other", "jobs": []})
    assert made(director=director, group="bosh").manifest["instance_groups"][0]["name"] == "bosh"
    with pytest.raises(ValueError, match="2 instance groups"):
        made(director=director)


def test_variables_that_would_be_made_anew_are_named():
    assert subject.undefined(primary(), {"other"}) == ["admin_password"]
    assert subject.undefined(primary(), {"admin_password"}) == []


@pytest.fixture
def site(tmp_path, said):
    """Arguments of the module, and a CLI that has nothing to interpolate."""
    for name, manifest in (("micro", micro()), ("primary", primary())):
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    (tmp_path / "vars.yml").write_text("admin_password: x\n", encoding="utf-8")

    def runner(command, environ_update, **_options):
        if command[1:] == ["--version"]:
            return 0, "version 7.10.0-a\n", ""
        path = command[command.index("interpolate") + 1]
        return (*said((tmp_path / path).read_text(encoding="utf-8")), "")

    args = {
        "micro": {"manifest": str(tmp_path / "micro.yml")},
        "primary": {"manifest": str(tmp_path / "primary.yml"), "vars_store": str(tmp_path / "vars.yml")},
        "micro_address": "10.10.0.3",
        "primary_address": "10.10.0.4",
        "disk_cid": "disk-1",
        "versions": ["bosh/283.1.6"],
        "dest": str(tmp_path / "rebuilt" / "micro.yml"),
        "state_file": str(tmp_path / "rebuilt" / "state.json"),
    }
    return args, runner, tmp_path


def test_the_module_writes_both_files_for_their_owner_and_no_second_time(site, run_module):
    args, runner, top = site
    result, _replay = run_module("rebuilt_manifest", args, runner=runner, check=True)
    assert result["changed"] and not (top / "rebuilt").exists()
    result, _replay = run_module("rebuilt_manifest", args, runner=runner)
    assert result["changed"] and result["missing"] == []
    assert "MICRO" not in json.dumps(result) and "pw@" not in json.dumps(result), "no secret is told"
    for name in ("micro.yml", "state.json"):
        assert (top / "rebuilt" / name).stat().st_mode & 0o777 == 0o600
    before = (top / "rebuilt" / "state.json").read_text(encoding="utf-8")
    result, _replay = run_module("rebuilt_manifest", args, runner=runner)
    assert not result["changed"]
    assert (top / "rebuilt" / "state.json").read_text(encoding="utf-8") == before


def test_texts_that_look_like_numbers_stay_texts(site, run_module):
    args, runner, top = site
    base = micro()
    texts = ["12e03", "y", "0o17", "=", "2026-12-01", "~", "\U0001f600", "<<"]
    base["instance_groups"][0]["env"] = {"bosh": {"passwords": texts}}
    base["resource_pools"][0]["env"]["texts"] = texts
    (top / "micro.yml").write_text(json.dumps(base, ensure_ascii=False), encoding="utf-8")
    run_module("rebuilt_manifest", args, runner=runner)
    written = (top / "rebuilt" / "micro.yml").read_text(encoding="utf-8")
    assert bosh_yaml.load(written)["resource_pools"][0]["env"]["texts"] == texts


def test_a_state_file_of_another_disk_is_refused(site, run_module):
    args, runner, _top = site
    run_module("rebuilt_manifest", args, runner=runner)
    with pytest.raises(Failed, match="names the disk disk-1 and not disk-2"):
        run_module("rebuilt_manifest", args | {"disk_cid": "disk-2"}, runner=runner)


def test_variables_that_are_lost_are_refused_before_the_cli_makes_new_ones(site, run_module):
    args, runner, top = site
    (top / "vars.yml").write_text("other: x\n", encoding="utf-8")
    with pytest.raises(Failed, match="Primary have admin_password"):
        run_module("rebuilt_manifest", args, runner=runner)


def test_local_tarballs_are_found_or_named(site, run_module):
    args, runner, top = site
    base = micro()
    base["releases"][0]["url"] = "file://bosh.tgz"
    base["resource_pools"][0]["stemcell"]["url"] = "/gone/stemcell.tgz"
    (top / "micro.yml").write_text(yaml.safe_dump(base), encoding="utf-8")
    (top / "tarballs").mkdir()
    (top / "tarballs" / "stemcell.tgz").touch()
    more = {"relative_to": "/was/here", "tarballs": str(top / "tarballs")}
    result, _replay = run_module("rebuilt_manifest", args | more, runner=runner)
    assert result["missing"] == ["/was/here/bosh.tgz"]
    manifest = yaml.safe_load((top / "rebuilt" / "micro.yml").read_text(encoding="utf-8"))
    assert manifest["resource_pools"][0]["stemcell"]["url"] == f"file://{top}/tarballs/stemcell.tgz"
    assert manifest["releases"][0]["url"] == "file:///was/here/bosh.tgz"
