# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import director_facts as facts
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli, Director, manifest_words
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import UNREADABLE


def test_the_secret_goes_by_environment_only(cli):
    bosh, runner = cli({"deployments": "deployments"})
    facts.deployments(bosh)
    assert runner.environs[0]["BOSH_CLIENT_SECRET"] == "not-for-eyes"
    assert not any("not-for-eyes" in word for call in runner.calls for word in call)
    assert "not-for-eyes" not in repr(bosh.director)


def test_a_deployment_left_in_the_shell_does_not_choose_for_us():
    assert Director().environ()["BOSH_DEPLOYMENT"] == ""


def test_a_command_is_a_list_with_the_deployment_before_the_verb(cli):
    bosh, _runner = cli({})
    assert bosh.argv("deploy", "m.yml", deployment="bosh-meta") == [
        "bosh",
        "--json",
        "-n",
        "-d",
        "bosh-meta",
        "deploy",
        "m.yml",
    ]


def test_what_is_laid_over_a_manifest_keeps_its_order(tmp_path):
    paths = {}
    for name in ("m.yml", "a.yml", "b.yml", "v.yml"):
        paths[name] = str(tmp_path / name)
        (tmp_path / name).write_text("{}\n", encoding="utf-8")
    params = {
        "manifest": paths["m.yml"],
        "ops_files": [paths["b.yml"], paths["a.yml"]],
        "vars_files": [paths["v.yml"]],
        "vars_store": "/s.yml",
    }
    expected = [
        paths["m.yml"],
        "-o",
        paths["b.yml"],
        "-o",
        paths["a.yml"],
        "-l",
        paths["v.yml"],
        "--vars-store",
        "/s.yml",
    ]
    assert manifest_words(params) == expected


def test_an_ops_file_that_is_not_there_is_named(tmp_path):
    (tmp_path / "m.yml").write_text("{}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"/nowhere/ops\.yml cannot be read"):
        manifest_words({"manifest": str(tmp_path / "m.yml"), "ops_files": ["/nowhere/ops.yml"]})


def test_instances_are_told_from_their_processes(cli):
    bosh, _runner = cli({"instances": "instances"})
    (only,) = facts.instances(bosh, "bosh-primary")
    assert (only["group"], only["vm_cid"], only["disk_cids"]) == ("bosh", "vm-b90042ef", ["disk-10dc8044312f"])
    assert only["process_state"] == "running"


def test_an_instance_keeps_its_row_when_its_vm_is_gone(cli):
    bosh, _runner = cli({"instances": "instances_after_delete_vm"})
    (only,) = facts.instances(bosh, "bosh-primary")
    assert (only["vm_cid"], only["process_state"]) == ("", "")


def test_a_lost_vm_is_still_listed_as_unresponsive(cli):
    bosh, _runner = cli({"vms": "vms_missing"})
    assert [vm["process_state"] for vm in facts.vms(bosh, "bosh-primary")] == ["unresponsive agent"]


def test_releases_and_stemcells_lose_their_marks(cli):
    bosh, _runner = cli({"releases": "releases", "stemcells": "stemcells"})
    assert facts.releases(bosh) == [{"name": "bosh", "version": "283.1.6", "deployed": True}]
    assert facts.stemcells(bosh)[0]["version"] == "1.1"


def test_tasks_have_their_times_in_seconds(cli):
    bosh, _runner = cli({"tasks": "tasks_current_busy"})
    (busy,) = facts.running_tasks(bosh)
    assert (busy["id"], busy["state"], busy["finished_epoch"]) == (36, "processing", None)
    assert busy["started_epoch"] == 1795223904


REASON = "invalid argument for flag `-o, --ops-file': Building ops: Unknown operation [0] with type 'replce' within"


def answering(rc, out, err=""):
    return BoshCli(Director(environment="x"), lambda *_words, **_options: (rc, out, err))


@pytest.mark.parametrize("out", ["", "\n", "\r\n \n", '{"Tables":null,"Blocks":null,"Lines":["Exit code 1"]}'])
def test_a_reason_on_stderr_is_not_lost(out):
    """The real CLI's go-flags: a newline on stdout, the reason on stderr, --json or not."""
    with pytest.raises(BoshFailure) as caught:
        answering(1, out, f"{REASON}\nExit code 1\n").run("interpolate", "m.yml")
    assert caught.value.words == REASON
    assert REASON in caught.value.as_result()["msg"]


def test_the_reason_in_json_is_not_hidden_by_a_warning_on_stderr():
    out = json.dumps({"Tables": None, "Blocks": None, "Lines": ["Fetching info: nothing", "Exit code 1"]})
    with pytest.raises(BoshFailure) as caught:
        answering(1, out, "warning: old\n").run("env")
    assert caught.value.words == "Fetching info: nothing"


def test_a_streamed_command_keeps_the_reason(tmp_path):
    with pytest.raises(BoshFailure) as caught:
        answering(1, "", f"\n{REASON}\nExit code 1\n").run_streamed(str(tmp_path / "progress"), "create-env", "m.yml")
    assert caught.value.words == REASON


@pytest.mark.parametrize(("out", "err"), [("", ""), ("\n", "Exit code 1\n")])
def test_no_reason_at_all_is_said(out, err):
    with pytest.raises(BoshFailure, match="`bosh --json -n locks` failed with exit code 1 and printed no reason"):
        answering(1, out, err).run("locks")


@pytest.mark.parametrize("out", ["", "Succeeded\n", '{"Tables":', '{"password": "not-for-eyes"}'])
def test_a_success_that_cannot_be_read_is_a_failure(out):
    with pytest.raises(BoshFailure) as caught:
        answering(0, out).run("update-config", "c.yml")
    assert caught.value.cause == UNREADABLE
    assert "not-for-eyes" not in str(caught.value)


EMPTY = json.dumps({"Tables": None, "Blocks": None, "Lines": ["Succeeded"]})


@pytest.mark.parametrize(
    "ask",
    [
        facts.deployments,
        facts.releases,
        facts.stemcells,
        facts.configs,
        facts.locks,
        facts.running_tasks,
        facts.busy_with,
        facts.orphaned_disks,
        facts.identity,
        lambda bosh: facts.vms(bosh, "bosh-meta"),
        facts.vms,
        lambda bosh: facts.instances(bosh, "bosh-meta"),
    ],
)
@pytest.mark.parametrize("out", [EMPTY, "nothing\n", ""])
def test_no_table_is_not_nothing(ask, out):
    with pytest.raises(BoshFailure) as caught:
        ask(answering(0, out))
    assert caught.value.cause == UNREADABLE


def test_a_director_without_deployments_has_no_vms(cli, said):
    """`bosh vms` without -d prints a table for each deployment (bosh-cli cmd/vms.go)."""
    none = json.dumps({"Tables": [{"Content": "deployments", "Rows": []}], "Blocks": None, "Lines": []})
    bosh, _runner = cli({"deployments": (0, none), "vms": said(lines=["Succeeded"])})
    assert facts.vms(bosh) == []


def test_a_version_is_not_asked_in_the_operator_s_locale():
    seen = {}

    def run(_command, environ_update, **_options):
        seen.update(environ_update)
        return 0, "version 7.10.9-a-2026\n", ""

    BoshCli(Director(), run).require_version()
    assert (seen["LC_ALL"], seen["TZ"]) == ("C.UTF-8", "UTC")
