# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""BBR's scripts as processes, whose the directory of artifacts is, and how a host is streamed from."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import bbr_mark, bbr_scripts
from ansible_collections.bosh.ha.plugins.module_utils.waiting_lock import lock_within
from ansible_collections.bosh.ha.plugins.plugin_utils import ssh_stream


def script(tmp_path: Path, job: str, name: str, body: str) -> str:
    path = tmp_path / job / "bin" / "bbr" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_script_has_the_environment_of_the_contract_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("BOSH_CLIENT_SECRET", "not for scripts")
    path = script(tmp_path, "db", "backup", "env")
    more = bbr_scripts.variables("backup", "db", "/store/bbr-backup")
    said = bbr_scripts.run("db", "backup", path, more, 10).output.splitlines()
    assert {"BBR_ARTIFACT_DIRECTORY=/store/bbr-backup/db/", "ARTIFACT_DIRECTORY=/store/bbr-backup/db/"} <= set(said)
    assert not [line for line in said if line.startswith("BOSH_")]
    assert bbr_scripts.variables("pre-backup-lock", "db") == {}
    assert bbr_scripts.variables("post-backup-unlock", "db", successful=False) == {
        "BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL": "false"
    }


def test_a_script_that_hangs_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(bbr_scripts, "GRACE", 0.2)
    pid = tmp_path / "pid"
    path = script(tmp_path, "db", "backup", f"trap '' TERM\n(trap '' TERM; sleep 60) &\necho $! > {pid}\nwait")
    began = time.monotonic()
    ran = bbr_scripts.run("db", "backup", path, {}, 1)
    assert ran.problem == "backup of db did not end in 1 s, and was ended"
    assert time.monotonic() - began < 20
    child = int(pid.read_text(encoding="utf-8"))
    until = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < until:
        if Path(f"/proc/{child}/stat").read_text(encoding="utf-8").split(") ")[1][0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_child_that_stays_does_not_hold_the_script(tmp_path):
    path = script(tmp_path, "db", "post-restore-unlock", "sleep 30 &\nexit 0")
    ran = bbr_scripts.run("db", "post-restore-unlock", path, {}, 10)
    assert (ran.problem, ran.seconds < 8) == ("", True)


def test_one_that_fails_does_not_keep_the_others_from_running(tmp_path):
    for job, body in (("a", "echo why; exit 2"), ("b", "true")):
        script(tmp_path, job, "backup", body)
    params = {"jobs_dir": str(tmp_path), "artifacts_dir": "/x", "timeout": 10, "at_once": False, "successful": True}
    ran = bbr_scripts.run_all(["a", "b", "gone"], "backup", params, {})
    assert [one.problem.partition(":")[0] for one in ran] == [
        "backup of a failed with exit code 2",
        "",
        "backup of gone cannot be run",
    ]


def test_those_of_a_wave_run_at_once(tmp_path):
    # Each waits for the other one's file.
    for job, other in (("a", "b"), ("b", "a")):
        body = f"touch {tmp_path}/{job}.there; while [ ! -e {tmp_path}/{other}.there ]; do sleep 0.05; done"
        script(tmp_path, job, "pre-backup-lock", body)
    params = {"jobs_dir": str(tmp_path), "artifacts_dir": "/x", "timeout": 10, "at_once": True, "successful": True}
    assert [one.problem for one in bbr_scripts.run_all(["a", "b"], "pre-backup-lock", params, {})] == ["", ""]


# the mark


def test_the_directory_is_one_owners(tmp_path):
    path = str(tmp_path / "bbr-backup")
    assert bbr_mark.take(path, "me", "backup")
    assert not bbr_mark.take(path, "me", "backup")
    # Every user may pass, and only its owner reads the mark.
    assert oct(os.stat(path).st_mode & 0o777) == "0o755"
    assert oct(os.stat(os.path.join(path, bbr_mark.MARK)).st_mode & 0o777) == "0o600"
    for owner, deed in (("me", "restore"), ("you", "backup")):
        with pytest.raises(bbr_mark.Taken, match="a backup of 'me' runs"):
            bbr_mark.take(path, owner, deed)
    with pytest.raises(bbr_mark.Taken):
        bbr_mark.give_back(path, "you")
    (Path(path) / "db").mkdir()
    (Path(path) / "link").symlink_to(tmp_path)
    assert bbr_mark.give_back(path, "me")
    assert not bbr_mark.give_back(path, "me")
    assert tmp_path.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_every_user_can_reach_a_jobs_directory_whatever_the_umask(tmp_path, umask):
    path = tmp_path / "bbr-backup"
    before = os.umask(umask)
    try:
        bbr_mark.take(str(path), "me", "backup")
        bbr_scripts.make_artifact_dir("db", str(path))
        bbr_scripts.make_artifact_dir("bosh_ha_before/db", str(path))
    finally:
        os.umask(before)
    for one in (path, path / "db", path / "bosh_ha_before", path / "bosh_ha_before" / "db"):
        assert oct(one.stat().st_mode & 0o777) == "0o755", one


def test_a_directory_that_a_script_has_given_away_stays_so(tmp_path):
    bbr_mark.take(str(tmp_path / "art"), "me", "backup")
    bbr_scripts.make_artifact_dir("db", str(tmp_path / "art"))
    (tmp_path / "art" / "db").chmod(0o700)
    bbr_scripts.make_artifact_dir("db", str(tmp_path / "art"))
    assert oct((tmp_path / "art" / "db").stat().st_mode & 0o777) == "0o700"


def test_a_mark_that_is_a_link_is_no_mark(tmp_path):
    own = tmp_path / "elsewhere"
    own.write_text(json.dumps({"owner": "me", "deed": "backup"}), encoding="utf-8")
    path = tmp_path / "art"
    path.mkdir()
    (path / bbr_mark.MARK).symlink_to(own)
    assert bbr_mark.left(str(path))["owner"] == ""
    with pytest.raises(bbr_mark.Taken, match="none of ours"):
        bbr_mark.give_back(str(path), "me")


def test_who_may_read_the_directory_cannot_hold_scripts_up(tmp_path):
    path = str(tmp_path / "art")
    bbr_mark.take(path, "me", "backup")
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert lock_within(handle, 0)
        with bbr_mark.working(path, 0.1):
            pass
    finally:
        os.close(handle)


def test_a_script_without_an_interpreters_line_is_run_as_sudo_does(tmp_path):
    path = tmp_path / "db" / "bin" / "bbr" / "backup"
    path.parent.mkdir(parents=True)
    path.write_text('echo "into $ARTIFACT_DIRECTORY"\n', encoding="utf-8")
    path.chmod(0o755)
    ran = bbr_scripts.run("db", "backup", str(path), bbr_scripts.variables("backup", "db", "/x"), 10)
    assert (ran.problem, ran.output) == ("", "into /x/db/\n")
    path.chmod(0o644)
    assert "cannot be run" in bbr_scripts.run("db", "backup", str(path), {}, 10).problem


def test_bbrs_own_directory_is_nobodys_to_remove(tmp_path):
    with pytest.raises(bbr_mark.Taken, match="none of ours"):
        bbr_mark.give_back(str(tmp_path), "me")
    (tmp_path / bbr_mark.MARK).write_text(json.dumps(["odd"]), encoding="utf-8")
    assert bbr_mark.left(str(tmp_path))["owner"] == ""


def test_of_two_calls_the_second_waits(tmp_path):
    done: list[str] = []

    def first() -> None:
        with bbr_mark.working(str(tmp_path), 5):
            time.sleep(0.5)
            done.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    time.sleep(0.1)
    with (
        pytest.raises(bbr_mark.Taken, match="scripts of an earlier call run"),
        bbr_mark.working(str(tmp_path), 0.1),
    ):
        pass
    with bbr_mark.working(str(tmp_path), 5):
        done.append("second")
    thread.join()
    assert done == ["first", "second"]
    with bbr_mark.working(str(tmp_path / "gone"), 0):
        pass


# ssh


class Connection:
    transport = "ssh"

    def __init__(self, **options: object) -> None:
        self.options = options

    def get_option(self, option: str) -> object:
        return self.options.get(option)


def test_ssh_logs_in_as_ansible_does_and_checks_the_host():
    command = ssh_stream.command_line(
        Connection(
            host="10.0.0.1", port=2222, remote_user="jumpbox", private_key_file="/k", ssh_common_args="-o A=b -J gw"
        ),
        ["tar", "-C", "/a b", "-c", "."],
    )
    assert command[-3:] == ["--", "10.0.0.1", "sudo -n -- tar -C '/a b' -c ."]
    for words in (["-p", "2222"], ["-i", "/k"], ["-l", "jumpbox"], ["-J", "gw"]):
        assert words == command[command.index(words[0]) : command.index(words[0]) + 2]
    # ssh takes the first value that it is given.
    assert command.index("StrictHostKeyChecking=yes") < command.index("A=b")
    given = [word for word in command if word.startswith("Ciphers=")]
    assert given and command.index("A=b") < command.index(given[0])
    root = ssh_stream.command_line(Connection(host="h", remote_user="root"), ["id"])
    assert root[-1] == "id"


def test_what_is_compressed_is_not_compressed_by_ssh():
    """Ansible's default would."""
    connection = Connection(host="h", remote_user="root", ssh_args="-C -o ControlMaster=auto -o ControlPersist=60s")
    command = ssh_stream.command_line(connection, ["id"])
    done = subprocess.run([command[0], "-G", *command[1:-1]], capture_output=True, text=True, check=False)
    assert "compression no" in done.stdout.splitlines(), done


def test_another_transport_is_refused():
    connection = Connection()
    connection.transport = "local"
    with pytest.raises(ssh_stream.Broken, match="reached by 'local'"):
        ssh_stream.command_line(connection, ["id"])


def test_what_the_host_said_is_told(tmp_path):
    with pytest.raises(ssh_stream.Broken, match="no such directory"):
        ssh_stream.read(["sh", "-c", "echo no such directory >&2; exit 3"], lambda stream: stream.read())
    with pytest.raises(ssh_stream.Broken, match="exit code 4"):
        ssh_stream.read(["sh", "-c", "exit 4"], lambda stream: stream.read())

    def broken(stream):
        stream.read()
        raise ValueError("half of it")

    with pytest.raises(ssh_stream.Broken, match="connection was lost"):
        ssh_stream.read(["sh", "-c", "echo connection was lost >&2"], broken)
    with pytest.raises(ValueError, match="half of it"):
        ssh_stream.read(["true"], broken)
    source = tmp_path / "source"
    source.write_bytes(b"all of it")
    with source.open("rb") as stream:
        ssh_stream.write(["sh", "-c", f"cat > {tmp_path}/target"], stream)
    assert (tmp_path / "target").read_bytes() == b"all of it"
    with source.open("rb") as stream, pytest.raises(ssh_stream.Broken, match="full"):
        ssh_stream.write(["sh", "-c", "echo full >&2; exit 1"], stream)
