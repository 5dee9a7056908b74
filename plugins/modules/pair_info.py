#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a pair of directors reports, and its phase."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pair_info
short_description: Ask the directors of a pair how far the procedure is
version_added: 0.2.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Asks Micro, Primary and Meta side by side, and changes nothing.
  - Without O(hosts) it returns what each director reports. With O(hosts) and O(answers), what an earlier call and other modules
    returned, it also asks for deploys, tasks and manifests, and returns the phase.
  - The role P(bosh.ha.find_phase#role) makes both calls.
extends_documentation_fragment: [bosh.ha.pair, bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  deployments:
    description: Names of the deployments, by V(primary) and V(meta). The default is that of C(bosh_ha_directors).
    type: dict
  state_file:
    description: Micro's state file. The default is that of C(bosh_ha_directors).
    type: path
  work_dir:
    description: Directory in which the snapshot of Micro is. Without it only times show what Meta did itself.
    type: path
  freeze:
    description: Which directors the freeze stops.
    type: str
    choices: [all, minimal]
    default: all
  answers:
    description: RV(answers) of the earlier call. Needed with O(hosts).
    type: dict
  hosts:
    description: What the hosts report.
    type: dict
    suboptions:
      connections:
        description: Results of M(ansible.builtin.wait_for_connection) in a loop over the names of hosts.
        type: list
        elements: dict
      monit:
        description: Results of M(bosh.ha.monit) in a loop over the hosts whose director does not answer.
        type: list
        elements: dict
      pins:
        description: Result of M(bosh.ha.host_key_info).
        type: dict
      doors:
        description: Results of M(ansible.builtin.wait_for) with C(state=stopped), from Meta, for two ports of Micro.
        type: list
        elements: dict
      store:
        description: RV(bosh.ha.store_swap#module:phase) of Meta.
        type: str
  history:
    description:
      - Directors whose task history is read, V(primary) and V(meta). Without O(hosts) these alone are asked, and must answer, except in
        check mode. With O(hosts) they are asked if the phase is V(mutual) or later.
    type: list
    elements: str
    choices: [primary, meta]
    default: []
  start:
    description: Seconds to wait for the API of a director that monit runs and that does not answer yet.
    type: int
    default: 60
  wait:
    description: Seconds to wait for one of the pair that the other may be resurrecting.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Ask which directors answer
  bosh.ha.pair_info:
  register: pair
"""

RETURN = r"""
answers:
  description: For each director that was asked whether it answers, and its UUID and deployments.
  returned: always
  type: dict
  sample: {meta: {reachable: true, logged_in: true, reason: "", cause: "", uuid: 3f1c, deployments: [bosh-primary]}}
answering:
  description: Names of the directors that answer.
  returned: always
  type: list
  elements: str
  sample: [primary, meta]
meta_leads:
  description: Whether Meta has Primary's deployment.
  returned: always
  type: bool
  sample: true
micro:
  description: Micro's state file, whether it C(exists) and C(vm_cid), the VM in it, and C(expected), false if there is no VM to look for.
  returned: always
  type: dict
  sample: {exists: true, vm_cid: "", expected: false}
history:
  description:
    - What the task histories prove. Meta inherited Micro's tasks, so only what came after Meta took over counts.
    - C(proofs) has for C(primary) and C(meta), the director that was resurrected, a list, newest first. Each has the C(task), a C(scan and
      fix) of the health monitor that recreated the VM, C(at), when it began, C(detected) and C(back), the seconds from the loss to its begin
      and end, none if the VM was not lost by C(bosh delete-vm), and C(seconds) of each stage.
    - C(since) is when Meta took over, in seconds since 1970. After Micro's last task, C(last), whose ID the snapshot in O(work_dir) has if it
      has Meta's UUID, it is the end of Meta's first deploy or cloud check of Primary; without any, as after an adoption, Meta's first task of
      that deployment. Without the snapshot it is the end of the last deploy or cloud check, if that is after Primary first deployed Meta. It
      is 0 if neither is found, and then there are no proofs until Meta deploys Primary once.
    - C(adopted) is when Meta first did what needs Primary's agent, in seconds since 1970; 0 for never.
    - A director keeps some 2000 tasks of each kind. An older proof is not found.
  returned: with O(history)
  type: dict
  sample: {last: 43, adopted: 1795223518, since: 1795223518, proofs: {primary: [{task: 79, detected: 63, back: 141}], meta: []}}
phase:
  description: The phase of the procedure.
  returned: with O(hosts)
  type: str
  sample: micro_gone
seen:
  description: What the phase was judged from, and C(reason), a sentence if the phase is not plain.
  returned: with O(hosts)
  type: dict
  sample: {answers: [primary, meta], reachable: [primary, meta], reason: ""}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import pair_facts, pair_phase
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import cids, read_state
from ansible_collections.bosh.ha.plugins.module_utils.pair_module import run_pair_module


def look(module: AnsibleModule, clis: dict[str, BoshCli]) -> dict[str, Any]:
    """The module's result. Raises BoshFailure, ValueError, OSError."""
    params = module.params
    names, hosts, history = params["deployments"], params["hosts"], params["history"]
    if history and hosts is None:
        clis = {name: cli for name, cli in clis.items() if name in history}
    state = read_state(params["state_file"], to_deploy=False)
    micro = {"exists": bool(state), "vm_cid": cids(state)["vm_cid"]}
    answers = params["answers"]
    if answers is None:
        # For the second call, and all modules of the playbook that follow.
        for cli in list(clis.values())[:1]:
            cli.require_version()
        answers = pair_facts.first_answers(clis, names, params["wait"])
    answering = pair_facts.answering(answers)
    # Only a state file that names no VM shows that there is none.
    micro["expected"] = bool(micro["vm_cid"]) or not micro["exists"] or "micro" in answering
    result = {
        "changed": False,
        "answers": answers,
        "answering": answering,
        "meta_leads": pair_facts.meta_leads(answers, names),
        "micro": micro,
    }
    if hosts is None:
        return result | ({"history": asked_alone(module, clis, answers)} if history else {})
    seen = pair_facts.seen(
        clis,
        names,
        answers,
        pair_facts.hosts_of(hosts),
        micro,
        {"start": params["start"], "resurrect": params["wait"]},
        params["freeze"],
        params["work_dir"] or "",
    )
    phase, reason = pair_phase.judge(seen)
    result |= {"phase": phase, "seen": seen | {"reason": reason}}
    if history:
        is_early = pair_phase.before(phase, "mutual")
        result["history"] = pair_facts.NO_HISTORY if is_early else read_history(module, clis, answers)
    return result


def asked_alone(module: AnsibleModule, clis: pair_facts.Clis, answers: pair_facts.Answers) -> dict[str, Any]:
    """The histories, if all answer. In check mode the directors may be still to come. Raises BoshFailure, ValueError."""
    silent = [name for name in module.params["history"] if name not in pair_facts.answering(answers)]
    if not silent:
        return read_history(module, clis, answers)
    if module.check_mode:
        return pair_facts.NO_HISTORY
    reason = answers.get(silent[0], {}).get("reason") or "its vars store does not exist"
    raise ValueError(f"bosh_ha_directors.{silent[0]}: its tasks are needed, and it does not answer: {reason}")


def read_history(module: AnsibleModule, clis: pair_facts.Clis, answers: pair_facts.Answers) -> dict[str, Any]:
    params = module.params
    last = pair_facts.last_task_of_micro(params["work_dir"] or "", answers.get("meta", {}).get("uuid", ""))
    return pair_facts.history_of(clis, params["deployments"], params["history"], last)


def main() -> None:
    results = {"type": "list", "elements": "dict"}
    run_pair_module(
        {
            # The action plugin fills in these two from bosh_ha_directors.
            "deployments": {"type": "dict"},
            "state_file": {"type": "path"},
            "work_dir": {"type": "path"},
            "freeze": {"type": "str", "choices": list(pair_phase.FROZEN), "default": "all"},
            "answers": {"type": "dict"},
            "hosts": {
                "type": "dict",
                "options": {
                    "connections": results,
                    "monit": results,
                    "pins": {"type": "dict"},
                    "doors": results,
                    "store": {"type": "str"},
                },
            },
            "history": {"type": "list", "elements": "str", "choices": ["primary", "meta"], "default": []},
            "start": {"type": "int", "default": 60},
            "wait": {"type": "int", "default": 300},
        },
        look,
        required_by={"hosts": ["answers"]},
    )


if __name__ == "__main__":
    main()
