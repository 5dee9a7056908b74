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
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  id:
    description: Only this task.
    type: int
  deployment:
    description: Only tasks of this deployment.
    type: str
  recent:
    description: How many of the recent tasks to list; 0 lists those that are queued or running. Not used with O(id).
    type: int
    default: 0
  all:
    description:
      - Whether tasks of every kind are listed.
      - Without it BOSH leaves out those of C(vms), C(ssh) and C(logs), but also C(apply resolutions) and the health monitor's C(scan and fix).
    type: bool
    default: true
  user:
    description: Only tasks of this user, such as V(hm) for the health monitor.
    type: str
  description_is:
    description: Only tasks of this description, such as V(scan and fix).
    type: str
  events:
    description: Whether to read the events of each listed task. A task that still runs is not waited for.
    type: bool
    default: false
  newer_than:
    description: Only tasks whose ID is higher.
    type: int
    default: 0
  wait_recreated:
    description:
      - Seconds to go on asking until one of the tasks is C(done) and recreated a VM. Needs O(events).
      - A director that does not answer meanwhile is asked again. In the end the module fails if none did.
    type: int
    default: 0
  patience:
    description:
      - With O(wait_recreated), seconds after the last of the tasks began until it is given up, if all of them failed. A health monitor that
        still misses a VM asks again each minute. The tasks are returned then.
    type: int
    default: 0
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
events:
  description: Events of the newest listed task, a line for each.
  returned: with O(events)
  type: list
  elements: str
  sample: ["Updating instance: bosh/0 (canary) 60 % starting jobs"]
progress:
  description: Where the newest listed task is, by the last of its events; empty while there is none.
  returned: with O(events)
  type: dict
  sample: {stage: Updating instance, task: bosh/0 (canary), percent: 60, status: starting jobs, state: in_progress}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import api_task, listed_tasks
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for
from ansible_collections.bosh.ha.plugins.module_utils.proofs import given_up, recreated
from ansible_collections.bosh.ha.plugins.module_utils.task_events import progress_of
from ansible_collections.bosh.ha.plugins.module_utils.task_log import events_of, told_by

#: Seconds between two questions for tasks that are waited for.
PAUSE = 5.0


def ask(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    wanted = module.params
    if not wanted["wait_recreated"]:
        return look(cli, wanted)

    def settled(answer: dict[str, Any]) -> bool:
        return recreated(answer["tasks"]) or given_up(answer["tasks"], time.time(), wanted["patience"])

    answer = wait_for(lambda: look(cli, wanted), wanted["wait_recreated"], enough=settled, pause=PAUSE)
    if not settled(answer):
        seen = ", ".join(f"task {row['id']} is {row['state']}" for row in answer["tasks"]) or "no such task"
        module.fail_json(msg=f"no VM was recreated within {wanted['wait_recreated']} s: {seen}", **answer)
    return answer


def look(cli: BoshCli, wanted: dict[str, Any]) -> dict[str, Any]:
    listed = (
        [one_task(cli, wanted["id"])]
        if wanted["id"]
        else listed_tasks(cli, wanted["deployment"] or "", wanted["recent"], wanted["all"])
    )
    tests = {"user": wanted["user"], "description": wanted["description_is"]}
    found = [row for row in listed if all(value is None or row[key] == value for key, value in tests.items())]
    found = [row for row in found if row["id"] > wanted["newer_than"]]
    if not wanted["events"]:
        return {"changed": False, "tasks": found}
    logs = [events_of(cli, row) for row in found]
    return {
        "changed": False,
        "tasks": [row | told_by(events) for row, events in zip(found, logs, strict=True)],
        "events": [event.line() for event in logs[0]] if logs else [],
        "progress": progress_of(logs[0]) if logs else {},
    }


def one_task(cli: BoshCli, task_id: int) -> dict[str, Any]:
    """A single task, read through the API: `bosh task N` waits for its end."""
    return api_task(cli.curl(f"/tasks/{task_id}"))


def main() -> None:
    run_director_module(
        {
            "id": {"type": "int"},
            "deployment": {"type": "str"},
            "recent": {"type": "int", "default": 0},
            "all": {"type": "bool", "default": True},
            "user": {"type": "str"},
            "description_is": {"type": "str"},
            "events": {"type": "bool", "default": False},
            "newer_than": {"type": "int", "default": 0},
            "wait_recreated": {"type": "int", "default": 0},
            "patience": {"type": "int", "default": 0},
        },
        ask,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
