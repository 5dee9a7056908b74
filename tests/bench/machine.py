# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine on which something was measured: without it a figure says little."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from . import figures, lab


def now() -> dict[str, Any]:
    """What else the machine had to do when a stage ended, and which code it was."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=lab.ROOT, capture_output=True, text=True, check=False
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / figures.GIB),
        "load": [round(load, 1) for load in os.getloadavg()],
        "commit": commit.stdout.strip(),
    }


def told(one: dict[str, Any]) -> str:
    load = " ".join(str(value) for value in one["load"])
    return f"{one['at']} UTC, {one['cores']} cores, {one['memory_gib']} GiB, load {load}, {one['commit']}"
