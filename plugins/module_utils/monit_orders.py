# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which orders monit needs to stop or start a director, in which sequence, and which workers a run holds stopped.

Sources: bosh v283.1.6 (jobs/director/monit, templates/worker_ctl.erb) and monit 5.2.5 (control.c, validate.c).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping

# jobs/director/monit names them so; they run the director's tasks.
_WORKER = re.compile(r"^(dynamic_disks_)?worker_\d+$")
NOT_MONITORED = "not monitored"
#: In the agent's directory of monit: the workers that a run stopped while the director goes on. It survives a restart
#: of the VM, as monit's own state does, and goes with the VM.
HELD = "bosh_ha_held_workers"


def workers(names: Mapping[str, str]) -> list[str]:
    """The processes that run a director's tasks, among monit's processes (name to state)."""
    return [name for name in names if _WORKER.match(name)]


def stop_orders(processes: Mapping[str, str]) -> list[list[str]]:
    """What to stop, in stages; a stage begins when all of the one before are stopped. `all` is every process.

    Workers come first. Monit stops one process after the other. A worker that has lost its database does not end on
    SIGTERM, so that worker_ctl kills it after 10 s; with its database it ends within a second.
    """
    busy = [name for name in workers(processes) if processes[name] != NOT_MONITORED]
    return [busy, ["all"]] if busy else [["all"]]


def start_orders(processes: Mapping[str, str], names: list[str]) -> list[str]:
    """What to start of `names`, or of all processes if that is empty.

    Monit starts what it monitors by itself, so only what it does not monitor needs an order. An order for a process
    that is between two starts would start it, and have its port checked before it is open: BOSH's rule for
    health_monitor would stop it again.
    """
    wanted = {name: processes[name] for name in names or processes if name in processes}
    idle = [name for name, state in wanted.items() if state == NOT_MONITORED]
    return ["all"] if idle and not names and len(idle) == len(processes) else idle


def not_running(processes: Mapping[str, str], names: list[str]) -> list[str]:
    """`NAME (STATE)` of each process that does not run, of `names` or of all."""
    return [
        f"{name} ({state})" for name, state in processes.items() if state != "running" and (not names or name in names)
    ]


def last_monitored(looks: list[tuple[float, Mapping[str, str]]]) -> dict[str, float]:
    """When each process was last seen monitored, from (seconds, states) of each look; only of those that were."""
    seen: dict[str, float] = {}
    for seconds, processes in looks:
        seen |= {name: round(seconds, 1) for name, state in processes.items() if not state.startswith(NOT_MONITORED)}
    return seen


def held(monit_dir: str) -> list[str]:
    """The workers that a run stopped and has not started again. Empty without any.

    Raises ValueError if the file cannot be read.
    """
    path = os.path.join(monit_dir, HELD)
    try:
        with open(path, encoding="utf-8") as stream:
            names = json.load(stream)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: unreadable ({error}); start the workers with monit, then remove the file") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: not a list of names; start the workers with monit, then remove the file")
    return names


def note_held(monit_dir: str, names: list[str]) -> None:
    """Write down, before they are stopped, which workers a run holds. Raises OSError."""
    path = os.path.join(monit_dir, HELD)
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        json.dump(sorted(names), stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(f"{path}.new", path)


def forget_held(monit_dir: str) -> None:
    """Remove that note, once the workers run or the whole director is stopped. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(monit_dir, HELD))
