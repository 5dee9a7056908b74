# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One at a time on a state file: a create-env whose playbook was interrupted goes on by itself."""

from __future__ import annotations

import fcntl
import os


class StateInUse(ValueError):
    """Another process works on the state file; the message names the file."""


def lock_state(path: str) -> int:
    """Lock a state file until this process ends, and each that inherits the descriptor, which is returned.

    The lock is on a file of the owner's only beside the state file. It stays: who removed it would let two in.
    Raises StateInUse, and OSError where the lock file cannot be written.
    """
    # Whatever link leads there, it is one file.
    path = os.path.realpath(os.path.expanduser(path))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        who = f" (process {holder})" if holder.isdigit() else ""
        raise StateInUse(f"another create-env works on {path}: wait for it{who}") from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle
