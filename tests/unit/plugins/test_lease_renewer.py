# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that renews a lock, with real processes as runs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import lease_renewer, run_lock

#: A run: it starts another process, prints the ID of that, and both wait.
RUN = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)
#: Long enough for a machine that has other work.
LEASE = 6.0
SOON = 20.0


@dataclasses.dataclass
class Run:
    process: subprocess.Popen
    child: tuple[int, int]
    holder: run_lock.Holder
    errors: Path


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "work" / "run.lock")


@pytest.fixture
def run(tmp_path, path):
    """A run that holds the lock, which is renewed."""
    errors = tmp_path / "errors"
    with (
        errors.open("w", encoding="utf-8") as stream,
        subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=stream, text=True) as process,
    ):
        child = int(process.stdout.readline())
        begun = int(run_lock._stat(child, "/proc")[19])
        holder = run_lock.identify(process.pid, lease=LEASE)
        run_lock.hold(path, holder)
        assert lease_renewer.start(path, holder) is True
        renewer = run_lock.look(path).renewer
        yield Run(process, (child, begun), holder, errors)
        for pid, started in ((child, begun), renewer):
            if run_lock.runs(pid, started):
                os.kill(pid, signal.SIGKILL)
        process.kill()


def renewals(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))["renewals"]


def within(seconds, question):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if question():
            return True
        time.sleep(0.05)
    return False


def test_lock_is_renewed_as_long_as_the_run_lives(path, run):
    first, seen = renewals(path), run_lock.look(path)
    assert first >= 1
    assert within(LEASE, lambda: renewals(path) >= first + 3)
    now = run_lock.look(path)
    assert (now.file, now.holder, now.renewer, len(now.raw)) == (seen.file, run.holder, seen.renewer, run_lock.SIZE)
    # One is enough.
    assert lease_renewer.start(path, run.holder) is False


def test_renewer_holds_nothing_of_the_module(path, run, monkeypatch):
    pid = run_lock.look(path).renewer[0]
    proc = Path("/proc", str(pid))

    def held():
        found = set()
        for one in (proc / "fd").iterdir():
            # It opens and closes the lock file now and then.
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(one))
        return found

    assert within(SOON, lambda: held() == {os.devnull})
    assert os.readlink(proc / "cwd") == "/"
    assert os.getsid(pid) == pid
    environ = (proc / "environ").read_bytes()
    assert not [line for line in environ.split(b"\0") if line and not line.startswith((b"LD_LIBRARY_PATH=", b"LC_"))]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_lock_of_a_run_that_was_killed_is_removed(path, run, number):
    renewer = run_lock.look(path).renewer
    run.process.send_signal(number)
    assert within(SOON, lambda: not os.path.exists(path))
    assert within(SOON, lambda: not run_lock.runs(*renewer))
    assert run_lock.hold(path, run_lock.identify(os.getpid())) == (True, False)


def test_lock_that_is_given_back_ends_the_renewer_and_not_the_run(path, run):
    renewer = run_lock.look(path).renewer
    assert run_lock.free(path, run.holder) is True
    assert within(SOON, lambda: not run_lock.runs(*renewer))
    time.sleep(1)
    assert (run.process.poll(), run_lock.runs(*run.child)) == (None, True)


def test_renewer_that_was_killed_is_started_again(path, run):
    renewer = run_lock.look(path).renewer
    os.kill(renewer[0], signal.SIGKILL)
    assert within(SOON, lambda: not run_lock.runs(*renewer))
    assert lease_renewer.start(path, run.holder) is True
    assert run_lock.look(path).renewer != renewer


@pytest.mark.parametrize("stopped", [False, True])
def test_run_whose_lock_was_taken_over_is_ended_with_all_that_it_started(path, run, stopped):
    """As after a VM that was paused: the renewer wakes and finds the lease of another run."""
    other = dataclasses.replace(run_lock.identify(os.getpid()), host="desk", nonce="2")
    if stopped:
        run.process.send_signal(signal.SIGSTOP)
    renewer = run_lock.look(path).renewer
    os.kill(renewer[0], signal.SIGSTOP)
    run_lock._replace(path, other)
    time.sleep(LEASE)
    os.kill(renewer[0], signal.SIGCONT)
    assert within(lease_renewer.GRACE + SOON, lambda: run.process.poll() is not None)
    assert within(lease_renewer.GRACE + SOON, lambda: not run_lock.runs(*run.child))
    assert within(SOON, lambda: not run_lock.runs(*renewer))
    assert run_lock.read(path) == other
    told = run.errors.read_text(encoding="utf-8")
    # On a machine that has no time for it, it may not have looked who took the lock.
    reasons = (f"{other.describe()} has taken the lock of this run", "the lock of this run could not be renewed")
    assert any(f"{path}: {reason}" in told for reason in reasons)
    with pytest.raises(run_lock.Locked, match="has lost the lock"):
        run_lock.check_kept(path, run.holder)


def test_run_goes_on_if_it_was_suspended_and_nobody_took_the_lock(path, run):
    renewer = run_lock.look(path).renewer
    os.kill(renewer[0], signal.SIGSTOP)
    time.sleep(LEASE)
    before = renewals(path)
    os.kill(renewer[0], signal.SIGCONT)
    assert within(SOON, lambda: renewals(path) > before)
    time.sleep(1)
    assert (run.process.poll(), run_lock.runs(*renewer)) == (None, True)


def test_run_goes_on_if_it_was_suspended_before_it_first_looked_at_the_time(path, run, monkeypatch):
    renewer = lease_renewer.Renewer(path, run.holder, pulse=0.05)
    ended = []
    monkeypatch.setattr(lease_renewer, "end", lambda _holder, sentence: ended.append(sentence))

    def suspended():
        renewer.renewed_at -= LEASE

    thread = threading.Thread(target=renewer.run, args=[suspended], daemon=True)
    thread.start()
    assert within(SOON, lambda: renewer.renewals > 2 or ended)
    run.process.kill()
    run.process.wait()
    thread.join(SOON)
    assert (ended, thread.is_alive()) == ([], False)


def test_run_whose_lock_was_removed_is_ended(path, run):
    os.unlink(path)
    assert within(lease_renewer.GRACE + SOON, lambda: run.process.poll() is not None)
    assert "the lock of this run was removed" in run.errors.read_text(encoding="utf-8")
    assert not os.path.exists(path)


def test_run_that_cannot_renew_its_lock_is_ended_before_another_may_take_it(path, run, monkeypatch):
    """As with a file system that hangs or became read-only."""
    renewer = lease_renewer.Renewer(path, run.holder, pulse=0.05)
    ended = []
    monkeypatch.setattr(lease_renewer, "end", lambda holder, sentence: ended.append((holder, sentence)))
    monkeypatch.setattr(lease_renewer.os, "_exit", lambda _code: None)
    began = time.monotonic()

    def fails(*_args):
        raise OSError(30, "Read-only file system")

    renewer.run(lambda: monkeypatch.setattr(lease_renewer.os, "pwrite", fails))
    assert time.monotonic() - began < LEASE
    [(holder, sentence)] = ended
    assert holder == run.holder
    assert f"{path}: the lock of this run could not be renewed (Read-only file system)" in sentence


def test_renewal_needs_no_room(path, run, monkeypatch):
    """On a disk that is full no new file can be written."""
    seen = run_lock.look(path)
    renewer = lease_renewer.Renewer(path, run.holder)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lease_renewer.os, "replace", full)
        patch.setattr(lease_renewer.os, "ftruncate", full)
        renewer.renew()
    assert run_lock.look(path).file == seen.file
    assert os.path.getsize(path) == run_lock.SIZE


def test_lock_of_another_run_gets_no_renewer(path, run):
    with pytest.raises(run_lock.Locked, match="has lost the lock"):
        lease_renewer.start(path, run_lock.identify(os.getpid()))
