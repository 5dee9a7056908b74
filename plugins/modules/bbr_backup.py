#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup in BBR's layout, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_backup
short_description: Begin, finish, describe or check a backup in BBR's layout
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - A backup is a directory with a tar for each job, and C(metadata) with the SHA-256 of each file in them. BBR restores it, too.
  - It has C(.part) at the end of its name until it is finished, so that nobody takes half a one for a whole one.
  - What BBR has no place for goes into C(bosh_ha.json) beside it, which BBR does not read.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says what would be made; a check is a check.
    support: full
options:
  state:
    description:
      - V(begun) makes the directory, for its owner only, and removes what earlier ones of O(name) left half done.
      - V(finished) writes C(metadata), and gives the directory its name.
      - V(adopted) does so with what C(bbr) itself made, the only directory in it.
      - V(described) reads what is known of it, and none of its tars.
      - V(checked) reads all of it, and fails where a file is missing, or is not what it was.
    type: str
    choices: [begun, finished, adopted, described, checked]
    required: true
  path:
    description: The backup; for O(state=begun) the directory of all backups.
    type: path
    required: true
  name:
    description: What is backed up, a deployment or a director's address.
    type: str
  artifacts:
    description: What was fetched, for O(state=finished).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the job, or of an artifact that all instances restore.
        type: str
        required: true
      group:
        description: Instance group. Empty for an artifact that all instances restore.
        type: str
        default: ''
      index:
        description: Index in it.
        type: str
        default: ''
      checksums:
        description: SHA-256 of each file.
        type: dict
        required: true
  begun:
    description: When it was begun, as O(state=begun) returned it.
    type: float
  about:
    description: What is kept in C(bosh_ha.json).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check a backup before it is restored
  bosh.ha.bbr_backup:
    state: checked
    path: /backups/10.10.0.4_20261121T220000Z
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The backup.
  returned: success
  type: str
  sample: /backups/10.10.0.4_20261121T220000Z.part
begun:
  description: When it was begun, in seconds since 1970.
  returned: when O(state=begun)
  type: float
  sample: 1795300000.0
removed:
  description: What was half done, and is gone.
  returned: when O(state=begun)
  type: list
  elements: str
  sample: []
artifacts:
  description: Each with its file and the file's size, group, index, and the SHA-256 of each file in it.
  returned: when O(state=adopted) or O(state=checked)
  type: list
  elements: dict
  sample: [{name: blobstore, group: bosh, index: '0', file: bosh-0-blobstore.tar, bytes: 10240, checksums: {}}]
about:
  description: What C(bosh_ha.json) has; empty for a backup that BBR made.
  returned: when O(state=described) or O(state=checked)
  type: dict
  sample: {uuid: 3f1c}
rehearsed:
  description: What came of its last rehearsal, C(rehearsed.json); empty where there was none.
  returned: when O(state=described) or O(state=checked)
  type: dict
  sample: {at: '2026-11-21T22:10:00Z', passed: true}
"""

import os
import shutil
import time
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup


def begin(params: dict[str, Any], check: bool) -> dict[str, Any]:
    now = time.time()
    name = bbr_backup.directory_name(params["name"], datetime.fromtimestamp(now, UTC))
    path = os.path.join(params["path"], name + bbr_backup.PARTIAL)
    removed = bbr_backup.half_done(params["path"], params["name"])
    if not check:
        os.makedirs(params["path"], mode=0o700, exist_ok=True)
        for one in removed:
            shutil.rmtree(os.path.join(params["path"], one))
        os.mkdir(path, 0o700)
    return {"changed": True, "path": path, "begun": now, "removed": removed}


def finish(params: dict[str, Any], check: bool) -> dict[str, Any]:
    part = params["path"]
    path = part.removesuffix(bbr_backup.PARTIAL)
    sums = {
        bbr_backup.Artifact(one["name"], one["group"], one["index"]): one["checksums"] for one in params["artifacts"]
    }
    begun = datetime.fromtimestamp(params["begun"], UTC)
    if not check:
        bbr_backup.write_about(part, params["about"])
        bbr_backup.write_metadata(part, bbr_backup.metadata(sums, begun, datetime.now(UTC)))
        os.rename(part, path)
    return {"changed": True, "path": path}


def adopt(params: dict[str, Any], check: bool) -> dict[str, Any]:
    part = params["path"]
    path = part.removesuffix(bbr_backup.PARTIAL)
    if check:
        return {"changed": True, "path": path, "artifacts": []}
    bbr_backup.move_up(part)
    sums = bbr_backup.sums_of(bbr_backup.read_metadata(part))
    bbr_backup.write_about(part, params["about"])
    os.rename(part, path)
    return {"changed": True, "path": path, "artifacts": listed(path, sums)}


def listed(path: str, sums: dict[bbr_backup.Artifact, dict[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "group": one.group,
            "index": one.index,
            "file": one.file,
            "bytes": os.path.getsize(os.path.join(path, one.file)),
            "checksums": digests,
        }
        for one, digests in sums.items()
    ]


def described(params: dict[str, Any]) -> dict[str, Any]:
    bbr_backup.read_metadata(params["path"])
    path = params["path"]
    about, rehearsed = bbr_backup.about(path), bbr_backup.rehearsed(path)
    return {"changed": False, "path": path, "about": about, "rehearsed": rehearsed}


def checked(params: dict[str, Any]) -> dict[str, Any]:
    path = params["path"]
    artifacts = listed(path, bbr_backup.check(path))
    about, rehearsed = bbr_backup.about(path), bbr_backup.rehearsed(path)
    return {"changed": False, "path": path, "artifacts": artifacts, "about": about, "rehearsed": rehearsed}


def main() -> None:
    artifact = {
        "name": {"type": "str", "required": True},
        "group": {"type": "str", "default": ""},
        "index": {"type": "str", "default": ""},
        "checksums": {"type": "dict", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["begun", "finished", "adopted", "described", "checked"],
                "required": True,
            },
            "path": {"type": "path", "required": True},
            "name": {"type": "str"},
            "artifacts": {"type": "list", "elements": "dict", "options": artifact},
            "begun": {"type": "float"},
            "about": {"type": "dict", "default": {}},
        },
        required_if=[("state", "begun", ["name"]), ("state", "finished", ["artifacts", "begun"])],
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        if state == "begun":
            result = begin(module.params, module.check_mode)
        elif state == "finished":
            result = finish(module.params, module.check_mode)
        elif state == "adopted":
            result = adopt(module.params, module.check_mode)
        elif state == "described":
            result = described(module.params)
        else:
            result = checked(module.params)
    except (bbr_backup.Damaged, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
