# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module asks a director for, and of whom it warns."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.modules import deployment_ssh

MANIFEST = {
    "stemcells": [{"alias": "l", "os": "ubuntu-jammy"}, {"alias": "w", "os": "windows2019"}],
    "instance_groups": [
        {"name": "db", "stemcell": "l", "jobs": [{"name": "postgres", "release": "pg"}]},
        {"name": "cell", "stemcell": "w", "jobs": []},
    ],
}
DB = {"group": "db", "id": "a", "index": 0, "bootstrap": True, "vm_cid": "vm-1", "state": "started"}
CELL = {"group": "cell", "id": "b", "index": 0, "bootstrap": True, "vm_cid": "vm-2", "state": "started"}


class Director:
    """Answers for the instances that a request targets, all of them where it names none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, known: list[dict[str, Any]], manifest: Any) -> None:
        self.known, self.bodies = known, []
        self.cli = SimpleNamespace(curl=lambda _path: {"manifest": yaml.safe_dump(manifest)})
        monkeypatch.setattr(deployment_ssh, "instances", lambda *_words: known)
        monkeypatch.setattr(deployment_ssh, "request", self.request)

    def request(self, _module: Any, _cli: Any, body: str) -> str:
        sent = json.loads(body)
        self.bodies.append((sent["command"], sent["target"]["ids"]))
        ids = sent["target"]["ids"] or [one["id"] for one in self.known]
        answer = {"status": "success", "ip": "10.0.0.1", "host_public_key": "ssh-ed25519 AAAA"}
        return json.dumps([answer | {"job": one["group"], "id": one["id"]} for one in self.known if one["id"] in ids])


class Module(SimpleNamespace):
    def __init__(self, state: str) -> None:
        super().__init__(warnings=[], check_mode=False)
        self.params = {"deployment": "app", "user": "u", "public_key": "k", "state": state, "wait": 1}

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def change(director: Director, state: str = "present") -> tuple[dict[str, Any], list[str]]:
    module = Module(state)
    return deployment_ssh.change(module, director.cli), module.warnings


def test_windows_vms_are_asked_nothing_and_warned_of(monkeypatch):
    director = Director(monkeypatch, [DB, CELL], MANIFEST)
    result, warnings = change(director)
    assert [one["group"] for one in result["hosts"]] == ["db"]
    assert director.bodies == [("cleanup", ["a"]), ("setup", ["a"])]
    assert [text.split()[:2] for text in warnings] == [["app:", "cell/b"]]
    assert change(director, "absent") == ({"changed": True}, [])
    assert director.bodies[2:] == [("cleanup", ["a"])]


@pytest.mark.parametrize("manifest", [MANIFEST, None])
def test_without_windows_all_are_asked_at_once(monkeypatch, manifest):
    director = Director(monkeypatch, [DB], manifest)
    result, warnings = change(director)
    assert (len(result["hosts"]), warnings) == (1, [])
    assert director.bodies == [("cleanup", []), ("setup", [])]
