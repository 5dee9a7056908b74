# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that renews a run's lock as long as its ansible-playbook runs, and ends that run if the lock is lost.

The module that took the lock starts it: a Python of its own in a session of its own, without the module's files, pipes
and environment, which may have secrets. It reads its program from a pipe, as Ansible removes the module's directory.
It ends within a second after the run, and removes the lock then, so that a run that was killed blocks no other run of
the same machine.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from types import ModuleType

from ansible_collections.bosh.ha.plugins.module_utils import run_lock, waiting_lock

#: Seconds between two looks at the run's process.
PULSE = 0.5
#: Part of a lease after which a run that could not renew it has to end: before another run may take it.
FENCE = 0.6
#: Seconds that a renewer which was suspended has to find out whether it holds the lock still.
AWAKE = 8.0
#: Seconds between SIGTERM and SIGKILL.
GRACE = 4.0
#: Seconds in which a new renewer must have renewed once.
READY = 10.0


class Lost(Exception):
    """The lease is another run's, or absent; the message is a sentence for the operator."""


#: Makes modules of sources where there is no collection; `sources` and `holder` are defined before it.
_BOOT = """
import sys, types
package = "ansible_collections.bosh.ha.plugins.module_utils"
for number in range(1, 6):
    name = ".".join(package.split(".")[:number])
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, source in sources.items():
    module = sys.modules[f"{package}.{name}"] = types.ModuleType(f"{package}.{name}")
    setattr(sys.modules[package], name, module)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
module.main(sys.argv[1], holder)
"""


def start(path: str, me: run_lock.Holder) -> bool:
    """Renew the lock of a process from now on; False if that is done already. Raises run_lock.Locked, OSError."""
    path = os.path.realpath(path)
    seen = run_lock.check_kept(path, me)
    if seen.holder is None or (seen.renewer and run_lock.runs(*seen.renewer)):
        return False
    sources = {one.__name__.rpartition(".")[2]: inspect.getsource(one) for one in _modules()}
    # The holder as the file has it: an earlier call of the same run may have taken the lock.
    program = f"sources = {sources!r}\nholder = {json.dumps(asdict(seen.holder))!r}\n{_BOOT}"
    environ = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function
        [sys.executable, "-I", "-S", "-", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environ,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None:
        raise OSError("the process that renews the lock has no pipes")
    with process.stdin as stdin, process.stdout as stdout:
        with contextlib.suppress(BrokenPipeError):
            stdin.write(program.encode())
            stdin.close()
        readable, _written, _failed = select.select([stdout], [], [], READY)
        said = os.read(stdout.fileno(), 1) if readable else b""
    if said != b"1":
        process.kill()
        process.wait()
        raise OSError("the process that renews the lock did not start")
    # It is not waited for: it outlives this module.
    process.returncode = 0
    return True


def _modules() -> list[ModuleType]:
    """What the renewer is made of, each after the ones that it imports."""
    return [waiting_lock, run_lock, sys.modules[__name__]]


def main(path: str, holder: str) -> None:
    """The program of the renewer. holder: of the lock, as JSON."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as stream:
        stream.write("bosh-ha-lease")
    try:
        Renewer(path, run_lock.Holder(**json.loads(holder))).run(_detach)
    finally:
        # Not by way of Python's end, which waits for a thread that may hang.
        os._exit(0)


def _detach() -> None:
    """Let the module go on, and hold nothing of it any more."""
    os.write(1, b"1")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


class Renewer:
    """Renews a lease by writing into the inode that its holder made, in a thread of its own, as storage may hang."""

    def __init__(self, path: str, holder: run_lock.Holder, pulse: float = PULSE) -> None:
        self.path, self.holder, self.pulse = path, holder, pulse
        self.every = holder.lease / run_lock.RENEWALS
        self.fence = holder.lease * FENCE
        self.lost = ""
        self.failure = ""
        self.renewals = 0
        self.renewed_at = time.monotonic()
        status = os.stat(path)
        self._file = (status.st_dev, status.st_ino)
        self._me = (os.getpid(), int(run_lock._stat(os.getpid(), "/proc")[19]))
        self._ended = threading.Event()

    def run(self, ready: Callable[[], None]) -> None:
        """Until the run ends, or is ended. ready: called after the first renewal. Raises Lost, OSError before that."""
        self.renew()
        ready()
        threading.Thread(target=self._renew_all_the_time, daemon=True).start()
        # From the first renewal on: it may have been suspended since.
        looked = awake = self.renewed_at
        while run_lock.runs(self.holder.pid, self.holder.start):
            time.sleep(self.pulse)
            now = time.monotonic()
            if now - looked > self.pulse + self.every:
                # Suspended. What was lost meanwhile is seen by the next renewal.
                awake = now + AWAKE
            looked = now
            if not self.lost and now > max(self.renewed_at + self.fence, awake):
                self.lost = f"{self.path}: the lock of this run could not be renewed ({self.failure or 'no answer'})"
            if self.lost:
                end(self.holder, f"{self.lost}; this run is ended, so that no two work on the pair. Start it again.")
                return
        self._ended.set()
        self.remove()

    def renew(self) -> None:
        """Write the lease once more. Raises Lost, OSError.

        Opened and closed each time: NFS hands a file to its server when it is closed. An fsync would wait for all that
        a busy disk has to write, and what a power failure takes of a renewal is no loss.
        """
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Lost(f"{self.path}: the lock of this run was removed") from None
        try:
            status = os.fstat(handle)
            if (status.st_dev, status.st_ino) == self._file:
                os.pwrite(handle, run_lock.content(self.holder, self.renewals + 1, self._me), 0)
        finally:
            os.close(handle)
        self.check()
        self.renewals += 1
        self.renewed_at = time.monotonic()

    def check(self) -> None:
        """Raises Lost if the path leads to another file, or to none; OSError."""
        try:
            seen = run_lock.look(self.path)
        except run_lock.Locked:
            raise Lost(f"{self.path}: the lock of this run was overwritten") from None
        if seen is None:
            raise Lost(f"{self.path}: the lock of this run was removed")
        if seen.file != self._file or (seen.holder and not seen.holder.same_as(self.holder)):
            other = seen.holder.describe() if seen.holder else "another run"
            raise Lost(f"{self.path}: {other} has taken the lock of this run, which was not renewed in time")

    def remove(self) -> None:
        """Remove the lock, if it is this one still."""
        with contextlib.suppress(OSError, Lost, run_lock.Locked), run_lock.guarded(self.path):
            self.check()
            os.unlink(self.path)

    def _renew_all_the_time(self) -> None:
        while not self._ended.wait(self.every):
            try:
                self.renew()
            except Lost as error:
                self.lost = str(error)
                return
            except OSError as error:
                self.failure = error.strerror or str(error)
                # A file that another client of NFS removed is lost; anything else may pass.
                with contextlib.suppress(OSError):
                    try:
                        self.check()
                    except Lost as gone:
                        self.lost = str(gone)
                        return


def end(holder: run_lock.Holder, sentence: str, grace: float = GRACE) -> None:
    """End a run and all that it started: SIGTERM, then SIGKILL; the sentence goes to its standard error."""
    report(holder.pid, sentence)
    run = (holder.pid, holder.start)
    family = descendants(holder.pid)
    if _state(holder.pid) != "T":
        # First the run, so that it begins nothing more. One that is stopped would go on for a moment.
        _signal([run, *family], signal.SIGTERM)
        until = time.monotonic() + grace
        while time.monotonic() < until and any(run_lock.runs(*one) for one in (run, *family)):
            time.sleep(0.05)
            family |= descendants(holder.pid)
    _signal([run, *family], signal.SIGKILL)


def _signal(processes: list[tuple[int, int]], number: int) -> None:
    for pid, began in processes:
        if run_lock.runs(pid, began):
            with contextlib.suppress(OSError):
                os.kill(pid, number)


def report(pid: int, sentence: str) -> None:
    """Write a line to the standard error of a process, if it has one that does not block."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_APPEND | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        handle = os.open(f"/proc/{pid}/fd/2", flags)
        try:
            os.write(handle, f"\r\n[ERROR]: {sentence}\r\n".encode())
        finally:
            os.close(handle)


def descendants(pid: int) -> set[tuple[int, int]]:
    """ID and start time of each process below one, but for this one."""
    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = run_lock._stat(int(name), "/proc")
                children.setdefault(int(fields[1]), []).append((int(name), int(fields[19])))
    found: set[tuple[int, int]] = set()
    above = [pid]
    while above:
        for one in children.get(above.pop(), []):
            if one not in found:
                found.add(one)
                above.append(one[0])
    return found


def _state(pid: int) -> str:
    try:
        return run_lock._stat(pid, "/proc")[0]
    except OSError:
        return "X"
