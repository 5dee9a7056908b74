# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a pair: a file that says which ansible-playbook process holds it.

A module ends long before its playbook does, so no lock of the kernel can be held. The file names the process instead,
and whoever finds it asks the kernel whether that process is still there: by its ID and its start time, in one boot of
one host, in one namespace of process IDs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from ansible_collections.bosh.ha.plugins.module_utils.waiting_lock import lock_within

#: Programs of Ansible that run plays, and modules of Python that do (`python -m ansible playbook`).
_ANSIBLE = re.compile(r"ansible(-playbook|-console)?(-?\d[\d.]*)?|ansible\..*")
_PYTHON = re.compile(r"python[\d.]*")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "sudo", "su", "env", "timeout"})
#: Seconds that another may take to write the file.
PATIENCE = 10.0


class Locked(ValueError):
    """Another run holds the lock, or who holds it cannot be told; the message says what to do."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `start` is field 22 of /proc/PID/stat, in ticks since the boot."""

    pid: int
    start: int
    boot_id: str
    host: str
    pid_namespace: int
    since: str

    def same_as(self, other: Holder | None) -> bool:
        """Whether both are one process, whenever it took the lock."""
        return other is not None and asdict(self) | {"since": ""} == asdict(other) | {"since": ""}


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


def identify(pid: int, proc: str = "/proc") -> Holder:
    """A process of this host as a holder, from now on. Raises OSError where it is not there."""
    with open(os.path.join(proc, "sys/kernel/random/boot_id"), encoding="ascii") as stream:
        boot = stream.read().strip()
    fields = _stat(pid, proc)
    return Holder(
        pid=pid,
        start=int(fields[19]),
        boot_id=boot,
        host=os.uname().nodename,
        pid_namespace=os.stat(os.path.join(proc, "self/ns/pid")).st_ino,
        since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def read(path: str) -> Holder | None:
    """Who holds the lock by its file; None where there is none. Raises Locked where it is damaged, OSError."""
    try:
        with open(path, encoding="utf-8") as stream:
            told = json.load(stream)
        kinds = {"pid": int, "start": int, "boot_id": str, "host": str, "pid_namespace": int, "since": str}
        if {name: type(told[name]) for name in kinds} != kinds:
            raise ValueError("a value is of another kind")
        return Holder(**{name: told[name] for name in kinds})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise Locked(
            f"{path} is damaged and does not say which run holds it: remove it if no other run works on this pair"
        ) from None


def refuse_other(path: str, holder: Holder | None, me: Holder, proc: str = "/proc") -> None:
    """Raises Locked where `holder` is another run that is alive, or may be."""
    if holder is None or holder.same_as(me):
        return
    if holder.host != me.host:
        raise Locked(_elsewhere(path, holder, f"on the host {holder.host}"))
    if holder.boot_id != me.boot_id:
        return
    if holder.pid_namespace != me.pid_namespace:
        raise Locked(_elsewhere(path, holder, f"in another container of {holder.host}"))
    try:
        fields = _stat(holder.pid, proc)
    except OSError:
        return
    # One that ended, and was not waited for, is none any more.
    if int(fields[19]) == holder.start and fields[0] not in "ZX":
        raise Locked(
            f"another run (process {holder.pid}, since {holder.since}) works on this pair: wait for it, or end it; "
            f"the lock is {path}"
        )


def hold(path: str, me: Holder, check: bool = False) -> tuple[bool, bool]:
    """Take the lock for a process: whether it was taken now, and whether from one that is dead.

    With `check` it is only looked at. Raises Locked, and OSError where it cannot be written.
    """
    path = os.path.realpath(path)
    if not check:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.nullcontext() if check else _guarded(path):
        holder = read(path)
        refuse_other(path, holder, me)
        taken = not me.same_as(holder)
        if taken and not check:
            _write(path, me)
    return taken, taken and holder is not None


def free(path: str, me: Holder, check: bool = False) -> bool:
    """Remove the lock if it is this process's own; True when it was. Raises Locked where it is damaged, OSError."""
    path = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(path)):
        return False
    with contextlib.nullcontext() if check else _guarded(path):
        ours = me.same_as(read(path))
        if ours and not check:
            os.unlink(path)
    return ours


def _elsewhere(path: str, holder: Holder, where: str) -> str:
    return (
        f"{path} is held by process {holder.pid} {where} since {holder.since}, which cannot be asked from here: "
        "wait for that run, or remove the file if it is dead"
    )


@contextlib.contextmanager
def _guarded(path: str) -> Iterator[None]:
    # Not the file itself, which is replaced. It stays: who removed it would let two in.
    handle = os.open(f"{path}.guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not lock_within(handle, PATIENCE):
            raise Locked(f"another process has kept {path}.guard locked for {PATIENCE:.0f} s: end it")
        yield
    finally:
        os.close(handle)


def _write(path: str, me: Holder) -> None:
    new = f"{path}.new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w", encoding="utf-8") as stream:
        json.dump(asdict(me), stream)
        stream.write("\n")
        stream.flush()
        os.fsync(handle)
    os.replace(new, path)


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
