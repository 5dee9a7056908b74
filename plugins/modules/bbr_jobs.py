#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs with BBR's scripts on a VM."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_jobs
short_description: Find the jobs of a BOSH VM that have scripts for backup and restore
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Looks for scripts by the contract of BOSH Backup and Restore, C(/var/vcap/jobs/*/bin/bbr/*), and runs each job's C(metadata).
  - Jobs that say C(skip_bbr_scripts) are told apart; none of their scripts is run.
  - Tells, too, whether a backup or restore has left its directory behind.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads, bosh.ha.bbr]
attributes:
  action:
    description: An action plugin reads on the control node what C(metadata) printed, as a stemcell's Python knows no YAML.
    support: full
options:
  with_releases:
    description:
      - Whether an order between jobs names a job of a release. A director's does not, as its manifest is nobody's to ask.
      - Jobs then have the release that O(releases) gives them.
    type: bool
    default: false
  releases:
    description: Release of each job by its name, for O(with_releases).
    type: dict
    default: {}
  one_restore_all:
    description:
      - Jobs of which what the bootstrap instance leaves is restored on all, by C(bbr.backup_one_restore_all) in the manifest. Their
        artifact has a name of its own, which needs O(releases).
      - A mapping of the job's name to whether this is the bootstrap instance, as M(bosh.ha.deployment_ssh) returns it. A list of names
        stands for the bootstrap instance.
    type: raw
    default: {}
  timeout:
    description: Seconds for one C(metadata) script.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Find the scripts of a director
  bosh.ha.bbr_jobs:
  register: found
  become: true
"""

RETURN = r"""
jobs:
  description:
    - Jobs with scripts, by name, but those that are skipped. An artifact that is C(shared) is restored on all
      instances, and is left by the one that is its C(source).
  returned: success
  type: list
  elements: dict
  sample:
    - name: postgres
      release: ''
      scripts: [metadata, backup, restore]
      before: {backup: [[director, '']], restore: []}
      artifact: postgres
      shared: false
      source: false
      discontinued: []
disabled:
  description: Jobs that want none of their scripts to be run.
  returned: success
  type: list
  elements: str
  sample: [doppler]
warnings_of_bbr:
  description: What BBR would warn of, too.
  returned: success
  type: list
  elements: str
  sample: []
left:
  description: What is known of a directory that a backup or restore left, or has still, and a sentence about it; empty where there is none.
  returned: success
  type: dict
  sample:
    path: /var/vcap/store/bbr-backup
    owner: jumpbox:/backups
    deed: backup
    told: "/var/vcap/store/bbr-backup is there: a backup of 'jumpbox:/backups' runs, or was ended in the middle of it"
"""

import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bbr_jobs, bbr_mark, bbr_scripts


def look(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Each job with its scripts and what its metadata script printed. Raises ValueError with a sentence where that fails."""
    # The contract's own paths, wherever the jobs are. bbr has `find ... -type f`, for which a link is no file.
    below = sorted(
        path
        for path in glob.glob(os.path.join(params["jobs_dir"], "*/bin/bbr/*"))
        if os.path.isfile(path) and not os.path.islink(path)
    )
    paths = [os.path.join(bbr_scripts.JOBS_DIR, os.path.relpath(path, params["jobs_dir"])) for path in below]
    return [
        {"name": name, "scripts": scripts, "metadata": _metadata(name, params) if "metadata" in scripts else ""}
        for name, scripts in bbr_jobs.scripts_of(paths).items()
    ]


def _metadata(job: str, params: dict[str, Any]) -> str:
    path = bbr_scripts.path_of(job, "metadata", params["jobs_dir"])
    ran = bbr_scripts.run(job, "metadata", path, bbr_scripts.variables("metadata", job), params["timeout"])
    if ran.problem:
        raise ValueError(ran.problem)
    return ran.output


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "with_releases": {"type": "bool", "default": False},
            "releases": {"type": "dict", "default": {}},
            "one_restore_all": {"type": "raw", "default": {}},
            "timeout": {"type": "int", "default": 60},
            **bbr_scripts.OPTIONS,
        },
        supports_check_mode=True,
    )
    try:
        found = look(module.params)
        left = bbr_mark.left(module.params["artifacts_dir"])
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, left=left and {**left, "told": bbr_mark.told(left)}, jobs=found)


if __name__ == "__main__":
    main()
