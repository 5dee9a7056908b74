# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back, role by role, over hosts and a `bosh` of the tests: what it refuses, and in which order it goes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from .role_runner import ADDRESSES, ROOT, Roles, Run, write_program
from .test_freeze import HOST, STOPPED, SWAP

MICRO, PRIMARY, META = ADDRESSES.values()
#: Notes each command with its director; a VM that was deleted is in no list.
BOSH = """site = json.load(open(SITE))
words = " ".join(sys.argv[1:])
if words == "--version":
    print("version 7.10.0-abc")
    sys.exit()
at = os.environ["BOSH_ENVIRONMENT"]
with open(SITE + ".calls", "a") as stream:
    stream.write(at + " " + words + "\\n")
calls = open(SITE + ".calls").read()
def answer(content="", rows=(), blocks=None, rc=0, lines=()):
    print(json.dumps({"Tables": [{"Content": content, "Rows": list(rows)}], "Blocks": blocks, "Lines": list(lines)}))
    sys.exit(rc)
director = site["directors"].get(at)
if director is None:
    answer(rc=1, lines=["Fetching info: dial tcp: connect: no route to host", "Exit code 1"])
task = dict.fromkeys(("state", "user", "deployment", "description", "result", "started_at", "finished_at"), "-")
if "instances" in words:
    rows = director.get("instances", [])
    for row in rows:
        if "delete-vm " + row["vm_cid"] + "\\n" in calls.replace(" --json", ""):
            row |= {"vm_cid": "", "process_state": ""}
    answer("instances", rows)
if " configs" in words:
    answer("configs", director.get("configs", []))
if " locks" in words:
    answer("locks")
if " disks" in words:
    answer("disks", [{"disk_cid": cid} for cid in site["orphans"]])
if "curl" in words:
    told = [call for call in calls.splitlines() if call.startswith(at + " ") and "update-resurrection" in call]
    answer(blocks=[json.dumps({"resurrection": not told or " off" not in told[-1]})])
if "--recent" in words:
    rows = [task | {"state": "done"} | row for row in director.get("tasks", [])]
    answer("tasks", rows[:1] if "--recent=1 " in words + " " else rows)
if " tasks" in words:
    asked = [call for call in calls.splitlines() if call.startswith(at) and " tasks" in call and "recent" not in call]
    answer("tasks", [task | {"id": "9", "state": "processing"}] if len(asked) <= director.get("busy", 0) else [])
if "deployments" in words:
    answer("deployments", [{"name": name} for name in director.get("deploys", [])])
if "cck" in words or "cloud-check" in words:
    known = {"0": "1", "type": "missing_vm", "description": "it is gone"}
    answer("problems", [] if "--resolution" in calls else [known], rc=int("--report" in words))
if " ssh" in words:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINew x"
    answer("results", [{"instance": "bosh/1", "stdout": key, "exit_code": "0"}])
answer("", [{"name": "a", "uuid": director.get("uuid", "own"), "version": "c", "cpi": "d", "user": "admin"}])
"""
HEAD = """
import json, os
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule
DOCUMENTATION = "{}"
def note(*words):
    with open(os.environ["SITE"] + ".calls", "a") as stream:
        stream.write(" ".join([os.environ["HOST"], *words]) + "\\n")
"""
#: Notes what it is told to do.
MONIT = (
    HEAD
    + """
def main():
    names = "state ports store timeout wait"
    module = AnsibleModule(argument_spec={name: dict(type="raw") for name in names.split()}, supports_check_mode=True)
    calls = Path(os.environ["SITE"] + ".calls")
    again = f"{os.environ['HOST']} monit {module.params['state']}" in (calls.read_text() if calls.exists() else "")
    if module.params["state"] and not module.check_mode and not again:
        note("monit", module.params["state"])
    if os.environ["HOST"] in json.load(open(os.environ["SITE"])).get("ill", []):
        module.fail_json(msg="monit names no process")
    seen = dict(processes={}, open_ports=[], holders=[], all_stopped=True)
    module.exit_json(changed=bool(module.params["state"]), **seen)
main()
"""
)
#: A fenced host has its entries in bosh_ha_fenced; monit is left out.
FENCE = (
    HEAD
    + """
def main():
    names = dict(store={}, state={}, set_aside=dict(type="bool"))
    module = AnsibleModule(argument_spec=names, supports_check_mode=True)
    store = Path(module.params["store"])
    fenced = store / "bosh_ha_fenced"
    phase = "fenced" if fenced.is_dir() else "open"
    others = [str(path) for path in store.iterdir() if not path.name.startswith("bosh_ha_")] if fenced.is_dir() else []
    changed = module.params["state"] == "open" and phase != "open"
    if changed and others and not module.params["set_aside"]:
        module.fail_json(msg="somebody else made it")
    if changed and not module.check_mode:
        note("fence", "open", *(["set_aside"] if others else []))
        for path in map(Path, others):
            path.rename(store / ("bosh_ha_set_aside_" + path.name))
        for path in list(fenced.iterdir()):
            path.rename(store / path.name)
        fenced.rmdir()
        phase = "open"
    module.exit_json(changed=changed, phase=phase, others=others)
main()
"""
)
BUS = (
    HEAD
    + """
def main():
    names = "urls blobstore_hosts timeout verify"
    module = AnsibleModule(argument_spec={name: dict(type="raw") for name in names.split()}, supports_check_mode=True)
    agent = json.load(open(os.environ["SITE"]))["agent"]
    if module.params["urls"] and not module.check_mode:
        note("bus", str(module.params["urls"]))
    module.exit_json(changed=bool(module.params["urls"]), **agent)
main()
"""
)
MODULES = {"monit": MONIT, "store_fence": FENCE, "store_swap": SWAP, "agent_bus": BUS}


def row(cid: str, group: str = "bosh", disk: str = "disk-1", state: str = "running") -> dict[str, str]:
    return {"instance": f"{group}/1", "vm_cid": cid, "disk_cids": disk, "process_state": state}


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """Micro is fenced, and Meta works on its data and has made Primary's VM anew; another group is Micro's still."""
    for name, below, whose in (
        ("micro", "bosh_ha_fenced", "micro"),
        ("meta", "", "micro"),
        ("meta", "bosh_ha_kept", "meta"),
    ):
        for number in ("41", "42") if whose == "micro" else ("1",):
            (tmp_path / "hosts" / name / "store" / below / "director" / "tasks" / number).mkdir(parents=True)
        (tmp_path / "hosts" / name / "store" / below / "whose").write_text(whose, encoding="utf-8")
    return {
        "away": [],
        "monit": {"meta": [STOPPED]},
        "postgres": "shut down",
        "orphans": [],
        "agent": {"urls": [f"nats://{META}:4222"], "blobstore": "", "connected": True},
        "directors": {
            PRIMARY: {"deploys": ["bosh-meta"], "instances": [row("vm-9")]},
            META: {
                "deploys": ["bosh-primary"],
                "uuid": "of-micro",
                "instances": [row("vm-2"), row("vm-other", "other", "")],
                "tasks": [{"id": "44", "deployment": "bosh-primary", "description": "apply resolutions"}],
            },
        },
        "seen": {
            "answers": ["primary", "meta"],
            "reachable": ["micro", "primary", "meta"],
            "barred": [],
            "stopped": ["micro"],
            "known": {"micro": [], "primary": ["bosh-meta"], "meta": ["bosh-primary"]},
            "names": {"primary": "bosh-primary", "meta": "bosh-meta"},
            "store": "none",
            "meta_uuid": "of-micro",
        },
    }


@pytest.fixture
def run(tmp_path: Path, roles: Roles) -> Run:
    made, programs = tmp_path / "site.json", tmp_path / "bin"
    for name in ADDRESSES:
        home = tmp_path / "hosts" / name
        (home / "store").mkdir(parents=True, exist_ok=True)
        roles.write_python(programs / f"{name}-python", HOST, NAME=name, SITE=str(made), HOME=str(home), SSHD="/none")
    write_program(programs / "bosh", BOSH, SITE=str(made))
    (tmp_path / "known_hosts").touch()
    (tmp_path / "work").mkdir()
    noted = {
        "uuid": "of-micro",
        "last_task": {"id": 42},
        "primary_disks": ["disk-1"],
        "vms": [{"vm_cid": "vm-1", "ips": [PRIMARY]}, {"vm_cid": "vm-other", "ips": ["10.10.0.9"]}],
    }
    (tmp_path / "work/micro-snapshot.json").write_text(json.dumps(noted), encoding="utf-8")

    def play(site: dict[str, Any], role: str, tasks: str = "main", *words: str, **more: Any) -> tuple[int, str]:
        made.write_text(json.dumps(site), encoding="utf-8")
        store = str(tmp_path / "hosts" / "@HOST@" / "store")
        stores = {f"{name}_store": store for name in ("plan_rollback", "unseat_meta", "reopen_micro", "return_primary")}
        variables = {
            "bosh_ha_directors": {
                name: {"address": address, "client_secret": "not-for-eyes", "ca_cert": "-----BEGIN CERTIFICATE-----"}
                for name, address in ADDRESSES.items()
            },
            "bosh_ha_known_hosts": str(tmp_path / "known_hosts"),
            "bosh_ha_work_dir": str(tmp_path / "work"),
            "bosh_ha_cli_options": {"cli": str(programs / "bosh"), "all_proxy": "socks5://127.0.0.1:1"},
            "find_phase_seen": site["seen"],
            "find_phase_found": "meta_active",
            "release_primary_micro_vms": ["vm-1", "vm-other"],
            "release_primary_wait": 5,
            "adopt_primary_timeout": 5,
            "return_primary_timeout": 5,
            "reopen_micro_timeout": 5,
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_pipelining": True,
            "ansible_user": "",
        }
        hosts = {name: {"ansible_python_interpreter": str(programs / f"{name}-python")} for name in ADDRESSES}
        environ = {"HOME": str(tmp_path), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        variables |= stores | more
        return roles.play(tmp_path, role, tasks, *words, variables=variables, hosts=hosts, environ=environ)

    return play


def deeds(tmp_path: Path, *words: str) -> list[str]:
    """What was told to directors and hosts, in its order, without what only asks."""
    path = tmp_path / "site.json.calls"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    told = ("delete-vm", "update-resurrection", "--resolution", "monit", "fence", "bus", *words)
    return [line for line in lines if any(word in line for word in told) and "--report" not in line]


def whose(tmp_path: Path, name: str) -> str:
    return (tmp_path / "hosts" / name / "store" / "whose").read_text(encoding="utf-8")


# plan_rollback


def test_it_says_first_what_it_does_and_touches_nothing(run, site, tmp_path):
    rc, told = run(site, "plan_rollback", "main", "-v")
    assert rc == 0, told
    assert "terminate vm-2, which Meta made for Primary" in told and "undone is task 44" in told
    # A group of the same deployment that Meta left alone is Micro's.
    assert "terminate vm-other" not in told
    assert '"plan_rollback_micro_vms": ["vm-1", "vm-other"]' in told
    assert deeds(tmp_path) == [] and whose(tmp_path, "meta") == "micro"


def test_the_plan_names_micros_last_backup_and_how_it_is_restored(run, site, tmp_path):
    micro = ADDRESSES["micro"]
    for name in (f"{micro}_20260101T000000Z", f"{micro}_20260102T000000Z", f"{micro}0_20260103T000000Z"):
        (tmp_path / "backups" / name).mkdir(parents=True)
        (tmp_path / "backups" / name / "metadata").write_text("{}", encoding="utf-8")
    rc, told = run(site, "plan_rollback", "main", bosh_ha_backup_dir=str(tmp_path / "backups"))
    assert rc == 0, told
    command = f"ansible-playbook -i {tmp_path}/hosts.json {tmp_path}/restore.yml -e restore_host=micro"
    assert (
        f"is its backup of 2026-01-02 00:00:00 UTC: {command} -e restore_path={tmp_path}/backups/{micro}_20260102"
        in told
    )
    rc, told = run(site, "plan_rollback", "main")
    assert rc == 0 and "restore.yml" not in told


def change(site: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split("/")
    for name in above:
        site = site[name]
    site[last] = value


GONE = {"plan_rollback_meta_is_gone": True}
LOSE = {"plan_rollback_lose_tasks": True}
NO_META = {"seen/answers": ["primary"], "seen/reachable": ["micro", "primary"]}
BEFORE_META = NO_META | {"seen/known": {"micro": [], "primary": [], "meta": []}}
MOVED = {f"directors/{META}/instances": [row("vm-2", disk="disk-2")]}
GIVEN = {f"directors/{META}/configs": [{"id": "4*", "type": "runtime", "name": "dns"}]}
LOST = {f"directors/{META}/tasks": [{"id": "45", "deployment": "cf", "description": "create deployment"}]}


@pytest.mark.parametrize(
    ("changes", "more", "reason"),
    [
        ({"seen/reachable": ["primary", "meta"]}, {}, "micro cannot be reached by SSH: bring its VM back first"),
        (
            {"seen/reachable": ["primary"]},
            {"find_phase_found": "micro_gone"},
            "micro is destroyed, so there is nothing to go back to",
        ),
        (NO_META, {}, "meta cannot be reached by SSH, so nobody can tell whether it works on Micro's data"),
        (NO_META, GONE, ""),
        # A Micro that is fenced had a Meta, whatever others know.
        (BEFORE_META, {}, "meta cannot be reached by SSH, so nobody can tell whether it works on Micro's data"),
        # One that answers is not gone, nor is one whose host key is another.
        ({"seen/reachable": ["micro", "primary"]}, GONE, "is there, but cannot be logged in to by SSH"),
        (NO_META | {"seen/barred": ["meta"]}, GONE, "is there, but cannot be logged in to by SSH"),
        ({"seen/meta_uuid": "of-another"}, {}, "micro-snapshot.json is of another Micro"),
        (
            LOST,
            {},
            "which Micro would not know of: task 45 create deployment cf (done)",
        ),
        (LOST, LOSE, ""),
        (MOVED, LOSE, "Primary's data are on disk-2, which Meta gave it and Micro does not know (Micro's is disk-1)"),
        (GIVEN, {}, "which Micro would not know of: config runtime dns (ID 4)"),
    ],
)
def test_each_refusal_names_what_is_to_be_done(run, site, tmp_path, changes, more, reason):
    for path, value in changes.items():
        change(site, path, value)
    rc, told = run(site, "plan_rollback", "main", **more)
    assert rc == (2 if reason else 0), told
    assert reason in told
    assert deeds(tmp_path) == []


def test_before_meta_was_deployed_there_is_none_to_wait_for(run, site, tmp_path):
    for path, value in BEFORE_META.items():
        change(site, path, value)
    (tmp_path / "hosts/micro/store/bosh_ha_fenced").rename(tmp_path / "hosts/micro/store/director")
    rc, told = run(site, "plan_rollback")
    assert rc == 0, told


def test_without_the_snapshot_nobody_knows_which_vm_is_micros(run, site, tmp_path):
    (tmp_path / "work/micro-snapshot.json").unlink()
    rc, told = run(site, "plan_rollback")
    assert rc == 2 and "micro-snapshot.json is not there" in told


def test_where_metas_own_store_is_removed_there_is_no_way_back(run, site, tmp_path):
    kept = tmp_path / "hosts/meta/store/bosh_ha_kept"
    kept.rename(tmp_path / "removed")
    rc, told = run(site, "plan_rollback")
    assert rc == 2 and "its own store" in told and "there is no way back" in told


@pytest.fixture
def silent(site: dict[str, Any]) -> dict[str, Any]:
    """Meta has Micro's data, and does not answer."""
    del site["directors"][META]
    site["seen"] |= {
        "answers": ["primary"],
        "store": "swapped",
        "known": {"micro": [], "primary": ["bosh-meta"], "meta": []},
    }
    return site


def note(tmp_path: Path, last: int, snapshot: str = "") -> None:
    text = (tmp_path / "work/micro-snapshot.json").read_bytes()
    checksum = snapshot or hashlib.sha1(text, usedforsecurity=False).hexdigest()
    noted = {"snapshot": checksum, "last_task": last}
    (tmp_path / "work/rollback-released.json").write_text(json.dumps(noted), encoding="utf-8")


def test_a_meta_that_does_not_answer_may_have_done_what_would_be_lost(run, silent, tmp_path):
    rc, told = run(silent, "plan_rollback")
    assert rc == 0, told
    (tmp_path / "hosts/meta/store/director/tasks/45").mkdir()
    refusal = "meta has begun tasks on Micro's data (45) and does not answer now, so nobody can tell what they did"
    rc, told = run(silent, "plan_rollback")
    assert rc == 2 and refusal in told, told
    rc, told = run(silent, "plan_rollback", **LOSE)
    assert rc == 0, told
    # A rollback that was interrupted told of them, after this freeze and no other.
    note(tmp_path, 45)
    rc, told = run(silent, "plan_rollback")
    assert rc == 0, told
    for last, snapshot in ((44, ""), (45, "of another")):
        note(tmp_path, last, snapshot)
        rc, told = run(silent, "plan_rollback")
        assert rc == 2 and refusal in told, told


# release_primary


def test_only_what_meta_made_is_terminated_and_its_disk_is_shown(run, site, tmp_path):
    rc, told = run(site, "release_primary")
    assert rc == 0, told
    off, other, delete = deeds(tmp_path)
    assert [off.split()[0], other.split()[0]] == [META, PRIMARY] and "off" in off and "off" in other
    assert delete.startswith(META) and "delete-vm vm-2" in delete
    assert "the persistent disk disk-1 is kept" in told
    # The next rollback goes by it, once Meta is stopped.
    noted = json.loads((tmp_path / "work/rollback-released.json").read_text(encoding="utf-8"))
    text = (tmp_path / "work/micro-snapshot.json").read_bytes()
    assert noted == {"snapshot": hashlib.sha1(text, usedforsecurity=False).hexdigest(), "last_task": 44}
    # Once more, where it was interrupted afterwards.
    rc, told = run(site, "release_primary")
    assert rc == 0 and len([line for line in deeds(tmp_path) if "delete-vm" in line]) == 1, told


def test_one_that_was_micros_is_left(run, site, tmp_path):
    site["directors"][META]["instances"][0] = row("vm-1")
    rc, told = run(site, "release_primary")
    assert rc == 0 and not [line for line in deeds(tmp_path) if "delete-vm" in line], told


@pytest.mark.parametrize(("address", "name"), [(PRIMARY, "primary"), (META, "meta")])
def test_who_is_busy_is_waited_for_and_nothing_is_terminated_before(run, site, tmp_path, address, name):
    site["directors"][address]["busy"] = 2
    rc, told = run(site, "release_primary", release_primary_wait=60)
    assert rc == 0, told
    lines = deeds(tmp_path, " tasks")
    [deleted] = [index for index, line in enumerate(lines) if "delete-vm" in line]
    assert len([line for line in lines[:deleted] if line.startswith(address) and " tasks" in line]) >= 3
    site["directors"][address]["busy"] = 99
    site["directors"][META]["instances"][0] = row("vm-3")
    rc, told = run(site, "release_primary")
    assert rc == 2 and f"{name} is busy, so " in told and "task 9" in told and "release_primary_wait is 5 s" in told, (
        told
    )
    assert not [line for line in deeds(tmp_path) if "delete-vm vm-3" in line]


def test_a_disk_that_is_not_with_its_instance_any_more_is_told(run, site):
    site["orphans"] = ["disk-1"]
    rc, told = run(site, "release_primary")
    assert rc == 2 and "bosh-primary: the persistent disk disk-1 is not with its instance any more" in told


def test_primary_does_not_bring_back_a_meta_that_does_not_answer(run, silent, tmp_path):
    rc, told = run(silent, "release_primary")
    assert rc == 0, told
    [off] = deeds(tmp_path)
    assert off.startswith(PRIMARY) and "update-resurrection off" in off
    # One that has no Meta is left as it is.
    silent["seen"]["known"]["primary"] = []
    rc, told = run(silent, "release_primary")
    assert rc == 0 and deeds(tmp_path) == [off], told


# unseat_meta


def test_meta_is_stopped_before_it_gets_its_own_store_back(run, site, tmp_path):
    rc, told = run(site, "unseat_meta", "main", "--check")
    assert (rc, whose(tmp_path, "meta"), deeds(tmp_path)) == (0, "micro", []), told
    rc, told = run(site, "unseat_meta")
    assert (rc, whose(tmp_path, "meta"), deeds(tmp_path)) == (0, "meta", ["meta monit stopped"]), told
    assert (tmp_path / "hosts/meta/store/bosh_ha_staging/whose").read_text(encoding="utf-8") == "micro"
    # One on its own store is left as it is.
    rc, told = run(site, "unseat_meta")
    assert (rc, whose(tmp_path, "meta"), deeds(tmp_path)) == (0, "meta", ["meta monit stopped"]), told
    assert "changed=0" in told


def test_meta_is_never_started_on_micros_data(run, site, tmp_path):
    rc, told = run(site, "unseat_meta", "start")
    assert rc == 2 and "Meta has Micro's data still, so it is not started: its store is swapped" in told
    assert deeds(tmp_path) == []
    assert run(site, "unseat_meta")[0] == 0
    rc, told = run(site, "unseat_meta", "start")
    assert rc == 0 and deeds(tmp_path)[-1] == "meta monit started", told


# reopen_micro


@pytest.fixture
def unseated(site: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Meta has its own store, and is stopped."""
    store = tmp_path / "hosts/meta/store"
    (store / "bosh_ha_kept").rename(store / "bosh_ha_staging")
    del site["directors"][META]
    site["directors"][MICRO] = {"deploys": ["bosh-primary"], "uuid": "of-micro", "instances": [row("vm-1")]}
    return site


def test_micro_is_opened_started_and_known_again(run, unseated, tmp_path):
    rc, told = run(unseated, "reopen_micro")
    assert rc == 0, told
    opened, started, off = deeds(tmp_path)
    assert (opened, started) == ("micro fence open", "micro monit started")
    assert off.startswith(MICRO) and "off" in off
    assert "Micro works again, with its UUID of-micro" in told and whose(tmp_path, "micro") == "micro"
    rc, told = run(unseated, "reopen_micro")
    assert rc == 0 and deeds(tmp_path).count("micro fence open") == 1, told


@pytest.mark.parametrize("more", [{}, {"reopen_micro_meta_is_gone": True}])
def test_micro_is_not_opened_while_meta_has_its_data(run, site, tmp_path, more):
    rc, told = run(site, "reopen_micro", "main", **more)
    assert rc == 2 and deeds(tmp_path) == [], told
    assert (
        "has bosh-primary: it works on Micro's data" if more else "Meta has Micro's data (its store is swapped)"
    ) in told


def test_micro_is_not_opened_beside_a_meta_whose_own_store_is_removed(run, site, tmp_path):
    (tmp_path / "hosts/meta/store/bosh_ha_kept").rename(tmp_path / "removed")
    rc, told = run(site, "reopen_micro")
    assert rc == 2 and f"Meta ({META}) answers, and has bosh-primary: it works on Micro's data" in told, told
    assert deeds(tmp_path) == []


def test_another_uuid_is_told(run, unseated):
    unseated["directors"][MICRO]["uuid"] = "of-another"
    rc, told = run(unseated, "reopen_micro")
    assert rc == 2 and "Micro answers with the UUID of-another, and had of-micro before it was stopped" in told
    assert "micro-snapshot.json is of another Micro" in told


def test_what_a_create_env_made_beside_micros_data_is_set_aside_where_that_is_wanted(run, unseated, tmp_path):
    (tmp_path / "hosts/micro/store/new").touch()
    rc, told = run(unseated, "reopen_micro")
    assert rc == 2 and "reopen_micro_set_aside=true" in told and "store/new" in told, told
    assert deeds(tmp_path) == []
    rc, told = run(unseated, "reopen_micro", "main", reopen_micro_set_aside=True)
    assert rc == 0, told
    assert deeds(tmp_path)[:3] == ["micro monit stopped", "micro fence open set_aside", "micro monit started"]


# return_primary


def test_one_that_is_there_is_started_and_moved_back(run, unseated, tmp_path):
    rc, told = run(unseated, "return_primary")
    assert rc == 0, told
    started, bus, off = deeds(tmp_path)
    assert (started, bus) == ("primary monit started", f"primary bus ['nats://{MICRO}:4222']")
    # Else it would make a Meta anew whose agent is locked out still.
    assert off.startswith(PRIMARY) and "update-resurrection off" in off
    assert f"{PRIMARY} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINew" in (tmp_path / "known_hosts").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("agent", "moved"),
    [
        ({"urls": [f"nats://{MICRO}:4222"]}, False),
        ({"urls": [f"nats://nats:hidden@{MICRO}:4222"]}, False),
        ({"urls": [f"nats://{MICRO}:4222"], "connected": False}, True),
        ({"urls": [f"nats://{MICRO}:4222"], "blobstore": f"https://{META}:25250"}, True),
        ({"urls": [f"nats://{META}0:4222"]}, False),
    ],
)
def test_an_agent_that_meta_never_had_is_left_as_it_is(run, unseated, tmp_path, agent, moved):
    unseated["agent"] |= agent
    rc, told = run(unseated, "return_primary")
    assert rc == 0, told
    assert bool([line for line in deeds(tmp_path) if " bus " in line]) == moved


def test_one_that_is_lost_is_made_anew_by_micro(run, unseated, tmp_path):
    unseated["away"] = ["primary"]
    rc, told = run(unseated, "return_primary", "main", "--check")
    assert rc == 0 and deeds(tmp_path) == [], told
    rc, told = run(unseated, "return_primary")
    assert rc == 0, told
    made, off = deeds(tmp_path)
    assert made.startswith(MICRO) and "--resolution=recreate_vm" in made
    assert off.startswith(PRIMARY) and "update-resurrection off" in off


def test_a_forecast_does_not_ask_a_micro_that_is_to_be_started(run, unseated, tmp_path):
    unseated["away"] = ["primary"]
    del unseated["directors"][MICRO]
    rc, told = run(unseated, "return_primary", "main", "--check")
    assert rc == 0 and "Micro would make the VM of bosh-primary anew" in told, told


def test_a_primary_that_has_no_meta_keeps_its_resurrection(run, unseated, tmp_path):
    unseated["directors"][PRIMARY]["deploys"] = []
    rc, told = run(unseated, "return_primary")
    assert rc == 0 and not [line for line in deeds(tmp_path) if "resurrection" in line], told


# find_phase


def test_a_host_whose_monit_knows_nothing_yet_is_not_stopped_and_no_failure(run, site):
    """As a VM that Meta is making while the rollback begins."""
    site |= {"ill": ["primary"], "directors": {}}
    micro = {"vm_cid": "vm-0", "exists": True, "expected": True}
    given = {"_find_phase_directors": {"answering": [], "meta_leads": True, "micro": micro}}
    rc, told = run(site, "find_phase", "hosts", "-e", json.dumps(given))
    assert rc == 0 and "primary counts as not stopped: monit names no process" in told, told
    assert "micro counts as" not in told


# The order


def tasks(path: str) -> list[dict[str, Any]]:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_metas_own_store_stays_as_long_as_micro_is_there():
    """Without it nothing on Meta's disk tells that the data are Micro's, and a rollback would open Micro beside it."""
    names = [task["name"] for task in tasks("roles/destroy_micro/tasks/main.yml")]
    removed = next(name for name in names if name.startswith("Remove Meta's own store"))
    order = [
        names.index(name)
        for name in (
            "Terminate the VM only",
            "Delete Micro's environment with its disk",
            removed,
            "Let its state file forget the VM",
        )
    ]
    assert order == sorted(order)


def test_resurrection_is_switched_on_at_micro_whether_or_not_meta_is_there():
    *_plays, last = tasks("playbooks/rollback.yml")
    on = next(task for task in last["tasks"] if task["name"] == "Switch resurrection on")
    there = {pair["by"]: pair["there"] for pair in on["loop"]}
    assert on["when"] == "pair.there | bool"
    assert there == {
        "micro": "{{ _rollback_primary_deployed }}",
        "primary": "{{ 'meta' in find_phase_seen.reachable }}",
    }
    close = last["tasks"][0]
    assert "when" not in close and "permit_root_rsync_meta_is_gone" in close["vars"]
