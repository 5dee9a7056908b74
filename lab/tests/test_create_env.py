# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for create-env: what is wrong with a manifest, a release or a disk is said before a VM is touched."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from boshlab import paths, workspace
from boshlab.bosh_cli import env, main
from boshlab.bosh_cli.errors import BoshError


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The workspace's own manifest of Micro."""
    monkeypatch.setattr(paths, "ARTIFACTS", tmp_path)
    for name in ("release.tgz", "stemcell.tgz"):
        (tmp_path / name).write_bytes(b"x")
    return workspace.create_env_manifest("micro", "ssh-ed25519 AAAA")


def test_the_workspaces_manifest_is_good(data: dict[str, Any]) -> None:
    manifest = env.Manifest(data, "sha")
    manifest.check()
    assert manifest.networks()["default"]["ip"] == paths.ADDRESSES["micro"]


@pytest.mark.parametrize(
    ("range_", "address", "words"),
    [
        ("10.99.0.0/24", "10.10.0.3", "has no subnet that holds the static IP"),
        ("10.10.0.0/33", "10.10.0.3", "does not appear to be an IPv4 or IPv6 network"),
        ("10.10.0.0/24", "10.10.0", "does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_a_bad_network_is_found_before_the_old_vm_goes(
    data: dict[str, Any], range_: str, address: str, words: str
) -> None:
    data["networks"][0]["subnets"][0]["range"] = range_
    data["instance_groups"][0]["networks"][0]["static_ips"] = [address]
    with pytest.raises(BoshError, match="Validating deployment manifest") as refused:
        env.Manifest(data, "sha").check()
    assert words in str(refused.value)


def test_a_damaged_release_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "release.tgz").write_bytes(b"no tarball")
    with pytest.raises(BoshError, match="Invalid release 'bosh'"):
        env._release({"name": "bosh", "url": str(tmp_path / "release.tgz")}, tmp_path)


@pytest.mark.parametrize(
    "text", ['{"stemcells": [{"id": "s"}]}', '{"disks": [{"id": "d", "cid": ""}]}', "[]", "{", '{"disks": [5]}']
)
def test_a_damaged_state_file_is_refused(tmp_path: Path, text: str) -> None:
    """One with an empty CID once made the real create-env delete every VM of a cluster."""
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(BoshError, match="Loading deployment state"):
        env.State(tmp_path / "state.json")
    assert (tmp_path / "state.json").read_text() == text


def test_a_full_disk_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_session: Any, _args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/x")

    monkeypatch.setattr(main.commands, "environments", full)
    monkeypatch.setattr(main, "OWN_START", (full,))
    monkeypatch.setenv("BOSH_CONFIG", str(tmp_path / "config"))
    assert main.main(["environments"]) == 1
    said = capsys.readouterr()
    assert "No space left on device" in said.out + said.err
    assert "Exit code 1" in said.out + said.err
    assert sys.exc_info() == (None, None, None)


class _Agent:
    """One that says yes to everything, and writes down what it was told."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def wait(self, _timeout: float) -> None:
        pass

    def task(self, method: str, *arguments: Any) -> None:
        self.told.append(" ".join([method, *arguments]))

    call = task


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (65536, ["attach_disk vm-1 disk-1", "mount_disk disk-1"]),
        # What a state file for a surviving disk must not have: create-env would move to another disk.
        (1024, ["create_disk", "migrate_disk", "delete_disk disk-1"]),
    ],
)
def test_a_disk_that_only_the_state_file_knows_is_taken(
    data: dict[str, Any], tmp_path: Path, size: int, told: list[str]
) -> None:
    record = {"id": "d", "cid": "disk-1", "size": size, "cloud_properties": {}}
    (tmp_path / "state.json").write_text(json.dumps({"director_id": "x", "current_disk_id": "d", "disks": [record]}))
    found: list[str] = []

    def cpi(method: str, *arguments: Any) -> str:
        found.append(" ".join([method, *map(str, arguments)]))
        return "disk-2" if method == "create_disk" else ""

    environment: Any = object.__new__(env.Environment)
    environment.manifest = env.Manifest(data, "sha")
    environment.manifest.check()
    environment.state, environment.cpi, environment.agent = env.State(tmp_path / "state.json"), cpi, _Agent(found)
    environment.update_disk(_Stage(), "vm-1", recreate=False)
    if size == 65536:
        assert found == told
    for words in told:
        assert [one for one in found if one.startswith(words)], words
    assert environment.state.current("disks")["cid"] == ("disk-1" if size == 65536 else "disk-2")


class _Stage:
    def step(self, _name: str) -> Any:
        return nullcontext()
