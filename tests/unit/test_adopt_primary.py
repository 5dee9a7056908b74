# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meta deployed with Micro's CAs, and Primary adopted as it is, over a `bosh` and modules of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .plugins.test_shared_variables import SHARED, pair
from .role_runner import ADDRESSES, Roles, Run, write_program

MICRO, PRIMARY, META = ADDRESSES.values()
#: Notes each command with its director; what it says of agents is what the modules of the tests left in the site.
BOSH = """site = json.load(open(SITE))
words = " ".join(sys.argv[1:])
if words == "--version":
    print("version 7.10.0-abc")
    sys.exit()
at = os.environ["BOSH_ENVIRONMENT"]
with open(SITE + ".calls", "a") as stream:
    stream.write(at + " " + words + "\\n")
def answer(content="", rows=(), blocks=None, rc=0, lines=()):
    print(json.dumps({"Tables": [{"Content": content, "Rows": list(rows)}], "Blocks": blocks, "Lines": list(lines)}))
    sys.exit(rc)
if "instances" in words:
    state = "running"
    if "bosh-primary" in words:
        bus = open(SITE + ".bus").read() if os.path.exists(SITE + ".bus") else MICRO
        state = site["state"] if at in bus else "unresponsive agent"
        if at == MICRO and at in bus:
            state = "running"
    cid = "" if site.get("lost") else "vm-1"
    answer("instances", [{"instance": "bosh/1", "disk_cids": "disk-1", "vm_cid": cid, "process_state": state}])
if "curl" in words:
    answer(blocks=[json.dumps({"resurrection": True})])
if "deployments" in words:
    answer("deployments", [{"name": name} for name in site["deploys"]])
if "cck" in words or "cloud-check" in words:
    found = [{"0": "1", "type": "mount_info_mismatch", "description": "the disk is away"}] if site["problem"] else []
    answer("problems", found, rc=len(found))
if " ssh" in words:
    answer("results", [{"instance": "bosh/1", "stdout": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOld", "exit_code": "0"}])
if " deploy " in words:
    store = words.partition("--vars-store")[2].strip(" =").split()[0]
    text = open(store).read() if os.path.exists(store) else ""
    names = sorted(line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha())
    with open(SITE + ".deploys", "a") as stream:
        stream.write(json.dumps(["--dry-run" in words, names]) + "\\n")
    answer(lines=["+ name: <redacted>\\n"] if site["differs"] else [])
answer("", [{"name": "a", "uuid": "b", "version": "c", "cpi": "d", "user": "admin"}])
"""
HEAD = """#!/usr/bin/python
# Stands for the module of this name.
import json, os
from ansible.module_utils.basic import AnsibleModule
"""
AGENT_BUS = (
    HEAD
    + """
module = AnsibleModule({"urls": {"type": "list"}, "blobstore_hosts": {"type": "dict"}, "timeout": {"type": "int"},
                        "verify": {"type": "bool", "default": True}}, supports_check_mode=True)
path = os.environ["SITE"]
site = json.load(open(path))
urls, bus = module.params["urls"], path + ".bus"
with open(path + ".agent", "a") as stream:
    asked = [urls, module.params["blobstore_hosts"], module.params["verify"], module.check_mode]
    stream.write(json.dumps(asked) + "\\n")
if site["agent"].get("msg"):
    module.fail_json(msg=site["agent"]["msg"])
if urls and not module.check_mode:
    if module.params["verify"] and site.get("refuses"):
        module.fail_json(msg="after 1 s the agent has no connection to it that stays")
    open(bus, "w").write(urls[0])
module.exit_json(changed=bool(urls), **site["agent"])
"""
)
MONIT = (
    HEAD
    + """
module = AnsibleModule({"state": {}, "timeout": {"type": "int"}, "wait": {}})
open(os.environ["SITE"] + ".monit", "w").write(module.params["state"])
module.exit_json(changed=False)
"""
)
MODULES = {"agent_bus": AGENT_BUS, "monit": MONIT}
SOON = {"adopt_primary_timeout": 1}


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """Meta runs on Micro's data and was deployed with Micro's CAs; Primary's agent is still on Micro's bus."""
    from ansible_collections.bosh.ha.plugins.module_utils.certificates import fingerprints

    micro: dict[str, Any] = {"nats_ca": pair("nats", "nats"), "blobstore_ca": pair("blobstore", "blobstore")}
    micro |= {name: f"hidden {name}" for name in SHARED[2:]}
    (tmp_path / "micro.yml").write_text(yaml.safe_dump(micro), encoding="utf-8")
    (tmp_path / "meta.yml").write_text(yaml.safe_dump(micro | {"own": "hidden"}), encoding="utf-8")
    agent = {
        "version": "2.874.0-abc",
        "tmpfs": False,
        "settings_path": "/var/vcap/bosh/update_settings.json",
        "urls": [f"nats://{MICRO}:4222"],
        "nats_ca": fingerprints(micro["nats_ca"]["certificate"]),
        "blobstore_ca": fingerprints(micro["blobstore_ca"]["certificate"]),
    }
    return {"agent": agent, "state": "running", "problem": False, "deploys": ["bosh-primary"], "differs": True}


@pytest.fixture
def run(tmp_path: Path, roles: Roles) -> Run:
    """Runs one file of a role's tasks on the site; with `stores` only those have a vars store."""

    def play(
        site: dict[str, Any], role: str, tasks: str, *words: str, stores=("micro", "meta"), primary=None, **more: Any
    ):
        path = tmp_path / "site.json"
        path.write_text(json.dumps(site), encoding="utf-8")
        write_program(tmp_path / "bosh", BOSH, SITE=str(path), MICRO=MICRO)
        (tmp_path / "manifest.yml").write_text("name: bosh-meta\n", encoding="utf-8")
        (tmp_path / "known_hosts").write_text("", encoding="utf-8")
        directors = {
            name: {
                "address": address,
                "client_secret": "not-for-eyes",
                "ca_cert": "-----BEGIN CERTIFICATE-----",
                "manifest": f"{tmp_path}/manifest.yml",
            }
            | ({"vars_store": f"{tmp_path}/{name}.yml"} if name in stores else {})
            for name, address in ADDRESSES.items()
        }
        variables = {
            "bosh_ha_directors": directors,
            "bosh_ha_known_hosts": str(tmp_path / "known_hosts"),
            "bosh_ha_cli_options": {"cli": str(tmp_path / "bosh"), "all_proxy": "socks5://127.0.0.1:1"},
            "deploy_director_name": "meta",
            "deploy_director_by": "primary",
            "ansible_connection": "local",
            "ansible_become": False,
        }
        hosts = {name: {"ansible_host": address} for name, address in ADDRESSES.items()}
        hosts["primary"] |= primary or {}
        variables |= SOON | more
        return roles.play(
            tmp_path, role, tasks, "-v", "--diff", *words, variables=variables, hosts=hosts, environ={"SITE": str(path)}
        )

    return play


def noted(tmp_path: Path, what: str) -> list[Any]:
    path = tmp_path / f"site.json.{what}"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def calls(tmp_path: Path, *words: str) -> list[str]:
    path = tmp_path / "site.json.calls"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in lines if any(word in line for word in words)]


TO_META = [[f"nats://{META}:4222"], {MICRO: META}, True, False]
BACK = [[f"nats://{MICRO}:4222"], {META: MICRO}, False, False]
ASKED = [None, None, True, False]


def facts(told: str) -> tuple[bool, bool]:
    """adopt_primary_done and adopt_primary_possible, as they were told last."""
    done = told.rfind('"adopt_primary_done": true') > told.rfind('"adopt_primary_done": false')
    possible = told.rfind('"adopt_primary_possible": true') > told.rfind('"adopt_primary_possible": false')
    return done, possible


def test_primary_is_adopted_as_it_is(run, site, tmp_path):
    rc, told = run(site, "adopt_primary", "main")
    assert rc == 0 and facts(told) == (True, True), told
    assert noted(tmp_path, "agent") == [ASKED, TO_META]
    assert (tmp_path / "site.json.monit").read_text(encoding="utf-8") == "started"
    [off] = calls(tmp_path, "update-resurrection")
    assert off.startswith(PRIMARY) and "off" in off
    [check] = calls(tmp_path, "cloud-check")
    assert check.startswith(META) and "--report" in check
    assert not calls(tmp_path, "delete-vm", "--resolution")
    assert "hidden" not in told
    # Once more.
    rc, told = run(site, "adopt_primary", "main")
    assert rc == 0 and facts(told) == (True, True) and "changed=0" in told, told
    assert len(noted(tmp_path, "agent")) == 2


def test_check_mode_foretells_it(run, site, tmp_path):
    rc, told = run(site, "adopt_primary", "main", "--check")
    assert rc == 0 and facts(told) == (True, True), told
    assert [call[3] for call in noted(tmp_path, "agent")] == [True, True]
    assert not calls(tmp_path, "update-resurrection", "cloud-check")
    # Meta may be still to come.
    site["deploys"] = []
    rc, told = run(site, "adopt_primary", "main", "--check")
    assert rc == 0 and facts(told) == (False, True), told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "2.800.0"}, "Primary's agent is 2.800.0, and 2.848 is needed"),
        ({"tmpfs": True}, "are in memory"),
        ({"nats_ca": ["else"]}, "trusts another NATS CA"),
        ({"blobstore_ca": ["else"]}, "trusts another blobstore CA"),
        ({"msg": "there is no agent"}, "Primary's agent cannot be asked: there is no agent"),
    ],
)
def test_an_agent_that_cannot_be_taken_over_is_left(run, site, tmp_path, change, said):
    site["agent"] |= change
    rc, told = run(site, "adopt_primary", "main")
    assert rc == 0 and facts(told) == (False, False), told
    assert said in told and "Primary is not adopted as it is" in told
    assert noted(tmp_path, "agent") == [ASKED]


CUT = """
import subprocess
if "echo" not in sys.argv[-1] and os.path.exists(CUT_WHEN):
    print("ssh: connect to host 10.10.0.4 port 22: No route to host", file=sys.stderr)
    sys.exit(255)
sys.exit(subprocess.call(["/bin/sh", "-c", sys.argv[-1]]))
"""


@pytest.mark.parametrize("when", ["site.json", "site.json.agent"])
def test_a_host_that_goes_away_does_not_end_the_play(run, site, tmp_path, when):
    """At once, or once its agent was asked: the plays have any_errors_fatal, which minds no ignore_unreachable."""
    write_program(tmp_path / "ssh", CUT, CUT_WHEN=str(tmp_path / when))
    reached = {"ansible_connection": "ssh", "ansible_ssh_executable": str(tmp_path / "ssh"), "ansible_user": "root"}
    rc, told = run(site, "adopt_primary", "main", primary=reached)
    assert rc == 0 and facts(told) == (False, False), told
    assert "Primary is not adopted as it is" in told and "No route to host" in told, told


def test_a_meta_that_was_not_deployed_to_adopt(run, site, tmp_path):
    (tmp_path / "meta.yml").write_text("own: hidden\n", encoding="utf-8")
    rc, told = run(site, "adopt_primary", "main")
    assert rc == 0 and facts(told) == (False, False), told
    assert "Meta was not deployed to adopt Primary" in told and noted(tmp_path, "agent") == [ASKED]
    # It is only looked at.
    assert (tmp_path / "meta.yml").read_text(encoding="utf-8") == "own: hidden\n"
    rc, told = run(site, "adopt_primary", "main", stores=("meta",))
    assert rc == 0 and "must both have a vars_store" in told and facts(told) == (False, False), told


def test_a_vm_that_is_gone_is_not_adopted(run, site, tmp_path):
    rc, told = run(site | {"lost": True}, "adopt_primary", "main")
    assert rc == 0 and "Meta has no VM of bosh-primary" in told and facts(told) == (False, False), told


def test_a_meta_without_primary_is_refused(run, site, tmp_path):
    rc, told = run(site | {"deploys": []}, "adopt_primary", "main")
    assert rc == 2 and "it does not run on Micro's data yet" in told and not noted(tmp_path, "agent"), told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"refuses": True}, "the agent has no connection to it that stays"),
        ({"state": "failing"}, "Wait until Primary's agent is on Meta's bus"),
        ({"problem": True}, "Meta's cloud check finds the disk is away"),
    ],
)
def test_one_that_fails_is_pointed_back_at_micro(run, site, tmp_path, change, said):
    rc, told = run(site | change, "adopt_primary", "main")
    assert rc == 0 and facts(told) == (False, False), told
    assert said in told and "Primary is not adopted as it is" in told
    assert noted(tmp_path, "agent") == [ASKED, TO_META, BACK]
    # The old URL is not known where it had credentials.
    site["agent"]["urls"] = ["nats://<redacted>@10.0.0.1:4222"]
    run(site | change, "adopt_primary", "main")
    assert noted(tmp_path, "agent")[-1] == BACK


def test_what_another_run_began_is_ended(run, site, tmp_path):
    (tmp_path / "site.json.bus").write_text(f"nats://{META}:4222", encoding="utf-8")
    rc, told = run(site | {"state": "failing"}, "adopt_primary", "main")
    assert rc == 0 and facts(told) == (False, False), told
    assert noted(tmp_path, "agent") == [ASKED, TO_META]


def test_the_way_back(run, site, tmp_path):
    (tmp_path / "site.json.bus").write_text(f"nats://{META}:4222", encoding="utf-8")
    rc, told = run(site, "adopt_primary", "back")
    assert rc == 0, told
    assert noted(tmp_path, "agent") == [[*BACK[:2], True, False]]
    assert [call.split()[0] for call in calls(tmp_path, "instances")] == [MICRO]


# Meta deployed with Micro's CAs

FROM_MICRO = {"deploy_director_shared_from": "micro"}


def test_the_dry_run_sees_what_is_shared(run, site, tmp_path):
    (tmp_path / "meta.yml").write_text("own: hidden\n", encoding="utf-8")
    _rc, told = run(site, "deploy_director", "main", **FROM_MICRO)
    assert noted(tmp_path, "deploys")[:2] == [[True, sorted(["own", *SHARED])], [False, sorted(["own", *SHARED])]], told
    assert "hidden" not in told


def test_a_vars_store_that_is_still_to_come_is_begun_right_before_the_deploy(run, site, tmp_path):
    (tmp_path / "meta.yml").unlink()
    rc, told = run(site, "deploy_director", "main", "--check", **FROM_MICRO)
    assert rc == 0 and not (tmp_path / "meta.yml").exists() and "changed=2" in told, told
    rc, told = run(site, "deploy_director", "main", **FROM_MICRO)
    assert noted(tmp_path, "deploys")[1:3] == [[True, []], [False, sorted(SHARED)]], told


def test_check_mode_shares_nothing_and_minds_a_micro_that_is_still_to_come(run, site, tmp_path):
    (tmp_path / "meta.yml").write_text("own: hidden\n", encoding="utf-8")
    rc, told = run(site, "deploy_director", "main", "--check", **FROM_MICRO)
    assert rc == 0 and (tmp_path / "meta.yml").read_text(encoding="utf-8") == "own: hidden\n", told
    (tmp_path / "micro.yml").unlink()
    rc, told = run(site, "deploy_director", "main", "--check", **FROM_MICRO)
    assert rc == 0, told
    rc, told = run(site, "deploy_director", "main", **FROM_MICRO)
    assert rc == 2 and "micro.yml does not exist" in told and len(noted(tmp_path, "deploys")) == 2, told


@pytest.mark.parametrize(("stores", "lacks"), [(("meta",), "micro"), (("micro",), "meta")])
def test_both_need_a_vars_store(run, site, tmp_path, stores, lacks):
    rc, told = run(site, "deploy_director", "main", stores=stores, **FROM_MICRO)
    said = f"bosh_ha_directors.{lacks} has no vars_store: meta cannot share variables of micro"
    assert rc == 2 and said in told, told
    assert not noted(tmp_path, "deploys")


def test_nothing_is_shared_where_it_is_not_asked_for(run, site, tmp_path):
    (tmp_path / "meta.yml").write_text("own: hidden\n", encoding="utf-8")
    run(site, "deploy_director", "main", stores=("meta",))
    assert noted(tmp_path, "deploys")[0] == [True, ["own"]]
