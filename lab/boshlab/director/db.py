# SPDX-License-Identifier: GPL-3.0-or-later

"""The director's database. Names of tables and columns are BOSH's (bosh-director db/migrations)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """Columns without a type of their own are text."""

    type_annotation_map = {str: sa.Text, dict[str, Any]: sa.JSON, list[Any]: sa.JSON}  # noqa: RUF012


class DirectorAttribute(Base):
    __tablename__ = "director_attributes"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default="queued")
    timestamp: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    checkpoint_time: Mapped[datetime | None]
    description: Mapped[str]
    result: Mapped[str | None]
    output: Mapped[str | None]
    username: Mapped[str]
    type: Mapped[str]
    deployment_name: Mapped[str | None]
    context_id: Mapped[str] = mapped_column(default="")
    # What the worker needs, which BOSH has in delayed_jobs.handler.
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    event_output: Mapped[str] = mapped_column(default="")
    result_output: Mapped[str] = mapped_column(default="")


class DelayedJob(Base):
    """A row of the workers' queue, from when a task is queued until a worker is done with it."""

    __tablename__ = "delayed_jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int]
    locked_at: Mapped[datetime | None]
    locked_by: Mapped[str | None]


class Lock(Base):
    __tablename__ = "locks"
    name: Mapped[str] = mapped_column(primary_key=True)
    expired_at: Mapped[datetime]
    uid: Mapped[str]
    task_id: Mapped[str]


class Stemcell(Base):
    __tablename__ = "stemcells"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    cid: Mapped[str]
    operating_system: Mapped[str]
    api_version: Mapped[int] = mapped_column(default=2)


class Release(Base):
    __tablename__ = "releases"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class ReleaseVersion(Base):
    __tablename__ = "release_versions"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str]
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"))
    commit_hash: Mapped[str] = mapped_column(default="unknown")
    uncommitted_changes: Mapped[bool] = mapped_column(default=False)
    release: Mapped[Release] = relationship()


class Template(Base):
    __tablename__ = "templates"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    blobstore_id: Mapped[str]
    sha1: Mapped[str | None]
    release_version_id: Mapped[int] = mapped_column(sa.ForeignKey("release_versions.id"))


class Config(Base):
    __tablename__ = "configs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted: Mapped[bool] = mapped_column(default=False)


class Deployment(Base):
    __tablename__ = "deployments"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    manifest: Mapped[str | None]
    cloud_config_id: Mapped[int | None]
    releases: Mapped[list[Any]] = mapped_column(default=list)
    stemcells: Mapped[list[Any]] = mapped_column(default=list)


class Instance(Base):
    __tablename__ = "instances"
    id: Mapped[int] = mapped_column(primary_key=True)
    job: Mapped[str]
    index: Mapped[int]
    uuid: Mapped[str] = mapped_column(default=lambda: str(uuid.uuid4()))
    state: Mapped[str] = mapped_column(default="started")
    availability_zone: Mapped[str]
    ignore: Mapped[bool] = mapped_column(default=False)
    resurrection_paused: Mapped[bool] = mapped_column(default=False)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"))
    # How it was last updated: apply spec, VM properties, networks, stemcell. Needed to make the VM again.
    spec_json: Mapped[dict[str, Any]] = mapped_column(default=dict)
    vms: Mapped[list[Vm]] = relationship(back_populates="instance", order_by="Vm.id")
    disks: Mapped[list[PersistentDisk]] = relationship(order_by="PersistentDisk.id")
    templates_archives: Mapped[list[RenderedTemplatesArchive]] = relationship(order_by="RenderedTemplatesArchive.id")
    deployment: Mapped[Deployment] = relationship()
    #: What a deploy has rendered and not brought to the agent yet; in no column.
    rendered = b""

    @property
    def vm(self) -> Vm | None:
        return next((vm for vm in self.vms if vm.active), None)

    @property
    def disk(self) -> PersistentDisk | None:
        return next((disk for disk in self.disks if disk.active), None)

    def __str__(self) -> str:
        return f"{self.job}/{self.uuid} ({self.index})"


class RenderedTemplatesArchive(Base):
    __tablename__ = "rendered_templates_archives"
    id: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(sa.ForeignKey("instances.id"))
    # Of a blob that may never have been in the blobstore (templates.py).
    blobstore_id: Mapped[str]
    sha1: Mapped[str]
    content_sha1: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Vm(Base):
    __tablename__ = "vms"
    id: Mapped[int] = mapped_column(primary_key=True)
    cid: Mapped[str] = mapped_column(unique=True)
    agent_id: Mapped[str] = mapped_column(unique=True)
    active: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    permanent_nats_credentials: Mapped[bool] = mapped_column(default=True)
    # Which blobstore and which NATS CAs its agent was last told of (clients.fingerprints).
    blobstore_config_sha1: Mapped[str | None]
    nats_config_sha1: Mapped[str | None]
    instance_id: Mapped[int] = mapped_column(sa.ForeignKey("instances.id"))
    instance: Mapped[Instance] = relationship(back_populates="vms")


class PersistentDisk(Base):
    __tablename__ = "persistent_disks"
    id: Mapped[int] = mapped_column(primary_key=True)
    disk_cid: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    instance_id: Mapped[int] = mapped_column(sa.ForeignKey("instances.id"))


class OrphanDisk(Base):
    __tablename__ = "orphan_disks"
    id: Mapped[int] = mapped_column(primary_key=True)
    disk_cid: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    availability_zone: Mapped[str]
    deployment_name: Mapped[str]
    instance_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class DeploymentProblem(Base):
    __tablename__ = "deployment_problems"
    id: Mapped[int] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(sa.ForeignKey("deployments.id"))
    state: Mapped[str] = mapped_column(default="open")
    resource_id: Mapped[int]
    type: Mapped[str]
    data_json: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None]
    user: Mapped[str]
    timestamp: Mapped[datetime] = mapped_column(default=now)
    action: Mapped[str]
    object_type: Mapped[str]
    object_name: Mapped[str | None]
    error: Mapped[str | None]
    task: Mapped[str | None]
    deployment: Mapped[str | None]
    instance: Mapped[str | None]


def engine(db: dict[str, Any]) -> sa.Engine:
    """The engine for a director's database; a lost connection is noticed and made again."""
    url = sa.URL.create("postgresql+psycopg", db["user"], db["password"], db["host"], int(db["port"]), db["database"])
    return sa.create_engine(url, pool_pre_ping=True, pool_size=4)


def migrate(bind: sa.Engine, fingerprints: dict[str, str]) -> None:
    """Make what is not there, and give the director its UUID once.

    Agents of a database that knows no fingerprints yet count as told by this director, as in BOSH's own migration
    (20210902232124_add_blobstore_and_nats_shas_to_vms.rb).
    """
    Base.metadata.create_all(bind)
    # Of a database that is older than this column; nobody knows its digests.
    if "sha1" not in {column["name"] for column in sa.inspect(bind).get_columns(Template.__tablename__)}:
        with bind.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {Template.__tablename__} ADD COLUMN sha1 TEXT"))
    there = {column["name"] for column in sa.inspect(bind).get_columns(Vm.__tablename__)}
    with bind.begin() as connection:
        for name, value in fingerprints.items():
            if name not in there:
                connection.execute(sa.text(f"ALTER TABLE {Vm.__tablename__} ADD COLUMN {name} TEXT"))
                connection.execute(sa.update(Vm).values({name: value}))
    with Session(bind) as session, session.begin():
        if session.get(DirectorAttribute, "uuid") is None:
            session.add(DirectorAttribute(name="uuid", value=str(uuid.uuid4())))


def attribute(session: Session, name: str, default: str = "") -> str:
    row = session.get(DirectorAttribute, name)
    return row.value if row else default
