#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a director that has nothing to do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: idle_director
short_description: Wait until a BOSH director runs no task and holds no lock
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Asks for tasks and locks until there are none. Whoever stops or terminates a director before that cuts a task off.
  - A director that does not answer meanwhile is asked again. One that refuses the credentials, or has a certificate of another
    CA, is not, as no wait mends that.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  of:
    description: Only what the director does with this deployment counts.
    type: str
  wait:
    description: Seconds to wait. It is asked once at least.
    type: int
    default: 60
  refusal:
    description: What a failure begins with while the director is busy, so that it says what was not done.
    type: str
    default: the director is busy
"""

EXAMPLES = r"""
- name: Wait until Meta is idle
  bosh.ha.idle_director:
    environment: meta
    wait: 300
    refusal: meta is busy, so it is not stopped now
"""

RETURN = r"""
busy_with:
  description: What a busy director does, in words; of a failure.
  returned: always
  type: list
  elements: str
  sample: [task 36 (create deployment by admin), lock on bosh-primary (task 36)]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import busy_with
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for


def wait(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    of = module.params["of"] or ""
    busy = wait_for(lambda: busy_with(cli, of), module.params["wait"], enough=lambda found: not found)
    if busy:
        module.fail_json(msg=f"{module.params['refusal']}: {', '.join(busy)}", busy_with=busy)
    return {"changed": False, "busy_with": []}


def main() -> None:
    run_director_module(
        {
            "of": {"type": "str"},
            "wait": {"type": "int", "default": 60},
            "refusal": {"type": "str", "default": "the director is busy"},
        },
        wait,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
