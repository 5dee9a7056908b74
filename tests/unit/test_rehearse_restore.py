# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rehearsal of a restore over a `bosh`, modules and roles of the tests; the backup is a real one."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup

from .role_runner import ADDRESSES, Roles, write_program

#: The throw-away director is this machine, on which nobody has a NATS.
HERE = "127.0.0.1"
BOSH = """site = json.load(open(SITE))
words = " ".join(sys.argv[1:])
def answer(content="", rows=(), rc=0, lines=()):
    print(json.dumps({"Tables": [{"Content": content, "Rows": list(rows)}], "Blocks": None, "Lines": list(lines)}))
    sys.exit(rc)
if words == "--version":
    print("version 7.10.0-abc")
    sys.exit()
if "environments" in words:
    answer("environments")
at = os.environ["BOSH_ENVIRONMENT"]
who = site["directors"].get(at)
restored = at == HERE and os.path.exists(SITE + ".restored")
if "delete-deployment" in words:
    with open(SITE + ".log", "a") as stream:
        stream.write(f"delete {words}\\n")
    if site["undeletable"]:
        answer(rc=1, lines=["Timed out sending 'drain'", "Exit code 1"])
    os.path.exists(SITE + ".there") and os.remove(SITE + ".there")
    open(SITE + ".orphan", "w").close()
    answer()
if "disks" in words or "delete-disk" in words:
    if "delete-disk" in words:
        with open(SITE + ".log", "a") as stream:
            stream.write(f"delete {words}\\n")
        os.remove(SITE + ".orphan")
        answer(rc=site["undeletable_disk"], lines=["the IaaS says no"])
    of = {"disk-2": "bosh-primary"} | ({"disk-1": "bosh-rehearsal"} if os.path.exists(SITE + ".orphan") else {})
    answer("disks", [{"disk_cid": cid, "deployment": name, "instance": "bosh/1"} for cid, name in of.items()])
if "configs" in words or "orphaned-vms" in words:
    answer(words.split()[-1].replace("-", "_"))
if restored and not os.path.exists(SITE + ".asked"):
    # It starts still, and is asked again.
    open(SITE + ".asked", "w").close()
    answer(rc=1, lines=["net/http: TLS handshake timeout", "Exit code 1"])
if "deployments" in words:
    names = who["deployments"] if at != HERE else site["restored"] if restored else []
    if at != HERE and os.path.exists(SITE + ".there"):
        names.append("bosh-rehearsal")
    answer("deployments", [{"name": name} for name in names])
uuid = "u-of-micro" if restored else who["uuid"]
answer("", [{"name": "a", "uuid": uuid, "version": "283.1.0", "cpi": "d", "user": "admin"}])
"""
HEAD = """#!/usr/bin/python
# Stands for the module of this name.
import json, os
from ansible.module_utils.basic import AnsibleModule
path = os.environ["SITE"]
site = json.load(open(path))
def log(line):
    with open(path + ".log", "a") as stream:
        stream.write(line + "\\n")
"""
MONIT = (
    HEAD
    + """
module = AnsibleModule({"state": {}, "only": {"type": "list", "default": []}, "timeout": {"type": "int"}})
names = "postgres blobstore_nginx director director_nginx worker_1 nats health_monitor credhub".split()
states = json.load(open(path + ".monit")) if os.path.exists(path + ".monit") else {name: "running" for name in names}
if module.params["state"]:
    log(module.params["state"] + " " + " ".join(sorted(module.params["only"])))
    word = "running" if module.params["state"] == "started" else "not monitored"
    states.update({name: word for name in module.params["only"]})
    # As the stemcell's monit 5.2.5 does: what depends on a process is started with it.
    if word == "running" and "director" in module.params["only"]:
        states["worker_1"] = word
    json.dump(states, open(path + ".monit", "w"))
module.exit_json(changed=False, processes=states)
"""
)
MONIT_PROGRAM = (
    HEAD
    + """
module = AnsibleModule({"names": {"type": "list", "default": []}, "timeout": {"type": "int"}})
if module.params["names"]:
    log("alone " + " ".join(sorted(module.params["names"])))
    json.dump(module.params["names"], open(path + ".alone", "w"))
alone = json.load(open(path + ".alone")) if os.path.exists(path + ".alone") else []
# Who lives beside what monit looks after, and from when on.
restless = [name for name, since in site["restless"].items() if since == "ever" or os.path.exists(path + "." + since)]
module.exit_json(changed=False, running=["postgres", "blobstore_nginx", *alone, *restless])
"""
)
NETWORK_FENCE = (
    HEAD
    + """
module = AnsibleModule({"ports": {"type": "list"}, "unreachable": {"type": "list"}})
log("fence " + " ".join(f"{one['address']}:{one['port']}" for one in module.params["unreachable"]))
if site["fence"]:
    module.fail_json(msg=site["fence"])
module.exit_json(changed=True)
"""
)
DIRECTOR_CONTENTS = (
    HEAD
    + """
module = AnsibleModule({"proved": {"type": "bool"}, "checksums": {"type": "dict"}})
if module.params["proved"]:
    log("contents of " + " ".join(sorted(module.params["checksums"])))
module.exit_json(changed=False, **site["contents"])
"""
)
MODULES = {
    "monit": MONIT,
    "monit_program": MONIT_PROGRAM,
    "network_fence": NETWORK_FENCE,
    "director_contents": DIRECTOR_CONTENTS,
}
#: In place of the roles: what they would do is noted, and may fail.
STANDS_IN = """
- ansible.builtin.shell: echo {{{{ what | default('{0}') }}}} {1} >> {{{{ site }}}}.log && touch {{{{ site }}}}.{2}
- ansible.builtin.fail: {{msg: "{0} says no"}}
  when: fails == '{0}'
"""
CONTENTS = {"rows": {"tasks": 5}, "blobs": {"count": 1, "bytes": 3}, "named": 1, "problems": [], "host": HERE}
ABOUT = {
    "uuid": "u-of-micro",
    "name": "micro",
    "version": "283.1.0",
    "deployments": ["bosh-primary"],
    "rows": {"tasks": [4, 6]},
    "blobs": {"count": [1, 1], "bytes": [3, 3]},
}
DATA = b"a blob"


@pytest.fixture(scope="module")
def stage(roles: Roles) -> Roles:
    """The collection with two roles that stand in for its own."""
    shared = roles.top / "ansible_collections" / "bosh" / "ha" / "roles"
    own = shared.resolve()
    shared.unlink()
    shared.mkdir()
    for role in own.iterdir():
        if role.name not in ("deploy_director", "restore_deployment"):
            (shared / role.name).symlink_to(role)
    for role, given, leaves in (
        ("deploy_director", "{{ deploy_director_name }} by {{ deploy_director_by }}", "there"),
        ("restore_deployment", "guard [{{ restore_deployment_guard | default('') }}]", "restored"),
    ):
        tasks = shared / role / "tasks" / "main.yml"
        tasks.parent.mkdir(parents=True)
        tasks.write_text(STANDS_IN.format(role, given, leaves), encoding="utf-8")
    return roles


class Rehearsal:
    def __init__(self, top: Path, stage: Roles) -> None:
        self.top, self.stage = top, stage
        self.site = top / "site.json"
        self.backup = top / "backups" / "10.10.0.3_20261121T220000Z"
        self.backup.mkdir(parents=True)
        artifact = bbr_backup.Artifact("blobstore", "bosh", "0")
        with tarfile.open(self.backup / artifact.file, "w") as tar:
            entry = tarfile.TarInfo("./store/aa/one")
            entry.size = len(DATA)
            tar.addfile(entry, io.BytesIO(DATA))
        sums = {artifact: {"./store/aa/one": hashlib.sha256(DATA).hexdigest()}}
        bbr_backup.write_metadata(str(self.backup), bbr_backup.metadata(sums, datetime.now(UTC)))
        self.about(ABOUT)

    def about(self, data: dict[str, Any]) -> None:
        (self.backup / "bosh_ha.json").write_text(json.dumps(data), encoding="utf-8")

    def play(self, directors: dict[str, Any] | None = None, fails: str = "", **site: Any) -> tuple[int, str]:
        there = {address: {"uuid": f"u-{name}", "deployments": []} for name, address in ADDRESSES.items()}
        told = {
            "directors": there | {HERE: {"uuid": "u-new"}},
            "undeletable": False,
            "undeletable_disk": 0,
            "restored": ["bosh-primary"],
        }
        told |= {"fence": "", "contents": CONTENTS, "restless": {}}
        self.site.write_text(json.dumps(told | site), encoding="utf-8")
        write_program(self.top / "bosh", BOSH, SITE=str(self.site), HERE=HERE)
        common = {"client_secret": "else", "ca_cert": "-----BEGIN CERTIFICATE-----"}
        given = {
            "bosh_ha_directors": {
                **{name: common | {"address": address} for name, address in ADDRESSES.items()},
                "rehearsal": common | {"address": HERE},
            }
            | (directors or {}),
            "bosh_ha_cli_options": {"cli": f"{self.top}/bosh", "all_proxy": "socks5://127.0.0.1:1"},
            "bosh_ha_known_hosts": f"{self.top}/known_hosts",
            "rehearse_restore_path": str(self.backup),
            "ansible_become": False,
            "site": str(self.site),
            "fails": fails,
        }
        environ = {"SITE": str(self.site)}
        return self.stage.play(self.top, "rehearse_restore", "main", variables=given, hosts={}, environ=environ)

    def log(self) -> list[str]:
        path = self.site.with_name("site.json.log")
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def result(self) -> dict[str, Any]:
        path = self.backup / "rehearsed.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@pytest.fixture
def rehearsal(tmp_path: Path, stage: Roles) -> Rehearsal:
    return Rehearsal(tmp_path, stage)


def deleted(*lines: str) -> bool:
    """The deployment, and then its disk, and no other one's."""
    return len(lines) == 2 and "delete-deployment" in lines[0] and lines[1].endswith("delete-disk disk-1")


def test_a_good_backup_is_restored_behind_a_fence_and_the_director_is_thrown_away(rehearsal):
    rc, told = rehearsal.play()
    assert rc == 0, told
    log = rehearsal.log()
    assert log[:-2] == [
        "deploy_director rehearsal by primary",
        "stopped credhub director director_nginx health_monitor nats worker_1",
        "fence 10.10.0.3:25555 10.10.0.4:25555 10.10.0.5:25555",
        "restore_deployment guard []",
        "contents of ./store/aa/one",
        "alone director director_nginx",
    ]
    assert deleted(*log[-2:])
    result = rehearsal.result()
    assert result["passed"] and result["deployed_by"] == "primary"
    assert {one["what"]: one["verdict"] for one in result["findings"]} == dict.fromkeys(
        ("rows", "blobs", "digests", "UUID", "deployments", "version"), "pass"
    )
    assert list(result["seconds"]) == ["read", "deploy", "fence", "restore", "contents", "API", "throw away"]
    assert "pass       UUID         u-of-micro" in told or "pass UUID u-of-micro" in told
    assert (rehearsal.backup / "rehearsed.json").stat().st_mode & 0o777 == 0o600
    assert not list((rehearsal.top / "backups").glob(".*.lock"))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"contents": CONTENTS | {"rows": {"tasks": 3}}}, "tasks is 3, and was 4 to 6 when it was backed up"),
        ({"restored": []}, "none, not bosh-primary"),
        ({"fails": "restore_deployment"}, "restore_deployment says no"),
        ({"restless": {"worker_1": "alone"}}, "worker_1 runs in the throw-away director, and may act on others"),
        # As a restore script may have done it.
        ({"restless": {"worker_1": "restored"}}, "worker_1 runs in the throw-away director, and may act on others"),
    ],
)
def test_what_came_of_a_bad_one_is_written_down_and_the_director_is_thrown_away(rehearsal, how, words):
    rc, told = rehearsal.play(**how)
    assert rc != 0
    assert f"the rehearsal of {rehearsal.backup} failed: {words}" in told
    assert not rehearsal.result()["passed"]
    assert words in json.dumps(rehearsal.result()["findings"])
    assert deleted(*rehearsal.log()[-2:])
    if how.get("restless") == {"worker_1": "restored"}:
        # The API is not started beside a worker.
        assert not [line for line in rehearsal.log() if line.startswith("alone")]


def test_what_a_restore_script_starts_and_acts_on_nobody_is_no_harm(rehearsal):
    # Not of the defaults' `rehearse_restore_api`, as nothing of the director's needs it to answer.
    rc, told = rehearsal.play(restless={"credhub": "restored", "director_nginx": "restored"})
    assert rc == 0, told


def test_a_damaged_backup_fails_by_its_files_name_before_anything_is_deployed(rehearsal):
    path = rehearsal.backup / "bosh-0-blobstore.tar"
    path.write_bytes(path.read_bytes().replace(DATA, b"a bloc"))
    rc, told = rehearsal.play()
    assert rc != 0
    assert "bosh-0-blobstore.tar is damaged: ./store/aa/one has another SHA-256 than in metadata" in told
    assert not rehearsal.result()["passed"]
    assert rehearsal.log() == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"fence": "this host has no iptables"}, "this host has no iptables"),
        ({"contents": CONTENTS | {"host": "10.10.0.9"}}, "no deployments and a database at 10.10.0.9"),
        ({"fails": "deploy_director"}, "deploy_director says no"),
        ({"restless": {"worker_1": "ever"}}, "worker_1 runs in the throw-away director"),
    ],
)
def test_nothing_is_restored_where_it_might_harm_and_nothing_is_said_of_the_backup(rehearsal, how, words):
    rc, told = rehearsal.play(**how)
    assert rc != 0
    assert f"{rehearsal.backup} was not rehearsed to its end: " in told
    assert words in told
    assert not [line for line in rehearsal.log() if line.startswith("restore_deployment")]
    assert rehearsal.result() == {}


@pytest.mark.parametrize(
    "entry", [{"address": ADDRESSES["meta"]}, {"address": ""}, {"address": HERE, "deployment": "bosh-meta"}]
)
def test_a_director_that_is_another_one_is_neither_overwritten_nor_deleted(rehearsal, entry):
    rc, told = rehearsal.play(directors={"rehearsal": {"client_secret": "a", "ca_cert": "b"} | entry})
    assert rc != 0
    assert "bosh_ha_directors.rehearsal needs an address and a deployment of its own" in told
    assert rehearsal.log() == []


def test_what_is_left_of_a_killed_run_is_deleted_first(rehearsal):
    rehearsal.site.with_name("site.json.there").touch()
    rc, told = rehearsal.play()
    assert rc == 0, told
    log = rehearsal.log()
    assert deleted(*log[:2]) and log[2].startswith("deploy_director")


def test_a_director_that_cannot_be_thrown_away_is_named(rehearsal):
    rc, told = rehearsal.play(undeletable=True)
    assert rc != 0
    assert "bosh-rehearsal or its disk could not be deleted by primary, and has a copy of all secrets" in told
    # The backup is good all the same.
    assert rehearsal.result()["passed"]
    assert [line for line in rehearsal.log() if "--force" in line]


def test_a_disk_that_cannot_be_deleted_is_told(rehearsal):
    rc, told = rehearsal.play(undeletable_disk=1)
    assert rc != 0
    assert "bosh-rehearsal or its disk could not be deleted by primary, and has a copy of all secrets" in told
    assert "the IaaS says no" in told


def test_a_backup_that_bbr_made_passes_by_what_can_be_known(rehearsal):
    (rehearsal.backup / "bosh_ha.json").unlink()
    rc, told = rehearsal.play()
    assert rc == 0, told
    assert {one["verdict"] for one in rehearsal.result()["findings"]} == {"pass", "not known"}


def test_a_backup_of_a_newer_bosh_is_not_restored(rehearsal):
    rehearsal.about(ABOUT | {"version": "284.0.0 (00000000)"})
    rc, told = rehearsal.play()
    assert rc != 0
    assert "is of BOSH 284.0.0 (00000000), and the throw-away director is 283.1.0" in told
    assert not [line for line in rehearsal.log() if line.startswith("restore_deployment")]
