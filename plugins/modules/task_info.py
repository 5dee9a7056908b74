#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of a director."""

from __future__ import annotations

DOCUMENTATION = r"""
module: task_info
short_description: Ask a BOSH director about its tasks
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Running or recent tasks, and the events of each where asked.
extends_documentation_fragment: [bosh.ha.director]
attributes:
  check_mode:
    description: Nothing is changed.
    support: full
  diff_mode:
    description: Nothing is compared line by line.
    support: none
options:
  id:
    description: Only this task.
    type: int
  deployment:
    description: Only tasks of this deployment.
    type: str
  recent:
    description: How many of the recent tasks to list; 0 lists those that are queued or running.
    type: int
    default: 0
  user:
    description: Only tasks of this user, such as V(hm) for the health monitor.
    type: str
  description_is:
    description: Only tasks of this description, such as V(scan and fix).
    type: str
  events:
    description: Whether to read the events of each listed task.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look for what the health monitor resurrected
  bosh.ha.task_info:
    environment: meta
    deployment: bosh-primary
    recent: 100
    user: hm
    description_is: scan and fix
    events: true
"""

RETURN = r"""
tasks:
  description: Tasks, newest first. With O(events) each has its C(events), C(recreated), C(seconds) of each stage and C(error).
  returned: always
  type: list
  elements: dict
  sample:
    - {id: 79, state: done, user: hm, deployment: bosh-primary, description: scan and fix, result: '', started_epoch: 1795223518}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import task
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.task_events import (
    error_of,
    parse_events,
    recreated_vms,
    stage_seconds,
)


def ask(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    wanted = module.params
    # A single task is looked for among the recent ones: `bosh task N` waits for it to end.
    listing = (
        ["tasks", "-a"]
        if not wanted["recent"] and not wanted["id"]
        else ["tasks", "-a", f"--recent={wanted['recent'] or 1000}"]
    )
    rows = [task(row) for row in cli.run(*listing, deployment=wanted["deployment"] or "").rows("tasks")]
    tests = {"id": wanted["id"], "user": wanted["user"], "description": wanted["description_is"]}
    found = [row for row in rows if all(value is None or row[key] == value for key, value in tests.items())]
    if wanted["events"]:
        found = [row | told(cli, row["id"], row["state"]) for row in found]
    return {"changed": False, "tasks": found}


def told(cli: BoshCli, task_id: int, state: str) -> dict[str, Any]:
    """Events of a task, read through the API: `bosh task N --event` follows a running task to its end."""
    if state in ("queued", "processing", "cancelling"):
        text = "".join(cli.run("curl", f"/tasks/{task_id}/output?type=event").blocks)
    else:
        # A failed task makes the CLI exit with 1 after it printed the events.
        text = "".join(cli.try_run("task", str(task_id), "--event")[1].blocks)
    events = parse_events(text)
    return {
        "events": [event.line() for event in events],
        "recreated": recreated_vms(events),
        "seconds": stage_seconds(events),
        "error": error_of(events),
    }


def main() -> None:
    run_director_module(
        {
            "id": {"type": "int"},
            "deployment": {"type": "str"},
            "recent": {"type": "int", "default": 0},
            "user": {"type": "str"},
            "description_is": {"type": "str"},
            "events": {"type": "bool", "default": False},
        },
        ask,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
