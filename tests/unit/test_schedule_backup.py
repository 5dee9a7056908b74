# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role schedule_backup with a systemctl that is made up; what it writes is read as systemd and AWX would."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .role_runner import Roles, write_program

#: Knows a unit that has a file; what is enabled, active or loaded are files, too. Writes down what it was told to do.
SYSTEMCTL = """
words = sys.argv[1:]
verb, names = words[0], [word for word in words[1:] if not word.startswith("-")]
def file(kind):
    return f"{TOP}/{kind}"
def unit(name):
    try:
        with open(f"{TOP}/units/{name}") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
if verb == "show" and "--property=NeedDaemonReload" in words:
    known = json.load(open(file("known"))) if os.path.exists(file("known")) else {}
    stale = [name in known and known[name] != unit(name) for name in names]
    print("\\n\\n".join("NeedDaemonReload=" + ("yes" if one else "no") for one in stale))
elif verb == "show":
    there = unit(names[0])
    print(f"Id={names[0]}\\nLoadState={'loaded' if there else 'not-found'}")
    print(f"ActiveState={'active' if os.path.exists(file('active')) else 'inactive'}")
elif verb == "is-enabled":
    there = os.path.exists(file("enabled"))
    print("enabled" if there else "disabled")
    sys.exit(0 if there else 1)
else:
    with open(file("done"), "a") as stream:
        print(" ".join([verb, *names]), file=stream)
    if verb == "daemon-reload":
        with open(file("known"), "w") as stream:
            json.dump({name: unit(name) for name in os.listdir(f"{TOP}/units")}, stream)
    for kind, on, off in (("enabled", ("enable",), ("disable",)), ("active", ("start", "restart"), ("stop",))):
        if verb in on:
            open(file(kind), "w").close()
        if verb in off and os.path.exists(file(kind)):
            os.remove(file(kind))
"""
NAME = "bosh-ha-backup"


class Host:
    """A jumpbox that is a directory."""

    def __init__(self, top: Path, roles: Roles) -> None:
        self.top, self.roles = top, roles
        self.units = top / "units"
        self.units.mkdir()
        (top / "bin").mkdir()
        write_program(top / "bin" / "systemctl", SYSTEMCTL, TOP=str(top))
        write_program(top / "bin" / "ansible-playbook", "")
        self.variables: dict[str, Any] = {
            "ansible_become": False,
            "_schedule_backup_booted": str(top),
            "schedule_backup_unit_dir": str(self.units),
            "schedule_backup_command": str(top / "bin" / "ansible-playbook"),
            "schedule_backup_user": "root",
            "schedule_backup_inventory": ["/srv/inventories/site"],
            "schedule_backup_vars": {"backup_director_dir": "/backups/100 % of $HOME"},
            "schedule_backup_days": ["mon", "thu"],
            "schedule_backup_time_zone": "Europe/Berlin",
        }

    def play(self, *words: str, **more: Any) -> tuple[int, str]:
        path = f"{self.top / 'bin'}:{os.environ['PATH']}"
        given = self.variables | more
        # Extra variables, as those of the role's vars/main.yml win over the inventory's.
        words = (*words, "-e", json.dumps(given))
        return self.roles.play(
            self.top, "schedule_backup", "main", *words, variables={}, hosts={}, environ={"PATH": path}
        )

    def done(self) -> list[str]:
        """What systemctl was told to do since it was asked last."""
        path = self.top / "done"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def text(self, kind: str) -> str:
        return (self.units / f"{NAME}{kind}").read_text(encoding="utf-8")


@pytest.fixture
def host(tmp_path: Path, roles: Roles) -> Host:
    return Host(tmp_path, roles)


NOTIFY = ["/usr/bin/logger", "--tag", "it's 100 % gone"]


def played(host: Host, *words: str, **more: Any) -> str:
    rc, told = host.play(*words, **more)
    assert rc == 0, told
    return told


def verify(host: Host) -> str:
    """What systemd-analyze has against the units; nothing where it has nothing, or is not on this machine."""
    command = shutil.which("systemd-analyze")
    if not command:
        return ""
    units = sorted(map(str, host.units.iterdir()))
    done = subprocess.run([command, "verify", *units], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip() or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def test_a_timer_starts_the_backup_and_a_failure_is_told(host):
    told = played(host, schedule_backup_notify=NOTIFY, schedule_backup_hosts="primary")
    assert "changed=2" in told
    assert host.done() == ["daemon-reload", f"enable {NAME}.timer", f"start {NAME}.timer"]
    assert sorted(path.name for path in host.units.iterdir()) == [
        f"{NAME}-failed.service",
        f"{NAME}.service",
        f"{NAME}.timer",
    ]
    timer, service, failed = (host.text(kind).splitlines() for kind in (".timer", ".service", "-failed.service"))
    assert "OnCalendar=Mon,Thu *-*-* 03:17:00 Europe/Berlin" in timer
    assert {"Persistent=true", "RandomizedDelaySec=900", "WantedBy=timers.target"} <= set(timer)
    assert {"Type=oneshot", "User=root", f"OnFailure={NAME}-failed.service", "TimeoutStartSec=21600"} <= set(service)
    assert not [line for line in service if line.startswith("EnvironmentFile=")]
    [start] = [line for line in service if line.startswith("ExecStart=")]
    assert start == (
        f'ExecStart={host.top}/bin/ansible-playbook "--inventory" "/srv/inventories/site" "--extra-vars" '
        '"{\\"backup_director_dir\\": \\"/backups/100 %% of $$HOME\\", \\"backup_hosts\\": \\"primary\\"}" '
        '"bosh.ha.backup"'
    )
    [tell] = [line for line in failed if line.startswith("ExecStart=")]
    assert tell.endswith(f' "{NAME}.service" "/usr/bin/logger" "--tag" "it\'s 100 %% gone"')
    assert verify(host) == ""


def test_who_is_told_of_a_failure_reads_the_name_and_the_journal(host):
    """The shell's part of the unit, as systemd would hand it on."""
    write_program(host.top / "bin" / "journalctl", "print('journal', *sys.argv[1:])\n")
    heard = host.top / "heard"
    write_program(
        host.top / "notify",
        "with open(HEARD, 'w') as stream:\n"
        "    print(os.environ['BOSH_HA_FAILED_UNIT'], sys.argv[1], sys.stdin.read(), sep='\\n', file=stream)\n",
        HEARD=str(heard),
    )
    played(host, schedule_backup_notify=[str(host.top / "notify"), "two words"])
    [line] = [one for one in host.text("-failed.service").splitlines() if one.startswith("ExecStart=")]
    first, _blank, rest = line.removeprefix("ExecStart=").partition(" ")
    words = [first, *(ast.literal_eval(f"[{rest.replace(chr(34) + ' ' + chr(34), chr(34) + ',' + chr(34))}]"))]
    words = [word.replace("$$", "$").replace("%%", "%") for word in words]
    subprocess.run(words, check=True, env=os.environ | {"PATH": f"{host.top / 'bin'}:{os.environ['PATH']}"})
    name, word, head, journal = heard.read_text(encoding="utf-8").strip().splitlines()
    assert (name, word) == (f"{NAME}.service", "two words")
    assert head == f"{NAME}.service failed on {os.uname().nodename}"
    assert journal.startswith(f"journal --unit={NAME}.service --lines=50")


def test_again_nothing_is_changed_and_a_change_is_read(host):
    played(host)
    host.done()
    assert "changed=0" in played(host)
    assert host.done() == []
    assert "changed=2" in played(host, schedule_backup_at="04:00")
    assert host.done() == ["daemon-reload", f"restart {NAME}.timer"]
    # A run that was ended before it told systemd.
    path = host.units / f"{NAME}.service"
    (host.top / "known").write_text(json.dumps({path.name: "as it was"}), encoding="utf-8")
    played(host, schedule_backup_at="04:00")
    assert host.done() == ["daemon-reload", f"restart {NAME}.timer"]


def test_a_notification_that_is_wanted_no_more_is_removed(host):
    played(host, schedule_backup_notify=NOTIFY)
    host.done()
    played(host)
    assert not (host.units / f"{NAME}-failed.service").exists()
    assert "OnFailure" not in host.text(".service")
    assert "daemon-reload" in host.done()


def test_check_mode_says_what_it_would_do_and_does_nothing(host):
    told = played(host, "--check", schedule_backup_awx_file=str(host.top / "awx.yml"), **AWX)
    assert "changed=2" in told
    assert (host.done(), list(host.units.iterdir()), (host.top / "awx.yml").exists()) == ([], [], False)


@pytest.mark.parametrize("how", [{"schedule_backup_state": "absent"}, {"schedule_backup_timer": "false"}])
def test_it_is_removed_again(host, how):
    played(host)
    host.done()
    assert "changed=2" in played(host, **how)
    assert host.done() == [f"disable {NAME}.timer", f"stop {NAME}.timer", "daemon-reload"]
    assert list(host.units.iterdir()) == []
    assert "changed=0" in played(host, **how)
    assert host.done() == []


def test_secrets_are_for_systemd_alone(host):
    path = host.top / "backup.env"
    secret = {"PRIMARY_CLIENT_SECRET": 'not-for "eyes" $1'}
    given = {"schedule_backup_environment_file": str(path), "schedule_backup_environment": secret}
    told = played(host, "-vvv", "--diff", **given)
    assert "not-for" not in told.split("TASK [", 1)[1]
    assert path.read_text(encoding="utf-8") == 'PRIMARY_CLIENT_SECRET="not-for \\"eyes\\" \\$1"\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"EnvironmentFile={path}" in host.text(".service").splitlines()
    assert "not-for" not in "".join(one.read_text(encoding="utf-8") for one in host.units.iterdir())
    # The operator's own is read by nobody here, and stays.
    ours = {"schedule_backup_environment_file": str(path)}
    played(host, schedule_backup_state="absent", **ours)
    assert path.exists()
    played(host, schedule_backup_state="absent", **given)
    assert not path.exists()


def test_bad_input_is_told_before_anything_is_written(host):
    path = host.top / "backup.env"
    for given, words in (
        ({"schedule_backup_at": 17}, 'schedule_backup_at is to be a time such as "03:17", in quotes, and not'),
        ({"_schedule_backup_booted": "/nowhere"}, "localhost: systemd does not run here"),
        ({"schedule_backup_command": "/nowhere/ansible-playbook"}, "/nowhere/ansible-playbook is no command"),
        ({"schedule_backup_environment_file": str(path)}, f"{path} is not there; write it, or set"),
    ):
        rc, told = host.play(**given)
        assert rc != 0
        assert words in told.replace('\\"', '"')
        assert list(host.units.iterdir()) == []
    path.write_text("A=b\n", encoding="utf-8")
    path.chmod(0o640)
    rc, told = host.play(schedule_backup_environment_file=str(path))
    assert rc != 0 and f"{path} has secrets, and is to have mode 0600" in told


AWX: dict[str, Any] = {
    "schedule_backup_awx_project": "bosh-ha",
    "schedule_backup_awx_inventory": "directors",
    "schedule_backup_awx_credentials": ["jumpbox", "director secrets"],
    "schedule_backup_awx_notifications": ["ops"],
}


def options_of(module: str) -> dict[str, Any]:
    """The options that a module of awx.awx describes; the bundle of Ansible has that collection."""
    bundle = importlib.util.find_spec("ansible_collections.awx.awx.plugins.modules")
    assert bundle and bundle.submodule_search_locations
    path = Path(next(iter(bundle.submodule_search_locations))) / f"{module}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [text] = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION"
        if isinstance(node.value, ast.Constant)
    ]
    return yaml.safe_load(str(text))["options"]


def test_awx_is_told_the_same(host):
    path = host.top / "awx.yml"
    given = AWX | {"schedule_backup_awx_file": str(path), "schedule_backup_timer": False}
    played(host, **given)
    assert "changed=0" in played(host, **given)
    assert list(host.units.iterdir()) == []
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    template, schedule = data["awx_job_template"], data["awx_schedule"]
    assert schedule == {
        "name": NAME,
        "unified_job_template": NAME,
        "organization": "Default",
        "rrule": "DTSTART;TZID=Europe/Berlin:20260105T031700 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,TH",
        "enabled": True,
        "state": "present",
    }
    assert template["credentials"] == ["jumpbox", "director secrets"]
    assert template["extra_vars"] == {"backup_director_dir": "/backups/100 % of $HOME"}
    assert (template["playbook"], template["timeout"], template["allow_simultaneous"]) == (
        "playbooks/backup.yml",
        21600,
        False,
    )
    for module, told in (("job_template", template), ("schedule", schedule)):
        options = options_of(module)
        assert set(told) <= set(options)
        types = {"str": str, "list": list, "dict": dict, "bool": bool, "int": int}
        for name, value in told.items():
            assert isinstance(value, types[options[name]["type"]]), name
    played(host, **given, schedule_backup_state="absent")
    # A template takes its schedules along; a second `absent` of a schedule is an error of awx.awx.
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {
        "awx_job_template": {"name": NAME, "organization": "Default", "state": "absent"}
    }


#: Answers as ansible-core has them after AWX wrote them: an empty text is None, and 13:17 is a number of base 60.
RETYPED = {
    "schedule_backup_timer": False,
    "schedule_backup_at": 797,
    "schedule_backup_awx_project": 2026,
    "schedule_backup_awx_execution_environment": None,
    "schedule_backup_hosts": None,
}


def test_answers_that_ansible_has_retyped_mean_the_same(host):
    path = host.top / "awx.yml"
    played(host, **AWX | RETYPED | {"schedule_backup_awx_file": str(path)})
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    template = data["awx_job_template"]
    assert (template["project"], template["state"]) == ("2026", "present")
    assert "execution_environment" not in template
    assert data["awx_schedule"]["rrule"].startswith("DTSTART;TZID=Europe/Berlin:20260105T131700 ")
