#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup in a repository of restic's, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_backup
short_description: Begin or finish a backup in a repository, or export one into BBR's layout
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - A backup in a repository is a snapshot of each VM, made by M(bosh.ha.restic_snapshot), and one that names them, made last. What is not
    named by such a one is no backup.
extends_documentation_fragment: [bosh.ha.restic, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says what would be made.
    support: full
options:
  state:
    description:
      - V(begun) names a backup, and makes nothing.
      - V(finished) writes down what it is made of, once each artifact is found in its snapshot, and forgets what earlier ones of
        O(name) left half done.
      - V(exported) writes it into a directory below O(path) in BBR's layout, which M(bosh.ha.bbr_backup) and BBR take. restic compares
        each part with its digest as it is read.
    type: str
    choices: [begun, finished, exported]
    required: true
  name:
    description: What is backed up, a deployment or a director's address.
    type: str
    required: true
  artifacts:
    description: What the VMs' jobs left, for O(state=finished).
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
      snapshot:
        description: Snapshot of its VM.
        type: str
        required: true
      path:
        description: Its directory in the snapshot.
        type: path
        required: true
  begun:
    description: When it was begun, as O(state=begun) returned it.
    type: float
  about:
    description: What is kept beside it, and exported into C(bosh_ha.json).
    type: dict
    default: {}
  stamp:
    description: Which backup is exported, by its stamp or by the name that a directory of it has; V(latest) is the newest.
    type: str
    default: latest
  path:
    description: Directory for O(state=exported). It is made with mode 0700 where it is not there.
    type: path
"""

EXAMPLES = r"""
- name: Write the newest backup as a plain directory
  bosh.ha.restic_backup:
    repository: s3:backups/directors
    state: exported
    name: 10.10.0.4
    path: /backups
"""

RETURN = r"""
begun:
  description: When it was begun, in seconds since 1970.
  returned: success
  type: float
  sample: 1795300000.0
stamp:
  description: The same as it is written in the name of a backup.
  returned: success
  type: str
  sample: 20261121T220000Z
path:
  description: Where it is. For O(state=exported) the directory, else its name and the repository.
  returned: success
  type: str
  sample: /backups/10.10.0.4_20261121T220000Z
"""

import time
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.restic_module import run_restic_module
from ansible_collections.bosh.ha.plugins.module_utils.restic_repository import Repository, stamp_of


def work(params: dict[str, Any], check: bool) -> dict[str, Any]:
    repository, name, begun = Repository(params), params["name"], params["begun"]
    if params["state"] == "exported":
        path, begun = "", 0.0
        if not check:
            path, facts = repository.export(name, params["stamp"], params["path"])
            begun = facts["begun"]
        return {"changed": True, "path": path, "begun": begun, "stamp": stamp_of(begun)}
    if params["state"] == "begun":
        begun = time.time()
    elif not check:
        repository.finish(name, begun, params["artifacts"], params["about"])
    stamp = stamp_of(begun)
    changed = params["state"] == "finished"
    return {"changed": changed, "path": f"{name}_{stamp} in {repository.name}", "begun": begun, "stamp": stamp}


def main() -> None:
    artifact = {
        "name": {"type": "str", "required": True},
        "group": {"type": "str", "default": ""},
        "index": {"type": "str", "default": ""},
        "snapshot": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
    }
    run_restic_module(
        argument_spec={
            "state": {"type": "str", "choices": ["begun", "finished", "exported"], "required": True},
            "name": {"type": "str", "required": True},
            "artifacts": {"type": "list", "elements": "dict", "options": artifact},
            "begun": {"type": "float"},
            "about": {"type": "dict", "default": {}},
            "stamp": {"type": "str", "default": "latest"},
            "path": {"type": "path"},
        },
        work=work,
        required_if=[("state", "finished", ["artifacts", "begun"]), ("state", "exported", ["path"])],
    )


if __name__ == "__main__":
    main()
