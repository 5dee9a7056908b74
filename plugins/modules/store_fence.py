#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director's data out of reach on its own host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_fence
short_description: Take a director's data out of reach on its own host, and bring them back
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - A fenced host cannot start on its data, not by monit, not by a reboot, and not by somebody's C(create-env).
    Monit's job files are in C(job.bosh_ha_fenced), beside an empty C(job), and the entries of the store are in C(bosh_ha_fenced).
  - All is done by renames on one disk. It may be interrupted anywhere, as the directories themselves tell how far it came,
    and the next call goes on from there, in either direction.
  - It is rehearsed first, so where it must refuse nothing is moved. Nothing is ever replaced.
  - When it is opened, the store is whole before monit has a job again. Then monit takes its processes for new ones and B(starts them
    by itself), those too that were stopped before, as monit 5.2.5 and 5.33 both do. RV(monit_starts) says so.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared, bosh.ha.monit]
attributes:
  check_mode:
    description: Asks monit, and does the deed to stand-ins of the entries, so result, phase and refusal are those of the deed.
    support: full
options:
  store:
    description: The persistent disk's mount point. An entry whose name begins with C(bosh_ha_), and C(lost+found), stay where they are.
    type: path
    default: /var/vcap/store
  state:
    description:
      - Without it the module only tells the phase, and does not ask monit.
      - V(fenced) refuses while a process runs or holds the store.
      - V(open) refuses this, too, and where somebody else has made data or jobs meanwhile, unless O(set_aside) is set.
    type: str
    choices: [fenced, open]
  set_aside:
    description:
      - With O(state=open), move what somebody else made meanwhile into C(bosh_ha_set_aside_<n>) and C(job.bosh_ha_set_aside_<n>).
    type: bool
    default: false
  reload:
    description:
      - With O(state=fenced), whether monit is told at once that it has no jobs any more, which may take a cycle of 10 s.
      - Without it monit forgets them when it reads its files the next time, as after a restart of the host. It monitors none of them,
        and where somebody starts one it has no data.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for monit, each time that it reads its job files again.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Take Micro's data out of reach
  bosh.ha.store_fence:
    state: fenced
  become: true
  delegate_to: micro

- name: Bring them back
  bosh.ha.store_fence:
    state: open
  become: true
  delegate_to: micro
"""

RETURN = r"""
phase:
  description: V(open), V(fencing), which is half-way in either direction, or V(fenced), after the call; in check mode, after the call that it foretells.
  returned: always
  type: str
  sample: fenced
others:
  description: Paths of what somebody else made beside the fenced data. While it is half-way only job files can be told.
  returned: always
  type: list
  elements: str
  sample: []
set_aside:
  description: Directories in which somebody else's data and jobs were set aside, by this call or an earlier one.
  returned: always
  type: list
  elements: str
  sample: []
monit_starts:
  description: Monit was given its jobs back by this call, and starts them by itself.
  returned: always
  type: bool
  sample: false
"""

import functools
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import host_processes, monit_status, store_fence
from ansible_collections.bosh.ha.plugins.module_utils.host_evidence import holders_of
from ansible_collections.bosh.ha.plugins.module_utils.monit_status import NoAnswer, Service
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

#: Seconds between two looks, and until monit is told again: in its cycle of 10 s it can miss a reload.
PAUSE = 1.0
AGAIN = 30.0


class Host:
    """The host's directories and its monit, as the module's options have them."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.store, self.monit = module.params["store"], module.params["monit_dir"]

    def told(self, **more: Any) -> dict[str, Any]:
        """What every result has."""
        return {
            "phase": store_fence.phase(self.store, self.monit),
            "others": store_fence.others(self.store, self.monit),
            "set_aside": store_fence.set_aside_dirs(self.store, self.monit),
            "monit_starts": False,
        } | more

    def ask(self) -> list[Service]:
        """Monit's processes. Raises NoAnswer."""
        return monit_status.processes(monit_status.ask(self.module.run_command, self.module.params["path"]))

    def refuse_what_runs(self) -> None:
        """Raises FenceRefused while anything runs."""
        running = {service.name: service.state for service in self.ask() if service.state != "not monitored"}
        holders = holders_of(self.store)
        if running or holders:
            raise store_fence.FenceRefused(
                f"nothing is moved while this host works: processes {running}, still holding the store {holders}"
            )

    def reload(self, done: Callable[[list[Service]], bool]) -> None:
        """Have monit read its files until it knows what it shall. Raises NoAnswer where it does not in time."""
        until = time.monotonic() + self.module.params["timeout"]
        again = 0.0
        while True:
            if time.monotonic() >= again:
                again = time.monotonic() + AGAIN
                monit_status.tell(self.module.run_command, self.module.params["path"], "reload")
            try:
                seen = self.ask()
                if done(seen):
                    return
                said = f"it has the processes {', '.join(service.name for service in seen) or 'none'}"
            except NoAnswer as error:
                # While it reads its files it does not answer.
                said = str(error)
            if time.monotonic() > until:
                raise NoAnswer(f"after {self.module.params['timeout']} s `monit reload` is not done: {said}")
            time.sleep(PAUSE)

    def forget(self) -> None:
        """Monit has no process, as it has no job file any more."""
        if self.ask():
            self.reload(lambda seen: not seen)

    def lacks(self) -> bool:
        """Whether monit knows fewer processes than its job files have."""
        return len(self.ask()) < store_fence.jobs_processes(self.monit)

    def learn(self) -> None:
        """Monit has every process of its job files."""
        wanted = store_fence.jobs_processes(self.monit)
        self.reload(lambda seen: len(seen) >= wanted)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "default": "/var/vcap/store"},
            "state": {"type": "str", "choices": ["fenced", "open"]},
            "set_aside": {"type": "bool", "default": False},
            "reload": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 120},
            **host_processes.OPTIONS,
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    host = Host(module)
    for path in (host.store, host.monit):
        if not os.path.isdir(path):
            module.fail_json(msg=f"there is no directory {path} on this host")
    try:
        result = act(host) if module.params["state"] else {"changed": False} | host.told()
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"{host.store}: {error}", **host.told())
    module.exit_json(**result)


def _nothing() -> None:
    """Monit goes on knowing processes that it does not monitor, and whose data are out of its reach."""


def act(host: Host) -> dict[str, Any]:
    """Do what is wanted, or foretell it. Raises ValueError with a sentence, OSError."""
    params = host.module.params
    deed = (
        store_fence.fence
        if params["state"] == "fenced"
        else functools.partial(store_fence.unfence, set_aside=params["set_aside"])
    )
    # Not in the module's tmpdir, which Ansible makes for root, with a warning, on a host where it is absent.
    with tempfile.TemporaryDirectory() as scratch:
        changed, phase = store_fence.rehearse(deed, host.store, host.monit, scratch)
    if changed:
        host.refuse_what_runs()
    if not changed and params["state"] == "fenced":
        return {"changed": False} | host.told()
    # Monit was not told yet where a run was interrupted right before.
    starts = params["state"] == "open" and (changed or host.lacks())
    if host.module.check_mode:
        # Neither state leaves anything of somebody else's beside the data.
        return {"changed": changed or starts} | host.told(phase=phase, monit_starts=starts, others=[])
    deed(host.store, host.monit, forget=host.forget if params["reload"] else _nothing)
    if starts:
        host.learn()
    return {"changed": changed or starts} | host.told(monit_starts=starts)


if __name__ == "__main__":
    main()
