# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run of a playbook, told by ansible-runner's events, to which something can be done at a moment."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

from chaos import awx
from chaos.case import Moment

#: By this variable every process of a run is known, wherever it went.
MARK = "BOSH_HA_CHAOS_RUN"
PHASE = re.compile(r"^phase: (\w+);")
#: What no sentence for a person has in it.
UNCLEAR = re.compile(r"Traceback|MODULE FAILURE|is undefined|has no attribute|Task failed: Unexpected", re.IGNORECASE)
_number = itertools.count(1)


class NeverCame(Exception):
    """The run ended before the moment came, or took longer than it may."""


@dataclass
class Ended:
    """How a run ended. sentences: of the failures that nobody rescued, and those that somebody did."""

    rc: int
    seconds: float
    sentences: list[str]
    phase: str
    killed: bool
    overtime: bool
    tasks: int


@dataclass
class Run:
    """One ansible-playbook.

    at: moments and what to do then, each with the run itself; a deed is done in a thread of its own.
    boundary: asked at each start of a task with the play's name, the task's name and its place; True kills the run.
    """

    playbook: str
    root: Path
    cache: Path
    collections: Path
    tags: str = ""
    vars: dict[str, Any] = field(default_factory=dict)
    at: list[tuple[Moment, Callable[[Run], None]]] = field(default_factory=list)
    boundary: Callable[[str, str, str], bool] | None = None
    limit: float = 1500
    #: As a job of AWX does it.
    awx: bool = False
    say: Callable[[str], None] = lambda _words: None

    def __post_init__(self) -> None:
        self.mark = f"{os.getpid()}-{next(_number)}"
        self.failed: list[BaseException] = []
        #: Moments that have not come yet.
        self.awaited = [moment for moment, _deed in self.at]
        self._seen: Counter[str] = Counter()
        self._sentences: list[str] = []
        self._phase = self._play = ""
        self._tasks = self._pid = 0
        self._killed = self._overtime = False
        self._deeds: list[threading.Thread] = []
        # Short, as the name of a socket must be.
        self._masters = Path("/tmp") / f"chaos-{self.mark}"

    # From the outside

    def start(self) -> Run:
        private = self.cache / f"run-{self.mark}"
        shutil.rmtree(private, ignore_errors=True)
        private.mkdir(parents=True)
        self._masters.mkdir(mode=0o700, exist_ok=True)
        self._began = time.monotonic()
        inventory = self.root / "inventories" / "lab"
        environ = {
            MARK: self.mark,
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._masters),
            "BOSH_CONFIG": str(self.cache / "bosh-config"),
        }
        tags = f"--tags {self.tags}" if self.tags else None
        options: dict[str, Any] = {
            "inventory": str(inventory),
            "extravars": self.vars,
            "cmdline": tags,
            "envvars": environ,
        }
        if self.awx:
            job = int(self.mark.rpartition("-")[2])
            environ = awx.prepare(private, inventory, environ, job, self.vars)
            options = {"cmdline": f"-u root {tags or ''}", "envvars": environ, "suppress_env_files": True}
        self._thread, self._runner = ansible_runner.run_async(
            private_data_dir=str(private),
            project_dir=str(self.root),
            playbook=f"playbooks/{self.playbook}",
            **options,
            settings={"pexpect_timeout": 1, "job_timeout": 0},
            event_handler=self._event,
            cancel_callback=self._too_long,
            quiet=True,
        )
        self.output = private / "artifacts"
        return self

    def wait(self) -> Ended:
        """Until it ended, and what is done to it, too; raises what a deed raised, and NeverCame."""
        self._thread.join(self.limit + 60)
        seconds = time.monotonic() - self._began
        if self._thread.is_alive():
            self.kill()
            self._thread.join(30)
        for deed in self._deeds:
            deed.join(300)
        self._end_masters()
        if self.failed:
            raise self.failed[0]
        ended = Ended(
            self._runner.rc if self._runner.rc is not None else -1,
            seconds,
            self._sentences,
            self._phase,
            self._killed,
            self._overtime,
            self._tasks,
        )
        if self.awaited:
            raise NeverCame(
                f"the run ended, and '{self.awaited[0].task}' ({self.awaited[0].nth}.) had not come: {told(ended)}"
            )
        return ended

    def play(self) -> Ended:
        return self.start().wait()

    def kill(self, alone: bool = False) -> None:
        """SIGKILL to ansible-playbook, and to all that it began, unless alone."""
        self._killed = True
        if alone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            return
        # Whoever is forked while we look is found at the next look.
        for _look in range(50):
            found = marked(self.mark)
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def twin(self) -> Run:
        """Another one like this, with nothing done to it."""
        return Run(
            self.playbook,
            self.root,
            self.cache,
            self.collections,
            self.tags,
            dict(self.vars),
            say=self.say,
            awx=self.awx,
        )

    def alive(self) -> bool:
        return self._thread.is_alive()

    # From the events

    def _event(self, event: dict[str, Any]) -> bool:
        try:
            self._look(event)
        except BaseException as error:  # told by wait(), as the runner would keep it to itself
            self.failed.append(error)
            self.kill()
        return True

    def _look(self, event: dict[str, Any]) -> None:
        data = event.get("event_data") or {}
        self._pid = event.get("pid") or self._pid
        kind = event.get("event", "")
        if kind == "playbook_on_play_start":
            self._play = data.get("name", "")
        elif kind == "playbook_on_task_start" and not self._killed:
            self._tasks += 1
            self._started(data.get("task", ""), data.get("task_path", ""))
        elif kind in ("runner_on_failed", "runner_on_unreachable", "runner_item_on_failed"):
            if not data.get("ignore_errors"):
                self._sentences.append(f"{data.get('task', '')}: {sentence(data.get('res') or {})}")
        elif kind == "runner_on_ok":
            self._phase = phase((data.get("res") or {}).get("msg")) or self._phase

    def _started(self, task: str, path: str) -> None:
        self._seen[task] += 1
        if self.boundary and self.boundary(self._play, task, path):
            self.kill()
            return
        for moment, deed in self.at:
            if moment in self.awaited and moment.task == task and moment.nth == self._seen[task]:
                self.awaited.remove(moment)
                self._do(deed, moment.after)

    def _do(self, deed: Callable[[Run], None], after: float) -> None:
        def do() -> None:
            time.sleep(after)
            try:
                deed(self)
            except BaseException as error:
                self.failed.append(error)

        thread = threading.Thread(target=do, daemon=True)
        self._deeds.append(thread)
        thread.start()

    def _too_long(self) -> bool:
        if time.monotonic() - self._began > self.limit and not self._overtime:
            self._overtime = True
            self.kill()
        return False

    def _end_masters(self) -> None:
        """Connections that ssh keeps for a next task; of a killed run they are gone."""
        for pid in marked(self.mark) if not self._killed else []:
            if b"[mux]" in command_line(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        shutil.rmtree(self._masters, ignore_errors=True)


def sentence(result: dict[str, Any]) -> str:
    """What a failed task said to a person."""
    said = result.get("msg") or result.get("exception") or result.get("stderr") or json.dumps(result)[:500]
    return " ".join(str(said).split())


def phase(said: Any) -> str:
    """The phase that a summary told, or nothing."""
    for line in said if isinstance(said, list) else [said]:
        found = PHASE.match(line) if isinstance(line, str) else None
        if found:
            return found.group(1)
    return ""


def told(ended: Ended) -> str:
    """How a run ended, in a line."""
    if ended.overtime:
        return f"it did not end in {ended.seconds:.0f} s"
    if ended.killed:
        return "it was killed"
    return "it ended well" if ended.rc == 0 else f"it stopped: {' / '.join(ended.sentences[-3:]) or 'without a word'}"


def stopped_as_wanted(ended: Ended, wanted: str) -> str:
    """What is wrong with how a run stopped: one of its sentences is the wanted one, and none is a riddle."""
    riddles = [said for said in ended.sentences if UNCLEAR.search(said)]
    if riddles:
        return f"no clear sentence: {riddles[-1][:400]}"
    if not any(re.search(wanted, said) for said in ended.sentences):
        return f"nobody said '{wanted}': {told(ended)[:600]}"
    return ""


def end_all() -> None:
    """What any run of this process has left behind, as one of which only a part was killed."""
    for pid in marked(f"{os.getpid()}-", begins=True):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def marked(mark: str, begins: bool = False) -> list[int]:
    """Processes of this machine that carry a run's mark, or one that begins so; but for ourselves."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                environ = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                if wanted in environ or (begins and any(line.startswith(wanted) for line in environ)):
                    found.append(int(entry))
    return found


def command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes()
    return b""
