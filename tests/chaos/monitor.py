# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One writer at any time: looked for five times a second, from outside the hosts and into them.

A database is known by the identifier that initdb gave it and each copy of it keeps, in global/pg_control. The VMs are
containers, so that their processes can be looked at from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.lab import ADDRESSES, Lab

RATE = 5
#: Two that answer with one UUID within so many seconds are two at a time; a handover takes far longer.
TOGETHER = 1.0
LOCAL = re.compile(r"\|-- (10\.10\.0\.\d+)\n\s+/32 host LOCAL")


@dataclass
class Monitor:
    """Samples between start() and stop(); `found` then says what was wrong."""

    lab: Lab
    answers: Path
    found: list[str] = field(default_factory=list)
    looks: int = 0
    longest: float = 0

    def start(self) -> Monitor:
        self.answers.unlink(missing_ok=True)
        self._probe = self.lab.start("probe", "--names", "micro,meta", "--rate", str(RATE), "--out", str(self.answers))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> list[str]:
        """What was wrong, in a sentence each; also where the monitor itself did not look as often as it should."""
        self._over.set()
        self._thread.join(10)
        self._probe.send_signal(signal.SIGTERM)
        try:
            self._probe.wait(10)
        except Exception:
            self._probe.kill()
        samples = read(self.answers)
        self.found += both_answer(samples)
        if not samples or not self.looks:
            self.found.append("the monitor saw nothing")
        if self.longest > 5:
            self.found.append(f"the monitor did not look for {self.longest:.1f} s")
        return sorted(set(self.found))

    def _watch(self) -> None:
        known: dict[tuple[int, str], tuple[str, int] | None] = {}
        before = time.monotonic()
        while not self._over.wait(1 / RATE):
            self.found += two_writers(postmasters(known))
            self.looks += 1
            self.longest, before = max(self.longest, time.monotonic() - before), time.monotonic()


def read(path: Path) -> list[dict[str, Any]]:
    """The probe's lines; the last one may be cut off."""
    found = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return sorted(found, key=lambda sample: sample["time"])


def both_answer(samples: list[dict[str, Any]]) -> list[str]:
    """Where two directors answered with one UUID at a time."""
    last: dict[str, tuple[str, float]] = {}
    found = []
    for sample in samples:
        uuid, name = sample["uuid"], sample["name"]
        if not sample["ok"] or not uuid:
            continue
        other, at = last.get(uuid, (name, 0.0))
        if other != name and sample["time"] - at < TOGETHER:
            found.append(f"{other} and {name} both answered with the UUID {uuid}")
        last[uuid] = name, sample["time"]
    return list(dict.fromkeys(found))


def two_writers(running: list[tuple[str, int]]) -> list[str]:
    """Where one database runs at two addresses; running: (address, identifier)."""
    places: dict[int, set[str]] = {}
    for address, identifier in running:
        places.setdefault(identifier, set()).add(address)
    return [
        f"PostgreSQL ran on the same data at {' and '.join(sorted(where))} (database {identifier})"
        for identifier, where in places.items()
        if len(where) > 1
    ]


def postmasters(known: dict[tuple[int, str], tuple[str, int] | None]) -> list[tuple[str, int]]:
    """Address and database of each PostgreSQL that runs in a VM; known: what was learned of a process before."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, struct.error):
            place = Path("/proc", entry)
            if (place / "comm").read_text() != "postgres\n":
                continue
            key = int(entry), (place / "stat").read_text().rpartition(")")[2].split()[19]
            if key not in known:
                known[key] = _learn(place)
            learned = known[key]
            if learned:
                found.append(learned)
    return found


def _learn(place: Path) -> tuple[str, int] | None:
    """Its own processes (checkpointer and the like) are in the same directory; they count as it does."""
    address = LOCAL.search((place / "net" / "fib_trie").read_text())
    control = (place / "cwd" / "global" / "pg_control").read_bytes()
    # This machine has an address in that network, too, and may run a PostgreSQL of its own.
    if not address or address.group(1) not in ADDRESSES.values():
        return None
    return address.group(1), struct.unpack("<Q", control[:8])[0]
