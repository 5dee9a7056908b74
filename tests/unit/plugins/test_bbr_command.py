# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What bbr is called with, and what its exit code and its output mean."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import bbr_command
from ansible_collections.bosh.ha.plugins.module_utils.bbr_backup import Damaged, move_up

#: As bbr 1.9 prints it, with bosh-utils' logger.
LOG = """[bbr] 2026/11/21 23:59:58 INFO - Looking for scripts
[bbr] 2026/11/21 23:59:58 INFO - bosh/0/director/backup
[bbr] 2026/11/21 23:59:59 INFO - Starting backup of 10.10.0.4...
[bbr] 2026/11/21 23:59:59 INFO - Running pre-backup-lock scripts...
[bbr] 2026/11/21 23:59:59 INFO - Finished running pre-backup-lock scripts.
[bbr] 2026/11/22 00:00:04 INFO - Running post-backup-unlock scripts...
[bbr] 2026/11/22 00:00:04 INFO - Finished running post-backup-unlock scripts.
[bbr] 2026/11/22 00:00:09 INFO - Backup created of 10.10.0.4 on 2026-11-22
"""
FAILED = """[bbr] 2026/11/22 00:00:04 INFO - Running backup scripts...
[bbr] 2026/11/22 00:00:05 ERROR - Error backing up director on bosh/0.
2 errors occurred:
error 1:
1 error occurred:
error 1:
Error attempting to run backup for job director on bosh/0: no space left - exit code 1
error 2:
Unable to clean up backup artifact
"""


def test_no_secret_is_in_its_words_and_nobodys_shell_decides():
    assert bbr_command.words("/bin/bbr", "backup", "127.0.0.1:4022", "jumpbox", "/k", "/backups/x.part") == [
        *("/bin/bbr", "director", "--host", "127.0.0.1:4022", "--username", "jumpbox", "--private-key-path", "/k"),
        *("backup", "--artifact-path", "/backups/x.part"),
    ]
    assert bbr_command.words("bbr", "restore-cleanup", "h:22", "u", "/k")[-1] == "restore-cleanup"
    around = {"PATH": "/bin", "BOSH_ALL_PROXY": "socks5://other", "BOSH_CLIENT_SECRET": "x", "CA_CERT": "y"}
    assert bbr_command.environment(around) == {"PATH": "/bin"}
    assert bbr_command.environment(around, "ssh+socks5://j") == {"PATH": "/bin", "BOSH_ALL_PROXY": "ssh+socks5://j"}


@pytest.mark.parametrize(
    ("code", "kinds", "whole", "unclean"),
    [
        (0, [], True, False),
        (1, ["failed"], False, False),
        (4, ["lock"], False, False),
        (8, ["unlock"], True, True),
        (16, ["cleanup"], True, True),
        (25, ["failed", "unlock", "cleanup"], False, True),
        # Go's own, where a program falls over; what a signal or we have ended.
        (2, ["failed"], False, True),
        (-15, ["failed"], False, True),
        (None, ["failed"], False, True),
    ],
)
def test_an_exit_code_tells_what_failed_and_whether_to_clean_up(code, kinds, whole, unclean):
    ended = bbr_command.judged("bbr", code, "", 60)
    assert (ended.kinds, ended.whole, ended.unclean) == (kinds, whole, unclean)
    assert bool(ended.problem) == (code != 0)


def test_its_errors_are_one_line():
    assert bbr_command.judged("bbr", 17, FAILED, 60).problem == (
        "bbr failed with exit code 17: Error attempting to run backup for job director on bosh/0: no space left"
        " - exit code 1; Unable to clean up backup artifact"
    )
    assert bbr_command.said("\x1b[31m--host flag is required.\x1b[0m\n") == "--host flag is required."


def test_how_long_it_locked_is_in_its_log():
    assert bbr_command.seconds_locked(LOG) == 5
    assert bbr_command.seconds_locked(LOG.partition("Running post")[0]) is None


def script(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return [str(path)]


def test_all_that_it_says_is_kept_for_its_owner_and_the_trace_too(tmp_path):
    log = tmp_path / "bbr.log"
    log.write_text("before\n", encoding="utf-8")
    log.chmod(0o600)
    bbr = script(tmp_path / "bbr", "echo out; echo err >&2; echo trace > bbr-2026.err.log; read line; exit 4")
    ended = bbr_command.run(bbr, {"PATH": os.environ["PATH"]}, str(log), 60)
    assert (ended.code, ended.kinds) == (4, ["lock"])
    assert log.read_text(encoding="utf-8") == "before\nout\nerr\ntrace\n"
    assert "before" not in ended.output
    fresh = tmp_path / "fresh.log"
    bbr_command.run(bbr, {}, str(fresh), 60)
    assert fresh.stat().st_mode & 0o777 == 0o600


def test_one_that_hangs_is_ended_with_all_that_it_began(tmp_path):
    body = f"echo begun; sleep 77 & echo $! > {tmp_path}/pid; wait"
    ended = bbr_command.run(script(tmp_path / "bbr", body), os.environ, str(tmp_path / "log"), 1)
    assert (ended.code, ended.unclean) == (None, True)
    assert ended.problem == "bbr did not end in 1 s, and was ended: begun"
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    until = time.monotonic() + 20
    while time.monotonic() < until and os.path.exists(f"/proc/{pid}/cwd"):
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{pid}/cwd")


def test_nobody_begins_beside_one_that_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(bbr_command, "PATIENCE", 0.2)
    log = tmp_path / "log"
    bbr = script(tmp_path / "bbr", "sleep 60")
    module = bbr_command.__file__
    text = (
        "import importlib.util, os, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        f"from {bbr_command.__name__} import run\n"
        f"run({bbr!r}, os.environ, {str(log)!r}, 60)\n"
    )
    assert module
    other = subprocess.Popen([sys.executable, "-c", text], start_new_session=True)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and not _begun(str(tmp_path / "bbr")):
            time.sleep(0.1)
        # Whoever began it is gone, and it goes on.
        other.kill()
        other.wait()
        with pytest.raises(bbr_command.Busy, match="has not ended, and writes into"):
            bbr_command.run(bbr, os.environ, str(log), 60)
    finally:
        for pid in _begun(str(tmp_path / "bbr")):
            os.killpg(pid, 9)


def _begun(path):
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as stream:
                    words = stream.read().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"/bin/sh", path.encode()]:
                found.append(int(name))
    return found


def test_what_bbr_made_is_moved_to_its_place(tmp_path):
    made = tmp_path / "127.0.0.1_20261121T220000Z"
    with pytest.raises(Damaged, match=r"was to make one directory in .*, and there are 0"):
        move_up(str(tmp_path))
    made.mkdir()
    with pytest.raises(Damaged, match="metadata is not there"):
        move_up(str(tmp_path))
    (made / "metadata").write_text("backup_activity: {start_time: now}\n", encoding="utf-8")
    (made / "bosh-0-director.tar").write_text("tar", encoding="utf-8")
    move_up(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bosh-0-director.tar", "metadata"]


@pytest.mark.parametrize(
    ("host", "port", "target"),
    [
        ("10.0.0.8", 22, "10.0.0.8:22"),
        ("bosh.example", 2222, "bosh.example:2222"),
        # bbr adds :22 to what has not exactly one colon.
        ("fd00::8", 22, "[fd00::8]"),
        ("[fd00::8]", 22, "[fd00::8]"),
    ],
)
def test_a_host_is_named_as_bbr_takes_it(host, port, target):
    assert bbr_command.target(host, port) == target


def test_an_ipv6_address_with_another_port_is_refused():
    with pytest.raises(ValueError, match="ansible_port is 2222"):
        bbr_command.target("fd00::8", 2222)
