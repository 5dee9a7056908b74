# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugins, with scripted modules in the place of real ones."""

from __future__ import annotations

import base64
import importlib
from types import SimpleNamespace

import pytest
from ansible_collections.bosh.ha.plugins.plugin_utils import followed_task
from ansible_collections.bosh.ha.plugins.plugin_utils.followed_task import TaskFollower, steps_of


def task(task_id=46, events=(), description="create deployment", deployment="bosh-primary"):
    return {
        "id": task_id,
        "events": list(events),
        "description": description,
        "deployment": deployment,
        "user": "admin",
    }


class Host:
    """Scripted modules: each name has its answers in turn, the last one for ever; an exception is raised."""

    def __init__(self, **answers):
        self.answers = {name: list(given) for name, given in answers.items()}
        self.calls = []

    def __call__(self, module_name, module_args, task_vars, wrap_async):
        name = module_name.rpartition(".")[2]
        if name == "async_status" and module_args["mode"] == "cleanup":
            name = "cleanup"
        self.calls.append((name, dict(module_args), wrap_async))
        if len(self.calls) > 200:
            pytest.fail("it is asked for ever")
        given = self.answers.get(name, [{}])
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def names(self):
        return [name for name, _args, _async in self.calls]


@pytest.fixture
def action(monkeypatch):
    """Makes an action plugin with scripted modules, and keeps what it shows."""

    def make(name, args, host, check=False, async_val=0):
        plugin = importlib.import_module(f"ansible_collections.bosh.ha.plugins.action.{name}").ActionModule
        it = plugin.__new__(plugin)
        it._task = SimpleNamespace(args=args, check_mode=check, async_val=async_val)
        it._templar = SimpleNamespace(evaluate_expression=lambda *_args, **_options: {})
        it.shown = []
        monkeypatch.setattr(followed_task.ActionBase, "run", lambda *_args: {})
        monkeypatch.setattr(it, "_execute_module", host)
        monkeypatch.setattr(it, "show", it.shown.append)
        monkeypatch.setattr(it, "pause", lambda _seconds: None)
        monkeypatch.setattr(it, "async_dir", lambda: "/async")
        return it

    return make


JOB = {"ansible_job_id": "j1.2", "started": True, "finished": False}
DONE = JOB | {"finished": True, "changed": True, "tasks": [{"id": 46}]}
ARGS = {"deployment": "bosh-primary", "client_secret": "s", "manifest": "m.yml"}


def test_stages_are_shown_once_and_the_rest_at_the_end(action):
    lines = ["Preparing deployment", "Preparing deployment finished", "Updating instance: bosh/0 5 % stopping jobs"]
    idle = task(40, description="retrieve vm-stats")
    host = Host(
        deployment=[JOB],
        async_status=[JOB, JOB, DONE],
        task_info=[
            {"tasks": [idle]},
            {"tasks": [task(events=lines[:1]), idle]},
            {"tasks": [task(events=lines)]},
            {"tasks": [task(events=[*lines, "Updating instance: bosh/0 90 % starting jobs"])]},
        ],
    )
    it = action("deployment", ARGS, host)
    assert it.run(task_vars={}) == {"changed": True, "tasks": [{"id": 46}]}
    assert it.shown == [
        "Task 46 | create deployment bosh-primary by admin",
        "Task 46 | Preparing deployment",
        "Task 46 | Updating instance: bosh/0 5 % stopping jobs",
        "Task 46 | Updating instance: bosh/0 90 % starting jobs",
    ]
    assert it._task.async_val == 0
    assert ("deployment", ARGS, True) in host.calls
    assert host.calls[0][1] == {"client_secret": "s", "deployment": "bosh-primary", "events": True, "timeout": 20}
    assert host.calls[-2][1] == {"client_secret": "s", "id": 46, "events": True, "timeout": 20}
    assert host.names()[-1] == "cleanup"


def test_that_nobody_answers_is_told_once_each_time(action):
    gone = {"failed": True, "cause": "unreachable"}
    looks = [gone, gone, gone, {"tasks": []}, gone, {"failed": True, "cause": "wrong_credentials"}]
    host = Host(deployment=[JOB], async_status=[JOB] * 5 + [DONE], task_info=looks)
    it = action("deployment", ARGS, host)
    assert it.run(task_vars={})["changed"] is True
    told = [line for line in it.shown if line.startswith("The director does not answer now")]
    assert len(told) == 2


@pytest.mark.parametrize(("took", "paused"), [(0.1, 2.0), (2.0, 6.0), (60.0, 10.0)])
def test_one_who_cannot_be_asked_does_not_hide_the_end(monkeypatch, took, paused):
    slept = []
    monkeypatch.setattr(followed_task.time, "sleep", slept.append)
    followed_task.FollowedAction.__new__(followed_task.FollowedAction).pause(took)
    assert slept == [paused]


def test_a_task_that_already_runs_is_followed_first(action):
    host = Host(
        deployment=[JOB], async_status=[DONE], task_info=[{"tasks": [task(41)]}, {"tasks": [task(41)]}, {"tasks": []}]
    )
    it = action("deployment", ARGS, host)
    it.run(task_vars={})
    assert host.names()[:4] == ["task_info", "task_info", "task_info", "deployment"]
    assert it.shown[1] == "Task 41 of bosh-primary already runs: it is followed to its end first"
    host = Host(deployment=[JOB], async_status=[DONE], task_info=[{"tasks": [task(41)]}])
    action("deployment", ARGS | {"wait_for_running_task": False}, host).run(task_vars={})
    assert host.names()[0] == "deployment"


def test_check_mode_runs_the_module_directly(action):
    host = Host(deployment=[{"changed": True}], task_info=[{"tasks": []}])
    assert action("deployment", ARGS, host, check=True).run(task_vars={}) == {"changed": True}
    assert ("deployment", ARGS, False) in host.calls
    assert "async_status" not in host.names()


def test_a_person_who_sets_async_does_not_wait(action):
    host = Host(deployment=[JOB])
    assert action("deployment", ARGS, host, async_val=600).run(task_vars={}) == JOB
    assert host.calls == [("deployment", ARGS, True)]


@pytest.mark.parametrize("trouble", [{"failed": True, "msg": "unreachable"}, RuntimeError("connection lost")])
def test_progress_that_cannot_be_shown_fails_nothing(action, trouble):
    host = Host(deployment=[JOB], async_status=[JOB, DONE], task_info=[trouble])
    it = action("deployment", ARGS, host)
    assert it.run(task_vars={})["changed"] is True
    assert it.shown == []


def test_a_connection_that_breaks_for_a_moment_is_no_end(action):
    host = Host(deployment=[JOB], async_status=[RuntimeError("gone"), DONE], task_info=[{"tasks": []}])
    assert action("deployment", ARGS, host).run(task_vars={})["changed"] is True


def test_a_host_that_is_silent_for_long_ends_it(action, monkeypatch):
    monkeypatch.setattr(followed_task, "SILENCE", 25)
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(followed_task.time, "monotonic", lambda: next(seconds))
    gone = RuntimeError("gone")
    host = Host(deployment=[JOB], async_status=[gone, JOB, gone, JOB, gone, DONE], task_info=[{"tasks": []}])
    assert action("deployment", ARGS, host).run(task_vars={})["changed"] is True
    host = Host(deployment=[JOB], async_status=[JOB, gone], task_info=[{"tasks": []}])
    with pytest.raises(RuntimeError, match="gone"):
        action("deployment", ARGS, host).run(task_vars={})


@pytest.fixture
def pulse_each_time(monkeypatch):
    monkeypatch.setattr(followed_task, "PULSE", -1.0)


@pytest.mark.usefixtures("pulse_each_time")
def test_a_module_that_was_ended_from_outside_is_not_waited_for(action):
    host = Host(store_copy=[JOB], async_status=[JOB], command=[{"rc": 0}, {"rc": 0}, {"rc": 1}])
    result = action("store_copy", {"dest": "/d"}, host).run(task_vars={})
    assert result["failed"] is True
    assert result["msg"] == "bosh.ha.store_copy was ended from outside: its host restarted, or somebody killed it"
    assert host.names().count("command") == host.names().count("async_status") == 3
    asked = [args for name, args, _async in host.calls if name == "command"]
    assert asked[0] == {"argv": ["pgrep", "-f", " j1 "]}


@pytest.mark.usefixtures("pulse_each_time")
@pytest.mark.parametrize("answer", [{"rc": 1}, {"rc": 2, "failed": True, "msg": "no pgrep"}, {"failed": True}])
def test_one_that_ends_meanwhile_or_cannot_be_looked_for_has_its_own_result(action, answer):
    statuses = [DONE] if answer.get("rc") == 1 else [JOB, JOB, DONE]
    host = Host(store_copy=[JOB], async_status=statuses, command=[answer])
    assert action("store_copy", {"dest": "/d"}, host).run(task_vars={})["changed"] is True


def test_the_module_s_failure_is_the_task_s(action):
    failed = JOB | {"finished": True, "failed": True, "msg": "lock held", "hint": "wait"}
    host = Host(deployment=[JOB], async_status=[failed], task_info=[{"tasks": []}])
    result = action("deployment", ARGS, host).run(task_vars={})
    assert result == {"failed": True, "msg": "lock held", "hint": "wait"}
    host = Host(deployment=[{"failed": True, "msg": "no python"}], task_info=[{"tasks": []}])
    assert action("deployment", ARGS, host).run(task_vars={}) == {"failed": True, "msg": "no python"}


def test_async_is_off_again_even_when_the_module_does_not_start(action):
    host = Host(deployment=[RuntimeError("no route")], task_info=[{"tasks": []}])
    it = action("deployment", ARGS, host)
    with pytest.raises(RuntimeError):
        it.run(task_vars={})
    assert it._task.async_val == 0


@pytest.mark.parametrize(("timeout", "limit"), [(None, followed_task.LONGEST), (300, 420), ("300", 420), ("x", 86400)])
def test_the_module_s_own_clock_runs_out_first(action, timeout, limit):
    assert action("deployment", {"timeout": timeout}, Host())._limit() == limit


def test_an_upload_follows_only_tasks_of_its_kind(action):
    running = [task(3, ["Update stemcell: Extracting"], "create stemcell", ""), task(4, ["x"], "create release", "")]
    host = Host(
        stemcell=[JOB], async_status=[JOB, JOB | {"finished": True, "tasks": []}], task_info=[{"tasks": running}]
    )
    it = action("stemcell", {"url": "s.tgz"}, host)
    it.run(task_vars={})
    assert it.shown == ["Task 3 | create stemcell by admin", "Task 3 | Update stemcell: Extracting"]
    assert host.names()[0] == "stemcell"


def test_create_env_is_followed_by_what_it_prints(action):
    def printed(text):
        return {"content": base64.b64encode(text.encode()).decode()}

    first = "Started deploying\n  Creating VM for instance 'bosh/0' from stemcell 'x'..."
    host = Host(
        create_env=[JOB],
        async_status=[JOB, DONE | {"tasks": None}],
        slurp=[printed(first), printed(first + " Finished (00:00:20)\n  Updating instance 'bosh/0'... Finished\n")],
    )
    it = action("create_env", {"manifest": "m.yml"}, host)
    it.run(task_vars={})
    assert it.shown == [
        "create_env | Creating VM for instance 'bosh/0' from stemcell 'x'",
        "create_env | Updating instance 'bosh/0'",
    ]
    path = next(args["progress_file"] for name, args, _async in host.calls if name == "create_env")
    assert ("file", {"path": path, "state": "absent"}, False) in host.calls


def printed(text):
    return {"content": base64.b64encode(text.encode()).decode()}


COPY = {"source": "u@h:/", "dest": "/s", "timeout": 120}


def test_a_copy_is_followed_by_its_newest_line(action):
    host = Host(
        store_copy=[JOB],
        async_status=[JOB, JOB, JOB, DONE],
        slurp=[printed(""), printed("1.0 of 4.0 GB\n"), printed("1.0 of 4.0 GB\n"), printed("3.9 of 4.0 GB\n")],
    )
    it = action("store_copy", COPY, host)
    assert it.run(task_vars={})["changed"] is True
    assert it.shown == ["store_copy | 1.0 of 4.0 GB", "store_copy | 3.9 of 4.0 GB"]
    path = next(args["progress_file"] for name, args, _async in host.calls if name == "store_copy")
    assert ("file", {"path": path, "state": "absent"}, False) in host.calls
    # The module's `timeout` is that of a silence, and no limit of the whole.
    assert it._limit() == followed_task.LONGEST


def test_a_file_that_the_person_chose_is_left(action):
    host = Host(store_copy=[JOB], async_status=[DONE], slurp=[printed("1.0 GB\n")])
    action("store_copy", COPY | {"progress_file": "/p"}, host).run(task_vars={})
    assert "file" not in host.names() and ("slurp", {"src": "/p"}, False) in host.calls


def test_a_long_copy_is_told_of_less_often(action, monkeypatch):
    it = action("store_copy", COPY, Host())
    clock = [1000.0]
    monkeypatch.setattr(followed_task.time, "monotonic", lambda: clock[0])
    it.before({})
    shown = []
    for second in range(0, 7200, 2):
        clock[0] = 1000.0 + second
        shown += it.news(f"{second}\n")
    assert shown[:4] == ["0", "2", "4", "6"]
    assert len(shown) < 300


@pytest.mark.parametrize("follow", [False, "no"])
def test_a_short_copy_is_not_followed(action, follow):
    host = Host(store_copy=[{"changed": True}])
    assert action("store_copy", COPY | {"follow": follow}, host).run(task_vars={}) == {"changed": True}
    assert host.calls == [("store_copy", COPY | {"follow": follow}, False)]


def test_steps_of_create_env():
    text = "Started validating\n  Validating release 'bosh'... Finished (00:00:00)\nFinished validating (00:00:00)\n"
    assert steps_of(text) == ["Validating release 'bosh'"]


def test_a_follower_keeps_tasks_apart():
    shown = []
    answers = [{"tasks": [task(2, ["b"]), task(1, ["a"])]}, {"tasks": [task(2, ["b", "c"])]}]
    follower = TaskFollower(lambda _options: answers.pop(0), shown.append, lambda _task: True)
    assert [found["id"] for found in follower.look()] == [1, 2]
    follower.look()
    assert [line for line in shown if "create" not in line] == ["Task 1 | a", "Task 2 | b", "Task 2 | c"]


def test_the_home_of_the_async_directory_is_the_modules_own(monkeypatch):
    # In a container $HOME and the password database differ, and the wrapper goes by $HOME.
    it = followed_task.FollowedAction.__new__(followed_task.FollowedAction)
    monkeypatch.setattr(it, "get_shell_option", lambda _name, default: default, raising=False)
    assert it.async_dir() == "~/.ansible_async"
