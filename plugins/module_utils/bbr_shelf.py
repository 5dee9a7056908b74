# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of one deployment in a directory of the control node: which there are, and which of them may go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup


@dataclass(frozen=True)
class Backup:
    """A whole backup. size: bytes of its files. about: what we kept beside it, nothing for one of bbr's."""

    path: str
    begun: datetime
    size: int
    rehearsed: bool
    about: dict[str, Any]


def backups(parent: str, name: str) -> list[Backup]:
    """Whole backups of a deployment in a directory, newest first; none where there is no such directory.

    What has no `metadata` is none, whatever its name is, and neither is a link.
    """
    if not os.path.isdir(parent):
        return []
    found = []
    for entry in os.scandir(parent):
        begun = bbr_backup.begun_at(entry.name, name)
        whole = os.path.isfile(os.path.join(entry.path, bbr_backup.METADATA))
        if begun and whole and entry.is_dir(follow_symlinks=False):
            found.append(Backup(entry.path, begun, _size(entry.path), passed(entry.path), _about(entry.path)))
    return sorted(found, key=lambda backup: backup.begun, reverse=True)


def passed(directory: str) -> bool:
    """Whether a backup was restored to try it, and was what it should be."""
    try:
        return bbr_backup.rehearsed(directory).get("passed") is True
    except (bbr_backup.Damaged, OSError):
        return False


def to_go(there: list[Backup], keep: int, made: str = "") -> list[Backup]:
    """Those that are more than `keep`, oldest first; none where it is 0. there: newest first.

    The newest that is known to restore stays, however old it is. made: path of one that counts and stays, even where
    it is not there yet, as in check mode, and even where the clock went back.
    """
    if keep < 1:
        return []
    others = [backup for backup in there if backup.path != made]
    proved = next((backup for backup in there if backup.rehearsed), None)
    return [backup for backup in others[keep - bool(made) :] if backup is not proved][::-1]


def free_at(path: str) -> int:
    """Bytes that are free where a directory is, or will be. Raises OSError."""
    place = os.path.abspath(path)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize


def _size(directory: str) -> int:
    return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(directory) if entry.is_file())


def _about(directory: str) -> dict[str, Any]:
    try:
        return bbr_backup.about(directory)
    except bbr_backup.Damaged:
        return {}
