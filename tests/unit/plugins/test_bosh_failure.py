# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import identity
from ansible_collections.bosh.ha.plugins.module_utils.director_module import with_evidence


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("fail_unreachable", "unreachable"),
        ("fail_port_closed", "unreachable"),
        ("fail_wrong_ca", "wrong_ca"),
        ("fail_wrong_creds", "wrong_credentials"),
        ("fail_unknown_deployment_vms", "unknown_deployment"),
        ("fail_unknown_task", "unknown_task"),
        ("cck_while_locked", "lock_held"),
        ("fail_bad_manifest", "wrong_deployment"),
        ("fail_cck_task", "task_failed"),
    ],
)
def test_each_recorded_failure_has_its_cause(cli, case, cause):
    bosh, _runner = cli({"": case})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("whatever")
    assert caught.value.cause == cause
    assert caught.value.hint
    assert caught.value.words in str(caught.value)


def test_a_failed_task_says_it_once(cli):
    bosh, _runner = cli({"": "fail_cck_recreate"})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("whatever")
    assert caught.value.words == (
        "Error: Error resolving problem '1': CPI error 'Bosh::Clouds::VMCreationFailed' with message "
        "'injected: no capacity' in 'create_vm' CPI method (CPI request ID: 'cpi-787069')\n"
        "Resolving problems for deployment 'bosh-primary':\n  Expected task '40' to succeed but state is 'error'"
    )


def test_env_exits_0_with_wrong_credentials_and_is_still_a_failure(cli):
    bosh, _runner = cli({"env": "fail_wrong_creds_env"})
    with pytest.raises(BoshFailure) as caught:
        identity(bosh)
    assert caught.value.cause == "wrong_credentials"


def test_a_failed_task_brings_its_error_event(cli):
    log = '{"time":1,"error":{"code":450001,"message":"injected: no capacity"}}\n'
    shown = json.dumps({"Tables": None, "Blocks": [log], "Lines": ["Succeeded"]})
    bosh, _runner = cli({"--event": (0, shown), "task 40": "fail_cck_task"})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("task", "40")
    assert with_evidence(caught.value, bosh)["task"] == {"id": 40, "state": "error", "error": "injected: no capacity"}


def test_a_held_lock_brings_its_holder(cli):
    answers = {"cloud-check": "cck_while_locked", "--event": "task_event", "locks": "locks_held"}
    bosh, _runner = cli(answers | {"tasks": "tasks_current_busy"})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("cloud-check")
    result = with_evidence(caught.value, bosh)
    assert result["locks"][0]["task_id"] == "36"
    assert result["hint"] == "the lock is held by task 36 (create deployment of bosh-primary by admin): wait for it"
    assert result["hint"] in result["msg"]


def test_a_missing_cli_says_so(cli):
    bosh, runner = cli({})

    def gone(*_args, **_kwargs):
        raise FileNotFoundError(2, "No such file or directory", "bosh")

    bosh._run_command = gone
    with pytest.raises(BoshFailure) as caught:
        bosh.require_version()
    assert caught.value.cause == "cli_missing"
    assert "bosh_ha_cli_options.cli" in caught.value.hint
    assert runner.calls == []


def test_an_old_cli_is_refused(cli):
    bosh, _runner = cli({})
    bosh._run_command = lambda *_args, **_kwargs: (0, "version 6.4.17-abc-2021\n", "")
    with pytest.raises(BoshFailure) as caught:
        bosh.require_version()
    assert caught.value.cause == "cli_too_old"
    assert "6.4.17" in str(caught.value)


TASK = "\nExpected task '7' to succeed but state is 'error'"
PAGE = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
GATEWAY = "Fetching info:\n  Performing request:\n    {} responded with non-successful "


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Unknown CPI error 'Errno::ENOENT' with message 'No such file or directory - /x'" + TASK, "task_failed"),
        ("Error: CPI error: Post https://iaas: x509: certificate signed by unknown authority" + TASK, "task_failed"),
        ("Error: dial tcp 10.0.0.9:443: connect: connection refused" + TASK, "task_failed"),
        ("Error: CPI error 'Bosh::Clouds::CloudError' with message 'Not authorized'" + TASK, "task_failed"),
        ("Error: Failed to acquire lock for lock:deployment:bosh-primary" + TASK, "lock_held"),
        ("Creating VM:\n  CPI 'create_vm' method responded with error: CmdError{x509: unknown}", "cpi_failed"),
        ("Reading manifest: open /x: no such file", ""),
        ("Rendering: No such file or directory @ rb_sysopen", ""),
        *((GATEWAY.format(who) + f"status code '{code}' response '{PAGE}'", "not_ready")
          for who in ("Director", "UAA") for code in (502, 503, 504)),
        (GATEWAY.format("Director") + "status code '500' response 'x'", ""),
    ],
)  # fmt: skip
def test_who_failed_is_not_mistaken(words, cause):
    failure = BoshFailure(["bosh"], 1, words)
    assert failure.cause == cause
    assert bool(failure.hint) is bool(cause)
    assert "html" not in failure.sentence()


def test_what_the_caller_knows_is_not_overruled_by_words():
    failure = BoshFailure(["bosh"], 127, "connection refused", cause="cli_missing")
    assert (failure.cause, "cannot be run" in failure.hint) == ("cli_missing", True)
