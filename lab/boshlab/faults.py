# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults that faults.json asks for. The CPI and the directors' workers read it at each call."""

from __future__ import annotations

import json
import os
from typing import Any

from boshlab import paths

#: The key of faults of the director's tasks; every other key is a method of the CPI.
TASK = "task"


def take(key: str, **wanted: str) -> dict[str, Any] | None:
    """The fault below `key` that is due now, counted as used, or None.

    `times` says how often it comes; -1, the default, is always. wanted: what it must be about where it says so,
    such as the director's name. Raises ValueError for a file that is not JSON.
    """
    try:
        faults = json.loads(paths.FAULTS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    fault = faults.get(key)
    if not fault or fault.get("times", -1) == 0:
        return None
    if any(name in fault and fault[name] != value for name, value in wanted.items()):
        return None
    if fault.get("times", -1) > 0:
        fault["times"] -= 1
        # Whole or not at all: another call may read it now.
        temporary = paths.FAULTS.with_suffix(f".{os.getpid()}.new")
        temporary.write_text(json.dumps(faults), encoding="utf-8")
        os.replace(temporary, paths.FAULTS)
    return fault
