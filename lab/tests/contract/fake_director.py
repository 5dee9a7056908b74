# SPDX-License-Identifier: GPL-3.0-or-later
"""A director that knows one recorded session: it answers as the director must have, for the CLI to print that.

Whether it does is proved by the real CLI: with ``BOSH_REAL_CLI`` the contract test runs that against it too.
"""

from __future__ import annotations

import base64
import calendar
import json
import re
import ssl
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

CLIENT, SECRET = "admin", "not-a-secret"
UNKNOWN_TASK = 9999

INFO: dict[str, Any] = {
    "name": "micro",
    "uuid": "3dc705d1-d4e1-408f-aa24-3e85d4657b3a",
    "version": "283.1.0 (00000000)",
    "user": None,
    "cpi": "rig_cpi",
    "stemcell_os": "-",
    "stemcell_version": "-",
    "user_authentication": {"type": "basic", "options": {}},
    "features": {
        "local_dns": {"status": True, "extras": {"domain_name": "bosh"}},
        "snapshots": {"status": False},
        "config_server": {"status": False, "extras": {"urls": []}},
    },
}


def unix_time(text: str) -> int:
    """Unix seconds of ``Sat Nov 21 01:23:25 UTC 2026``; 0 for none."""
    return calendar.timegm(time.strptime(text, "%a %b %d %H:%M:%S UTC %Y")) if text.strip("-") else 0


def _seconds(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


class Session:
    """What the director of a recorded case held: its tables, its tasks with their events, its diff."""

    def __init__(self, stdout: dict[str, Any]) -> None:
        self.blocks: list[str] = stdout["Blocks"] or []
        self.lines: list[str] = stdout["Lines"] or []
        self.tables = {t["Content"]: t["Rows"] for t in stdout["Tables"] or []}
        self.tasks: dict[int, dict[str, Any]] = {}
        for line in self.lines:
            if match := re.fullmatch(r"Task (\d+)", line):
                self.tasks[int(match[1])] = {"id": int(match[1]), "state": "done", "events": [], "start": 0}
            elif match := re.fullmatch(r"\nTask (\d+) (\w+)\n", line):
                self.tasks[int(match[1])]["state"] = match[2]
            elif match := re.search(r"Task (\d+) Started  (.*)\n", line):
                self.tasks[int(match[1])]["start"] = unix_time(match[2])
        self._read_events()
        self.queue = list(self.tasks)

    def _read_events(self) -> None:
        task, now, current = 0, 0, {}
        for place, block in enumerate(self.blocks):
            following = self.blocks[place + 1] if place + 1 < len(self.blocks) else ""
            if match := re.fullmatch(r"\nTask (\d+) \| ([\d:]+) \| ", block):
                task = int(match[1])
                midnight = self.tasks[task]["start"] // 86400 * 86400
                now = midnight + _seconds(match[2])
            elif block.startswith("Error: "):
                error = {"code": 100, "message": block.removeprefix("Error: ")}
                self._event(task, {"time": now, "error": error})
            elif match := re.fullmatch(r" \(([\d:]+)\)", block):
                end = {**current, "time": current["time"] + _seconds(match[1]), "state": "finished", "progress": 100}
                end.pop("data", None)
                if "L Error: " in following:
                    end |= {"state": "failed", "data": {"error": following.split("L Error: ", 1)[1]}}
                self._event(task, end)
            elif match := re.fullmatch(r"L (.*?): .*", block):
                step = {"time": now, "state": "in_progress", "progress": 50, "data": {"status": match[1]}}
                self._event(task, {**current, **step})
            elif task and not block.startswith("\n "):
                stage, _, name = block.partition(": ")
                tags: list[str] = []
                if stage.startswith("Updating instance "):
                    stage, tags = "Updating instance", [stage.removeprefix("Updating instance ")]
                state = "started"
                if match := re.fullmatch(r"(.*) \((\d\d:\d\d:\d\d)\)", name):
                    name, state = match[1], "finished"
                event: dict[str, Any] = {"time": now, "stage": stage, "tags": tags, "total": 1, "index": 1}
                event |= {"task": name, "state": state}
                self._event(task, {**event, "progress": 100 if state == "finished" else 0})
                if state == "started":
                    current = {**event, "progress": 0}

    def _event(self, task: int, event: dict[str, Any]) -> None:
        self.tasks[task]["events"].append(event)

    def event_output(self, task: int) -> str:
        """The task's event log."""
        if not self.tasks[task]["events"] and self.blocks and self.blocks[0].startswith("{"):
            return self.blocks[0]
        return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in self.tasks[task]["events"])

    def result_output(self) -> str:
        """Result of a ``vms`` or ``instances`` task: one JSON object a line."""
        infos: list[dict[str, Any]] = []
        for row in self.tables.get("vms") or self.tables.get("instances") or []:
            if row.get("process"):
                infos[-1]["processes"].append({"name": row["process"], "state": row["process_state"]})
                continue
            infos.append(_vm_info(row))
        return "".join(json.dumps(info) + "\n" for info in infos)

    def diff(self) -> list[list[str | None]]:
        """The manifest's difference as the director tells it."""
        changes = {"+": "added", "-": "removed", " ": None}
        found = [line for line in self.lines if re.fullmatch(r"[+ -] .*\n", line)]
        return [[line[2:-1], changes[line[0]]] for line in found]


def _percent(text: str, key: str) -> dict[str, str]:
    match = re.fullmatch(r"([\d.]+)% \(([\d.]+).*\)", text)
    return {"percent": match[1], key: match[2]} if match else {}


def _vm_info(row: dict[str, str]) -> dict[str, Any]:
    job, _, ident = row["instance"].partition("/")
    # a VM with processes tells its state, one without shows none
    info: dict[str, Any] = {
        "job_name": job,
        "id": ident,
        "index": int(row.get("index") or 0),
        "job_state": row["process_state"],
        "az": row["az"],
        "ips": row["ips"].split("\n") if row["ips"] else [],
        "vm_cid": row.get("vm_cid", ""),
        "vm_type": row.get("vm_type", ""),
        "agent_id": row.get("agent_id", ""),
        "state": row.get("state", "started"),
        "disk_cids": row["disk_cids"].split("\n") if row.get("disk_cids") else [],
        "bootstrap": row.get("bootstrap") == "true",
        "ignore": row.get("ignore") == "true",
        "processes": [] if "process" in row else [{"name": "director", "state": "running"}],
    }
    if "active" in row:
        info["active"] = row["active"] == "true"
    if row.get("stemcell"):
        name, _, version = row["stemcell"].rpartition("/")
        info["stemcell"] = {"name": name, "version": version}
    if row.get("vm_created_at"):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_time(row["vm_created_at"])))
        days, hours, minutes, seconds = map(int, re.findall(r"\d+", row["uptime"]))
        # 1.9 GB is what 1,900,000 kB are printed as
        memory = {"percent": row["memory_usage"].split("%")[0], "kb": "1900000"}
        swap = {"percent": row["swap_usage"].split("%")[0], "kb": "0"}
        disk = {k: _percent(row[f"{k}_disk_usage"], "inode_percent") for k in ("system", "ephemeral", "persistent")}
        info["vm_created_at"] = stamp
        info["vitals"] = {
            "cpu": {key: row[f"cpu_{key}"].rstrip("%") for key in ("user", "sys", "wait")},
            "load": row["load_1m_5m_15m"].split(", "),
            "mem": memory,
            "swap": swap,
            "disk": {key: value for key, value in disk.items() if value},
            "uptime": {"secs": days * 86400 + hours * 3600 + minutes * 60 + seconds},
        }
    return info


class FakeDirector:
    """Serves one session over TLS on 127.0.0.1; ``url`` is its address, ``requests`` what was asked."""

    def __init__(self, stdout: dict[str, Any], certificate: Path, *, user: str = CLIENT) -> None:
        self.session = Session(stdout)
        self.user = user
        self.requests: list[str] = []
        self.bodies: dict[str, bytes] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Be quiet."""

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                content = self.rfile.read(length)
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline().strip() or b"0", 16):
                        content += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                status, headers, body = fake.answer(self, content)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> FakeDirector:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for one request."""
        parsed = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(parsed.query))
        method, path = request.command, parsed.path
        self.requests.append(f"{method} {request.path}")
        self.bodies[f"{method} {path}"] = content
        wanted = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = request.headers.get("Authorization") == wanted
        if path == "/info":
            return self._json(self._info(known))
        if not known:
            return 401, {"WWW-Authenticate": 'Basic realm="BOSH Director"'}, f"Not authorized: '{path}'\n".encode()
        if match := re.fullmatch(r"/tasks/(\d+)(/output)?", path):
            return self._task(int(match[1]), bool(match[2]), query, request.headers.get("Range", ""))
        if re.match(r"/deployments/nope(/|$)", path):
            return self._error(404, 70000, "Deployment 'nope' doesn't exist")
        return self._route(method, path)

    def _info(self, known: bool) -> dict[str, Any]:
        row = (self.session.tables.get("") or [{}])[0]
        found = {key: row[key] for key in ("name", "uuid", "version") if key in row}
        return {**INFO, **found, "user": CLIENT if known else None}

    @staticmethod
    def _json(data: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
        return status, {"Content-Type": "application/json"}, json.dumps(data, separators=(",", ":")).encode()

    def _error(self, status: int, code: int, description: str) -> tuple[int, dict[str, str], bytes]:
        return self._json({"code": code, "description": description}, status)

    def _new_task(self) -> tuple[int, dict[str, str], bytes]:
        return 302, {"Location": f"/tasks/{self.session.queue.pop(0)}"}, b""

    def _task(self, number: int, output: bool, query: dict[str, str], span: str) -> tuple[int, dict[str, str], bytes]:
        if number == UNKNOWN_TASK:
            return self._error(404, 10000, f"Task {number} not found")
        task = self.session.tasks.get(number) or {"state": "processing", "start": 0}
        if not output:
            state = {"id": number, "state": task["state"], "started_at": task["start"], "timestamp": task["start"]}
            return self._json({**state, "description": "", "result": "", "user": CLIENT, "deployment": ""})
        result = query.get("type") == "result"
        text = self.session.result_output() if result else self.session.event_output(number)
        begin = int(span.removeprefix("bytes=").removesuffix("-") or 0) if span else 0
        data = text.encode()
        if span and begin >= len(data):
            return (416, {}, b"") if data else (204, {}, b"")
        return (206 if span else 200), {}, data[begin:]

    def _route(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        tables = self.session.tables
        new_task = [
            ("GET", r"/deployments/[^/]+/(vms|instances)"),
            ("POST", r"/deployments/[^/]+/scans"),
            ("PUT", r"/deployments/[^/]+/problems"),
            ("POST", r"/deployments"),
            ("DELETE", r"/vms/.*"),
        ]
        if any(method == verb and re.fullmatch(pattern, path) for verb, pattern in new_task):
            return self._new_task()
        if method == "POST" and path.endswith("/diff"):
            return self._json({"context": {}, "diff": self.session.diff()})
        if method == "PUT" and path == "/resurrection":
            return 204, {}, b""
        if match := re.fullmatch(r"/task/(\d+)", path):
            done = match[1] == "1"
            return (400, {}, b"Cannot cancel task 1: invalid state (done)") if done else (204, {}, b"")
        simple = {
            "/deployments": lambda: [_deployment(row) for row in tables.get("deployments", [_DEPLOYED])],
            "/deployment_configs": lambda: [_CONFIG_USE],
            "/stemcells": lambda: [_stemcell(row) for row in tables["stemcells"]],
            "/releases": lambda: [_release(row) for row in tables["releases"]],
            "/configs": lambda: [_config(row) for row in tables.get("configs", [])],
            "/cloud_configs": lambda: [{"properties": self.session.blocks[0]}],
            "/locks": lambda: [_lock(row) for row in tables["locks"]],
            "/tasks": lambda: [_task_row(row) for row in tables["tasks"]],
            "/disks": lambda: [],
            "/events": lambda: [_event(row) for row in tables["events"]],
        }
        if method == "GET" and path in simple:
            return self._json(simple[path]())
        if method == "GET" and path.endswith("/problems"):
            return self._json([_problem(row) for row in tables.get("problems", [])])
        return self._error(404, 0, f"the fake director has no {method} {path}")


_DEPLOYED = {"name": "bosh-primary", "release_s": "bosh/283.1.6", "stemcell_s": "s/1.1", "team_s": ""}
_CONFIG_USE = {"id": 1, "deployment": "bosh-primary", "config": {"id": 1, "type": "cloud", "name": "default"}}


def _pairs(text: str) -> list[dict[str, str]]:
    return [{"name": item.rpartition("/")[0], "version": item.rpartition("/")[2]} for item in text.split("\n") if item]


def _deployment(row: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "releases": _pairs(row["release_s"]),
        "stemcells": _pairs(row["stemcell_s"]),
        "teams": row["team_s"].split("\n") if row["team_s"] else [],
        "cloud_config": "latest",
    }


def _stemcell(row: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "version": row["version"].rstrip("*"),
        "operating_system": row["os"],
        "cid": row["cid"],
        "cpi": row["cpi"],
        "deployments": [{"name": "bosh-primary"}] if row["version"].endswith("*") else [],
    }


def _release(row: dict[str, str]) -> dict[str, Any]:
    version = {
        "version": row["version"].rstrip("*"),
        "commit_hash": row["commit_hash"].rstrip("+"),
        "uncommitted_changes": row["commit_hash"].endswith("+"),
        "currently_deployed": row["version"].endswith("*"),
        "job_names": [],
    }
    return {"name": row["name"], "release_versions": [version]}


def _config(row: dict[str, str]) -> dict[str, Any]:
    return {
        "id": row["id"].rstrip("*"),
        "current": row["id"].endswith("*"),
        "type": row["type"],
        "name": row["name"],
        "team": row["team"] or None,
        "created_at": row["created_at"],
        "content": "{}",
    }


def _lock(row: dict[str, str]) -> dict[str, Any]:
    timeout = f"{unix_time(row['expires_at'])}.25"
    return {"type": row["type"], "resource": row["resource"].split(":"), "timeout": timeout, "task_id": row["task_id"]}


def _task_row(row: dict[str, str]) -> dict[str, Any]:
    return {
        "id": int(row["id"]),
        "state": row["state"],
        "description": row["description"],
        "timestamp": unix_time(row["finished_at"]),
        "started_at": unix_time(row["started_at"]),
        "result": row["result"],
        "user": row["user"],
        "deployment": row["deployment"],
    }


def _event(row: dict[str, str]) -> dict[str, Any]:
    ident, _, parent = row["id"].partition(" <- ")
    context = yaml.safe_load(row["context"]) or {}
    event: dict[str, Any] = {
        "id": ident,
        "timestamp": unix_time(row["time"]),
        "user": row["user"],
        "action": row["action"],
        "object_type": row["object_type"],
        "object_name": row["object_name"],
        "task": row["task_id"],
        "deployment": row["deployment"],
        "instance": row["instance"],
        "context": context,
        "error": row["error"],
    }
    return {**event, "parent_id": parent} if parent else event


def _problem(row: dict[str, str]) -> dict[str, Any]:
    plans = {"ignore": "Skip for now", "recreate_vm": "Recreate VM and wait for processes to start"}
    return {
        "id": int(row["0"]),
        "type": row["type"],
        "description": row["description"],
        "data": {},
        "resolutions": [{"name": name, "plan": plan} for name, plan in plans.items()],
    }
