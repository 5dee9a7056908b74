# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs, who is dead, and that of many at once exactly one gets the lock."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import run_lock

from ..conftest import Failed

SLEEPER = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "work" / "run.lock")


@pytest.fixture
def other():
    """Another process of this host."""
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.stdin.close()


@pytest.fixture
def me():
    return run_lock.identify(os.getpid())


def test_it_is_taken_once_and_given_back(path, me):
    assert run_lock.hold(path, me) == (True, False)
    assert run_lock.hold(path, dataclasses.replace(me, since="later")) == (False, False)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    assert (told["pid"], told["host"]) == (os.getpid(), os.uname().nodename)
    assert (run_lock.free(path, me), run_lock.free(path, me), os.path.exists(path)) == (True, False, False)


def test_it_is_not_taken_from_one_that_is_alive(path, me, other):
    theirs = run_lock.identify(other.pid)
    run_lock.hold(path, theirs)
    sentence = (
        rf"^another run \(process {other.pid}, since {theirs.since}\) works on this pair: wait for it, or end it; "
        rf"the lock is {path}$"
    )
    for check in (False, True):
        with pytest.raises(run_lock.Locked, match=sentence):
            run_lock.hold(path, me, check)
    assert run_lock.free(path, me) is False
    assert run_lock.read(path) == theirs


def test_it_is_taken_from_one_that_ended_and_was_not_waited_for(path, me, other):
    run_lock.hold(path, run_lock.identify(other.pid))
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert run_lock.hold(path, me) == (True, True)
    assert run_lock.read(path) == me


@pytest.mark.parametrize("change", [{"pid": 2**22 + 1}, {"start": 1}, {"boot_id": "another"}])
def test_it_is_taken_from_one_that_is_dead(path, me, other, change):
    dead = dataclasses.replace(run_lock.identify(other.pid), **change)
    run_lock.hold(path, dead)
    assert run_lock.hold(path, me, check=True) == (True, True)
    assert run_lock.read(path) == dead
    assert run_lock.hold(path, me) == (True, True)
    assert run_lock.read(path) == me


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"host": "desk", "boot_id": "another"}, "on the host desk"),
        ({"pid_namespace": 1, "pid": 1}, "in another container of"),
    ],
)
def test_one_that_cannot_be_asked_is_left(path, me, change, where):
    theirs = dataclasses.replace(me, **change)
    run_lock.hold(path, theirs)
    with pytest.raises(
        run_lock.Locked, match=rf"^{path} is held by process \d+ {where}.* remove the file if it is dead$"
    ):
        run_lock.hold(path, me)
    assert (run_lock.free(path, me), run_lock.read(path)) == (False, theirs)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "1"}', "\0" * 100, "null"])
def test_a_damaged_file_is_named_and_left(path, me, text):
    run_lock.hold(path, me)
    Path(path).write_text(text, encoding="utf-8")
    for deed in (run_lock.hold, run_lock.free):
        with pytest.raises(run_lock.Locked, match=f"^{path} is damaged .* remove it if no other run"):
            deed(path, me)
    assert Path(path).read_text(encoding="utf-8") == text


def test_a_write_that_is_cut_off_leaves_the_file_as_it_was(path, me, monkeypatch):
    dead = dataclasses.replace(me, start=1)
    run_lock.hold(path, dead)

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_lock.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            run_lock.hold(path, me)
    assert run_lock.read(path) == dead
    assert run_lock.hold(path, me) == (True, True)


@pytest.mark.parametrize("left", ["nothing", "dead"])
def test_of_many_at_once_exactly_one_gets_it(path, me, tmp_path, left):
    if left == "dead":
        run_lock.hold(path, dataclasses.replace(me, start=1))
    program = tmp_path / "racer.py"
    program.write_text(
        "import os, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from ansible_collections.bosh.ha.plugins.module_utils import run_lock\n"
        "me = run_lock.identify(os.getpid())\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    print('won' if run_lock.hold(sys.argv[1], me)[0] else 'ours', flush=True)\n"
        "except run_lock.Locked as error:\n"
        "    print('lost', error, flush=True)\n"
        "sys.stdin.read()\n",
        encoding="utf-8",
    )
    command = [
        sys.executable,
        "-c",
        f"import runpy, sys; sys.argv[:] = {[str(program), path]!r}; exec(open(sys.argv[0]).read())",
    ]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=collection(tmp_path))
        for _number in range(20)
    ]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 20
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.stdout.readline() for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
            racer.stdin.close()
            racer.stdout.close()
    assert sorted(line.split()[0] for line in said) == ["lost"] * 19 + ["won"], said
    winner = racers[said.index("won\n")].pid
    assert all(f"(process {winner}, since " in line for line in said if line != "won\n")
    # All are dead now.
    assert run_lock.hold(path, me) == (True, True)


def collection(top):
    """An environment in which plain Python imports this collection."""
    here = top / "packages" / "ansible_collections" / "bosh"
    here.mkdir(parents=True, exist_ok=True)
    if not (here / "ha").exists():
        (here / "ha").symlink_to(Path(__file__).parents[3])
    return os.environ | {"PYTHONPATH": str(top / "packages")}


# Who runs


def tree(top, *lines):
    """A /proc with a chain of processes, the outermost first; the last one is the module. Returns its ID."""
    for number, words in enumerate(lines, 1):
        directory = top / str(number)
        directory.mkdir()
        name = "a name) with (it"
        fields = ["S", str(number - 1), *["0"] * 17, str(100 + number), "0"]
        (directory / "stat").write_text(f"{number} ({name}) {' '.join(fields)}", encoding="utf-8")
        (directory / "cmdline").write_text("".join(f"{word}\0" for word in words.split()), encoding="utf-8")
    return len(lines)


PLAY = "/usr/bin/python3 /usr/bin/ansible-playbook site.yml"
MODULE = ["/bin/sh -c true", "/usr/bin/python3 /root/.ansible/tmp/AnsiballZ_run_lock.py"]


@pytest.mark.parametrize(
    ("above", "found"),
    [
        (["init", "-bash", PLAY, PLAY], 3),
        (["init", "bash", "/venv/bin/python3.13 -I -X dev /venv/bin/ansible-playbook x.yml"], 3),
        (["init", "/venv/bin/ansible-playbook x.yml"], 2),
        (["init", "python3 -m ansible playbook x.yml"], 2),
        (["init", "python3 -m ansible.cli.playbook x.yml"], 2),
        (["init", "python3 /usr/bin/ansible localhost -m x"], 2),
        # A playbook in a playbook is one run.
        (["init", PLAY, "/bin/sh -c x", PLAY, PLAY], 2),
        # Each of these may have several runs below it.
        (["init", "bash ansible-all.sh", PLAY], 3),
        (["init", "python3 /usr/bin/ansible-runner run x", PLAY], 3),
        (["init", "python3 /usr/bin/ansible-test units", PLAY], 3),
        # Ansible as a library: the worker is a fork.
        (["init", "bash", "python3 own.py", "python3 own.py"], 3),
        (["init", "bash", "python3 own.py", "python3 else.py", "python3 else.py"], 4),
    ],
)
def test_who_runs(tmp_path, above, found):
    pid = tree(tmp_path, *above, *MODULE)
    assert run_lock.runner(pid, str(tmp_path)) == found


def test_the_start_time_is_read_behind_a_name_with_anything_in_it(tmp_path):
    assert run_lock._stat(tree(tmp_path, "init"), str(tmp_path))[19] == "101"


# The module


def test_the_module(run_module, path, other, monkeypatch):
    args = {"path": path}
    result, _replay = run_module("run_lock", args, check=True)
    assert (result["changed"], result["taken_over"], os.path.exists(os.path.dirname(path))) == (True, False, False)
    assert run_module("run_lock", args | {"state": "free"})[0]["changed"] is False
    assert run_module("run_lock", args)[0]["changed"] is True
    assert run_module("run_lock", args)[0]["changed"] is False
    assert run_module("run_lock", args | {"state": "free"}, check=True)[0]["changed"] is True
    assert run_module("run_lock", args | {"state": "free"})[0]["changed"] is True
    run_lock.hold(path, run_lock.identify(other.pid))
    for check in (False, True):
        with pytest.raises(Failed, match=rf"^another run \(process {other.pid}, "):
            run_module("run_lock", args, check=check)
    with pytest.raises(Failed, match="cannot be used as a lock"):
        run_module("run_lock", {"path": f"{path}/below/it"})
