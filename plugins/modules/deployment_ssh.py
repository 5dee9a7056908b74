#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user for a while on the VMs of a deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_ssh
short_description: Let a key log in to all VMs of a deployment for a while
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Has the director make a user on every VM of a deployment, as C(bosh ssh) and C(bbr) do, and tells the host key that each VM's agent told it
    over its own, mutually verified, bus.
  - The user may do anything by C(sudo). V(absent) removes it, and belongs into C(always).
  - A user of this name that an earlier run left is removed first.
  - Windows VMs are left out with a warning, as BBR does it, and so are instances that were stopped and have no VM.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says that something would change, and makes no user; the deployment has no hosts then.
    support: full
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  user:
    description: Name of the user.
    type: str
    required: true
  public_key:
    description: The key that may log in. Needed where the state is V(present).
    type: str
  state:
    description: Whether the user is there.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description: Seconds for the director's task.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Let a key of this run log in
  bosh.ha.deployment_ssh:
    environment: primary
    deployment: cf
    user: bosh_ha_backup
    public_key: "{{ lookup('ansible.builtin.file', 'key.pub') }}"
  register: opened
"""

RETURN = r"""
hosts:
  description:
    - The VMs, by instance group and index. C(one_restore_all) has the jobs whose artifact is restored on all instances, and whether
      it is this instance's.
  returned: when the state is present
  type: list
  elements: dict
  sample:
    - group: database
      index: "0"
      id: 7c0bd1c1-71a5-4a2b-8a2d-4a2f3a3c7d60
      address: 10.0.1.20
      host_key: ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB
      releases: {postgres: postgres}
      one_restore_all: {postgres: true}
"""

import os
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml, ssh_users
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import RUNNING, api_task, instances
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module

#: Seconds between two questions.
PAUSE = 1.0


def change(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    name, user = module.params["deployment"], module.params["user"]
    if module.check_mode:
        return {"changed": True, "hosts": []}
    manifest = bosh_yaml.load(cli.curl(f"/deployments/{name}")["manifest"] or "{}") or {}
    known = instances(cli, name)
    ids = ssh_users.targets(known, manifest)
    request(module, cli, ssh_users.cleanup(user, ids))
    if module.params["state"] == "absent":
        return {"changed": True}
    for sentence in ssh_users.left_out(known, manifest):
        module.warn(f"{name}: {sentence}")
    result = request(module, cli, ssh_users.setup(user, module.params["public_key"], ids))
    try:
        return {"changed": True, "hosts": ssh_users.hosts(result, known, manifest)}
    except ValueError as error:
        request(module, cli, ssh_users.cleanup(user, ids))
        module.fail_json(msg=f"{name}: {error}")


def request(module: AnsibleModule, cli: BoshCli, body: str) -> str:
    """What the task of a request returned, once it is done."""
    path = f"/deployments/{module.params['deployment']}/ssh"
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "body.json")
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(body)
        # The director answers with the task, to which the CLI goes on.
        posted = cli.run("curl", "--method=POST", "--header=Content-Type: application/json", f"--body={file}", path)
    task = api_task(posted.data())
    until = time.monotonic() + module.params["wait"]
    while task["state"] in RUNNING:
        if time.monotonic() > until:
            module.fail_json(msg=f"{path}: task {task['id']} has not ended after {module.params['wait']} s")
        time.sleep(PAUSE)
        task = api_task(cli.curl(f"/tasks/{task['id']}"))
    if task["state"] != "done":
        module.fail_json(msg=f"{path}: task {task['id']} ended in {task['state']}: {task['result']}")
    return cli.run("curl", f"/tasks/{task['id']}/output?type=result").text()


def main() -> None:
    run_director_module(
        {
            "deployment": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "public_key": {"type": "str", "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait": {"type": "int", "default": 300},
        },
        change,
        supports_check_mode=True,
        required_if=[("state", "present", ["public_key"])],
    )


if __name__ == "__main__":
    main()
