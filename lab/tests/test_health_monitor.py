# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the health monitor: who is missed, who is resurrected."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from boshlab import health_monitor
from boshlab.health_monitor import HealthMonitor, Meltdown, Rules
from hypothesis import given
from hypothesis import strategies as st

CONFIG = {
    "intervals": {"agent_timeout": 60},
    "resurrector": {"minimum_down_jobs": 5, "percent_threshold": 0.2, "time_threshold": 600},
    "resurrector_enabled": True,
}


def _monitor(count: int = 1, silent_since: float = 0) -> HealthMonitor:
    monitor = HealthMonitor(CONFIG)
    instances = [{"id": f"i{n}", "job": "bosh", "agent_id": f"a{n}", "expects_vm": True} for n in range(count)]
    monitor.learn("d", instances, now=silent_since)
    return monitor


@given(
    ages=st.lists(st.integers(0, 1200), max_size=20),
    healthy=st.integers(0, 80),
    minimum=st.integers(1, 10),
    percent=st.floats(0, 1),
    seconds=st.integers(1, 900),
)
def test_meltdown_takes_both_thresholds_within_the_time(
    ages: list[int], healthy: int, minimum: int, percent: float, seconds: int
) -> None:
    meltdown = Meltdown(minimum, percent, seconds)
    for number, age in enumerate(ages):
        meltdown.record("d", str(number), now=2000 - age)
        meltdown.record("other", str(number), now=2000)
    known = [str(number) for number in range(len(ages) + healthy)]
    down = sum(1 for age in ages if age <= seconds)
    state = meltdown.state("d", known, now=2000)
    if not down:
        assert state == "normal"
    else:
        assert state == ("meltdown" if down >= minimum and down / len(known) >= percent else "managed")


def test_an_alert_about_an_instance_that_is_gone_does_not_count() -> None:
    meltdown = Meltdown(1, 0.0, 600)
    meltdown.record("d", "gone", now=0)
    assert meltdown.state("d", ["there"], now=1) == "normal"


RULES = """
rules:
- {enabled: false, include: {deployments: [bosh-meta]}}
- {enabled: false, include: {instance_groups: [db]}, exclude: {deployments: [free]}}
- {enabled: true}
- nonsense
- {enabled: 'no'}
- {enabled: false, include: 5}
"""


@pytest.mark.parametrize(
    ("deployment", "group", "enabled"),
    [
        ("bosh-meta", "bosh", False),
        ("bosh-primary", "bosh", True),
        ("bosh-primary", "db", False),
        ("free", "db", True),
    ],
)
def test_resurrection_config(deployment: str, group: str, enabled: bool) -> None:
    rules = Rules()
    assert rules.enabled(deployment, group)
    rules.learn([RULES, "rules: 5", ""])
    assert rules.enabled(deployment, group) is enabled
    rules.learn([])
    assert rules.enabled(deployment, group)


def test_an_exclude_without_filters_excludes_nothing() -> None:
    rules = Rules()
    rules.learn(["rules: [{enabled: false, exclude: {}}]"])
    assert not rules.enabled("d", "g")


def test_nobody_is_missed_while_the_deployment_is_locked() -> None:
    monitor = _monitor()
    monitor.locked = {"d"}
    assert monitor.missing(now=100) == {}
    monitor.locked = set()
    assert monitor.missing(now=100) == {"d": {"bosh": ["i0"]}}


def test_an_agent_that_shut_down_is_not_missed_until_the_director_is_asked_again() -> None:
    monitor = _monitor()
    monitor.shut_down("a0")
    assert monitor.missing(now=100) == {}
    monitor.learn("d", [{"id": "i0", "job": "bosh", "agent_id": "a0", "expects_vm": True}], now=100)
    assert monitor.missing(now=160) == {}
    assert monitor.missing(now=161) == {"d": {"bosh": ["i0"]}}


def test_a_deployment_that_is_gone_is_forgotten() -> None:
    monitor = _monitor()
    monitor.forget_deployments([])
    assert monitor.missing(now=100) == {}


def _asked(monitor: HealthMonitor, down: int, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bodies of the scan_and_fix that the director gets."""
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            assert request.url.path == "/deployments/d/scan_and_fix"
            bodies.append(json.loads(request.content))
            return httpx.Response(302)
        assert dict(request.url.params) == {"state": "queued,processing", "deployment": "d", "verbose": "2"}
        return httpx.Response(200, json=tasks)

    async def run() -> None:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="https://director") as client:
            ids = [f"i{n}" for n in range(down)]
            for key in ids:
                monitor.meltdown.record("d", key, 0)
            await health_monitor.resurrect(monitor, client, "d", {"bosh": ids}, 0)

    asyncio.run(run())
    return bodies


def test_the_director_is_asked_once_for_what_is_down() -> None:
    assert _asked(_monitor(), 1, []) == [{"jobs": {"bosh": ["i0"]}}]
    assert _asked(_monitor(), 1, [{"description": "retrieve vm-stats"}]) == [{"jobs": {"bosh": ["i0"]}}]
    assert _asked(_monitor(), 1, [{"description": "scan and fix"}]) == []


def test_nothing_is_asked_in_a_meltdown_or_where_a_config_forbids_it() -> None:
    assert _asked(_monitor(5), 5, []) == []
    assert _asked(_monitor(26), 5, []) != []
    monitor = _monitor()
    monitor.rules.learn(["rules: [{enabled: false, include: {deployments: [d]}}]"])
    assert _asked(monitor, 1, []) == []
