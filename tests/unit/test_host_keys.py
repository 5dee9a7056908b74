# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles over an `ssh` and a `bosh` of the tests: a host key that changed, and a Micro that is there already."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.known_hosts import described, fingerprint

from .role_runner import ADDRESSES, Roles, Run, write_program

OLD, NEW, STRANGE = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{name}" for name in ("Old", "New", "Odd"))
#: Shows the host's key, notes it where that is asked for, and runs what it is told where the key is pinned. A slow one
#: is still there for a moment, once, after it closed its input, as any may be on a busy machine.
SSH = """import time
site = json.load(open(SITE))
words = sys.argv[1:]
address = next(word for word in words if word in site["shows"])
options = {}
for word in words:
    name, _equals, value = word.partition("=")
    options.setdefault(name, value)
with open(SITE + ".ssh", "a") as stream:
    stream.write(" ".join(words) + "\\n")
key = site["shows"][address]
if options["StrictHostKeyChecking"] == "accept-new":
    with open(options["UserKnownHostsFile"], "a") as stream:
        stream.write(address + " " + key + "\\n")
    sys.exit("Permission denied (publickey).")
if address + " " + key not in open(options["UserKnownHostsFile"]).read().splitlines():
    sys.stderr.write("Host key verification failed.\\n")
    if site.get("slow") and "-O" not in words and "-slow" not in open(SITE + ".ssh").read():
        open(SITE + ".ssh", "a").write("-slow\\n")
        os.close(0)
        time.sleep(0.5)
    sys.exit(255)
if address in site.get("refuses", ()):
    sys.stderr.write("Permission denied (publickey).\\n")
    sys.exit(255)
os.execv("/bin/sh", ["sh", "-c", words[-1]])
"""
BOSH = """site = json.load(open(SITE))
if sys.argv[1:] == ["--version"]:
    print("version 7.10.0-abc")
    sys.exit()
director = site["directors"].get(os.environ["BOSH_ENVIRONMENT"])
def answer(content, rows, lines=(), rc=0):
    print(json.dumps({"Tables": [{"Content": content, "Rows": rows}], "Blocks": None, "Lines": list(lines)}))
    sys.exit(rc)
if site.get("status"):
    answer("", [], ["Director responded with non-successful status code '" + site["status"] + "' response 'x'"], 1)
if director is None:
    answer("", [], ["Fetching info: dial tcp: connect: no route to host", "Exit code 1"], 1)
if "BOSH_CA_CERT" not in os.environ:
    answer("", [], ["tls: failed to verify certificate: x509: certificate signed by unknown authority"], 1)
if "deployments" in sys.argv:
    answer("deployments", [{"name": name, "release_s": "", "stemcell_s": ""} for name in director["deploys"]])
if "environments" in sys.argv:
    answer("environments", [])
if "tasks" in sys.argv or "locks" in sys.argv:
    answer(sys.argv[-1] if sys.argv[-1] == "locks" else "tasks", [])
if "instances" in sys.argv:
    row = dict.fromkeys(("process_state", "az", "ips", "state", "agent_id", "disk_cids", "ignore"), "")
    row |= {"instance": "bosh/1", "vm_cid": director.get("vm", "vm-1")}
    answer("instances", [row | director.get("row", {})])
if "ssh" in sys.argv:
    rows = [{"instance": "bosh/1", "stdout": director["says"] + " root@builder\\r\\n", "exit_code": "0"}]
    answer("results", rows if director["says"] else [])
answer("", [{"name": "a", "uuid": "b", "version": "c", "cpi": "d", "user": "admin"}])
"""


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """Micro is gone, the pair is there, and nothing has changed."""
    return {
        "shows": dict.fromkeys(ADDRESSES.values(), OLD),
        "directors": {
            ADDRESSES["primary"]: {"deploys": ["bosh-meta"], "says": OLD},
            ADDRESSES["meta"]: {"deploys": ["bosh-primary"], "says": OLD},
        },
        "pins": {address: OLD for name, address in ADDRESSES.items() if name != "micro"},
    }


@pytest.fixture
def run(tmp_path: Path, roles: Roles) -> Run:
    """Runs one file of a role's tasks on the site."""

    def play(site: dict[str, Any], role: str, tasks: str, *words: str, **more: Any) -> tuple[int, str]:
        path, pins = tmp_path / "site.json", tmp_path / "known_hosts"
        path.write_text(json.dumps(site), encoding="utf-8")
        pins.write_text("".join(f"{address} {key}\n" for address, key in site["pins"].items()), encoding="utf-8")
        for name, text in {"ssh": SSH, "bosh": BOSH}.items():
            write_program(tmp_path / name, text, SITE=str(path))
        directors = {
            name: {"address": address, "client_secret": "not-for-eyes", "ca_cert": "-----BEGIN CERTIFICATE-----"}
            for name, address in ADDRESSES.items()
        }
        directors["micro"]["state_file"] = str(tmp_path / "micro-state.json")
        answers = {
            name: {
                "logged_in": address in site["directors"],
                "deployments": site["directors"].get(address, {}).get("deploys", []),
            }
            for name, address in ADDRESSES.items()
        }
        answering = [name for name, answer in answers.items() if answer["logged_in"]]
        found = {"answers": answers, "answering": answering, "micro_is_there": "micro" in answering}
        variables = {
            "bosh_ha_directors": directors,
            "bosh_ha_known_hosts": str(pins),
            "bosh_ha_work_dir": str(tmp_path / "work"),
            # Behind a proxy nobody knocks at the addresses, where there is nobody here.
            "bosh_ha_cli_options": {"cli": str(tmp_path / "bosh"), "all_proxy": "socks5://127.0.0.1:1"} | more,
            "validate_inputs_timeout": 1,
            "_validate_inputs_found": found,
            "deploy_director_name": "meta",
            "deploy_director_by": "primary",
            "_bootstrap_micro_env": {"changed": True, "vm_cid": "vm-new"},
            "_bootstrap_micro_cid_before": "",
            "ansible_ssh_executable": str(tmp_path / "ssh"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={pins} -o StrictHostKeyChecking=yes -o ProxyJump=jump",
            "ansible_host_key_checking": True,
            "ansible_user": "jumpbox",
        }
        hosts = site.get("hosts") or {name: {"ansible_host": address} for name, address in ADDRESSES.items()}
        environ = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        return roles.play(tmp_path, role, tasks, *words, variables=variables, hosts=hosts, environ=environ)

    return play


def pins_in(tmp_path: Path) -> dict[str, str]:
    lines = (tmp_path / "known_hosts").read_text(encoding="utf-8").splitlines()
    return {address: key for address, _space, key in (line.partition(" ") for line in lines)}


def test_ssh_that_checks_no_host_keys_is_refused_before_anybody_is_asked(run, site, tmp_path):
    rc, told = run(site, "validate_inputs", "main", "-e", '{"ansible_host_key_checking": false}')
    assert rc == 2
    assert "ansible_host_key_checking: host keys of micro would not be checked" in told
    assert "Log in where a host key is pinned" not in told


def test_a_key_that_the_director_tells_and_the_host_shows_is_pinned(run, site, tmp_path):
    site["shows"][ADDRESSES["primary"]] = site["directors"][ADDRESSES["meta"]]["says"] = NEW
    rc, told = run(site, "validate_inputs", "host_keys")
    assert rc == 0, told
    assert "primary (10.10.0.4) shows a host key that was not pinned, and meta, which deploys it" in told
    assert pins_in(tmp_path) == site["pins"] | {ADDRESSES["primary"]: NEW}
    looked = [
        line for line in (tmp_path / "site.json.ssh").read_text(encoding="utf-8").splitlines() if "accept-new" in line
    ]
    assert len(looked) == 1 and "ProxyJump=jump" in looked[0]


def test_a_run_that_was_stopped_before_the_first_pin(run, site, tmp_path):
    del site["pins"][ADDRESSES["meta"]]
    assert run(site, "validate_inputs", "host_keys")[0] == 0
    assert pins_in(tmp_path)[ADDRESSES["meta"]] == OLD


def test_a_key_that_no_director_tells_is_refused(run, site, tmp_path):
    site["shows"][ADDRESSES["primary"]] = STRANGE
    site["directors"][ADDRESSES["meta"]] = {"deploys": ["bosh-primary"], "says": NEW}
    rc, told = run(site, "validate_inputs", "host_keys")
    assert rc == 2, told
    assert "primary (10.10.0.4) shows another host key than the one that is pinned" in told
    assert f"shows {STRANGE}, and the director says {NEW}" in told
    assert pins_in(tmp_path) == site["pins"]


def test_a_login_that_ended_before_ansible_heard_why_is_tried_again(run, site, tmp_path):
    site["shows"][ADDRESSES["primary"]], site["slow"] = STRANGE, True
    rc, told = run(site, "validate_inputs", "host_keys")
    assert "-slow" in (tmp_path / "site.json.ssh").read_text(encoding="utf-8")
    assert rc == 2, told
    assert "primary (10.10.0.4) shows another host key than the one that is pinned" in told


@pytest.mark.parametrize(
    ("row", "rc"), [({"process_state": "running", "process": ""}, 0), ({"process_state": "running"}, 2)]
)
def test_a_vm_that_was_made_half_way_is_for_the_step_that_made_it(run, site, row, rc):
    site["refuses"] = [ADDRESSES["primary"]]
    # A VM that has an agent and no processes is bare.
    site["directors"][ADDRESSES["meta"]]["row"] = row
    ended, told = run(site, "validate_inputs", "host_keys")
    assert ended == rc, told
    assert ("primary (10.10.0.4) refuses user jumpbox with the keys of the SSH agent" in told) == bool(rc)


def test_nobody_vouches_for_micro(run, site, tmp_path):
    site["pins"][ADDRESSES["micro"]] = OLD
    site["shows"][ADDRESSES["micro"]] = NEW
    rc, told = run(site, "validate_inputs", "host_keys")
    assert rc == 2
    assert "micro (10.10.0.3) shows another host key than the one that is pinned" in told
    assert pins_in(tmp_path) == site["pins"]


def test_check_mode_pins_nothing_and_does_not_fail_for_what_a_run_would_pin(run, site, tmp_path):
    site["shows"][ADDRESSES["primary"]] = site["directors"][ADDRESSES["meta"]]["says"] = NEW
    rc, told = run(site, "validate_inputs", "host_keys", "--check")
    assert rc == 0, told
    assert "would be pinned in" in told
    assert pins_in(tmp_path) == site["pins"]


@pytest.fixture
def newcomer(site: dict[str, Any]) -> dict[str, Any]:
    """Directors that were deployed from elsewhere."""
    site["directors"] = {
        ADDRESSES["micro"]: {"deploys": ["bosh-primary"], "says": OLD},
        ADDRESSES["primary"]: {"deploys": ["bosh-meta"], "says": OLD},
        ADDRESSES["meta"]: {"deploys": [], "says": OLD},
    }
    site["pins"] = {}
    return site


def test_a_newcomer_hears_of_all_hosts_at_once_before_anything_is_pinned(run, newcomer, tmp_path):
    rc, told = run(newcomer, "validate_inputs", "host_keys")
    assert rc == 2
    assert all(f"{name} ({address}) shows {described(OLD)}" in told for name, address in ADDRESSES.items())
    assert f"bosh.ha.pin_host_keys -e bosh_ha_pin_host_keys={fingerprint(OLD)}`" in told
    assert pins_in(tmp_path) == {}


def test_check_mode_of_a_newcomer_goes_on(run, newcomer, tmp_path):
    rc, told = run(newcomer, "validate_inputs", "host_keys", "--check")
    assert rc == 0, told
    assert "A run pins primary and meta by itself" in told
    assert pins_in(tmp_path) == {}


def test_a_host_for_which_no_director_vouches_is_not_pinned(run, newcomer, tmp_path):
    newcomer["pins"] = {ADDRESSES["micro"]: OLD}
    newcomer["directors"][ADDRESSES["primary"]]["says"] = STRANGE
    rc, told = run(newcomer, "validate_inputs", "host_keys")
    assert rc == 2
    assert f"meta (10.10.0.5) shows {described(OLD)}" in told
    assert "and the director says" in told
    assert pins_in(tmp_path) == {ADDRESSES["micro"]: OLD, ADDRESSES["primary"]: OLD}


def test_fingerprints_that_were_compared_are_pinned(run, newcomer, tmp_path):
    newcomer["shows"][ADDRESSES["meta"]] = NEW
    rc, told = run(newcomer, "pin_host_keys", "main")
    assert (rc, pins_in(tmp_path)) == (0, {}), told
    rc, told = run(newcomer, "pin_host_keys", "main", "-e", f"bosh_ha_pin_host_keys={fingerprint(STRANGE)},true")
    assert (rc, pins_in(tmp_path)) == (2, {}), told
    rc, told = run(newcomer, "pin_host_keys", "main", "-e", f"bosh_ha_pin_host_keys={fingerprint(OLD)}")
    assert rc == 0, told
    assert pins_in(tmp_path) == {ADDRESSES["micro"]: OLD, ADDRESSES["primary"]: OLD}


def test_a_micro_that_answers_through_the_proxy_is_not_made_again(run, site):
    proxy = {"all_proxy": "socks5://127.0.0.1:9"}
    assert run(site, "bootstrap_micro", "look", **proxy)[0] == 0
    site["directors"][ADDRESSES["micro"]] = {"deploys": [], "says": ""}
    rc, told = run(site, "bootstrap_micro", "look", **proxy)
    assert rc == 2
    assert "although a director answers at 10.10.0.3; create-env would make a second Micro" in told


def test_micro_s_first_key_is_read_through_the_jump_host(run, site, tmp_path):
    site["directors"][ADDRESSES["micro"]] = {"deploys": [], "says": ""}
    rc, told = run(site, "bootstrap_micro", "greet")
    assert rc == 0, told
    assert pins_in(tmp_path)[ADDRESSES["micro"]] == OLD
    [looked] = (tmp_path / "site.json.ssh").read_text(encoding="utf-8").splitlines()
    assert "ProxyJump=jump" in looked


@pytest.mark.parametrize("role", ["bootstrap_micro", "deploy_director"])
def test_a_wrong_secret_is_not_tried_again_and_again(run, site, role):
    site["pins"][ADDRESSES["micro"]] = OLD
    rc, told = run(site | {"status": "401"}, role, "greet")
    assert rc == 2
    assert "the director refuses the client" in told
    assert "FAILED - RETRYING" not in told


def test_a_micro_whose_director_does_not_run_is_not_made_again(run, site):
    rc, told = run(site | {"status": "502"}, "bootstrap_micro", "look", all_proxy="socks5://127.0.0.1:9")
    assert rc == 2
    assert "create-env would make a second Micro" in told


def test_hosts_that_are_others_than_the_directors_are_refused(run, site):
    # As in group_vars: the templates are the hosts' own.
    hosts = {
        "micro": {"ansible_host": "{{ bosh_ha_directors.micro.address }}", "ansible_user": ""},
        "meta": {"ansible_host": "{{ bosh_ha_directors.primary.address }}", "ansible_ssh_private_key_file": "/none"},
    }
    rc, told = run(site | {"hosts": hosts}, "validate_inputs", "main")
    assert rc == 2
    assert "ansible_user of the host micro is not set; the inventory has no host primary; " in told
    assert "ansible_host of the host meta is 10.10.0.4, but bosh_ha_directors.meta.address is 10.10.0.5" in told
    assert "ansible_ssh_private_key_file: the file /none cannot be read" in told
    assert "ansible_host of the host micro" not in told
