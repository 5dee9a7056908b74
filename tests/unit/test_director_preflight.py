# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""director_preflight over hosts and a `bosh` of the tests: nothing stops at the first, and no secret is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .plugins.test_preflight import SECRET, host, instance, manifest, said
from .role_runner import ADDRESSES, Roles, Run, write_program

#: A host that is away has no Python, and one without sudo runs no module but ping.
HOST = """site = json.load(open(SITE))
if NAME in site["away"]:
    sys.exit("No route to host")
if NAME in site["no_sudo"] and b"host_traits" in program:
    sys.exit("sudo: a password is required")
os.environ.update(HOST=NAME, SITE=SITE)
"""
TRAITS = """
import json, os, time
from ansible.module_utils.basic import AnsibleModule
DOCUMENTATION = "{}"
def main():
    module = AnsibleModule(argument_spec=dict(store={}, rrsync={}), supports_check_mode=True)
    site = json.load(open(os.environ["SITE"]))
    module.exit_json(changed=False, **(site["hosts"][os.environ["HOST"]] | {"clock": time.time()}))
main()
"""
BOSH = """site = json.load(open(SITE))
words = sys.argv[1:]
if words == ["--version"]:
    print("version 7.10.0-abc")
    sys.exit()
def answer(content="", rows=(), lines=("Succeeded",), rc=0, blocks=None):
    print(json.dumps({"Tables": [{"Content": content, "Rows": list(rows)}], "Blocks": blocks, "Lines": list(lines)}))
    sys.exit(rc)
with open(SITE + ".log", "a") as stream:
    stream.write(" ".join(words) + "\\n")
if "interpolate" in words:
    path = words[words.index("interpolate") + 1]
    if not os.path.exists(path):
        answer(lines=["Reading file " + path + " SECRET", "Exit code 1"], rc=1)
    answer(blocks=[open(path).read()])
name = {address: name for name, address in ADDRESSES.items()}[os.environ["BOSH_ENVIRONMENT"]]
director = site["directors"].get(name)
verbs = "env deployments configs config vms tasks locks curl instances disks orphaned-vms deploy task".split()
verb = next(word for word in words if word in verbs)
if director is None:
    answer(lines=["Fetching info: dial tcp: connect: no route to host", "Exit code 1"], rc=1)
if verb == "env":
    answer(rows=[{"name": name, "uuid": "b", "user": "admin"} | director["director"]])
if verb == "curl":
    answer(blocks=[json.dumps({"manifest": json.dumps(director["manifest"])})])
if verb == "deployments":
    answer(verb, [{"name": row["name"], "release_s": "", "stemcell_s": ""} for row in director["deployments"]])
if verb == "vms":
    answer(verb, [row | {"ips": "".join(row["ips"]), "process_state": "running"} for row in director["vms"]])
if verb == "instances":
    rows = [row | {key: "".join(row[key]) for key in ("ips", "disk_cids")} for row in director["instances"]]
    answer(verb, [row | {"process_state": "running"} for row in rows])
if verb == "deploy" and site.get("refuses") == name:
    answer(lines=["Task 7 error", "Expected task '7' to succeed but state is 'error'", "Exit code 1"], rc=1)
if verb == "deploy":
    store = words[words.index("--vars-store") + 1] if "--vars-store" in words else ""
    ops = [json.load(open(words[at + 1])) for at, word in enumerate(words) if word == "-o"]
    with open(SITE + ".deploys", "a") as stream:
        stream.write(json.dumps({"at": name, "dry": "--dry-run" in words, "ops": ops, "store": store}) + "\\n")
    if store:
        open(store, "a").write("made: by the CLI\\n")
    answer(lines=["+ a", "Succeeded"])
if verb == "task":
    event = {"time": 1, "error": {"code": 100, "message": "Can't find property 'director.address'"}}
    answer(blocks=[json.dumps(event) + "\\n"], lines=["Task 7 error", "Exit code 1"], rc=1)
answer(verb.replace("-", "_"), [])
"""
MODULES = {"host_traits": TRAITS}


@pytest.fixture
def site() -> dict[str, Any]:
    """Three that go together, but for one availability zone."""
    directors = {"micro": said("primary"), "primary": said("meta"), "meta": said()}
    for by, of in (("micro", "primary"), ("primary", "meta")):
        directors[by] |= {"manifest": manifest(of), "instances": instance(of)["instances"]}
    return {"away": [], "no_sudo": [], "hosts": {name: host() for name in ADDRESSES}, "directors": directors}


@pytest.fixture
def run(tmp_path: Path, roles: Roles) -> Run:
    """Plays the role on the site."""
    made, programs = tmp_path / "site.json", tmp_path / "bin"
    write_program(programs / "bosh", BOSH.replace("SECRET", SECRET), SITE=str(made), ADDRESSES=ADDRESSES)
    for name in ADDRESSES:
        roles.write_python(programs / f"{name}-python", HOST, NAME=name, SITE=str(made))
        (tmp_path / f"{name}.yml").write_text(json.dumps(manifest(name)), encoding="utf-8")
    zones = [{"name": "z1", "cloud_properties": {"zone": "a"}}, {"name": "z2", "cloud_properties": {"zone": "a"}}]
    networks = [{"name": "default", "subnets": [{"static": ["10.10.0.100"]}]}]
    (tmp_path / "cloud.yml").write_text(json.dumps({"azs": zones, "networks": networks}), encoding="utf-8")

    def play(site: dict[str, Any], *words: str, **variables: Any) -> tuple[int, str]:
        made.write_text(json.dumps(site), encoding="utf-8")
        common = {
            "client_secret": "else",
            "ca_cert": "-----BEGIN CERTIFICATE-----",
            "cloud_config": f"{tmp_path}/cloud.yml",
        }
        given = {
            "bosh_ha_directors": {
                name: common | {"address": address, "manifest": f"{tmp_path}/{name}.yml"}
                for name, address in ADDRESSES.items()
            },
            # Behind a proxy nobody knocks at the addresses, where there is nobody here.
            "bosh_ha_cli_options": {"cli": f"{programs}/bosh", "all_proxy": "socks5://127.0.0.1:1"},
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_pipelining": True,
        }
        hosts = {name: {"ansible_python_interpreter": str(programs / f"{name}-python")} for name in ADDRESSES}
        words = ("-v", "--diff", *words)
        environ = {"HOME": str(tmp_path)}
        rc, told = roles.play(
            tmp_path, "director_preflight", "main", *words, variables=given | variables, hosts=hosts, environ=environ
        )
        assert SECRET not in told
        assert "changed=0" in told
        return rc, told

    return play


def asked(tmp_path: Path) -> str:
    path = tmp_path / "site.json.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.parametrize("words", [(), ("--check",)])
def test_three_that_go_together(run, site, words):
    rc, told = run(site, *words)
    assert rc == 0, told
    assert "1 warning, 50 ok" in told, told
    assert "Primary and Meta apart" in told


def test_a_warning_fails_only_where_asked(run, site):
    rc, told = run(site, director_preflight_strict="true")
    assert rc == 2
    assert "the preflight found 1 warning (the table" in told
    rc, told = run(site, director_preflight_same_az="error")
    assert rc == 2
    assert "the preflight found 1 error (the table above says what to do): Primary and Meta apart" in told


def test_nothing_stops_at_the_first(run, site, tmp_path):
    site["away"], site["no_sudo"] = ["primary"], ["meta"]
    site["directors"] |= {"micro": None}
    site["directors"]["meta"]["director"]["version"] = "282.0.0"
    (tmp_path / "primary.yml").unlink()
    rc, told = run(site, director_preflight_phase="deployed", director_preflight_timeout=1)
    assert rc == 2
    wrong = told.rpartition("what to do): ")[2]
    assert wrong.startswith("BOSH: 282.0.0, runs; manifest, Primary: "), wrong
    assert "SSH, Primary: does not answer; sudo: not asked: " in wrong
    assert "a password is required" in told
    assert "no route to host" in told


def test_offline_asks_nobody(run, site, tmp_path):
    site["away"] = list(ADDRESSES)
    site["directors"] = {}
    rc, told = run(site, director_preflight_offline="true")
    assert rc == 0, told
    assert {line.split()[-4:][0] for line in asked(tmp_path).splitlines()} and " env" not in asked(tmp_path)
    assert "SSH" not in told.partition("Show what was found")[2]
    before = asked(tmp_path)
    rc, told = run(site, director_preflight_phase="nothing")
    assert rc == 0, told
    assert asked(tmp_path) == before * 2


def test_after_the_freeze_nothing_is_compared(run, site, tmp_path):
    rc, told = run(site, director_preflight_phase="synced")
    assert rc == 0, told
    assert "The phase is synced: Meta has Micro's data" in told
    assert asked(tmp_path) == ""


def test_the_warning_of_an_adopt_is_none_of_a_recreate(run, site):
    site["hosts"]["primary"]["settings_on_tmpfs"] = True
    assert "adopt" not in run(site)[1].partition("Show what was found")[2]
    rc, told = run(site, bosh_ha_handover="adopt")
    assert rc == 0, told
    assert "2 warnings" in told
    assert os.path.sep not in told.partition("adopt: agent's")[2][:40]


def test_the_deploys_of_step_7_are_rehearsed_where_the_data_are(run, site, tmp_path):
    rc, told = run(site, "--check", director_preflight_phase="deployed", enable_resurrector_minimum_down_jobs=7)
    assert rc == 0, told
    deploys = [json.loads(line) for line in (tmp_path / "site.json.deploys").read_text(encoding="utf-8").splitlines()]
    assert [(deploy["at"], deploy["dry"]) for deploy in deploys] == [("micro", True), ("primary", True)]
    for deploy in deploys:
        values = {
            row["path"].rstrip("?").rpartition("/")[2]: row["value"] for row in deploy["ops"][-1] if "value" in row
        }
        assert (values["resurrector_enabled"], values["minimum_down_jobs"]) == (True, 7)


def test_a_deploy_that_is_refused_ends_the_preflight(run, site, tmp_path):
    rc, told = run(site | {"refuses": "micro"}, director_preflight_phase="deployed")
    assert rc == 2
    assert told.rpartition("what to do): ")[2].startswith("step 7's deploy of bosh-primary"), told[-300:]
    assert "Can't find property 'director.address'" in told


def test_thresholds_that_resurrect_nothing_are_refused_before_the_freeze(run, site):
    rc, told = run(site, director_preflight_phase="deployed", enable_resurrector_minimum_down_jobs=1)
    assert rc == 2
    assert '"refused_by": "manifest"' in told and "minimum_down_jobs is 1, but needs 2 or more" in told, told
