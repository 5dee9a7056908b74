# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the director's API and tasks, with SQLite for PostgreSQL and agents and CPI that only remember."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from boshlab import paths
from boshlab.director import instances, jobs, plan, tasks
from boshlab.director.api import application
from boshlab.director.clients import AgentTimeout
from boshlab.director.db import (
    DelayedJob,
    Deployment,
    DeploymentProblem,
    Event,
    Instance,
    Lock,
    PersistentDisk,
    Release,
    ReleaseVersion,
    Task,
    Template,
    Vm,
    migrate,
    now,
)
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

CONFIG = {
    "name": "micro",
    "address": "10.10.0.3",
    "cpi": "/none",
    "ping_timeout": 1,
    "users": [{"name": "admin", "password": "geheim-ä"}, {"name": "hm", "password": "hm"}],
}


class World:
    """Which agents answer and which VMs and disks there are."""

    def __init__(self) -> None:
        self.answering, self.vms, self.disks = {"agent-0"}, {"vm-0"}, {"disk-0"}

    def ask(self, agent_id: str, method: str, *_arguments: Any, timeout: float = 45) -> Any:
        if agent_id not in self.answering:
            raise AgentTimeout(f"Timed out sending '{method}' to agent '{agent_id}' after {timeout} seconds")
        return {"job_state": "running", "processes": []}

    def call(self, method: str, *arguments: Any) -> Any:
        if method in ("has_vm", "has_disk"):
            return arguments[0] in (self.vms if method == "has_vm" else self.disks)
        gone = {"delete_vm": self.vms, "delete_disk": self.disks}
        return gone[method].discard(arguments[0]) if method in gone else None


class Director:
    """An API and a worker on one database, in which bosh-primary has one instance with a disk."""

    def __init__(self, directory: Path) -> None:
        self.world = World()
        self.engine = sa.create_engine(f"sqlite:///{directory}/db", connect_args={"timeout": 10})
        migrate(self.engine, {})
        self.client = TestClient(application(self.engine, CONFIG), follow_redirects=False)
        self.client.auth = ("admin", "geheim-ä")
        with Session(self.engine) as session, session.begin():
            deployment = Deployment(name="bosh-primary", manifest="name: bosh-primary", releases=[], stemcells=[])
            session.add(deployment)
            session.flush()
            session.add(Instance(id=7, job="bosh", index=0, uuid="i-0", availability_zone="z1", deployment_id=1))
            session.add(Vm(cid="vm-0", agent_id="agent-0", active=True, instance_id=7))
            session.add(PersistentDisk(disk_cid="disk-0", size=1024, instance_id=7))

    def change(self, statement: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement)

    def add(self, *rows: Any) -> None:
        """Rows as they are; a task that is queued gets its row in the workers' queue, too."""
        with Session(self.engine) as session, session.begin():
            session.add_all(rows)
            session.flush()
            queued = [row for row in rows if isinstance(row, Task) and row.state == "queued"]
            session.add_all([DelayedJob(task_id=task.id) for task in queued])

    def work(self, config: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do the task that is queued and return how it ended, with its events."""
        taken = tasks.take(self.engine, "worker_1")
        assert taken
        tasks.run(self.engine, config or CONFIG, jobs.JOBS, *taken)
        tasks.done(self.engine, taken[0])
        text = self.client.get(f"/tasks/{taken[0]}/output", params={"type": "event"}).text
        events = [json.loads(line) for line in text.splitlines()]
        return self.client.get(f"/tasks/{taken[0]}").json() | {"events": events}

    def task(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self.client.request(method, path, json=body or None)
        assert answer.status_code == 302, answer.text
        return self.work()


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Director]:
    monkeypatch.setattr(tasks, "TASKS", tmp_path / "tasks")
    monkeypatch.setattr(paths, "FAULTS", tmp_path / "faults.json")
    made = Director(tmp_path)
    monkeypatch.setattr(tasks, "Cpi", lambda *_arguments: made.world)
    monkeypatch.setattr(tasks, "Blobstore", lambda _config: None)
    monkeypatch.setattr(tasks, "_agents", lambda *_arguments: made.world)
    yield made
    made.engine.dispose()


@pytest.fixture
def recreated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instances that were recreated."""
    found: list[str] = []
    monkeypatch.setattr(instances, "recreate_vm", lambda _context, instance: found.append(instance.uuid))
    return found


# Who may come in


@pytest.mark.parametrize(
    "login", [b"", b"admin", b"admin:", b"admin:geheim", b"nobody:", b"nobody:\0", "admin:ö".encode(), b"\xff:x"]
)
def test_only_who_knows_a_password_comes_in(director: Director, login: bytes) -> None:
    director.client.auth = None
    headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
    assert director.client.get("/deployments", headers=headers).status_code == 401
    # `env` with wrong credentials does not fail: it says that nobody is logged in.
    info = director.client.get("/info", headers=headers)
    assert (info.status_code, info.json()["user"]) == (200, None)


def test_the_director_knows_who_asks(director: Director) -> None:
    assert director.client.get("/info").json()["user"] == "admin"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/tasks/99", 404),
        ("GET", "/deployments/none", 404),
        ("PUT", "/resurrection", 400),
        ("POST", "/configs", 400),
    ],
)
def test_a_bad_request_is_told(director: Director, method: str, path: str, status: int) -> None:
    answer = director.client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "description"}


# Tasks


def test_tasks_are_listed_as_asked(director: Director) -> None:
    kinds = [("update_deployment", "d"), ("vms", "d"), ("scan_and_fix", "d"), ("resolve", "e"), ("delete_vm", None)]
    director.add(
        *[Task(username="a", type=kind, description=kind, deployment_name=name, state="done") for kind, name in kinds]
    )

    def listed(**query: Any) -> list[int]:
        return [task["id"] for task in director.client.get("/tasks", params=query).json()]

    # Without `--all` neither what the health monitor nor what cloud check did is seen.
    assert listed(limit=30) == [1]
    assert listed(limit=30, verbose=2) == [5, 4, 3, 2, 1]
    assert listed(limit=2, verbose=2) == [5, 4]
    assert listed(limit=0, verbose=2) == [5]
    assert listed(deployment="d", verbose=2) == [3, 2, 1]
    assert listed(state="queued,processing", verbose=2) == []


def test_a_tasks_output_comes_in_pieces(director: Director) -> None:
    director.add(Task(username="a", type="vms", description="x", event_output="one\ntwo\n"))
    director.add(Task(username="a", type="vms", description="x"))

    def part(start: int, task: int = 1) -> Any:
        headers = {"Range": f"bytes={start}-"}
        return director.client.get(f"/tasks/{task}/output", params={"type": "event"}, headers=headers)

    assert (part(0).status_code, part(0).text, part(4).text) == (206, "one\ntwo\n", "two\n")
    assert part(8).status_code == 416
    assert director.client.get("/tasks/2/output", params={"type": "event"}).status_code == 204


def test_a_task_is_cancelled_before_it_ends_only(director: Director) -> None:
    director.add(
        Task(username="a", type="scan", description="x", state="done"),
        Task(username="a", type="scan", description="x", state="queued"),
    )
    answer = director.client.delete("/task/1")
    assert (answer.status_code, answer.text) == (400, "Cannot cancel task 1: invalid state (done)\n")
    assert director.client.delete("/task/2").status_code == 204
    assert director.client.get("/tasks/2").json()["state"] == "cancelled"


def test_a_cancelled_task_stops_at_its_next_step(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(context: tasks.Context, **_arguments: Any) -> None:
        with context.step("Stage", "first"):
            director.client.delete(f"/task/{context.task_id}")
        with context.step("Stage", "second"):
            raise AssertionError("was to stop")

    monkeypatch.setitem(jobs.JOBS, "scan", cancelled)
    ended = director.task("POST", "/deployments/bosh-primary/scans")
    assert (ended["state"], ended["result"]) == ("cancelled", "task cancelled")
    assert ended["events"][-1]["error"] == {"code": 10001, "message": "Task 1 cancelled"}


def _slow(description: str = "scan cloud", **more: Any) -> None:
    paths.FAULTS.write_text(json.dumps({"task": {"hang": description} | more}))


def test_a_task_that_hangs_holds_its_lock_and_can_be_cancelled(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    _slow("scan cloud", director="micro")
    seen: list[Any] = []

    def sleep(_seconds: float) -> None:
        seen.append(director.client.get("/locks").json())
        assert director.client.delete("/task/1").status_code == 204

    monkeypatch.setattr(tasks.time, "sleep", sleep)
    director.add(Task(username="a", type="scan", description="scan cloud", arguments={"name": "bosh-primary"}))
    ended = director.work()
    assert (ended["state"], ended["result"]) == ("cancelled", "task cancelled")
    assert [lock["resource"] for lock in seen[0]] == [["bosh-primary"]]
    assert director.client.get("/locks").json() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"hang": "create deployment"},
        {"hang": "scan cloud", "director": "meta"},
        {"hang": "scan cloud", "times": 0},
        {"hang": "scan cloud", "seconds": 0},
    ],
)
def test_no_other_task_hangs(director: Director, fault: dict[str, Any]) -> None:
    paths.FAULTS.write_text(json.dumps({"task": fault}))
    director.add(Task(username="a", type="scan", description="scan cloud", arguments={"name": "bosh-primary"}))
    assert director.work()["state"] == "done"


def test_a_slow_task_goes_on_and_hangs_once(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(tasks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(tasks.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    _slow(seconds=3, times=2)
    director.add(Task(username="a", type="scan", description="scan cloud", arguments={"name": "bosh-primary"}))
    assert (director.work()["state"], clock[0]) == ("done", 3)
    # One task, one fault, though it has several steps.
    assert json.loads(paths.FAULTS.read_text())["task"]["times"] == 1


def test_a_resolution_that_is_cancelled_ends_the_task(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    director.world.answering.clear()
    director.world.vms.clear()
    director.task("POST", "/deployments/bosh-primary/scans")
    _slow("apply resolutions", seconds=-1)
    monkeypatch.setattr(
        tasks.time, "sleep", lambda _seconds: director.change(sa.update(Task).values(state="cancelling"))
    )
    ended = director.task("PUT", "/deployments/bosh-primary/problems", resolutions={"1": "recreate_vm"})
    assert ended["state"] == "cancelled"


def test_no_transaction_is_open_while_an_agent_or_the_cpi_is_asked(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore of the database would wait for it, and the task for the restore."""
    director.add(Task(username="a", type="scan", description="x"))
    context = tasks.Context(director.engine, CONFIG, 1)
    monkeypatch.setattr(World, "wait_until_ready", lambda *_arguments: context.session.in_transaction(), raising=False)
    monkeypatch.setattr(World, "call", lambda *_arguments: context.session.in_transaction())
    for ask in (lambda: context.agents.wait_until_ready("agent-0", 1), lambda: context.cpi.call("has_vm", "vm-0")):
        deployment = jobs.deployment_named(context, "bosh-primary")
        deployment.manifest = "name: changed"
        assert context.session.in_transaction() and ask() is False
    with Session(director.engine) as session:
        assert session.get_one(Deployment, 1).manifest == "name: changed"
    context.session.close()


def test_a_task_ends_even_where_its_logs_cannot_be_written(director: Director, tmp_path: Path) -> None:
    (tmp_path / "tasks").write_text("no directory, as on a full disk")
    director.client.post("/deployments/bosh-primary/scans")
    assert director.work()["state"] == "error"


def test_delete_vm_belongs_to_no_deployment_and_takes_any_cid(director: Director) -> None:
    ended = director.task("DELETE", "/vms/vm-0")
    assert (ended["state"], ended["description"], ended["deployment"]) == ("done", "delete vm vm-0", None)
    # The instance stays, without a VM, and its disk with it.
    assert director.client.get("/deployments/bosh-primary/vms").json() == []
    row = director.client.get("/deployments/bosh-primary/instances").json()[0]
    assert (row["id"], row["cid"], row["expects_vm"]) == ("i-0", None, True)
    assert director.client.get("/disks").json() == []
    assert director.task("DELETE", "/vms/vm-0")["state"] == "done"


# Locks


def test_a_held_lock_fails_the_task_at_once_and_an_expired_one_does_not(director: Director) -> None:
    name = "lock:deployment:bosh-primary"
    director.add(Lock(name=name, uid="u", task_id="5", expired_at=now() + timedelta(seconds=240)))
    assert director.client.get("/deployments").json()[0]["locked"] is True
    assert director.client.get("/locks").json()[0] | {"timeout": ""} == {
        "type": "deployment",
        "resource": ["bosh-primary"],
        "timeout": "",
        "task_id": "5",
    }
    ended = director.task("POST", "/deployments/bosh-primary/scans")
    words = "Unable to get deployment lock, maybe a deployment is in progress. Try again later."
    assert (ended["state"], ended["result"]) == ("error", words)
    # As a copied store carries it: the one who held it is gone.
    director.change(sa.update(Lock).values(expired_at=now() - timedelta(seconds=1)))
    assert director.client.get("/deployments").json()[0]["locked"] is False
    assert director.client.get("/locks").json() == []
    assert director.task("POST", "/deployments/bosh-primary/scans")["state"] == "done"
    with Session(director.engine) as session:
        assert session.scalars(sa.select(Lock)).all() == []


def _queue(director: Director) -> int:
    with Session(director.engine) as session:
        return tasks.start(session, "a", "scan", "x", name="d")


def _rows(director: Director) -> list[tuple[int, str | None]]:
    with Session(director.engine) as session:
        return [(row.task_id, row.locked_by) for row in session.scalars(sa.select(DelayedJob).order_by(DelayedJob.id))]


def test_each_worker_takes_a_row_that_nobody_has(director: Director) -> None:
    first, second = _queue(director), _queue(director)
    assert tasks.take(director.engine, "worker_1") == (first, "scan", {"name": "d"})
    assert tasks.take(director.engine, "worker_2") == (second, "scan", {"name": "d"})
    assert tasks.take(director.engine, "worker_3") is None
    assert _rows(director) == [(first, "worker_1"), (second, "worker_2")]


def test_a_killed_workers_row_is_taken_and_refused_by_its_namesake_only(director: Director) -> None:
    """As in a copied store: the task stays as it is, and does not run twice."""
    task = _queue(director)
    assert tasks.take(director.engine, "worker_1")
    assert tasks.take(director.engine, "worker_2") is None
    assert _rows(director) == [(task, "worker_1")]
    assert tasks.take(director.engine, "worker_1") is None
    assert _rows(director) == []
    assert director.client.get(f"/tasks/{task}").json()["state"] == "processing"


def test_no_start_of_a_director_recovers_a_task_or_its_lock(director: Director) -> None:
    director.add(
        Task(username="a", type="scan", description="x", state="processing", checkpoint_time=now()),
        Lock(name="lock:deployment:d", uid="u", task_id="1", expired_at=now() + timedelta(seconds=240)),
    )
    migrate(director.engine, {})
    assert director.client.get("/tasks/1").json()["state"] == "processing"
    assert [lock["resource"] for lock in director.client.get("/locks").json()] == [["d"]]


@pytest.mark.parametrize(
    ("state", "silent", "then"),
    [
        ("processing", 179, "processing"),
        ("processing", 181, "timeout"),
        ("cancelling", 181, "timeout"),
        ("queued", 181, "queued"),
        ("done", 181, "done"),
    ],
)
@pytest.mark.parametrize("path", ["/tasks/1", "/tasks?verbose=2"])
def test_a_task_without_a_checkpoint_times_out_when_it_is_asked_for(
    director: Director, state: str, silent: int, then: str, path: str
) -> None:
    seen = now() - timedelta(seconds=silent)
    director.add(Task(username="a", type="scan", description="x", state=state, checkpoint_time=seen))
    answer = director.client.get(path).json()
    assert (answer if isinstance(answer, dict) else answer[0])["state"] == then
    with Session(director.engine) as session:
        assert session.get_one(Task, 1).state == then


def test_a_task_that_is_worked_on_has_checkpoints(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHECKPOINT_SECONDS", 0.05)
    began = now() - timedelta(seconds=1000)
    director.add(Task(username="a", type="slow", description="x", state="processing", checkpoint_time=began))
    tasks.run(director.engine, CONFIG, {"slow": lambda _context: time.sleep(0.3)}, 1, "slow", {})
    with Session(director.engine) as session:
        noted = session.get_one(Task, 1).checkpoint_time
    assert noted is not None and noted > began


# Cloud check


def _problems(director: Director) -> list[dict[str, Any]]:
    return director.client.get("/deployments/bosh-primary/problems").json()


def test_a_scan_of_what_is_well_finds_nothing(director: Director) -> None:
    ended = director.task("POST", "/deployments/bosh-primary/scans")
    assert ended["result"] == "scan complete"
    assert "1 OK, 0 unresponsive, 0 missing, 0 unbound" in [event["task"] for event in ended["events"]]
    assert _problems(director) == []


@pytest.mark.parametrize(
    ("vms", "kind", "ending"),
    [({"vm-0"}, "unresponsive_agent", "is not responding."), (set(), "missing_vm", "missing.")],
)
def test_a_lost_agent_is_a_problem_with_its_resolutions(
    director: Director, vms: set[str], kind: str, ending: str
) -> None:
    director.world.answering, director.world.vms = set(), vms
    director.task("POST", "/deployments/bosh-primary/scans")
    (problem,) = _problems(director)
    assert problem["type"] == kind
    assert problem["description"] == f"VM for 'bosh/i-0 (0)' with cloud ID 'vm-0' {ending}"
    assert [item["name"] for item in problem["resolutions"]] == list(jobs.RESOLUTIONS[kind])
    # Another scan does not count it twice.
    director.task("POST", "/deployments/bosh-primary/scans")
    assert len(_problems(director)) == 1


def test_a_missing_disk_and_an_ignored_instance(director: Director) -> None:
    director.world.answering, director.world.disks = set(), set()
    director.change(sa.update(Instance).values(ignore=True))
    ended = director.task("POST", "/deployments/bosh-primary/scans")
    words = "0 OK, 0 unresponsive, 0 missing, 0 unbound, 1 ignored"
    assert words in [event["task"] for event in ended["events"]]
    assert [(problem["type"], problem["description"]) for problem in _problems(director)] == [
        ("missing_disk", "Disk 'disk-0' is missing")
    ]


def test_auto_recreates_what_is_missing_but_not_what_does_not_answer(director: Director, recreated: list[str]) -> None:
    director.world.answering = set()
    for vms, wanted in (({"vm-0"}, []), (set(), ["i-0"])):
        director.world.vms = vms
        director.task("POST", "/deployments/bosh-primary/scans")
        (problem,) = _problems(director)
        ended = director.task("PUT", "/deployments/bosh-primary/problems", resolutions={str(problem["id"]): None})
        assert (ended["state"], ended["result"]) == ("done", "1 resolved")
        assert recreated == wanted


def test_an_agent_that_answers_again_is_not_recreated(director: Director, recreated: list[str]) -> None:
    director.world.answering = set()
    director.task("POST", "/deployments/bosh-primary/scans")
    director.world.answering = {"agent-0"}
    key = str(_problems(director)[0]["id"])
    ended = director.task("PUT", "/deployments/bosh-primary/problems", resolutions={key: "recreate_vm"})
    assert ended["state"] == "error"
    assert ended["result"] == f"Error resolving problem '{key}': Agent is responding now, skipping resolution"
    assert recreated == []


# Resurrection


def _scan_and_fix(director: Director) -> Any:
    return director.client.put("/deployments/bosh-primary/scan_and_fix", json={"jobs": {"bosh": ["i-0"]}})


def test_the_health_monitors_question_recreates_what_is_lost_only(director: Director, recreated: list[str]) -> None:
    assert _scan_and_fix(director).status_code == 302
    ended = director.work()
    assert (ended["description"], ended["result"], recreated) == ("scan and fix", "scan and fix complete", [])
    director.world.answering = set()
    _scan_and_fix(director)
    ended = director.work()
    # In the words that tell a proof.
    words = (
        "VM for 'bosh/i-0 (0)' with cloud ID 'vm-0' is not responding. (unresponsive_agent 7): "
        + (jobs.PLANS["recreate_vm"])
    )
    assert words in [event["task"] for event in ended["events"]]
    assert (ended["result"], recreated) == ("scan and fix complete", ["i-0"])


def test_nothing_is_resurrected_while_it_is_paused(director: Director, recreated: list[str]) -> None:
    director.world.answering = set()
    _scan_and_fix(director)
    assert director.client.put("/resurrection", json={"resurrection_paused": True}).status_code == 200
    assert director.client.get("/resurrection").json() == {"resurrection": False}
    answer = _scan_and_fix(director)
    assert (answer.status_code, answer.json()) == (400, {"code": 410004, "description": "Resurrector is paused"})
    # One that was queued before does not get through either.
    assert director.work()["state"] == "error"
    assert recreated == []


def test_without_auto_fix_stateful_nodes_a_person_has_to_come(director: Director, recreated: list[str]) -> None:
    director.world.answering = set()
    _scan_and_fix(director)
    assert director.work(CONFIG | {"auto_fix_stateful_nodes": False})["state"] == "done"
    assert recreated == []


# What is left


@pytest.mark.parametrize("disk", [0, 1024], ids=["stateless", "with a disk"])
@pytest.mark.parametrize(
    ("there", "recreate", "changed", "deeds"),
    [
        (False, False, "", ["create", "start"]),
        (True, False, "", []),
        (True, False, "digest", ["stop", "start"]),
        (True, False, "networks", ["stop", "delete", "create", "start"]),
        (True, True, "", ["stop", "delete", "create", "start"]),
    ],
)
def test_a_deploy_makes_a_vm_where_it_has_to_and_once(
    there: bool,
    recreate: bool,
    changed: str,
    deeds: list[str],
    disk: int,
    director: Director,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    for name, deed in (
        ("create_vm", "create"),
        ("delete_vms", "delete"),
        ("stop_jobs", "stop"),
        ("start_jobs", "start"),
    ):
        monkeypatch.setattr(instances, name, lambda *_arguments, deed=deed: done.append(deed))
    monkeypatch.setattr(instances, "changed_settings", lambda *_arguments: set())
    monkeypatch.setattr(World, "wait_until_ready", lambda *_arguments: None, raising=False)
    known = {"digest": "d", "networks": {"default": {"ip": "10.10.0.32"}}}
    if not disk:
        director.change(sa.delete(PersistentDisk))
    if not there:
        director.change(sa.delete(Vm))
    director.change(sa.update(Instance).values(spec_json=known | ({changed: "other"} if changed else {})))
    director.add(Task(username="a", type="update_deployment", description="x"))
    context = tasks.Context(director.engine, CONFIG, 1)
    context.blobstore = SimpleNamespace(put=lambda _data: "blob")
    group = {"name": "bosh", "azs": ["z1"]}
    wanted = plan.Wanted(group, 0, {"apply": {}, "networks": known["networks"]}, b"", "d", disk)
    jobs._update_instances(context, jobs.deployment_named(context, "bosh-primary"), [wanted], recreate)
    context.session.close()
    assert done == deeds


def test_the_disk_of_a_deleted_deployment_becomes_an_orphan(director: Director) -> None:
    assert director.task("DELETE", "/deployments/bosh-primary")["state"] == "done"
    (disk,) = director.client.get("/disks").json()
    assert (disk["disk_cid"], disk["size"], disk["instance_name"]) == ("disk-0", 1024, "bosh/i-0")
    assert "disk-0" in director.world.disks
    assert director.client.get("/deployments").json() == []
    with Session(director.engine) as session:
        assert session.scalars(sa.select(DeploymentProblem)).all() == []
        assert session.scalars(sa.select(Event.action).where(Event.object_type == "lock")).all() == [
            "acquire",
            "release",
        ]


def test_an_orphan_can_be_deleted_and_a_disk_in_use_cannot(director: Director) -> None:
    refused = director.client.delete("/disks/disk-0")
    assert (refused.status_code, refused.json()["code"]) == (400, 520000)
    director.task("DELETE", "/deployments/bosh-primary")
    ended = director.task("DELETE", "/disks/disk-0")
    assert (ended["state"], ended["description"]) == ("done", "delete orphan disks")
    assert director.client.get("/disks").json() == []
    assert director.world.disks == set()
    assert director.task("DELETE", "/disks/disk-0")["state"] == "done"


def test_a_detached_instance_is_not_missed(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "stop_jobs", lambda *_arguments: None)
    director.client.put("/deployments/bosh-primary/jobs/*", params={"state": "detached"})
    assert director.work()["state"] == "done"
    assert director.world.vms == set()
    assert director.client.get("/deployments/bosh-primary/instances").json()[0]["expects_vm"] is False
    director.task("POST", "/deployments/bosh-primary/scans")
    assert _problems(director) == []


def test_configs_have_versions_of_which_the_last_is_current(director: Director) -> None:
    for content in ("rules: []", "rules: []", "rules: [{enabled: false}]"):
        director.client.post("/configs", json={"type": "resurrection", "name": "n", "content": content})
    query = {"type": "resurrection", "latest": "true"}
    (latest,) = director.client.get("/configs", params=query).json()
    assert (latest["content"], latest["current"]) == ("rules: [{enabled: false}]", True)
    older = director.client.get("/configs", params={"type": "resurrection", "latest": "false", "limit": 10}).json()
    assert [row["current"] for row in older] == [True, False]
    assert (
        director.client.request("DELETE", "/configs", params={"type": "resurrection", "name": "n"}).status_code == 204
    )
    assert director.client.get("/configs", params=query).json() == []


def test_a_release_is_looked_at_before_it_is_uploaded_again(director: Director) -> None:
    director.add(
        Release(id=1, name="lab-app"),
        ReleaseVersion(id=1, version="1.0.0", release_id=1),
        *(Template(name=name, version="f", blobstore_id=name, release_version_id=1) for name in ("worker", "web")),
    )
    told = director.client.get("/releases/lab-app", params={"version": "1.0.0"}).json()
    assert ([job["name"] for job in told["jobs"]], told["packages"]) == (["web", "worker"], [])
    for path, code in (("lab-app?version=2", 30006), ("none?version=1.0.0", 30005)):
        answer = director.client.get(f"/releases/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_events_are_found_by_what_they_are_about(director: Director) -> None:
    for number, task in enumerate(("1", "1", "2")):
        director.add(Event(user="a", action="create", object_type="vm", object_name=f"vm-{number}", task=task))

    def found(**query: Any) -> list[str]:
        return [row["object_name"] for row in director.client.get("/events", params=query).json()]

    assert found() == ["vm-2", "vm-1", "vm-0"]
    assert found(task="1") == ["vm-1", "vm-0"]
    assert found(before_id="2") == ["vm-0"]


def test_all_tasks_of_a_worker_share_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(tasks, "_AGENTS", {})
    monkeypatch.setattr(tasks, "Agents", lambda _config, uuid: made.append(uuid) or SimpleNamespace())
    assert tasks._agents(CONFIG, "u") is tasks._agents(CONFIG, "u")
    assert made == ["u"]
