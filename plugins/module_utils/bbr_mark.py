# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a directory of artifacts on a VM is: there as long as somebody backs up or restores, or was killed at it.

BBR refuses to begin where the directory is there, so making it is the lock between all of them. It is made as bbr makes
it (ssh/remote_runner.go, CreateDirectory: `sudo mkdir -p`), so that a job's script can work as another user in what it
was given there. Only root writes into it; the mark is root's alone, and no other user can lock it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator

from ansible_collections.bosh.ha.plugins.module_utils.waiting_lock import lock_within

#: Mode of the directory and of each job's in it; what is in them has the mode that the job's script gives it.
MODE = 0o755
#: Beside the artifacts, where no job's directory can be, as no job is named so.
MARK = ".bosh_ha"
#: Seconds between two looks for the end of another call.
PAUSE = 0.2


class Taken(Exception):
    """The directory is somebody else's; the message says whose."""


def take(path: str, owner: str, deed: str) -> bool:
    """Make the directory for a deed of this owner's; False where the same owner made it for the same deed before.

    Raises Taken, OSError.
    """
    try:
        make(path)
    except FileExistsError:
        there = left(path)
        if there.get("owner") == owner and there.get("deed") == deed:
            return False
        raise Taken(told(there)) from None
    _write(path, {"owner": owner, "deed": deed})
    return True


def make(path: str) -> None:
    """Make a directory of artifacts, passable for every user whatever the umask. Raises FileExistsError, OSError."""
    os.mkdir(path, 0o700)
    os.chmod(path, MODE)


def left(path: str) -> dict[str, str]:
    """path, owner and deed of a directory that is there; owner is empty where it is none of ours, as BBR's."""
    if not os.path.isdir(path):
        return {}
    try:
        with open(os.path.join(path, MARK), encoding="utf-8", opener=_unfollowed) as stream:
            if os.fstat(stream.fileno()).st_uid != os.geteuid():
                raise ValueError("another user's file")
            data = json.load(stream)
        return {"path": path, "owner": str(data["owner"]), "deed": str(data["deed"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"path": path, "owner": "", "deed": ""}


def give_back(path: str, owner: str) -> bool:
    """Remove the directory; False where there was none. Raises Taken where it is somebody else's, OSError."""
    there = left(path)
    if not there:
        return False
    if there["owner"] != owner:
        raise Taken(told(there))
    # The mark goes last: whoever is killed meanwhile leaves what is known to be ours.
    for name in sorted(os.listdir(path), key=lambda name: name == MARK):
        inside = os.path.join(path, name)
        if os.path.isdir(inside) and not os.path.islink(inside):
            shutil.rmtree(inside)
        else:
            os.unlink(inside)
    os.rmdir(path)
    return True


@contextlib.contextmanager
def working(path: str, patience: float) -> Iterator[None]:
    """Scripts run, as long as this lasts; of two calls the second waits.

    Raises Taken after `patience` seconds, OSError.

    A run that is cut off leaves a call behind that goes on, and the next run must not unlock beside it.
    """
    handle = _lockable(path)
    if handle is None:
        # Nobody backs up or restores, so there is nobody to wait for.
        yield
        return
    try:
        if not lock_within(handle, patience, PAUSE):
            raise Taken(f"scripts of an earlier call run in {path} still, after {patience:g} s")
        yield
    finally:
        os.close(handle)


def told(there: dict[str, str]) -> str:
    """A sentence about a directory that is in the way."""
    if not there.get("owner"):
        return (
            f"{there.get('path')} is there, and none of ours: a backup or restore by bbr runs, or was ended in the "
            "middle of it (`bbr ... backup-cleanup` or `restore-cleanup` unlocks and removes it)"
        )
    return f"{there['path']} is there: a {there['deed']} of '{there['owner']}' runs, or was ended in the middle of it"


def _lockable(path: str) -> int | None:
    """The mark, which no other user can lock; the directory itself if it is none of ours; None if it is absent."""
    for name, flags in ((os.path.join(path, MARK), os.O_NOFOLLOW), (path, os.O_DIRECTORY)):
        with contextlib.suppress(FileNotFoundError):
            return os.open(name, os.O_RDONLY | flags)
    return None


def _unfollowed(path: str, flags: int) -> int:
    """An opener that refuses links; a new file is its owner's only, and must not be there yet."""
    return os.open(path, flags | os.O_NOFOLLOW | (os.O_EXCL if flags & os.O_CREAT else 0), 0o600)


def _write(path: str, data: dict[str, str]) -> None:
    with open(os.path.join(path, MARK), "w", encoding="utf-8", opener=_unfollowed) as stream:
        json.dump(data, stream)
