# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New host keys of Primary and Meta, over a `bosh` and an `ssh` whose answers are data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import director_wait

OLD, NEW, STRANGE = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{name}" for name in ("OLD", "NEW", "STRANGE"))
ADDRESSES = {"primary": "10.10.0.4", "meta": "10.10.0.5"}


class Site:
    """By director its deployments and, one after the other, the keys that the agent reports; None if there is none."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.deploys = {"primary": ["bosh-meta"], "meta": ["bosh-primary"]}
        self.says: dict[str, list[str | None]] = {"primary": [NEW], "meta": [NEW], "micro": [NEW]}
        self.vm = "vm-1"
        self.shows: dict[str, str] = dict.fromkeys(ADDRESSES.values(), NEW)
        self.busy = 0
        self.ssh: list[list[str]] = []
        self.pins = top / "known_hosts"
        self.pins.write_text("".join(f"{address} {OLD}\n" for address in ADDRESSES.values()), encoding="utf-8")

    def answer(self, command: list[str], **options: Any) -> tuple[int, str, str]:
        if command[0] == "ssh":
            return self.show(command)
        director, words = options["environ_update"]["BOSH_ENVIRONMENT"], command[3:]
        rows: list[dict[str, str]] = []
        if words[-1] == "locks" and self.busy:
            self.busy -= 1
            rows = [dict.fromkeys(("type", "task_id", "expires_at"), "7") | {"resource": "bosh-primary"}]
        elif "instances" in words:
            row = dict.fromkeys(("process_state", "az", "ips", "state", "agent_id", "disk_cids", "ignore"), "")
            rows = [row | {"instance": "bosh/1", "vm_cid": self.vm}]
        elif "ssh" in words:
            assert words[words.index("ssh") + 1] == "bosh"
            said = self.says[director].pop(0) if len(self.says[director]) > 1 else self.says[director][0]
            rows = [{"instance": "bosh/1", "stdout": f"{said} root@x\r\n", "exit_code": "0"}] if said else []
        content = {"locks": "locks", "tasks": "tasks", "ssh": "results", "instances": "instances"}
        name = next(content[word] for word in words if word in content)
        return 0, json.dumps({"Tables": [{"Content": name, "Rows": rows}], "Blocks": None, "Lines": []}), ""

    def show(self, command: list[str]) -> tuple[int, str, str]:
        self.ssh.append(command)
        address = command[-2]
        if address not in self.shows:
            return 255, "", f"ssh: connect to host {address} port 22: No route to host"
        noted = next(word for word in command if word.startswith("UserKnownHostsFile=")).partition("=")[2]
        Path(noted).write_text(f"{address} {self.shows[address]}\n", encoding="utf-8")
        return 255, "", "Permission denied (publickey)."

    def pinned(self) -> dict[str, str]:
        lines = self.pins.read_text(encoding="utf-8").splitlines()
        return {address: key for address, _space, key in (line.partition(" ") for line in lines)}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The seconds of each pause, none of which is made."""
    made: list[float] = []
    monkeypatch.setattr(director_wait.time, "sleep", made.append)
    monkeypatch.setattr(director_wait.time, "monotonic", lambda: sum(made))
    return made


@pytest.fixture
def pin(run_module, site):
    def call(*names: str, check: bool = False, **more: Any) -> dict[str, Any]:
        entries = {
            name: {"address": address, "port": "22", "ssh_args": "-J jump", "deployment": f"bosh-{name}"}
            | {"instance_group": "bosh"}
            for name, address in ADDRESSES.items()
        }
        answers = {name: {"logged_in": True, "deployments": deploys} for name, deploys in site.deploys.items()}
        directors = [{"name": name, "environment": name} for name in ("micro", "primary", "meta")]
        args = {"names": names, "known_hosts": str(site.pins), "answers": answers, "entries": entries}
        args |= {"directors": directors}
        return run_module("pair_host_keys", args | more, check=check, runner=site.answer)[0]

    return call


@pytest.mark.parametrize(("name", "by"), [("primary", "meta"), ("meta", "primary")])
def test_a_key_that_the_director_reports_and_the_host_shows_is_pinned(pin, site, name, by):
    result = pin(name)
    assert (result["changed"], result["vouched"], result["reasons"]) == (True, {name: by}, {})
    assert site.pinned() == dict.fromkeys(ADDRESSES.values(), OLD) | {ADDRESSES[name]: NEW}
    [looked] = site.ssh
    assert looked[looked.index("-J") + 1] == "jump"


def test_each_host_is_judged_by_itself(pin, site):
    site.shows[ADDRESSES["primary"]] = STRANGE
    result = pin("primary", "meta")
    assert (result["vouched"], list(result["reasons"])) == ({"meta": "primary"}, ["primary"])


def test_check_mode_pins_nothing(pin, site):
    before = site.pinned()
    assert pin("primary", check=True)["vouched"] == {"primary": "meta"}
    assert site.pinned() == before


def test_while_micro_deploys_primary_it_is_micro_that_vouches(pin, site):
    site.deploys |= {"micro": ["bosh-primary"], "meta": []}
    site.says["meta"] = [STRANGE]
    assert pin("primary")["vouched"] == {"primary": "micro"}


def refuse(pin, site, reason: str) -> None:
    before = site.pinned()
    result = pin("primary")
    assert (result["changed"], result["vouched"]) == (False, {})
    assert reason in result["reasons"]["primary"]
    assert site.pinned() == before


def test_another_key_than_the_director_reports_is_refused(pin, site):
    site.shows[ADDRESSES["primary"]] = STRANGE
    refuse(pin, site, f"shows {STRANGE}, and the director says {NEW}")


def test_a_host_that_shows_no_key_is_refused(pin, site):
    site.shows.clear()
    refuse(pin, site, "sshd of 10.10.0.4 told no host key: ssh: connect to host 10.10.0.4 port 22: No route to host")


@pytest.mark.parametrize("deploys", [{"meta": ["else"]}, {"primary": ["bosh-primary"]}, {}])
def test_nobody_else_can_vouch(pin, site, deploys):
    site.deploys = deploys
    refuse(pin, site, "no director that answers has the deployment bosh-primary and could vouch for its key")


def test_a_vm_of_which_its_director_knows_nothing_is_for_somebody_to_terminate(pin, site):
    site.vm = ""
    refuse(pin, site, "meta, which deploys bosh-primary, has no VM for it, so who answers at 10.10.0.4 is none that it")
    assert "terminate that one, and start again" in pin("primary")["reasons"]["primary"]


def test_an_agent_that_is_still_to_come_is_awaited(pin, site, pauses):
    site.says["meta"] = [None, None, NEW]
    assert pin("primary", retry=60)["vouched"] == {"primary": "meta"} and len(pauses) == 2


def test_an_agent_that_does_not_come_is_a_refusal(pin, site):
    site.says["meta"] = [None]
    refuse(pin, site, "0 instances answered, and no key was read")


def test_a_director_that_makes_the_vm_just_now_is_awaited(pin, site, pauses):
    site.busy = 3
    assert pin("primary")["vouched"] == {"primary": "meta"} and len(pauses) == 3
