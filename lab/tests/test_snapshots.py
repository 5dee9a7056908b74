# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for snapshots, with directories for VMs' layers and disks, the real rsync, and a Podman that only remembers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from boshlab import cpi, paths, snapshots

pytestmark = pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not here")
TAG = "localhost/bosh-lab/cid:"


class FakePodman:
    """Containers with a directory each for what they write."""

    def __init__(self, root: Path) -> None:
        self.root, self.vms, self.running = root / "podman", {}, set[str]()
        self.tags, self.images = {f"{TAG}stemcell-1": "image-1"}, {"image-1"}
        self.deeds: list[str] = []

    def create(self, spec: dict[str, Any]) -> None:
        assert spec["image"] in self.tags or spec["image"] in self.images
        self.vms[spec["name"]] = spec
        self.upper(spec["name"]).mkdir(parents=True)

    def upper(self, cid: str) -> Path:
        return self.root / cid / "diff"

    def start(self, cid: str) -> None:
        # Taken note of at boot, and gone.
        if (self.upper(cid) / "var/vcap/monit/lab.laststate").exists():
            self.deeds.append(f"as it was {cid}")
            (self.upper(cid) / "var/vcap/monit/lab.laststate").unlink()
        assert Path(self.vms[cid]["mounts"][0]["source"]).is_dir()
        self.deeds.append(f"start {cid}")
        self.running.add(cid)

    def stop(self, cid: str) -> None:
        self.deeds.append(f"stop {cid}")
        self.running.discard(cid)

    def remove(self, cid: str) -> None:
        del self.vms[cid]
        self.running.discard(cid)
        shutil.rmtree(self.root / cid)

    def containers(self, _label: str) -> list[dict[str, Any]]:
        return [{"Names": [cid]} for cid in self.vms]

    def inspect(self, cid: str) -> dict[str, Any]:
        spec = self.vms[cid]
        return {
            "Config": {"Labels": spec["labels"]},
            "ImageName": spec["image"],
            "Image": self.tags.get(spec["image"], spec["image"]),
            "Mounts": [{"Destination": mount["destination"]} for mount in spec["mounts"]],
            "State": {"Status": "running" if cid in self.running else "exited"},
            "GraphDriver": {"Name": "overlay", "Data": {"UpperDir": str(self.upper(cid))}},
        }

    def call(self, method: str, path: str, **options: Any) -> Any:
        if method == "GET":
            return [
                {"Id": image, "RepoTags": [tag for tag, of in self.tags.items() if of == image]}
                for image in self.images
            ]
        tag, image = f"{options['params']['repo']}:{options['params']['tag']}", path.split("/")[2]
        if path.endswith("untag"):
            del self.tags[tag]
        else:
            self.tags[tag] = image
        return None


class Lab:
    """A VM with a disk, a free disk, a workspace; monit says what `monit` holds."""

    def __init__(self, root: Path) -> None:
        self.podman = FakePodman(root)
        self.monit = {"vm-1": "Process 'postgres'                  running"}
        for directory in (paths.DISKS, paths.VMS, paths.WORKSPACE):
            directory.mkdir(parents=True)
        (paths.WORKSPACE / "state.json").write_text("one")
        (paths.STATE / "podman.pid").write_text("1")
        self.vm("vm-1", "10.10.0.3")
        self.disk(paths.VMS / "vm-1" / "attached" / "disk-1", "a row")
        self.disk(paths.DISKS / "disk-free", "free")

    def vm(self, cid: str, address: str) -> None:
        (paths.VMS / cid / "attached").mkdir(parents=True)
        self.podman.create(cpi.container(cid, f"{TAG}stemcell-1", f"agent-of-{cid}", address, True))
        (self.podman.upper(cid) / "host_key").write_text(f"key of {cid}")
        self.podman.start(cid)

    def disk(self, path: Path, content: str) -> None:
        path.mkdir()
        (path / "data").write_text(content)
        (paths.DISKS / f"{path.name}.json").write_text("{}")

    def run(self, cid: str, _script: str) -> str:
        return self.monit.get(cid, "")

    def keep(self, name: str = "one") -> dict[str, Any]:
        return snapshots.make(name, self.run, self.podman)  # type: ignore[arg-type]

    def back(self, name: str = "one") -> dict[str, Any]:
        return snapshots.restore(name, self.run, self.podman)  # type: ignore[arg-type]

    def told(self) -> dict[str, Any]:
        """All that a snapshot must bring back."""
        trees = {"state": paths.STATE} | {cid: self.podman.upper(cid) for cid in self.podman.vms}
        files = {
            f"{name}/{path.relative_to(tree)}": (path.read_text(), path.stat().st_mtime_ns, path.stat().st_mode)
            for name, tree in trees.items()
            for path in sorted(tree.rglob("*"))
            if path.is_file() and path.name != "lab.laststate"
        }
        folders = sorted(str(path.relative_to(paths.STATE)) for path in paths.STATE.rglob("*") if path.is_dir())
        return {
            "files": files,
            "folders": folders,
            "vms": dict(self.podman.vms),
            "running": set(self.podman.running),
            "tags": dict(self.podman.tags),
        }


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    state = tmp_path / "state"
    for name, path in (
        ("STATE", state),
        ("DISKS", state / "disks"),
        ("VMS", state / "vms"),
        ("WORKSPACE", state / "workspace" / "deployments"),
        ("SNAPSHOTS", tmp_path / "state.snapshots"),
    ):
        monkeypatch.setattr(paths, name, path)
    monkeypatch.setattr(snapshots, "SETTLE", 0)
    monkeypatch.setattr(snapshots, "uuid_at", lambda address: f"uuid of {address}")
    return Lab(tmp_path)


def test_nothing_that_came_after_is_left_and_nothing_is_lost(lab: Lab) -> None:
    before = lab.told()
    lab.keep()
    assert lab.told() == before
    # A migration's worth of change: VM and disk gone, others made, disks in other hands, another stemcell.
    lab.podman.remove("vm-1")
    cpi.release_disks("vm-1")
    lab.vm("vm-2", "10.10.0.3")
    (paths.DISKS / "disk-1").rename(paths.VMS / "vm-2" / "attached" / "disk-1")
    (paths.VMS / "vm-2" / "attached" / "disk-1" / "more").write_text("more")
    shutil.rmtree(paths.DISKS / "disk-free")
    lab.disk(paths.DISKS / "disk-2", "new")
    (paths.WORKSPACE / "state.json").write_text("two")
    (paths.STATE / "faults.json").write_text("{}")
    del lab.podman.tags[f"{TAG}stemcell-1"]
    lab.podman.tags[f"{TAG}stemcell-2"] = "image-1"
    lab.back()
    assert lab.told() == before
    # And once more, with nothing to do.
    lab.back()
    assert lab.told() == before


def test_a_changed_file_that_looks_the_same_is_brought_back(lab: Lab) -> None:
    lab.keep()
    data = paths.VMS / "vm-1" / "attached" / "disk-1" / "data"
    about = data.stat()
    data.write_text("A ROW")
    os.utime(data, ns=(about.st_atime_ns, about.st_mtime_ns))
    lab.back()
    assert data.read_text() == "a row"
    assert data.stat().st_mtime_ns == about.st_mtime_ns


def test_each_snapshot_is_its_own_though_they_share_what_is_the_same(lab: Lab) -> None:
    disk = paths.VMS / "vm-1" / "attached" / "disk-1"
    (disk / "large").write_text("large")
    lab.keep("one")
    (disk / "data").write_text("two")
    lab.keep("two")
    kept = [paths.SNAPSHOTS / name / "disks" / "disk-1" for name in ("one", "two")]
    assert len({(path / "large").stat().st_ino for path in kept}) == 1
    (disk / "large").write_text("LARGE")
    for name, data in (("one", "a row"), ("two", "two"), ("one", "a row")):
        lab.back(name)
        assert ((disk / "data").read_text(), (disk / "large").read_text()) == (data, "large")
    assert snapshots.names() == ["one", "two"]
    snapshots.remove("one")
    lab.back("two")
    assert (disk / "large").read_text() == "large"


def test_a_copy_that_breaks_off_leaves_the_lab_running_and_the_older_snapshot_whole(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.keep()
    before = lab.told()
    (paths.WORKSPACE / "state.json").write_text("two")

    def full(*_arguments: Any) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "mirror", full)
        with pytest.raises(OSError, match="no space"):
            lab.keep()
    assert lab.podman.running == {"vm-1"}
    lab.back()
    assert lab.told() == before
    lab.keep()


def test_a_restore_that_breaks_off_is_run_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.keep()
    before = lab.told()
    lab.podman.remove("vm-1")
    cpi.release_disks("vm-1")
    for number in range(4):
        mirror, calls = snapshots.mirror, []

        def broken(*arguments: Any, mirror: Any = mirror, calls: list[Any] = calls, number: int = number) -> None:
            if len(calls) == number:
                raise OSError("broken off")
            calls.append(1)
            mirror(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(snapshots, "mirror", broken)
            with pytest.raises(OSError, match="broken off"):
                lab.back()
    lab.back()
    assert lab.told() == before


def test_without_its_image_nothing_is_changed(lab: Lab) -> None:
    lab.keep()
    lab.podman.images = {"image-2"}
    before = lab.told()
    with pytest.raises(snapshots.SnapshotError, match=r"image of vm-1 in snapshot one is not in Podman"):
        lab.back()
    assert lab.told() == before


def test_a_vm_that_did_not_run_does_not_run_again(lab: Lab) -> None:
    lab.podman.stop("vm-1")
    lab.keep()
    lab.podman.start("vm-1")
    lab.back()
    assert lab.podman.running == set()


def test_what_monit_had_stopped_is_not_started_by_the_boot(lab: Lab) -> None:
    lab.keep()
    lab.back()
    assert lab.podman.deeds[1:] == ["stop vm-1", "as it was vm-1", "start vm-1"] * 2


def test_it_waits_until_monit_says_what_it_said(lab: Lab) -> None:
    lab.monit["vm-1"] += "\nProcess 'nats'        not monitored\nProcess 'director'    initializing\n"
    assert lab.keep()["vms"][0]["monit"] == {"postgres": "running", "nats": "not monitored", "director": "initializing"}
    lab.monit["vm-1"] = lab.monit["vm-1"].replace("initializing", "running")
    lab.back()
    lab.monit["vm-1"] = lab.monit["vm-1"].replace("not monitored", "running")
    with pytest.raises(snapshots.SnapshotError, match=r"monit says 'running' of nats, not 'not monitored'"):
        lab.back()
    lab.monit.clear()
    with pytest.raises(snapshots.SnapshotError, match=r"vm-1 at 10.10.0.3 is not what it was.*'nothing' of postgres"):
        lab.back()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", "-x", "a.new"])
def test_a_name_is_a_plain_one(name: str, lab: Lab) -> None:
    with pytest.raises(snapshots.SnapshotError, match="no name for a snapshot"):
        lab.keep(name)


def test_an_unknown_one_is_told(lab: Lab) -> None:
    for deed in (lab.back, snapshots.remove):
        with pytest.raises(snapshots.SnapshotError, match="there is no snapshot other"):
            deed("other")
    assert snapshots.names() == []


def test_half_a_snapshot_is_none(lab: Lab) -> None:
    lab.keep()
    (paths.SNAPSHOTS / "half").mkdir()
    shutil.copytree(paths.SNAPSHOTS / "one", paths.SNAPSHOTS / "other.new")
    assert snapshots.names() == ["one"]
    assert json.loads((paths.SNAPSHOTS / "one" / "snapshot.json").read_text())["disks"] == {
        "disk-1": "vm-1",
        "disk-free": None,
    }
