# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option `director` of the modules that talk to one, in plays over a `bosh` that prints its environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .role_runner import ROOT, Roles, write_program

#: Fails, and leaves what reached it.
BOSH = """if "--version" in sys.argv:
    print("version 7.10.0-abc")
    sys.exit()
known = {name[5:].lower(): value for name, value in os.environ.items() if name.startswith("BOSH_")}
with open(f"{TOP}/asked", "w") as stream:
    json.dump(known, stream)
sys.exit(1)
"""
RUNTIME = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
DIRECTORS = {
    "micro": {
        "address": "10.10.0.3",
        "client_secret": "not-for-eyes",
        "ca_cert": "{{ 'PEM' | lower }}",
        # Nobody needs it to reach a director.
        "manifest": "{{ lookup('ansible.builtin.file', '/nowhere') }}",
    },
    "primary": {"address": "10.10.0.4", "client_secret": "x", "ca_cert": "x", "port": 443},
    "meta": {"address": "10.10.0.5", "vars_store": "/nowhere/vars.yml"},
}


def play(top: Path, roles: Roles, module: str, **options: Any) -> tuple[dict[str, Any], str]:
    """What reached the CLI in the module's last call, and what was told."""
    write_program(top / "bosh", BOSH, TOP=str(top))
    tasks = [{f"bosh.ha.{module}": options}]
    (top / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    given = {
        "bosh_ha_directors": DIRECTORS,
        "bosh_ha_cli_options": {"cli": f"{top}/bosh", "config_path": "", "all_proxy": "socks5://127.0.0.1:1"},
        "ansible_python_interpreter": str(roles.top / "python"),
        "ansible_connection": "local",
    }
    (top / "hosts.json").write_text(json.dumps({"all": {"hosts": {"localhost": given}}}))
    rc, told = roles.playbook(top, "-vv", "-i", "hosts.json", "play.yml")
    assert rc == 2
    path = top / "asked"
    return json.loads(path.read_text()) if path.exists() else {}, told


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("task_info", {}),
        ("vm_info", {"deployment": "bosh-primary"}),
        ("release", {"url": "x", "name": "y", "version": "1"}),
    ],
)
def test_each_kind_of_action_reaches_the_director_that_is_named(tmp_path, roles, module, options):
    asked, told = play(tmp_path, roles, module, director="micro", **options)
    assert (asked["environment"], asked["client"], asked["ca_cert"]) == ("10.10.0.3", "admin", "pem")
    assert (asked["client_secret"], asked["all_proxy"]) == ("not-for-eyes", "socks5://127.0.0.1:1")
    assert "not-for-eyes" not in told


def test_an_option_of_the_task_wins(tmp_path, roles):
    asked, _told = play(tmp_path, roles, "task_info", director="primary", client="operator")
    assert (asked["environment"], asked["client"]) == ("https://10.10.0.4:443", "operator")


def test_without_a_director_the_cli_is_that_of_the_site(tmp_path, roles):
    asked, _told = play(tmp_path, roles, "task_info", environment="10.10.0.9")
    assert (asked["environment"], asked.get("client", "")) == ("10.10.0.9", "")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "meta",
            "bosh_ha_directors.meta.client_secret is not set, and the vars store /nowhere/vars.yml does not exist",
        ),
        ("other", "bosh_ha_directors has no other"),
    ],
)
def test_a_director_that_cannot_be_asked_is_refused_before_the_cli_is_called(tmp_path, roles, name, says):
    asked, told = play(tmp_path, roles, "deployment", director=name, deployment="x", manifest="y")
    assert (asked, says in told) == ({}, True)


def test_every_module_of_the_group_resolves_its_director():
    routed = RUNTIME["plugin_routing"]["modules"]
    own = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")}
    for module in RUNTIME["action_groups"]["director"]:
        # Either an action plugin of the same name, or the one that does no more than this.
        assert (module in own) != (routed.get(module) == {"action_plugin": "bosh.ha.director_info"}), module
    assert set(routed) <= set(RUNTIME["action_groups"]["director"])
