# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent: BOSH's protocol over NATS, and over HTTPS for create-env.

Source: bosh-agent mbus/nats_handler.go, mbus/https_handler.go, agent/action_dispatcher.go.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import ssl
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nats
import nats.errors

from boshlab.agent import settings as store
from boshlab.agent.actions import ASYNCHRONOUS, LOCAL_BLOBS, ActionFailed, Actions, monit_states

#: Seconds between two heartbeats; the real agent's are 60.
HEARTBEAT = 3
#: Seconds before the agent, refused by NATS, exits and is started again.
LOCKED_OUT_PAUSE = 5


def say(words: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {words}", flush=True)


class Dispatcher:
    """Answers requests; long ones become tasks of the agent's own."""

    def __init__(self, actions: Actions) -> None:
        self.actions = actions
        self._tasks: dict[str, dict[str, Any]] = {}
        # One long action at a time, as the real agent's task service has it.
        self._turn = threading.Lock()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Value or exception; never raises."""
        method, arguments = request.get("method", ""), request.get("arguments") or []
        try:
            if method == "get_task":
                return self._task(arguments[0])
            if method == "cancel_task":
                return {"value": "canceled"}
            if method.startswith("_") or not callable(getattr(self.actions, method, None)):
                return {"exception": {"message": f"unknown message {method}"}}
            if method in ASYNCHRONOUS:
                return {"value": self._start(method, arguments)}
            return {"value": self._call(method, arguments)}
        except Exception as error:
            if not isinstance(error, ActionFailed):
                say(traceback.format_exc())
            return {"exception": {"message": f"Action Failed {method}: {error}"}}

    def _call(self, method: str, arguments: list[Any]) -> Any:
        return getattr(self.actions, method)(*arguments)

    def _start(self, method: str, arguments: list[Any]) -> dict[str, str]:
        task_id = str(uuid.uuid4())
        self._tasks[task_id] = {"state": "running"}

        def work() -> None:
            with self._turn:
                say(f"{method} begins")
                try:
                    self._tasks[task_id] = {"state": "done", "value": self._call(method, arguments)}
                except Exception as error:
                    say(traceback.format_exc())
                    self._tasks[task_id] = {"state": "failed", "error": f"Action Failed {method}: {error}"}
                say(f"{method} ended: {self._tasks[task_id]['state']}")

        threading.Thread(target=work, daemon=True).start()
        return {"agent_task_id": task_id, "state": "running"}

    def _task(self, task_id: str) -> dict[str, Any]:
        task = self._tasks.get(task_id)
        if task is None:
            return {"exception": {"message": f"Action Failed get_task: Task with id {task_id} could not be found"}}
        if task["state"] == "running":
            return {"value": {"agent_task_id": task_id, "state": "running"}}
        if task["state"] == "failed":
            return {"exception": {"message": f"Action Failed get_task: Task {task_id} result: {task['error']}"}}
        return {"value": task["value"]}


def heartbeat(actions: Actions) -> dict[str, Any]:
    spec = store.read(store.SPEC)
    return {
        "deployment": spec.get("deployment", ""),
        "job": spec.get("name"),
        "index": spec.get("index"),
        "node_id": spec.get("id", ""),
        "job_state": actions.job_state(),
        "vitals": actions.vitals(),
        "number_of_processes": len(monit_states()),
    }


async def serve_nats(actions: Actions, urls: list[str]) -> None:
    """Obey the bus that the settings name. Refused by it, the connection is closed for good and the process ends."""
    agent_id = actions.settings["agent_id"]
    dispatcher = Dispatcher(actions)
    refused = asyncio.Event()

    async def on_error(error: Exception) -> None:
        say(f"bus: {error!r}")
        if "Authorization Violation" in str(error) or isinstance(error, nats.errors.AuthorizationError):
            refused.set()

    try:
        bus = await nats.connect(
            urls,
            tls=tls_context(actions),
            error_cb=on_error,
            max_reconnect_attempts=-1,
            reconnect_time_wait=2,
            connect_timeout=5,
            ping_interval=5,
            max_outstanding_pings=2,
            allow_reconnect=True,
        )
    except Exception as error:
        say(f"no bus at {urls}: {error!r}")
        await asyncio.sleep(LOCKED_OUT_PAUSE)
        sys.exit(1)

    # Refused while it still tried: it is in now.
    refused.clear()
    loop = asyncio.get_running_loop()

    async def on_request(message: Any) -> None:
        try:
            request = json.loads(message.data)
            reply_to = request["reply_to"]
        except (ValueError, KeyError, TypeError) as error:
            say(f"not a request: {error!r}")
            return
        answer = await loop.run_in_executor(None, dispatcher.answer, request)
        await bus.publish(reply_to, json.dumps(answer).encode())

    async def on_message(message: Any) -> None:
        await _later(on_request(message))

    await bus.subscribe(f"agent.{agent_id}", cb=on_message)
    say(f"on the bus at {urls} as {agent_id}")
    while not refused.is_set():
        beat = await loop.run_in_executor(None, heartbeat, actions)
        if bus.is_connected:
            await bus.publish(f"hm.agent.heartbeat.{agent_id}", json.dumps(beat).encode())
        if actions.reconnect:
            say("new settings: starting again")
            os._exit(0)
        try:
            await asyncio.wait_for(refused.wait(), HEARTBEAT)
        except TimeoutError:
            continue
    say("refused by the bus")
    await asyncio.sleep(LOCKED_OUT_PAUSE)
    os._exit(1)


_running: set[asyncio.Task[None]] = set()


async def _later(work: Any) -> None:
    # A request must not wait for the one before it: ping answers while monit is slow.
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)


def tls_context(actions: Actions) -> ssl.SSLContext:
    certificate = store.mbus_cert(actions.settings, actions.update)
    context = ssl.create_default_context(cadata=certificate["ca"])
    _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: dict[str, str]) -> None:
    # Python takes a certificate from files only; this one is gone as soon as it is read.
    with tempfile.TemporaryDirectory(dir="/run") as directory:
        path = Path(directory) / "pair.pem"
        path.touch(mode=0o600)
        path.write_text(f"{certificate['private_key']}\n{certificate['certificate']}\n", encoding="utf-8")
        context.load_cert_chain(path)


def https_server(actions: Actions, url: str) -> ThreadingHTTPServer:
    """create-env's way to an agent that has no bus yet: POST /agent, and blobs below /blobs."""
    parts = urllib.parse.urlsplit(url)
    wanted = "Basic " + base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    dispatcher = Dispatcher(actions)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        #: Seconds that a caller may be silent; what an action takes does not count.
        timeout = 60

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _let_in(self) -> bool:
            if self.headers.get("Authorization") == wanted:
                return True
            self._body()
            self._send(401)
            return False

        def do_POST(self) -> None:
            if self._let_in():
                self._send(200, json.dumps(dispatcher.answer(json.loads(self._body()))).encode())

        def do_PUT(self) -> None:
            if self._let_in():
                LOCAL_BLOBS.mkdir(parents=True, exist_ok=True)
                (LOCAL_BLOBS / Path(self.path).name).write_bytes(self._body())
                self._send(201)

        def do_GET(self) -> None:
            if self._let_in():
                blob = LOCAL_BLOBS / Path(self.path).name
                self._send(200, blob.read_bytes()) if blob.is_file() else self._send(404)

        def log_message(self, *_arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("0.0.0.0", 6868 if parts.port is None else parts.port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, store.mbus_cert(actions.settings, actions.update))
    # The handshake is the connection's own thread's: one who only looks whether the port is open keeps nobody waiting.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def boot(actions: Actions) -> None:
    """What happens before the bus: name servers, and the disks that this VM had before a reboot."""
    servers = [server for network in actions.settings["networks"].values() for server in network.get("dns") or []]
    resolv = Path("/etc/resolv.conf")
    # The director job's own line stays: the agent also starts again while the jobs run.
    kept = [line for line in resolv.read_text(encoding="utf-8").splitlines() if line.endswith("# dns.recursor")]
    lines = kept + [f"nameserver {server}" for server in servers]
    resolv.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for cid in store.read(store.DISKS):
        try:
            actions.mount_disk(cid)
        except ActionFailed as error:
            say(str(error))


def main() -> None:
    os.umask(0o022)
    if store.FROM_CPI.exists():
        shutil.copyfile(store.FROM_CPI, store.SETTINGS)
        store.SETTINGS.chmod(0o600)
    if not store.SETTINGS.exists():
        say("no settings yet")
        time.sleep(1)
        sys.exit(1)
    actions = Actions()
    boot(actions)
    urls = store.mbus_urls(actions.settings, actions.update)
    if urls and urls[0].startswith("https:"):
        server = https_server(actions, urls[0])
        say(f"listening on port {server.server_port}")
        server.serve_forever()
    else:
        asyncio.run(serve_nats(actions, [url.replace("nats://", "tls://") for url in urls]))
