# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a pair: a lock file that is a lease of one ansible-playbook process.

A module ends long before its playbook does, so no lock of the kernel can be held for a run. The file names the process
instead. In the same boot and namespace of process IDs the kernel is asked whether that process still runs, by its ID
and its start time. Elsewhere (another job of AWX, another host) nobody can be asked. So a small process beside each run
renews the file (lease_renewer.py), and another run watches it with its own monotonic clock: a file that changes has a
holder, and one that did not change for `lease` seconds has none. Clocks of two machines are never compared.

The holder renews by writing into the inode that it made, and never by a rename. A takeover replaces the file by a new
inode. So a holder that was suspended can't overwrite the lease of the run that took over, with flock or without it, and
a full disk does not keep it from renewing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.waiting_lock import lock_within

#: Programs of Ansible that run plays, and modules of Python that do (`python -m ansible playbook`).
_ANSIBLE = re.compile(r"ansible(-playbook|-console)?(-?\d[\d.]*)?|ansible\..*")
_PYTHON = re.compile(r"python[\d.]*")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "sudo", "su", "env", "timeout"})
#: Seconds that another process may hold the guard.
PATIENCE = 10.0
#: Seconds without a change after which a lease has expired.
LEASE = 60.0
#: A lease is renewed so often in that time.
RENEWALS = 12
#: In check mode a lease is watched for so many renewals only.
GLANCE = 2
#: Seconds after a takeover, before the file is read again: where flock does not work, the last of two writers wins.
SETTLE = 2.0
#: Bytes of a lease's file, blanks at its end included: a renewal never changes the size.
SIZE = 1024
_LONGEST_LEASE = 600.0
_KINDS: dict[str, type] = {"pid": int, "start": int, "boot_id": str, "host": str, "pid_namespace": int, "since": str}


class Locked(ValueError):
    """Another run holds the lock, or its holder is unknown; the message says what to do."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `start` is field 22 of /proc/PID/stat, in ticks since the boot.

    nonce: random, new for each process that is identified. lease: seconds after which the lock expires, if it is not
    renewed; 0 in a file of bosh.ha 0.1.0, which renews nothing. job: AWX's number of the job, or empty.
    """

    pid: int
    start: int
    boot_id: str
    host: str
    pid_namespace: int
    since: str
    nonce: str = ""
    lease: float = 0.0
    job: str = ""

    def same_as(self, other: Holder | None) -> bool:
        """Whether both are one process, whenever it took the lock."""
        return other is not None and self._process() == other._process()

    def _process(self) -> tuple[int, int, str, str, int]:
        return self.pid, self.start, self.boot_id, self.host, self.pid_namespace

    def describe(self, here: bool = False) -> str:
        """The process, for a sentence; with its host, unless it is `here`."""
        where = "" if here else f" on the host {self.host}"
        job = f", job {self.job} of AWX" if self.job else ""
        return f"process {self.pid}{where}{job}, since {self.since}"


@dataclass(frozen=True)
class Seen:
    """A lock file at one moment. holder is None if the file is torn, as by a power failure in its first write."""

    raw: bytes
    file: tuple[int, int]
    holder: Holder | None
    renewer: tuple[int, int] | None = None


def runner(pid: int, proc: str = "/proc") -> int:
    """The process that runs the playbook of which `pid` is a module: its outermost ancestor that is Ansible's.

    Where there is none, as with a program that uses Ansible as a library, it is the nearest that is no shell, or the
    one of which that is a fork.
    """
    above = list(_ancestors(pid, proc))
    ansible = [one for one, words in above if _is_ansible(words)]
    if ansible:
        return ansible[-1]
    others = [(one, words) for one, words in above if words and os.path.basename(words[0]).lstrip("-") not in _SHELLS]
    if not others:
        return pid
    found, words = others[0]
    for one, same in others[1:]:
        if same != words:
            break
        found = one
    return found


def identify(pid: int, proc: str = "/proc", lease: float = LEASE) -> Holder:
    """A process of this host as a holder, from now on. Raises OSError if it does not run."""
    with open(os.path.join(proc, "sys/kernel/random/boot_id"), encoding="ascii") as stream:
        boot = stream.read().strip()
    fields = _stat(pid, proc)
    job = os.environ.get("JOB_ID", "")
    return Holder(
        pid=pid,
        start=int(fields[19]),
        boot_id=boot,
        host=os.uname().nodename,
        pid_namespace=os.stat(os.path.join(proc, "self/ns/pid")).st_ino,
        since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        nonce=secrets.token_hex(8),
        lease=float(lease),
        job=job if job.isdecimal() and len(job) < 20 else "",
    )


def runs(pid: int, start: int, proc: str = "/proc") -> bool:
    """Whether a process of this namespace runs. One that ended and was not waited for does not."""
    try:
        fields = _stat(pid, proc)
    except OSError:
        return False
    return int(fields[19]) == start and fields[0] not in "ZX"


def look(path: str) -> Seen | None:
    """A lock file as it is now; None if it is absent. Raises Locked if it is no lock file, OSError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(handle)
        raw = os.read(handle, 4 * SIZE)
    finally:
        os.close(handle)
    holder, renewer = _parse(path, raw)
    return Seen(raw, (status.st_dev, status.st_ino), holder, renewer)


def read(path: str) -> Holder | None:
    """The holder of a lock by its file; None if it is absent. Raises Locked if the file is damaged, OSError."""
    seen = look(path)
    if seen is None:
        return None
    if seen.holder is None:
        raise Locked(f"{path}: the file is damaged; remove it if no other run works on this pair")
    return seen.holder


def fate(holder: Holder, me: Holder, proc: str = "/proc") -> str:
    """What is known of a holder without watching it: `ours`, `alive`, `dead` or `unknown`."""
    if holder.same_as(me):
        return "ours"
    if (holder.host, holder.boot_id, holder.pid_namespace) != (me.host, me.boot_id, me.pid_namespace):
        # Two machines may have one name, so another boot proves nothing. A lease has a better proof.
        rebooted = holder.host == me.host and holder.boot_id != me.boot_id
        return "dead" if rebooted and not holder.lease else "unknown"
    return "alive" if runs(holder.pid, holder.start, proc) else "dead"


def hold(path: str, me: Holder, check: bool = False, settle: float = SETTLE) -> tuple[bool, bool]:
    """Take the lock for a process: whether it was taken now, and whether from a run that is dead.

    A lock whose holder can't be asked is watched for as long as its lease lasts, in check mode for two renewals.
    With `check` nothing is written. Whoever takes the lock has to renew it (lease_renewer.start).
    Raises Locked, and OSError if the file cannot be written.
    """
    path = os.path.realpath(path)
    if not check:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    watched: Seen | None = None
    for _attempt in range(4):
        with contextlib.nullcontext() if check else guarded(path):
            seen = look(path)
            if seen is None:
                taken = _taken(path, me, check)
                if not taken:
                    continue
                return True, False
            known = fate(seen.holder, me) if seen.holder else "unknown"
            if known == "ours":
                return False, False
            if known == "alive":
                raise Locked(_alive(path, seen.holder, here=True))
            if known == "dead" or (watched and seen == watched):
                if not check:
                    _replace(path, me)
                break
            if watched:
                raise Locked(_alive(path, seen.holder))
            if seen.holder and not seen.holder.lease:
                raise Locked(_never_renewed(path, seen.holder))
        watched = seen if _expires(path, seen, me, check) else None
        if not watched and (now := look(path)):
            raise Locked(_alive(path, now.holder or seen.holder))
    else:
        raise Locked(f"{path}: the lock changes hands all the time; wait for the other runs")
    if known == "unknown" and not check:
        time.sleep(settle)
        check_kept(path, me)
    return True, True


def free(path: str, me: Holder, check: bool = False) -> bool:
    """Remove the lock if it is this process's own; True when it was. Raises Locked if it is damaged, OSError."""
    path = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(path)):
        return False
    with contextlib.nullcontext() if check else guarded(path):
        seen = look(path)
        ours = seen is not None and seen.holder is not None and me.same_as(seen.holder)
        if ours and not check:
            # First the renewer: to it a lock that is gone is a lock that was lost.
            if seen and seen.renewer and runs(*seen.renewer):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(seen.renewer[0], 9)
            os.unlink(path)
    return ours


def check_kept(path: str, me: Holder) -> Seen:
    """The lock, which this process has to hold still. Raises Locked if it does not, OSError."""
    seen = look(os.path.realpath(path))
    if seen is None or seen.holder is None or not seen.holder.same_as(me):
        other = f"{seen.holder.describe()} has it" if seen and seen.holder else "the file is gone"
        raise Locked(
            f"{path}: this run has lost the lock, as it did not renew it in time, and {other}; "
            "wait for the other run, then start this one again"
        )
    return seen


def ephemeral(path: str, proc: str = "/proc", root: str = "/", environ: Mapping[str, str] | None = None) -> str:
    """Why a file is lost with the container of an AWX job, and not seen by another job; empty if it is not.

    proc: for mountinfo. root: where the marks of a container are looked for.
    """
    environ = os.environ if environ is None else environ
    marks = ("run/.containerenv", ".dockerenv")
    contained = "KUBERNETES_SERVICE_HOST" in environ or any(os.path.exists(os.path.join(root, one)) for one in marks)
    if not contained or not ("AWX_HOST" in environ or os.path.isdir(os.path.join(root, "runner"))):
        return ""
    where = os.path.realpath(path)
    mount, kind = "", ""
    with open(os.path.join(proc, "self/mountinfo"), encoding="utf-8", errors="replace") as stream:
        for line in stream:
            head, _dash, tail = line.partition(" - ")
            point = head.split()[4].encode().decode("unicode_escape")
            if (where == point or where.startswith(point.rstrip("/") + "/")) and len(point) >= len(mount):
                mount, kind = point, tail.split()[0]
    if kind == "overlay" or mount == "/":
        return "it is on the container's own layer"
    if kind in ("tmpfs", "ramfs"):
        return "it is in memory"
    if mount == "/runner":
        return "it is in the private data directory of the job"
    return ""


def _expires(path: str, seen: Seen, me: Holder, check: bool) -> bool:
    """Watch a lock; whether it stays as it is for the time of its lease."""
    lease = seen.holder.lease if seen.holder else me.lease or LEASE
    lease = min(max(lease, 1.0), _LONGEST_LEASE)
    until = time.monotonic() + (lease * GLANCE / RENEWALS if check else lease)
    while time.monotonic() < until:
        time.sleep(min(1.0, lease / RENEWALS))
        # Opened anew each time: then NFS asks the server.
        now = look(path)
        if now is None or (now.raw, now.file) != (seen.raw, seen.file):
            return False
    return True


def _alive(path: str, holder: Holder | None, here: bool = False) -> str:
    other = f" ({holder.describe(here)})" if holder else ""
    return f"another run{other} works on this pair: wait for it, or end it; the lock is {path}"


def _never_renewed(path: str, holder: Holder) -> str:
    return (
        f"{path}: {holder.describe()} holds the lock and cannot be asked from here, and its version of bosh.ha renews "
        "no lock; wait for that run, or remove the file if that run has ended"
    )


def _parse(path: str, raw: bytes) -> tuple[Holder | None, tuple[int, int] | None]:
    """The holder and the renewer that a file names; no holder if it was cut off. Raises Locked if it is no lock."""
    try:
        told = json.loads(raw)
    except ValueError:
        # The first write that a power failure cut off: empty, without its end, or NULs.
        if not raw.strip(b"\0 \n") or raw.startswith(b'{"'[: len(raw)]):
            return None, None
        told = None
    try:
        if {name: type(told[name]) for name in _KINDS} != _KINDS:
            raise ValueError
        fields: dict[str, Any] = {name: told[name] for name in _KINDS}
        for name, kind in (("nonce", str), ("lease", float), ("job", str)):
            fields[name] = kind(told.get(name, kind()))
        renewer = told.get("renewer")
        return Holder(**fields), (int(renewer[0]), int(renewer[1])) if renewer else None
    except (ValueError, KeyError, TypeError, IndexError):
        raise Locked(
            f"{path} is damaged: it is not the file of a lock; remove it if no other run works on this pair"
        ) from None


def content(me: Holder, renewals: int = 0, renewer: tuple[int, int] | None = None) -> bytes:
    """The file of a lease, always of the same size."""
    text = json.dumps(asdict(me) | {"renewals": renewals, "renewer": renewer})
    return text.encode().ljust(SIZE - 1) + b"\n"


@contextlib.contextmanager
def guarded(path: str) -> Iterator[None]:
    """Alone with a lock file, for an instant. Raises Locked if another process does not let go, OSError."""
    # Not the file itself, which is replaced. It stays: a run that removed it would let two in.
    handle = os.open(f"{path}.guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            free_now = lock_within(handle, PATIENCE)
        except OSError:
            # A shared directory that has no locks. Then O_EXCL and the look after a takeover decide.
            free_now = True
        if not free_now:
            raise Locked(f"another process has kept {path}.guard locked for {PATIENCE:.0f} s: end it")
        yield
    finally:
        os.close(handle)


def _taken(path: str, me: Holder, check: bool) -> bool:
    """Make the file; False if another one made it meanwhile."""
    if check:
        return True
    try:
        _write(path, me)
    except FileExistsError:
        return False
    return True


def _replace(path: str, me: Holder) -> None:
    new = f"{path}.{me.nonce or 'new'}"
    _write(new, me)
    os.replace(new, path)


def _write(path: str, me: Holder) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, content(me))
        os.fsync(handle)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(handle)


def _stat(pid: int, proc: str) -> list[str]:
    """Fields of /proc/PID/stat from the third on, the state; the second is a name that may have anything in it."""
    with open(os.path.join(proc, str(pid), "stat"), encoding="utf-8", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()


def _ancestors(pid: int, proc: str) -> Iterator[tuple[int, list[str]]]:
    """The processes above one, with their command lines."""
    while True:
        try:
            pid = int(_stat(pid, proc)[1])
            with open(os.path.join(proc, str(pid), "cmdline"), encoding="utf-8", errors="replace") as stream:
                words = stream.read().split("\0")[:-1]
        except OSError:
            return
        yield pid, words


def _is_ansible(words: list[str]) -> bool:
    """Whether a command line is a program of Ansible that runs plays, itself or as a script or module of Python."""
    if not words:
        return False
    name = os.path.basename(words[0])
    if _PYTHON.fullmatch(name):
        rest = words[1:]
        while rest and rest[0].startswith("-") and rest[0] != "-m":
            # -X and -W have a word of their own.
            rest = rest[2 if rest[0] in ("-X", "-W") else 1 :]
        name = os.path.basename(" ".join(rest[1:2] if rest[:1] == ["-m"] else rest[:1]))
    return bool(_ANSIBLE.fullmatch(name))
