#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Monit's processes on a BOSH VM."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monit
short_description: Start or stop monit's processes on a BOSH VM, and prove it
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(monit start all) or C(monit stop all) and waits until every process is C(running) or C(not monitored).
  - Before it stops all, it stops the workers (C(worker_N), C(dynamic_disks_worker_N)) by name and waits for them. A worker
    that has lost its database ends only when it is killed, after 10 s, and monit stops one process after the other.
  - A process that monit restarts during its start is no failure, as long as all run within O(timeout).
  - Where C(monit summary) has a form that is not known, the XML of monit's own HTTP port is read.
  - C(monit stop all) returns at once, and a copy of a running PostgreSQL goes through without complaint.
    So a stop is proved by closed ports and by processes, not by monit's word alone.
  - Where M(bosh.ha.store_fence) has taken monit's job files away, monit has no processes. Then ports and holders of the store
    alone tell that all is stopped, and nothing is started.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared, bosh.ha.monit]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  state:
    description:
      - What the processes shall be. Without it the module only asks.
      - V(held) stops the workers only, and notes on the host that a run did so. V(started), or V(stopped) of all, removes the note.
      - V(released) starts the workers that such a note names, which an interrupted run left stopped beside a director that runs.
        Without a note, on a fenced host, and beside a director that is stopped it changes nothing. Without a note only RV(held) is
        returned.
    type: str
    choices: [started, stopped, held, released]
  processes:
    description: Names of processes that monit must know. Any that are missing are a failure, unless the host is fenced.
    type: list
    elements: str
    default: []
  only:
    description:
      - Names, or patterns of names as V(worker_*), of the processes that are meant, instead of all of them.
      - That these are stopped is told by monit alone. Ports and holders of the store are those of others, too.
    type: list
    elements: str
    default: []
  ports:
    description: TCP ports that must be open after a start and closed after a stop.
    type: list
    elements: int
    default: []
  store:
    description: After a stop no process may hold a file below this directory open.
    type: path
    default: /var/vcap/store
  timeout:
    description: Seconds to wait.
    type: int
    default: 300
  wait:
    description: With V(false), O(state=started) gives monit the order and does not wait until the processes run.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Stop Micro's processes
  bosh.ha.monit:
    state: stopped
    ports: [25555, 4222, 25250, 5432]
  become: true

- name: Stop a director's workers for a while
  bosh.ha.monit:
    state: held
  become: true

- name: Start the workers that an interrupted run left stopped
  bosh.ha.monit:
    state: released
  become: true
"""

RETURN = r"""
services:
  description: Every service of monit, the system and file systems too.
  returned: always
  type: list
  elements: dict
  sample: [{kind: Process, name: postgres, state: not monitored}]
processes:
  description: State of each process, by name.
  returned: always
  type: dict
  sample: {postgres: not monitored, director: not monitored}
all_stopped:
  description:
    - Every process is C(not monitored), every port is closed and nothing holds the store open.
    - On a host that is fenced there may be no process at all.
  returned: always
  type: bool
  sample: true
all_running:
  description: Every process is C(running) and every port is open. Never on a host that is fenced.
  returned: always
  type: bool
  sample: false
open_ports:
  description: Which of O(ports) are open.
  returned: always
  type: list
  elements: int
  sample: []
fenced:
  description: M(bosh.ha.store_fence) has taken monit's job files away, and has not brought them back.
  returned: always
  type: bool
  sample: false
held:
  description: Workers that a run stopped with O(state=held) or O(state=stopped), and that were not started since.
  returned: always
  type: list
  elements: str
  sample: []
last_monitored:
  description:
    - After an order, how many seconds after it each process was last seen monitored. A process that is stopped ran until then at
      least.
  returned: always
  type: dict
  sample: {postgres: 0.0, director: 3.2}
holders:
  description: Processes that hold files below O(store) open.
  returned: always
  type: list
  elements: str
  sample: []
"""

import time
from fnmatch import fnmatch
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import host_processes, monit_orders, monit_status, store_fence
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

#: Seconds between two looks: monit itself looks every 10, but a process that it stops is gone at once.
PAUSE = 0.5


class Monit:
    """Monit on this host, the module's time limit, and what was seen since the first order."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.directory: str = module.params["monit_dir"]
        self.ordered_at: float | None = None
        self.looks: list[tuple[float, dict[str, str]]] = []
        self.seen = self.look()
        self.until = time.monotonic() + module.params["timeout"]

    def look(self) -> dict[str, Any]:
        """Ask monit, ports and open files; the last answer is in `seen`."""
        asked = time.monotonic()
        try:
            self.seen = host_processes.look(self.module.run_command, self.module.params)
        except monit_status.NoAnswer as error:
            self.module.fail_json(msg=str(error))
        missing = sorted(set(self.module.params["processes"]) - set(self.seen["processes"]))
        if missing and not self.seen["fenced"]:
            known = ", ".join(sorted(self.seen["processes"]))
            self.module.fail_json(msg=f"monit does not know {', '.join(missing)}: it has {known}")
        if self.ordered_at is not None:
            self.looks.append((asked - self.ordered_at, self.seen["processes"]))
        return self.seen

    def order(self, verb: str, names: list[str]) -> None:
        """Tell monit; while it is busy with another order for a process it refuses, and is told again."""
        if self.ordered_at is None:
            self.ordered_at = time.monotonic()
            self.looks.append((0.0, self.seen["processes"]))
        for name in names:
            while True:
                try:
                    rc, out, err = monit_status.tell(self.module.run_command, self.module.params["path"], verb, name)
                except monit_status.NoAnswer as error:
                    self.fail(str(error))
                if rc == 0:
                    break
                if time.monotonic() > self.until:
                    self.fail(f"`monit {verb} {name}` failed: {(err or out).strip()}", rc=rc)
                time.sleep(PAUSE)

    def wait(self, state: str, names: list[str]) -> bool:
        """Whether the processes (all without names) come to a state in time."""
        while not is_done(state, names, self.seen):
            if time.monotonic() > self.until:
                return False
            time.sleep(PAUSE)
            self.look()
        return True

    def stop(self, stages: list[list[str]]) -> None:
        """Stop one stage after the other. If workers do not stop, those that did are started again."""
        for names in stages:
            if names == ["all"]:
                self.order("stop", names)
                if not self.wait("stopped", []):
                    self.give_up("stop", [])
                continue
            monit_orders.note_held(self.directory, names)
            self.order("stop", names)
            if not self.wait("stopped", names):
                self.order("start", [name for name in names if self.seen["processes"].get(name) == "not monitored"])
                self.give_up("stop", names)

    def start(self, names: list[str]) -> None:
        """Start what monit does not start by itself."""
        self.order("start", monit_orders.start_orders(self.seen["processes"], names))
        if self.module.params["wait"]:
            if not self.wait("started", names):
                self.give_up("start", names)
            monit_orders.forget_held(self.directory)

    def give_up(self, verb: str, names: list[str]) -> None:
        limit = self.module.params["timeout"]
        if verb == "start":
            ill = ", ".join(monit_orders.not_running(self.seen["processes"], names)) or "no process of monit's"
            closed = sorted(set(self.module.params["ports"]) - set(self.seen["open_ports"])) if not names else []
            ports = f"; closed ports: {', '.join(map(str, closed))}" if closed else ""
            self.fail(f"after {limit} s not running: {ill}{ports}; see `monit summary` and /var/vcap/sys/log there")
        self.fail(
            f"after {limit} s `monit stop {' '.join(names) or 'all'}` is not done: {host_processes.told(self.seen)}"
        )

    def fail(self, msg: str, **more: Any) -> None:
        self.module.fail_json(msg=msg, changed=self.ordered_at is not None, **more, **self.result())

    def done(self, changed: bool) -> None:
        self.module.exit_json(changed=changed, **self.result())

    def result(self) -> dict[str, Any]:
        return self.seen | {"last_monitored": monit_orders.last_monitored(self.looks)}


def held(module: AnsibleModule) -> list[str]:
    try:
        return monit_orders.held(module.params["monit_dir"])
    except ValueError as error:
        module.fail_json(msg=str(error))


def meant(module: AnsibleModule, seen: dict[str, Any]) -> list[str]:
    """Which processes are to be started or stopped; fails if a name or pattern of O(only) fits none."""
    for pattern in module.params["only"]:
        if not any(fnmatch(name, pattern) for name in seen["processes"]):
            module.fail_json(
                msg=f"monit does not know {pattern}: it has {', '.join(sorted(seen['processes']))}", **seen
            )
    return [name for name in seen["processes"] if any(fnmatch(name, one) for one in module.params["only"])]


def is_done(state: str, names: list[str], seen: dict[str, Any]) -> bool:
    if names:
        wanted = "running" if state == "started" else "not monitored"
        return all(seen["processes"].get(name) == wanted for name in names)
    return bool(seen["all_running" if state == "started" else "all_stopped"])


def start(monit: Monit, names: list[str]) -> None:
    if monit.seen["fenced"]:
        monit.fail(
            f"this host is fenced ({store_fence.fenced_jobs(monit.directory)} is there), so nothing is started: "
            "open it first (bosh.ha.store_fence, state open)"
        )
    changed = not is_done("started", names, monit.seen)
    # A start that waits for nothing has nothing to do once monit monitors all.
    if changed and not monit.module.params["wait"]:
        changed = bool(monit_orders.start_orders(monit.seen["processes"], names))
    if not monit.module.check_mode:
        monit.start(names)
    monit.done(changed)


def stop(monit: Monit, names: list[str]) -> None:
    changed = not is_done("stopped", names, monit.seen)
    if changed and not monit.module.check_mode:
        if names:
            monit.order("stop", names)
            if not monit.wait("stopped", names):
                monit.give_up("stop", names)
        else:
            monit.stop(monit_orders.stop_orders(monit.seen["processes"]))
    if not names and not monit.module.check_mode:
        monit_orders.forget_held(monit.directory)
    monit.done(changed)


def hold(monit: Monit, names: list[str]) -> None:
    names = names or monit_orders.workers(monit.seen["processes"])
    if not names:
        monit.fail(f"monit knows no worker: it has {', '.join(sorted(monit.seen['processes']))}")
    changed = not is_done("stopped", names, monit.seen)
    if not monit.module.check_mode:
        monit.stop([names])
    monit.done(changed)


def release(monit: Monit) -> None:
    """Start what a run left stopped, unless the whole director is stopped."""
    processes = monit.seen["processes"]
    left = [name for name in monit.seen["held"] if name in processes]
    if monit.seen["fenced"] or processes.get("director", "not monitored").startswith("not monitored"):
        monit.done(False)
    changed = bool(monit.seen["held"])
    if changed and not monit.module.check_mode:
        if left:
            monit.start(left)
        monit_orders.forget_held(monit.directory)
        monit.seen["held"] = []
    monit.done(changed)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped", "held", "released"]},
            "processes": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "int", "default": []},
            "store": {"type": "path", "default": "/var/vcap/store"},
            "timeout": {"type": "int", "default": 300},
            "wait": {"type": "bool", "default": True},
            **host_processes.OPTIONS,
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    # Most hosts have no such note, and one that is being made has no monit yet.
    if module.params["state"] == "released" and not held(module):
        module.exit_json(changed=False, held=[])
    monit = Monit(module)
    names = meant(module, monit.seen)
    state = module.params["state"]
    if state == "started":
        start(monit, names)
    elif state == "stopped":
        stop(monit, names)
    elif state == "held":
        hold(monit, names)
    elif state == "released":
        release(monit)
    monit.done(False)


if __name__ == "__main__":
    main()
