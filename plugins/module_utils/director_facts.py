# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director knows, read from the CLI's tables into plain values."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import epoch, split_lines, utc_stamp, without_marks
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for

SUBSETS = ("deployments", "releases", "stemcells", "configs", "vms", "locks", "tasks")
#: States of a task that has not ended.
RUNNING = ("queued", "processing", "cancelling")
#: Descriptions of what `bosh vms` and `bosh ssh` make of themselves: they hold no lock, have no stages, change nothing.
IDLE = ("retrieve vm-stats", "fetch logs", "ssh: setup", "ssh: cleanup")
_NOT_LOGGED_IN = "(not logged in)"


def identity(cli: BoshCli) -> dict[str, str]:
    """Name, UUID, version, CPI and user of the director.

    `bosh env` exits 0 with wrong credentials and says `(not logged in)`
    (recorded/fail_wrong_creds_env.json), so that is made a failure here.
    """
    row = cli.run("env").first_row("")
    if row["user"] == _NOT_LOGGED_IN:
        raise BoshFailure(cli.argv("env"), 0, f"the director {row['name']} answered: {_NOT_LOGGED_IN}")
    return {key: row[key] for key in ("name", "uuid", "version", "cpi", "user")}


def gather(cli: BoshCli, wanted: set[str], deployment: str = "") -> dict[str, Any]:
    """The wanted subsets, each a list of dicts."""
    readers = {
        "deployments": deployments,
        "releases": releases,
        "stemcells": stemcells,
        "configs": configs,
        "locks": locks,
        "tasks": running_tasks,
    }
    facts: dict[str, Any] = {name: read(cli) for name, read in readers.items() if name in wanted}
    if "vms" in wanted:
        facts["vms"] = vms(cli, deployment)
    return facts


def deployments(cli: BoshCli) -> list[dict[str, Any]]:
    """Every deployment with its releases and stemcells."""
    return [
        {
            "name": row["name"],
            "releases": split_lines(row.get("release_s", "")),
            "stemcells": split_lines(row.get("stemcell_s", "")),
        }
        for row in cli.run("deployments").rows("deployments")
    ]


def releases(cli: BoshCli) -> list[dict[str, Any]]:
    """Uploaded releases; BOSH leaves the name empty in the rows of further versions."""
    return _versioned(cli.run("releases").rows("releases"), ())


def stemcells(cli: BoshCli) -> list[dict[str, Any]]:
    """Uploaded stemcells."""
    return _versioned(cli.run("stemcells").rows("stemcells"), ("cid", "os"))


def _versioned(rows: list[dict[str, str]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    name = ""
    for row in rows:
        name = row["name"] or name
        version, deployed = without_marks(row["version"])
        found.append({"name": name, "version": version, "deployed": deployed} | {key: row.get(key, "") for key in keys})
    return found


def configs(cli: BoshCli) -> list[dict[str, Any]]:
    """Active configs."""
    rows = cli.run("configs").rows("configs")
    return [{"type": row["type"], "name": row["name"], "id": row["id"].rstrip("*")} for row in rows]


def locks(cli: BoshCli) -> list[dict[str, Any]]:
    """Locks held, with the task that holds each."""
    return [
        {key: row[key] for key in ("type", "resource", "task_id", "expires_at")}
        for row in cli.run("locks").rows("locks")
    ]


def running_tasks(cli: BoshCli) -> list[dict[str, Any]]:
    """Tasks that are queued, processing or being cancelled."""
    return listed_tasks(cli)


def listed_tasks(cli: BoshCli, deployment: str = "", recent: int = 0, internal: bool = True) -> list[dict[str, Any]]:
    """Running tasks or, of those that ended too, the last `recent`, newest first.

    internal: also those that the CLI hides by default, such as `retrieve vm-stats`.
    """
    words = [*(["-a"] if internal else []), *([f"--recent={recent}"] if recent else [])]
    return [task(row) for row in cli.run("tasks", *words, deployment=deployment).rows("tasks")]


def busy_with(cli: BoshCli, deployment: str = "") -> list[str]:
    """Tasks that have not ended and locks that are held, in words; with a deployment only those that concern it."""
    tasks = [task for task in running_tasks(cli) if not deployment or task["deployment"] == deployment]
    held = [lock for lock in locks(cli) if not deployment or lock["resource"] == deployment]
    return [
        *(f"task {task['id']} ({task['description']} by {task['user']})" for task in tasks),
        *(f"lock on {lock['resource']} (task {lock['task_id']})" for lock in held),
    ]


def task(row: dict[str, str]) -> dict[str, Any]:
    """One row of `bosh tasks`, with times also in seconds since 1970 (None while it runs)."""
    return {
        "id": int(row["id"]),
        "state": row["state"],
        "user": row["user"],
        "deployment": row["deployment"],
        "description": row["description"],
        "result": row["result"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "started_epoch": epoch(row["started_at"]),
        "finished_epoch": epoch(row["finished_at"]),
    }


def api_task(data: dict[str, Any]) -> dict[str, Any]:
    """A task as the director's API has it, in the form of `task`. Source: bosh-director api/task_manager.rb."""
    # The timestamp is null as long as the task runs.
    times = {"started": data.get("started_at"), "finished": data.get("timestamp")}
    return {
        "id": int(data["id"]),
        "state": data["state"],
        "user": data.get("user") or "",
        "deployment": data.get("deployment") or "",
        "description": data.get("description") or "",
        "result": data.get("result") or "",
        **{f"{name}_at": utc_stamp(value) if value else "-" for name, value in times.items()},
        **{f"{name}_epoch": int(value) if value else None for name, value in times.items()},
    }


def vms(cli: BoshCli, deployment: str = "") -> list[dict[str, Any]]:
    """VMs as the director sees them; a lost one is still listed as `unresponsive agent`."""
    return [
        {
            "instance": row["instance"],
            "vm_cid": row["vm_cid"],
            "process_state": row["process_state"],
            "az": row["az"],
            "ips": split_lines(row["ips"]),
        }
        for row in _vm_rows(cli, deployment)
    ]


def _vm_rows(cli: BoshCli, deployment: str) -> list[dict[str, str]]:
    output = cli.run("vms", deployment=deployment)
    if not deployment and not output.has_table("vms") and not deployments(cli):
        # A table for each deployment, so none without any (bosh-cli cmd/vms.go).
        return []
    return output.rows("vms")


def orphaned_disks(cli: BoshCli) -> list[dict[str, str]]:
    """Disks that no instance has any more, each with the deployment and instance that had it."""
    rows = cli.run("disks", "--orphaned").rows("disks")
    return [
        {"disk_cid": row["disk_cid"]} | {key: row.get(key, "") for key in ("deployment", "instance")} for row in rows
    ]


#: What `process_state` is told as where the agent answers and there is no process: a creation that failed half way, at
#: attach_disk say, leaves a VM without jobs and users, and BOSH says `running`, or `unknown` without an answer of monit
#: (bosh-agent monit_job_supervisor.go).
BARE = "bare"
RUNS = "running"
#: Seconds between two questions for instances: each is a task of the director, which keeps 2000 of a kind.
PAUSE = 5.0


def instances(cli: BoshCli, deployment: str) -> list[dict[str, Any]]:
    """Instances with agent, VM and disk CIDs; an instance without VM has an empty vm_cid."""
    rows = cli.run("instances", "--details", "--ps", deployment=deployment).rows("instances")
    # Each instance is followed by a row for each of its processes.
    with_processes = {row["instance"] for row in rows if row.get("process")}
    return [
        {
            "instance": row["instance"],
            "group": row["instance"].partition("/")[0],
            "id": row["instance"].partition("/")[2],
            "index": int(row["index"]) if row.get("index", "").isdigit() else None,
            "bootstrap": row.get("bootstrap", "") == "true",
            "agent_id": row.get("agent_id", ""),
            # With a VM they are there; one without has no state either.
            "vm_cid": row["vm_cid"] if row["process_state"] else row.get("vm_cid", ""),
            "disk_cids": split_lines(row["disk_cids"] if row["process_state"] else row.get("disk_cids", "")),
            "ips": split_lines(row.get("ips", "")),
            "az": row.get("az", ""),
            "state": row.get("state", ""),
            "process_state": _process_state(row, row["instance"] in with_processes),
            "ignore": row.get("ignore", "") == "true",
        }
        for row in rows
        if not row.get("process")
    ]


def awaited_instances(cli: BoshCli, deployment: str, seconds: float) -> list[dict[str, Any]]:
    """Instances as soon as each runs, with its agent on this director's bus; after `seconds` whatever they are."""
    return wait_for(lambda: instances(cli, deployment), seconds, lambda now: not not_running(now), PAUSE)


def not_running(found: list[dict[str, Any]]) -> list[str]:
    """What each instance is that does not run, in words, or that there is none; empty where each runs."""
    if not found:
        return ["it has no instance"]
    told = []
    for instance in found:
        if instance["process_state"] != RUNS:
            state = f"is `{instance['process_state']}`" if instance["vm_cid"] else "has no VM"
            told.append(f"{instance['instance']} {state}")
    return told


def _process_state(row: dict[str, str], has_processes: bool) -> str:
    state = row["process_state"]
    made_half_way = row.get("vm_cid") and state in (RUNS, "unknown", "") and "process" in row and not has_processes
    return BARE if made_half_way else state


def config_content(cli: BoshCli, kind: str, name: str) -> str:
    """The active config of a type and name as text, or an empty string where there is none."""
    if (kind, name) not in [(config["type"], config["name"]) for config in configs(cli)]:
        return ""
    return cli.run("config", f"--type={kind}", f"--name={name}").first_row("config")["content"]
