# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run as AWX 24.6.1 makes it: what it writes for ansible-runner, its environment, and a container's namespaces.

Seen on a server: variables that people gave are tagged !unsafe in env/extravars, the inventory is a script, the user is
root unless a credential says otherwise, host keys are not checked, and each job has a host name and process IDs of its
own. A time-out or a cancel is a SIGKILL of all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

#: What AWX sets beside the paths.
ENVIRONMENT = {
    "ANSIBLE_FORCE_COLOR": "True",
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "ANSIBLE_UNSAFE_WRITES": "1",
    "AWX_HOST": "https://towerhost",
    "INVENTORY_ID": "1",
    "PROJECT_REVISION": "0" * 40,
}
#: ansible-playbook in a host and a namespace of process IDs of its own; if its first process dies, all die.
WRAPPER = """#!/bin/sh
exec unshare --uts --pid --fork --kill-child --mount-proc sh -c 'hostname "$0" && "$@"' {job} {playbook} "$@"
"""
INVENTORY = """#!/usr/bin/env python3
import json
print(json.dumps(json.loads({text!r}), indent=4))
"""


def extravars(values: dict[str, Any]) -> str:
    """Variables as AWX writes them: YAML in which each text is tagged !unsafe, in quotes."""
    return "".join(f"{name}: {_tagged(value)}\n" for name, value in values.items())


def _tagged(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_tagged(key)}: {_tagged(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_tagged, value)) + "]"
    if isinstance(value, str):
        return "!unsafe '" + value.replace("'", "''") + "'"
    return json.dumps(value)


def prepare(
    private: Path, inventory: Path, environ: dict[str, str], job: int, values: dict[str, Any]
) -> dict[str, str]:
    """Write a job's private data directory; returns its environment. job: its number, and so its host's name."""
    shown = subprocess.run(
        ["ansible-inventory", "--inventory", str(inventory), "--list", "--export"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name, text, mode in (
        ("env/extravars", "---\n" + extravars({"awx_job_id": job, "awx_user_name": "admin", **values}), 0o600),
        ("env/cmdline", "-u root", 0o600),
        ("inventory/hosts", INVENTORY.format(text=shown), 0o700),
        ("bin/ansible-playbook", WRAPPER.format(job=host(job), playbook=shutil.which("ansible-playbook")), 0o700),
    ):
        path = private / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    return {**ENVIRONMENT, **environ, "JOB_ID": str(job), "PATH": f"{private / 'bin'}:{os.environ['PATH']}"}


def host(job: int) -> str:
    """The host name of a job's container."""
    return f"ansible-runner-{job}"
