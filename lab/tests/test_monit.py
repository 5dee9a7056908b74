# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for what makes Debian's monit a stemcell's, and for the monit files of the release."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from boshlab import monit, release, render, workspace


def _service(kind: int, name: str, status: int = 0, pending: int = 0) -> str:
    return (
        f'<service type="{kind}"><name>{name}</name><status>{status}</status><monitor>1</monitor>'
        f"<pendingaction>{pending}</pendingaction></service>"
    )


XML = (
    '<?xml version="1.0"?><monit id="1" version="5.33.0"><server><uptime>125</uptime></server><services>'
    + _service(5, "system_localhost")
    + _service(3, "postgres", pending=3)
    + _service(3, "health_monitor", status=0x20 | 0x200)
    + "</services></monit>"
)


@pytest.mark.parametrize(
    ("monitor", "failures", "pending", "words"),
    [
        (1, 0, 0, "running"),
        (1, 0, 3, "running - stop pending"),
        (0, 0x200, 0, "not monitored"),
        (0, 0, 6, "not monitored - start pending"),
        (2, 0x200, 0, "initializing"),
        (1, 0x200, 0, "Does not exist"),
        (1, 0x1000, 2, "Execution failed - restart pending"),
        # Of several only the first one of 5.2.5's table is printed.
        (1, 0x200 | 0x20, 0, "Connection failed"),
        (1, 0x1000 | 0x200, 0, "Execution failed"),
    ],
)
def test_a_state_has_the_words_of_5_2_5(monitor: int, failures: int, pending: int, words: str) -> None:
    assert monit.state(monitor, failures, pending) == words


def test_the_summary_has_the_form_of_5_2_5() -> None:
    assert monit.summary(XML).splitlines() == [
        "The Monit daemon 5.2.5 uptime: 2m ",
        "",
        "System 'system_localhost'           running",
        "Process 'postgres'                  running - stop pending",
        "Process 'health_monitor'            Connection failed",
        "",
    ]
    assert monit.parse(monit.summary(XML)) == {
        "postgres": "running - stop pending",
        "health_monitor": "Connection failed",
    }


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, monit.Service]:
    """What monit knows of a director."""
    path = tmp_path_factory.mktemp("release") / "release.tgz"
    release.build(path)
    members = render.read_tgz(path.read_bytes())
    jobs = workspace.deployment_manifest("meta", "ssh-ed25519 AAAA")["instance_groups"][0]["jobs"]
    rendered = [
        render.render_job(
            render.load_job(members[f"jobs/{job['name']}.tgz"]),
            workspace.instance_group_properties("meta")[job["name"]],
            {},
        )
        for job in jobs
        if job["name"] != "user_add"
    ]
    return monit.services(files["monit"][0].decode() for files in rendered)


def test_processes_depend_on_each_other_as_in_bosh(known: dict[str, monit.Service]) -> None:
    """bosh v283.1.6: jobs/*/monit. Only the workers depend on anything: the director, not PostgreSQL."""
    assert {name: service.depends for name, service in known.items() if service.depends} == {
        "worker_1": ["director"],
        "worker_2": ["director"],
    }
    assert {name for name, service in known.items() if service.has_port_rule} == {"health_monitor"}
    assert known["director"].pidfile == "/var/vcap/sys/run/director/director.pid"


def test_dependents_are_found_by_way_of_others_too() -> None:
    text = "check process a\ncheck process c\n  depends on b\ncheck process b\n  depends on a, x\n"
    found = monit.services([text])
    assert monit.dependents("a", found) == ["b", "c"]
    assert monit.dependents("c", found) == []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: dict[str, monit.Service]) -> list[tuple[str, ...]]:
    """What Debian's monit is told, on a host whose monit files are a director's."""
    orders: list[tuple[str, ...]] = []
    monkeypatch.setattr(monit, "services", lambda _texts: known)
    monkeypatch.setattr(monit, "check_at_once", lambda started: orders.append(("check", str(len(list(started))))))
    monkeypatch.setattr(monit, "real", lambda *words: orders.append(words) or 0)
    return orders


@pytest.mark.parametrize(
    ("name", "orders"),
    [
        ("director", [("start", "director"), ("start", "worker_1"), ("start", "worker_2")]),
        ("worker_1", [("start", "worker_1")]),
        ("all", [("start", "all")]),
    ],
)
def test_a_start_starts_what_depends_on_it(
    name: str, orders: list[tuple[str, ...]], told: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["monit", "start", name])
    assert monit.main() == 0
    assert [order for order in told if order[0] != "check"] == orders


def test_a_start_of_what_runs_starts_nothing_else(told: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monit.Service, "runs", True)
    monkeypatch.setattr(sys, "argv", ["monit", "start", "director"])
    monit.main()
    assert told[1:] == [("start", "director")]


def test_a_silent_daemon_is_no_failure_of_the_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monit, "status", lambda: None)
    monkeypatch.setattr(sys, "argv", ["monit", "summary"])
    assert monit.main() == 0
    assert capsys.readouterr().out == ""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[list[str], subprocess.Popen[bytes]]]:
    """The rendered `worker_ctl NAME stop`, and a process that ends on SIGTERM unless it is told to be deaf."""
    path = tmp_path / "release.tgz"
    release.build(path)
    members = render.read_tgz(path.read_bytes())
    job = render.load_job(members["jobs/director.tgz"])
    properties = workspace.instance_group_properties("meta")["director"]
    text = render.render_job(job, properties, {})["bin/worker_ctl"][0].decode()
    (tmp_path / "run").mkdir()
    text = text.replace("/var/vcap/sys/run/director", str(tmp_path / "run")).replace(
        "/var/vcap/sys/log/director", str(tmp_path)
    )
    text = "\n".join(line for line in text.splitlines() if not line.startswith("install -d"))
    (tmp_path / "ctl").write_text(text, encoding="utf-8")
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    (tmp_path / "run" / "worker_1.pid").write_text(f"{process.pid}\n", encoding="utf-8")
    yield ["bash", str(tmp_path / "ctl"), "worker_1", "stop"], process
    process.kill()
    process.wait()


def test_a_worker_that_does_not_end_is_killed_after_a_while(worker: tuple[list[str], subprocess.Popen[bytes]]) -> None:
    stop, process = worker
    began = time.monotonic()
    subprocess.run(stop, check=True)
    assert process.wait(5) == -9
    assert time.monotonic() - began > 3.5
