# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director that is a directory, backed up and restored by a bbr that is made up, through an ssh that is made up."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import yaml

from .role_runner import Roles, write_program

#: Greets as the host's sshd does on a port that it is to forward, and runs its command here.
SSH = """
import socket, subprocess, threading
words = sys.argv[1:]
if "-V" in words:
    sys.exit(0)
# Ansible's own connections are the ones with its Python; those for bbr have a command of their own.
if os.path.exists(f"{TOP}/ssh-key-for-bbr") and words[-1] in ("cat", "true"):
    print("Host key verification failed.", file=sys.stderr)
    sys.exit(255)
with open(f"{TOP}/ssh.log", "a") as stream:
    print(*words, file=stream)
if "-L" in words:
    address, port = words[words.index("-L") + 1].split(":")[:2]
    listening = socket.create_server((address, int(port)))
    kept = []
    def greet():
        while True:
            one, _ = listening.accept()
            if os.path.exists(f"{TOP}/ssh-closed"):
                one.close()
                continue
            one.sendall(b"SSH-2.0-made_up\\r\\n")
            kept.append(one)
    threading.Thread(target=greet, daemon=True).start()
sys.exit(subprocess.call(["/bin/sh", "-c", words[-1]]))
"""
#: bbr director, as its source has it: refuses a directory that is there, and cleans up unless it is told to fail at it.
BBR = """
import socket, time
words = sys.argv[1:]
def log(*told):
    with open(f"{TOP}/order.log", "a") as stream:
        print(*told, file=stream)
def info(told):
    print("[bbr] 2026/11/21 22:00:00 INFO -", told, flush=True)
def fail(code, *errors):
    print(f"{len(errors)} error{'s' if len(errors) > 1 else ''} occurred:", file=sys.stderr)
    for number, error in enumerate(errors):
        print(f"error {number + 1}:\\n{error}", file=sys.stderr)
    sys.exit(code)
assert words[0] == "director", words
given = dict(zip(words[1:7:2], words[2:7:2]))
deed, host = words[7], given["--host"]
path = words[9] if words[8:9] == ["--artifact-path"] else ""
assert open(given["--private-key-path"]).read() == "key" and given["--username"] == "root", given
assert not [name for name in os.environ if name.startswith("BOSH_")], os.environ
try:
    way = socket.create_connection(host.split(":"))
    assert way.recv(4) == b"SSH-"
except OSError as error:
    fail(1, f"ssh.Dial failed: {error}")
log("bbr", deed)
artifacts = f"{TOP}/micro/artifacts"
fault = json.load(open(f"{TOP}/fault.json")) if os.path.exists(f"{TOP}/fault.json") else {}
def remove():
    if os.path.isdir(artifacts):
        os.rmdir(artifacts)
if deed.endswith("-cleanup"):
    if fault.get("cleanup"):
        fail(16, "Unable to clean up backup artifact")
    remove()
    info("cleaned up")
    sys.exit(0)
if os.path.isdir(artifacts):
    fail(1, "Directory /var/vcap/store/bbr-backup already exists on instance bosh/0")
os.mkdir(artifacts)
if deed == "backup":
    made = f"{path}/{host.split(':')[0]}_20261121T220000Z"
    os.mkdir(made, 0o700)
    with open(f"{made}/metadata", "w") as stream:
        stream.write("backup_activity: {start_time: now}\\n")
if fault.get("hang"):
    info("Running backup scripts...")
    if fault.get("kill"):
        with open(f"{TOP}/pid", "w") as stream:
            stream.write(str(os.getpid()))
        os.kill(int(os.environ["PLAY"]), 9)
    # Until its way to the host is gone.
    while way.recv(100):
        pass
    sys.exit(25)
if deed == "backup" and not fault.get("code", 0) & 5:
    import hashlib, io, tarfile
    with tarfile.open(f"{made}/bosh-0-director.tar", "w") as tar:
        data = open(f"{TOP}/micro/state", "rb").read()
        entry = tarfile.TarInfo("./state")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    sums = {"./state": hashlib.sha256(data).hexdigest()}
    jobs = [{"name": "director", "checksums": sums}]
    with open(f"{made}/metadata", "w") as stream:
        json.dump({"instances": [{"name": "bosh", "index": "0", "artifacts": jobs}],
                   "backup_activity": {"start_time": "now", "finish_time": "now"}}, stream)
if deed == "restore" and not fault.get("code", 0) & 5:
    import tarfile
    with tarfile.open(f"{path}/bosh-0-director.tar") as tar:
        data = tar.extractfile("./state").read()
    with open(f"{TOP}/micro/state", "wb") as stream:
        stream.write(data)
if fault.get("code", 0) & 16 == 0:
    remove()
if fault.get("code"):
    fail(fault["code"], "Error attempting to run backup for job director: no space left")
info("Backup created")
"""
DIRECTOR_INFO = """
from ansible.module_utils.basic import AnsibleModule
spec = {name: {"type": "raw"} for name in ("environment", "client", "client_secret", "ca_cert", "cli", "config_path",
        "all_proxy", "timeout", "wait", "gather_subset", "fail_when_unreachable")}
module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
module.exit_json(logged_in=True, reason="", deployments=[{"name": "bosh-meta"}],
                 director={"uuid": "3f1c", "name": "micro", "version": "283.1.0 (00000000)"})
"""
IDLE_DIRECTOR = """
from ansible.module_utils.basic import AnsibleModule
spec = {name: {"type": "raw"} for name in ("environment", "client", "client_secret", "ca_cert", "cli", "config_path",
        "all_proxy", "timeout", "of", "wait", "refusal")}
AnsibleModule(argument_spec=spec, supports_check_mode=True).exit_json(busy_with=[])
"""
MONIT = """
from ansible.module_utils.basic import AnsibleModule
spec = {name: {"type": "raw"} for name in ("state", "only", "timeout")}
module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
import os
top = os.environ["SITE"]
with open(top + "/order.log", "a") as stream:
    stream.write("workers " + module.params["state"] + "\\n")
if os.path.exists(top + "/swap"):
    open(top + "/ssh-key-for-bbr", "w").close()
module.exit_json(changed=True)
"""
PLAYBOOK = """
- hosts: micro
  gather_facts: false
  module_defaults:
    bosh.ha.bbr_jobs:
      jobs_dir: "{{ top }}/micro/jobs"
      artifacts_dir: "{{ top }}/micro/artifacts"
  tasks:
    - ansible.builtin.include_role:
        name: "bosh.ha.{{ role }}"
    - ansible.builtin.debug:
        var: backup_director_done
      when: backup_director_done is defined
"""
MODULES = {"director_info": DIRECTOR_INFO, "idle_director": IDLE_DIRECTOR, "monit": MONIT}
ADDRESS = "10.10.0.3"
#: Seconds, on a machine that has other work.
PATIENCE = 60


class Site:
    """A control node and its director, below one directory."""

    def __init__(self, top: Path, roles: Roles) -> None:
        self.top, self.roles = top, roles
        self.dir = top / "backups"
        self.dir.mkdir()
        write_program(top / "ssh", SSH, TOP=str(top))
        write_program(top / "bbr", BBR, TOP=str(top))
        (top / "key").write_text("key", encoding="utf-8")
        script = top / "micro" / "jobs" / "director" / "bin" / "bbr" / "backup"
        script.parent.mkdir(parents=True)
        script.write_text("#!/bin/sh\n", encoding="utf-8")
        script.chmod(0o755)
        self.state = top / "micro" / "state"
        self.state.write_text("as it was", encoding="utf-8")
        self.artifacts = top / "micro" / "artifacts"
        self.mark = self.dir / f".{ADDRESS}.bbr-backup"
        given = {
            "ansible_ssh_executable": str(top / "ssh"),
            "ansible_host": ADDRESS,
            "ansible_python_interpreter": str(roles.top / "python"),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(top / "key"),
            "ansible_become": False,
            "bosh_ha_directors": {"micro": {"address": ADDRESS, "client_secret": "x", "ca_cert": "x"}},
            "backup_director_dir": str(self.dir),
            "restore_director_path": str(self.dir / "taken"),
        }
        for role in ("backup", "restore"):
            given |= {f"{role}_director_engine": "bbr", f"{role}_director_bbr": str(top / "bbr")}
        local = {"ansible_connection": "local", "ansible_python_interpreter": str(roles.top / "python")}
        inventory = {"all": {"hosts": {"micro": given, "localhost": local}}}
        (top / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
        (top / "play.yml").write_text(PLAYBOOK, encoding="utf-8")

    def play(self, role: str, *words: str, **more: object) -> tuple[int, str]:
        """Exit code, and what was told, as one line."""
        given = json.dumps({"role": role, "top": str(self.top)} | more)
        environ = {"SITE": str(self.top), "BOSH_CLIENT_SECRET": "of somebody else"}
        words = ("-i", "hosts.json", "-e", given, *words, "play.yml")
        return self.roles.playbook(self.top, *words, environ=environ, pauses=True)

    def fault(self, **fault: object) -> None:
        (self.top / "fault.json").write_text(json.dumps(fault), encoding="utf-8")

    def order(self) -> list[str]:
        """What was done since it was asked last."""
        path = self.top / "order.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def backups(self) -> list[Path]:
        return sorted(path for path in self.dir.iterdir() if path.is_dir() and path.suffix != ".part")


@pytest.fixture
def site(tmp_path: Path, roles: Roles) -> Site:
    return Site(tmp_path, roles)


RELEASED, STOPPED = "workers released", "workers held"
#: What an earlier run may have left stopped is started first.
BEGUN = [RELEASED, STOPPED, "bbr backup"]
HELD = [*BEGUN, RELEASED]


def test_bbr_makes_a_backup_as_the_builtin_engine_does(site):
    rc, told = site.play("backup_director")
    assert rc == 0, told
    assert site.order() == HELD
    [backup] = site.backups()
    assert backup.name.startswith(f"{ADDRESS}_20")
    assert sorted(path.name for path in backup.iterdir()) == ["bosh-0-director.tar", "bosh_ha.json", "metadata"]
    assert backup.stat().st_mode & 0o777 == 0o700
    about = json.loads((backup / "bosh_ha.json").read_text(encoding="utf-8"))
    assert (about["uuid"], about["deployments"]) == ("3f1c", ["bosh-meta"])
    assert f'"path": "{backup}"' in told and '"artifacts": [ "director" ]' in told
    assert "Backup created" in (site.dir / f"{ADDRESS}.bbr.log").read_text(encoding="utf-8")
    # Its way was the one of which the host key was checked.
    [way] = [line for line in (site.top / "ssh.log").read_text(encoding="utf-8").splitlines() if " -L " in line]
    assert "StrictHostKeyChecking=yes" in way
    assert (site.mark.exists(), site.artifacts.exists()) == (False, False)


@pytest.mark.parametrize(
    ("code", "cleaned"),
    [(4, []), (25, ["bbr backup-cleanup"])],
)
def test_a_failure_is_told_with_its_code_and_what_is_left_is_cleaned(site, code, cleaned):
    site.fault(code=code)
    rc, told = site.play("backup_director")
    assert rc != 0
    assert (
        f"the backup of {ADDRESS} failed (exit code {code}): bbr failed with exit code {code}: Error attempting" in told
    )
    assert site.order() == [*BEGUN, *cleaned, RELEASED]
    assert (site.backups(), site.mark.exists(), site.artifacts.exists()) == ([], False, False)


def test_a_job_that_cannot_be_unlocked_costs_no_backup(site):
    site.fault(code=8)
    rc, told = site.play("backup_director")
    [backup] = site.backups()
    assert rc != 0
    assert f"the backup of {ADDRESS} was made, {backup}, but: bbr failed with exit code 8" in told
    assert site.order() == [*BEGUN, "bbr backup-cleanup", RELEASED]


def test_one_that_hangs_is_ended_and_cleaned_up_after(site):
    site.fault(hang=True)
    rc, told = site.play("backup_director", backup_director_bbr_timeout=2)
    assert rc != 0
    assert "(exit code 1): bbr did not end in 2 s, and was ended" in told
    assert site.order() == [*BEGUN, "bbr backup-cleanup", RELEASED]
    assert not site.artifacts.exists()


def test_what_a_killed_run_left_is_cleaned_by_the_next(site):
    site.fault(hang=True, kill=True)
    assert site.play("backup_director")[0] == -signal.SIGKILL
    bbr = Path("/proc", (site.top / "pid").read_text(encoding="utf-8"))
    until = time.monotonic() + PATIENCE
    while bbr.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not bbr.exists()
    assert site.order() == BEGUN
    assert (site.artifacts.exists(), site.mark.exists()) == (True, True)
    site.fault(cleanup=True)
    rc, told = site.play("backup_director")
    assert rc != 0
    assert "what an earlier backup by bbr left could not be cleaned up: bbr failed with exit code 16" in told
    assert site.order() == ["bbr backup-cleanup", RELEASED]
    assert site.mark.exists()
    site.fault()
    rc, told = site.play("backup_director")
    assert rc == 0, told
    assert site.order() == ["bbr backup-cleanup", RELEASED, *HELD]
    assert len(site.backups()) == 1
    assert not list(site.dir.glob("*.part"))


def test_bbr_cannot_back_up_into_a_repository(site):
    rc, told = site.play("backup_director", backup_director_repository="/backups/repository")
    assert rc != 0 and "it cannot back up into backup_director_repository" in told
    assert site.order() == []


def test_what_is_somebody_elses_is_refused_and_left(site):
    site.artifacts.mkdir()
    rc, told = site.play("backup_director")
    assert rc != 0
    words = ", and none of ours: a backup or restore by bbr runs, or was ended in the middle of it"
    assert f"micro: {site.artifacts} is there{words}" in told
    assert (site.order(), site.artifacts.exists()) == ([], True)


@pytest.mark.parametrize("tunnel", [True, False])
def test_a_host_key_that_is_not_the_pinned_one_keeps_bbr_from_beginning(site, tunnel):
    """It changes after all was looked at, as the guard has done its work."""
    (site.top / "swap").touch()
    rc, told = site.play("backup_director", backup_director_bbr_tunnel=tunnel)
    assert rc != 0
    assert "bbr was not begun: Host key verification failed." in told
    assert "bbr backup" not in site.order()


def test_what_bbr_needs_and_is_not_there_is_named(site):
    (site.top / "ssh-closed").touch()
    rc, told = site.play("backup_director")
    assert rc != 0 and "its sshd forwards no port (AllowTcpForwarding): the connection was closed" in told
    (site.top / "ssh-closed").unlink()
    rc, told = site.play("backup_director", backup_director_bbr="/nowhere/bbr")
    assert rc != 0 and "bbr was not begun: there is no command /nowhere/bbr on the control node" in told
    rc, told = site.play("backup_director", ansible_ssh_private_key_file="")
    assert rc != 0 and "bbr asks no SSH agent: set ansible_ssh_private_key_file for this host" in told
    assert "bbr backup" not in site.order()
    assert (site.backups(), site.mark.exists()) == ([], False)


def test_bbr_restores_what_is_whole(site):
    rc, told = site.play("backup_director")
    assert rc == 0, told
    [backup] = site.backups()
    site.state.write_text("as it is now", encoding="utf-8")
    site.order()
    rc, told = site.play("restore_director", restore_director_path=str(backup))
    assert rc == 0, told
    assert site.order() == [RELEASED, STOPPED, "bbr restore", RELEASED]
    assert site.state.read_text(encoding="utf-8") == "as it was"
    site.fault(code=9)
    rc, told = site.play("restore_director", restore_director_path=str(backup))
    assert rc != 0 and f"the restore of {ADDRESS} failed (exit code 9): bbr failed with exit code 9" in told
    assert site.order() == [RELEASED, STOPPED, "bbr restore", "bbr restore-cleanup", RELEASED]
    tar = backup / "bosh-0-director.tar"
    tar.write_bytes(tar.read_bytes().replace(b"as it was", b"as it WAS"))
    rc, told = site.play("restore_director", restore_director_path=str(backup))
    assert rc != 0 and "bosh-0-director.tar is damaged: ./state has another SHA-256 than in metadata" in told
    assert site.order() == []


def test_the_metadata_is_that_of_bbr(site):
    rc, told = site.play("backup_director", backup_director_hold_tasks=False)
    assert rc == 0, told
    assert site.order() == ["bbr backup"]
    data = yaml.safe_load((site.backups()[0] / "metadata").read_text(encoding="utf-8"))
    assert data["backup_activity"] == {"start_time": "now", "finish_time": "now"}
