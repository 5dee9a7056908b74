# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's process on a VM, and its connections, as the kernel shows them."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable

_ESTABLISHED = "01"


def family(pid: int, proc: str = "/proc") -> set[int]:
    """A process and all that it started."""
    parents: dict[int, int] = {}
    for name in os.listdir(proc):
        if name.isdigit():
            try:
                with open(os.path.join(proc, name, "stat"), encoding="utf-8", errors="replace") as stream:
                    # The name in brackets may hold anything; the parent comes second after it.
                    parents[int(name)] = int(stream.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = {pid} & set(parents)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def connections(pids: Iterable[int], places: set[tuple[str, int]], proc: str = "/proc") -> set[str]:
    """Inodes of the processes' sockets that are connected to one of the places, each an address and a port."""
    wanted = {(ip, port) for host, port in places for ip in addresses(host)}
    found = set()
    for pid in pids:
        held = _sockets(os.path.join(proc, str(pid), "fd"))
        for table in ("tcp", "tcp6"):
            found |= held & _connected(os.path.join(proc, str(pid), "net", table), wanted)
    return found


def addresses(host: str) -> set[bytes]:
    """What a name stands for, each address in its 16 bytes; none where nobody knows it now."""
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {
        _sixteen(socket.inet_pton(family_, str(place[0]).partition("%")[0])) for family_, _t, _p, _c, place in infos
    }


def _sixteen(ip: bytes) -> bytes:
    return ip if len(ip) == 16 else b"\0" * 10 + b"\xff\xff" + ip


def _sockets(directory: str) -> set[str]:
    found: set[str] = set()
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    for name in names:
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(os.path.join(directory, name)))
        except OSError:
            continue
        if match:
            found.add(match.group(1))
    return found


def _connected(table: str, wanted: set[tuple[bytes, int]]) -> set[str]:
    try:
        with open(table, encoding="ascii") as stream:
            rows = [line.split() for line in stream.read().splitlines()[1:]]
    except OSError:
        # The process ended, or the host has no IPv6.
        return set()
    return {row[9] for row in rows if len(row) > 9 and row[3] == _ESTABLISHED and _place(row[2]) in wanted}


def _place(text: str) -> tuple[bytes, int]:
    """An address as the kernel writes it: words of 32 bits in the machine's own order, and the port."""
    words, _colon, port = text.partition(":")
    parts = [bytes.fromhex(words[start : start + 8])[::-1] for start in range(0, len(words), 8)]
    return _sixteen(b"".join(parts)), int(port, 16)
