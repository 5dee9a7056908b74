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
import threading
import time
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


@pytest.mark.parametrize("change", [{"pid": 2**22 + 1}, {"start": 1}])
def test_it_is_taken_at_once_from_one_that_is_dead(path, me, other, change):
    dead = dataclasses.replace(run_lock.identify(other.pid), **change)
    run_lock.hold(path, dead)
    began = time.monotonic()
    assert run_lock.hold(path, me, check=True) == (True, True)
    assert run_lock.read(path) == dead
    assert run_lock.hold(path, me) == (True, True)
    assert run_lock.read(path) == me
    assert time.monotonic() - began < 20


# A holder that can't be asked

ELSEWHERE = [
    {"host": "ansible-runner-33", "boot_id": "another", "job": "33"},
    {"host": "ansible-runner-33"},
    {"pid_namespace": 1, "pid": 1},
    # Two machines may have one name.
    {"boot_id": "another"},
]


@pytest.mark.parametrize("change", ELSEWHERE)
def test_lease_that_is_not_renewed_expires(path, me, change):
    dead = dataclasses.replace(me, nonce="1", lease=1.2, **change)
    run_lock.hold(path, dead)
    began = time.monotonic()
    assert run_lock.hold(path, me, settle=0.1) == (True, True)
    assert 1.2 <= time.monotonic() - began < 30
    assert run_lock.read(path) == me
    assert sorted(os.listdir(os.path.dirname(path))) == ["run.lock", "run.lock.guard"]


@pytest.mark.parametrize("change", ELSEWHERE)
@pytest.mark.parametrize("check", [False, True])
def test_lease_that_is_renewed_has_a_holder(path, me, change, check):
    theirs = dataclasses.replace(me, nonce="1", lease=5.0, **change)
    run_lock.hold(path, theirs)
    ended = threading.Event()

    def renew():
        for number in range(1, 200):
            if ended.wait(0.1):
                return
            Path(path).write_bytes(run_lock.content(theirs, number))

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(run_lock.Locked, match=r"^another run .* works on this pair: wait for it") as error:
            run_lock.hold(path, me, check)
    finally:
        ended.set()
        thread.join()
    assert theirs.describe() in str(error.value)
    assert run_lock.read(path) == theirs


def test_check_mode_watches_for_a_part_of_the_lease_and_takes_nothing(path, me):
    dead = dataclasses.replace(me, nonce="1", lease=60.0, host="desk")
    run_lock.hold(path, dead)
    began = time.monotonic()
    assert run_lock.hold(path, me, check=True) == (True, True)
    assert time.monotonic() - began < 40
    assert run_lock.read(path) == dead


@pytest.mark.parametrize("change", ELSEWHERE[:3])
def test_lock_of_a_version_without_lease_is_left(path, me, change):
    """It is never renewed, so a watch would prove nothing."""
    theirs = dataclasses.replace(me, nonce="", lease=0.0, **change)
    os.makedirs(os.path.dirname(path))
    fields = {key: value for key, value in dataclasses.asdict(theirs).items() if key not in ("nonce", "lease", "job")}
    Path(path).write_text(json.dumps(fields) + "\n", encoding="utf-8")
    with pytest.raises(run_lock.Locked, match=f"^{path}: process .* remove the file if that run has ended$"):
        run_lock.hold(path, me)
    assert run_lock.free(path, me) is False
    assert json.loads(Path(path).read_text(encoding="utf-8")) == fields


@pytest.mark.parametrize("text", [b"", b"{", b'{"pid": 12, "st', b"\0" * 1024])
def test_file_that_a_power_failure_cut_off_expires_as_a_lease_does(path, me, text):
    mine = dataclasses.replace(me, lease=1.2)
    run_lock.hold(path, me)
    Path(path).write_bytes(text)
    with pytest.raises(run_lock.Locked, match=f"^{path}: the file is damaged; remove it"):
        run_lock.read(path)
    assert run_lock.free(path, me) is False
    assert run_lock.hold(path, mine, settle=0.1) == (True, True)
    assert run_lock.read(path) == mine


@pytest.mark.parametrize("text", ["[]", "{}", '{"pid": "1"}', "null", "---\nname: something else\n"])
def test_file_that_is_no_lock_is_named_and_left(path, me, text):
    run_lock.hold(path, me)
    Path(path).write_text(text, encoding="utf-8")
    for deed in (run_lock.hold, run_lock.free):
        with pytest.raises(run_lock.Locked, match=f"^{path} is damaged: .* remove it if no other run"):
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
    assert sorted(os.listdir(os.path.dirname(path))) == ["run.lock", "run.lock.guard"]


def test_run_that_lost_the_lock_is_told_so(path, me, other):
    theirs = run_lock.identify(other.pid)
    run_lock.hold(path, me)
    assert run_lock.check_kept(path, me).holder == me
    os.unlink(path)
    with pytest.raises(run_lock.Locked, match=r"has lost the lock.* the file is gone"):
        run_lock.check_kept(path, me)
    run_lock.hold(path, theirs)
    with pytest.raises(run_lock.Locked, match=f"has lost the lock.*process {other.pid}"):
        run_lock.check_kept(path, me)


@pytest.mark.parametrize(
    ("left", "locks"),
    [("nothing", True), ("dead", True), ("elsewhere", True), ("nothing", False), ("elsewhere", False)],
)
def test_of_many_at_once_exactly_one_gets_it(path, me, tmp_path, left, locks):
    """Real processes; also in a directory where flock does not work."""
    if left == "dead":
        run_lock.hold(path, dataclasses.replace(me, start=1))
    if left == "elsewhere":
        run_lock.hold(path, dataclasses.replace(me, host="desk", lease=1.2))
    program = tmp_path / "racer.py"
    program.write_text(
        "import os, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from ansible_collections.bosh.ha.plugins.module_utils import run_lock\n"
        "def no_locks(*_args):\n"
        "    raise OSError(37, 'No locks available')\n"
        f"if not {locks}:\n"
        "    run_lock.lock_within = no_locks\n"
        "me = run_lock.identify(os.getpid())\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    print('won' if run_lock.hold(sys.argv[1], me, settle=1)[0] else 'ours', flush=True)\n"
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
        for _number in range(6)
    ]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 6
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
    assert sorted(line.split()[0] for line in said) == ["lost"] * 5 + ["won"], said
    winner = racers[said.index("won\n")].pid
    assert run_lock.read(path).pid == winner
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


# Whether another job sees it

MOUNTS = """\
1 0 0:1 / / rw - overlay overlay rw
2 1 0:2 / /runner rw - xfs /dev/sda1 rw
3 1 0:3 / /srv/bosh\\040ha rw - nfs4 nas:/bosh rw
4 1 0:4 / /tmp rw - tmpfs tmpfs rw
5 3 0:5 / /srv/bosh\\040ha/layer rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("/srv/bosh ha/work", ""),
        ("/srv/other", "own layer"),
        ("/runner/work", "private data directory"),
        ("/runnerx", "own layer"),
        ("/tmp/work", "memory"),
        ("/srv/bosh ha/layer/work", "own layer"),
    ],
)
def test_directory_that_ends_with_the_job_is_known(tmp_path, where, why):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(MOUNTS, encoding="utf-8")
    (tmp_path / "run").mkdir()

    def ask(environ):
        return run_lock.ephemeral(f"{where}/run.lock", str(tmp_path), str(tmp_path), environ)

    assert ask({"AWX_HOST": "https://awx"}) == ""
    (tmp_path / "run" / ".containerenv").touch()
    assert ask({}) == ""
    found = ask({"AWX_HOST": "https://awx"})
    assert (why in found) and bool(why) == bool(found)
    (tmp_path / "runner").mkdir()
    assert ask({}) == found


# The module


def test_the_module(run_module, path, other, monkeypatch):
    args = {"path": path}
    result, _replay = run_module("run_lock", args, check=True)
    assert (result["changed"], result["taken_over"], os.path.exists(os.path.dirname(path))) == (True, False, False)
    assert run_module("run_lock", args | {"state": "free"})[0]["changed"] is False
    assert run_module("run_lock", args)[0]["changed"] is True
    assert run_module("run_lock", args)[0]["changed"] is False
    assert run_module("run_lock", args | {"state": "kept"})[0]["changed"] is False
    assert run_module("run_lock", args | {"state": "free"}, check=True)[0]["changed"] is True
    assert run_module("run_lock", args | {"state": "free"})[0]["changed"] is True
    run_lock.hold(path, run_lock.identify(other.pid))
    for check in (False, True):
        with pytest.raises(Failed, match=rf"^another run \(process {other.pid}, "):
            run_module("run_lock", args, check=check)
    assert run_module("run_lock", args | {"state": "kept"}, check=True)[0]["changed"] is False
    with pytest.raises(Failed, match="has lost the lock"):
        run_module("run_lock", args | {"state": "kept"})
    with pytest.raises(Failed, match=r"^lease: 4 is out of range"):
        run_module("run_lock", args | {"lease": 4})
    with pytest.raises(Failed, match="cannot be used as a lock"):
        run_module("run_lock", {"path": f"{path}/below/it"})
