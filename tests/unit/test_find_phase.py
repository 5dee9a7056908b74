# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role find_phase makes of its answers: its own expressions over results as its tasks register them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).parents[2] / "roles" / "find_phase"
NAMES = ("micro", "primary", "meta")
DIRECTORS = {name: {"address": f"10.10.0.{number}", "vars_store": "/none"} for number, name in enumerate(NAMES, 3)}


def answer(name: str, *deployments: str) -> dict[str, Any]:
    return {"item": name, "logged_in": True, "cause": "", "deployments": [{"name": other} for other in deployments]}


def silent(name: str) -> dict[str, Any]:
    return {"item": name, "logged_in": False, "cause": "unreachable"}


def skipped(name: str) -> dict[str, Any]:
    """One that was not asked, as it has no credentials."""
    return {"item": name, "skipped": True, "changed": False}


def load(kind: str, name: str = "main") -> Any:
    """A file of the role, its templates to be rendered as in a play."""
    return DataLoader().load_from_file(str(ROLE / kind / f"{name}.yml"), trusted_as_template=True)


def seen(host_keys: dict[str, Any] | None = None, **registered: Any) -> dict[str, Any]:
    """find_phase_seen, and the vars that it is made of, from what the tasks registered."""
    own, judge = load("vars"), load("tasks")[-1]
    assert judge["name"] == "Judge"
    results = {f"_find_phase_{name}": value for name, value in registered.items()}
    if host_keys is not None:
        results["pin_host_keys_found"] = host_keys
    variables = {"bosh_ha_directors": DIRECTORS, **own, **judge["vars"], **results}
    templar = Templar(DataLoader(), variables=variables)
    return {"made": templar.template(own["_find_phase_made"]), **templar.template(judge["vars"]["_find_phase_seen"])}


def look(directors: list[dict[str, Any]], state: Any = None, **more: Any) -> dict[str, Any]:
    return seen(
        directors={"results": directors},
        state=state or {"exists": False, "vm_cid": ""},
        **{"hosts": {"results": []}, "monit": {"results": []}, "store": {}, "primary": {}, "snapshot": {}, "tasks": {}}
        | more,
    )


def test_nobody_is_asked_without_a_vars_store():
    found = look([skipped(name) for name in NAMES])
    assert (found["answers"], found["unasked"]) == ([], list(NAMES))
    found = look([answer("micro"), silent("primary"), skipped("meta")])
    assert (found["answers"], found["unasked"]) == (["micro"], ["meta"])


@pytest.mark.parametrize(
    ("exists", "vm_cid", "made"),
    [(False, "", ["micro"]), (True, "vm-1", ["micro"]), (True, "", [])],
)
def test_only_a_state_file_without_a_vm_says_that_there_is_no_micro(exists, vm_cid, made):
    found = look([silent(name) for name in NAMES], state={"exists": exists, "vm_cid": vm_cid})
    assert (found["made"], found["micro_state"], found["micro_vm"]) == (made, exists, vm_cid)


@pytest.mark.parametrize(
    ("doors", "nobody"),
    [
        ([{"elapsed": 0}, {"elapsed": 0}], True),
        ([{"elapsed": 0}, {"elapsed": 4, "msg": "Timeout when waiting for 10.10.0.3:25555 to stop."}], False),
        ([{"elapsed": 0}, {"unreachable": True, "msg": "no route"}], False),
        ([{"skipped": True}, {"skipped": True}], False),
        ([], False),
    ],
)
def test_both_doors_of_micro_must_be_closed(doors, nobody):
    assert look([silent(name) for name in NAMES], doors={"results": doors})["micro_silent"] is nobody


@pytest.mark.parametrize(
    ("tasks", "unfinished"),
    [
        ([{"state": "done"}, {"state": "error"}], []),
        ([{"state": "error"}, {"state": "done"}], ["primary"]),
        ([{"state": "processing"}], ["primary"]),
        # BOSH does not keep its tasks for ever.
        ([], []),
    ],
)
def test_only_the_last_deploy_counts(tasks, unfinished):
    deploys = [{"item": {"of": "primary", "by": "micro"}, "tasks": tasks}, {"item": {"of": "meta"}, "skipped": True}]
    found = look([answer("micro", "bosh-primary"), silent("primary"), silent("meta")], deploys={"results": deploys})
    assert found["unfinished"] == unfinished


@pytest.mark.parametrize(
    ("monit", "waited_for"),
    [
        ({"processes": {"director": "running"}}, ["primary"]),
        ({"processes": {"director": "not monitored - start pending"}}, ["primary"]),
        ({"processes": {"director": "running - stop pending"}}, []),
        ({"processes": {"director": "not monitored", "nats": "running"}}, []),
        ({"processes": {"agent": "running"}}, []),
        ({"msg": "monit names no process"}, []),
    ],
)
def test_a_director_that_monit_runs_is_waited_for(monit, waited_for):
    results = {
        "_find_phase_monit": {"results": [{"item": "primary", **monit}]},
        "_find_phase_directors": {"results": [answer("micro"), silent("primary"), skipped("meta")]},
    }
    starting = Templar(DataLoader(), variables={**load("vars"), **results}).template(
        load("vars")["_find_phase_starting"]
    )
    assert starting == waited_for


def test_each_is_asked_only_where_it_has_credentials():
    ask, refuse = load("tasks", "directors")
    assert ask["when"] == "bosh_ha_directors | bosh.ha.has_credentials(item)"
    # One that was passed over has neither cause nor reason.
    results = {"_find_phase_directors": {"results": [skipped("micro"), silent("primary")]}}
    assert Templar(DataLoader(), variables=results).template(refuse["loop"]) == [silent("primary")]


@pytest.mark.parametrize(
    ("msg", "barred"),
    [
        (
            "timed out waiting for ping: Failed to connect to the host via ssh: Host key verification failed.",
            True,
        ),
        (
            "timed out waiting for ping: Failed to connect: jumpbox@10.10.0.3: Permission denied (publickey).",
            True,
        ),
        (
            "timed out waiting for ping: Failed to connect: connect to host 10.10.0.3 port 22: No route to host",
            False,
        ),
    ],
)
def test_a_host_that_lets_nobody_in_is_not_away(msg, barred):
    hosts = [
        {"item": "micro", "elapsed": 10, "msg": msg},
        {"item": "primary", "elapsed": 0},
        {"item": "meta", "skipped": True},
    ]
    found = look([silent(name) for name in NAMES], hosts={"results": hosts})
    assert (found["barred"], found["reachable"]) == (["micro"] if barred else [], ["primary"])


@pytest.mark.parametrize(
    ("msg", "asked"),
    [
        # Of the two ends, Ansible hears the one that comes first: ssh's words, or that of its pipe.
        ("timed out waiting for ping module test: Host key verification failed.", True),
        ("timed out waiting for ping module test: Data could not be sent to remote host: [Errno 32] Broken pipe", True),
        ("timed out waiting for ping module test: ssh: connect to host 10.10.0.3 port 22: Connection refused", False),
    ],
)
def test_whose_host_key_is_not_pinned_is_asked_of_the_file_and_the_host(msg, asked):
    hosts = {"results": [{"item": name, "elapsed": 3, "msg": msg} for name in NAMES]}
    found = load("vars")["_find_phase_unverified"]
    variables = {**load("vars"), "_find_phase_hosts": hosts}
    assert Templar(DataLoader(), variables=variables).template(found) == (list(NAMES) if asked else [])
    # Meta showed nothing, so it may be away.
    shown = {
        "hosts": [
            {"name": "micro", "pinned": False, "shown": ["ssh-ed25519 AAAA"]},
            {"name": "primary", "pinned": True, "shown": []},
            {"name": "meta", "pinned": False, "shown": []},
        ],
        "advice": "compare them",
    }
    told = look([silent(name) for name in NAMES], hosts=hosts, host_keys=shown)
    assert (told["unpinned"], told["host_keys"]) == ((["micro"], "compare them") if asked else ([], ""))
    if "pipe" in msg:
        assert told["barred"] == ["micro"]


def test_a_deployment_of_which_a_dry_run_left_the_name_is_none():
    deploys = [
        {"item": {"of": "primary", "by": "micro"}, "tasks": []},
        {"item": {"of": "meta", "by": "primary"}, "skipped": True},
    ]
    asked = [{"item": deploys[0], "instances": []}, {"item": deploys[1], "skipped": True}]
    directors = [answer("micro", "bosh-primary", "other"), silent("primary"), silent("meta")]
    found = look(directors, deploys={"results": deploys}, instances={"results": asked})
    assert found["known"] == {"micro": ["other"], "primary": [], "meta": []}
    # A deploy that failed has instances, and one whose tasks are forgotten, too.
    asked[0]["instances"] = [{"instance": "bosh/1"}]
    assert look(directors, deploys={"results": deploys}, instances={"results": asked})["known"]["micro"] == [
        "bosh-primary",
        "other",
    ]


def test_instances_are_asked_for_only_where_no_deploy_was_done():
    ask = load("tasks", "deploys")[-1]
    items = [
        {"tasks": [{"state": "error"}, {"state": "done"}]},
        {"tasks": [{"state": "error"}]},
        {"tasks": []},
        {"skipped": True},
    ]
    asked = [Templar(DataLoader(), variables={"item": item}).evaluate_conditional(ask["when"]) for item in items]
    assert asked == [False, True, True, False]


DEPLOY = {"id": 60, "state": "done", "user": "admin", "deployment": "bosh-primary", "description": "create deployment"}
CHECK = DEPLOY | {"description": "apply resolutions"}


@pytest.mark.parametrize(
    ("task", "last", "stopped", "adopted"),
    [
        (DEPLOY, {"id": 50}, False, True),
        (CHECK, {"id": 50}, True, True),
        # Micro's own.
        (DEPLOY, {"id": 60}, False, False),
        (CHECK, {"id": 60}, False, False),
        # Nobody wrote down which was Micro's last.
        (DEPLOY, None, False, False),
        (CHECK, None, False, True),
        (CHECK, None, True, False),
    ],
)
@pytest.mark.parametrize("uuid", ["of-micro", "of-another"])
def test_whether_meta_adopted_primary(tmp_path, task, last, stopped, adopted, uuid):
    path = tmp_path / "micro-snapshot.json"
    path.write_text(json.dumps({"uuid": "of-micro", "last_task": last or {}}), encoding="utf-8")
    if uuid == "of-another":
        adopted = task is CHECK and not stopped
    found = look(
        [silent("micro"), silent("primary"), answer("meta", "bosh-primary") | {"director": {"uuid": uuid}}],
        snapshot={"stat": {"exists": True, "path": str(path)}},
        tasks={"tasks": [task | {"started_epoch": 100, "finished_epoch": 130}]},
        monit={"results": [{"item": "primary", "all_stopped": stopped}]},
        primary={"instances": [{"vm_cid": "vm-1", "process_state": "unresponsive agent"}]},
    )
    assert (found["adopted"], found["primary_agent"], found["primary_running"]) == (
        adopted,
        "unresponsive agent",
        False,
    )


def test_a_primary_without_a_vm_has_no_agent():
    found = look([silent(name) for name in NAMES], primary={"instances": [{"vm_cid": "", "process_state": ""}]})
    assert (found["primary_agent"], found["primary_running"], found["adopted"]) == ("", False, False)
