# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for what a deploy tells an agent of its director's blobstore and bus: with a copied database, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from boshlab import paths
from boshlab.director import clients, instances, plan, tasks
from boshlab.director.clients import AgentError, fingerprints
from boshlab.director.db import Instance, Vm, attribute, migrate
from sqlalchemy.orm import Session
from test_director import CONFIG, Director, World

MICRO, META = (
    CONFIG
    | {
        "address": address,
        "agent_env": {},
        "blobstore": {"address": address, "port": 25250, "director": {"user": "d"}, "agent": {"user": "a"}, "ca": "ca"},
    }
    for address in ("10.10.0.3", "10.10.0.5")
)
BLOBSTORES = {"provider": "dav", "options": {"endpoint": "https://10.10.0.5:25250"}}
MANIFEST = yaml.safe_dump({"name": "bosh-primary"})


class Agents(World):
    """Remembers what was asked, and fails as often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []
        self.forgetful = 0

    def ask(self, agent_id: str, method: str, *arguments: Any, timeout: float = 45) -> Any:
        self.asked.append((method, arguments[0] if arguments else None))
        if method == "update_settings" and self.forgetful:
            self.forgetful -= 1
            raise AgentError("Action Failed get_task: Task with id 1 could not be found")
        return super().ask(agent_id, method, *arguments, timeout=timeout)

    def wait_until_ready(self, _agent_id: str, _timeout: float) -> None:
        self.asked.append(("ping", None))

    def sent(self) -> list[dict[str, Any]]:
        return [argument for method, argument in self.asked if method == "update_settings"]


@pytest.fixture
def cas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("agent_ca.pem", "agent_ca.key", "nats_ca.pem"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(clients, "CONFIG", tmp_path)
    monkeypatch.setattr(instances, "agent_certificate", lambda agent_id: {"certificate": f"of {agent_id}"})
    return tmp_path


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cas: Path) -> Iterator[Director]:
    """Meta with Micro's database: Primary's agent was told of Micro's blobstore, and nothing else changed."""
    monkeypatch.setattr(tasks, "TASKS", tmp_path / "tasks")
    monkeypatch.setattr(paths, "FAULTS", tmp_path / "faults.json")
    monkeypatch.setattr(instances, "RESTART_PAUSE", 0)
    made = Director(tmp_path)
    made.world = Agents()
    apply = {"digest": "x", "apply": {"name": "bosh"}}
    made.change(sa.update(Instance).values(spec_json=apply))
    made.change(sa.update(Vm).values(fingerprints(MICRO)))
    wanted = plan.Wanted({"name": "bosh", "azs": ["z1"]}, 0, apply, b"", "x", 1024)
    monkeypatch.setattr(plan, "plan", lambda *_arguments: [wanted])
    monkeypatch.setattr(plan, "cloud_config", lambda _session: (1, {}))
    monkeypatch.setattr(tasks, "Cpi", lambda *_arguments: made.world)
    monkeypatch.setattr(
        tasks,
        "Blobstore",
        lambda _config: SimpleNamespace(for_agents=lambda: BLOBSTORES, put=lambda _data: "b", exists=bool, delete=bool),
    )
    monkeypatch.setattr(tasks, "_agents", lambda *_arguments: made.world)
    yield made
    made.engine.dispose()


def _deploy(director: Director, config: dict[str, Any] = META, **query: str) -> list[dict[str, Any]]:
    """What an agent was told in a deploy."""
    director.world.asked.clear()
    answer = director.client.post("/deployments", params=query, content=MANIFEST, headers={"Content-Type": "text/yaml"})
    assert answer.status_code == 302, answer.text
    ended = director.work(config)
    assert ended["state"] == "done", ended
    return director.world.sent()


def test_who_told_the_agent_last_tells_it_nothing(director: Director) -> None:
    assert _deploy(director, MICRO) == []
    assert director.world.asked == [("get_state", None)]


def test_the_first_deploy_by_another_director_tells_of_its_blobstore_only(director: Director) -> None:
    assert _deploy(director, dry_run="true") == []
    (sent,) = _deploy(director)
    assert sent == {"trusted_certs": "", "disk_associations": [], "blobstores": [BLOBSTORES]}
    methods = [method for method, _argument in director.world.asked]
    at = methods.index("update_settings")
    # The jobs are stopped, and prepared with the old blobstore; the agent may start again before it gets the new ones.
    assert methods.index("stop") < at
    assert (methods[at - 1], methods[at + 1], methods[at + 2]) == ("prepare", "ping", "apply")
    assert _deploy(director) == []


def test_an_agent_that_started_again_before_it_was_asked_is_told_once_more(director: Director) -> None:
    director.world.forgetful = 1
    first, second = _deploy(director)
    assert first == second and first["blobstores"] == [BLOBSTORES]
    assert _deploy(director) == []


def test_an_agent_that_was_not_told_is_told_by_the_next_deploy(director: Director) -> None:
    director.world.forgetful = 2
    with pytest.raises(AssertionError):
        _deploy(director)
    assert len(_deploy(director)) == 1


def test_another_nats_ca_comes_as_a_certificate_without_urls(director: Director, cas: Path) -> None:
    (cas / "nats_ca.pem").write_text("another")
    (sent,) = _deploy(director, MICRO)
    assert sent == {"trusted_certs": "", "disk_associations": [], "mbus": {"cert": {"certificate": "of agent-0"}}}
    assert _deploy(director, MICRO) == []


def test_a_fingerprint_is_not_of_the_agents_password(cas: Path) -> None:
    other = MICRO | {"blobstore": MICRO["blobstore"] | {"agent": {"user": "other"}}}
    assert fingerprints(other) == fingerprints(MICRO) != fingerprints(META)
    assert fingerprints(META)["nats_config_sha1"] == fingerprints(MICRO)["nats_config_sha1"]


def test_agents_of_an_older_database_count_as_told(tmp_path: Path, cas: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/old")
    migrate(engine, {})
    with engine.begin() as connection:
        for name in fingerprints(MICRO):
            connection.execute(sa.text(f"ALTER TABLE vms DROP COLUMN {name}"))
        connection.execute(
            sa.text(
                "INSERT INTO vms (cid, agent_id, active, created_at, permanent_nats_credentials, instance_id) "
                "VALUES ('vm-0', 'agent-0', 1, '2026-01-01 00:00:00', 1, 7)"
            )
        )
    # A second start, of another director, changes nothing.
    for config in (MICRO, META):
        migrate(engine, fingerprints(config))
        with Session(engine) as session:
            vm = session.scalars(sa.select(Vm)).one()
            assert {name: getattr(vm, name) for name in fingerprints(MICRO)} == fingerprints(MICRO)
            assert attribute(session, "uuid")
    engine.dispose()


@pytest.mark.parametrize("dry_run", ["true", ""])
def test_an_agent_that_does_not_answer_ends_a_deploy_and_a_dry_run(director: Director, dry_run: str) -> None:
    director.world.answering.clear()
    query, headers = {"dry_run": dry_run}, {"Content-Type": "text/yaml"}
    director.client.post("/deployments", params=query, content=MANIFEST, headers=headers)
    ended = director.work(META)
    assert ended["state"] == "error"
    assert ended["result"].startswith("bosh/i-0: Timed out sending 'get_state' to instance: 'bosh/i-0', agent-id: ")
    assert director.world.asked == [("get_state", None)]


def test_a_dry_run_leaves_the_name_of_a_new_deployment(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "plan", lambda *_arguments: [])
    director.client.post(
        "/deployments", params={"dry_run": "true"}, content="name: new", headers={"Content-Type": "text/yaml"}
    )
    assert director.work(META)["state"] == "done"
    rows = director.client.get("/deployments").json()
    assert [row["name"] for row in rows] == ["bosh-primary", "new"]
    assert director.client.get("/deployments/new").json() == {"manifest": None}
