# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Linux host itself shows of its processes: open ports and who holds files open."""

from __future__ import annotations

import os

_LISTEN = "0A"


def listening(tables: tuple[str, ...] = ("/proc/net/tcp", "/proc/net/tcp6")) -> set[int]:
    """TCP ports in state LISTEN, from the kernel's own tables."""
    ports = set()
    for table in tables:
        try:
            with open(table, encoding="ascii") as stream:
                rows = stream.read().splitlines()[1:]
        except FileNotFoundError:
            # A host without IPv6 has no second table.
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def holders_of(directory: str, proc: str = "/proc") -> list[str]:
    """Processes with an open file, a working directory or a mapping's file below directory, as `pid name`."""
    prefix = directory.rstrip("/") + "/"
    found = []
    for pid in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        links = [os.path.join(proc, pid, "cwd")]
        try:
            links += [entry.path for entry in os.scandir(os.path.join(proc, pid, "fd"))]
            if any(_target(link).startswith(prefix) for link in links) or _maps(os.path.join(proc, pid), prefix):
                with open(os.path.join(proc, pid, "comm"), encoding="utf-8") as stream:
                    found.append(f"{pid} {stream.read().strip()}")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # The process ended while we looked.
            continue
    return found


def _maps(process: str, prefix: str) -> bool:
    # A file may be closed after it was mapped, and is in use all the same.
    with open(os.path.join(process, "maps"), encoding="utf-8", errors="replace") as stream:
        return any(f" {prefix}" in line for line in stream)


def _target(link: str) -> str:
    try:
        return os.readlink(link) + ("/" if link.endswith("/cwd") else "")
    except OSError:
        return ""
