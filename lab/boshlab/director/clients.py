# SPDX-License-Identifier: GPL-3.0-or-later

"""What the director asks of others: agents over NATS, the CPI, the blobstore."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import nats

from boshlab import certs
from boshlab.agent.actions import blob_path

CONFIG = Path("/var/vcap/jobs/director/config")


class AgentTimeout(Exception):
    """The agent did not answer in time."""


class AgentError(Exception):
    """The agent's own words about a failed action."""


class CpiError(Exception):
    """In BOSH's words: CPI error 'TYPE' with message '...' in 'METHOD' CPI method."""


def load_config() -> dict[str, Any]:
    return json.loads((CONFIG / "director.yml").read_text(encoding="utf-8"))


class Agents:
    """Requests to agents; one connection, kept in a thread of its own.

    Source: bosh-director nats_rpc.rb, agent_client.rb.
    """

    def __init__(self, config: dict[str, Any], director_uuid: str) -> None:
        self._url = f"tls://{config['nats']['address']}:{config['nats']['port']}"
        self._inbox = f"director.{director_uuid}"
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._bus: Any = None

    async def _connect(self) -> Any:
        if self._bus is None:
            context = ssl.create_default_context(cafile=str(CONFIG / "nats_ca.pem"))
            context.load_cert_chain(CONFIG / "nats_client.pem", CONFIG / "nats_client.key")
            self._bus = await nats.connect(self._url, tls=context, max_reconnect_attempts=-1, reconnect_time_wait=1)
            await self._bus.subscribe(f"{self._inbox}.>", cb=self._on_answer)
        return self._bus

    async def _on_answer(self, message: Any) -> None:
        waiting = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if waiting and not waiting.done():
            waiting.set_result(json.loads(message.data))

    async def _ask(self, agent_id: str, method: str, arguments: list[Any], timeout: float) -> dict[str, Any]:
        bus = await self._connect()
        request_id = str(uuid.uuid4())
        self._waiting[request_id] = self._loop.create_future()
        request = {
            "protocol": 3,
            "method": method,
            "arguments": arguments,
            "reply_to": f"{self._inbox}.{agent_id}.{request_id}",
        }
        await bus.publish(f"agent.{agent_id}", json.dumps(request).encode())
        try:
            return await asyncio.wait_for(self._waiting[request_id], timeout)
        finally:
            self._waiting.pop(request_id, None)

    def ask(self, agent_id: str, method: str, *arguments: Any, timeout: float = 45) -> Any:
        """Ask, and wait for the end of what the agent does. Raises AgentTimeout, AgentError."""
        value = self._once(agent_id, method, list(arguments), timeout)
        while isinstance(value, dict) and value.get("state") == "running" and "agent_task_id" in value:
            time.sleep(0.5)
            value = self._once(agent_id, "get_task", [value["agent_task_id"]], timeout)
        return value

    def _once(self, agent_id: str, method: str, arguments: list[Any], timeout: float) -> Any:
        future = asyncio.run_coroutine_threadsafe(self._ask(agent_id, method, arguments, timeout), self._loop)
        try:
            answer = future.result(timeout + 15)
        except TimeoutError as error:
            # One that still waits for the bus itself must not go on beside the next.
            future.cancel()
            raise AgentTimeout(f"Timed out sending '{method}' to agent '{agent_id}' after {timeout} seconds") from error
        if answer.get("exception"):
            raise AgentError(answer["exception"]["message"])
        return answer.get("value")

    def wait_until_ready(self, agent_id: str, timeout: float) -> None:
        """Ping until the agent answers. Raises AgentTimeout."""
        until = time.monotonic() + timeout
        while True:
            try:
                self._once(agent_id, "ping", [], 2)
                return
            except (AgentTimeout, AgentError):
                if time.monotonic() > until:
                    raise AgentTimeout(
                        f"Timed out pinging VM with agent '{agent_id}' after {timeout:.0f} seconds"
                    ) from None


class Cpi:
    """Calls of the CPI's executable, by the v2 contract."""

    def __init__(self, executable: str, director_uuid: str, log: Any) -> None:
        self._executable, self._uuid, self._log = executable, director_uuid, log

    def call(self, method: str, *arguments: Any) -> Any:
        request_id = f"cpi-{uuid.uuid4().int % 1000000}"
        request = {
            "method": method,
            "arguments": arguments,
            "context": {"director_uuid": self._uuid, "request_id": request_id, "vm": {"stemcell": {"api_version": 3}}},
            "api_version": 2,
        }
        done = subprocess.run(
            [self._executable], input=json.dumps(request), capture_output=True, text=True, timeout=600
        )
        self._log(f"{method} {arguments[:1]} -> {done.stdout.strip()[:500]}")
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise CpiError(f"Invalid CPI response - ParserError - {done.stdout}{done.stderr[-500:]}") from None
        if answer.get("error"):
            error = answer["error"]
            told = f"CPI error '{error['type']}' with message '{error['message']}' in '{method}' CPI method"
            raise CpiError(f"{told} (CPI request ID: '{request_id}')")
        return answer.get("result")


class Blobstore:
    """The DAV blobstore, as the director uses it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._where = config["blobstore"]
        self._client = httpx.Client(
            base_url=self.endpoint,
            auth=(self._where["director"]["user"], self._where["director"]["password"]),
            verify=ssl.create_default_context(cadata=self._where["ca"]),
            timeout=120,
        )

    @property
    def endpoint(self) -> str:
        return f"https://{self._where['address']}:{self._where['port']}"

    def put(self, data: bytes) -> str:
        blob_id = str(uuid.uuid4())
        self._client.put(f"/{blob_path(blob_id)}", content=data).raise_for_status()
        return blob_id

    def get(self, blob_id: str) -> bytes:
        return self._client.get(f"/{blob_path(blob_id)}").raise_for_status().content

    def exists(self, blob_id: str) -> bool:
        return self._client.head(f"/{blob_path(blob_id)}").status_code == 200

    def delete(self, blob_id: str) -> None:
        self._client.delete(f"/{blob_path(blob_id)}")

    def for_agents(self) -> dict[str, Any]:
        """How an agent reaches it: goes into each VM's env."""
        agent = self._where["agent"]
        options = {"endpoint": self.endpoint, "user": agent["user"], "password": agent["password"]}
        return {"provider": "dav", "options": options | {"tls": {"cert": {"ca": self._where["ca"]}}}}


def fingerprints(config: dict[str, Any]) -> dict[str, str]:
    """What the director's blobstore and NATS CAs are, by the columns of `vms` (bosh-director config.rb).

    The address of the blobstore is in it, but neither what its agents log in with nor the address of NATS.
    """
    blobstore = {key: value for key, value in config["blobstore"].items() if key != "agent"}
    cas = [(CONFIG / name).read_text(encoding="utf-8") for name in ("agent_ca.pem", "agent_ca.key", "nats_ca.pem")]
    parts = {"blobstore_config_sha1": json.dumps(blobstore, sort_keys=True), "nats_config_sha1": "".join(cas)}
    return {key: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for key, text in parts.items()}


def agent_certificate(agent_id: str) -> dict[str, str]:
    """A client certificate for an agent, signed by the director's NATS client CA."""
    ca = certs.Issued(
        (CONFIG / "nats_ca.pem").read_text(),
        (CONFIG / "agent_ca.pem").read_text(),
        (CONFIG / "agent_ca.key").read_text(),
    )
    issued = certs.issue(ca, f"{agent_id}.agent.bosh-internal")
    return {"ca": ca.ca, "certificate": issued.certificate, "private_key": issued.private_key}
