# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking a director's data out of reach on its own host, by renames on one disk, safe to interrupt.

A fence is two halves, and the directories tell how far each is:

* monit's job files: those of ``job`` go into ``job.bosh_ha_fenced.partial``; when all are there it is renamed
  ``job.bosh_ha_fenced``. Neither monit nor a reboot starts anything then. ``job`` itself is not renamed: in a
  container it is the image's, and overlayfs refuses that;
* the store: its own entries go into ``bosh_ha_fenced.partial``; when all are there it is renamed ``bosh_ha_fenced``.

It is shut in this order and opened in the other, so monit has no job while the store is not whole. What somebody else
made meanwhile, as a create-env does, is told apart by its place: beside ``bosh_ha_fenced``, or in the new ``job``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable

from ansible_collections.bosh.ha.plugins.module_utils.staged_store import (
    OURS,
    SwapRefused,
    move_entries,
    own_entries,
    rename_new,
    stand_in,
    sync,
)

FENCED = f"{OURS}fenced"
FENCED_PARTIAL = f"{FENCED}.partial"
ASIDE = f"{OURS}set_aside"
JOBS = "job"
_PROCESS = re.compile(r"^\s*check\s+process\s", re.I | re.M)


class FenceRefused(SwapRefused):
    """The host is not in a state from which the wanted step can be done; the message says why."""


def nothing() -> None:
    """Stands for monit in a rehearsal."""


def fenced_jobs(monit: str) -> str:
    """Where monit's job files are while the host is fenced; `monit` is the agent's directory of monit."""
    return os.path.join(monit, f"{JOBS}.{FENCED}")


def _partial_jobs(monit: str) -> str:
    return f"{fenced_jobs(monit)}.partial"


def jobs_are_shut(monit: str) -> bool:
    """Whether monit's job files were taken away."""
    return os.path.isdir(fenced_jobs(monit))


def phase(store: str, monit: str) -> str:
    """open, fencing (half-way, in either direction) or fenced: read from the directories alone."""
    shut, partial = (os.path.isdir(os.path.join(store, name)) for name in (FENCED, FENCED_PARTIAL))
    if shut and not partial and jobs_are_shut(monit) and os.path.isdir(os.path.join(monit, JOBS)):
        return "fenced"
    half = partial or os.path.isdir(_partial_jobs(monit))
    return "fencing" if shut or half or jobs_are_shut(monit) else "open"


def others(store: str, monit: str) -> list[str]:
    """Paths of what somebody else made beside the fenced data. While a store is half-way its entries cannot be told."""
    found = []
    if os.path.isdir(os.path.join(store, FENCED)):
        found += [os.path.join(store, name) for name in own_entries(store)]
    jobs = os.path.join(monit, JOBS)
    if jobs_are_shut(monit) and os.path.isdir(jobs):
        found += [os.path.join(jobs, name) for name in sorted(os.listdir(jobs))]
    return found


def jobs_processes(monit: str) -> int:
    """How many processes the job files have that monit reads now."""
    jobs, count = os.path.join(monit, JOBS), 0
    for name in os.listdir(jobs) if os.path.isdir(jobs) else []:
        if name.endswith(".monitrc"):
            with open(os.path.join(jobs, name), encoding="utf-8", errors="replace") as stream:
                count += len(_PROCESS.findall(stream.read()))
    return count


def fence(store: str, monit: str, forget: Callable[[], None] = nothing) -> bool:
    """Shut monit's jobs, `forget` (monit reads again and has no process), shut the store; True when anything was moved.

    Raises FenceRefused where it cannot be done, and OSError. A rehearsal before tells, so that nothing is moved then.
    """
    if phase(store, monit) == "fenced":
        return False
    _refuse_both(store)
    shut, partial = (os.path.isdir(os.path.join(store, name)) for name in (FENCED, FENCED_PARTIAL))
    if not (shut or partial or own_entries(store)):
        raise FenceRefused(f"{store} has no data, so there is nothing to fence")
    foreign = others(store, monit)
    if foreign:
        raise FenceRefused(f"somebody else made {', '.join(foreign)} meanwhile, so it is not fenced any further")
    _shut_jobs(monit)
    forget()
    if not shut:
        partial_path = os.path.join(store, FENCED_PARTIAL)
        if not partial:
            os.mkdir(partial_path, 0o700)
        move_entries(store, partial_path, own_entries(store))
        rename_new(partial_path, os.path.join(store, FENCED))
    return True


def unfence(store: str, monit: str, set_aside: bool = False, forget: Callable[[], None] = nothing) -> bool:
    """Open the store, then give monit its job files back; True when anything was moved. Monit must read them again.

    What somebody else made meanwhile is refused, or set aside first. `forget` is called while there are no job files.
    Raises FenceRefused where it cannot be done, and OSError. A rehearsal before tells, so that nothing is moved then.
    """
    foreign = others(store, monit)
    if foreign and not set_aside:
        raise FenceRefused(
            f"somebody else made {', '.join(foreign)} while the host was fenced, so nothing is moved: "
            "remove them, or have them set aside (set_aside: true)"
        )
    _refuse_both(store)
    if phase(store, monit) == "open":
        return False
    if jobs_are_shut(monit):
        _set_jobs_aside(monit)
        forget()
    fenced, partial = (os.path.join(store, name) for name in (FENCED, FENCED_PARTIAL))
    if os.path.isdir(fenced):
        _set_store_aside(store)
        # From here on the root holds nothing of anybody else: an interrupted way back goes on below.
        rename_new(fenced, partial)
    if os.path.isdir(partial):
        move_entries(partial, store, sorted(os.listdir(partial)))
        os.rmdir(partial)
        sync(store)
    _open_jobs(monit)
    return True


def set_aside_dirs(store: str, monit: str) -> list[str]:
    """Directories in which somebody else's things were set aside, now or earlier."""
    names = [(store, f"{ASIDE}_"), (monit, f"{JOBS}.{ASIDE}_")]
    return [
        os.path.join(top, name)
        for top, begin in names
        if os.path.isdir(top)
        for name in sorted(os.listdir(top))
        if name.startswith(begin)
    ]


def rehearse(deed: Callable[[str, str], bool], store: str, monit: str, scratch: str) -> tuple[bool, str]:
    """What a deed would return, and the phase after it: it is done to stand-ins in the empty directory `scratch`.

    Raises what the deed would raise, FenceRefused or OSError, in the words of `store` and `monit`.
    """
    there = {os.path.join(scratch, "store"): store, os.path.join(scratch, "monit"): monit}
    shadows = [*there]

    def told(error: Exception) -> str:
        text = str(error)
        for shadow, real in there.items():
            text = text.replace(shadow, real)
        return text

    try:
        for (shadow, real), ours in zip(there.items(), (OURS, JOBS), strict=True):
            os.mkdir(shadow)
            stand_in(real, shadow, ours)
        changed = deed(*shadows)
    except SwapRefused as error:
        raise FenceRefused(told(error)) from None
    except OSError as error:
        raise OSError(told(error)) from None
    for path in there.values():
        if changed and not os.access(path, os.W_OK):
            raise PermissionError(f"{path} may not be written")
    return changed, phase(*shadows)


def _refuse_both(store: str) -> None:
    fenced, partial = (os.path.join(store, name) for name in (FENCED, FENCED_PARTIAL))
    if os.path.lexists(fenced) and os.path.lexists(partial):
        raise FenceRefused(f"no run leaves both {fenced} and {partial} behind: put the data into one of them")


def _shut_jobs(monit: str) -> None:
    jobs, fenced, partial = os.path.join(monit, JOBS), fenced_jobs(monit), _partial_jobs(monit)
    if os.path.isdir(fenced):
        if not os.path.isdir(jobs):
            # A way back was interrupted between its last two steps.
            _make_like(jobs, fenced)
        return
    if not os.path.isdir(jobs):
        raise FenceRefused(f"there is no directory {jobs} with monit's job files")
    _make_like(partial, jobs)
    move_entries(jobs, partial, sorted(os.listdir(jobs)))
    rename_new(partial, fenced)


def _open_jobs(monit: str) -> None:
    jobs, fenced, partial = os.path.join(monit, JOBS), fenced_jobs(monit), _partial_jobs(monit)
    if os.path.isdir(partial):
        move_entries(partial, jobs, sorted(os.listdir(partial)))
        os.rmdir(partial)
        sync(monit)
    if os.path.isdir(fenced):
        if os.path.isdir(jobs):
            os.rmdir(jobs)
        rename_new(fenced, jobs)


def _make_like(directory: str, other: str) -> None:
    """A directory with the owner and mode of another one; an interrupted run may have left it with its own."""
    like = os.stat(other)
    if not os.path.isdir(directory):
        os.mkdir(directory, 0o700)
    os.chown(directory, like.st_uid, like.st_gid)
    os.chmod(directory, stat.S_IMODE(like.st_mode))
    sync(os.path.dirname(directory))


def _set_jobs_aside(monit: str) -> None:
    jobs = os.path.join(monit, JOBS)
    if os.path.isdir(jobs) and os.listdir(jobs):
        rename_new(jobs, _next(monit, f"{JOBS}.{ASIDE}_"))


def _set_store_aside(store: str) -> None:
    partial = os.path.join(store, f"{ASIDE}.partial")
    names = own_entries(store)
    if os.path.isdir(partial) and any(os.path.lexists(os.path.join(partial, name)) for name in names):
        # It was interrupted, and somebody made the same names once more.
        rename_new(partial, _next(store, f"{ASIDE}_"))
    if names and not os.path.isdir(partial):
        os.mkdir(partial, 0o700)
    if os.path.isdir(partial):
        move_entries(store, partial, names)
        rename_new(partial, _next(store, f"{ASIDE}_"))


def _next(top: str, begin: str) -> str:
    taken = [name.removeprefix(begin) for name in os.listdir(top) if name.startswith(begin)]
    return os.path.join(top, f"{begin}{max((int(number) for number in taken if number.isdecimal()), default=0) + 1}")
