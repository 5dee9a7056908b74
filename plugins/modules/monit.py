#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Monit's processes on a BOSH VM."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monit
short_description: Start or stop all of monit's processes on a BOSH VM, and prove it
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(monit start all) or C(monit stop all) and waits until every process is C(running) or C(not monitored).
  - Where C(monit summary) has a form that is not known, the XML of monit's own HTTP port is read.
  - C(monit stop all) returns at once, and a copy of a running PostgreSQL goes through without complaint.
    So a stop is proved by closed ports and by processes, not by monit's word alone.
  - Where M(bosh.ha.store_fence) has taken monit's job files away, monit has no processes. Then ports and holders of the store
    alone tell that all is stopped, and nothing is started.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
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
  ports:
    description: TCP ports that must be open after a start and closed after a stop.
    type: list
    elements: int
    default: []
  store:
    description: After a stop no process may hold a file below this directory open.
    type: path
    default: /var/vcap/store
  monit_dir:
    description: The agent's directory of monit. The host is fenced if C(job.bosh_ha_fenced) is in it.
    type: path
    default: /var/vcap/monit
  timeout:
    description: Seconds to wait.
    type: int
    default: 300
  path:
    description: The monit command.
    type: path
    default: /var/vcap/bosh/bin/monit
    aliases: [executable]
"""

EXAMPLES = r"""
- name: Stop Micro's processes
  bosh.ha.monit:
    state: stopped
    ports: [25555, 4222, 25250, 5432]
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
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import monit_status, store_fence
from ansible_collections.bosh.ha.plugins.module_utils.host_evidence import holders_of, listening

#: Seconds between two looks: monit itself looks every 10.
PAUSE = 1.0


def look(module: AnsibleModule) -> dict[str, Any]:
    fenced = store_fence.jobs_are_shut(module.params["monit_dir"])
    services = ask_monit(module, fenced)
    processes = {service.name: service.state for service in monit_status.processes(services)}
    missing = sorted(set(module.params["processes"]) - set(processes))
    if missing and not fenced:
        module.fail_json(msg=f"monit does not know {', '.join(missing)}: it has {', '.join(sorted(processes))}")
    wanted = set(module.params["ports"])
    open_ports = sorted(wanted & listening())
    holders = holders_of(module.params["store"])
    quiet = monit_status.all_stopped(services) or (fenced and not processes)
    return {
        "services": [asdict(service) for service in services],
        "processes": processes,
        "all_stopped": quiet and not open_ports and not holders,
        "all_running": monit_status.all_running(services) and set(open_ports) == wanted and not fenced,
        "open_ports": open_ports,
        "holders": holders,
        "fenced": fenced,
    }


def ask_monit(module: AnsibleModule, fenced: bool) -> list[monit_status.Service]:
    """Monit's services, at least one process among them unless its jobs are fenced."""
    try:
        services = monit_status.ask(module.run_command, module.params["path"])
    except monit_status.NoAnswer as error:
        module.fail_json(msg=str(error))
    if not monit_status.processes(services) and not fenced:
        names = ", ".join(service.name for service in services)
        module.fail_json(msg=f"monit names no process, so nothing can be said of them: it has {names}")
    return services


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"]},
            "processes": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "int", "default": []},
            "store": {"type": "path", "default": "/var/vcap/store"},
            "monit_dir": {"type": "path", "default": "/var/vcap/monit"},
            "timeout": {"type": "int", "default": 300},
            "path": {"type": "path", "default": "/var/vcap/bosh/bin/monit", "aliases": ["executable"]},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    seen = look(module)
    if state == "started" and seen["fenced"]:
        module.fail_json(
            msg=f"this host is fenced ({store_fence.fenced_jobs(module.params['monit_dir'])} is there), so nothing is started: "
            "open it first (bosh.ha.store_fence, state open)",
            **seen,
        )
    done = {"started": "all_running", "stopped": "all_stopped"}.get(state, "")
    if not done or seen[done]:
        module.exit_json(changed=False, **seen)
    if module.check_mode:
        module.exit_json(changed=True, **seen)
    verb = "start" if state == "started" else "stop"
    until = time.monotonic() + module.params["timeout"]
    order(module, verb, until)
    while not seen[done]:
        if time.monotonic() > until:
            module.fail_json(
                msg=f"after {module.params['timeout']} s `monit {verb} all` is not done: {seen['processes']}, "
                f"open ports {seen['open_ports']}, still holding the store {seen['holders']}",
                changed=True,
                **seen,
            )
        time.sleep(PAUSE)
        seen = look(module)
    module.exit_json(changed=True, **seen)


def order(module: AnsibleModule, verb: str, until: float) -> None:
    """Tell monit; while it is busy with another order it refuses, so it is told again."""
    while True:
        try:
            rc, out, err = monit_status.tell(module.run_command, module.params["path"], verb, "all")
        except monit_status.NoAnswer as error:
            module.fail_json(msg=str(error))
        if rc == 0:
            return
        if time.monotonic() > until:
            module.fail_json(msg=f"`monit {verb} all` failed: {(err or out).strip()}", rc=rc)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
