# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of monit's job files with their start programs and pid files, and which of them run.

`monit start X` of 5.2.5 starts every process that `depends on X`, too; a start program starts its process alone.
Sources: monit 5.2.5 src/{control,spawn,p.y}.c; bosh v283.1.6 jobs/director/monit; bosh-agent v2.874
jobsupervisor/monit_job_supervisor.go (AddJob). It runs on VMs, so it needs nothing but the standard library.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

#: What monit gives a program (spawn.c).
ENVIRONMENT = {"PATH": "/bin:/usr/bin:/sbin:/usr/sbin"}
#: Seconds between two looks at pid files.
PAUSE = 0.2

_COMMENT = re.compile(r"^\s*#.*$", re.M)
_CHECK = re.compile(r"^\s*check\s+", re.M | re.I)
_NAME = re.compile(r"process\s+(\"[^\"]*\"|'[^']*'|\S+)", re.I)
_PIDFILE = re.compile(r"\bpidfile\s+(\"[^\"]*\"|'[^']*'|\S+)", re.I)
_START = re.compile(r"\bstart\s+(?:program\s*)?=?\s*(?:\"([^\"]*)\"|'([^']*)')", re.I)


class Refused(ValueError):
    """A process that cannot be started by its program; the message says why."""


@dataclass(frozen=True)
class Program:
    """A process of monit's. start: its command line, empty if the file has none."""

    name: str
    pidfile: str
    start: tuple[str, ...]


def parse(text: str) -> list[Program]:
    """The processes of one of monit's files, in its order; what else it checks is left out."""
    found = []
    for section in _CHECK.split(_COMMENT.sub("", text))[1:]:
        name, pidfile, start = _NAME.match(section), _PIDFILE.search(section), _START.search(section)
        if name and pidfile:
            command = (start.group(1) or start.group(2) or "") if start else ""
            found.append(Program(_bare(name.group(1)), _bare(pidfile.group(1)), tuple(shlex.split(command))))
    return found


def _bare(word: str) -> str:
    return word[1:-1] if word[:1] in ("'", '"') else word


def programs(monit_dir: str) -> dict[str, Program]:
    """The processes of all job files of an agent's monit, by name. Raises Refused if there is none, OSError."""
    found: dict[str, Program] = {}
    pattern = os.path.join(monit_dir, "job", "*.monitrc")
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8", errors="replace") as stream:
            found.update({one.name: one for one in parse(stream.read())})
    if not found:
        raise Refused(f"{pattern} names no process, so nothing is known of what runs")
    return found


def is_alive(pidfile: str, proc: str = "/proc") -> bool:
    """Whether the process of a pid file lives; a zombie does not."""
    try:
        with open(pidfile, encoding="ascii", errors="replace") as stream:
            pid = int(stream.read().split()[0])
        with open(os.path.join(proc, str(pid), "stat"), encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, ValueError, IndexError):
        return False


def running(known: dict[str, Program]) -> list[str]:
    """Names of the processes that live, whatever monit thinks of them."""
    return sorted(name for name, program in known.items() if is_alive(program.pidfile))


def start(known: dict[str, Program], names: Sequence[str], timeout: float, said: IO[bytes]) -> list[str]:
    """Start processes, and return the names of those that did not live before, once all of them live.

    said: what the programs print goes there; a program that stays in the foreground may hold it.
    Raises Refused for a name without a start program, for a program that fails, and after `timeout` seconds, OSError.
    """
    for name in names:
        if name not in known:
            raise Refused(f"monit's job files do not name {name}: they have {', '.join(sorted(known))}")
        if not known[name].start:
            raise Refused(f"monit's job file has no start program of {name}")
    begun = {name: _spawn(known[name].start, said) for name in names if not is_alive(known[name].pidfile)}
    until = time.monotonic() + timeout
    while waited := [name for name in begun if not is_alive(known[name].pidfile)]:
        for name in waited:
            if begun[name].poll():
                raise Refused(f"the start program of {name} failed with exit code {begun[name].returncode}")
        if time.monotonic() > until:
            raise Refused(f"{', '.join(waited)} did not run after {timeout:g} s")
        time.sleep(PAUSE)
    return list(begun)


def _spawn(command: Sequence[str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=ENVIRONMENT,
        cwd="/",
        umask=0o022,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
