#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director's VM shows of itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_traits
short_description: Ask a BOSH director's VM whether it is fit for a takeover
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Clock, persistent disk, PostgreSQL, monit, rsync and agent of one host, in one question.
  - What the host does not have is told as missing, and is no failure.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  store:
    description: The persistent disk's mount point.
    type: path
    default: /var/vcap/store
  monit:
    description: The monit command.
    type: path
    default: /var/vcap/bosh/bin/monit
  monit_dir:
    description: Directory of monit's files.
    type: path
    default: /var/vcap/monit
  rrsync:
    description: Where rrsync is.
    type: path
    default: /usr/bin/rrsync
  agent:
    description: The agent's command.
    type: path
    default: /var/vcap/bosh/bin/bosh-agent
  jobs_dir:
    description: Directory with the VM's jobs.
    type: path
    default: /var/vcap/jobs
"""

EXAMPLES = r"""
- name: Look at Micro's VM
  bosh.ha.host_traits:
  register: micro
  become: true
  delegate_to: micro
"""

RETURN = r"""
clock:
  description: The host's clock, in seconds since 1970.
  returned: always
  type: float
  sample: 1795263600.25
asked:
  description: The control node's clock when the question went out, in seconds since 1970.
  returned: always
  type: float
  sample: 1795263599.5
answered:
  description: The control node's clock when the answer was there, in seconds since 1970.
  returned: always
  type: float
  sample: 1795263600.5
boot_id:
  description: ID of the kernel's last boot, which is the same for containers on one host.
  returned: always
  type: str
  sample: 54ad53c0-d5bd-4fe3-9fba-c7c633f50637
vcap_uid:
  description: Numeric ID of the user C(vcap); none where there is no such user.
  returned: always
  type: int
  sample: 1000
store:
  description: Path, device and room in bytes of the file system of the store, what lies in its staging directory, and whether it is a mount of its own.
  returned: always
  type: dict
  sample: {path: /var/vcap/store, mounted: true, device: /dev/sdc1, total: 68719476736, used: 1073741824, available: 64424509440, staged: 0}
postgres:
  description: Directories of PostgreSQL in the store.
  returned: always
  type: list
  elements: str
  sample: [postgres-15]
monit:
  description:
    - State of each process by name, why there is none, whether M(bosh.ha.store_fence) has taken its job files away, and which workers a
      run holds stopped (M(bosh.ha.monit)).
  returned: always
  type: dict
  sample: {processes: {director: running}, reason: '', fenced: false, held: []}
rsync:
  description: Version of rsync; empty where it is not there.
  returned: always
  type: str
  sample: 3.2.7
rrsync:
  description: Path of rrsync; empty where it is not there.
  returned: always
  type: str
  sample: /usr/bin/rrsync
agent_version:
  description: Version of the agent; empty where it tells none.
  returned: always
  type: str
  sample: 2.874.0
backup_jobs:
  description: Jobs with a script of BBR's that backs something up.
  returned: always
  type: list
  elements: str
  sample: [blobstore, director]
settings_on_tmpfs:
  description: Whether the agent's settings are gone after a reboot.
  returned: always
  type: bool
  sample: false
"""

import os
import pwd
import re
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import host_traits, monit_orders, monit_status, store_fence
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN


def run(module: AnsibleModule, command: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; a command that is not there is an answer."""
    try:
        rc, out, err = module.run_command(command, handle_exceptions=False)
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror}"
    return rc, out, err


def version(module: AnsibleModule, command: list[str], pattern: str) -> str:
    """What a command says of its version; empty where it cannot be run."""
    rc, out, _err = run(module, command)
    found = re.search(pattern, out) if rc == 0 else None
    return found.group(1) if found else ""


def monit(module: AnsibleModule) -> dict[str, Any]:
    rc, out, err = run(module, [module.params["monit"], "summary"])
    services = monit_status.processes(monit_status.parse_summary(out)) if rc == 0 else []
    reason = "" if services else (err or out).strip() or "it names no process"
    fenced = store_fence.jobs_are_shut(module.params["monit_dir"])
    try:
        held = monit_orders.held(module.params["monit_dir"])
    except ValueError:
        # The run that would start them refuses it with a reason.
        held = []
    processes = {service.name: service.state for service in services}
    return {"processes": processes, "reason": reason, "fenced": fenced, "held": held}


def numeric_id(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "default": "/var/vcap/store"},
            "monit": {"type": "path", "default": "/var/vcap/bosh/bin/monit"},
            "monit_dir": {"type": "path", "default": "/var/vcap/monit"},
            "rrsync": {"type": "path", "default": "/usr/bin/rrsync"},
            "agent": {"type": "path", "default": "/var/vcap/bosh/bin/bosh-agent"},
            "jobs_dir": {"type": "path", "default": "/var/vcap/jobs"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    store, rrsync, agent = (module.params[name] for name in ("store", "rrsync", "agent"))
    found = {
        "boot_id": boot_id(),
        "vcap_uid": numeric_id("vcap"),
        "store": host_traits.store_room(store),
        "postgres": host_traits.postgres_directories(store),
        "monit": monit(module),
        "rsync": version(module, ["rsync", "--version"], r"version v?(\d[\d.]*)"),
        "rrsync": rrsync if os.path.exists(rrsync) else "",
        "agent_version": version(module, [agent, "-v"], r"(\d+(?:\.\d+)+)"),
        "backup_jobs": host_traits.backup_jobs(module.params["jobs_dir"]),
        "settings_on_tmpfs": host_traits.settings_on_tmpfs(),
    }
    # The last, so that the way back is all that comes after it.
    module.exit_json(changed=False, clock=time.time(), **found)


if __name__ == "__main__":
    main()
