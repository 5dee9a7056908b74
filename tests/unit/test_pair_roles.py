# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps 6 and 7 over a `bosh` of the tests: what is switched off, who is terminated, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import test_host_keys
from .role_runner import ADDRESSES
from .test_host_keys import NEW, OLD, run, site

__all__ = ["run", "site"]

PRIMARY, META = ADDRESSES["primary"], ADDRESSES["meta"]
#: Notes each command with its director; Primary's agent is running once cloud check recreated the VM.
BOSH = """site = json.load(open(SITE))
words = " ".join(sys.argv[1:])
if words == "--version":
    print("version 7.10.0-abc")
    sys.exit()
at = os.environ["BOSH_ENVIRONMENT"]
log = SITE + ".calls"
calls = open(log).read() if os.path.exists(log) else ""
with open(log, "a") as stream:
    stream.write(at + " " + words + "\\n")
def answer(content="", rows=(), blocks=None, rc=0, lines=()):
    table = {"Content": content, "Rows": list(rows)}
    print(json.dumps({"Tables": [table], "Blocks": blocks, "Lines": list(lines)}))
    sys.exit(rc)
recreated = "--resolution=recreate_vm" in calls
if at not in site["directors"] or at == site["primary"] and not recreated and not site["up"]:
    answer(rc=1, lines=["Fetching info: dial tcp: connect: no route to host", "Exit code 1"])
if "instances" in words:
    row = {"instance": "bosh/1", "disk_cids": "disk-1"}
    agent = site["agent"]
    if at == site["primary"] or recreated:
        agent = "running"
    gone = "delete-vm" in calls and not recreated
    row |= {"vm_cid": "" if gone else "vm-1", "process_state": "" if gone else agent}
    answer("instances", [row, *site["more"]])
if "--orphaned" in words:
    answer("disks")
if "curl" in words:
    answer(blocks=[json.dumps({"resurrection": True})])
if "tasks" in words:
    answer("tasks", site["tasks"] if "--recent" in words else [])
if "deployments" in words:
    answer("deployments", [{"name": site["directors"][at]["deploys"][0]}])
if "cloud-check" in words:
    known = {"0": "1", "type": "unresponsive_agent", "description": "it does not answer"}
    found = [] if recreated or site["agent"] == "running" else [known]
    answer("problems", found, rc=int("--report" in words and len(found)))
if " ssh" in words:
    answer("results", [{"instance": "bosh/1", "stdout": site["directors"][at]["says"], "exit_code": "0"}])
if words.endswith("env --json") or " env" in words:
    answer("", [{"name": "a", "uuid": "of-micro", "version": "c", "cpi": "d", "user": "admin"}])
answer()
"""


@pytest.fixture(autouse=True)
def another_bosh(monkeypatch: pytest.MonkeyPatch, site: dict[str, Any]) -> None:
    monkeypatch.setattr(test_host_keys, "BOSH", BOSH)
    site.update({"primary": PRIMARY, "agent": "unresponsive agent", "up": False, "tasks": [], "more": []})


def called(tmp_path: Path, *words: str) -> list[str]:
    """The commands that have one of the words, each with its director, in their order."""
    path = tmp_path / "site.json.calls"
    calls = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [call for call in calls if any(word in call for word in words)]


def snapshot(tmp_path: Path, last: int) -> None:
    (tmp_path / "work").mkdir()
    noted = {"uuid": "of-micro", "last_task": {"id": last}}
    (tmp_path / "work" / "micro-snapshot.json").write_text(json.dumps(noted), encoding="utf-8")


SOON = ("-e", "recreate_primary_timeout=1")
NOBODY = ("-e", json.dumps({"_start_meta_there": []}))


def test_meta_does_not_resurrect_before_anything_else(run, site, tmp_path):
    rc, told = run(site, "start_meta", "start", *NOBODY)
    assert rc == 0, told
    [off] = called(tmp_path, "update-resurrection")
    assert off.startswith(META) and "off" in off


def test_check_mode_foretells_it(run, site, tmp_path):
    rc, told = run(site, "start_meta", "start", "--check", *NOBODY)
    assert rc == 0, told
    assert called(tmp_path, "curl /resurrection") and not called(tmp_path, "update-resurrection")
    assert "changed=1" in told
    # It may be still to come.
    del site["directors"][META]
    rc, told = run(site, "start_meta", "start", "--check", *NOBODY)
    assert rc == 0 and "changed=0" in told, told


def test_primary_is_recreated_and_does_not_act_on_meta(run, site, tmp_path):
    site["directors"][META]["says"] = NEW
    # Another group of the same deployment is not the director.
    site["more"] = [
        {"instance": "other/1", "vm_cid": "vm-2", "disk_cids": "", "process_state": "unresponsive agent"},
    ]
    _rc, told = run(site, "recreate_primary", "main", *SOON)
    calls = called(tmp_path, "delete-vm", "--resolution", "update-resurrection", " ssh ", "instances")
    deeds = [call for call in calls if "instances" not in call]
    assert [call.split()[0] for call in deeds[:3]] == [META, META, PRIMARY], (deeds, told)
    assert "delete-vm vm-1" in deeds[0] and "recreate_vm" in deeds[1] and "off" in deeds[2]
    assert not called(tmp_path, "delete-vm vm-2")


def test_the_key_is_that_of_the_directors_group(run, site, tmp_path):
    site["directors"][META]["says"] = NEW
    rc, told = run(site, "recreate_primary", "main", *SOON)
    assert rc == 0, told
    [asked] = called(tmp_path, " ssh ")
    assert " ssh bosh " in asked
    # Its agent is asked for only after its own resurrection is off.
    calls = called(tmp_path, "update-resurrection", "instances")
    assert calls[calls.index(called(tmp_path, "update-resurrection")[0]) + 1].startswith(META)
    assert not any("--resolution" in call for call in calls)


@pytest.mark.parametrize("agent", ["running", "failing", "starting"])
def test_one_on_metas_bus_is_not_terminated(run, site, tmp_path, agent):
    site["agent"], site["up"] = agent, True
    rc, told = run(site, "recreate_primary", "main", *SOON)
    assert not called(tmp_path, "delete-vm"), told
    assert (rc == 0) == (agent == "running"), told
    if rc:
        assert f"bosh-primary was adopted by Meta, and its agent is `{agent}`" in told


@pytest.mark.parametrize(("task", "refused"), [(43, False), (44, True)])
def test_one_that_was_adopted_is_not_terminated(run, site, tmp_path, task, refused):
    snapshot(tmp_path, 43)
    row = {"id": str(task), "state": "done", "user": "admin", "deployment": "bosh-primary", "result": ""}
    times = dict.fromkeys(("started_at", "finished_at"), "Sat Nov 21 01:11:58 UTC 2026")
    site["directors"][META]["says"] = NEW
    site["tasks"] = [row | times | {"description": "create deployment"}]
    rc, told = run(site, "recreate_primary", "main", *SOON)
    assert (rc, bool(called(tmp_path, "delete-vm"))) == ((2, False) if refused else (0, True)), told
    assert ("wait, if Meta is resurrecting it" in told) == refused


def test_between_the_two_deploys_both_agents_are_waited_for():
    path = Path(__file__).parents[2] / "playbooks" / "tasks" / "watch_each_other.yml"
    tasks = yaml.safe_load(path.read_text(encoding="utf-8"))
    off, one, wait, other = tasks[-4:]
    assert off["bosh.ha.resurrection"] == {"director": "{{ item }}", "enabled": False} and sorted(off["loop"]) == [
        "meta",
        "primary",
    ]
    assert [task["vars"]["enable_resurrector_name"] for task in (one, other)] == ["primary", "meta"]
    assert wait["loop"] == [{"of": "primary", "by": "meta"}, {"of": "meta", "by": "primary"}]
    assert wait["bosh.ha.vm_info"]["wait_until_running"] >= 300
    assert OLD != NEW
