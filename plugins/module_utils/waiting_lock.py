# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's lock on an open file, waited for."""

from __future__ import annotations

import fcntl
import time


def lock_within(handle: int, patience: float, pause: float = 0.02) -> bool:
    """Lock a descriptor; False where another held it for `patience` seconds. Tried every `pause` s, once at least."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        time.sleep(pause)
