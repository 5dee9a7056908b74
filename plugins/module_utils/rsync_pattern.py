# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which paths rsync's exclude patterns mean (rsync.1, PATTERN MATCHING RULES), for who walks a tree without rsync."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

#: Path below the root, without a slash at either end, and whether it is a directory.
Excluded = Callable[[str, bool], bool]


def excluded_by(patterns: Iterable[str]) -> Excluded:
    """Whether one of the patterns means a path. What is below an excluded directory must not be asked for.

    Raises ValueError for what is no plain pattern, but a rule of rsync's filters.
    """
    of_all: list[str] = []
    of_directories: list[str] = []
    for pattern in patterns:
        if not pattern.strip("/") or pattern[:2] in ("+ ", "- ") or pattern == "!" or "***" in pattern:
            raise ValueError(f"excludes: {pattern!r} is no plain pattern of rsync")
        (of_directories if pattern.endswith("/") else of_all).append(_expression(pattern.rstrip("/")))
    every, directories = (re.compile("|".join(some) or r"(?!)", re.S) for some in (of_all, of_directories))
    return lambda path, is_directory: bool(every.fullmatch(path) or (is_directory and directories.fullmatch(path)))


def _expression(pattern: str) -> str:
    # One without a slash at its start is matched at the end of the path, by whole names.
    start = "" if pattern.startswith("/") else "(?:.*/)?"
    return start + "".join(_parts(pattern.lstrip("/")))


def _parts(pattern: str) -> Iterable[str]:
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        bracket = re.compile(r"\[([!^]?)(\]?[^\]]*)\]").match(pattern, at)
        if pattern.startswith("**", at):
            yield ".*"
            at += 1
        elif sign == "*":
            yield "[^/]*"
        elif sign == "?":
            yield "[^/]"
        elif bracket:
            inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", bracket[2])
            yield f"(?!/)[{'^' if bracket[1] else ''}{inner}]"
            at = bracket.end() - 1
        else:
            yield re.escape(sign)
        at += 1
