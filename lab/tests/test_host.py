# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the `lab` command: what stands in the way is one sentence, said before anything is changed."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from boshlab import host, paths

TOOLS = ("runc", "mmdebstrap", "ssh-keygen", "rsync", "ip")


def _lab(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lab", *words])
    return host.main()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with every tool but podman; nothing of the lab is there yet."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in TOOLS:
        _program(programs / name, "exit 0")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("STATE", "DISKS", "VMS", "ARTIFACTS", "SOCKET"):
        monkeypatch.setattr(paths, name, tmp_path / "state" / name.lower())
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    return programs


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("verb", [["up"], ["down"], ["reset"], ["status"], ["kill", "meta"], ["cut", "meta"]])
def test_without_root_every_verb_says_so(
    verb: list[str], machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _lab(monkeypatch, *verb) == 1
    assert capsys.readouterr().err.startswith("lab: root is needed")
    assert not paths.STATE.exists()


@pytest.mark.parametrize("verb", [["up"], ["down"], ["reset"]])
def test_without_podman_it_is_named(
    verb: list[str], machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lab(monkeypatch, *verb) == 1
    said = capsys.readouterr().err
    assert "apt-get install" in said and "podman" in said and "Traceback" not in said
    assert not paths.STATE.exists()


def test_where_podman_cannot_run_nothing_is_changed(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # It fails unless it is asked with the lab's own configuration, and then says why it cannot run.
    _program(machine / "podman", '[ -s "$CONTAINERS_CONF" ] || exit 9; echo "cannot mount overlay" >&2; exit 125')
    monkeypatch.setattr(Path, "exists", lambda _path: True)
    with pytest.raises(host.LabError, match=r"Podman can't run here.*`podman images` failed: cannot mount overlay"):
        host.check_host()


def test_a_lab_that_was_never_up_has_no_configuration_to_name(tmp_path: Path, machine: Path) -> None:
    assert "CONTAINERS_CONF" not in host._environ() or not paths.STATE.exists()
    paths.STATE.mkdir()
    (paths.STATE / "containers.conf").write_text(host.CONTAINERS_CONF)
    assert host._environ()["CONTAINERS_CONF"] == str(paths.STATE / "containers.conf")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "the disk is full: /a/b"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "[Errno 13] Permission denied: '/a'"),
        (subprocess.CalledProcessError(2, ["mmdebstrap", "--quiet"]), "`mmdebstrap` failed with status 2"),
    ],
)
def test_an_error_is_one_sentence(error: Exception, words: str) -> None:
    assert host.told(error) == words


def test_routes_that_may_not_be_changed_are_told(machine: Path) -> None:
    _program(machine / "ip", "echo 'RTNETLINK answers: Operation not permitted' >&2; exit 2")
    with pytest.raises(host.LabError, match=r"lets nobody change its routes.*Operation not permitted"):
        host.guard_route("replace")
    # Gone already is no error.
    host.guard_route("del")


@pytest.mark.parametrize(
    ("words", "size"), [("1G", 2**30), ("500M", 500 * 2**20), ("1.5k", 1536), ("7", 7), ("2MiB", 2**21)]
)
def test_a_size_is_read(words: str, size: int) -> None:
    assert host.size_of(words) == size


@pytest.mark.parametrize("words", ["", "G", "1X", "-1G", "1 G"])
def test_what_is_no_size_is_told(words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no size"):
        host.size_of(words)


def _row(number: int, writer: str = "w", **more: Any) -> str:
    return json.dumps({"writer": writer, "n": number} | more)


def test_every_committed_row_is_looked_for() -> None:
    told = [_row(number, time=float(number)) for number in (1, 2, 3)] + [_row(1, "x", time=9.0), '{"writer": "w", "n"']
    # A row whose answer was lost may be there though nobody was told.
    rows = [_row(1, blob_good=None), _row(3, blob_good=False), _row(4, blob_good=True)]
    assert host.compare(told, rows) == {
        "acknowledged": 4,
        "present": 3,
        "lost": 2,
        "first_lost": {"writer": "w", "n": 2, "time": 2.0},
        "bad_blobs": 1,
        "last_acknowledged": 9.0,
    }
    assert host.compare([], [])["lost"] == 0


def test_a_process_is_killed_by_its_pid_file(tmp_path: Path) -> None:
    jobs = tmp_path / "monit" / "job.elsewhere"
    jobs.mkdir(parents=True)
    victim = subprocess.Popen(["sleep", "60"])
    (tmp_path / "pid").write_text(f"{victim.pid}\n")
    (jobs / "1_a.monitrc").write_text(
        "check process first\n  with pidfile /nowhere\n  group vcap\n\n"
        f"check process second\n  with pidfile {tmp_path}/pid\n"
    )
    script = host.KILL.replace("/var/vcap/monit", str(tmp_path / "monit"))

    def kill(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", script, "sh", name], capture_output=True, text=True)

    assert kill("third").stderr == "monit knows no process third\n"
    assert kill("first").stderr == "first does not run\n"
    assert kill("second").returncode == 0
    assert victim.wait(10) == -signal.SIGKILL


def test_only_the_vms_own_cable_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = [
        {"ifindex": 4, "ifname": "eth0"},
        {"ifindex": 531, "ifname": "veth1", "linkinfo": {"info_kind": "veth"}},
    ]
    inside = [{"ifindex": 1, "ifname": "lo"}, {"ifindex": 2, "ifname": "eth0", "link_index": 531}]
    done: list[list[str]] = []

    def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        done.append(command)
        return subprocess.CompletedProcess(command, 0, json.dumps(inside if command[0] == "nsenter" else outside))

    monkeypatch.setattr(host, "find", lambda _name: {"pid": "7"})
    monkeypatch.setattr(host.subprocess, "run", run)
    host.cut(argparse.Namespace(name="micro"))
    assert done[-1] == ["ip", "link", "set", "veth1", "down"]
    # A link of that number which is none of ours, as the machine's own.
    inside[1]["link_index"] = 4
    with pytest.raises(host.LabError, match="cable of micro"):
        host.heal(argparse.Namespace(name="micro"))
    assert all("set" not in command for command in done[3:])
