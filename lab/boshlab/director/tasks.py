# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks: queued by the API, done by workers, told by their event log."""

from __future__ import annotations

import json
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from boshlab import faults
from boshlab.director.clients import Agents, Blobstore, Cpi
from boshlab.director.db import DelayedJob, Event, Lock, Task, attribute, now

TASKS = Path("/var/vcap/store/director/tasks")
#: Seconds until a lock expires, and between two renewals; BOSH's are 240 and 120 (lock.rb).
LOCK_SECONDS, RENEW_SECONDS = 240.0, 60.0
#: Seconds between two checkpoints of a task (config.rb, task_checkpoint_interval); after six without one it times out.
CHECKPOINT_SECONDS = 30.0
#: How long a worker may have a row of the queue (worker.rb, max_run_time).
MAX_RUN_TIME = timedelta(seconds=31_536_000)


class TaskCancelled(Exception):
    """Somebody cancelled the task."""


class Failure(Exception):
    """A failed task's error with BOSH's code."""

    def __init__(self, message: str, code: int = 450001) -> None:
        super().__init__(message)
        self.code = code


class _Patient:
    """A client whose answers take time: while a task waits for one it has no transaction open, as in BOSH.

    An open one, even of a mere look, would hold up a restore of the database, and with it everybody.
    """

    def __init__(self, session: Session, client: Any) -> None:
        self._session, self._client = session, client

    def __getattr__(self, name: str) -> Any:
        deed = getattr(self._client, name)

        def done(*arguments: Any, **options: Any) -> Any:
            self._session.commit()
            return deed(*arguments, **options)

        return done


class Context:
    """What a job works with: the database, the clients, and the task's own logs."""

    def __init__(self, engine: sa.Engine, config: dict[str, Any], task_id: int) -> None:
        self.engine, self.config, self.task_id = engine, config, task_id
        self.session = Session(engine, expire_on_commit=False)
        self.uuid = attribute(self.session, "uuid")
        self._description = self.session.scalar(sa.select(Task.description).where(Task.id == task_id)) or ""
        self._hung = False
        self._directory = TASKS / str(task_id)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.agents: Agents = _Patient(self.session, _agents(config, self.uuid))  # type: ignore[assignment]
        self.blobstore = Blobstore(config)
        cpi = Cpi(config["cpi"], self.uuid, lambda words: self._write("cpi", words + "\n"))
        self.cpi: Cpi = _Patient(self.session, cpi)  # type: ignore[assignment]

    def _write(self, name: str, text: str) -> None:
        with open(self._directory / name, "a", encoding="utf-8") as stream:
            stream.write(text)

    def debug(self, words: str) -> None:
        self._write("debug", f"{now().isoformat()} {words}\n")

    def _append(self, column: str, text: str) -> None:
        with self.engine.begin() as connection:
            field = getattr(Task, column)
            connection.execute(sa.update(Task).where(Task.id == self.task_id).values({column: field + text}))

    def result_line(self, data: Any) -> None:
        self._append("result_output", json.dumps(data) + "\n")

    def event(self, stage: str, task: str, state: str, total: int = 1, index: int = 1, **more: Any) -> None:
        """One line of the event log (event_log.rb)."""
        progress = more.pop("progress", 100 if state == "finished" else 0)
        tags = more.pop("tags", [])
        line = {"time": int(time.time()), "stage": stage, "tags": tags, "total": total, "task": task, "index": index}
        self._append(
            "event_output",
            json.dumps(line | {"state": state, "progress": progress} | more, separators=(",", ":")) + "\n",
        )

    def error_event(self, code: int, message: str) -> None:
        line = {"time": int(time.time()), "error": {"code": code, "message": message}}
        self._append("event_output", json.dumps(line, separators=(",", ":")) + "\n")

    @contextmanager
    def step(
        self, stage: str, task: str, total: int = 1, index: int = 1, tags: list[str] | None = None
    ) -> Iterator[Callable[[int, str], None]]:
        """A step of a stage; what is yielded tells its progress."""
        self.check_cancelled()
        more: dict[str, Any] = {"tags": tags or []}
        self.event(stage, task, "started", total, index, **more)
        try:
            self._hang()
            yield lambda percent, status: self.event(
                stage, task, "in_progress", total, index, progress=percent, data={"status": status}, **more
            )
        except Exception as error:
            self.event(stage, task, "failed", total, index, progress=100, data={"error": str(error)}, **more)
            raise
        self.event(stage, task, "finished", total, index, **more)

    def _hang(self) -> None:
        """What faults.json asks for: {"task": {"hang": "create deployment", "seconds": 600}}; -1 seconds is for ever.

        The task stands in its first step, so that it holds its locks; it can be cancelled.
        """
        fault = None if self._hung else faults.take(faults.TASK, hang=self._description, director=self.config["name"])
        self._hung = True
        if fault is None:
            return
        self.debug(f"hangs, as faults.json says: {fault}")
        seconds = float(fault.get("seconds", -1))
        until = time.monotonic() + seconds
        while seconds < 0 or time.monotonic() < until:
            self.check_cancelled()
            time.sleep(0.5)

    def check_cancelled(self) -> None:
        with self.engine.connect() as connection:
            if connection.scalar(sa.select(Task.state).where(Task.id == self.task_id)) == "cancelling":
                raise TaskCancelled(f"Task {self.task_id} cancelled")

    @contextmanager
    def lock(self, kind: str, resource: str) -> Iterator[None]:
        """A lock as a row that expires unless it is renewed (lock.rb). A held one fails the task at once."""
        name, uid = f"lock:{kind}:{resource}", str(uuid.uuid4())
        with Session(self.engine) as session:
            session.execute(sa.delete(Lock).where(Lock.name == name, Lock.expired_at < now()))
            session.add(
                Lock(name=name, uid=uid, task_id=str(self.task_id), expired_at=now() + timedelta(seconds=LOCK_SECONDS))
            )
            try:
                session.commit()
            except sa.exc.IntegrityError:
                told = "deployment" if kind == "deployment" else kind
                raise Failure(
                    f"Unable to get {told} lock, maybe a deployment is in progress. Try again later.", 450001
                ) from None
        self.record("acquire", "lock", name)
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(RENEW_SECONDS):
                # PostgreSQL may be away for a moment: the next renewal comes before the lock expires.
                with suppress(sa.exc.OperationalError), self.engine.begin() as connection:
                    until = now() + timedelta(seconds=LOCK_SECONDS)
                    connection.execute(sa.update(Lock).where(Lock.uid == uid).values(expired_at=until))

        threading.Thread(target=renew, daemon=True).start()
        try:
            yield
        finally:
            stop.set()
            with self.engine.begin() as connection:
                connection.execute(sa.delete(Lock).where(Lock.uid == uid))
            self.record("release", "lock", name)

    def record(self, action: str, kind: str, name: str, deployment: str | None = None) -> None:
        """A row of `bosh events`."""
        with Session(self.engine) as session, session.begin():
            task = session.get_one(Task, self.task_id)
            session.add(
                Event(
                    user=task.username,
                    action=action,
                    object_type=kind,
                    object_name=name,
                    task=str(self.task_id),
                    deployment=deployment or task.deployment_name,
                )
            )


_AGENTS: dict[str, Agents] = {}


def _agents(config: dict[str, Any], director_uuid: str) -> Agents:
    # Each has a thread and a connection of its own: one for all tasks of a worker.
    if director_uuid not in _AGENTS:
        _AGENTS[director_uuid] = Agents(config, director_uuid)
    return _AGENTS[director_uuid]


def start(
    session: Session, user: str, kind: str, description: str, deployment: str | None = None, **arguments: Any
) -> int:
    """Queue a task and return its id."""
    task = Task(username=user, type=kind, description=description, deployment_name=deployment, arguments=arguments)
    session.add(task)
    session.flush()
    session.add(DelayedJob(task_id=task.id))
    session.commit()
    return task.id


def work(
    engine: sa.Engine, config: dict[str, Any], jobs: dict[str, Callable[..., str | None]], name: str = "worker_1"
) -> None:
    """A worker: takes one queued task after another until SIGTERM, which lets it finish the one that it has.

    One that cannot ask PostgreSQL goes on trying, whatever signal comes: worker_ctl kills it in the end (seen with
    v283.1.6).
    """
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    while True:
        try:
            taken = take(engine, name)
            if taken:
                run(engine, config, jobs, *taken)
                done(engine, taken[0])
            elif told_to_stop.wait(0.3):
                return
            if told_to_stop.is_set():
                return
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            # PostgreSQL is away, or the director has not made its tables yet.
            time.sleep(0.5)


def take(engine: sa.Engine, name: str) -> tuple[int, str, dict[str, Any]] | None:
    """Lock a row of the queue for the worker `name`, and return its task's id, type and arguments.

    A row is free that nobody has locked, or the worker of this very name (delayed_job_sequel 4.4.0,
    backend/sequel.rb): one that was killed before. A task that is not queued any more is refused, and its row goes
    (bosh v283.1.6, jobs/db_job.rb, update_task_state).
    """
    with Session(engine) as session, session.begin():
        free = sa.or_(
            DelayedJob.locked_at.is_(None), DelayedJob.locked_at < now() - MAX_RUN_TIME, DelayedJob.locked_by == name
        )
        row = session.scalars(
            sa.select(DelayedJob).where(free).order_by(DelayedJob.id).limit(1).with_for_update()
        ).first()
        if row is None:
            return None
        task = session.get(Task, row.task_id)
        if task is None or task.state != "queued":
            if task is not None and task.state == "cancelling":
                task.state = "cancelled"
            session.delete(row)
            return None
        row.locked_at, row.locked_by = now(), name
        task.state, task.started_at, task.timestamp, task.checkpoint_time = "processing", now(), now(), now()
        return task.id, task.type, dict(task.arguments)


def done(engine: sa.Engine, task_id: int) -> None:
    """Take a task's row off the queue."""
    with engine.begin() as connection:
        connection.execute(sa.delete(DelayedJob).where(DelayedJob.task_id == task_id))


@contextmanager
def _checkpoints(engine: sa.Engine, task_id: int) -> Iterator[None]:
    """Note every CHECKPOINT_SECONDS that the task is worked on (job_runner.rb, run_checkpointing)."""
    over = threading.Event()

    def note() -> None:
        while not over.wait(CHECKPOINT_SECONDS):
            with suppress(sa.exc.OperationalError), engine.begin() as connection:
                connection.execute(sa.update(Task).where(Task.id == task_id).values(checkpoint_time=now()))

    threading.Thread(target=note, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def expire(session: Session, task: Task) -> None:
    """End a task whose worker is lost; only a question for it finds that (tasks_controller.rb, task_timeout?)."""
    if task.checkpoint_time is None:
        task.checkpoint_time = now()
    elif task.state in ("processing", "cancelling") and now() - task.checkpoint_time > timedelta(
        seconds=CHECKPOINT_SECONDS * 6
    ):
        task.state = "timeout"
    session.commit()


def run(
    engine: sa.Engine,
    config: dict[str, Any],
    jobs: dict[str, Callable[..., str | None]],
    task_id: int,
    kind: str,
    arguments: dict[str, Any],
) -> None:
    """Do one task and write down how it ended."""
    context, state, result = None, "done", ""
    try:
        context = Context(engine, config, task_id)
        with _checkpoints(engine, task_id):
            result = jobs[kind](context, **arguments) or ""
    except TaskCancelled as cancelled:
        if context:
            context.error_event(10001, str(cancelled))
        state, result = "cancelled", "task cancelled"
    except Exception as error:
        state, result = "error", str(error) or type(error).__name__
        if context:
            # A full disk must not hide why the task failed.
            with suppress(OSError):
                context.debug(traceback.format_exc())
            context.error_event(getattr(error, "code", 450001), result)
    finally:
        if context:
            context.session.close()
    with Session(engine) as session, session.begin():
        task = session.get_one(Task, task_id)
        task.state, task.result, task.timestamp = state, result, now()
        logs = (("event", task.event_output), ("result", task.result_output))
    # The logs are copies for a person; a task whose end is not in the database would hold up everybody.
    with suppress(OSError):
        for name, text in logs:
            (TASKS / str(task_id) / name).write_text(text, encoding="utf-8")
