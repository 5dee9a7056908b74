# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module that talks to a director, whole, over what the real CLI answered."""

from __future__ import annotations

import json

import pytest

from ..conftest import Failed, recorded

MICRO = {"environment": "10.10.0.3", "client": "admin", "client_secret": "not-for-eyes"}
PRIMARY = MICRO | {"deployment": "bosh-primary"}


def verbs(replay):
    """The commands, without the version and the words that all share."""
    shared = ("bosh", "--json", "-n", "-d", "bosh-primary")
    return [" ".join(word for word in call if word not in shared) for call in replay.calls]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "bosh-primary.yml"
    path.write_text("name: bosh-primary\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def pauses(monkeypatch):
    """The seconds of each pause of a wait, none of which is made."""
    from ansible_collections.bosh.ha.plugins.module_utils import director_wait

    made = []
    monkeypatch.setattr(director_wait.time, "sleep", made.append)
    monkeypatch.setattr(director_wait.time, "monotonic", lambda: sum(made))
    return made


@pytest.mark.parametrize(
    ("module", "asked"), [("vm_info", ["instances"]), ("director_info", ["--version", "env", "deployments"])]
)
def test_only_director_info_asks_for_the_version(run_module, module, asked):
    calls = []

    def runner(command, **_options):
        calls.append(next(word for word in command if word in asked))
        return 0, "version 7.10.0-abc\n" if calls[-1] == "--version" else recorded(calls[-1])[1], ""

    args = PRIMARY if module == "vm_info" else MICRO | {"gather_subset": ["deployments"]}
    run_module(module, args, runner=runner)
    assert calls == asked


def test_a_failure_of_a_cli_that_is_too_old_is_explained_by_its_version(run_module):
    def runner(command, **_options):
        return (0, "version 6.4.17-abc\n", "") if "--version" in command else (1, "", "unknown flag `details'\n")

    with pytest.raises(Failed) as failed:
        run_module("vm_info", PRIMARY, runner=runner)
    assert failed.value.result["cause"] == "cli_too_old"


# idle_director


def test_a_busy_director_is_waited_for_and_told_of(run_module, pauses):
    busy = {"tasks": "tasks_current_busy", "locks": "locks_held"}
    asked = MICRO | {"wait": 4, "refusal": "micro is busy, so it is not stopped now"}
    with pytest.raises(
        Failed, match=r"^micro is busy, so it is not stopped now: task 36 \(.+ by .+\), lock on "
    ) as failed:
        run_module("idle_director", asked, busy)
    assert len(pauses) == 2
    assert [words.split()[0] for words in failed.value.result["busy_with"]] == ["task", "lock"]
    # What it does with another deployment does not count.
    result, replay = run_module("idle_director", asked | {"of": "bosh-meta"}, busy)
    assert (result["busy_with"], verbs(replay)) == ([], ["tasks -a", "locks"])
    with pytest.raises(Failed, match="lock on bosh-primary"):
        run_module("idle_director", asked | {"of": "bosh-primary"}, busy)


WAITS = {
    "idle_director": (MICRO | {"wait": 4}, "tasks"),
    "director_info": (MICRO | {"wait": 4}, "env"),
    "vm_info": (PRIMARY | {"wait_until_running": 10}, "instances"),
}


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize(
    ("case", "times"), [("fail_unreachable", 2), ("fail_wrong_ca", 0), ("fail_unknown_deployment_vms", 0)]
)
def test_only_what_a_wait_may_mend_is_asked_again(run_module, pauses, name, case, times):
    args, words = WAITS[name]
    with pytest.raises(Failed):
        run_module(name, args, {words: case})
    assert len(pauses) == times


@pytest.mark.parametrize("name", ["director_info", "vm_info"])
def test_without_a_wait_a_director_is_asked_once(run_module, pauses, name):
    args, words = WAITS[name]
    args = {key: value for key, value in args.items() if not key.startswith("wait")}
    with pytest.raises(Failed):
        run_module(name, args, {words: "fail_unreachable"})
    assert pauses == []


# director_info


def test_all_that_a_director_knows(run_module):
    answers = {name: name for name in ("deployments", "releases", "stemcells", "configs")}
    answers |= {"vms": "vms_all", "locks": "locks_held", "tasks": "tasks_current_busy", "env": "env"}
    result, _replay = run_module("director_info", MICRO | {"gather_subset": ["all"]}, answers)
    assert (result["reachable"], result["logged_in"], result["reason"]) == (True, True, "")
    assert result["director"]["name"] == "micro"
    assert [deployment["name"] for deployment in result["deployments"]] == ["bosh-primary"]
    assert result["locks"][0]["task_id"] == "36"
    assert [task["id"] for task in result["tasks"]] == [36]
    assert {key for key in result if key.endswith("s")} >= {"releases", "stemcells", "configs", "vms"}


def test_only_what_was_asked_for(run_module):
    result, replay = run_module("director_info", MICRO, {"env": "env"})
    assert "deployments" not in result
    assert verbs(replay) == ["env"]


@pytest.mark.parametrize(
    ("case", "reachable", "cause"),
    [
        ("fail_director_stopped", False, "unreachable"),
        ("fail_unreachable", False, "unreachable"),
        ("fail_wrong_ca", True, "wrong_ca"),
        ("fail_no_ca", True, "wrong_ca"),
        ((1, "x509: certificate has expired or is not yet valid"), True, "certificate_expired"),
        ((1, "tls: first record does not look like a TLS handshake"), True, "not_tls"),
        ("fail_wrong_creds_env", True, "wrong_credentials"),
    ],
)
def test_a_director_that_cannot_be_used_is_no_failure_when_told_so(run_module, case, reachable, cause):
    result, _replay = run_module("director_info", MICRO | {"fail_when_unreachable": False}, {"env": case})
    assert (result["reachable"], result["logged_in"], result["cause"]) == (reachable, False, cause)
    assert result["reason"]
    with pytest.raises(Failed) as failed:
        run_module("director_info", MICRO, {"env": case})
    assert failed.value.result["cause"] == cause


def test_a_director_that_is_still_starting_is_no_failure_when_told_so(run_module, said):
    words = (
        "Fetching info:\n  Director responded with non-successful status code '502' response '<html>\r\n</html>\r\n'"
    )
    answers = {"env": said(rc=1, lines=[words, "Exit code 1"])}
    result, _replay = run_module("director_info", MICRO | {"fail_when_unreachable": False}, answers)
    assert (result["reachable"], result["logged_in"], result["cause"]) == (False, False, "not_ready")
    assert "monit summary" in result["reason"]
    with pytest.raises(Failed, match="monit summary"):
        run_module("director_info", MICRO, answers)


def test_no_secret_leaves_with_a_failure(run_module):
    with pytest.raises(Failed) as failed:
        run_module("director_info", MICRO, {"env": "fail_wrong_creds"})
    assert "not-for-eyes" not in json.dumps(failed.value.result)


# vm_info


def test_a_vm_without_any_process_is_bare_and_not_running(run_module):
    answer = json.loads(recorded("instances")[1])
    result, _replay = run_module("vm_info", PRIMARY, {"instances": (0, json.dumps(answer))})
    assert [(one["vm_cid"], one["process_state"]) for one in result["instances"]] == [("vm-b90042ef", "running")]
    # As after an attach_disk that failed: the agent answers, and monit has nothing.
    rows = answer["Tables"][0]["Rows"]
    answer["Tables"][0]["Rows"] = [row for row in rows if not row["process"]]
    result, _replay = run_module("vm_info", PRIMARY, {"instances": (0, json.dumps(answer))})
    assert [one["process_state"] for one in result["instances"]] == ["bare"]
    rows[0]["process_state"] = "unresponsive agent"
    result, _replay = run_module("vm_info", PRIMARY, {"instances": (0, json.dumps(answer))})
    assert [one["process_state"] for one in result["instances"]] == ["unresponsive agent"]


def test_instances_are_waited_for_until_each_runs(run_module, pauses):
    answer = json.loads(recorded("instances")[1])
    rows = answer["Tables"][0]["Rows"]
    told = []

    def runner(command, **_options):
        if command[1:] == ["--version"]:
            return 0, "version 7.10.0-abc\n", ""
        # It comes up while it is asked: it is lost, then its agent does not answer, then it runs.
        rows[0]["process_state"] = "running" if len(pauses) > 1 else "unresponsive agent" if pauses else ""
        told.append(rows[0]["process_state"])
        return 0, json.dumps(answer), ""

    result, _replay = run_module("vm_info", PRIMARY | {"wait_until_running": 60}, runner=runner)
    assert [one["process_state"] for one in result["instances"]] == ["running"]
    assert (told, pauses) == (["", "unresponsive agent", "running"], [5.0, 5.0])


@pytest.mark.parametrize(
    ("state", "cid", "told"),
    [
        ("unresponsive agent", "vm-1", r"bosh/\S+ is `unresponsive agent`$"),
        ("", "", r"bosh/\S+ has no VM$"),
        (None, "", "it has no instance$"),
    ],
)
def test_what_does_not_run_in_time_is_told_in_a_sentence(run_module, pauses, state, cid, told):
    answer = json.loads(recorded("instances")[1])
    table = answer["Tables"][0]
    table["Rows"][0] |= {"process_state": state or "", "vm_cid": cid}
    if state is None:
        table["Rows"] = []
    with pytest.raises(Failed, match=f"^bosh-primary does not run at 10.10.0.3 after 10 s: {told}") as failed:
        run_module("vm_info", PRIMARY | {"wait_until_running": 10}, {"instances": (0, json.dumps(answer))})
    assert (len(failed.value.result["instances"]), pauses) == (state is not None, [5.0, 5.0])


def test_instances_and_orphaned_disks(run_module):
    answers = {"instances": "instances", "disks": "disks_orphaned"}
    result, _replay = run_module("vm_info", PRIMARY | {"orphaned": True}, answers)
    assert [instance["process_state"] for instance in result["instances"]] == ["running"]
    assert result["orphaned_disks"] == []
    tables = [{"Content": "disks", "Rows": [{"disk_cid": "disk-1", "deployment": "bosh-primary"}]}]
    answers["disks"] = (0, json.dumps({"Tables": tables, "Blocks": None, "Lines": []}))
    result, _replay = run_module("vm_info", PRIMARY | {"orphaned": True}, answers)
    assert result["orphaned_disks"] == ["disk-1"]


def test_an_unknown_deployment_says_so(run_module):
    with pytest.raises(Failed, match="does not know the deployment"):
        run_module("vm_info", PRIMARY, {"instances": "fail_unknown_deployment_vms"})


# task_info


def test_a_resurrection_is_found_by_user_and_description(run_module):
    # It was recorded while the task ran.
    events = "resurrect_bosh-primary_task_event"
    answers = {"/tasks/79/output?type=event": events, "tasks": "resurrect_bosh-primary_tasks"}
    wanted = PRIMARY | {"recent": 200, "user": "hm", "description_is": "scan and fix", "events": True}
    result, replay = run_module("task_info", wanted, answers)
    assert "tasks -a --recent=200" in verbs(replay)
    assert {(task["user"], task["description"]) for task in result["tasks"]} == {("hm", "scan and fix")}
    (found,) = result["tasks"]
    assert len(found["recreated"]) == 1
    assert (found["started_epoch"], found["finished_epoch"]) == (1795223518, None)
    assert result["progress"]["stage"] == "Applying problem resolutions"


@pytest.mark.parametrize(("newer_than", "seen"), [(0, "task 79 is processing"), (79, "no such task")])
def test_a_resurrection_that_does_not_come_in_time_is_a_failure(run_module, monkeypatch, newer_than, seen):
    from ansible_collections.bosh.ha.plugins.modules import task_info

    monkeypatch.setattr(task_info, "PAUSE", 0.01)
    events = "resurrect_bosh-primary_task_event"
    answers = {"/tasks/79/output?type=event": events, "tasks": "resurrect_bosh-primary_tasks"}
    wanted = {"recent": 200, "user": "hm", "description_is": "scan and fix", "events": True, "wait_recreated": 1}
    with pytest.raises(Failed, match=f"no VM was recreated within 1 s: {seen}"):
        run_module("task_info", PRIMARY | wanted | {"newer_than": newer_than}, answers)


def test_a_running_task_is_asked_by_the_api_which_does_not_wait_for_its_end(run_module, said):
    log = '{"time":1,"stage":"Updating instance","task":"bosh/0 (canary)","state":"in_progress","progress":60'
    log += ',"data":{"status":"starting jobs"}}\n{"time":2,"stage":"Upd'
    answers = {"/output?type=event": said(log), "tasks": "tasks_current_busy"}
    result, replay = run_module("task_info", PRIMARY | {"events": True}, answers)
    assert result["events"] == ["Updating instance: bosh/0 (canary) 60 % starting jobs"]
    assert result["progress"]["percent"] == 60
    assert not any(" task " in f" {verb} " for verb in verbs(replay))


def test_one_task_by_its_id(run_module, said):
    row = {"id": 7, "state": "done", "user": "hm", "deployment": "bosh-primary", "description": "scan and fix"}
    row |= {"result": "1 resolved", "started_at": 1795221211, "timestamp": 1795221217}
    result, _replay = run_module("task_info", MICRO | {"id": 7}, {"/tasks/7": said(json.dumps(row))})
    (task,) = result["tasks"]
    assert (task["started_at"], task["finished_epoch"]) == ("Sat Nov 21 00:33:31 UTC 2026", 1795221217)


def test_no_task_runs(run_module):
    result, _replay = run_module("task_info", PRIMARY | {"events": True}, {"tasks": "tasks_current"})
    assert (result["tasks"], result["events"], result["progress"]) == ([], [], {})


# deployment


@pytest.mark.parametrize(
    ("case", "check", "changed"),
    [
        ("deploy_nochange", False, False),
        ("deploy_change", False, True),
        ("deploy_dryrun_nochange", True, False),
        ("deploy_dryrun_change", True, True),
    ],
)
def test_a_deploy_tells_what_bosh_told(run_module, manifest, case, check, changed):
    result, replay = run_module("deployment", PRIMARY | {"manifest": manifest}, {" deploy ": case}, check=check)
    assert result["changed"] is changed
    assert bool(result["diff"]["prepared"]) is changed
    assert result["task"] == result["tasks"][-1]
    assert verbs(replay) == [f"deploy {manifest}" + (" --dry-run" if check else "")]


def test_check_mode_and_deed_are_the_same_command(run_module, manifest, tmp_path):
    (tmp_path / "ops.yml").write_text("[]\n", encoding="utf-8")
    wanted = PRIMARY | {"manifest": manifest, "ops_files": [str(tmp_path / "ops.yml")], "recreate": True}
    _result, deed = run_module("deployment", wanted, {" deploy ": "deploy_change"})
    result, dry = run_module("deployment", wanted, {" deploy ": "deploy_dryrun_nochange"}, check=True)
    assert dry.calls[0] == [*deed.calls[0], "--dry-run"]
    assert result["changed"], "`recreate` changes something though the manifest does not"


# deployment_dry_run

WATCHER = json.dumps(
    {"name": "bosh-primary", "instance_groups": [{"name": "bosh", "jobs": [{"name": "health_monitor"}]}]}
)


def dry_run_of(run_module, said, manifest, answer, **given):
    answers = {"interpolate": said(WATCHER), " deploy ": answer, "task 7 --event": given.pop("events", said())}
    return run_module("deployment_dry_run", PRIMARY | {"manifest": manifest} | given, answers)


def test_a_rehearsal_lays_over_what_step_7_does_and_writes_no_vars_store(run_module, said, manifest, tmp_path):
    (tmp_path / "own.yml").write_text("[]\n", encoding="utf-8")
    (tmp_path / "vars.yml").write_text("password: hidden-value\n", encoding="utf-8")
    given = {"ops_files": [f"{tmp_path}/own.yml"], "vars_store": f"{tmp_path}/vars.yml"}
    result, replay = dry_run_of(run_module, said, manifest, "deploy_dryrun_change", **given)
    assert (result["changed"], result["refused_by"]) == (False, "nobody")
    assert result["manifest_changes"]
    assert any(path.endswith("resurrector_enabled?") for path in result["operations"])
    words = replay.calls[-1]
    ops = [words[at + 1] for at, word in enumerate(words) if word == "-o"]
    assert ops[0] == f"{tmp_path}/own.yml" and len(ops) == 2
    assert words[words.index("--vars-store") + 1] != f"{tmp_path}/vars.yml"
    assert words[-1] == "--dry-run"


def test_a_rehearsal_that_the_director_refuses_is_a_result(run_module, said, manifest):
    event = {"time": 1, "error": {"code": 100, "message": "Can't find property 'director.address'"}}
    lines = ["+   name: bosh", "Task 7 error", "Expected task '7' to succeed but state is 'error'", "Exit code 1"]
    result, _replay = dry_run_of(
        run_module, said, manifest, said(lines=lines, rc=1), events=said(json.dumps(event), rc=1)
    )
    assert (result["refused_by"], result["refusal"]) == ("director", "Can't find property 'director.address'")


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"ops_files": ["/nowhere/ops.yml"]}, "the file /nowhere/ops.yml cannot be read"),
        ({"minimum_down_jobs": 1}, "minimum_down_jobs is 1"),
    ],
)
def test_what_no_director_needs_to_refuse_is_refused_before_it_is_asked(run_module, said, manifest, given, refusal):
    result, replay = dry_run_of(run_module, said, manifest, "deploy_dryrun_change", **given)
    assert result["refused_by"] == "manifest"
    assert refusal in result["refusal"]
    assert not [verb for verb in verbs(replay) if verb.startswith("deploy")]


def test_an_operation_that_does_not_apply_is_named_with_its_file(run_module, said, manifest):
    """Recorded from CLI v7.10.6."""
    words = "Error 'operation [0] in o1.yml failed': Expected to find a map key 'properties' for path '/properties'"
    answers = {"interpolate": said(lines=[words, "Exit code 1"], rc=1)}
    result, _replay = run_module("deployment_dry_run", PRIMARY | {"manifest": manifest}, answers)
    assert (result["refused_by"], result["refusal"]) == ("manifest", words)


@pytest.mark.parametrize("case", ["fail_unreachable", "fail_wrong_ca", "fail_wrong_creds"])
def test_a_director_that_cannot_be_asked_has_refused_nothing(run_module, said, manifest, case):
    with pytest.raises(Failed) as failed:
        dry_run_of(run_module, said, manifest, case)
    assert failed.value.result["cause"]


def test_variables_go_by_a_file_of_the_owner_only(run_module, manifest):
    seen = {}

    def runner(command, **_options):
        if command[1:] == ["--version"]:
            return 0, "version 7.10.0-abc\n", ""
        path = command[command.index("-l") + 1]
        with open(path, encoding="utf-8") as stream:
            seen.update(json.load(stream))
        seen["words"], seen["mode"] = " ".join(command), oct(__import__("os").stat(path).st_mode & 0o777)
        return 0, '{"Lines": ["Succeeded"], "Blocks": null, "Tables": null}', ""

    wanted = PRIMARY | {"manifest": manifest, "vars": {"password": "hidden-value"}}
    result, _replay = run_module("deployment", wanted, runner=runner)
    assert (seen["password"], seen["mode"]) == ("hidden-value", "0o600")
    assert "hidden-value" not in seen["words"]
    assert "hidden-value" not in json.dumps(result)


def test_a_manifest_of_another_deployment_is_refused(run_module, manifest):
    with pytest.raises(Failed) as failed:
        run_module("deployment", PRIMARY | {"manifest": manifest}, {" deploy ": "fail_bad_manifest"})
    assert failed.value.result["cause"] == "wrong_deployment"


def test_a_missing_manifest_is_named_before_the_cli_runs(run_module):
    with pytest.raises(Failed, match=r"/nowhere/m\.yml cannot be read"):
        run_module("deployment", PRIMARY | {"manifest": "/nowhere/m.yml"})


@pytest.mark.parametrize(("name", "check", "changed"), [("bosh-primary", False, True), ("nope", False, False)])
def test_a_deployment_is_deleted_when_it_is_there(run_module, said, name, check, changed):
    answers = {"deployments": "deployments", "delete-deployment": said(lines=["Task 9", "Succeeded"])}
    wanted = MICRO | {"deployment": name, "state": "absent", "force": True}
    result, replay = run_module("deployment", wanted, answers, check=check)
    assert result["changed"] is changed
    assert any("delete-deployment --force" in verb for verb in verbs(replay)) is changed


# stemcell and release


@pytest.mark.parametrize(
    ("module", "listing", "name", "version"),
    [("stemcell", "stemcells", "bosh-rig-debian-forky-go_agent", "1.1"), ("release", "releases", "bosh", "283.1.6")],
)
def test_what_the_director_has_is_not_uploaded_again(run_module, said, module, listing, name, version):
    wanted = MICRO | {"url": "https://example.org/it.tgz", "sha1": "abc", "name": name}
    upload = said(lines=["Task 3", "Succeeded"])
    answers = {listing: listing, f"upload-{module}": upload, f"delete-{module}": upload}
    result, replay = run_module(module, wanted | {"version": version}, answers)
    assert (result["changed"], verbs(replay)) == (False, [listing])
    result, replay = run_module(module, wanted | {"version": "9.9"}, answers)
    assert result["changed"] and result["tasks"] == [{"id": 3}]
    assert verbs(replay)[1] == f"upload-{module} https://example.org/it.tgz --sha1=abc --name={name} --version=9.9"
    result, replay = run_module(module, wanted | {"version": "9.9"}, answers, check=True)
    assert (result["changed"], verbs(replay)) == (True, [listing])
    result, replay = run_module(module, wanted | {"version": version, "state": "absent"}, answers)
    assert (result["changed"], verbs(replay)[1]) == (True, f"delete-{module} {name}/{version}")


def test_an_upload_that_bosh_skips_changes_nothing(run_module, said):
    wanted = MICRO | {"url": "https://example.org/it.tgz"}
    answers = {"stemcells": "stemcells", "upload-stemcell": said(lines=["Stemcell 'x/1' already exists."])}
    result, _replay = run_module("stemcell", wanted, answers)
    assert result["changed"] is False


def test_a_file_that_is_no_stemcell_is_named(run_module, tmp_path):
    (tmp_path / "it.tgz").write_text("no archive", encoding="utf-8")
    with pytest.raises(Failed, match=r"it\.tgz cannot be read as a stemcell or release"):
        run_module("stemcell", MICRO | {"url": str(tmp_path / "it.tgz")}, {"stemcells": "stemcells"})


# config


def config_answers(said, content):
    rows = [{"id": "1", "type": "cloud", "name": "default", "created_at": "", "content": content}]
    shown = json.dumps({"Tables": [{"Content": "config", "Rows": rows}], "Blocks": None, "Lines": []})
    return {"configs": "configs", "update-config": said(), "delete-config": said(), " config ": (0, shown)}


def test_a_config_that_differs_only_in_its_layout_is_the_same(run_module, said):
    wanted = MICRO | {"type": "cloud", "content": "{azs: [{name: z1}]}\n"}
    result, replay = run_module("config", wanted, config_answers(said, "azs:\n- name: z1\n"))
    assert (result["changed"], verbs(replay)) == (False, ["configs", "config --type=cloud --name=default"])


def test_a_config_that_differs_is_updated_and_shown(run_module, said, tmp_path):
    (tmp_path / "cloud.yml").write_text("azs:\n- name: z2\n", encoding="utf-8")
    wanted = MICRO | {"type": "cloud", "path": str(tmp_path / "cloud.yml")}
    answers = config_answers(said, "azs:\n- name: z1\n")
    result, replay = run_module("config", wanted, answers)
    assert result["diff"] == {"before": "azs:\n- name: z1\n", "after": "azs:\n- name: z2\n"}
    assert verbs(replay)[-1] == f"update-config --type=cloud --name=default {tmp_path}/cloud.yml"
    result, replay = run_module("config", wanted, answers, check=True)
    assert result["changed"]
    assert not any("update-config" in verb for verb in verbs(replay))


def test_no_secret_of_a_config_is_shown(run_module, said):
    before = "cpis:\n- name: a\n  properties:\n    password: old-one\n"
    wanted = MICRO | {"type": "cloud", "content": before.replace("old-one", "new-one")}
    result, _replay = run_module("config", wanted, config_answers(said, before))
    assert result["changed"]
    # Only what is shown: Ansible itself tells a module's own arguments.
    shown = json.dumps({"diff": result["diff"], "content": result["content"]})
    assert "old-one" not in shown and "new-one" not in shown and "<redacted>" in shown


def test_a_config_goes_only_when_it_is_there(run_module, said):
    wanted = MICRO | {"state": "absent"}
    answers = config_answers(said, "azs: []\n")
    assert run_module("config", wanted | {"type": "cloud"}, answers)[0]["changed"] is True
    assert run_module("config", wanted | {"type": "runtime"}, answers)[0]["changed"] is False


@pytest.mark.parametrize(("content", "words"), [("a: [", "is no YAML"), ("- 1\n", "holds no mapping")])
def test_a_config_that_is_none_is_refused(run_module, said, content, words):
    with pytest.raises(Failed, match=words):
        run_module("config", MICRO | {"type": "cloud", "content": content}, config_answers(said, ""))


# cloud_check


@pytest.mark.parametrize(
    ("case", "types"),
    [
        ("cck_report_clean", []),
        ("cck_report_missing", ["missing_vm"]),
        ("cck_report_unresponsive", ["unresponsive_agent"]),
    ],
)
def test_a_report_that_found_problems_is_no_failure(run_module, case, types):
    result, replay = run_module("cloud_check", PRIMARY | {"mode": "report"}, {"--report": case})
    assert [problem["type"] for problem in result["problems"]] == types
    assert (result["changed"], verbs(replay)) == (False, ["cloud-check --report"])


def test_problems_are_resolved(run_module):
    wanted = PRIMARY | {"mode": "resolve", "resolutions": ["recreate_vm"]}
    result, replay = run_module("cloud_check", wanted, {"--resolution=recreate_vm": "cck_recreate"})
    assert result["changed"] and result["problems"][0]["type"] == "missing_vm"
    assert result["tasks"] == [{"id": 42}, {"id": 43}]
    result, replay = run_module("cloud_check", wanted, {"--report": "cck_report_missing"}, check=True)
    assert (result["changed"], verbs(replay)) == (True, ["cloud-check --report"])


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("fail_cck_recreate", "task_failed"),
        ("fail_unknown_deployment_cck", "unknown_deployment"),
        ("cck_while_locked", "lock_held"),
    ],
)
def test_a_resolution_that_fails_is_a_failure(run_module, case, cause):
    answers = {"cloud-check": case, "--event": "task_event", "locks": "locks_held", "tasks": "tasks_current_busy"}
    with pytest.raises(Failed) as failed:
        run_module("cloud_check", PRIMARY | {"resolutions": ["recreate_vm"]}, answers)
    assert (failed.value.result["cause"], failed.value.result["rc"]) == (cause, 1)


def test_to_resolve_without_a_resolution_is_refused(run_module):
    with pytest.raises(Failed, match="`resolutions` is needed"):
        run_module("cloud_check", PRIMARY | {"mode": "resolve"})


# vm


def test_a_vm_is_terminated_once(run_module):
    answers = {"instances": "instances", "delete-vm": "delete_vm"}
    result, replay = run_module("vm", PRIMARY | {"cid": "vm-b90042ef"}, answers)
    assert (result["changed"], verbs(replay)[-1]) == (True, "delete-vm vm-b90042ef")
    result, replay = run_module("vm", PRIMARY | {"cid": "vm-b90042ef"}, answers, check=True)
    assert (result["changed"], verbs(replay)) == (True, ["instances --details --ps"])
    answers["instances"] = "instances_after_delete_vm"
    result, replay = run_module("vm", PRIMARY | {"cid": "vm-b90042ef"}, answers)
    assert (result["changed"], verbs(replay)) == (False, ["instances --details --ps"])


def test_a_vm_of_no_deployment_is_terminated_only_when_told_so(run_module):
    answers = {"instances": "instances", "delete-vm": "delete_vm_again"}
    assert run_module("vm", PRIMARY | {"cid": "vm-micro"}, answers)[0]["changed"] is False
    assert run_module("vm", PRIMARY | {"cid": "vm-micro", "foreign": True}, answers)[0]["changed"] is True


# disk


def test_only_an_orphaned_disk_is_deleted(run_module):
    orphans = {"Tables": [{"Content": "disks", "Rows": [{"disk_cid": "disk-1", "deployment": "bosh-rehearsal"}]}]}
    answers = {"disks": (0, json.dumps(orphans | {"Blocks": None, "Lines": []})), "delete-disk": "delete_vm_again"}
    result, replay = run_module("disk", MICRO | {"cid": "disk-1"}, answers)
    assert (result["changed"], verbs(replay)) == (True, ["disks --orphaned", "delete-disk disk-1"])
    result, replay = run_module("disk", MICRO | {"cid": "disk-1"}, answers, check=True)
    assert (result["changed"], verbs(replay)) == (True, ["disks --orphaned"])
    result, replay = run_module("disk", MICRO | {"cid": "disk-in-use"}, answers)
    assert (result["changed"], verbs(replay)) == (False, ["disks --orphaned"])


# resurrection


@pytest.mark.parametrize(("now", "wanted"), [(True, False), (False, True), (True, True), (False, False)])
def test_the_switch_is_asked_before_it_is_turned(run_module, said, now, wanted):
    answers = {"curl /resurrection": said(json.dumps({"resurrection": now}))}
    answers |= {"update-resurrection": "update_resurrection_on"}
    result, replay = run_module("resurrection", MICRO | {"enabled": wanted}, answers)
    turned = [f"update-resurrection {'on' if wanted else 'off'}"] if now != wanted else []
    assert (result["changed"], verbs(replay)[1:]) == (now != wanted, turned)
    result, replay = run_module("resurrection", MICRO | {"enabled": wanted}, answers, check=True)
    assert (result["changed"], verbs(replay)[1:]) == (now != wanted, [])


# environment


@pytest.fixture
def with_alias(tmp_path):
    config = {"environments": [{"url": "https://10.10.0.3:25555", "alias": "micro", "ca_cert": "PEM ONE\n"}]}
    (tmp_path / "config").write_text(json.dumps(config), encoding="utf-8")
    rows = [{"alias": "micro", "url": "https://10.10.0.3:25555"}]
    shown = json.dumps({"Tables": [{"Content": "environments", "Rows": rows}], "Blocks": None, "Lines": []})
    answers = {"environments": (0, shown), "unalias-env": "alias_env", "alias-env": "alias_env"}
    return {"config_path": str(tmp_path / "config")}, answers


@pytest.mark.parametrize(
    ("alias", "environment", "ca_cert", "changed"),
    [
        ("micro", "10.10.0.3", "-----BEGIN", True),
        ("micro", "10.10.0.9", "-----BEGIN", True),
        ("other", "10.10.0.3", "-----BEGIN", True),
    ],
)
def test_an_alias_that_differs_is_written(run_module, with_alias, alias, environment, ca_cert, changed):
    config, answers = with_alias
    wanted = config | {"alias": alias, "environment": environment, "ca_cert": ca_cert}
    result, replay = run_module("environment", wanted, answers)
    assert (result["changed"], f"alias-env {alias}" in verbs(replay)) == (changed, changed)
    assert run_module("environment", wanted, answers, check=True)[1].calls == replay.calls[:1]


def test_an_alias_that_is_right_is_left(run_module, with_alias, tmp_path):
    config, answers = with_alias
    (tmp_path / "ca.pem").write_text("PEM ONE\n", encoding="utf-8")
    wanted = config | {"alias": "micro", "environment": "https://10.10.0.3", "ca_cert": str(tmp_path / "ca.pem")}
    result, replay = run_module("environment", wanted, answers)
    assert (result["changed"], verbs(replay)) == (False, ["environments"])
    assert result["aliases"] == {"micro": "https://10.10.0.3:25555"}


def test_an_alias_is_forgotten_once(run_module, with_alias):
    config, answers = with_alias
    result, replay = run_module("environment", config | {"alias": "micro", "state": "absent"}, answers)
    assert (result["changed"], "unalias-env micro" in verbs(replay)) == (True, True)
    result, replay = run_module("environment", config | {"alias": "gone", "state": "absent"}, answers)
    assert (result["changed"], verbs(replay)) == (False, ["environments"])


# interpolated_manifest


def test_a_manifest_as_data_and_the_vars_store_unharmed(run_module, manifest, tmp_path, said):
    (tmp_path / "store.yml").write_text("a: 1\n", encoding="utf-8")
    wanted = {"manifest": manifest, "vars_store": str(tmp_path / "store.yml")}
    result, replay = run_module("interpolated_manifest", wanted, {"interpolate": said("name: bosh-primary\n")})
    assert result["manifest"] == {"name": "bosh-primary"}
    used = replay.calls[0][replay.calls[0].index("--vars-store") + 1]
    assert used != str(tmp_path / "store.yml"), "the CLI writes into the store that it is given"


@pytest.mark.parametrize(
    ("printed", "data"),
    [
        ("-----BEGIN X-----\nabc\n-----END X-----\n\n", "-----BEGIN X-----\nabc\n-----END X-----\n"),
        ("yes\n", "yes"),
        ("a: [1]\n", {"a": [1]}),
    ],
)
def test_a_part_of_a_manifest_keeps_its_lines(run_module, manifest, said, printed, data):
    wanted = {"manifest": manifest, "path": "/ca"}
    result, replay = run_module("interpolated_manifest", wanted, {"interpolate": said(printed)})
    assert result["manifest"] == data
    assert replay.calls[0][-1] == "--path=/ca"


# deployed_manifest

DNS = {"recursor": "10.10.0.3", "domain_name": "bosh"}


@pytest.mark.parametrize(
    ("manifest", "recursors", "resurrects"),
    [
        # v1: global properties.
        ({"properties": {"dns": DNS, "hm": {"resurrector_enabled": True}}}, ["/properties/dns/recursor"], True),
        # v2: each job has its own.
        (
            {
                "instance_groups": [
                    {
                        "name": "bosh",
                        "properties": {"dns": DNS},
                        "jobs": [
                            {"name": "director", "properties": {"dns": DNS}},
                            {"name": "powerdns", "properties": {"dns": DNS}},
                            {"name": "health_monitor", "properties": {"hm": {"resurrector_enabled": False}}},
                        ],
                    }
                ]
            },
            [
                "/instance_groups/name=bosh/properties/dns/recursor",
                "/instance_groups/name=bosh/jobs/name=director/properties/dns/recursor",
                "/instance_groups/name=bosh/jobs/name=powerdns/properties/dns/recursor",
            ],
            False,
        ),
        # An empty one is one, too: BOSH would take it for what the manifest wants.
        ({"properties": {"dns": {"recursor": None}}}, ["/properties/dns/recursor"], False),
        ({"properties": {"dns": {"domain_name": "bosh"}, "hm": {"resurrector_enabled": True}}}, [], True),
        ({"features": {"use_dns_addresses": True}}, [], False),
    ],
)
def test_a_deployed_manifest_and_what_is_looked_for_in_it(run_module, said, manifest, recursors, resurrects):
    deployed = {"name": "bosh-primary"} | manifest
    for check in (False, True):
        answers = {"/deployments/bosh-primary": said(json.dumps({"manifest": json.dumps(deployed)}))}
        result, replay = run_module("deployed_manifest", PRIMARY, answers, check=check)
        assert (result["changed"], result["content"]) == (False, deployed)
        assert (result["dns_recursors"], result["resurrector_enabled"]) == (recursors, resurrects)
        assert verbs(replay) == ["curl /deployments/bosh-primary"]


@pytest.mark.parametrize("text", [None, ""])
def test_a_deployment_that_never_succeeded_has_an_empty_manifest(run_module, said, text):
    answers = {"/deployments/bosh-primary": said(json.dumps({"manifest": text}))}
    result, _replay = run_module("deployed_manifest", PRIMARY, answers)
    assert (result["content"], result["dns_recursors"], result["resurrector_enabled"]) == ({}, [], False)


# what all share


def test_a_command_that_takes_too_long_is_ended(run_module):
    ended = []

    class Process:
        def terminate(self):
            ended.append(True)

    def runner(command, before_communicate_callback, **_options):
        if command[1:] == ["--version"]:
            return 0, "version 7.10.0-abc\n", ""
        before_communicate_callback(Process())
        while not ended:
            __import__("time").sleep(0.01)
        return -15, "", ""

    with pytest.raises(Failed) as failed:
        run_module("vm_info", PRIMARY | {"timeout": 1}, runner=runner)
    assert failed.value.result["cause"] == "timed_out"
    assert "goes on" in failed.value.result["hint"]


def test_the_shell_s_environment_names_the_director_where_the_play_does_not(run_module, monkeypatch):
    from ansible_collections.bosh.ha.plugins.module_utils import bosh_cli

    assert {name: spec["fallback"][1] for name, spec in bosh_cli.DIRECTOR_ARGS.items() if "fallback" in spec} == {
        "environment": ["BOSH_ENVIRONMENT"],
        "client": ["BOSH_CLIENT"],
        "client_secret": ["BOSH_CLIENT_SECRET"],
        "ca_cert": ["BOSH_CA_CERT"],
        "config_path": ["BOSH_CONFIG"],
        "all_proxy": ["BOSH_ALL_PROXY"],
    }
    monkeypatch.setenv("BOSH_CONFIG", "/tmp/of-the-shell")
    _result, replay = run_module("director_info", {}, {"env": "env"})
    assert replay.environs[0]["BOSH_CONFIG"] == "/tmp/of-the-shell"


NOTHING = (0, json.dumps({"Tables": None, "Blocks": None, "Lines": ["Succeeded"]}))
NO_JSON = (0, "nothing to see\n")


@pytest.mark.parametrize("answer", [NOTHING, NO_JSON])
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("task_info", {"recent": 5}),
        ("task_info", {"id": 3}),
        ("idle_director", {"wait": 0}),
        ("director_info", {"gather_subset": ["locks"], "fail_when_unreachable": False}),
        ("cloud_check", {"deployment": "bosh-primary"}),
        ("vm_info", {"deployment": "bosh-primary"}),
        ("vm", {"deployment": "bosh-primary", "cid": "vm-1", "state": "absent"}),
        ("disk", {"cid": "disk-1"}),
        ("deployment", {"deployment": "bosh-primary", "state": "absent"}),
        ("resurrection", {"enabled": True}),
        ("deployed_manifest", {"deployment": "bosh-primary"}),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_failure_of_each_module(run_module, name, args, answer):
    with pytest.raises(Failed) as failed:
        run_module(name, MICRO | args, {"": answer})
    assert failed.value.result["cause"] == "unreadable_output"


def test_events_that_cannot_be_read_are_a_failure(run_module):
    answers = {"tasks": "resurrect_bosh-primary_tasks", "--event": (1, "")}
    with pytest.raises(Failed) as failed:
        run_module("task_info", MICRO | {"recent": 5, "events": True}, answers)
    assert failed.value.result["rc"] == 1


def test_a_proxy_that_fails_is_no_director_that_is_gone(run_module):
    words = "Creating SOCKS5 dialer: get host key: dial tcp 10.0.0.1:22: connect: connection refused"
    args = MICRO | {"fail_when_unreachable": False, "all_proxy": "ssh+socks5://jump"}
    with pytest.raises(Failed) as failed:
        run_module("director_info", args, {"env": (1, words)})
    assert failed.value.result["cause"] == "proxy_failed"
