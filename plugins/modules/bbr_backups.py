#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of a deployment, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_backups
short_description: List the backups of a deployment in a directory, and remove old ones
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Tells which whole backups in BBR's layout a directory has of one deployment, and how much is free there.
  - With O(keep), removes the oldest of them. The newest that has a C(rehearsed.json) which says that it was restored and passed stays,
    however old it is. What has no C(metadata), or another deployment's name, is no such backup and is left.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says what would be removed.
    support: full
options:
  path:
    description: Directory of all backups. It may be missing.
    type: path
    required: true
  name:
    description: What was backed up, a deployment or a director's address.
    type: str
    required: true
  keep:
    description: How many backups stay; V(0) for all of them.
    type: int
    default: 0
  made:
    description: Path of a backup that counts and stays, whether it is there or not, as one that check mode did not make.
    type: path
"""

EXAMPLES = r"""
- name: Keep the last seven
  bosh.ha.bbr_backups:
    path: /backups
    name: 10.10.0.4
    keep: 7
  delegate_to: localhost
"""

RETURN = r"""
backups:
  description:
    - Whole backups that stay, newest first, with when they were begun, the bytes of their files, whether they are known to restore, and
      what is in C(bosh_ha.json).
  returned: success
  type: list
  elements: dict
  sample:
    - path: /backups/10.10.0.4_20261121T220000Z
      begun: "2026-11-21 22:00:00 UTC"
      bytes: 4096
      rehearsed: false
      about: {uuid: 3f1c}
removed:
  description: Paths of those that are gone, oldest first.
  returned: success
  type: list
  elements: str
  sample: []
free:
  description: Bytes that are free where the directory is, or will be.
  returned: success
  type: int
  sample: 107374182400
"""

import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bbr_shelf


def told(backup: bbr_shelf.Backup) -> dict[str, Any]:
    return {
        "path": backup.path,
        "begun": f"{backup.begun:%Y-%m-%d %H:%M:%S} UTC",
        "bytes": backup.size,
        "rehearsed": backup.rehearsed,
        "about": backup.about,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "keep": {"type": "int", "default": 0},
            "made": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["keep"] < 0:
        module.fail_json(msg=f"keep is {params['keep']}: it must be 0, for all backups, or more")
    try:
        there = bbr_shelf.backups(params["path"], params["name"])
        gone = bbr_shelf.to_go(there, params["keep"], params["made"] or "")
        for backup in () if module.check_mode else gone:
            shutil.rmtree(backup.path)
        free = bbr_shelf.free_at(params["path"])
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(gone),
        backups=[told(backup) for backup in there if backup not in gone],
        removed=[backup.path for backup in gone],
        free=free,
    )


if __name__ == "__main__":
    main()
