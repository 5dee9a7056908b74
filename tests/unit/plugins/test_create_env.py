# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole module, with a small program in the place of the CLI."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.state_lock import StateInUse, lock_state

from ..conftest import Failed, Replay
from .test_create_env_state import GOOD

TEXT = "name: micro\n"
# Tells its arguments and environment, and prints as `bosh create-env --tty` does.
FAKE = """#!/bin/sh
echo "$*" > "{told}"; echo "$BOSH_NON_INTERACTIVE" >> "{told}"
echo "Started deploying"
printf "  Creating VM for instance 'bosh/0' from stemcell 'x'..."
echo " Finished (00:00:20)"
{more}
"""


@pytest.fixture
def site(tmp_path):
    """Arguments of the module, and a function that says what the CLI does."""
    (tmp_path / "micro.yml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "state.json").write_text(json.dumps(GOOD), encoding="utf-8")
    cli = tmp_path / "bosh"

    def does(more):
        cli.write_text(FAKE.format(told=tmp_path / "told", more=more), encoding="utf-8")
        cli.chmod(0o755)

    does("exit 0")
    args = {"manifest": str(tmp_path / "micro.yml"), "state_file": str(tmp_path / "state.json"), "cli": str(cli)}
    return args, does, tmp_path


def real(command, environ_update, before_communicate_callback, pass_fds=(), **_options):
    """Runs a command as AnsibleModule.run_command does, but for the version of the CLI."""
    if command[1:] == ["--version"]:
        return Replay({})(command, environ_update)
    process = subprocess.Popen(
        command,
        env=os.environ | environ_update,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )
    before_communicate_callback(process)
    out, err = process.communicate()
    return process.returncode, out, err


def with_sha(tmp_path, text):
    sha = hashlib.sha512(text.encode()).hexdigest()
    (tmp_path / "state.json").write_text(json.dumps(GOOD | {"current_manifest_sha": sha}), encoding="utf-8")


def test_it_is_created_and_its_state_kept_before(run_module, site):
    args, _does, tmp_path = site
    result, _replay = run_module("create_env", args | {"recreate": True}, runner=real)
    assert result["changed"] is True
    assert (result["vm_cid"], result["disk_cid"], result["disk_cids"]) == ("vm-1", "disk-1", ["disk-1"])
    words = (tmp_path / "told").read_text(encoding="utf-8").splitlines()
    assert words[0] == f"-n --tty --no-color create-env {args['manifest']} --state {args['state_file']} --recreate"
    assert words[1] == "true"
    assert os.path.dirname(result["state_copy"]) == str(tmp_path / "state-copies")
    assert json.loads(Path(result["state_copy"]).read_text(encoding="utf-8")) == GOOD


def test_a_skipped_deploy_changes_nothing(run_module, site):
    args, does, _tmp_path = site
    does("echo 'No deployment, stemcell or release changes. Skipping deploy.'")
    assert run_module("create_env", args, runner=real)[0]["changed"] is False


def test_a_failure_has_bosh_s_own_words_and_the_steps_can_be_read(run_module, site):
    args, does, tmp_path = site
    does("printf 'Deploying:\\n  CPI error: injected: no capacity\\n\\nExit code 1\\n' >&2; exit 1")
    with pytest.raises(Failed) as failed:
        run_module("create_env", args | {"progress_file": str(tmp_path / "steps")}, runner=real)
    result = failed.value.result
    assert (result["rc"], result["bosh_message"]) == (1, "Deploying:\n  CPI error: injected: no capacity")
    assert "Creating VM" in (tmp_path / "steps").read_text(encoding="utf-8")
    assert stat.S_IMODE(os.stat(tmp_path / "steps").st_mode) == 0o600


def test_it_does_not_wait_for_ever(run_module, site):
    args, does, _tmp_path = site
    does("exec sleep 30")
    with pytest.raises(Failed) as failed:
        run_module("create_env", args | {"timeout": 1}, runner=real)
    assert failed.value.result["cause"] == "timed_out"
    assert failed.value.result["command"][0] == args["cli"]


@pytest.mark.parametrize(
    ("deployed", "options", "changed"),
    [
        (TEXT, {}, False),
        (TEXT, {"recreate": True}, True),
        ("name: older\n", {}, True),
        (TEXT, {"state": "absent"}, True),
    ],
)
def test_check_mode_foretells_by_the_manifest_s_digest(run_module, site, said, deployed, options, changed):
    args, _does, tmp_path = site
    with_sha(tmp_path, deployed)
    result, _replay = run_module("create_env", args | options, {"interpolate": said(TEXT)}, check=True)
    assert result["changed"] is changed
    assert not (tmp_path / "told").exists()
    assert not (tmp_path / "state-copies").exists()


def test_check_mode_of_a_first_run(run_module, site):
    args, _does, tmp_path = site
    (tmp_path / "state.json").unlink()
    assert run_module("create_env", args, check=True)[0]["changed"] is True
    assert run_module("create_env", args | {"state": "absent"}, check=True)[0]["changed"] is False
    assert run_module("create_env", args | {"state": "stopped"}, check=True)[0]["changed"] is False


def test_a_damaged_state_file_stops_it_before_anything(run_module, site):
    args, _does, tmp_path = site
    (tmp_path / "state.json").write_text(json.dumps(GOOD | {"stemcells": [{}]}), encoding="utf-8")
    with pytest.raises(Failed, match=r"state\.json is damaged"):
        run_module("create_env", args, runner=real)
    assert not (tmp_path / "told").exists()


def test_what_runs_on_the_vm_is_stopped_and_the_vm_kept(run_module, site):
    args, _does, tmp_path = site
    args |= {"state": "stopped", "recreate": True}
    result, _replay = run_module("create_env", args, runner=real)
    assert (result["changed"], result["vm_cid"]) == (True, "vm-1")
    words = (tmp_path / "told").read_text(encoding="utf-8").splitlines()
    assert words[0] == f"-n --tty --no-color stop-env {args['manifest']} --state {args['state_file']}"


def test_nobody_stops_a_vm_that_is_not_there(run_module, site):
    args, _does, tmp_path = site
    (tmp_path / "state.json").write_text(json.dumps(GOOD | {"current_vm_cid": ""}), encoding="utf-8")
    assert run_module("create_env", args | {"state": "stopped"}, runner=real)[0]["changed"] is False
    assert not (tmp_path / "told").exists()


def test_delete_env_of_what_is_not_there(run_module, site):
    args, _does, tmp_path = site
    (tmp_path / "state.json").unlink()
    assert run_module("create_env", args | {"state": "absent"})[0]["changed"] is False
    assert not (tmp_path / "told").exists()


IN_USE = r"^another create-env works on \S+state\.json: wait for it \(process \d+\)$"


def test_a_second_one_on_the_same_state_file_is_refused(run_module, site):
    args, _does, tmp_path = site
    (tmp_path / "link.json").symlink_to(tmp_path / "state.json")
    holder = lock_state(str(tmp_path / "state.json"))
    try:
        for options in ({}, {"state": "absent"}, {"state_file": str(tmp_path / "link.json")}):
            with pytest.raises(Failed, match=IN_USE):
                run_module("create_env", args | options, runner=real)
        assert not (tmp_path / "told").exists()
        with pytest.raises(Failed, match=IN_USE):
            run_module("env_state", {"state_file": args["state_file"], "forget_vm_cid": "vm-1"})
        # What changes nothing need not wait.
        assert run_module("env_state", {"state_file": args["state_file"]})[0]["vm_cid"] == "vm-1"
        assert run_module("create_env", args | {"recreate": True}, check=True)[0]["changed"] is True
    finally:
        os.close(holder)
    run_module("create_env", args, runner=real)
    assert stat.S_IMODE(os.stat(tmp_path / "state.json.lock").st_mode) == 0o600


def test_the_command_holds_the_lock_where_its_module_died(run_module, site):
    args, does, tmp_path = site
    does(f"sleep 3 >/dev/null 2>&1 & echo $! > {tmp_path}/left")
    run_module("create_env", args, runner=real)
    # As it ended, the module's own descriptor is gone; in this test it is the same process.
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/dev/fd/{number}").endswith("state.json.lock"):
                os.close(number)
    with pytest.raises(StateInUse):
        lock_state(args["state_file"])
    os.kill(int((tmp_path / "left").read_text(encoding="utf-8")), signal.SIGKILL)


def interpolating(manifest, calls):
    """A CLI whose `interpolate` prints this manifest, and that notes what it is asked."""

    def run(command, environ_update, **_options):
        calls.append(command)
        answer = {"Tables": None, "Blocks": [json.dumps(manifest)], "Lines": ["Succeeded"]}
        return 0, "version 7.10.9-a-2026" if "--version" in command else json.dumps(answer), ""

    return run


def pools(url):
    return {"resource_pools": [{"name": "vms", "stemcell": {"url": url}}]}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("url", ["https://x.org/bosh-stemcell-1.2-debian.tgz", "https://x.org/it.tgz", ""])
def test_another_stemcell_than_the_recorded_one_is_not_deployed(run_module, site, url, check):
    """bosh-cli issue #731: none is current, so create-env would delete the image of each as unused."""
    args, _does, tmp_path = site
    before = json.dumps(GOOD | {"current_stemcell_id": ""})
    (tmp_path / "state.json").write_text(before, encoding="utf-8")
    calls = []
    with pytest.raises(Failed, match=r"state\.json: current_stemcell_id is empty .* stemcell-1"):
        run_module("create_env", args, runner=interpolating(pools(url), calls), check=check)
    assert not [call for call in calls if "create-env" in call]
    assert (tmp_path / "state.json").read_text(encoding="utf-8") == before


def test_a_create_env_that_failed_at_its_vm_is_tried_again(run_module, site):
    args, _does, tmp_path = site
    image = GOOD["stemcells"][0] | {"name": "bosh-debian-go_agent"}
    state = GOOD | {"current_stemcell_id": "", "current_vm_cid": "", "stemcells": [image]}
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    run = interpolating(pools("https://x.org/bosh-stemcell-1.1-debian.tgz"), [])
    assert run_module("create_env", args, runner=run, check=True)[0]["changed"] is True


@pytest.mark.parametrize("state", ["stopped", "absent"])
def test_a_state_without_a_current_stemcell_can_be_deleted(run_module, site, state):
    args, _does, tmp_path = site
    (tmp_path / "state.json").write_text(json.dumps(GOOD | {"current_stemcell_id": ""}), encoding="utf-8")
    assert run_module("create_env", args | {"state": state}, check=True)[0]["changed"] is True


def test_a_disk_that_is_not_current_is_not_deleted(run_module, site):
    args, _does, tmp_path = site
    (tmp_path / "state.json").write_text(json.dumps(GOOD | {"current_disk_id": ""}), encoding="utf-8")
    with pytest.raises(Failed, match=r"current_disk_id is empty .* \(disk-1\)"):
        run_module("create_env", args, runner=interpolating(pools("https://x.org/it.tgz"), []))
