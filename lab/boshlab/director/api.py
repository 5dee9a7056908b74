# SPDX-License-Identifier: GPL-3.0-or-later

"""The director's HTTP API, behind nginx. Paths, parameters and codes are BOSH's (api/controllers/*.rb)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from boshlab.director import jobs, plan, tasks
from boshlab.director.db import (
    Config,
    Deployment,
    DeploymentProblem,
    DirectorAttribute,
    Event,
    Instance,
    Lock,
    OrphanDisk,
    PersistentDisk,
    Release,
    ReleaseVersion,
    Stemcell,
    Task,
    Template,
    Vm,
    attribute,
    now,
)

VERSION = "283.1.0 (00000000)"
Handler = Callable[["Call"], Any]


class Refused(Exception):
    """An answer with BOSH's code and description."""

    def __init__(self, status: int, code: int, description: str) -> None:
        super().__init__(description)
        self.status, self.code = status, code


class Call:
    """One request: its session, user, path, query and body."""

    def __init__(self, session: Session, config: dict[str, Any], user: str, request: Request, body: bytes) -> None:
        self.session, self.config, self.user, self.body = session, config, user, body
        self.path, self.query, self.headers = request.path_params, request.query_params, request.headers

    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    def deployment(self) -> Deployment:
        name = self.path["deployment"]
        found = self.session.scalars(sa.select(Deployment).where(Deployment.name == name)).first()
        if found is None:
            raise Refused(404, 70000, f"Deployment '{name}' doesn't exist")
        return found

    def flag(self, name: str) -> bool:
        return self.query.get(name) == "true"

    def task(self, kind: str, description: str, deployment: str | None = None, **arguments: Any) -> Response:
        """Queue a task and send the caller to it."""
        task_id = tasks.start(self.session, self.user, kind, description, deployment, **arguments)
        return RedirectResponse(f"/tasks/{task_id}", status_code=302)

    def upload(self) -> str:
        path = jobs.upload_path()
        Path(path).write_bytes(self.body)
        return path


def stamp(moment: Any) -> int | None:
    return int((moment - type(moment)(1970, 1, 1)).total_seconds()) if moment else None


# Director


def info(call: Call) -> Any:
    return {
        "name": call.config["name"],
        "uuid": attribute(call.session, "uuid"),
        "version": VERSION,
        "user": call.user or None,
        "cpi": "podman_cpi",
        "stemcell_os": "-",
        "stemcell_version": "-",
        "user_authentication": {"type": "basic", "options": {}},
        "features": {
            "local_dns": {"status": True, "extras": {"domain_name": "bosh"}},
            "snapshots": {"status": False},
            "config_server": {"status": False, "extras": {"urls": []}},
        },
    }


def get_resurrection(call: Call) -> Any:
    return {"resurrection": attribute(call.session, "resurrection_paused") != "true"}


def put_resurrection(call: Call) -> Any:
    value = "true" if call.json()["resurrection_paused"] else "false"
    call.session.merge(DirectorAttribute(name="resurrection_paused", value=value))
    call.session.commit()
    return Response(status_code=200)


def list_locks(call: Call) -> Any:
    found = []
    for lock in call.session.scalars(sa.select(Lock).where(Lock.expired_at > now()).order_by(Lock.name)):
        _word, kind, resource = lock.name.split(":", 2)
        found.append(
            {"type": kind, "resource": [resource], "timeout": f"{stamp(lock.expired_at)}.0", "task_id": lock.task_id}
        )
    return found


def list_orphans(call: Call) -> Any:
    return [
        {
            "disk_cid": disk.disk_cid,
            "size": disk.size,
            "az": disk.availability_zone,
            "deployment_name": disk.deployment_name,
            "instance_name": disk.instance_name,
            "cloud_properties": {},
            "orphaned_at": disk.created_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        }
        for disk in call.session.scalars(sa.select(OrphanDisk).order_by(OrphanDisk.id))
    ]


def list_events(call: Call) -> Any:
    query = sa.select(Event).order_by(Event.id.desc()).limit(200)
    for name in ("user", "action", "object_type", "object_name", "task", "deployment", "instance"):
        if value := call.query.get(name):
            query = query.where(getattr(Event, name) == value)
    if (before := call.query.get("before_id", "")).isdigit():
        query = query.where(Event.id < int(before))
    rows = call.session.scalars(query)
    return [
        {
            "id": str(row.id),
            "timestamp": stamp(row.timestamp),
            "user": row.user,
            "action": row.action,
            "object_type": row.object_type,
            "object_name": row.object_name or "",
            "task": row.task or "",
            "deployment": row.deployment or "",
            "instance": row.instance or "",
            "error": row.error or "",
            "context": {},
        }
        for row in rows
    ]


# Tasks


#: Kinds of tasks that are listed without `--all`: neither `scan and fix` nor `apply resolutions` (tasks_controller.rb).
NOT_VERBOSE = (
    "update_stemcell",
    "delete_stemcell",
    "update_release",
    "delete_release",
    "update_deployment",
    "delete_deployment",
)


def task_json(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "state": task.state,
        "description": task.description,
        "timestamp": stamp(task.timestamp),
        "started_at": stamp(task.started_at),
        "result": task.result,
        "user": task.username,
        "deployment": task.deployment_name,
        "context_id": task.context_id,
    }


def list_tasks(call: Call) -> Any:
    query = sa.select(Task).order_by(Task.id.desc())
    if states := call.query.get("state"):
        query = query.where(Task.state.in_(states.split(",")))
    if deployment := call.query.get("deployment"):
        query = query.where(Task.deployment_name == deployment)
    if call.query.get("verbose", "1") == "1":
        query = query.where(Task.type.in_(NOT_VERBOSE))
    if limit := call.query.get("limit"):
        query = query.limit(max(int(limit) if limit.isdigit() else 1, 1))
    found = list(call.session.scalars(query))
    for task in found:
        tasks.expire(call.session, task)
    return [task_json(task) for task in found]


def _task(call: Call) -> Task:
    task = call.session.get(Task, int(call.path["id"]))
    if task is None:
        raise Refused(404, 10000, f"Task {call.path['id']} not found")
    return task


def get_task(call: Call) -> Any:
    task = _task(call)
    tasks.expire(call.session, task)
    return task_json(task)


def task_output(call: Call) -> Any:
    """A part of a log, from the byte that the caller asks for."""
    task, kind = _task(call), call.query.get("type", "debug")
    if kind in ("event", "result"):
        data = (task.event_output if kind == "event" else task.result_output).encode()
    else:
        log = tasks.TASKS / str(task.id) / kind
        data = log.read_bytes() if log.is_file() else b""
    wanted = call.headers.get("range", "")
    if not wanted.startswith("bytes="):
        return PlainTextResponse(data) if data else Response(status_code=204)
    start = int(wanted.removeprefix("bytes=").partition("-")[0])
    if start >= len(data):
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    span = f"bytes {start}-{len(data) - 1}/{len(data)}"
    return PlainTextResponse(data[start:], status_code=206, headers={"Content-Range": span})


def cancel_task(call: Call) -> Any:
    task = _task(call)
    if task.state not in ("queued", "processing"):
        # As the real one: a text, not JSON.
        return PlainTextResponse(f"Cannot cancel task {task.id}: invalid state ({task.state})\n", status_code=400)
    task.state = "cancelling" if task.state == "processing" else "cancelled"
    call.session.commit()
    return Response(status_code=204)


# Stemcells, releases


def list_stemcells(call: Call) -> Any:
    used = call.session.scalars(sa.select(Deployment)).all()
    return [
        {
            "name": row.name,
            "version": row.version,
            "operating_system": row.operating_system,
            "cid": row.cid,
            "cpi": "",
            "api_version": 2,
            "deployments": [{"name": item.name} for item in used if f"{row.name}/{row.version}" in item.stemcells],
        }
        for row in call.session.scalars(sa.select(Stemcell).order_by(Stemcell.id))
    ]


def stemcell_needed(call: Call) -> Any:
    wanted = call.json()["stemcell"]
    query = sa.select(Stemcell).where(Stemcell.name == wanted["name"], Stemcell.version == str(wanted["version"]))
    return {"needed": call.session.scalars(query).first() is None}


def add_stemcell(call: Call) -> Any:
    return call.task("update_stemcell", "create stemcell", path=call.upload())


def remove_stemcell(call: Call) -> Any:
    return call.task("delete_stemcell", f"delete stemcell: {call.path['name']}/{call.path['version']}", **call.path)


def list_releases(call: Call) -> Any:
    used = {release for item in call.session.scalars(sa.select(Deployment)) for release in item.releases}
    return [
        {
            "name": release.name,
            "release_versions": [
                {
                    "version": row.version,
                    "commit_hash": row.commit_hash,
                    "uncommitted_changes": row.uncommitted_changes,
                    "currently_deployed": f"{release.name}/{row.version}" in used,
                    "job_names": [],
                }
                for row in call.session.scalars(
                    sa.select(ReleaseVersion).where(ReleaseVersion.release_id == release.id)
                )
            ],
        }
        for release in call.session.scalars(sa.select(Release).order_by(Release.name))
    ]


def inspect_release(call: Call) -> Any:
    """Of one version: the CLI asks before it uploads a release that a manifest has with its URL."""
    name, version = call.path["name"], call.query.get("version", "")
    if call.session.scalars(sa.select(Release).where(Release.name == name)).first() is None:
        raise Refused(404, 30005, f"Release '{name}' doesn't exist")
    query = sa.select(ReleaseVersion).join(Release).where(Release.name == name, ReleaseVersion.version == version)
    row = call.session.scalars(query).first()
    if row is None:
        raise Refused(404, 30006, f"Release version '{name}/{version}' doesn't exist")
    templates = sa.select(Template).where(Template.release_version_id == row.id).order_by(Template.name)
    return {
        "jobs": [
            {
                "name": job.name,
                "blobstore_id": job.blobstore_id,
                "sha1": f"sha256:{job.version}",
                "fingerprint": job.version,
                "consumes": [],
                "provides": [],
            }
            for job in call.session.scalars(templates)
        ],
        "packages": [],
    }


def add_release(call: Call) -> Any:
    return call.task("update_release", "create release", path=call.upload())


def remove_release(call: Call) -> Any:
    return call.task(
        "delete_release",
        f"delete release: {call.path['name']}",
        name=call.path["name"],
        version=call.query.get("version"),
    )


def match_packages(_call: Call) -> Any:
    return []


# Configs


def config_json(row: Config, current: bool) -> dict[str, Any]:
    created = row.created_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return {
        "id": str(row.id),
        "type": row.type,
        "name": row.name,
        "content": row.content,
        "created_at": created,
        "team": None,
        "current": current,
    }


def _configs(call: Call) -> list[Config]:
    query = sa.select(Config).where(~Config.deleted).order_by(Config.type, Config.name, Config.id.desc())
    for key, column in (("type", Config.type), ("name", Config.name)):
        if value := call.query.get(key):
            query = query.where(column == value)
    return list(call.session.scalars(query))


def list_configs(call: Call) -> Any:
    limit = 1 if call.query.get("latest") == "true" else int(call.query.get("limit", "1"))
    found: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], int] = {}
    for row in _configs(call):
        count = seen[row.type, row.name] = seen.get((row.type, row.name), 0) + 1
        if count <= limit:
            found.append(config_json(row, count == 1))
    return found


def get_config(call: Call) -> Any:
    row = call.session.get(Config, int(call.path["id"]))
    if row is None or row.deleted:
        raise Refused(404, 440011, f"Config {call.path['id']} not found")
    return config_json(row, True)


def _save_config(call: Call, kind: str, name: str, content: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise Refused(400, 440001, f"Incorrect YAML structure of the uploaded manifest: {error}") from error
    if not isinstance(data, dict):
        raise Refused(400, 440001, "YAML hash expected")
    query = (
        sa.select(Config).where(Config.type == kind, Config.name == name, ~Config.deleted).order_by(Config.id.desc())
    )
    latest = call.session.scalars(query).first()
    if latest is None or latest.content != content:
        latest = Config(type=kind, name=name, content=content)
        call.session.add(latest)
        call.session.commit()
    return config_json(latest, True)


def add_config(call: Call) -> Any:
    wanted = call.json()
    return JSONResponse(_save_config(call, wanted["type"], wanted["name"], wanted["content"]), status_code=201)


def remove_config(call: Call) -> Any:
    rows = _configs(call)
    if not rows:
        raise Refused(404, 440011, "Config not found")
    for row in rows:
        row.deleted = True
    call.session.commit()
    return Response(status_code=204)


def diff_config(call: Call) -> Any:
    wanted = call.json()
    query = sa.select(Config).where(Config.type == wanted["type"], Config.name == wanted["name"], ~Config.deleted)
    old = call.session.scalars(query.order_by(Config.id.desc())).first()
    lines = plan.diff(yaml.safe_load(old.content) if old else {}, yaml.safe_load(wanted["content"]), redact=False)
    return {"diff": lines, "from": {"id": str(old.id)} if old else {}}


def cloud_configs(call: Call) -> Any:
    return _old_configs(call, "cloud")


def runtime_configs(call: Call) -> Any:
    return _old_configs(call, "runtime")


def _old_configs(call: Call, kind: str) -> Any:
    query = sa.select(Config).where(Config.type == kind, ~Config.deleted).order_by(Config.id.desc()).limit(1)
    return [
        {"properties": row.content, "created_at": row.created_at.strftime("%Y-%m-%d %H:%M:%S UTC")}
        for row in call.session.scalars(query)
    ]


def add_cloud_config(call: Call) -> Any:
    _save_config(call, "cloud", call.query.get("name") or "default", call.body.decode())
    return Response(status_code=201)


def add_runtime_config(call: Call) -> Any:
    _save_config(call, "runtime", call.query.get("name") or "default", call.body.decode())
    return Response(status_code=201)


# Deployments


def deployment_json(deployment: Deployment, locked: set[str]) -> dict[str, Any]:
    def parts(items: list[str]) -> list[dict[str, str]]:
        return [dict(zip(("name", "version"), item.rsplit("/", 1), strict=True)) for item in items]

    return {
        "name": deployment.name,
        "cloud_config": "latest",
        "teams": [],
        "releases": parts(deployment.releases),
        "stemcells": parts(deployment.stemcells),
        "locked": deployment.name in locked,
    }


def list_deployments(call: Call) -> Any:
    locked = {
        name.rpartition(":")[2]
        for name in call.session.scalars(
            sa.select(Lock.name).where(Lock.name.startswith("lock:deployment:"), Lock.expired_at > now())
        )
    }
    return [
        deployment_json(row, locked) for row in call.session.scalars(sa.select(Deployment).order_by(Deployment.name))
    ]


def deployment_configs(call: Call) -> Any:
    names = call.query.getlist("deployment[]")
    rows = call.session.scalars(
        sa.select(Deployment).where(Deployment.name.in_(names), Deployment.cloud_config_id.is_not(None))
    )
    return [
        {
            "id": row.id,
            "deployment": row.name,
            "config": {"id": row.cloud_config_id, "type": "cloud", "name": "default"},
        }
        for row in rows
    ]


def get_deployment(call: Call) -> Any:
    return {"manifest": call.deployment().manifest}


def _manifest(call: Call) -> dict[str, Any]:
    try:
        data = yaml.safe_load(call.body)
    except yaml.YAMLError as error:
        raise Refused(400, 440001, f"Incorrect YAML structure of the uploaded manifest: {error}") from error
    if not isinstance(data, dict) or "name" not in data:
        raise Refused(400, 40001, "Deployment manifest must have a 'name' key")
    return data


def diff_deployment(call: Call) -> Any:
    wanted, name = _manifest(call), call.path["deployment"]
    known = call.session.scalars(sa.select(Deployment).where(Deployment.name == name)).first()
    old = yaml.safe_load(known.manifest) if known and known.manifest else {}
    cloud = call.session.scalars(
        sa.select(Config.id).where(Config.type == "cloud", ~Config.deleted).order_by(Config.id.desc())
    ).first()
    context = {"cloud_config_ids": [cloud] if cloud else [], "runtime_config_ids": []}
    return {"context": context, "diff": plan.diff(old, wanted, call.query.get("redact", "true") != "false")}


def add_deployment(call: Call) -> Any:
    name = _manifest(call)["name"]
    options = {"dry_run": call.flag("dry_run"), "recreate": call.flag("recreate")}
    description = "create deployment" + (" (dry run)" if options["dry_run"] else "")
    return call.task("update_deployment", description, name, manifest=call.body.decode(), **options)


def remove_deployment(call: Call) -> Any:
    name = call.deployment().name
    return call.task("delete_deployment", f"delete deployment {name}", name, name=name)


def change_state(call: Call) -> Any:
    name = call.deployment().name
    state = call.query.get("state", "started")
    return call.task("change_state", f"{state} deployment {name}", name, name=name, state=state)


def _instances(call: Call) -> list[Instance]:
    query = (
        sa.select(Instance).where(Instance.deployment_id == call.deployment().id).order_by(Instance.job, Instance.index)
    )
    return list(call.session.scalars(query))


def list_vms(call: Call) -> Any:
    deployment = call.deployment()
    if call.query.get("format") == "full":
        return call.task("vms", "retrieve vm-stats", deployment.name, name=deployment.name)
    query = sa.select(Vm).join(Instance).where(Instance.deployment_id == deployment.id)
    return [
        {
            "agent_id": vm.agent_id,
            "cid": vm.cid,
            "job": vm.instance.job,
            "index": vm.instance.index,
            "id": vm.instance.uuid,
            "az": vm.instance.availability_zone,
            "permanent_nats_credentials": vm.permanent_nats_credentials,
            "active": vm.active,
            "ips": [network["ip"] for network in (vm.instance.spec_json.get("networks") or {}).values()],
        }
        for vm in call.session.scalars(query)
    ]


def list_instances(call: Call) -> Any:
    if call.query.get("format") == "full":
        name = call.deployment().name
        return call.task("instances", "retrieve vm-stats", name, name=name)
    return [
        {
            "agent_id": item.vm.agent_id if item.vm else None,
            "cid": item.vm.cid if item.vm else None,
            "job": item.job,
            "index": item.index,
            "id": item.uuid,
            "az": item.availability_zone,
            "expects_vm": item.state in jobs.EXPECTING_VM,
            "ips": [network["ip"] for network in (item.spec_json.get("networks") or {}).values()],
        }
        for item in _instances(call)
    ]


def start_scan(call: Call) -> Any:
    name = call.deployment().name
    return call.task("scan", "scan cloud", name, name=name)


def list_problems(call: Call) -> Any:
    deployment = call.deployment()
    query = sa.select(DeploymentProblem).where(
        DeploymentProblem.deployment_id == deployment.id, DeploymentProblem.state == "open"
    )
    found = []
    for problem in call.session.scalars(query.order_by(DeploymentProblem.id)):
        instance = call.session.get(Instance, problem.resource_id) if problem.type != "missing_disk" else None
        names = jobs.RESOLUTIONS[problem.type]
        found.append(
            {
                "id": problem.id,
                "type": problem.type,
                "data": problem.data_json,
                "description": jobs.describe(call.session, problem),
                "instance_group": instance.job if instance else "",
                "resolutions": [{"name": name, "plan": jobs.PLANS[name]} for name in names],
            }
        )
    return found


def apply_resolutions(call: Call) -> Any:
    name = call.deployment().name
    return call.task("resolve", "apply resolutions", name, name=name, resolutions=call.json()["resolutions"])


def scan_and_fix(call: Call) -> Any:
    name = call.deployment().name
    if attribute(call.session, "resurrection_paused") == "true":
        raise Refused(400, 410004, "Resurrector is paused")
    return call.task("scan_and_fix", "scan and fix", name, name=name, jobs=call.json()["jobs"])


def log_in(call: Call) -> Any:
    name, wanted = call.deployment().name, call.json()
    return call.task(
        "ssh",
        f"ssh: {wanted['command']}:{wanted.get('target')}",
        name,
        name=name,
        command=wanted["command"],
        params=wanted["params"],
        target=wanted.get("target") or {},
    )


def remove_vm(call: Call) -> Any:
    # The task belongs to no deployment (vms_controller.rb).
    return call.task("delete_vm", f"delete vm {call.path['cid']}", cid=call.path["cid"])


def remove_orphan(call: Call) -> Any:
    # One that an instance has is refused before there is a task (jobs/delete_orphan_disks.rb).
    cid = call.path["cid"]
    if call.session.scalars(sa.select(PersistentDisk).where(PersistentDisk.disk_cid == cid)).first():
        raise Refused(400, 520000, f'Deleting persistent disk is not supported: ["{cid}"]')
    return call.task("delete_orphan_disks", "delete orphan disks", cids=[cid])


def nothing(_call: Call) -> Any:
    return []


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/info", info),
    ("GET", "/resurrection", get_resurrection),
    ("PUT", "/resurrection", put_resurrection),
    ("GET", "/locks", list_locks),
    ("GET", "/disks", list_orphans),
    ("DELETE", "/disks/{cid}", remove_orphan),
    ("GET", "/orphaned_vms", nothing),
    ("GET", "/events", list_events),
    ("GET", "/tasks", list_tasks),
    ("GET", "/tasks/{id:int}", get_task),
    ("GET", "/tasks/{id:int}/output", task_output),
    ("DELETE", "/task/{id:int}", cancel_task),
    ("GET", "/stemcells", list_stemcells),
    ("POST", "/stemcells", add_stemcell),
    ("POST", "/stemcell_uploads", stemcell_needed),
    ("DELETE", "/stemcells/{name}/{version}", remove_stemcell),
    ("GET", "/releases", list_releases),
    ("GET", "/releases/{name}", inspect_release),
    ("POST", "/releases", add_release),
    ("DELETE", "/releases/{name}", remove_release),
    ("POST", "/packages/matches", match_packages),
    ("GET", "/configs", list_configs),
    ("POST", "/configs", add_config),
    ("DELETE", "/configs", remove_config),
    ("POST", "/configs/diff", diff_config),
    ("GET", "/configs/{id:int}", get_config),
    ("GET", "/cloud_configs", cloud_configs),
    ("POST", "/cloud_configs", add_cloud_config),
    ("GET", "/runtime_configs", runtime_configs),
    ("POST", "/runtime_configs", add_runtime_config),
    ("GET", "/deployments", list_deployments),
    ("POST", "/deployments", add_deployment),
    ("GET", "/deployment_configs", deployment_configs),
    ("GET", "/deployments/{deployment}", get_deployment),
    ("DELETE", "/deployments/{deployment}", remove_deployment),
    ("POST", "/deployments/{deployment}/diff", diff_deployment),
    ("GET", "/deployments/{deployment}/vms", list_vms),
    ("GET", "/deployments/{deployment}/instances", list_instances),
    ("GET", "/deployments/{deployment}/variables", nothing),
    ("POST", "/deployments/{deployment}/scans", start_scan),
    ("GET", "/deployments/{deployment}/problems", list_problems),
    ("PUT", "/deployments/{deployment}/problems", apply_resolutions),
    ("PUT", "/deployments/{deployment}/scan_and_fix", scan_and_fix),
    ("POST", "/deployments/{deployment}/ssh", log_in),
    ("PUT", "/deployments/{deployment}/jobs/{job}", change_state),
    ("DELETE", "/vms/{cid}", remove_vm),
]


def application(engine: sa.Engine, config: dict[str, Any]) -> Starlette:
    """The API as an ASGI application."""
    passwords = {user["name"]: user["password"] for user in config["users"]}

    def user_of(request: Request) -> str:
        scheme, _space, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            name, _colon, password = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        known = passwords.get(name)
        return name if known is not None and hmac.compare_digest(known.encode(), password.encode()) else ""

    def answer(handler: Handler, request: Request, user: str, body: bytes) -> Response:
        try:
            with Session(engine) as session:
                said = handler(Call(session, config, user, request, body))
        except Refused as refused:
            return JSONResponse({"code": refused.code, "description": str(refused)}, status_code=refused.status)
        except sa.exc.OperationalError as error:
            return JSONResponse({"code": 100, "description": f"{error.orig}"}, status_code=500)
        except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            # A body that is no JSON, or lacks what is needed.
            return JSONResponse({"code": 100, "description": f"Bad request: {error!r}"}, status_code=400)
        return said if isinstance(said, Response) else JSONResponse(said)

    def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def run(request: Request) -> Response:
            user = user_of(request)
            if not user and handler is not info:
                return PlainTextResponse(
                    f"Not authorized: '{request.url.path}'\n",
                    status_code=401,
                    headers={"WWW-Authenticate": 'Basic realm="BOSH Director"'},
                )
            return await run_in_threadpool(answer, handler, request, user, await request.body())

        return run

    return Starlette(routes=[Route(path, endpoint(handler), methods=[method]) for method, path, handler in ROUTES])
