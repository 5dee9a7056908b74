# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long BOSH commands, started and then followed, so that a person sees a stage and not a frozen line."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import DIRECTOR_ARGS
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import IDLE
from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import DirectorOptions

Result = dict[str, Any]
#: task_info with the given options, or None when nothing could be learned.
Ask = Callable[[Result], Result | None]

#: Seconds between two looks, and how many times longer than a look itself the pause is at least.
PAUSE = 2.0
PAUSE_FACTOR = 3.0
#: Seconds for one answer of the director, and between two looks: where it cannot be reached its command ends unseen.
LOOK_LIMIT = 20
PAUSE_MOST = 10.0
#: Causes of a failed look by which nobody is there who could be asked.
SILENT = ("unreachable", "timed_out", "not_ready")
#: Seconds between two looks whether the module's process is there, and for which its host may be silent.
PULSE = 30.0
SILENCE = 600.0
#: Seconds that a command may take where its own `timeout` does not say.
LONGEST = 24 * 3600
#: What async_status adds to the module's own result.
_ASYNC_KEYS = ("ansible_job_id", "started", "finished", "results_file")
_STEP = re.compile(r"^\s*(\S.*?)\.\.\.")


class TaskFollower:
    """Tells each line of the events of running tasks once.

    `wanted` says which running tasks are ours, by their row of task_info.
    """

    def __init__(self, ask: Ask, show: Callable[[str], None], wanted: Callable[[Result], bool]) -> None:
        self._ask = ask
        self._show = show
        self._wanted = wanted
        self._told: dict[int, int] = {}

    def look(self) -> list[Result]:
        """Show what is new of our tasks that run now, and return them, oldest first."""
        answer = self._ask({"events": True})
        running = [task for task in reversed((answer or {}).get("tasks", [])) if self._wanted(task)]
        for task in running:
            if task["id"] not in self._told:
                self._tell_start(task)
            self._tell(task)
        return running

    def tell_the_rest(self, task_ids: list[int]) -> None:
        """Show what tasks did between the last look and their end."""
        for task_id in task_ids:
            answer = self._ask({"id": task_id, "events": True})
            for task in (answer or {}).get("tasks", []):
                self._tell(task)

    def _tell_start(self, task: Result) -> None:
        who = " ".join(word for word in (task["description"], task["deployment"], "by", task["user"]) if word)
        self._show(f"Task {task['id']} | {who}")

    def _tell(self, task: Result) -> None:
        lines = task.get("events") or []
        for line in lines[self._told.get(task["id"], 0) :]:
            # That the next one starts says that one has finished.
            if not line.endswith(" finished"):
                self._show(f"Task {task['id']} | {line}")
        self._told[task["id"]] = len(lines)


def steps_of(text: str) -> list[str]:
    """Steps of `bosh create-env` as it printed them so far; the last one may still run."""
    return [match.group(1) for line in text.splitlines() if (match := _STEP.match(line))]


class FollowedAction(ActionBase):
    """Runs the module of the same name by Ansible's async wrapper and shows how far it is.

    A subclass names the module. What cannot be learned while the module runs never fails the task.
    """

    #: Name of the module in this collection.
    MODULE = ""
    #: Words in the description of our tasks, for commands that belong to no deployment.
    TASK_WORDS: tuple[str, ...] = ()

    def run(self, tmp: Any = None, task_vars: Result | None = None) -> Result:
        """Run the module; the result is the module's own."""
        self._supports_check_mode = True
        self._supports_async = True
        result: Result = super().run(tmp, task_vars)
        variables = task_vars or {}
        self.prepare()
        self._until = time.monotonic() + self._limit()
        # A person who sets `async` does not want to wait for us, either.
        if self._task.async_val:
            return result | self._execute(self._task.args, variables, wrap_async=True)
        self.before(variables)
        if not self.follows():
            return result | self._execute(self._task.args, variables)
        return result | self._followed(variables)

    def prepare(self) -> None:
        """Complete the module's arguments."""

    def follows(self) -> bool:
        """Whether the module is followed; otherwise it is run as any other."""
        return not self._task.check_mode

    def before(self, task_vars: Result) -> None:
        """What must be over before the module starts."""

    def arguments(self) -> Result:
        """The module's arguments."""
        return dict(self._task.args)

    def look(self, task_vars: Result) -> None:
        """Show what is new; called as long as the module runs."""

    def after(self, result: Result, task_vars: Result) -> None:
        """Show the rest; called once the module has ended."""

    def show(self, line: str) -> None:
        """One line for a person who waits."""
        Display().display(line)

    def pause(self, seconds_of_look: float) -> None:
        """Wait before the next look: asking must not cost more than what is asked about."""
        time.sleep(min(max(PAUSE, PAUSE_FACTOR * seconds_of_look), PAUSE_MOST))

    def _limit(self) -> int:
        try:
            timeout = int(self._task.args.get("timeout") or 0)
        except (TypeError, ValueError):
            # The module itself refuses it in a moment.
            timeout = 0
        # The module's own clock must run out first: it says more than the wrapper's.
        return timeout + 120 if timeout > 0 else LONGEST

    def _execute(self, args: Result, task_vars: Result, name: str = "", wrap_async: bool = False) -> Result:
        return self._execute_module(
            module_name=name or f"bosh.ha.{self.MODULE}", module_args=args, task_vars=task_vars, wrap_async=wrap_async
        )

    def _followed(self, task_vars: Result) -> Result:
        self._task.async_val = self._limit()
        try:
            started = self._execute(self.arguments(), task_vars, wrap_async=True)
        finally:
            # Anything but 0 would make Ansible itself wait for the job once more.
            self._task.async_val = 0
        job = started.get("ansible_job_id")
        if not job or started.get("failed"):
            return started
        result = self._until_finished(job, task_vars)
        self._quietly(lambda: self.after(result, task_vars))
        self._quietly(lambda: self._status(job, "cleanup", task_vars))
        return {key: value for key, value in result.items() if key not in _ASYNC_KEYS}

    def _until_finished(self, job: str, task_vars: Result) -> Result:
        heard = pulse = time.monotonic()
        while True:
            began = time.monotonic()
            status, is_gone = {}, False
            try:
                if began > pulse + PULSE:
                    # Asked first: what ends in between is finished in the answer after it.
                    is_gone, pulse = self._is_gone(job, task_vars), began
                status = self._status(job, "status", task_vars)
            except Exception as error:  # a connection that breaks for a moment is no end of the job
                if began > min(self._until, heard + SILENCE):
                    raise
                Display().vvv(f"bosh.ha: the job could not be looked at: {error}")
            else:
                heard = began
            if status.get("finished") or status.get("failed"):
                return status
            if is_gone:
                msg = f"bosh.ha.{self.MODULE} was ended from outside: its host restarted, or somebody killed it"
                return status | {"failed": True, "msg": msg}
            if began > self._until:
                return status | {"failed": True, "msg": f"bosh.ha.{self.MODULE} did not end in {self._limit()} s"}
            self._quietly(lambda: self.look(task_vars))
            self.pause(time.monotonic() - began)

    def _is_gone(self, job: str, task_vars: Result) -> bool:
        """Whether none of the job's processes is there any more; False where that cannot be told.

        Its file would say `started` for ever. The wrapper's processes have the job's name, without the number of the
        first of them, among their words (ansible/modules/async_wrapper.py).
        """
        argv = ["pgrep", "-f", f" {re.escape(job.rpartition('.')[0])} "]
        return bool(self._execute({"argv": argv}, task_vars, name="ansible.legacy.command").get("rc") == 1)

    def _status(self, job: str, mode: str, task_vars: Result) -> Result:
        args = {"jid": job, "mode": mode, "_async_dir": self.async_dir()}
        return self._execute(args, task_vars, name="ansible.legacy.async_status")

    def async_dir(self) -> str:
        """Where the async wrapper keeps its results on the host.

        A `~` is left to the modules, as the wrapper does: in a container $HOME and the password database may differ.
        """
        return str(self.get_shell_option("async_dir", default="~/.ansible_async"))

    def _quietly(self, deed: Callable[[], Any]) -> None:
        try:
            deed()
        except Exception as error:  # to show progress is a courtesy: it must not fail the task
            Display().vvv(f"bosh.ha: no progress can be shown: {error}")


class FollowedDirectorAction(DirectorOptions, FollowedAction):
    """Follows the director's tasks of the deployment that the module works on."""

    _silent = False

    def before(self, task_vars: Result) -> None:
        """Follow a task that already runs, for example one of a run that was interrupted, to its end."""
        self._follower = TaskFollower(lambda options: self._ask(options, task_vars), self.show, self._is_ours)
        if not self._task.args.get("deployment") or not self._wants_to_wait():
            return
        self._quietly(self._wait_for_running_tasks)

    def _wants_to_wait(self) -> bool:
        return str(self._task.args.get("wait_for_running_task", True)).lower() not in ("false", "no", "0", "off")

    def _wait_for_running_tasks(self) -> None:
        said = False
        while time.monotonic() < self._until:
            began = time.monotonic()
            running = self._follower.look()
            if not running:
                return
            if not said:
                ids = ", ".join(str(task["id"]) for task in running)
                self.show(
                    f"Task {ids} of {self._task.args['deployment']} already runs: it is followed to its end first"
                )
                said = True
            self.pause(time.monotonic() - began)

    def look(self, task_vars: Result) -> None:
        """Show the new events of our running tasks."""
        self._follower.look()

    def after(self, result: Result, task_vars: Result) -> None:
        """Show the last events of the tasks that the module names."""
        tasks = result.get("tasks") or ([result["task"]] if result.get("task") else [])
        self._follower.tell_the_rest([task["id"] for task in tasks])

    def _is_ours(self, task: Result) -> bool:
        if task["description"] in IDLE:
            return False
        deployment = self._task.args.get("deployment")
        if deployment:
            return task["deployment"] == deployment
        return any(word in task["description"] for word in self.TASK_WORDS)

    def _ask(self, options: Result, task_vars: Result) -> Result | None:
        director = {name: value for name, value in self._task.args.items() if name in DIRECTOR_ARGS}
        deployment = self._task.args.get("deployment")
        scope = {"deployment": deployment} if deployment and "id" not in options else {}
        limit = {"timeout": LOOK_LIMIT}
        answer = self._execute(director | scope | options | limit, task_vars, name="bosh.ha.task_info")
        silent = answer.get("cause") in SILENT
        if silent and not self._silent:
            self.show("The director does not answer now; the command and the director's task go on, and are waited for")
        self._silent = silent
        return None if answer.get("failed") else answer


class FollowedFileAction(FollowedAction):
    """Follows a module by what it writes into its `progress_file`."""

    def before(self, task_vars: Result) -> None:
        """Choose the file by which the module is followed."""
        self._own_file = ""
        if not self._task.args.get("progress_file"):
            self._own_file = f"{self.async_dir()}/bosh_ha_{secrets.token_hex(8)}.progress"

    def arguments(self) -> Result:
        """The module's arguments, with the file by which it is followed."""
        return dict(self._task.args) | ({"progress_file": self._own_file} if self._own_file else {})

    def news(self, text: str) -> list[str]:
        """Lines to show, of the whole text of the file, that were not shown before."""
        raise NotImplementedError

    def look(self, task_vars: Result) -> None:
        """Show what was written since the last look."""
        path = self._own_file or self._task.args["progress_file"]
        answer = self._execute({"src": path}, task_vars, name="ansible.legacy.slurp")
        text = base64.b64decode(answer.get("content", "")).decode("utf-8", "replace")
        for line in self.news(text):
            self.show(f"{self.MODULE} | {line}")

    def after(self, result: Result, task_vars: Result) -> None:
        """Show the rest and leave no file behind."""
        self.look(task_vars)
        if self._own_file:
            self._execute({"path": self._own_file, "state": "absent"}, task_vars, name="ansible.legacy.file")


class FollowedEnvAction(DirectorOptions, FollowedFileAction):
    """Follows `bosh create-env`, which has no director to ask, by what it prints."""

    def before(self, task_vars: Result) -> None:
        """Nothing was told yet."""
        super().before(task_vars)
        self._told = 0

    def news(self, text: str) -> list[str]:
        """The steps that began since the last look."""
        steps = steps_of(text)
        new = steps[self._told :]
        self._told = max(self._told, len(steps))
        return new


class FollowedCopyAction(FollowedFileAction):
    """Follows a copy by the one line that its file has at any time."""

    #: A copy that takes hours is told of less often: one line for each such part of the time that it took so far.
    SHARE = 0.02

    def follows(self) -> bool:
        """A copy of a moment would take longer to follow than to make."""
        return super().follows() and boolean(self._task.args.get("follow", True), strict=False)

    def before(self, task_vars: Result) -> None:
        """Nothing was told yet."""
        super().before(task_vars)
        self._last = ""
        self._began = self._next = time.monotonic()

    def news(self, text: str) -> list[str]:
        """The line, where it is another one and the last one is long enough ago."""
        line, now = text.strip(), time.monotonic()
        if not line or line == self._last or now < self._next:
            return []
        self._last, self._next = line, now + self.SHARE * (now - self._began)
        return [line]

    def _limit(self) -> int:
        # The module's `timeout` is that of a silence.
        return LONGEST
