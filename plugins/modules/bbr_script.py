#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""BBR's scripts, run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_script
short_description: Run one of BBR's scripts of some jobs on a BOSH VM
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs the script of all jobs that are named, with the environment of BBR's contract, even where one of them fails.
  - A script that does not end is ended, with all that it began, and is a failure.
  - A job without that script is passed over.
  - Where another call works on the VM still, as that of a run that was cut off, its end is waited for.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared, bosh.ha.bbr]
attributes:
  check_mode:
    description: Says which scripts would be run.
    support: full
options:
  script:
    description: Which script.
    type: str
    required: true
    choices: [pre-backup-lock, backup, post-backup-unlock, pre-restore-lock, restore, post-restore-unlock]
  jobs:
    description: Names of jobs, in the order in which their scripts are run.
    type: list
    elements: str
    required: true
  artifact_names:
    description: Names of the directories of those jobs whose directory has another name than the job, by job.
    type: dict
    default: {}
  at_once:
    description: Whether all of them run at the same time, as BBR has the locks of one wave do.
    type: bool
    default: false
  successful:
    description: What C(post-backup-unlock) is told of the scripts before it.
    type: bool
    default: true
  timeout:
    description: Seconds for each script.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Back up
  bosh.ha.bbr_script:
    script: backup
    jobs: [director, blobstore]
  become: true
"""

RETURN = r"""
ran:
  description: Each script that was run, with its seconds, and a sentence about what went wrong with it.
  returned: always
  type: list
  elements: dict
  sample: [{job: blobstore, script: backup, seconds: 0.4, problem: ''}]
problems:
  description: What went wrong, a sentence for each script.
  returned: always
  type: list
  elements: str
  sample: []
output:
  description: What the scripts that failed printed last.
  returned: failure
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bbr_jobs, bbr_mark, bbr_scripts


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "script": {
                "type": "str",
                "required": True,
                "choices": [name for name in bbr_jobs.SCRIPTS if name != "metadata"],
            },
            "jobs": {"type": "list", "elements": "str", "required": True},
            "artifact_names": {"type": "dict", "default": {}},
            "at_once": {"type": "bool", "default": False},
            "successful": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 3600},
            **bbr_scripts.OPTIONS,
        },
        supports_check_mode=True,
    )
    params = module.params
    script, jobs_dir = params["script"], params["jobs_dir"]
    jobs = [job for job in params["jobs"] if os.path.isfile(bbr_scripts.path_of(job, script, jobs_dir))]
    if module.check_mode or not jobs:
        ran = [{"job": job, "script": script, "seconds": 0.0, "problem": ""} for job in jobs]
        module.exit_json(changed=bool(jobs), ran=ran, problems=[])
    names = params["artifact_names"]
    try:
        with bbr_mark.working(params["artifacts_dir"], params["timeout"]):
            if script == "backup":
                for job in jobs:
                    bbr_scripts.make_artifact_dir(names.get(job, job), params["artifacts_dir"])
            done = bbr_scripts.run_all(jobs, script, params, names)
    except (bbr_mark.Taken, OSError) as error:
        module.fail_json(msg=str(error))
    problems = [one.problem for one in done if one.problem]
    result = {
        "changed": True,
        "ran": [{"job": one.job, "script": one.script, "seconds": one.seconds, "problem": one.problem} for one in done],
        "problems": problems,
    }
    if problems:
        module.fail_json(msg="; ".join(problems), output=[one.output for one in done if one.problem], **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
