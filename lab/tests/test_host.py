# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the `lab` command: what stands in the way is one sentence, said before anything is changed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

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
