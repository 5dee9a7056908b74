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
    assert [one["one_restore_all"] for one in found] == [["postgres"], [], []]
    assert {one["host_key"] for one in found} == {KEY}


@pytest.mark.parametrize(
    ("answer", "known", "sentence"),
    [
        (said("db", "a", status="failed"), instance("db", "a", 0), "the agent of db/a made no user: failed"),
        (said("db", "a", host_public_key=""), instance("db", "a", 0), "the agent of db/a told no host key"),
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
