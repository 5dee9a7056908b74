# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a PostgreSQL data directory says of itself, by `global/pg_control`, with no server and none of its commands.

Facts are from PostgreSQL's src/include/catalog/pg_control.h (ControlFileData, DBState) of 9.6 to 18: the head of the
structure is the same in all of them, and a CRC-32C of all before it ends it.
"""

from __future__ import annotations

import glob
import os
import struct
import time
from dataclasses import dataclass

#: DBState.
_STATES = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)
SHUT_DOWN = _STATES[1]
#: system_identifier, pg_control_version, catalog_version_no, state.
_HEAD = struct.Struct("<QIII")
#: Where the CRC may be: the structure has 232 bytes in 9.6 and 296 in 18, and never fills a disk sector.
_CRC_FROM, _CRC_TO = 128, 512
#: Versions of the structure whose CRC is a CRC-32C: 9.6 to 18. One that comes later may have another.
_CRC_KNOWN = range(960, 1801)
_SANE = range(900, 10000)
#: A server writes the file while it runs, so what was read may be half old; PostgreSQL itself looks again, too.
_LOOKS, _PAUSE = 10, 0.02


class BadControlFile(ValueError):
    """The file is not what PostgreSQL writes; the message says why."""


@dataclass(frozen=True)
class Control:
    """The head of pg_control. `crc_ok` is None where the version's CRC is not known."""

    system_identifier: int
    control_version: int
    catalog_version: int
    state: str
    crc_ok: bool | None


def parse(data: bytes) -> Control:
    """Read the bytes of pg_control; raises BadControlFile for what is none, but not for a wrong CRC."""
    if len(data) < _CRC_FROM:
        raise BadControlFile(f"it has {len(data)} bytes only")
    identifier, version, catalog, state = _HEAD.unpack_from(data)
    if version not in _SANE:
        raise BadControlFile(f"{version} is no version of pg_control that a host of this kind writes")
    if state >= len(_STATES):
        raise BadControlFile(f"{state} is no state of a database")
    ok = _has_crc(data)
    return Control(identifier, version, catalog, _STATES[state], ok if ok or version in _CRC_KNOWN else None)


def read(path: str) -> Control:
    """Read a pg_control, of a running server, too. Raises OSError, BadControlFile."""
    for _look in range(_LOOKS):
        with open(path, "rb") as stream:
            control = parse(stream.read(8192))
        if control.crc_ok is not False:
            return control
        time.sleep(_PAUSE)
    raise BadControlFile("its checksum is wrong")


def databases(store: str) -> list[dict[str, object]]:
    """The PostgreSQL data directories of a store, by name. Raises OSError, BadControlFile, naming the file.

    BOSH keeps directories of other kinds beside them, as postgres-previous-glibc-tracking.
    """
    marks = glob.glob(os.path.join(glob.escape(store), "postgres-*", "PG_VERSION"))
    return [_database(os.path.dirname(mark)) for mark in sorted(marks)]


def _database(path: str) -> dict[str, object]:
    control_file = os.path.join(path, "global", "pg_control")
    try:
        control = read(control_file)
    except ValueError as error:
        raise BadControlFile(f"{control_file}: {error}") from error
    with open(os.path.join(path, "PG_VERSION"), encoding="ascii") as stream:
        major = stream.read().strip()
    # A server that was killed leaves its pid file, and a state that is not shut down.
    stopped = control.state == SHUT_DOWN and not os.path.lexists(os.path.join(path, "postmaster.pid"))
    return {
        "path": path,
        "major": major,
        "state": control.state,
        "clean": stopped,
        # Beyond what JSON's readers keep whole.
        "system_identifier": str(control.system_identifier),
        "control_version": control.control_version,
        "catalog_version": control.catalog_version,
    }


def _table() -> tuple[int, ...]:
    rows = []
    for number in range(256):
        for _bit in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        rows.append(number)
    return tuple(rows)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) as PostgreSQL computes it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _has_crc(data: bytes) -> bool:
    """Whether somewhere behind the head is the CRC of all before it: where, depends on the version."""
    crc = 0xFFFFFFFF
    for at, byte in enumerate(data[:_CRC_TO]):
        if at >= _CRC_FROM and at % 4 == 0 and data[at : at + 4] == struct.pack("<I", crc ^ 0xFFFFFFFF):
            return True
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return False
