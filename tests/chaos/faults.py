# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be done to a lab in the middle of a run, and how it is undone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from chaos.case import Fault
from chaos.lab import ADDRESSES, STATE, STORE, Lab, LabError

STAGING = f"{STORE}/bosh_ha_staging"
#: Of the kit that the snapshot `mutual` has.
KIT_PASSWORD = "chaos"


class NotHere(Exception):
    """Why this lab cannot have the fault."""


# The control node


def kill_all() -> Fault:
    """As when the machine is switched off: nothing of the run is left, neither its jobs nor ssh's masters."""
    return Fault("every process of the run is killed (SIGKILL)", lambda _lab, run: run.kill(), kills=True)


def kill_ansible() -> Fault:
    """As by `kill -9 PID`: what ansible-playbook had started goes on as long as it can."""
    return Fault("ansible-playbook alone is killed (SIGKILL)", lambda _lab, run: run.kill(alone=True), kills=True)


def second_run(refused: str) -> Fault:
    """refused: what the second one has to say when it stops."""

    def do(_lab: Lab, run: Any) -> None:
        other = run.twin().play()
        assert other.rc != 0, "a second run was let in beside the first"
        assert any(re.search(refused, said) for said in other.sentences), (
            f"the second run stopped with {other.sentences}"
        )
        assert run.alive(), "the first run had ended before the second was refused: that shows nothing"

    return Fault("a second run is started", do)


# Network and hosts


def cut(name: str, seconds: float | None = None) -> Fault:
    """Unplug a VM; for so many seconds, or until somebody mends it."""

    def do(lab: Lab, _run: Any) -> None:
        lab.call("cut", name)
        if seconds is not None:
            time.sleep(seconds)
            lab.call("heal", name)

    return Fault(f"{name} is cut off", do, lambda lab: lab.call("heal", name))


def part(one: str, other: str, seconds: float | None = None) -> Fault:
    """Nothing goes from one VM to the other any more; the control node reaches both."""

    def open_again(lab: Lab) -> None:
        with suppress(LabError):
            lab.beneath(one, "ip", "route", "del", "blackhole", ADDRESSES[other])

    def do(lab: Lab, _run: Any) -> None:
        lab.beneath(one, "ip", "route", "add", "blackhole", ADDRESSES[other])
        if seconds is not None:
            time.sleep(seconds)
            open_again(lab)

    return Fault(f"{one} and {other} do not reach each other", do, open_again)


def reboot(name: str) -> Fault:
    """As soon as there is a VM, as one may be made anew just then."""

    def do(lab: Lab, _run: Any) -> None:
        until = time.monotonic() + 120
        while True:
            try:
                lab.call("reboot", name)
                return
            except LabError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    return Fault(f"{name} reboots", do)


def both_lost() -> Fault:
    """Both VMs at once, so that neither resurrects the other; their disks stay."""

    def do(lab: Lab, _run: Any) -> None:
        for name in ("primary", "meta"):
            lab.call("kill", name)

    return Fault("the VMs of Primary and Meta are terminated", do)


def terminate(name: str) -> Callable[[Lab], object]:
    """What a person does at the IaaS's console to whatever has this address."""
    return lambda lab: lab.call("kill", name)


def kill_process(name: str, process: str) -> Fault:
    return Fault(f"{process} of {name} is killed", lambda lab, _run: lab.call("kill-process", name, process))


def clock(name: str, seconds: int) -> Fault:
    def do(lab: Lab, _run: Any) -> None:
        try:
            lab.call("clock", name, str(seconds))
        except LabError as error:
            raise NotHere(f"{error}; the unit tests of the preflight stand for it") from error

    return Fault(f"the clock of {name} is {seconds} s off", do, lambda lab: lab.call("clock", name, "0"))


# Disks and files


def full_staging() -> Fault:
    """A disk of 1 MB where the copy shall lie, which the look for room does not see."""
    mount = f"mkdir -p {STAGING} && mount -t tmpfs -o size=1m,mode=0700 tmpfs {STAGING}"
    undo = f"while umount {STAGING} 2>/dev/null; do :; done; [ ! -d {STAGING} ] || rmdir {STAGING} 2>/dev/null || true"
    return Fault(
        "Meta's disk is full", lambda lab, _run: lab.inside("meta", mount), lambda lab: lab.inside("meta", undo)
    )


#: A blob that nobody knows of but the faults; the harness puts it there.
A_BLOB = f"{STORE}/blobstore/store/00/chaos"
MAKE_BLOB = f"install -D -o vcap -g vcap -m 0600 /dev/null {A_BLOB} && head -c 16384 /dev/urandom >{A_BLOB}"


def change_file() -> Fault:
    """Other bytes, of the same number and with the same time: who looks at those alone does not see it."""
    script = (
        f"f={A_BLOB}; touch -r $f /tmp/chaos-time; printf changed | dd of=$f bs=1 conv=notrunc status=none; "
        "touch -r /tmp/chaos-time $f"
    )
    return Fault("a file changes on Micro", lambda lab, _run: lab.inside("micro", script))


def remove_file() -> Fault:
    return Fault("a file goes on Micro", lambda lab, _run: lab.inside("micro", f"rm {A_BLOB}"))


def unreadable_file() -> Fault:
    """A file that not even root may read, as on a disk with a bad sector: the kernel gives only to it what it takes."""
    where = f"{STORE}/blobstore/store/unreadable"
    # Which of them there are is a question of the kernel and its drivers.
    search = "find /sys/bus /sys/module -type f -perm 0200 | head -n 1"
    probe = f"cat {where} >/dev/null 2>&1 && echo readable || true"
    fenced = f"{STORE}/bosh_ha_fenced/blobstore/store/unreadable"
    undo = f"for f in {where} {fenced}; do umount $f 2>/dev/null; rm -f $f; done; true"

    def do(lab: Lab, _run: Any) -> None:
        written_only = lab.inside("micro", search).strip()
        if not written_only:
            raise NotHere("root can read every file in this lab")
        lab.inside("micro", f"touch {where}; mount --bind {written_only} {where}")
        if lab.inside("micro", probe).strip():
            raise NotHere("root can read every file in this lab")

    return Fault("a file on Micro cannot be read", do, lambda lab: lab.inside("micro", undo))


# The IaaS and the directors


def cpi(method: str, times: int) -> Fault:
    often = {1: "once", 2: "twice", -1: "always"}[times]
    wanted: dict[str, object] = {method: {"times": times, "message": f"injected: {method} failed"}}
    return Fault(
        f"the IaaS fails at {method} {often}", lambda lab, _run: lab.faults(wanted), lambda lab: lab.faults(None)
    )


def hanging_task(description: str, director: str, seconds: int = -1) -> Fault:
    wanted: dict[str, object] = {"task": {"hang": description, "director": director, "seconds": seconds, "times": 1}}
    return Fault(
        f"the task `{description}` of {director} hangs",
        lambda lab, _run: lab.faults(wanted),
        lambda lab: (lab.faults(None), end_tasks(lab, director)),
    )


def cancelled_task(description: str, director: str) -> Fault:
    """Hangs, and somebody cancels it."""
    hanging = hanging_task(description, director)

    def do(lab: Lab, run: Any) -> None:
        hanging.do(lab, run)
        until = time.monotonic() + 120
        while not end_tasks(lab, director, description):
            if time.monotonic() > until:
                raise AssertionError(f"{director} has begun no task `{description}`")
            time.sleep(1)

    return Fault(f"the task `{description}` of {director} is cancelled", do, lambda lab: lab.faults(None))


def end_tasks(lab: Lab, director: str, description: str = "") -> bool:
    """Cancel what runs, as `bosh cancel-task` does; whether there was one. Waits until it has ended."""
    which = f"state = 'processing' AND description LIKE '{description}%'"
    with suppress(LabError):
        if lab.sql(director, f"SELECT count(*) FROM tasks WHERE {which}") != "0":
            lab.sql(director, f"UPDATE tasks SET state = 'cancelling' WHERE {which}")
            for _second in range(30):
                if lab.sql(director, "SELECT count(*) FROM tasks WHERE state = 'cancelling'") == "0":
                    break
                time.sleep(1)
            return True
    return False


def manifest_without(name: str, line: str) -> Fault:
    """As by somebody's change that no deploy has tried yet. line: the first such one goes, stripped."""
    path = STATE / "workspace" / "deployments" / "boshes" / f"bosh-{name}.yml"
    kept = path.with_suffix(".kept")

    def do(_lab: Lab, _run: Any) -> None:
        path.rename(kept)
        lines = kept.read_text(encoding="utf-8").splitlines(keepends=True)
        number = [one.strip() for one in lines].index(line)
        path.write_text("".join(lines[:number] + lines[number + 1 :]), encoding="utf-8")

    def undo(_lab: Lab) -> None:
        if kept.exists():
            kept.rename(path)

    return Fault(f"the manifest of {name} has lost `{line}`", do, undo)


def lock(name: str, deployment: str, seconds: int) -> Fault:
    return Fault(
        f"a colleague holds the lock of {deployment} at {name}",
        lambda lab, _run: lab.call("lock", name, deployment, "--seconds", str(seconds)),
        lambda lab: lab.call("lock", name, deployment, "--seconds", "0"),
    )
