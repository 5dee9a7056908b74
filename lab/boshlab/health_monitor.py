# SPDX-License-Identifier: GPL-3.0-or-later

"""Health monitor: hears the agents, misses those that fall silent, asks the director to resurrect them.

As BOSH's (src/bosh-monitor): thresholds and intervals have its names; its `scan_and_fix` is sent unless one is under
way; a director whose resurrection is off refuses it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import nats
import yaml


def say(words: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {words}", flush=True)


class Meltdown:
    """Which of a deployment's agents are down, and whether that is too many (plugins/resurrector_helper.rb).

    Managed: something is down, but fewer than minimum_down_jobs, or less than percent_threshold of all, in the
    last time_threshold seconds.
    """

    def __init__(self, minimum_down_jobs: int, percent_threshold: float, time_threshold: float) -> None:
        self.minimum, self.percent, self.seconds = minimum_down_jobs, percent_threshold, time_threshold
        self._alerts: dict[tuple[str, str], float] = {}

    def record(self, deployment: str, instance_id: str, now: float) -> None:
        self._alerts[deployment, instance_id] = now

    def state(self, deployment: str, instances: Collection[str], now: float) -> str:
        """Of the instances that there are: an alert about one that is gone does not count."""
        self._alerts = {key: at for key, at in self._alerts.items() if now - at <= self.seconds}
        down = sum(1 for (name, key) in self._alerts if name == deployment and key in instances)
        if not down:
            return "normal"
        return "meltdown" if down >= self.minimum and down / len(instances) >= self.percent else "managed"


class Rules:
    """Which instance groups may be resurrected: configs of the type `resurrection` (resurrection_manager.rb).

    A group is resurrected unless a rule that applies to it says `enabled: false`.
    """

    def __init__(self) -> None:
        self._rules: list[dict[str, Any]] = []

    def learn(self, contents: list[str]) -> None:
        """Take the rules of all configs; one that is no rule is passed over."""
        rules: list[dict[str, Any]] = []
        for content in contents:
            found = (yaml.safe_load(content) or {}).get("rules")
            for rule in found if isinstance(found, list) else []:
                filters = [rule.get(key) or {} for key in ("include", "exclude")] if isinstance(rule, dict) else [None]
                if all(isinstance(item, dict) for item in filters) and isinstance(rule.get("enabled"), bool):
                    rules.append(rule)
                else:
                    say(f"this is no resurrection rule: {rule!r}")
        self._rules = rules

    def enabled(self, deployment: str, group: str) -> bool:
        return all(rule["enabled"] for rule in self._rules if _applies(rule, deployment, group))


def _applies(rule: dict[str, Any], deployment: str, group: str) -> bool:
    include, exclude = rule.get("include") or {}, rule.get("exclude") or {}
    excluded = any(exclude.get(key) for key in ("deployments", "instance_groups")) and _matches(
        exclude, deployment, group
    )
    return _matches(include, deployment, group) and not excluded


def _matches(wanted: dict[str, Any], deployment: str, group: str) -> bool:
    groups, deployments = wanted.get("instance_groups"), wanted.get("deployments")
    return (not groups or group in groups) and (not deployments or deployment in deployments)


class HealthMonitor:
    """Keeps what is known of each agent; `now` is passed in, in seconds, so that tests need not wait."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.intervals = config["intervals"]
        self.meltdown = Meltdown(**config["resurrector"])
        self.rules = Rules()
        #: Deployments at which somebody works: theirs are not missed (instance_manager.rb).
        self.locked: set[str] = set()
        self.instances: dict[str, dict[str, Any]] = {}
        self.heard: dict[str, float] = {}

    def learn(self, deployment: str, instances: list[dict[str, Any]], now: float) -> None:
        """What the director says there should be; a new agent is given time to speak."""
        self.instances = {
            key: value
            for key, value in self.instances.items()
            if value["deployment"] != deployment or key in [item["id"] for item in instances]
        }
        for item in instances:
            if not item.get("expects_vm"):
                self.instances.pop(item["id"], None)
                continue
            known = self.instances.get(item["id"])
            if known is None or known.get("agent_id") != item.get("agent_id"):
                self.heard[item["id"]] = now
            self.instances[item["id"]] = item | {"deployment": deployment}

    def forget_deployments(self, known: list[str]) -> None:
        self.instances = {key: value for key, value in self.instances.items() if value["deployment"] in known}

    def beat(self, agent_id: str, now: float) -> None:
        for key, item in self.instances.items():
            if item.get("agent_id") == agent_id:
                self.heard[key] = now

    def shut_down(self, agent_id: str) -> None:
        """An agent that says goodbye is not missed until the director is asked again (on_shutdown)."""
        self.instances = {key: item for key, item in self.instances.items() if item.get("agent_id") != agent_id}

    def of(self, deployment: str) -> set[str]:
        return {key for key, item in self.instances.items() if item["deployment"] == deployment}

    def missing(self, now: float) -> dict[str, dict[str, list[str]]]:
        """Instances whose agent fell silent: deployment -> instance group -> ids."""
        found: dict[str, dict[str, list[str]]] = {}
        for key, item in self.instances.items():
            if item["deployment"] in self.locked:
                continue
            if now - self.heard.get(key, now) > self.intervals["agent_timeout"]:
                found.setdefault(item["deployment"], {}).setdefault(item["job"], []).append(key)
        return found


async def poll_director(monitor: HealthMonitor, client: httpx.AsyncClient) -> None:
    while True:
        try:
            deployments = (await client.get("/deployments")).raise_for_status().json()
            monitor.locked = {deployment["name"] for deployment in deployments if deployment.get("locked")}
            for deployment in deployments:
                instances = (await client.get(f"/deployments/{deployment['name']}/instances")).raise_for_status().json()
                monitor.learn(deployment["name"], instances, time.monotonic())
            monitor.forget_deployments([deployment["name"] for deployment in deployments])
            query = {"type": "resurrection", "latest": "true"}
            configs = (await client.get("/configs", params=query)).raise_for_status().json()
            monitor.rules.learn([config["content"] for config in configs])
        except (httpx.HTTPError, ValueError, yaml.YAMLError) as error:
            say(f"the director does not answer: {error!r}")
        await asyncio.sleep(monitor.intervals["poll_director"])


async def analyze(monitor: HealthMonitor, client: httpx.AsyncClient) -> None:
    await asyncio.sleep(monitor.intervals["poll_grace_period"])
    while True:
        now = time.monotonic()
        for deployment, groups in monitor.missing(now).items():
            for ids in groups.values():
                for instance_id in ids:
                    monitor.meltdown.record(deployment, instance_id, now)
            say(f"{deployment}: agents timed out: {groups}")
            if monitor.config["resurrector_enabled"]:
                try:
                    await resurrect(monitor, client, deployment, groups, now)
                except (httpx.HTTPError, ValueError) as error:
                    say(f"the director does not answer: {error!r}")
        await asyncio.sleep(monitor.intervals["analyze_agents"])


async def resurrect(
    monitor: HealthMonitor, client: httpx.AsyncClient, deployment: str, groups: dict[str, list[str]], now: float
) -> None:
    if monitor.meltdown.state(deployment, monitor.of(deployment), now) == "meltdown":
        say(f"{deployment}: we are in meltdown, skipping resurrection of {groups}")
        return
    disabled = {group: ids for group, ids in groups.items() if not monitor.rules.enabled(deployment, group)}
    if disabled:
        say(f"{deployment}: resurrection is disabled by resurrection config, skipping {disabled}")
    groups = {group: ids for group, ids in groups.items() if group not in disabled}
    if not groups:
        return
    answer = await client.get("/tasks", params={"state": "queued,processing", "deployment": deployment, "verbose": 2})
    tasks = answer.raise_for_status().json()
    if any(task["description"] == "scan and fix" for task in tasks):
        return
    answer = await client.put(f"/deployments/{deployment}/scan_and_fix", json={"jobs": groups})
    say(f"{deployment}: asked the director to scan and fix {groups}: {answer.status_code} {answer.text.strip()[:200]}")


async def answer_healthz(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What monit's rule asks for (api_controller.rb): open only once the bus is there (runner.rb, run)."""
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    directory = Path(config["config_dir"])
    context = ssl.create_default_context(cafile=str(directory / "nats_ca.pem"))
    context.load_cert_chain(directory / "nats_client.pem", directory / "nats_client.key")
    monitor = HealthMonitor(config)

    async def heard(message: Any) -> None:
        _hm, _agent, kind, agent_id = message.subject.split(".", 3)
        if kind == "heartbeat":
            monitor.beat(agent_id, time.monotonic())
            return
        say(f"{kind} from {agent_id}: {message.data[:500].decode('utf-8', 'replace')}")
        if kind == "shutdown":
            monitor.shut_down(agent_id)

    bus = await nats.connect(config["nats"], tls=context, max_reconnect_attempts=-1, reconnect_time_wait=2)
    for kind in ("heartbeat", "alert", "shutdown"):
        await bus.subscribe(f"hm.agent.{kind}.*", cb=heard)
    await asyncio.start_server(answer_healthz, "127.0.0.1", config["http_port"])
    say("listening")
    async with httpx.AsyncClient(
        base_url=config["director"],
        verify=str(directory / "director_ca.pem"),
        auth=(config["user"], config["password"]),
        timeout=20,
    ) as client:
        await asyncio.gather(poll_director(monitor, client), analyze(monitor, client))


if __name__ == "__main__":
    asyncio.run(main())
