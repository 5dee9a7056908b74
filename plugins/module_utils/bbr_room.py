# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether there is room for a backup or a restore, on the control node and on each VM, before anything is touched."""

from __future__ import annotations

import math
import os
from typing import Any

from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible_collections.bosh.ha.plugins.module_utils.host_traits import allocated, postgres_directories, store_room

#: How much larger than the last one a backup may be.
GROWTH = 1.2


def room_of(store: str, mounts: str = "/proc/self/mountinfo") -> dict[str, Any]:
    """free, used and database of a VM's store, in bytes. Raises OSError.

    A database is dumped beside its files; a blobstore's script makes hard links, which take no room.
    """
    room = store_room(store)
    return {
        "path": store,
        "free": room["available"],
        # Where the store is no whole file system, others have their files on it, too.
        "used": room["used"] if is_whole(os.path.realpath(store), mounts) else allocated(store),
        "database": sum(allocated(os.path.join(store, name)) for name in postgres_directories(store)),
    }


def is_whole(path: str, mounts: str = "/proc/self/mountinfo") -> bool:
    """Whether all of a file system is mounted at exactly this path, and not only one of its directories.

    Source of the fields: proc(5), mountinfo: the fourth is what is mounted, the fifth is where.
    """
    whole = False
    with open(mounts, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            root, target = line.split()[3:5]
            if target == path:
                whole = root == "/"
    return whole


def backup_shortages(rooms: dict[str, dict[str, Any]], path: str, free: int | None, last: int) -> list[str]:
    """A sentence for each place without room for a backup.

    rooms: what `room_of` told, by host. path, free: directory of the backups on the control node, and bytes that are
    free there, None where they go elsewhere. last: bytes of the last whole backup; 0 where there is none, and then what
    the stores have is an upper bound.
    """
    needed = math.ceil(last * GROWTH) if last else sum(room["used"] for room in rooms.values())
    why = "the last one and a fifth" if last else "all that the VMs' stores have, as there is no backup yet"
    found = (
        [_short("the control node", path, free, needed, f"a backup, {why},")]
        if free is not None and free < needed
        else []
    )
    for host, room in rooms.items():
        if room["free"] < room["database"]:
            found.append(_short(host, room["path"], room["free"], room["database"], "a dump of the database"))
    return found


def restore_shortages(rooms: dict[str, dict[str, Any]], sizes: dict[str, int], keep: bool) -> list[str]:
    """A sentence for each VM without room for its part of a backup.

    rooms: what `room_of` told, by host. sizes: bytes of what comes, by host. keep: whether what is there now is kept.
    """
    found = []
    for host, room in rooms.items():
        needed = sizes[host] + (room["database"] if keep else 0)
        if room["free"] < needed:
            what = "the backup" + (", with a dump of the database as it is now," if keep and room["database"] else "")
            found.append(_short(host, room["path"], room["free"], needed, what))
    return found


def _short(host: str, path: str, free: int, needed: int, what: str) -> str:
    return f"{host}: {path} has {bytes_to_human(free)} free, and {what} may need {bytes_to_human(needed)}"
