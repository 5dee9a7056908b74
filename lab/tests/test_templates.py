# SPDX-License-Identifier: GPL-3.0-or-later

"""Rendered templates over NATS and by the blobstore: rows, blobs, and what an agent makes of them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from boshlab.agent import actions
from boshlab.director import plan, templates
from boshlab.director.db import Deployment, Instance, RenderedTemplatesArchive, migrate
from boshlab.director.tasks import Failure
from sqlalchemy.orm import Session

ARCHIVE = b"what was rendered"
SHA1 = hashlib.sha1(ARCHIVE, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


class World(SimpleNamespace):
    """A task's context with one instance, a blobstore that is a dict, and an agent that remembers."""

    def __init__(self, path: Path, **config: Any) -> None:
        engine = sa.create_engine(f"sqlite:///{path}/db")
        migrate(engine, {})
        self.session = Session(engine)
        self.session.add(Deployment(id=1, name="app", manifest="name: app"))
        self.session.add(Instance(id=7, job="db", index=0, uuid="i", availability_zone="z1", deployment_id=1))
        self.session.commit()
        self.config, self.blobs, self.asked = config, {}, []
        self.blobstore = SimpleNamespace(
            put=self.put, exists=self.blobs.__contains__, delete=lambda blob: self.blobs.pop(blob, None)
        )
        self.agents = SimpleNamespace(ask=lambda *words, **_more: self.asked.append(words))
        self.instance.spec_json = {"digest": "d1", "apply": {}}
        self.session.commit()

    @property
    def instance(self) -> Instance:
        return self.session.get_one(Instance, 7)

    def put(self, data: bytes) -> str:
        name = f"blob-{len(self.blobs)}"
        self.blobs[name] = data
        return name

    def rows(self) -> list[RenderedTemplatesArchive]:
        return list(self.session.scalars(sa.select(RenderedTemplatesArchive)))

    def persist(self, data: bytes = ARCHIVE) -> dict[str, str]:
        instance = self.instance
        instance.rendered = data
        templates.persist(self, instance, "agent-0")
        return instance.spec_json["apply"]["rendered_templates_archive"]


def test_over_nats_a_row_names_a_blob_that_is_nowhere(tmp_path: Path) -> None:
    world = World(tmp_path, enable_nats_delivered_templates=True)
    where = world.persist()
    ((agent, method, sent),) = world.asked
    assert (agent, method) == ("agent-0", "upload_blob")
    assert base64.b64decode(sent["payload"]) == ARCHIVE
    (row,) = world.rows()
    assert {sent["blob_id"], row.blobstore_id, where["blobstore_id"]} == {sent["blob_id"]}
    assert {sent["checksum"], row.sha1, where["sha1"]} == {SHA1}
    assert world.blobs == {}
    # Each time under a new id; of the rows the newest stays.
    assert world.persist()["blobstore_id"] != row.blobstore_id
    templates.clean(world, world.instance)
    assert [one.blobstore_id for one in world.rows()] == [world.asked[-1][2]["blob_id"]]


@pytest.mark.parametrize("config", [{}, {"enable_nats_delivered_templates": False}])
def test_without_it_they_are_in_the_blobstore_once(tmp_path: Path, config: dict[str, Any]) -> None:
    world = World(tmp_path, **config)
    where = world.persist()
    assert where == {"blobstore_id": "blob-0", "sha1": f"sha256:{SHA256}"} == world.persist()
    assert (world.blobs, world.asked, len(world.rows())) == ({"blob-0": ARCHIVE}, [], 1)
    # One that was lost is put there again, as it is only a copy.
    world.blobs.clear()
    world.persist()
    assert list(world.blobs.values()) == [ARCHIVE]
    templates.clean(world, world.instance, keep=0)
    assert (world.blobs, world.rows()) == ({}, [])


def test_a_vm_that_is_made_again_has_its_templates_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, enable_nats_delivered_templates=True)
    wanted = plan.Wanted({"name": "db", "azs": ["z1"]}, 0, {}, ARCHIVE, "d1", 0)
    asked_with: list[str] = []

    def planned(*arguments: Any) -> list[plan.Wanted]:
        asked_with.append(arguments[-1])
        return [wanted]

    monkeypatch.setattr(plan, "plan", planned)
    world.persist(b"")
    assert base64.b64decode(world.asked[0][2]["payload"]) == ARCHIVE
    # Whether an address may be static is asked by a deploy only.
    assert asked_with == [templates.NOWHERE]
    wanted.index = 1
    with pytest.raises(Failure, match="is not in the manifest of 'app'"):
        world.persist(b"")


def test_an_agent_takes_what_was_brought_before_it_asks_a_blobstore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "BLOBS", tmp_path / "blobs")
    monkeypatch.setattr(actions.store, "blobstore", lambda *_words: {})
    agent = object.__new__(actions.Actions)
    agent.settings, agent.update = {}, {}
    payload = base64.b64encode(ARCHIVE).decode()
    with pytest.raises(actions.ActionFailed, match="Payload corrupted"):
        agent.upload_blob({"blob_id": "b", "checksum": "0" * 40, "payload": payload})
    assert agent.upload_blob({"blob_id": "b", "checksum": SHA1, "payload": payload}) == "b"
    assert agent.blob("b") == ARCHIVE
