# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the release and its rendering, the agent's settings, nats_sync and the health monitor's decisions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from boshlab import nats_sync, paths, properties, release, render, workspace
from boshlab.agent import settings
from boshlab.health_monitor import HealthMonitor, Meltdown


def test_the_release_depends_on_its_jobs_only(tmp_path: Path) -> None:
    release.build(tmp_path / "one.tgz")
    release.build(tmp_path / "two.tgz")
    assert (tmp_path / "one.tgz").read_bytes() == (tmp_path / "two.tgz").read_bytes()
    members = render.read_tgz((tmp_path / "one.tgz").read_bytes())
    wanted = {
        f"jobs/{name}.tgz"
        for name in ("postgres", "nats", "blobstore", "director", "health_monitor", "podman_cpi", "user_add")
    }
    assert set(members) == wanted | {"release.MF"}


def test_a_rendered_archive_has_a_folder_for_each_job() -> None:
    job = render.Job(
        "web", {"ctl.j2": "bin/ctl"}, {"ctl.j2": "{{ p('web.port') }} {{ p('web.name', 'w') }}"}, "check process web\n"
    )
    files = render.render_job(job, {"web": {"port": 80}}, {})
    assert files["bin/ctl"] == (b"80 w", 0o750)
    data, digest = render.rendered_archive([("web", files)])
    assert set(render.read_tgz(data)) == {"web/bin/ctl", "web/monit"}
    assert render.rendered_archive([("web", files)]) == (data, digest)


def test_a_missing_property_is_named() -> None:
    job = render.Job("web", {"ctl.j2": "bin/ctl"}, {"ctl.j2": "#!/bin/sh\n{{ p('web.port') }}"})
    with pytest.raises(render.Unrendered) as refused:
        render.render_job(job, {}, {})
    assert str(refused.value).splitlines() == [
        "Unable to render templates for job 'web'. Errors are:",
        "  - Error filling in template 'ctl.j2' (line 2: Can't find property 'web.port')",
    ]


@pytest.mark.parametrize("name", ["micro", "primary", "meta"])
def test_every_job_renders_with_the_workspaces_properties(name: str, tmp_path: Path) -> None:
    release.build(tmp_path / "release.tgz")
    members = render.read_tgz((tmp_path / "release.tgz").read_bytes())
    found = {}
    manifest = workspace.deployment_manifest(name, "ssh-ed25519 AAAA")
    (group,) = manifest["instance_groups"]
    for job in group["jobs"]:
        its = properties.of_job(manifest, group, job)
        files = render.render_job(render.load_job(members[f"jobs/{job['name']}.tgz"]), its, {})
        found |= {path: body.decode() for path, (body, _mode) in files.items() if path != "monit"}
        for path, (body, _mode) in files.items():
            if path.endswith((".json", "director.yml")):
                json.loads(body)
            if path.startswith("bin/"):
                subprocess.run(["bash", "-n"], input=body, check=True)
    director = json.loads(found["config/director.yml"])
    assert (director["name"], director["auto_fix_stateful_nodes"]) == (name, True)
    monitor = json.loads(found["config/health_monitor.json"])
    assert monitor["resurrector"] == {"minimum_down_jobs": 5, "percent_threshold": 0.2, "time_threshold": 600}
    # Only Primary resolves through Micro, as in the blog.
    assert (f"nameserver {paths.ADDRESSES['micro']}" in found["bin/director_ctl"]) is (name == "primary")


@pytest.mark.parametrize(
    ("update", "env", "wanted"),
    [
        ({"mbus": {"urls": ["nats://u"]}}, {"mbus": {"urls": ["nats://e"]}}, ["nats://u"]),
        ({"mbus": {"cert": {"ca": "x"}}}, {"mbus": {"urls": ["nats://e"]}}, ["nats://e"]),
        ({}, {}, ["nats://m"]),
    ],
)
def test_precedence_of_the_bus(update: dict[str, Any], env: dict[str, Any], wanted: list[str]) -> None:
    assert settings.mbus_urls({"mbus": "nats://m", "env": {"bosh": env}}, update) == wanted


def test_an_agent_is_let_in_by_both_of_its_subjects_until_it_has_its_own() -> None:
    names = [
        user["user"]
        for user in nats_sync.users(
            [{"agent_id": "a"}, {"agent_id": "b", "permanent_nats_credentials": True}], "CN=director", "CN=hm"
        )
    ]
    assert [name.rpartition("CN=")[2] for name in names[2:]] == [
        "a.bootstrap.agent.bosh-internal",
        "a.agent.bosh-internal",
        "b.agent.bosh-internal",
    ]


def test_the_list_is_written_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    assert nats_sync.write(path, [])
    assert not nats_sync.write(path, [])
    assert nats_sync.write(path, [{"user": "CN=a"}])


@pytest.mark.parametrize(
    ("down", "of", "state"), [(0, 10, "normal"), (4, 5, "managed"), (5, 100, "managed"), (5, 25, "meltdown")]
)
def test_thresholds(down: int, of: int, state: str) -> None:
    meltdown = Meltdown(5, 0.2, 600)
    for number in range(down):
        meltdown.record("d", str(number), now=0)
    known = [str(number) for number in range(of)]
    assert meltdown.state("d", known, now=600) == state
    assert meltdown.state("d", known, now=601) == "normal"


def test_a_silent_agent_is_missed_after_its_time_and_a_new_one_is_given_time() -> None:
    monitor = HealthMonitor(
        {
            "intervals": {"agent_timeout": 60},
            "resurrector": {"minimum_down_jobs": 5, "percent_threshold": 0.2, "time_threshold": 600},
        }
    )
    instance = {"id": "i", "job": "bosh", "agent_id": "a", "expects_vm": True}
    monitor.learn("d", [instance], now=0)
    monitor.beat("a", now=10)
    assert monitor.missing(now=70) == {}
    assert monitor.missing(now=71) == {"d": {"bosh": ["i"]}}
    monitor.learn("d", [instance | {"agent_id": "b"}], now=80)
    assert monitor.missing(now=100) == {}
    monitor.learn("d", [instance | {"expects_vm": False}], now=200)
    assert monitor.missing(now=999) == {}
