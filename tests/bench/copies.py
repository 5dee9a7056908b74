# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of Micro's store into scratch directories on Meta's disk: ours, the blog's, plain rsync's, and the limits.

All of them read Micro's disk and write Meta's, and none waits until the disk has it all: what counts as written is the
same for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import lab, playbook

SCRATCH = f"{lab.STORE}/bosh_ha_bench"
_KEY = "/run/bosh_ha_bench"
_SSH = (
    f"ssh -i {_KEY}/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
)
_MICRO = f"jumpbox@{lab.ADDRESSES['micro']}"
_SUDO = "--rsync-path='sudo rsync'"
#: The source is in use: what changes meanwhile is no failure.
_MOVED = "|| [ $? = 24 ]"
#: A collection's own names in a store, as the role leaves them out.
EXCLUDES = ["/lost+found", "/bbr-backup", "/bosh_ha_*", "postmaster.pid"]


@contextmanager
def way_in() -> Iterator[None]:
    """A key of Meta's root for Micro, which may do anything there: for those that are no rsync of ours."""
    public = in_meta(
        f"rm -rf {_KEY} && mkdir -m 700 {_KEY} && ssh-keygen -q -t ed25519 -N '' -C bosh_ha_bench -f {_KEY}/key\n"
        f"cat {_KEY}/key.pub"
    ).strip()
    lab.in_vm("micro", f"echo '{public}' >>~jumpbox/.ssh/authorized_keys")
    try:
        yield
    finally:
        lab.in_vm("micro", "sed -i '/ bosh_ha_bench$/d' ~jumpbox/.ssh/authorized_keys")
        in_meta(f"rm -rf {_KEY} {SCRATCH}")


def in_meta(script: str) -> str:
    return lab.in_vm("meta", script)


def blog(own: str) -> float:
    """Seconds of the blog's copy of a stopped Micro: what Meta has is deleted, then `rsync -r` over SSH.

    own: Meta's store, of which a copy is deleted, as the blog deletes Meta's own.
    """
    in_meta(f"rm -rf {SCRATCH} && mkdir -p {SCRATCH}/blog && cp -a {own}/. {SCRATCH}/blog/")
    fenced = f"{_MICRO}:{lab.STORE}/bosh_ha_fenced/"
    return lab.timed("meta", f"rm -rf {SCRATCH}/blog/*\nrsync -r -e '{_SSH}' {_SUDO} {fenced} {SCRATCH}/blog/")


def nothing_to_copy(times: int) -> list[float]:
    """Seconds of a bare rsync where nothing has changed, after `blog`: less than this no copy by rsync takes."""
    words = f"-aHAX --numeric-ids --delete -e '{_SSH}' {_SUDO} {_MICRO}:{lab.STORE}/bosh_ha_fenced/ {SCRATCH}/blog/"
    # The blog's copy has the content, but neither owners nor times.
    in_meta(f"rsync --size-only {words}")
    return [lab.timed("meta", f"rsync {words}") for _time in range(times)]


def plain() -> float:
    into = f"{SCRATCH}/plain"
    return lab.timed("meta", f"rsync -aHAX -e '{_SSH}' {_SUDO} {_MICRO}:{lab.STORE}/ {into}/ {_MOVED}")


def stream() -> float:
    """All of the store through SSH with its cheapest cipher, and nothing written."""
    cheap = f"{_SSH} -o Compression=no -c aes128-gcm@openssh.com"
    # tar reads nothing where it sees that it writes to /dev/null.
    send = f"'sudo tar -C {lab.STORE} --warning=no-file-changed -cf - . || [ $? = 1 ]'"
    return lab.timed("meta", f"{cheap} {_MICRO} {send} | cat")


def local() -> float:
    """From Meta's disk to itself, after `plain`."""
    return lab.timed("meta", f"cp -a {SCRATCH}/plain {SCRATCH}/local")


def ours() -> float:
    """Seconds inside the module, without its way to the host, as for the others."""
    arguments: dict[str, Any] = {
        "source": f"{_MICRO}:/",
        "dest": f"{SCRATCH}/ours",
        "key": "/run/bosh_ha/key",
        "known_hosts": "/run/bosh_ha/known_hosts",
        "excludes": EXCLUDES,
        "vanished_ok": True,
    }
    return float(playbook.module("cold-copy", "meta", "bosh.ha.store_copy", arguments)["seconds"])


#: In this order in every round, so that a machine that becomes slower does so for all of them.
KINDS: dict[str, Callable[[], float]] = {"plain": plain, "ours": ours, "stream": stream, "local": local}


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each kind in each round, from a cold page cache (`disk`) and with the store in it (`memory`)."""
    found: dict[str, dict[str, list[float]]] = {state: {kind: [] for kind in KINDS} for state in ("disk", "memory")}
    playbook.role("permit", "permit_root_rsync")
    try:
        for number in range(rounds):
            for state, seconds in found.items():
                in_meta(f"rm -rf {SCRATCH} && mkdir -m 700 {SCRATCH}")
                for kind, copy in KINDS.items():
                    lab.drop_caches()
                    if state == "memory":
                        _read(kind)
                    seconds[kind].append(round(copy(), 3))
                    lab.say(f"copies: round {number + 1}, {state}: {kind} {seconds[kind][-1]:.2f} s")
    finally:
        playbook.role("close", "permit_root_rsync", "close")
    return found


def _read(kind: str) -> None:
    name, path = ("meta", f"{SCRATCH}/plain") if kind == "local" else ("micro", lab.STORE)
    lab.in_vm(name, f"tar -C {path} --warning=no-file-changed -cf - . | cat >/dev/null || true")
