# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the CPI's contract, with a Podman that only remembers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from boshlab import paths, snapshots
from boshlab.cpi import Cpi, answer, container
from boshlab.podman import Podman, PodmanError
from hypothesis import given, settings
from hypothesis import strategies as st

NETWORKS = {"default": {"type": "manual", "ip": "10.10.0.4"}}


class FakePodman:
    """Images and containers by name; `broken` is a step of create_vm that fails."""

    def __init__(self, broken: str = "") -> None:
        self.images, self.containers, self.broken = {"base"}, {}, broken
        self.files: dict[str, dict[str, Any]] = {}

    def exists(self, kind: str, name: str) -> bool:
        return name in (self.images if kind == "images" else self.containers)

    def call(self, method: str, path: str, **options: Any) -> None:
        if method == "POST":
            self.images.add(f"{options['params']['repo']}:{options['params']['tag']}")
        else:
            self.images.discard(path.removeprefix("/images/"))

    def create(self, spec: dict[str, Any]) -> None:
        self._fail("create")
        self.containers[spec["name"]] = spec

    def put(self, name: str, _path: str, content: bytes) -> None:
        self._fail("put")
        self.files[name] = json.loads(content)

    def start(self, _name: str) -> None:
        self._fail("start")

    def restart(self, _name: str) -> None:
        self._fail("restart")

    def remove(self, name: str) -> None:
        self.containers.pop(name, None)

    def _fail(self, step: str) -> None:
        if step == self.broken:
            raise PodmanError(500, f"{step} is broken")


@contextmanager
def _iaas(broken: str = "") -> Iterator[tuple[Cpi, FakePodman, str]]:
    """A CPI with places of its own, its Podman, and a stemcell."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        state = Path(directory)
        for name in ("DISKS", "VMS"):
            patch.setattr(paths, name, state / name.lower())
        patch.setattr(paths, "FAULTS", state / "faults.json")
        podman = FakePodman(broken)
        cpi = Cpi({"agent": {"mbus": "nats://10.10.0.3:4222"}}, podman)  # type: ignore[arg-type]
        yield cpi, podman, _call(cpi, "create_stemcell", "image", {"image": "base"})


def _call(cpi: Cpi, method: str, *arguments: Any) -> Any:
    said = answer(cpi, {"method": method, "arguments": list(arguments), "context": {}, "api_version": 2})
    assert said["error"] is None, said
    return said["result"]


def _error(cpi: Cpi, method: str, *arguments: Any) -> str:
    said = answer(cpi, {"method": method, "arguments": list(arguments)})
    assert said["result"] is None
    assert set(said["error"]) == {"type", "message", "ok_to_retry"}
    return said["error"]["type"]


def test_a_vm_is_told_who_it_is_and_its_disk_outlives_it() -> None:
    with _iaas() as (cpi, podman, stemcell):
        vm, networks = _call(cpi, "create_vm", "agent-1", stemcell, {}, NETWORKS, [], {"bosh": {}})
        assert networks == NETWORKS
        assert podman.files[vm]["agent_id"] == "agent-1"
        assert podman.files[vm]["mbus"] == "nats://10.10.0.3:4222"
        disk = _call(cpi, "create_disk", 1024, {}, vm)
        assert _call(cpi, "attach_disk", vm, disk) == f"{paths.ATTACHED}/{disk}"
        assert _call(cpi, "get_disks", vm) == [disk]
        (paths.VMS / vm / "attached" / disk / "data").write_text("kept")
        assert _error(cpi, "delete_disk", disk) == "Bosh::Clouds::CloudError"
        _call(cpi, "delete_vm", vm)
        # Gone already is no error: any director may delete any VM.
        _call(cpi, "delete_vm", vm)
        assert not _call(cpi, "has_vm", vm)
        assert _call(cpi, "has_disk", disk)
        other, _networks = _call(cpi, "create_vm", "agent-2", stemcell, {}, NETWORKS)
        _call(cpi, "attach_disk", other, disk)
        assert (paths.VMS / other / "attached" / disk / "data").read_text() == "kept"


def test_only_a_vm_that_may_reaches_the_iaas() -> None:
    with _iaas() as (cpi, podman, stemcell):
        for properties in ({}, {"iaas_access": True}):
            vm = _call(cpi, "create_vm", "a", stemcell, properties, NETWORKS)[0]
            sources = {mount["source"] for mount in podman.containers[vm]["mounts"]}
            assert (str(paths.STATE) in sources) is bool(properties)


@pytest.mark.parametrize("broken", ["create", "put", "start"])
def test_a_vm_that_could_not_be_made_leaves_nothing(broken: str) -> None:
    with _iaas(broken) as (cpi, podman, stemcell):
        assert _error(cpi, "create_vm", "a", stemcell, {}, NETWORKS) == "Bosh::Clouds::VMCreationFailed"
        assert not podman.containers
        assert not list(paths.VMS.iterdir())


def test_what_is_not_there_is_told_in_boshs_classes() -> None:
    with _iaas() as (cpi, _podman, stemcell):
        vm = _call(cpi, "create_vm", "a", stemcell, {}, NETWORKS)[0]
        assert _error(cpi, "create_stemcell", "image", {"image": "none"}) == "Bosh::Clouds::CloudError"
        assert _error(cpi, "create_vm", "a", "none", {}, NETWORKS) == "Bosh::Clouds::VMCreationFailed"
        assert _error(cpi, "reboot_vm", "none") == "Bosh::Clouds::VMNotFound"
        assert _error(cpi, "attach_disk", vm, "none") == "Bosh::Clouds::DiskNotFound"
        assert _error(cpi, "detach_disk", vm, "none") == "Bosh::Clouds::DiskNotFound"
        assert _error(cpi, "delete_disk", "none") == "Bosh::Clouds::DiskNotFound"
        assert _error(cpi, "snapshot_disk", "none") == "Bosh::Clouds::NotImplemented"


@given(
    st.one_of(st.sampled_from(["podman", "agent", "_vm", "", "create_disk", "has_vm", "info"]), st.text(max_size=6)),
    st.lists(st.one_of(st.none(), st.integers(-2, 2), st.text(max_size=3)), max_size=3),
)
@settings(max_examples=60)
def test_whatever_is_asked_there_is_one_answer(method: str, arguments: list[Any]) -> None:
    with _iaas() as (cpi, _podman, _stemcell):
        said = answer(cpi, {"method": method, "arguments": arguments})
        assert set(said) == {"result", "error", "log"}
        assert said["result"] is None or said["error"] is None
        json.dumps(said)


@given(st.lists(st.tuples(st.sampled_from(["attach", "detach", "kill"]), st.integers(0, 1), st.integers(0, 1))))
@settings(max_examples=40)
def test_a_disk_is_in_one_place_and_never_lost(deeds: list[tuple[str, int, int]]) -> None:
    with _iaas() as (cpi, _podman, stemcell):
        vms = [_call(cpi, "create_vm", f"a{n}", stemcell, {}, NETWORKS)[0] for n in range(2)]
        disks = [_call(cpi, "create_disk", 8, {}) for _ in range(2)]
        holder: dict[str, str | None] = dict.fromkeys(disks)
        for deed, which_vm, which_disk in deeds:
            vm, disk = vms[which_vm], disks[which_disk]
            if deed == "kill":
                _call(cpi, "delete_vm", vm)
                holder = {key: None if value == vm else value for key, value in holder.items()}
            elif deed == "detach":
                _call(cpi, "detach_disk", vm, disk)
                holder[disk] = None if holder[disk] == vm else holder[disk]
            elif not _call(cpi, "has_vm", vm):
                assert _error(cpi, "attach_disk", vm, disk) == "Bosh::Clouds::VMNotFound"
            elif holder[disk] in (None, vm):
                _call(cpi, "attach_disk", vm, disk)
                holder[disk] = vm
            else:
                assert _error(cpi, "attach_disk", vm, disk) == "Bosh::Clouds::CloudError"
            for key, value in holder.items():
                where = [path.parent.parent.name for path in paths.VMS.glob(f"*/attached/{key}")]
                assert where == ([value] if value else [])
                assert (paths.DISKS / key).is_dir() is (value is None)


def test_injected_faults_come_as_often_as_was_said() -> None:
    with _iaas() as (cpi, _podman, _stemcell):
        paths.FAULTS.write_text(json.dumps({"create_disk": {"times": 2, "message": "no capacity"}}))
        said = answer(cpi, {"method": "create_disk", "arguments": [8, {}]})
        assert said["error"] == {"type": "Bosh::Clouds::CloudError", "message": "no capacity", "ok_to_retry": False}
        assert _error(cpi, "create_disk", 8, {}) == "Bosh::Clouds::CloudError"
        _call(cpi, "create_disk", 8, {})
        # Half a file is an error of the call, not a traceback.
        paths.FAULTS.write_text('{"create_')
        assert _error(cpi, "create_disk", 8, {}) == "Bosh::Clouds::CloudError"


def test_a_slow_call_is_done_all_the_same_before_or_after(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, bool]] = []
    with _iaas() as (cpi, _podman, _stemcell):
        monkeypatch.setattr(
            "boshlab.cpi.time.sleep", lambda seconds: seen.append((seconds, any(paths.DISKS.glob("*/"))))
        )
        paths.FAULTS.write_text(json.dumps({"create_disk": {"delay_seconds": 20, "times": 1}}))
        disk = _call(cpi, "create_disk", 8, {})
        assert [what for what in seen if what[0]] == [(20, False)]
        seen.clear()
        _call(cpi, "delete_disk", disk)
        paths.FAULTS.write_text(json.dumps({"create_disk": {"delay_seconds": 20, "after": True}}))
        _call(cpi, "create_disk", 8, {})
        # The caller could be killed now: the disk is there and nobody knows of it.
        assert [what for what in seen if what[0]] == [(20, True)]
        # Slow, and then it fails.
        paths.FAULTS.write_text(json.dumps({"create_disk": {"delay_seconds": 5, "message": "no capacity"}}))
        assert _error(cpi, "create_disk", 8, {}) == "Bosh::Clouds::CloudError"
        assert seen[-1][0] == 5


def test_a_vm_has_the_file_systems_of_a_stemcell() -> None:
    with _iaas() as (cpi, podman, stemcell):
        cid, _networks = _call(cpi, "create_vm", "agent-1-more", stemcell, {}, NETWORKS)
        mounts = {mount["destination"]: mount for mount in podman.containers[cid]["mounts"]}
        assert {where for where, mount in mounts.items() if mount["type"] == "tmpfs"} == {
            "/run",
            "/var/vcap/sys/run",
            "/tmp",
            "/var/tmp",
        }
        assert {where for where, mount in mounts.items() if "noexec" in mount["options"]} == {"/tmp", "/var/tmp"}


def test_a_vm_can_be_made_again_from_what_podman_says_of_it() -> None:
    with _iaas() as (cpi, podman, stemcell):
        cid, _networks = _call(cpi, "create_vm", "agent-1-more", stemcell, {"iaas_access": True}, NETWORKS)
        made = podman.containers[cid]
        inspected = {
            "Config": {"Labels": made["labels"]},
            "ImageName": made["image"],
            "Image": "1234",
            "Mounts": [{"Destination": mount["destination"]} for mount in made["mounts"]],
            "State": {"Status": "exited"},
        }
        about = snapshots.describe(inspected)
        again = container(cid, about["image"], about["agent"], about["address"], about["iaas_access"])
        assert (again, about["running"]) == (made, False)


@pytest.mark.parametrize("failure", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), httpx.ReadError("gone")])
def test_a_podman_that_does_not_answer_is_a_sentence(failure: httpx.TransportError) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise failure

    podman = Podman()
    podman._client = httpx.Client(transport=httpx.MockTransport(fail))
    with pytest.raises(PodmanError, match=r"Podman's API"):
        podman.exists("images", "any")
