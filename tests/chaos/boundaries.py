# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which boundary between two tasks is the next one at which a run is killed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

Boundary = tuple[str, int]


@dataclass
class Boundaries:
    """Those that were seen in any run so far.

    A task is known by its place in the source, and how often it came in a run.

    every: of those that are new, a run is killed at each so manieth. at: only at tasks with this name, if given.
    skip: plays of these names are none of the business, such as step 0, which each run begins with.
    """

    every: int = 1
    at: str = ""
    skip: str = "^Step 0"
    seen: set[Boundary] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    _in_run: Counter[str] = field(default_factory=Counter)
    _new: int = 0

    def begin(self) -> None:
        """A run begins."""
        self._in_run.clear()
        self._new = 0

    def due(self, play: str, task: str, path: str) -> bool:
        """A task starts: whether the run is killed now."""
        if re.search(self.skip, play):
            return False
        self._in_run[path] += 1
        boundary = path, self._in_run[path]
        if boundary in self.seen:
            return False
        self.seen.add(boundary)
        if self.at and task != self.at:
            return False
        self._new += 1
        if self._new < self.every:
            return False
        self.killed.append(task)
        return True
