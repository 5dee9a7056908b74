# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup and restore roles over two VMs that are directories, reached by an ssh that runs its command here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .role_runner import Roles, write_program

SSH = """
import subprocess
words = sys.argv[1:]
if "-V" in words:
    sys.exit(0)
host, command = words[-2:]
if os.path.exists(f"{TOP}/cut-{host}"):
    print(f"ssh: connect to host {host} port 22: No route to host", file=sys.stderr)
    sys.exit(255)
sys.exit(subprocess.call(["/bin/sh", "-c", command]))
"""
#: Appends to a log who ran; fails, hangs or cuts its host off where a file says so.
SCRIPT = """#!/bin/sh
echo "{host} {job} {script} ${{BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL:--}}" >> {top}/order.log
if [ -e {top}/fault-{host}-{job}-{script} ]; then . {top}/fault-{host}-{job}-{script}; fi
{body}
"""
PLAYBOOK = """
- hosts: vms
  gather_facts: false
  module_defaults:
    bosh.ha.bbr_jobs: &where
      jobs_dir: "{{ top }}/{{ inventory_hostname }}/jobs"
      artifacts_dir: "{{ top }}/{{ inventory_hostname }}/artifacts"
    bosh.ha.bbr_script: *where
    bosh.ha.bbr_directory: &only
      artifacts_dir: "{{ top }}/{{ inventory_hostname }}/artifacts"
    bosh.ha.bbr_artifact: *only
    bosh.ha.bbr_room: *only
  tasks:
    - ansible.builtin.include_role:
        name: "bosh.ha.{{ role }}"
    - ansible.builtin.debug:
        var: backup_deployment_done
      when: backup_deployment_done is defined
"""


@dataclass
class Vms:
    """jobs: {host: {job: {script: body}}}, as they were made by `add`."""

    top: Path
    roles: Roles

    def add(self, host: str, job: str, metadata: dict[str, object] | None = None, **bodies: str) -> None:
        directory = self.top / host / "jobs" / job / "bin" / "bbr"
        directory.mkdir(parents=True)
        for name, body in bodies.items():
            script = name.replace("_", "-")
            text = SCRIPT.format(host=host, job=job, script=script, top=self.top, body=body)
            (directory / script).write_text(text, encoding="utf-8")
        if metadata is not None:
            (directory / "metadata").write_text(
                f"#!/bin/sh\ncat <<'EOF'\n{yaml.safe_dump(metadata)}EOF\n", encoding="utf-8"
            )
        for path in directory.iterdir():
            path.chmod(0o755)

    def fault(self, host: str, job: str, script: str, shell: str) -> None:
        (self.top / f"fault-{host}-{job}-{script}").write_text(shell, encoding="utf-8")

    def play(self, role: str, *words: str, playbook: str = "play.yml", **variables: object) -> tuple[int, str]:
        """Exit code, and what was told, as one line."""
        given = json.dumps({"role": role, "top": str(self.top)} | variables)
        environ = {name: value for name, value in os.environ.items() if name.startswith(("BOSH_HA_", "XDG_"))}
        return self.roles.playbook(
            self.top, "-i", "hosts.json", "-e", given, *words, playbook, environ=environ, pauses=True
        )

    def order(self) -> list[str]:
        log = self.top / "order.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def backups(self) -> list[Path]:
        return sorted(path for path in (self.top / "backups").iterdir() if path.is_dir())


@pytest.fixture
def vms(tmp_path: Path, roles: Roles) -> Vms:
    write_program(tmp_path / "ssh", SSH, TOP=str(tmp_path))
    hosts = {
        name: {"ansible_ssh_executable": str(tmp_path / "ssh"), "backup_deployment_group": group}
        for name, group in (("vm1", "web"), ("vm2", "db"))
    }
    everyone = {
        "ansible_python_interpreter": str(roles.top / "python"),
        "ansible_user": "root",
        "ansible_become": False,
        "backup_deployment_name": "app",
        "backup_deployment_dir": str(tmp_path / "backups"),
        "backup_deployment_reconnect": 5,
    }
    inventory = {
        "vms": {"hosts": hosts},
        "all": {"vars": everyone, "hosts": {"localhost": {"ansible_connection": "local"}}},
    }
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    for host in ("vm1", "vm2"):
        (tmp_path / host).mkdir()
    return Vms(tmp_path, roles)


LEAVE = 'echo "state of {0}" > "${{BBR_ARTIFACT_DIRECTORY}}state"'.format


def add_usual(vms: Vms) -> None:
    """web locks before db, and unlocks after it."""
    locks = {"backup_should_be_locked_before": [{"job_name": "db", "release": "app"}]}
    vms.add("vm1", "web", locks, pre_backup_lock="", backup=LEAVE("web"), post_backup_unlock="")
    vms.add("vm2", "db", {}, pre_backup_lock="", backup=LEAVE("db"), post_backup_unlock="")
    vms.add("vm2", "quiet", {"skip_bbr_scripts": True}, backup="exit 1", pre_backup_lock="exit 1")


RELEASES = {"web": "app", "db": "app", "quiet": "app"}


def test_a_deployment_is_locked_backed_up_and_unlocked_in_its_order(vms):
    add_usual(vms)
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc == 0, told
    order = vms.order()
    assert order[:2] == ["vm1 web pre-backup-lock -", "vm2 db pre-backup-lock -"]
    assert sorted(order[2:4]) == ["vm1 web backup -", "vm2 db backup -"]
    assert order[4:] == ["vm2 db post-backup-unlock true", "vm1 web post-backup-unlock true"]
    [backup] = vms.backups()
    assert sorted(path.name for path in backup.iterdir()) == [
        "bosh_ha.json",
        "db-0-db.tar",
        "metadata",
        "web-0-web.tar",
    ]
    metadata = yaml.safe_load((backup / "metadata").read_text(encoding="utf-8"))
    assert {one["name"]: [art["name"] for art in one["artifacts"]] for one in metadata["instances"]} == {
        "web": ["web"],
        "db": ["db"],
    }
    assert list(metadata["instances"][0]["artifacts"][0]["checksums"]) == ["./state"]
    assert not list(vms.top.glob("vm*/artifacts"))


UNLOCKED = ["vm1 web post-backup-unlock", "vm2 db post-backup-unlock"]


def unlocked(vms: Vms) -> list[str]:
    return sorted(line.rsplit(" ", 1)[0] for line in vms.order() if "unlock" in line)


@pytest.mark.parametrize(
    ("script", "shell", "words", "code"),
    [
        ("pre-backup-lock", "echo no lock is to be had; exit 3", "failed with exit code 3: no lock is to be had", 4),
        ("backup", "echo the disk is full >&2; exit 1", "backup of db failed with exit code 1: the disk is full", 1),
        ("backup", "sleep 60", "backup of db did not end in 3 s, and was ended", 1),
        # The connection breaks while the script runs, and is there again when it is to be unlocked.
        ("backup", "touch {top}/cut-vm2; (sleep 4; rm {top}/cut-vm2) & exit 1", "backup of db failed", 1),
    ],
)
def test_what_fails_is_told_and_all_is_unlocked_and_removed(vms, script, shell, words, code):
    add_usual(vms)
    vms.fault("vm2", "db", script, shell.format(top=vms.top))
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES, backup_deployment_timeout=3)
    assert rc != 0
    assert f"the backup of app failed (exit code {code}):" in told
    assert words in told
    assert unlocked(vms) == UNLOCKED
    assert all(line.endswith(" false") for line in vms.order() if "unlock" in line)
    assert not list(vms.top.glob("vm*/artifacts"))
    assert [path.name for path in vms.backups() if not path.name.endswith(".part")] == []


def test_a_job_that_cannot_be_unlocked_costs_no_backup(vms):
    add_usual(vms)
    vms.fault("vm1", "web", "post-backup-unlock", "echo it is stuck; exit 1")
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    [backup] = vms.backups()
    assert rc != 0
    assert f"was made, {backup}, but: post-backup-unlock of web failed with exit code 1: it is stuck" in told
    assert (backup / "metadata").exists()
    assert unlocked(vms) == UNLOCKED
    assert not list(vms.top.glob("vm*/artifacts"))


def leave(vms: Vms, host: str) -> Path:
    """What a backup of ours that was killed leaves on a host."""
    left = vms.top / host / "artifacts"
    left.mkdir()
    (left / "db").mkdir()
    owner = f"{os.uname().nodename}:{vms.top}/backups"
    (left / ".bosh_ha").write_text(json.dumps({"owner": owner, "deed": "backup"}), encoding="utf-8")
    return left


def test_what_a_killed_backup_left_is_unlocked_and_removed_first(vms):
    add_usual(vms)
    left = leave(vms, "vm2")
    half = vms.top / "backups" / "app_20260101T000000Z.part"
    half.mkdir(parents=True)
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc == 0, told
    # Who knows which of them it had locked.
    assert sorted(vms.order()[:2]) == [f"{line} false" for line in UNLOCKED]
    assert len(vms.order()) == 8
    assert not half.exists()
    assert not left.exists()


def test_what_a_killed_backup_left_stays_until_it_is_unlocked(vms):
    add_usual(vms)
    left = leave(vms, "vm2")
    vms.fault("vm2", "db", "post-backup-unlock", "echo it is stuck; exit 1")
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc != 0
    assert f"post-backup-unlock of db failed with exit code 1: it is stuck; {left} stays until it is unlocked" in told
    assert left.exists()
    (vms.top / "fault-vm2-db-post-backup-unlock").unlink()
    (vms.top / "order.log").unlink()
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc == 0, told
    assert sorted(vms.order()[:2]) == [f"{line} false" for line in UNLOCKED]
    assert not left.exists()


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("", ", and none of ours: a backup or restore by bbr runs, or was ended in the middle of it"),
        (
            json.dumps({"owner": "elsewhere:/b", "deed": "restore"}),
            ": a restore of 'elsewhere:/b' runs, or was ended in the middle of it",
        ),
    ],
)
def test_a_vm_that_somebody_else_works_on_is_refused_and_left(vms, mark, words):
    add_usual(vms)
    left = vms.top / "vm2" / "artifacts"
    left.mkdir()
    if mark:
        (left / ".bosh_ha").write_text(mark, encoding="utf-8")
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc != 0
    assert f"vm2: {left} is there{words}" in told
    assert (vms.order(), left.exists()) == ([], True)


def test_bad_input_is_told_before_anything_is_locked(vms):
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc != 0
    assert "app has no job with bin/bbr/backup on vm1, vm2, so there is nothing that could be backed up" in told
    add_usual(vms)
    vms.add(
        "vm2", "cache", {"backup_should_be_locked_before": [{"job_name": "web", "release": "app"}]}, pre_backup_lock=""
    )
    (vms.top / "vm2/jobs/db/bin/bbr/metadata").write_text(
        "#!/bin/sh\necho 'backup_should_be_locked_before: [{job_name: cache, release: app}]'\n", encoding="utf-8"
    )
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES | {"cache": "app"})
    assert rc != 0
    for way in ("web on vm1 -> db on vm2", "db on vm2 -> cache on vm2", "cache on vm2 -> web on vm1"):
        assert way in told
    assert vms.order() == []


def test_what_was_changed_on_the_way_is_found(vms):
    add_usual(vms)
    # The sums are asked for in another connection than the tar.
    vms.add("vm1", "odd", {}, backup='echo 1 > "$BBR_ARTIFACT_DIRECTORY/a"; mkfifo "$BBR_ARTIFACT_DIRECTORY/pipe"')
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc == 0, told


def add_guard(vms: Vms, main: str = "") -> None:
    """A role `guard` that writes down when it keeps others from working and when it lets them. main: one more task."""
    for name, word in (("main", "kept"), ("free", "let")):
        path = vms.top / "roles" / "guard" / "tasks" / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        line = f"echo {{{{ inventory_hostname }}}} {word} >> {vms.top}/order.log"
        path.write_text(f"- ansible.builtin.shell: {line}\n{main if name == 'main' else ''}", encoding="utf-8")


def test_others_are_kept_from_working_around_all_locks(vms):
    add_usual(vms)
    add_guard(vms)
    vms.fault("vm2", "db", "backup", "exit 1")
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES, backup_deployment_guard="guard")
    assert rc != 0 and "backup of db failed" in told
    order = vms.order()
    assert sorted(order[:2]) == ["vm1 kept", "vm2 kept"]
    assert sorted(order[-2:]) == ["vm1 let", "vm2 let"]
    assert len(order) == 10


def test_where_others_cannot_be_kept_from_working_nothing_is_locked(vms):
    add_usual(vms)
    add_guard(vms, "- ansible.builtin.fail: {msg: a task runs}\n")
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES, backup_deployment_guard="guard")
    assert rc != 0 and "the backup of app failed (exit code 1): a task runs" in told
    assert sorted(vms.order()) == ["vm1 kept", "vm2 kept"]
    assert not list(vms.top.glob("vm*/artifacts"))


# Room, and how many stay

#: Stands for bosh.ha.bbr_room.
NO_ROOM = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"artifacts_dir": {}}, supports_check_mode=True)
room = {"path": "/var/vcap/store", "free": 1 << 30, "used": 1 << 30, "database": 2 << 30}
module.exit_json(changed=False, room=room)
"""


def put(vms: Vms, stamp: str, name: str = "app", size: int = 100, told: str = "") -> Path:
    """An earlier backup, of which a file may be a large hole."""
    path = vms.top / "backups" / f"{name}_{stamp}"
    path.mkdir(parents=True)
    (path / "metadata").write_text("{}", encoding="utf-8")
    with (path / "web-0-web.tar").open("wb") as stream:
        stream.truncate(size)
    if told:
        (path / "rehearsed.json").write_text(told, encoding="utf-8")
    return path


def test_where_there_is_no_room_for_a_backup_nothing_is_locked(vms):
    add_usual(vms)
    put(vms, "20260101T000000Z", size=1 << 42)
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc != 0
    assert f"the control node: {vms.top}/backups has" in told
    assert "may need 4.80 TB; -e backup_deployment_check_space=false goes on all the same" in told
    assert vms.order() == []
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES, backup_deployment_check_space="false")
    assert rc == 0, told


def test_where_a_vm_has_no_room_nothing_is_locked(vms):
    add_usual(vms)
    with vms.roles.stand_in("bbr_room", NO_ROOM):
        rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc != 0
    for host in ("vm1", "vm2"):
        assert f"{host}: /var/vcap/store has 1.00 GB free, and a dump of the database may need 2.00 GB" in told
    assert vms.order() == []


def test_a_disk_that_is_full_in_the_middle_is_told_and_half_a_file_is_removed(vms):
    add_usual(vms)
    # The file that is to be written is one that takes nothing.
    full = f"cd {vms.top}/backups/app_*.part && ln -s /dev/full web-0-web.tar.part"
    vms.fault("vm1", "web", "backup", full)
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    [half] = vms.backups()
    assert rc != 0
    full = f"{half} on the control node is full, so {half}/web-0-web.tar is not kept"
    assert f"the backup of app failed (exit code 1): {full}" in told
    assert [path.name for path in half.iterdir() if path.name.startswith("web")] == []
    assert unlocked(vms) == UNLOCKED
    assert not list(vms.top.glob("vm*/artifacts"))


def test_the_oldest_backups_go_once_there_is_a_new_one(vms):
    add_usual(vms)
    proved = put(vms, "20260101T000000Z", told='{"passed": true}')
    old, last = put(vms, "20260102T000000Z"), put(vms, "20260103T000000Z")
    others = [put(vms, "20260101T000000Z", name="app_two"), put(vms, "20260101T000000Z", name="appx")]
    given = {"backup_deployment_releases": RELEASES, "backup_deployment_keep": 2}
    rc, told = vms.play("backup_deployment", "--check", **given)
    assert f"would be removed: {old}" in told and f"would be removed: {old}," not in told
    assert old.exists()
    vms.fault("vm2", "db", "backup", "exit 1")
    rc, told = vms.play("backup_deployment", **given)
    assert rc != 0 and old.exists()
    (vms.top / "fault-vm2-db-backup").unlink()
    rc, told = vms.play("backup_deployment", **given)
    assert rc == 0, told
    assert f'"removed": [ "{old}" ]' in told
    [new] = set(vms.backups()) - {proved, last, *others}
    assert (new / "metadata").exists() and not old.exists()


def test_a_number_of_backups_that_is_none_is_refused(vms):
    rc, told = vms.play("backup_deployment", backup_deployment_keep=-1)
    assert rc != 0 and "backup_deployment_keep is -1: it must be 0, for all backups, or more" in told


# The playbook

#: Stands for bosh.ha.director_info.
SILENT = """
import json
print(json.dumps({"changed": False, "reachable": False, "logged_in": False, "reason": "nobody answers at 10.0.0.8"}))
"""
#: Writes down what it is told.
NOTIFY = """
with open(PATH, "w") as stream:
    stream.write(" ".join([*sys.argv[1:], *(os.environ[f"BOSH_HA_{name}"] for name in NAMES)]))
print("mail is down", file=sys.stderr)
sys.exit(len(sys.argv) - 2)
"""


@pytest.fixture
def silent(vms: Vms) -> Iterator[Vms]:
    """A director that does not answer, and a command that tells somebody."""
    names = ("FAILED_HOST", "PLAYBOOK", "MESSAGE")
    write_program(vms.top / "notify", NOTIFY, PATH=str(vms.top / "notified"), NAMES=names)
    with vms.roles.stand_in("director_info", f"#!/usr/bin/python\n{SILENT}"):
        yield vms


def back_up(vms: Vms, *notify: str) -> tuple[int, str]:
    director = {"address": "10.0.0.8", "client_secret": "not-for-eyes", "ca_cert": "-----BEGIN CERTIFICATE-----"}
    given: dict[str, object] = {
        "backup_hosts": "vm1:vm2",
        "backup_director_dir": str(vms.top / "backups"),
        "backup_director_name": "meta",
        "bosh_ha_directors": {"meta": director},
    }
    return vms.play(
        "", playbook="bosh.ha.backup", **given | {"backup_notify_command": list(notify)} if notify else given
    )


def test_somebody_is_told_of_a_backup_that_failed_and_the_playbook_fails(silent):
    rc, told = back_up(silent, str(silent.top / "notify"), "two words")
    message = "meta is not backed up: nobody answers at 10.0.0.8"
    assert rc != 0 and f'"msg": "{message}"' in told
    assert (silent.top / "notified").read_text(encoding="utf-8") == f"two words vm1 backup {message}"


def test_what_failed_is_told_even_where_nobody_can_be_told(silent):
    rc, told = back_up(silent, str(silent.top / "notify"), "one", "two")
    assert rc != 0
    assert "nobody answers at 10.0.0.8; and backup_notify_command failed, so nobody was told: mail is down" in told
    rc, told = back_up(silent, str(silent.top / "nowhere"))
    assert rc != 0 and "nobody answers at 10.0.0.8; and backup_notify_command failed, so nobody was told: " in told
    rc, told = back_up(silent)
    assert rc != 0 and '"msg": "meta is not backed up: nobody answers at 10.0.0.8"' in told


# Restore

RESTORE = 'cp "$BBR_ARTIFACT_DIRECTORY/state" {0}'.format
#: As of many a job: without its lock it backs nothing up.
NOW = '[ -e {0}.locked ] && cp {0} "$BBR_ARTIFACT_DIRECTORY/state"'.format


def add_restorable(vms: Vms) -> None:
    """Each job's state is a file; for a restore db is locked before web, and for a backup nobody minds."""
    for host, job, metadata in (
        ("vm1", "web", {}),
        ("vm2", "db", {"restore_should_be_locked_before": [{"job_name": "web", "release": "app"}]}),
    ):
        state = vms.top / f"{job}.state"
        state.write_text(f"{job} as it was", encoding="utf-8")
        vms.add(
            host,
            job,
            metadata,
            pre_backup_lock=f"touch {state}.locked",
            backup=NOW(state),
            post_backup_unlock=f"rm -f {state}.locked",
            pre_restore_lock="",
            restore=RESTORE(state),
            post_restore_unlock="",
        )


def states(vms: Vms) -> list[str]:
    return [(vms.top / f"{job}.state").read_text(encoding="utf-8") for job in ("web", "db")]


@pytest.fixture
def backed_up(vms: Vms) -> Path:
    """A backup of both; since then both have changed, and nothing of it is in the log."""
    add_restorable(vms)
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc == 0, told
    for job in ("web", "db"):
        (vms.top / f"{job}.state").write_text(f"{job} as it is now", encoding="utf-8")
    (vms.top / "order.log").unlink()
    return vms.backups()[0]


def restore(vms: Vms, backup: Path, **more: object) -> tuple[int, str]:
    given = {
        "restore_deployment_path": str(backup),
        "restore_deployment_name": "app",
        "restore_deployment_group": "{{ backup_deployment_group }}",
        "restore_deployment_releases": RELEASES,
        "restore_deployment_reconnect": 5,
    }
    return vms.play("restore_deployment", **given | more)


def test_a_backup_is_restored_in_its_own_order(vms, backed_up):
    rc, told = restore(vms, backed_up)
    assert rc == 0, told
    assert states(vms) == ["web as it was", "db as it was"]
    done = [line.split(" ", 1)[1] for line in vms.order()]
    # What is there now is kept, by a backup with all that belongs to it.
    assert sorted(done[:2]) == ["db pre-backup-lock -", "web pre-backup-lock -"]
    assert sorted(done[2:4]) == ["db backup -", "web backup -"]
    assert sorted(done[4:6]) == ["db post-backup-unlock true", "web post-backup-unlock true"]
    assert done[6:8] == ["db pre-restore-lock -", "web pre-restore-lock -"]
    assert sorted(done[8:10]) == ["db restore -", "web restore -"]
    assert done[10:] == ["web post-restore-unlock -", "db post-restore-unlock -"]
    assert not list(vms.top.glob("vm*/artifacts"))


def test_where_there_is_no_room_for_a_restore_nothing_is_touched(vms, backed_up):
    with vms.roles.stand_in("bbr_room", NO_ROOM):
        rc, told = restore(vms, backed_up)
    assert rc != 0
    assert (
        "vm1: /var/vcap/store has 1.00 GB free, and the backup, with a dump of the database as it is now, may need"
        in told
    )
    assert "-e restore_deployment_check_space=false goes on all the same" in told
    assert (states(vms), vms.order()) == (["web as it is now", "db as it is now"], [])


def test_where_one_fails_all_have_what_they_had(vms, backed_up):
    # Half of it is overwritten before it fails; putting back what was there does not fail.
    shell = (
        f"case $BBR_ARTIFACT_DIRECTORY in *before*) ;; *) echo half > {vms.top}/db.state; echo no room; exit 1;; esac"
    )
    vms.fault("vm2", "db", "restore", shell)
    rc, told = restore(vms, backed_up)
    assert rc != 0
    assert "the restore of app failed (exit code 1): restore of db failed with exit code 1: no room" in told
    assert "what was there before is put back" in told
    assert states(vms) == ["web as it is now", "db as it is now"]
    assert [line for line in vms.order() if "post-restore-unlock" in line]
    assert not list(vms.top.glob("vm*/artifacts"))


def test_what_cannot_be_put_back_is_not_removed(vms, backed_up):
    vms.fault("vm2", "db", "restore", "exit 1")
    rc, told = restore(vms, backed_up)
    kept = vms.top / "vm2/artifacts/bosh_ha_before/db/state"
    assert rc != 0 and "could not be put back" in told
    assert kept.read_text(encoding="utf-8") == "db as it is now"


def damage(backup: Path) -> None:
    path = backup / "db-0-db.tar"
    data = bytearray(path.read_bytes())
    data[data.index(b"db as it was")] ^= 1
    path.write_bytes(data)


def forget(backup: Path) -> None:
    path = backup / "metadata"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["instances"] = [one for one in data["instances"] if one["name"] != "db"]
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damage, "db-0-db.tar is damaged: ./state has another SHA-256 than in metadata"),
        (lambda backup: (backup / "web-0-web.tar").unlink(), "web-0-web.tar is not there, and metadata names it"),
        (lambda backup: (backup / "metadata").unlink(), "metadata is not there, so"),
        (forget, "is no backup of app as it is now: it has no db-0-db.tar"),
    ],
)
def test_a_backup_that_is_none_is_refused_before_anything_is_touched(vms, backed_up, harm, words):
    harm(backed_up)
    rc, told = restore(vms, backed_up)
    assert rc != 0
    assert words in told
    assert states(vms) == ["web as it is now", "db as it is now"]
    assert vms.order() == []


def test_a_lock_that_fails_lets_nothing_be_restored(vms, backed_up):
    vms.fault("vm1", "web", "pre-restore-lock", "exit 7")
    rc, told = restore(vms, backed_up)
    assert rc != 0
    assert "(exit code 4): pre-restore-lock of web failed with exit code 7" in told
    assert not [line for line in vms.order() if " restore " in line]
    assert len([line for line in vms.order() if "post-restore-unlock" in line]) == 2
    assert states(vms) == ["web as it is now", "db as it is now"]
