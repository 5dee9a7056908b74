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
    description: What all processes shall be. Without it the module only asks.
    type: str
    choices: [started, stopped]
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
"""

EXAMPLES = r"""
- name: Stop Micro's processes
  bosh.ha.monit:
    state: stopped
    ports: [25555, 4222, 25250, 5432]
  become: true

- name: Stop whoever works on a director's tasks
  bosh.ha.monit:
    state: stopped
    only: ['worker_*']
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
from ansible_collections.bosh.ha.plugins.module_utils import host_processes, monit_status, store_fence
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

#: Seconds between two looks: monit itself looks every 10, but a process that it stops is gone at once.
PAUSE = 0.5


def look(module: AnsibleModule) -> dict[str, Any]:
    try:
        seen = host_processes.look(module.run_command, module.params)
    except monit_status.NoAnswer as error:
        module.fail_json(msg=str(error))
    missing = sorted(set(module.params["processes"]) - set(seen["processes"]))
    if missing and not seen["fenced"]:
        module.fail_json(msg=f"monit does not know {', '.join(missing)}: it has {', '.join(sorted(seen['processes']))}")
    return seen


def meant(module: AnsibleModule, seen: dict[str, Any]) -> list[str]:
    """Which processes are to be started or stopped; fails where a name or pattern of O(only) fits none."""
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


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"]},
            "processes": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "int", "default": []},
            "store": {"type": "path", "default": "/var/vcap/store"},
            "timeout": {"type": "int", "default": 300},
            **host_processes.OPTIONS,
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    state = module.params["state"]
    seen = look(module)
    if state == "started" and seen["fenced"]:
        module.fail_json(
            msg=f"this host is fenced ({store_fence.fenced_jobs(module.params['monit_dir'])} is there), so nothing is started: "
            "open it first (bosh.ha.store_fence, state open)",
            **seen,
        )
    names = meant(module, seen)
    if not state or is_done(state, names, seen):
        module.exit_json(changed=False, **seen)
    if module.check_mode:
        module.exit_json(changed=True, **seen)
    verb = "start" if state == "started" else "stop"
    until = time.monotonic() + module.params["timeout"]
    for name in names or ["all"]:
        order(module, verb, name, until)
    while not is_done(state, names, seen):
        if time.monotonic() > until:
            module.fail_json(
                msg=f"after {module.params['timeout']} s `monit {verb} {' '.join(names) or 'all'}` is not done: "
                f"{host_processes.told(seen)}",
                changed=True,
                **seen,
            )
        time.sleep(PAUSE)
        seen = look(module)
    module.exit_json(changed=True, **seen)


def order(module: AnsibleModule, verb: str, name: str, until: float) -> None:
    """Tell monit; while it is busy with another order it refuses, so it is told again."""
    while True:
        try:
            rc, out, err = monit_status.tell(module.run_command, module.params["path"], verb, name)
        except monit_status.NoAnswer as error:
            module.fail_json(msg=str(error))
        if rc == 0:
            return
        if time.monotonic() > until:
            module.fail_json(msg=f"`monit {verb} {name}` failed: {(err or out).strip()}", rc=rc)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
