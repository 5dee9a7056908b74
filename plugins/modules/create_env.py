#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director made from a manifest and a state file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: create_env
short_description: Create, stop or delete a director with bosh create-env
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bosh create-env), C(bosh stop-env) or C(bosh delete-env) with the manifest and its state file.
  - The state file is checked before it is used, as a damaged one is dangerous, and a copy of it is kept.
  - A state file that records stemcells or disks of which none is the current one is refused, as C(create-env) would delete
    their images and disks as unused; a stemcell is not, where it is the very one that is deployed.
  - Only one works on a state file at a time, by a lock on the file of its name with C(.lock), as a run that was
    interrupted leaves a command behind that goes on.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.manifest, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether a change is expected, without changing anything.
    details: The digest of the interpolated manifest is compared with the one in the state file, as create-env does.
      A tarball that was exchanged behind the same URL is seen only by create-env itself.
    support: partial
  action:
    description: An action plugin follows the command while it runs and shows each new stage and percentage.
    support: full
  async:
    description: With C(async) set on the task nothing is followed.
    support: full
options:
  state_file:
    description: State file of the environment.
    type: path
    required: true
  backup_dir:
    description:
      - Directory for copies of the state file, made before each run that could change it.
      - Where it is not set, it is C(state-copies) beside the state file.
    type: path
  recreate:
    description: Whether the VM is recreated, its persistent disk kept, even though nothing changed.
    type: bool
    default: false
  progress_file:
    description: File into which each step is written while the command runs, for those who wait for it.
    type: path
  state:
    description:
      - Whether the environment exists.
      - With V(stopped) its jobs are drained and stopped, and its VM and disk are kept. Nobody tells whether they were
        stopped already, so that it is always a change, but where the state file has no VM.
    type: str
    choices: [present, stopped, absent]
    default: present
"""

EXAMPLES = r"""
- name: Bring up Micro
  bosh.ha.create_env:
    manifest: microbosh/micro_bosh.yml
    vars_store: microbosh/vars.yml
    state_file: microbosh/micro_bosh-state.json
    backup_dir: ~/.bosh_ha/state
"""

RETURN = r"""
vm_cid:
  description: CID of the VM after the call.
  returned: always
  type: str
  sample: vm-b90042ef
disk_cids:
  description: CIDs of all disks that the state file has after the call, the one in use first.
  returned: always
  type: list
  elements: str
  sample: [disk-10dc8044312f]
disk_cid:
  description: CID of the persistent disk in use after the call.
  returned: always
  type: str
  sample: disk-10dc8044312f
state_copy:
  description: Copy of the state file as it was before.
  returned: when there was one and the command was run
  type: str
  sample: /root/.bosh_ha/state/micro_bosh-state.json.20261121T003341.000000Z
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.artifacts import guesses, local_path, name_and_version
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import MANIFEST_ARGS, BoshCli, manifest_words
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import (
    cids,
    current_disk_cid,
    current_vm_cid,
    keep_copy,
    read_state,
    without_current,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.interpolation import interpolated_text, manifest_sha
from ansible_collections.bosh.ha.plugins.module_utils.state_lock import lock_state

SKIPPED = "Skipping deploy"
COMMANDS = {"present": "create-env", "stopped": "stop-env", "absent": "delete-env"}


def keep(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    path = module.params["state_file"]
    # The CLI inherits the lock: it may outlive this process.
    lock = () if module.check_mode else (lock_state(path),)
    before = read_state(path, to_deploy=False)
    state = module.params["state"]
    if nothing_to_do(state, before):
        return {"changed": False} | cids(before)
    if state == "present":
        refuse_loss(module, cli, before)
    if module.check_mode:
        return {"changed": state != "present" or expects_change(module, cli, before)} | cids(before)
    words = [COMMANDS[state], *manifest_words(module.params, module.tmpdir), "--state", path]
    if module.params["recreate"] and state == "present":
        words.append("--recreate")
    backup_dir = module.params["backup_dir"] or os.path.join(os.path.dirname(path), "state-copies")
    copy = keep_copy(path, backup_dir) if before else ""
    progress_file = module.params["progress_file"] or os.path.join(module.tmpdir, "bosh_ha_progress")
    text = cli.run_streamed(progress_file, *words, inherited=lock)
    result = {"changed": SKIPPED not in text} | cids(read_state(path, to_deploy=False))
    return result | {"state_copy": copy} if copy else result


def nothing_to_do(state: str, before: dict[str, Any]) -> bool:
    """Whether what shall be stopped or deleted is not there, by the state file."""
    if state == "stopped":
        return not current_vm_cid(before)
    return state == "absent" and not (current_vm_cid(before) or current_disk_cid(before))


def refuse_loss(module: AnsibleModule, cli: BoshCli, before: dict[str, Any]) -> None:
    """Raises ValueError where create-env would delete what only looks unused, by the state file."""
    if not without_current(before):
        return
    text = interpolated_text(cli, module.params, module.tmpdir)
    problem = without_current(before, stemcells_of(text, os.path.dirname(os.path.abspath(module.params["manifest"]))))
    if problem:
        raise ValueError(f"the state file {module.params['state_file']}: {problem}")


def stemcells_of(text: str, directory: str) -> list[tuple[str, str]]:
    """Names and versions by which the stemcell of an interpolated manifest may be known.

    A path is relative to the manifest's directory. Source: bosh-cli common/util/path.go (AbsolutifyPath).
    """
    try:
        manifest = bosh_yaml.load(text)
    except ValueError:
        return []
    found = []
    for pool in (manifest.get("resource_pools") if isinstance(manifest, dict) else None) or []:
        stemcell = (pool.get("stemcell") if isinstance(pool, dict) else None) or {}
        url = str(stemcell.get("url") or "")
        path = local_path(url) if url else ""
        path = os.path.join(directory, path) if path else ""
        if path and os.path.exists(path):
            found.append(name_and_version(path))
        elif url:
            found += guesses("stemcell", url)
    return found


def expects_change(module: AnsibleModule, cli: BoshCli, before: dict[str, Any]) -> bool:
    """Whether create-env would do anything, by what it compares itself (bosh-cli deployment/record.go)."""
    if module.params["recreate"] or not current_vm_cid(before):
        return True
    return before.get("current_manifest_sha") != manifest_sha(cli, module.params, module.tmpdir)


def main() -> None:
    run_director_module(
        MANIFEST_ARGS
        | {
            "state_file": {"type": "path", "required": True},
            "backup_dir": {"type": "path"},
            "recreate": {"type": "bool", "default": False},
            "progress_file": {"type": "path"},
            "state": {"type": "str", "choices": [*COMMANDS], "default": "present"},
        },
        keep,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
