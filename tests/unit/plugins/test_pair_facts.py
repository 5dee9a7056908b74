# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is gathered of a pair, over a `bosh` whose three directors are data."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import director_wait, pair_facts
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli, Director
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.pair_facts import NAMES, hosts_of

from ..conftest import Failed, recorded

DEPLOYMENTS = {"primary": "bosh-primary", "meta": "bosh-meta"}
STATE = {"exists": True, "vm_cid": "vm-1"}
SETTLED = (
    "instance_groups: [{name: bosh, jobs: [{name: health_monitor, properties: {hm: {resurrector_enabled: true}}}]}]"
)
DEPLOY = {
    "id": "60",
    "state": "done",
    "user": "admin",
    "deployment": "bosh-primary",
    "description": "create deployment",
}
CHECK = DEPLOY | {"description": "apply resolutions"}
TIMES = {"started_at": "Tue Nov 24 10:00:00 UTC 2026", "finished_at": "Tue Nov 24 10:01:00 UTC 2026", "result": ""}


def instance(state: str = "running", cid: str = "vm-2") -> dict[str, str]:
    row = dict.fromkeys(("az", "ips", "state", "agent_id", "index", "ignore", "bootstrap"), "")
    return row | {"instance": "bosh/1", "process_state": state, "vm_cid": cid, "disk_cids": "disk-1"}


class World:
    """The directors that answer: `deployments`, and by deployment `tasks`, `instances` and `manifests`.

    One with `fails` answers with these words. What is a list of lists under `instances` changes with each question.
    """

    def __init__(self, **directors: dict[str, Any]) -> None:
        self.directors = directors
        self.calls: list[str] = []
        self.lock = threading.Lock()

    def clis(self, *names: str) -> dict[str, BoshCli]:
        # Behind a proxy nobody tries the address first.
        reach = {name: Director(environment=name, all_proxy="socks5://x") for name in names or NAMES}
        return {name: BoshCli(director, self.answer) for name, director in reach.items()}

    def answer(self, command: list[str], environ_update: dict[str, str], **_options: Any) -> tuple[int, str, str]:
        name, words = environ_update["BOSH_ENVIRONMENT"], command[3:]
        with self.lock:
            self.calls.append(f"{name} {' '.join(words)}")
            director = self.directors.get(name)
            silent = director is None or (director.get("silent", 0) > 0 and "env" in words)
            if director is not None and silent:
                director["silent"] -= 1
        if silent:
            return self.printed("", [], ["dial tcp: connect: no route to host"], 1)
        assert director is not None
        if "fails" in director:
            return self.printed("", [], [director["fails"]], 1)
        of = words[words.index("-d") + 1] if "-d" in words else ""
        if "env" in words:
            return self.printed("", [{"name": name, "uuid": f"of-{name}", "version": "1", "cpi": "d", "user": "admin"}])
        if "deployments" in words:
            rows = [{"name": one, "release_s": "", "stemcell_s": ""} for one in director.get("deployments", [])]
            return self.printed("deployments", rows)
        if "task" in words:
            return (*recorded("resurrect_bosh-primary_task_event"), "")
        if "tasks" in words:
            return self.printed("tasks", [TIMES | row for row in director.get("tasks", {}).get(of, [])])
        if "instances" in words:
            rows = director.get("instances", {}).get(of, [])
            return self.printed("instances", rows.pop(0) if rows and isinstance(rows[0], list) else rows)
        if "curl" in words:
            manifest = director.get("manifests", {}).get(words[-1].rpartition("/")[2], "name: x")
            return 0, json.dumps({"Tables": None, "Blocks": [json.dumps({"manifest": manifest})], "Lines": []}), ""
        raise AssertionError(f"nobody expected {words}")

    def printed(self, content: str, rows: list[Any], lines: Any = (), rc: int = 0) -> tuple[int, str, str]:
        table = {"Content": content, "Header": {}, "Rows": rows}
        return rc, json.dumps({"Tables": [table], "Blocks": None, "Lines": list(lines)}), ""

    def asked(self, word: str) -> list[str]:
        return [call for call in self.calls if word in call]


def seen(world: World, *names: str, work_dir: str = "", **results: Any) -> dict[str, Any]:
    clis = world.clis(*names)
    answers = pair_facts.first_answers(clis, DEPLOYMENTS, 0)
    waits = {"start": 0, "resurrect": 0}
    return pair_facts.seen(clis, DEPLOYMENTS, answers, hosts_of(results), STATE, waits, work_dir=work_dir)


@pytest.fixture
def pauses(monkeypatch):
    """The seconds of each pause, none of which is made."""
    made: list[float] = []
    monkeypatch.setattr(director_wait.time, "sleep", made.append)
    monkeypatch.setattr(director_wait.time, "monotonic", lambda: sum(made))
    return made


def micro(*deployments: str, **more: Any) -> dict[str, Any]:
    return {"deployments": list(deployments or ["bosh-primary"])} | more


# Directors


def test_directors_without_credentials_are_not_asked():
    found = seen(World(micro=micro("other")), "micro", "primary")
    assert (found["answers"], found["unasked"], found["meta_uuid"]) == (["micro"], ["meta"], "")
    assert seen(World(), *[])["answers"] == []


def test_a_director_that_refuses_us_is_an_error_with_the_variable():
    world = World(primary={"fails": "x509: certificate signed by unknown authority"})
    with pytest.raises(ValueError, match=r"^bosh_ha_directors\.primary: .*not signed by `ca_cert`"):
        seen(world)


def test_a_proxy_that_fails_is_an_error():
    with pytest.raises(BoshFailure, match="socks"):
        seen(World(primary={"fails": "dial tcp: proxy socks5 says nothing"}))


def test_a_director_whose_workers_do_not_run_yet_is_not_ready():
    world = World(micro={"fails": "Director responded with non-successful status code '502' response 'x'"})
    assert seen(world)["not_ready"] == ["micro"]


def test_a_meta_that_primary_may_be_resurrecting_is_awaited(pauses):
    world = World(primary=micro("bosh-meta"), meta=micro("bosh-primary") | {"silent": 3})
    clis = world.clis()
    found = pair_facts.first_answers(clis, DEPLOYMENTS, 60)
    assert (pair_facts.answering(found), pauses) == (["primary", "meta"], [2.0, 2.0])
    # Nobody resurrects a Meta that Primary does not have.
    world = World(primary=micro("other"), meta=micro() | {"silent": 9})
    assert pair_facts.answering(pair_facts.first_answers(world.clis(), DEPLOYMENTS, 60)) == ["primary"]
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("state", "awaited"),
    [
        ("running", True),
        ("not monitored - start pending", True),
        ("running - stop pending", False),
        ("not monitored", False),
        (None, False),
    ],
)
def test_a_director_that_monit_starts_is_awaited(pauses, state, awaited):
    world = World(micro=micro(), primary=micro("bosh-meta") | {"silent": 2})
    clis = world.clis()
    answers = pair_facts.first_answers(clis, DEPLOYMENTS, 0)
    processes = {"nats": "running"} | ({"director": state} if state else {})
    hosts = hosts_of({"monit": [{"item": "primary", "processes": processes}, {"item": "meta", "msg": "no process"}]})
    found = pair_facts.seen(clis, DEPLOYMENTS, answers, hosts, STATE, {"start": 30, "resurrect": 0})
    assert ("primary" in found["answers"], bool(pauses)) == (awaited, awaited)


# Hosts

VERIFY = "timed out waiting for ping: Host key verification failed."
PIPE = "timed out waiting for ping: Data could not be sent to remote host: [Errno 32] Broken pipe"
PINS = {
    "hosts": [
        {"name": "micro", "pinned": False, "shown": ["ssh-ed25519 AAAA"]},
        {"name": "primary", "pinned": True, "shown": []},
        {"name": "meta", "pinned": False, "shown": []},
    ],
    "advice": "compare them",
}


@pytest.mark.parametrize(
    ("msg", "pins", "barred", "unpinned"),
    [
        (VERIFY, {}, ["micro"], []),
        ("jumpbox@10.10.0.3: Permission denied (publickey).", {}, ["micro"], []),
        ("ssh: connect to host 10.10.0.3 port 22: No route to host", {}, [], []),
        # Ansible reports what comes first, ssh's words or the end of its pipe; the known_hosts file decides.
        (VERIFY, PINS, ["micro"], ["micro"]),
        (PIPE, PINS, ["micro"], ["micro"]),
        (PIPE, {}, [], []),
    ],
)
def test_a_host_that_lets_nobody_in_is_not_away(msg, pins, barred, unpinned):
    connections = [
        {"item": "micro", "elapsed": 10, "msg": msg},
        {"item": "primary", "elapsed": 0},
        {"item": "meta", "skipped": True},
    ]
    found = hosts_of({"connections": connections, "pins": pins})
    assert (found["barred"], found["unpinned"], found["reachable"]) == (barred, unpinned, ["primary"])
    assert found["host_keys"] == ("compare them" if unpinned else "")


@pytest.mark.parametrize(
    ("doors", "silent"),
    [
        ([{"elapsed": 0}, {"elapsed": 0}], True),
        ([{"elapsed": 0}, {"elapsed": 4, "msg": "Timeout when waiting for 10.10.0.3:25555 to stop."}], False),
        ([{"elapsed": 0}, {"unreachable": True, "msg": "no route"}], False),
        ([{"skipped": True}, {"skipped": True}], False),
        ([], False),
    ],
)
def test_both_ports_of_micro_must_be_closed(doors, silent):
    assert hosts_of({"doors": doors})["micro_silent"] is silent


# Deploys


@pytest.mark.parametrize(
    ("states", "unfinished"),
    [(["done", "error"], []), (["error", "done"], ["primary"]), (["processing"], ["primary"]), ([], [])],
)
def test_only_the_last_deploy_counts(states, unfinished):
    tasks = {"bosh-primary": [CHECK, *(DEPLOY | {"state": state} for state in states)]}
    world = World(micro=micro(tasks=tasks, instances={"bosh-primary": [instance()]}))
    found = seen(world)
    assert (found["unfinished"], found["known"]["micro"]) == (unfinished, ["bosh-primary"])
    # Where a deploy was done there are instances.
    assert bool(world.asked("instances")) == ("done" not in states)


def test_a_deployment_of_which_a_dry_run_left_the_name_is_none():
    found = seen(World(micro=micro("bosh-primary", "other", tasks={"bosh-primary": [DEPLOY | {"state": "error"}]})))
    assert found["known"] == {"micro": ["other"], "primary": [], "meta": []}


# The pair


@pytest.mark.parametrize(
    ("task", "last", "stopped", "adopted"),
    [
        (DEPLOY, {"id": 50}, False, True),
        (CHECK, {"id": 50}, True, True),
        # Micro's own.
        (DEPLOY, {"id": 60}, False, False),
        (CHECK, {"id": 60}, False, False),
        # Nobody wrote down which was Micro's last.
        (DEPLOY, None, False, False),
        (CHECK, None, False, True),
        (CHECK, None, True, False),
    ],
)
@pytest.mark.parametrize("uuid", ["of-meta", "of-another"])
def test_whether_meta_adopted_primary(tmp_path, task, last, stopped, adopted, uuid):
    (tmp_path / "micro-snapshot.json").write_text(json.dumps({"uuid": uuid, "last_task": last or {}}))
    if uuid == "of-another":
        adopted = task is CHECK and not stopped
    lost = [instance("unresponsive agent")]
    world = World(meta=micro(tasks={"bosh-primary": [task]}, instances={"bosh-primary": lost}))
    found = seen(world, work_dir=str(tmp_path), monit=[{"item": "primary", "all_stopped": stopped}])
    assert (found["adopted"], found["primary_agent"], found["primary_running"]) == (
        adopted,
        "unresponsive agent",
        False,
    )


def test_a_snapshot_that_is_none_is_named(tmp_path):
    (tmp_path / "micro-snapshot.json").write_text("[]")
    with pytest.raises(ValueError, match=r"micro-snapshot\.json: it is no snapshot of Micro"):
        seen(World(meta=micro()), work_dir=str(tmp_path))


def test_a_primary_that_meta_may_be_resurrecting_is_awaited(pauses):
    comes = [[instance("", "")], [instance("unresponsive agent")], [instance()], [instance()]]
    world = World(meta=micro(tasks={"bosh-primary": [CHECK]}, instances={"bosh-primary": comes}))
    clis = world.clis()
    answers = pair_facts.first_answers(clis, DEPLOYMENTS, 0)
    found = pair_facts.seen(clis, DEPLOYMENTS, answers, hosts_of({}), STATE, {"start": 0, "resurrect": 60})
    assert (found["adopted"], found["primary_running"], pauses) == (True, True, [5.0])


def test_a_primary_without_a_vm_has_no_agent():
    found = seen(World(meta=micro(instances={"bosh-primary": [instance("", "")]})))
    assert (found["primary_agent"], found["primary_running"], found["adopted"]) == ("", False, False)


@pytest.mark.parametrize(
    ("of_meta", "settled"),
    [
        (SETTLED, True),
        (SETTLED + "\nproperties: {dns: {recursor: 10.0.0.1}}", False),
        (SETTLED.replace("true", "false"), False),
        (None, False),
    ],
)
def test_a_pair_is_settled_by_both_manifests(of_meta, settled):
    manifests = {"bosh-primary": SETTLED}
    world = World(
        meta=micro(instances={"bosh-primary": [instance()]}, manifests=manifests),
        primary=micro(*(["bosh-meta"] if of_meta else ["other"]), manifests={"bosh-meta": of_meta}),
    )
    found = seen(world)
    assert (found["primary_running"], found["settled"]) == (True, settled)
    # One question each: with what a director answered nothing is asked twice.
    assert len(world.calls) == len(set(world.calls))


def test_what_is_seen_is_all_that_the_judgement_needs():
    from .test_pair_phase import NOTHING

    assert set(NOTHING) <= set(seen(World()))


# What the task histories prove

SCAN = DEPLOY | {
    "id": "62",
    "user": "hm",
    "description": "scan and fix",
    "started_at": "Tue Nov 24 10:04:00 UTC 2026",
    "finished_at": "Tue Nov 24 10:05:00 UTC 2026",
}
LOSS = SCAN | {"id": "61", "user": "admin", "deployment": "", "description": "delete vm vm-2"}
LOSS |= {"started_at": "Tue Nov 24 10:02:30 UTC 2026", "finished_at": "Tue Nov 24 10:02:40 UTC 2026"}


def pair_that(*scans: dict[str, Any], deploys: Any = (DEPLOY,)) -> World:
    """Meta recreated Primary by each of the scans."""
    tasks = {"bosh-primary": [*scans, *deploys], "": [*scans, LOSS, *deploys]}
    primary = micro("bosh-meta", tasks={"bosh-meta": [DEPLOY | {"deployment": "bosh-meta"}]})
    return World(meta=micro(tasks=tasks), primary=primary)


def test_a_resurrection_after_meta_took_over_is_a_proof():
    world = pair_that(SCAN)
    found = pair_facts.history_of(world.clis(), DEPLOYMENTS, ["primary", "meta"], 59)
    assert (found["last"], found["adopted"], found["since"]) == (59, found["since"], 1795514460)
    [proof] = found["proofs"]["primary"]
    assert (proof["task"], proof["detected"], proof["back"]) == (62, 90, 150)
    assert found["proofs"]["meta"] == []
    # Each director is asked for its own, and a deployment's go back further than all of a director's.
    assert sorted(world.asked(" tasks ")) == [
        "meta -d bosh-primary tasks -a --recent=10000",
        "meta tasks -a --recent=10000",
        "primary -d bosh-meta tasks -a --recent=10000",
        "primary tasks -a --recent=10000",
    ]


def test_micros_resurrections_prove_nothing_of_meta():
    found = pair_facts.history_of(pair_that(SCAN).clis(), DEPLOYMENTS, ["primary", "meta"], 70)
    assert (found["adopted"], found["since"], found["proofs"]["primary"]) == (0, 0, [])


def test_only_the_directors_that_are_named_are_asked():
    world = pair_that(SCAN)
    found = pair_facts.history_of(world.clis(), DEPLOYMENTS, ["meta"], 59)
    assert found["adopted"] and found["proofs"]["primary"] and not found["proofs"]["meta"]
    assert all(call.startswith("meta ") for call in world.calls)


def ask(run_module, world: World, tmp_path: Any, check: bool = False, **args: Any) -> dict[str, Any]:
    (tmp_path / "micro-snapshot.json").write_text(json.dumps({"uuid": "of-meta", "last_task": {"id": 59}}))
    directors = [{"name": name, "environment": name, "all_proxy": "socks5://x"} for name in NAMES]
    given = {"directors": directors, "deployments": DEPLOYMENTS, "state_file": str(tmp_path / "state.json"), "wait": 0}

    def answer(command: list[str], **options: Any) -> tuple[int, str, str]:
        return (0, "version 7.10.6", "") if command[1:] == ["--version"] else world.answer(command, **options)

    more = {"work_dir": str(tmp_path)}
    result, _replay = run_module("pair_info", given | more | args, check=check, runner=answer)
    return result


def test_the_history_alone_is_asked_of_the_pair_alone(run_module, tmp_path):
    world = pair_that(SCAN)
    found = ask(run_module, world, tmp_path, history=["primary", "meta"])
    assert [len(found["history"]["proofs"][of]) for of in ("primary", "meta")] == [1, 0]
    assert found["history"]["last"] == 59 and "phase" not in found
    assert not [call for call in world.calls if call.startswith("micro ")]


def test_one_that_does_not_answer_is_named_and_may_be_still_to_come(run_module, tmp_path):
    world = World(meta=micro())
    with pytest.raises(
        Failed, match=r"bosh_ha_directors\.primary: its tasks are needed, and it does not answer: .*no route"
    ):
        ask(run_module, world, tmp_path, history=["primary", "meta"])
    found = ask(run_module, world, tmp_path, check=True, history=["primary", "meta"])
    assert found["history"] == pair_facts.NO_HISTORY
    assert ask(run_module, world, tmp_path, history=["meta"])["history"]["last"] == 59


@pytest.mark.parametrize("settled", [True, False])
def test_with_the_hosts_the_history_is_asked_of_a_pair_only(run_module, tmp_path, settled):
    world = pair_that(SCAN)
    manifest = SETTLED if settled else "name: x"
    for name, of in (("meta", "bosh-primary"), ("primary", "bosh-meta")):
        world.directors[name] |= {"manifests": {of: manifest}, "instances": {of: [instance()]}}
    (tmp_path / "state.json").write_text(json.dumps({"director_id": "a", "current_vm_cid": "vm-1"}))
    answers = ask(run_module, world, tmp_path)["answers"]
    found = ask(run_module, world, tmp_path, answers=answers, hosts={}, history=["primary", "meta"])
    assert found["phase"] == ("mutual" if settled else "primary_adopted"), found
    assert len(found["history"]["proofs"]["primary"]) == settled
