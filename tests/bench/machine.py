# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine on which something was measured: without it a figure says little."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from . import figures, lab


def clock() -> list[int]:
    """Ticks since the machine began: user, nice, system, idle, iowait, irq, softirq, steal (proc(5))."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]]


def stolen(before: list[int], after: list[int]) -> float:
    """The part of the processors' time between two clocks that the machine's host gave to others; 0 to 1."""
    passed = [late - early for early, late in zip(before, after, strict=True)]
    return round(passed[7] / (sum(passed) or 1), 3)


def now(since: list[int]) -> dict[str, Any]:
    """What else the machine had to do when a stage ended that began at the clock `since`, and which code it was."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=lab.ROOT, capture_output=True, text=True, check=False
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / figures.GIB),
        "load": [round(load, 1) for load in os.getloadavg()],
        "stolen": stolen(since, clock()),
        "commit": commit.stdout.strip(),
    }


def noise(one: dict[str, Any]) -> str:
    """What the host took; of results of before that was measured nothing is said."""
    return f" ({one['stolen']:.0%} of its processors taken by its host)" if "stolen" in one else ""


def told(one: dict[str, Any]) -> str:
    load = " ".join(str(value) for value in one["load"])
    return f"{one['at']} UTC, {one['cores']} cores{noise(one)}, {one['memory_gib']} GiB, load {load}, {one['commit']}"
