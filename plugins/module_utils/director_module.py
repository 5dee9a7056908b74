# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules that talk to a director share: their start, and how they end in failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import DIRECTOR_ARGS, BoshCli, Director
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import BoshOutput
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import locks, running_tasks
from ansible_collections.bosh.ha.plugins.module_utils.task_events import error_of, parse_events

Deed = Callable[[AnsibleModule, BoshCli], dict[str, Any]]


def run_director_module(argument_spec: dict[str, Any], deed: Deed, **settings: Any) -> None:
    """Run one operation against a director and exit as a module does.

    A failed task brings its error event. The CLI's version is asked only if the operation fails: each playbook begins
    with director_info, which requires a CLI that is new enough.
    """
    # `director` is resolved by the action plugins: a module gets the options that it stands for.
    module = AnsibleModule(argument_spec={"director": {"type": "str"}} | DIRECTOR_ARGS | argument_spec, **settings)
    cli = BoshCli(Director.from_params(module.params), module.run_command)
    try:
        result = deed(module, cli)
    except BoshFailure as failure:
        module.fail_json(**with_evidence(_old_cli(cli) or failure, cli))
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


def _old_cli(cli: BoshCli) -> BoshFailure | None:
    """The failure of a CLI that is too old, which explains any other; None if it is new enough."""
    try:
        cli.require_version()
    except BoshFailure as failure:
        return failure if failure.cause == "cli_too_old" else None
    return None


def with_evidence(failure: BoshFailure, cli: BoshCli) -> dict[str, Any]:
    """The failure, and what only the director can tell about it: a task's error, a lock's holder."""
    evidence: dict[str, Any] = {}
    try:
        if failure.task_id is not None:
            # The CLI exits with 1 for a task that failed, after it printed the events.
            _rc, output, _command = cli.try_run("task", str(failure.task_id), "--event")
            error = error_of(parse_events("".join(output.blocks)))
            evidence["task"] = {"id": failure.task_id, "state": failure.task_state, "error": error}
            if error and error not in failure.words:
                failure.words += f"\n{error}"
        if failure.cause == "lock_held":
            evidence["locks"] = locks(cli)
            holders = "; ".join(holders_of_locks(evidence["locks"], running_tasks(cli)))
            if holders:
                failure.hint = f"the lock is held by {holders}: wait for it"
    except BoshFailure:
        # The evidence is a courtesy: its absence must not hide the failure itself.
        pass
    return failure.as_result() | evidence


def holders_of_locks(held: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> list[str]:
    """Who holds the locks, in words; a lock that outlived its task has only the task's id."""
    told = []
    for lock in held:
        task = next((task for task in tasks if str(task["id"]) == str(lock["task_id"])), None)
        who = f" ({task['description']} of {task['deployment']} by {task['user']})" if task else ""
        told.append(f"task {lock['task_id']}{who}")
    return told


def tasks_of(output: BoshOutput) -> list[dict[str, int]]:
    """The tasks that a command followed, as modules return them."""
    return [{"id": task_id} for task_id in output.task_ids()]


def manifest_diff(output: BoshOutput) -> dict[str, str]:
    """BOSH's own redacted diff in the form that `--diff` prints."""
    lines = output.diff_lines()
    return {"prepared": "\n".join(lines) + "\n"} if lines else {"prepared": ""}
