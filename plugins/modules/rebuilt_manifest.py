#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A create-env manifest that goes on with Primary's disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuilt_manifest
short_description: Make a create-env manifest and a state file by which a new Micro takes Primary's surviving disk
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - The VM is that of Micro's manifest, with its IaaS, network, stemcell and CPI. The director is that of Primary's, with its jobs, properties and variables.
  - It has Primary's address, as the agents of its deployments dial that one, and a new certificate for the way to its own agent.
  - The state file names Primary's disk as the current one, in the size that the manifest has, so that C(bosh create-env) attaches it and makes, migrates and
    deletes none.
  - The manifest holds every secret in clear and is for its owner only. It is made anew each time; the state file only where there is none.
  - Nothing of it is sent anywhere.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would be written, without writing it.
    support: full
options:
  micro:
    description: Micro's manifest and what is laid over it.
    type: dict
    required: true
    suboptions: &manifest
      manifest:
        description: Path of the manifest.
        type: path
        required: true
      ops_files:
        description: Paths of ops files, in the order in which they are applied.
        type: list
        elements: path
        default: []
      vars_files:
        description: Paths of files with variables.
        type: list
        elements: path
        default: []
      vars_store:
        description: Path of the variables store, which is only read.
        type: path
  primary:
    description: Primary's manifest and what is laid over it.
    type: dict
    required: true
    suboptions: *manifest
  micro_address:
    description: Micro's address, which is replaced.
    type: str
    required: true
  primary_address:
    description: Primary's address.
    type: str
    required: true
  instance_group:
    description: Primary's instance group, needed where its manifest has several.
    type: str
    default: ''
  disk_cid:
    description: CID of Primary's disk.
    type: str
    required: true
  releases:
    description: Releases with C(url) and C(sha1) that no manifest has, and C(name) and C(version) where they are known.
    type: list
    elements: dict
    default: []
  versions:
    description: Name and version of each release that Primary had. An older one is refused.
    type: list
    elements: str
    default: []
  relative_to:
    description: Directory to which local tarballs in Micro's manifest are relative.
    type: path
  tarballs:
    description: Directory where local tarballs are looked for first, by their file names.
    type: path
  dest:
    description: Path of the manifest that is made.
    type: path
    required: true
  state_file:
    description: Path of the state file that is made.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Make the manifest
  bosh.ha.rebuilt_manifest:
    micro: {manifest: micro_bosh.yml, vars_store: micro-vars.yml}
    primary: {manifest: bosh-primary.yml, vars_store: primary-vars.yml}
    micro_address: 10.10.0.3
    primary_address: 10.10.0.4
    disk_cid: disk-10dc8044312f
    dest: rebuilt/micro.yml
    state_file: rebuilt/micro-state.json
"""

RETURN = r"""
releases:
  description: The releases of the manifest.
  returned: success
  type: list
  elements: str
  sample: [bosh/283.1.6]
notes:
  description: What a person should know before it is used, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["Primary's data were last used with bosh 283.1.6; this one is 283.2.0"]
missing:
  description: Local tarballs that are not there.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/tarballs/bosh-283.1.6.tgz]
disk_cid:
  description: CID of the disk that the state file names.
  returned: success
  type: str
  sample: disk-10dc8044312f
vm_cid:
  description: CID of the VM that the state file has already, empty before create-env.
  returned: success
  type: str
  sample: ''
"""

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.artifacts import local_path
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import (
    current_disk_cid,
    current_vm_cid,
    read_state,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.interpolation import as_mapping, interpolated_text
from ansible_collections.bosh.ha.plugins.module_utils.rebuilt_manifest import Data, rebuilt, state, undefined

MANIFEST: dict[str, dict[str, Any]] = {
    "manifest": {"type": "path", "required": True},
    "ops_files": {"type": "list", "elements": "path", "default": []},
    "vars_files": {"type": "list", "elements": "path", "default": []},
    "vars_store": {"type": "path"},
}


def make(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    given = module.params
    # What Primary had is taken, or nothing: a variable that is made anew is another director's.
    require_variables(given["primary"])
    micro, primary = (interpolated(module, cli, given[name]) for name in ("micro", "primary"))
    made = rebuilt(
        micro,
        primary,
        {"micro": given["micro_address"], "primary": given["primary_address"]},
        given["disk_cid"],
        given["releases"],
        dict(one.rpartition("/")[::2] for one in given["versions"]),
        given["instance_group"],
    )
    tarballs = [
        *made.manifest["releases"],
        *(pool["stemcell"] for pool in made.manifest["resource_pools"] if pool.get("stemcell")),
    ]
    missing = [path for one in tarballs if (path := find_tarball(one, given["relative_to"], given["tarballs"]))]
    before = read_state(given["state_file"], to_deploy=False)
    if before and current_disk_cid(before) != given["disk_cid"]:
        raise ValueError(
            f"the state file {given['state_file']} names the disk {current_disk_cid(before) or 'none'} and not "
            f"{given['disk_cid']}: use another directory"
        )
    changed = write(module, given["dest"], bosh_yaml.dump(made.manifest))
    if not before:
        changed = write(module, given["state_file"], json.dumps(state(made.disk), indent=4)) or changed
    return {
        "changed": changed,
        "releases": made.releases,
        "notes": made.notes,
        "missing": missing,
        "disk_cid": given["disk_cid"],
        "vm_cid": current_vm_cid(before),
    }


def interpolated(module: AnsibleModule, cli: BoshCli, given: dict[str, Any]) -> Data:
    return as_mapping(interpolated_text(cli, given, module.tmpdir), given["manifest"])


def require_variables(given: dict[str, Any]) -> None:
    """Looks into the manifest itself; what ops files add is generated by the CLI, and rarely a director's secret."""
    known: set[str] = set()
    for path in [*given["vars_files"], *([given["vars_store"]] if given["vars_store"] else [])]:
        known |= set(load(path) or {})
    lost = undefined(load(given["manifest"]) or {}, known)
    if lost:
        raise ValueError(
            f"neither vars store nor vars files of Primary have {', '.join(lost)}: made anew, they would be another director's"
        )


def load(path: str) -> Any:
    try:
        return bosh_yaml.load_file(path)
    except bosh_yaml.BadYaml as error:
        raise ValueError(f"{path} is no YAML: {error}") from None


def find_tarball(entry: Data, relative_to: str | None, tarballs: str | None) -> str:
    """Make the URL of a local tarball absolute; returns its path where it is not there."""
    path = local_path(str(entry["url"]))
    if not path:
        return ""
    path = os.path.join(relative_to or "", path)
    beside = os.path.join(tarballs, os.path.basename(path)) if tarballs else ""
    if beside and os.path.exists(beside):
        path = beside
    entry["url"] = f"file://{path}"
    return "" if os.path.exists(path) else path


def write(module: AnsibleModule, path: str, text: str) -> bool:
    """Whether it changed. Whole or not at all, for its owner only."""
    try:
        with open(path, encoding="utf-8") as stream:
            if stream.read() == text:
                return False
    except FileNotFoundError:
        pass
    if not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fresh = os.path.join(module.tmpdir, os.path.basename(path))
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        module.atomic_move(fresh, path)
        os.chmod(path, 0o600)
    return True


def main() -> None:
    run_director_module(
        {
            "micro": {"type": "dict", "required": True, "options": MANIFEST},
            "primary": {"type": "dict", "required": True, "options": MANIFEST},
            "micro_address": {"type": "str", "required": True},
            "primary_address": {"type": "str", "required": True},
            "instance_group": {"type": "str", "default": ""},
            "disk_cid": {"type": "str", "required": True},
            "releases": {"type": "list", "elements": "dict", "default": []},
            "versions": {"type": "list", "elements": "str", "default": []},
            "relative_to": {"type": "path"},
            "tarballs": {"type": "path"},
            "dest": {"type": "path", "required": True},
            "state_file": {"type": "path", "required": True},
        },
        make,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
