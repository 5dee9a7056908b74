# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director's VM shows of its persistent disk and of its agent."""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.staged_store import KEPT, KEPT_PARTIAL
from ansible_collections.bosh.ha.plugins.module_utils.store_fence import FENCED, FENCED_PARTIAL

_POSTGRES = re.compile(r"^postgres-[0-9.]+$")
#: Where the agent keeps its settings if they shall not be on a disk. Source: bosh-agent settings/directories.
SETTINGS = "/var/vcap/bosh/settings"


def postgres_directories(store: str) -> list[str]:
    """Directories of PostgreSQL in a store, one for each major version; none where there is no store.

    A host that is fenced has its own set aside, and so has one whose store makes place for a copy.
    """
    found: set[str] = set()
    for place in ("", FENCED, FENCED_PARTIAL, KEPT, KEPT_PARTIAL):
        with suppress(OSError), os.scandir(os.path.join(store, place)) as entries:
            found |= {entry.name for entry in entries if entry.is_dir() and _POSTGRES.match(entry.name)}
    return sorted(found)


def backup_jobs(jobs_dir: str) -> list[str]:
    """Names of the jobs that have BBR's script for a backup."""
    paths = glob.glob(os.path.join(jobs_dir, "*/bin/bbr/backup"))
    return sorted(path.split(os.sep)[-4] for path in paths if os.path.isfile(path))


def store_room(store: str, staging: str = "bosh_ha_staging", mounts: str = "/proc/self/mounts") -> dict[str, Any]:
    """Device and room of the file system of a store, in bytes, as `df` tells it.

    `staged` is what lies in its staging directory.
    `mounted` says whether the store is a mount of its own. Zeros where there is no such directory.
    """
    found: dict[str, Any] = {
        "path": store,
        "mounted": False,
        "device": "",
        "total": 0,
        "used": 0,
        "available": 0,
        "staged": 0,
    }
    if not os.path.isdir(store):
        return found
    room = os.statvfs(store)
    device = mounted_from(os.path.realpath(store), mounts)
    return found | {
        "mounted": bool(device),
        "device": device,
        "total": room.f_blocks * room.f_frsize,
        "used": (room.f_blocks - room.f_bfree) * room.f_frsize,
        "available": room.f_bavail * room.f_frsize,
        "staged": allocated(os.path.join(store, staging)),
    }


def mounted_from(path: str, mounts: str = "/proc/self/mounts", kind: str = "") -> str:
    """Device that is mounted at exactly this path, the last one; empty where none is, or none of the kind.

    Unlike os.path.ismount it sees a bind mount of the same file system, too.
    """
    device = ""
    with open(mounts, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            source, target, fstype = line.split()[:3]
            if target == path:
                device = source if kind in ("", fstype) else ""
    return device


def settings_on_tmpfs(mounts: str = "/proc/self/mounts", settings: str = SETTINGS) -> bool:
    """Whether the agent's settings are gone after a reboot."""
    return bool(mounted_from(settings, mounts, "tmpfs")) or os.path.exists(
        os.path.join(settings, "update_settings.json")
    )


def allocated(directory: str) -> int:
    """Bytes that a directory takes on the disk, hard links once, as `du` counts; 0 where it is not there."""
    total, seen = 0, set()
    for top, directories, files in os.walk(directory):
        for name in directories + files:
            try:
                status = os.lstat(os.path.join(top, name))
            except OSError:
                # It went while we looked.
                continue
            key = (status.st_dev, status.st_ino)
            if status.st_nlink < 2 or key not in seen:
                total += status.st_blocks * 512
            seen.add(key)
    return total
