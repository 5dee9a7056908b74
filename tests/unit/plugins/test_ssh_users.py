# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users for a while on a deployment's VMs: what is asked, and what is made of the answer."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import ssh_users

KEY = "ssh-rsa AAAAB3NzaC1yc2E"
MANIFEST = {
    "instance_groups": [
        {
            "name": "db",
            "jobs": [
                {"name": "postgres", "release": "pg", "properties": {"bbr": {"backup_one_restore_all": True}}},
                {"name": "route", "release": "net", "properties": {"bbr": {"backup_one_restore_all": False}}},
                {"name": "bare", "release": "net"},
            ],
        },
        {"name": "web", "jobs": [{"name": "nginx", "release": "net"}]},
        {"name": "empty"},
    ]
}


def instance(group: str, uid: str, index: int | None, bootstrap: bool = False) -> dict:
    return {"group": group, "id": uid, "index": index, "bootstrap": bootstrap}


def said(group: str, uid: str, **more: object) -> dict:
    address = f"10.0.0.{len(uid)}"
    answer = {"status": "success", "job": group, "id": uid, "ip": address, "host_public_key": f"{KEY} root@builder"}
    return answer | more


def test_each_vm_with_what_bbr_wants_to_know_of_it():
    known = [instance("db", "aa", 1), instance("db", "a", 0, True), instance("web", "aaa", 0, True)]
    found = ssh_users.hosts(json.dumps([said("web", "aaa"), said("db", "aa"), said("db", "a")]), known, MANIFEST)
    assert [(one["group"], one["index"], one["address"]) for one in found] == [
        ("db", "0", "10.0.0.1"),
        ("db", "1", "10.0.0.2"),
        ("web", "0", "10.0.0.3"),
    ]
    assert found[0]["releases"] == {"postgres": "pg", "route": "net", "bare": "net"}
    # What is restored on all is taken from the first instance.
    assert [one["one_restore_all"] for one in found] == [{"postgres": True}, {"postgres": False}, {}]
    assert {one["host_key"] for one in found} == {KEY}


@pytest.mark.parametrize(
    ("answer", "known", "sentence"),
    [
        (said("db", "a", status="failed"), instance("db", "a", 0), "the agent of db/a made no user: failed"),
        (said("db", "a", host_public_key=""), instance("db", "a", 0), "the agent of db/a told no host key"),
        (said("db", "a", host_public_key="ssh-rsa"), instance("db", "a", 0), "the agent of db/a told no host key"),
        (said("db", "a"), instance("db", "b", 0), "does not tell the index of db/a"),
        (said("db", "a"), instance("db", "a", None), "does not tell the index of db/a"),
    ],
)
def test_a_vm_that_cannot_be_reached_is_named(answer, known, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        ssh_users.hosts(json.dumps([answer]), [known], MANIFEST)


def test_only_this_user_is_removed():
    pattern = json.loads(ssh_users.cleanup("bosh_ha_ab"))["params"]["user_regex"]
    assert re.match(pattern, "bosh_ha_ab")
    assert not re.match(pattern, "bosh_ha_abc")


def test_a_key_is_one_line():
    params = json.loads(ssh_users.setup("u", "ssh-ed25519 AAAA\n"))["params"]
    assert params == {"user": "u", "public_key": "ssh-ed25519 AAAA\n"}


WINDOWS = {
    "stemcells": [
        {"alias": "default", "os": "ubuntu-jammy", "version": "1.2"},
        {"alias": "w", "os": "windows2019", "version": "2019.1"},
        {"alias": "named", "name": "bosh-aws-xen-hvm-windows2019-go_agent", "version": "2019.1"},
    ],
    "instance_groups": [
        {"name": "db", "stemcell": "default", "jobs": [{"name": "postgres", "release": "pg"}]},
        {"name": "cell", "stemcell": "w", "jobs": [{"name": "rep_windows", "release": "diego"}]},
        {"name": "cell-named", "stemcell": "named", "jobs": []},
    ],
}
OLD = {
    "resource_pools": [
        {"name": "linux", "stemcell": {"name": "bosh-warden-boshlite-ubuntu-trusty-go_agent", "version": "1"}},
        {"name": "win", "stemcell": {"name": "bosh-vsphere-esxi-windows2012R2-go_agent", "version": "1"}},
    ],
    "jobs": [
        {
            "name": "db",
            "resource_pool": "linux",
            "templates": [{"name": "postgres", "release": "pg"}, {"name": "bare"}],
            "properties": {"bbr": {"backup_one_restore_all": True}},
        },
        {"name": "cell", "resource_pool": "win", "templates": []},
    ],
}


@pytest.mark.parametrize("manifest", [WINDOWS, OLD])
@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_windows_vm_is_left_out_and_the_rest_is_reached(manifest, key, status):
    known = [instance("db", "a", 0, True) | {"vm_cid": "vm-1"}, instance("cell", "aa", 0, True) | {"vm_cid": "vm-2"}]
    answers = [said("db", "a"), said("cell", "aa", host_public_key=key, status=status)]
    found = ssh_users.hosts(json.dumps(answers), known, manifest)
    assert [one["group"] for one in found] == ["db"]
    assert [sentence.split()[0] for sentence in ssh_users.left_out(known, manifest)] == ["cell/aa"]
    # No user is asked for there, as one agent that refuses fails the director's whole task.
    assert ssh_users.targets(known, manifest) == ["a"]
    assert json.loads(ssh_users.setup("u", KEY, ["a"]))["target"] == {"indexes": [], "ids": ["a"]}
    assert json.loads(ssh_users.cleanup("u", ["a"]))["target"]["ids"] == ["a"]


@pytest.mark.parametrize(
    ("manifest", "group", "windows"),
    [
        (WINDOWS, "cell-named", True),
        (WINDOWS, "db", False),
        (WINDOWS, "absent", False),
        (OLD, "cell", True),
        (OLD, "db", False),
        # A sole stemcell is everybody's.
        ({"stemcells": [{"os": "windows2022"}], "instance_groups": [{"name": "cell"}]}, "cell", True),
        (
            {"stemcells": [{"os": "windows2022"}, {"os": "ubuntu-jammy"}], "instance_groups": [{"name": "cell"}]},
            "cell",
            False,
        ),
        ({"stemcells": None, "instance_groups": [{"name": "cell", "stemcell": "w"}]}, "cell", False),
        ({}, "cell", False),
    ],
)
def test_windows_is_known_by_the_stemcell(manifest, group, windows):
    assert ssh_users.is_windows(manifest, group) is windows


def test_without_windows_the_request_is_for_all():
    known = [instance("db", "a", 0) | {"vm_cid": "vm-1"}]
    assert ssh_users.targets(known, MANIFEST) == []


def test_older_manifests_are_read_as_bbr_reads_them():
    # manifest_querier.go: /jobs/name=G/templates/name=J/release and /jobs/name=G/properties/bbr/backup_one_restore_all
    assert ssh_users.releases(OLD, "db") == {"postgres": "pg", "bare": ""}
    assert ssh_users.one_restore_all(OLD, "db") == ["postgres", "bare"]
    # Of the newer form only a job's own properties count.
    group = {"name": "db", "properties": {"bbr": {"backup_one_restore_all": True}}, "jobs": [{"name": "a"}]}
    assert ssh_users.one_restore_all({"instance_groups": [group]}, "db") == []
    odd = {"name": "db", "jobs": [{"name": "a", "properties": {"bbr": None}}, {"name": "b", "properties": None}]}
    assert ssh_users.one_restore_all({"instance_groups": [odd]}, "db") == []


def test_an_instance_without_vm_is_no_host():
    gone = [instance("db", "aa", 1) | {"vm_cid": "", "state": state} for state in ("detached", "started")]
    known = [instance("db", "a", 0, True) | {"vm_cid": "vm-1", "state": "started"}]
    for one in gone:
        assert len(ssh_users.hosts(json.dumps([said("db", "a")]), [*known, one], MANIFEST)) == 1
    # An errand's instance is started and has none, and nothing to back up.
    assert [ssh_users.left_out([one], MANIFEST) != [] for one in gone] == [True, False]


@pytest.mark.parametrize("result", ["Task 7 done", "{}", '["a"]', "null"])
def test_an_answer_that_is_no_list_is_refused(result):
    with pytest.raises(ValueError, match="no list of answers"):
        ssh_users.hosts(result, [], MANIFEST)


def test_a_vm_that_is_missing_in_the_answer_is_named():
    known = [instance("db", uid, index) | {"vm_cid": f"vm-{uid}"} for index, uid in enumerate(("a", "aa"))]
    with pytest.raises(ValueError, match="no answer of the agent of db/aa"):
        ssh_users.hosts(json.dumps([said("db", "a")]), known, MANIFEST)


def test_an_address_of_ipv6_is_kept_as_it_is():
    found = ssh_users.hosts(json.dumps([said("db", "a", ip="fd00::8")]), [instance("db", "a", 0)], MANIFEST)
    assert found[0]["address"] == "fd00::8"
