# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the directors and hosts of a pair report, gathered for the judgement in pair_phase.

The directors are asked side by side. `clis` has a BoshCli for each director that has credentials, by its name;
`names` the deployments of `primary` and `meta`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import proofs
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import (
    BARE,
    RUNS,
    awaited_instances,
    deployments,
    identity,
    instances,
    listed_tasks,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_probe import probe
from ansible_collections.bosh.ha.plugins.module_utils.manifests import deployed_manifest
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import DEPLOYED_BY, NAMES
from ansible_collections.bosh.ha.plugins.module_utils.task_log import events_of, told_by

Clis = Mapping[str, BoshCli]
Answers = dict[str, dict[str, Any]]

#: Who is deployed by which director in a pair.
PAIR = (("primary", "meta"), ("meta", "primary"))
#: More tasks than a director keeps (some 2000 of each kind; every `bosh vms` is one).
HISTORY = 10000
#: States of an agent that Meta never had.
_STRANGE = {"unresponsive agent", BARE}
#: Words of ssh if a host is there and does not let us in.
_BARRED = re.compile(r"Host key verification failed|Permission denied")
#: States of monit's director process in which nobody starts it.
_IDLE = re.compile(r"^not monitored$|stop pending")


def together(calls: Mapping[Any, Callable[[], Any]]) -> dict[Any, Any]:
    """Results of calls that are made side by side. Raises the first failure once all have ended."""
    with ThreadPoolExecutor(max_workers=max(len(calls), 1)) as pool:
        begun = {key: pool.submit(call) for key, call in calls.items()}
    return {key: one.result() for key, one in begun.items()}


def ask_all(clis: Clis) -> Answers:
    """For each director what `probe` returns, with `uuid` and the names of its `deployments`. Raises BoshFailure."""
    return together({name: partial(_ask, cli) for name, cli in clis.items()})


def answers_of(clis: Clis) -> Answers:
    """The same as `ask_all`. Raises ValueError, too, if a director is there and refuses us."""
    found = ask_all(clis)
    for name, answer in found.items():
        if answer["reachable"] and not answer["logged_in"]:
            raise ValueError(f"bosh_ha_directors.{name}: {answer['reason']}")
    return found


def _ask(cli: BoshCli, seconds: float = 0) -> dict[str, Any]:
    return probe(cli, partial(_facts, cli), seconds)


def _facts(cli: BoshCli) -> dict[str, Any]:
    both = together({"director": partial(identity, cli), "deployments": partial(deployments, cli)})
    return {"uuid": both["director"]["uuid"], "deployments": [one["name"] for one in both["deployments"]]}


def known_by(answers: Answers, name: str) -> list[str]:
    """Deployments that a director reports; none if it does not answer."""
    return list(answers.get(name, {}).get("deployments", []))


def answering(answers: Answers) -> list[str]:
    """The directors that answer, in the order of the procedure."""
    return [name for name in NAMES if answers.get(name, {}).get("logged_in")]


def meta_leads(answers: Answers, names: Mapping[str, str]) -> bool:
    """Whether Meta has Primary's deployment."""
    return names["primary"] in known_by(answers, "meta")


def first_answers(clis: Clis, names: Mapping[str, str], seconds: float) -> Answers:
    """All answers. If only Primary answers, and deploys Meta, it may be resurrecting Meta: that is awaited."""
    found = answers_of(clis)
    if answering(found) == ["primary"] and names["meta"] in known_by(found, "primary"):
        found = _awaited(clis, ["meta"], seconds)
    return found


def _awaited(clis: Clis, late: list[str], seconds: float) -> Answers:
    """All answers, once those that are `late` answer, or after `seconds`."""
    there = {name: clis[name] for name in late if name in clis}
    together({name: partial(_quietly, partial(_ask, cli, seconds)) for name, cli in there.items()})
    return answers_of(clis)


def _quietly(ask: Callable[[], Any]) -> Any:
    """What `ask` returned; None if it failed, as the question is asked once more."""
    try:
        return ask()
    except BoshFailure:
        return None


def got_through(result: Mapping[str, Any]) -> bool:
    """Whether a wait of wait_for or wait_for_connection ended well.

    It reports how long it waited only if it did, and has a message if not; a result that was skipped has neither.
    """
    return "elapsed" in result and "msg" not in result


def reached(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The hosts, by `item`, that let themselves be logged in to: results of wait_for_connection in a loop."""
    return [result["item"] for result in results if got_through(result)]


def hosts_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the hosts report, from registered results.

    results: `connections` of wait_for_connection, `monit` of bosh.ha.monit, `doors` of wait_for on Micro's two ports,
    each a list with `item`; `pins` of bosh.ha.host_key_info; `store`, the phase of Meta's store.
    """
    connections, monit = results.get("connections") or [], results.get("monit") or []
    pins = results.get("pins") or {}
    unpinned = [host["name"] for host in pins.get("hosts", []) if not host["pinned"] and host["shown"]]
    barred = [one["item"] for one in connections if _BARRED.search(one.get("msg") or "")]
    closed = [one for one in results.get("doors") or [] if got_through(one)]
    processes = {one["item"]: (one.get("processes") or {}).get("director") for one in monit}
    return {
        "reachable": reached(connections),
        "barred": list(dict.fromkeys([*barred, *unpinned])),
        "unpinned": unpinned,
        "host_keys": pins.get("advice", "") if unpinned else "",
        "stopped": [one["item"] for one in monit if one.get("all_stopped")],
        "starting": [name for name, state in processes.items() if state is not None and not _IDLE.search(state)],
        "store": results.get("store") or "none",
        "micro_silent": len(closed) == 2,
    }


def last_task_of_micro(work_dir: str, meta_uuid: str) -> int:
    """ID of Micro's last task, if Meta has the UUID of the Micro that was recorded; else 0.

    Raises ValueError if the record is no JSON of ours.
    """
    path = os.path.join(os.path.expanduser(work_dir), "micro-snapshot.json") if work_dir else ""
    if not path or not os.path.exists(path):
        return 0
    try:
        with open(path, encoding="utf-8") as stream:
            noted = json.load(stream)
        return int((noted.get("last_task") or {}).get("id") or 0) if meta_uuid and noted.get("uuid") == meta_uuid else 0
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: it is no snapshot of Micro ({error}); remove it, or take it from a copy") from error


def deploys_of(clis: Clis, names: Mapping[str, str], answers: Answers) -> tuple[list[str], list[str]]:
    """Directors whose last deploy did not end well, and those of which a dry run left but a name."""
    asked = [(of, by) for of, by in DEPLOYED_BY if names[of] in known_by(answers, by)]
    both = together({of: partial(_deploy, clis[by], names[of]) for of, by in asked})
    return [of for of, found in both.items() if found[0]], [of for of, found in both.items() if found[1]]


def _deploy(cli: BoshCli, deployment: str) -> tuple[bool, bool]:
    """Whether the last deploy did not end well or runs still, and whether there is no instance."""
    found = [row for row in listed_tasks(cli, deployment, HISTORY) if row["description"] == proofs.DEPLOY]
    is_empty = "done" not in [row["state"] for row in found] and not instances(cli, deployment)
    return bool(found) and found[0]["state"] != "done", is_empty


def pair_of(
    clis: Clis, names: Mapping[str, str], answers: Answers, stopped: list[str], last: int, seconds: float
) -> dict[str, Any]:
    """What Meta and Primary report of each other: `adopted`, `agents` (states of Primary's), `settled`.

    last: ID of Micro's last task. seconds: how long a Primary that Meta may be resurrecting is awaited.
    """
    meta, primary = clis["meta"], names["primary"]
    deployed = [(of, by) for of, by in PAIR if names[of] in known_by(answers, by)]
    manifests = {of: partial(deployed_manifest, clis[by], names[of]) for of, by in deployed}
    found = together(
        {
            "tasks": partial(listed_tasks, meta, primary, HISTORY),
            "instances": partial(instances, meta, primary),
            **manifests,
        }
    )
    # Without the ID a cloud check may have been Micro's, and Primary is still to be adopted if it is stopped.
    adopted = proofs.adopted(found["tasks"], primary, last) > 0 and (last > 0 or "primary" not in stopped)
    agents = _agents(found["instances"])
    if agents != [RUNS] and (adopted or not set(agents) <= _STRANGE):
        _quietly(partial(awaited_instances, meta, primary, seconds))
        agents = _agents(instances(meta, primary))
    settled = [found[of] for of in manifests if found[of]["resurrector_enabled"] and not found[of]["dns_recursors"]]
    return {"adopted": adopted, "agents": agents, "settled": len(settled) == len(PAIR)}


#: What nobody was asked for.
NO_HISTORY: dict[str, Any] = {"last": 0, "adopted": 0, "since": 0, "proofs": {"primary": [], "meta": []}}


def history_of(clis: Clis, names: Mapping[str, str], wanted: Sequence[str], last: int) -> dict[str, Any]:
    """What the task histories of the directors that are `wanted`, which answer, prove.

    `last` is the ID of Micro's last task, `adopted` and `since` what proofs.adopted and proofs.took_over return, and
    `proofs` the resurrections of each of the pair by the other. What Meta is not asked for is 0 or empty.
    Raises BoshFailure.
    """
    deployed = [(of, by) for of, by in PAIR if by in wanted]
    calls: dict[tuple[str, str], Callable[[], Any]] = {}
    for of, by in deployed:
        # `delete vm` belongs to no deployment; those of one deployment go back further than those of all.
        calls["all", of] = partial(listed_tasks, clis[by], "", HISTORY)
        calls["own", of] = partial(listed_tasks, clis[by], names[of], HISTORY)
    found = together(calls)
    scans = together({of: partial(_scans, clis[by], found["own", of]) for of, by in deployed})
    made = proofs.first_deploy(found.get(("own", "meta"), []), names["meta"])
    metas = found.get(("own", "primary"), [])
    since = proofs.took_over(metas, names["primary"], last, made)
    proved = {of: proofs.resurrections(found["all", of], scans[of], since) for of, _by in deployed}
    return {
        "last": last,
        "adopted": proofs.adopted(metas, names["primary"], last),
        "since": since,
        "proofs": NO_HISTORY["proofs"] | proved,
    }


def _scans(cli: BoshCli, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [row for row in tasks if row["user"] == "hm" and row["description"] == proofs.SCAN]
    return [row | told_by(events_of(cli, row)) for row in found]


def _agents(found: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(instance["process_state"] for instance in found if instance["vm_cid"]))


def seen(
    clis: Clis,
    names: Mapping[str, str],
    answers: Answers,
    hosts: Mapping[str, Any],
    state: Mapping[str, Any],
    waits: Mapping[str, float],
    freeze: str = "all",
    work_dir: str = "",
) -> dict[str, Any]:
    """What pair_phase.judge takes. hosts: as hosts_of returns it. state: `exists` and `vm_cid` of Micro's state file.

    waits: seconds for a director that monit starts (`start`), and for a VM that is resurrected (`resurrect`).
    """
    starting = [name for name in hosts["starting"] if name in clis and name not in answering(answers)]
    # After a restart, or at the end of a deploy that nobody follows any more.
    if starting and not meta_leads(answers, names):
        answers = _awaited(clis, starting, waits["start"])
    known = {name: known_by(answers, name) for name in NAMES}
    unfinished: list[str] = []
    pair: dict[str, Any] = {"adopted": False, "agents": [], "settled": False}
    meta_uuid = answers.get("meta", {}).get("uuid", "")
    if meta_leads(answers, names):
        last = last_task_of_micro(work_dir, meta_uuid)
        pair = pair_of(clis, names, answers, hosts["stopped"], last, waits["resurrect"])
    elif "micro" in answering(answers):
        unfinished, empty = deploys_of(clis, names, answers)
        for of, by in DEPLOYED_BY:
            if of in empty:
                known[by] = [other for other in known[by] if other != names[of]]
    return {
        "answers": answering(answers),
        **{
            key: hosts[key]
            for key in ("reachable", "barred", "unpinned", "host_keys", "stopped", "store", "micro_silent")
        },
        "not_ready": [name for name in NAMES if answers.get(name, {}).get("cause") == "not_ready"],
        "freeze": freeze,
        "meta_uuid": meta_uuid,
        "unasked": [name for name in NAMES if name not in clis],
        "unfinished": unfinished,
        "known": known,
        "names": dict(names),
        "primary_running": pair["agents"] == [RUNS],
        "primary_agent": " and ".join(pair["agents"]),
        "adopted": pair["adopted"],
        "settled": pair["settled"],
        "micro_vm": state["vm_cid"],
        "micro_state": state["exists"],
    }
