# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's playbook on the lab, and keeps ansible-runner's events in .cache/bench."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from . import lab, timeline

PLAYBOOK = lab.ROOT / "playbooks" / "binary_boshes.yml"
#: Seconds for one run; a whole migration takes a quarter of it.
PATIENCE = 3600


@dataclass
class Run:
    """A run that went well: its events, and its seconds from the first process to the last."""

    events: list[dict[str, Any]]
    seconds: float

    @property
    def tasks(self) -> list[timeline.Span]:
        return timeline.spans(self.events)


def _environment(more: dict[str, str]) -> dict[str, str]:
    # The aliases of whoever runs it are none of our business. ansible-runner itself would ask for nobody's host key.
    ours = {"BOSH_CONFIG": str(lab.CACHE / "bosh-config"), "ANSIBLE_HOST_KEY_CHECKING": "True"}
    return ours | {"ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1"} | more


def _run(label: str, environment: dict[str, str], **what: Any) -> Run:
    home = lab.CACHE / "runs" / label
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    began = time.monotonic()
    done = ansible_runner.run(
        private_data_dir=str(home),
        ident="run",
        inventory=str(lab.INVENTORY),
        envvars=_environment(environment),
        timeout=PATIENCE,
        quiet=True,
        **what,
    )
    seconds = time.monotonic() - began
    events = [event for event in done.events if "event_data" in event]
    if done.status != "successful":
        raise lab.BenchError(
            f"{label}: the run is {done.status}: {_why(events)} ({home}/artifacts/run/stdout has it all)"
        )
    return Run(events, seconds)


def _why(events: list[dict[str, Any]]) -> str:
    failures = [event for event in events if event["event"] in ("runner_on_failed", "runner_on_unreachable")]
    if not failures:
        return "no task failed"
    data = failures[-1]["event_data"]
    return f"{data.get('task')}: {(data.get('res') or {}).get('msg', 'nothing was said')}"


def migrate(
    label: str, tags: str, path: Path | None = None, environment: dict[str, str] | None = None, **inputs: Any
) -> Run:
    """The playbook, or some of its steps (`tags`, with commas between); `path` comes first on PATH."""
    more = dict(environment or {})
    if path:
        more["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
    words = {"cmdline": f"--tags {tags}"} if tags else {}
    return _run(label, more, playbook=str(PLAYBOOK), extravars=inputs, **words)


def play(label: str, name: str, environment: dict[str, str] | None = None, **inputs: Any) -> Run:
    """A playbook of the collection, by the name of its file."""
    return _run(label, environment or {}, playbook=str(PLAYBOOK.parent / name), extravars=inputs)


def fact(run: Run, name: str) -> Any:
    """The last value that a run gave a fact; raises BenchError where it gave none."""
    values = [
        event["event_data"]["res"]["ansible_facts"][name]
        for event in run.events
        if name in ((event["event_data"].get("res") or {}).get("ansible_facts") or {})
    ]
    if not values:
        raise lab.BenchError(f"no task has set {name}")
    return values[-1]


def role(label: str, name: str, tasks_from: str = "main") -> Run:
    """One role of the collection by itself."""
    task = {
        "name": f"Do what {name} does",
        "ansible.builtin.include_role": {"name": f"bosh.ha.{name}", "tasks_from": tasks_from},
    }
    return _run(label, {}, playbook=[{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])


def module(label: str, host: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a module returns, run as root on a host."""
    task = {"name": f"Run {name}", name: arguments, "become": True}
    done = _run(label, {}, playbook=[{"hosts": host, "gather_facts": False, "tasks": [task]}])
    return timeline.results(done.events, name)[-1]
