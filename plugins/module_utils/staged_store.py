# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting a copied store in the place of a VM's own, by renames on one disk, safe to interrupt.

`/var/vcap/store` is a mount point and cannot be renamed itself, so its entries are.
The order makes every half-way state tell what comes next:

* own entries go into ``bosh_ha_kept.partial``; when all are there it is renamed ``bosh_ha_kept``;
* then the entries of ``bosh_ha_staging`` go into the store; when it is empty it is removed.

The way back is the same with the roles exchanged, by way of ``bosh_ha_returned``.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator

STAGING = "bosh_ha_staging"
KEPT = "bosh_ha_kept"
KEPT_PARTIAL = "bosh_ha_kept.partial"
#: lost+found belongs to the file system, not to the director.
STAYS = frozenset({STAGING, KEPT, KEPT_PARTIAL, "lost+found"})


class SwapRefused(ValueError):
    """The store is not in a state from which the wanted step can be done; the message says why."""


def phase(store: str) -> str:
    """none, staged, swapping or swapped: read from the directories alone."""
    staging, kept, partial = (os.path.isdir(os.path.join(store, name)) for name in (STAGING, KEPT, KEPT_PARTIAL))
    if partial or (staging and kept):
        return "swapping"
    if kept:
        return "swapped"
    return "staged" if staging else "none"


def written_here(store: str) -> str:
    """The first entry of a copy in place that this host itself wrote, by its path there; empty where there is none.

    Who writes sets the time of the data and that of the inode at once (Linux, inode_update_timestamps), while rsync
    gives the data their time at the source afterwards, and a rename or another owner moves the inode's time alone. So
    no two clocks are compared, and none that was set meanwhile deceives. Raises OSError where it cannot be read.
    """
    for name in _own(store):
        found = _written(os.path.join(store, name))
        if found:
            return os.path.relpath(found, store)
    return ""


def _written(path: str) -> str:
    seen = os.lstat(path)
    if seen.st_mtime_ns == seen.st_ctime_ns:
        return path
    if stat.S_ISDIR(seen.st_mode):
        for name in sorted(os.listdir(path)):
            found = _written(os.path.join(path, name))
            if found:
                return found
    return ""


def swap_in(store: str) -> bool:
    """Put the staged store in place, keep the own one; True when anything was moved."""
    now = phase(store)
    if now == "swapped":
        return False
    if now == "none":
        raise SwapRefused(f"there is no staged copy in {store}/{STAGING}")
    staging, kept, partial = (os.path.join(store, name) for name in (STAGING, KEPT, KEPT_PARTIAL))
    if not os.path.isdir(kept):
        if not os.path.isdir(partial) and not os.listdir(staging):
            raise SwapRefused(f"the staged copy in {staging} is empty")
        os.makedirs(partial, mode=0o700, exist_ok=True)
        for name in _own(store):
            os.rename(os.path.join(store, name), os.path.join(partial, name))
        _sync(partial)
        os.rename(partial, kept)
        _sync(store)
    for name in sorted(os.listdir(staging)):
        os.rename(os.path.join(staging, name), os.path.join(store, name))
    os.rmdir(staging)
    _sync(store)
    return True


def put_back(store: str) -> bool:
    """Put the kept own store back; the swapped-in one becomes the staged copy again."""
    now = phase(store)
    if now in ("none", "staged"):
        return False
    staging, kept, partial = (os.path.join(store, name) for name in (STAGING, KEPT, KEPT_PARTIAL))
    if os.path.isdir(kept):
        os.makedirs(staging, mode=0o700, exist_ok=True)
        for name in _own(store):
            os.rename(os.path.join(store, name), os.path.join(staging, name))
        _sync(staging)
        # From here on the root holds nothing of the copy: an interrupted way back goes on below.
        os.rename(kept, partial)
    for name in sorted(os.listdir(partial)):
        os.rename(os.path.join(partial, name), os.path.join(store, name))
    os.rmdir(partial)
    _sync(store)
    return True


def discard_kept(store: str) -> bool:
    """Remove the kept own store once nobody will go back to it."""
    if phase(store) in ("none", "staged"):
        return False
    if phase(store) != "swapped":
        raise SwapRefused(f"the swap in {store} is not finished: finish it or put the own store back first")
    shutil.rmtree(os.path.join(store, KEPT))
    return True


def rehearse(deed: Callable[[str], bool], store: str, scratch: str) -> tuple[bool, str]:
    """What a deed would return, and the phase after it: it is done to stand-ins in the empty directory `scratch`.

    Raises what the deed would raise, SwapRefused or OSError, in the words of `store`.
    """
    try:
        for name in os.listdir(store):
            ours = name in (STAGING, KEPT, KEPT_PARTIAL)
            _stand_in(os.path.join(store, name), os.path.join(scratch, name), deep=ours)
        changed = deed(scratch)
    except SwapRefused as error:
        raise SwapRefused(str(error).replace(scratch, store)) from None
    except OSError as error:
        raise OSError(str(error).replace(scratch, store)) from None
    if changed and not os.access(store, os.W_OK):
        raise PermissionError(f"{store} may not be written")
    return changed, phase(scratch)


def _stand_in(original: str, copy: str, deep: bool = False) -> None:
    if os.path.islink(original) or not os.path.isdir(original):
        open(copy, "x", encoding="utf-8").close()
        return
    os.mkdir(copy)
    with os.scandir(original) as entries:
        for entry in entries:
            _stand_in(entry.path, os.path.join(copy, entry.name))
            # Of a directory that is moved whole it only counts whether it is empty, for a rename over it.
            if not deep:
                break


def _own(store: str) -> Iterator[str]:
    yield from sorted(name for name in os.listdir(store) if name not in STAYS)


def _sync(directory: str) -> None:
    # The renames must be on the disk before the next step may rely on them.
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
