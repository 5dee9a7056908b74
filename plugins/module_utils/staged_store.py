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

import ctypes
import os
import shutil
import stat
from collections.abc import Callable

STAGING = "bosh_ha_staging"
KEPT = "bosh_ha_kept"
KEPT_PARTIAL = "bosh_ha_kept.partial"
#: Every name in a store that begins so is ours, never the director's.
OURS = "bosh_ha_"


class SwapRefused(ValueError):
    """The store is not in a state from which the wanted step can be done; the message says why."""


def stays(name: str) -> bool:
    """Whether an entry of a store is never moved: lost+found belongs to the file system, not to the director."""
    return name.startswith(OURS) or name == "lost+found"


def own_entries(store: str) -> list[str]:
    """Names of the director's entries in a store, in order."""
    return sorted(name for name in os.listdir(store) if not stays(name))


def move_entries(source: str, target: str, names: list[str]) -> None:
    """Rename entries of one directory into another, on the disk when it returns.

    Raises SwapRefused, and moves none, where the target has one of those names: a rename would replace a file.
    """
    taken = [name for name in names if os.path.lexists(os.path.join(target, name))]
    if taken:
        raise SwapRefused(f"{', '.join(taken)} is in {source} and in {target}, so neither is moved")
    for name in names:
        os.rename(os.path.join(source, name), os.path.join(target, name))
    sync(target)
    sync(source)


def rename_new(old: str, new: str) -> None:
    """Rename a directory to a name that is free, on the disk when it returns. Raises SwapRefused where it is not."""
    if os.path.lexists(new):
        raise SwapRefused(f"{new} is there already, so {old} is not given that name")
    os.rename(old, new)
    sync(os.path.dirname(new))


def sync(directory: str) -> None:
    """Wait until what was renamed in a directory is on the disk, as the next step relies on it."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_files(directory: str) -> None:
    """Wait until a directory's whole file system is on the disk: what is renamed before may be empty after a crash."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            raise OSError(ctypes.get_errno(), f"syncfs: {os.strerror(ctypes.get_errno())}", directory)
    finally:
        os.close(handle)


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
    for name in own_entries(store):
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
        sync_files(store)
        os.makedirs(partial, mode=0o700, exist_ok=True)
        move_entries(store, partial, own_entries(store))
        rename_new(partial, kept)
    move_entries(staging, store, sorted(os.listdir(staging)))
    os.rmdir(staging)
    sync(store)
    return True


def put_back(store: str) -> bool:
    """Put the kept own store back; the swapped-in one becomes the staged copy again."""
    now = phase(store)
    if now in ("none", "staged"):
        return False
    staging, kept, partial = (os.path.join(store, name) for name in (STAGING, KEPT, KEPT_PARTIAL))
    if os.path.isdir(kept):
        os.makedirs(staging, mode=0o700, exist_ok=True)
        move_entries(store, staging, own_entries(store))
        # From here on the root holds nothing of the copy: an interrupted way back goes on below.
        rename_new(kept, partial)
    move_entries(partial, store, sorted(os.listdir(partial)))
    os.rmdir(partial)
    sync(store)
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
        stand_in(store, scratch)
        changed = deed(scratch)
    except SwapRefused as error:
        raise SwapRefused(str(error).replace(scratch, store)) from None
    except OSError as error:
        raise OSError(str(error).replace(scratch, store)) from None
    if changed and not os.access(store, os.W_OK):
        raise PermissionError(f"{store} may not be written")
    return changed, phase(scratch)


def stand_in(directory: str, scratch: str, ours: str = OURS) -> None:
    """Fill the empty directory `scratch` with empty files and directories of the same names.

    Of a directory whose name begins with `ours` the entries are there too; of others it only counts whether they are
    empty, as they are moved whole.
    """
    for name in os.listdir(directory):
        _stand_in(os.path.join(directory, name), os.path.join(scratch, name), deep=name.startswith(ours))


def _stand_in(original: str, copy: str, deep: bool = False) -> None:
    if os.path.islink(original) or not os.path.isdir(original):
        open(copy, "x", encoding="utf-8").close()
        return
    os.mkdir(copy)
    with os.scandir(original) as entries:
        for entry in entries:
            _stand_in(entry.path, os.path.join(copy, entry.name))
            if not deep:
                break
