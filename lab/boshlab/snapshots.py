# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole lab at a moment, and back to it: VMs with what they wrote, disks, stemcells, the state directory.

All VMs stand still for the copy. A VM's writable layer is copied from and to the place where Podman keeps it, and a
disk from and to wherever it is; of both only what changed. What did not change since the last snapshot is one file with
it (hard links).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from boshlab import cpi, monit, paths, probe
from boshlab.podman import Podman

#: Of the state directory: what belongs to the running service, and disks, which are copied each by itself.
NOT_STATE = ("/podman.sock", "/podman.pid", "/podman.log", "/disks/*/", "/vms/*/attached/*")
#: Seconds for VMs to be again what they were, and to be gone from their mounts.
SETTLE, UNMOUNT = 90, 20
TAG = "localhost/bosh-lab/cid:"
#: monit writes its state down, PostgreSQL shuts down, and nobody starts it again.
QUIET = """sv -w 5 stop /etc/service/monit
pid=$(head -n 1 /var/vcap/store/postgres-15/postmaster.pid 2>/dev/null) && [ -d "/proc/$pid" ] &&
  runuser -u vcap -- /usr/lib/postgresql/15/bin/pg_ctl -D /var/vcap/store/postgres-15 -m fast -w -t 10 stop"""
#: Runs a command in a VM and returns what it printed; a failure is an empty answer.
Run = Callable[[str, str], str]


class SnapshotError(Exception):
    """One sentence for a person."""


def directory(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) or name.endswith(".new"):
        raise SnapshotError(f"'{name}' is no name for a snapshot: letters, digits, '.', '_' and '-'")
    return paths.SNAPSHOTS / name


def read(name: str) -> dict[str, Any]:
    try:
        return json.loads((directory(name) / "snapshot.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SnapshotError(f"there is no snapshot {name}: `lab snapshots` lists them") from None


def names() -> list[str]:
    """Whole snapshots, the oldest first."""
    found = [path.parent for path in paths.SNAPSHOTS.glob("*/snapshot.json") if not path.parent.name.endswith(".new")]
    return [path.name for path in sorted(found, key=lambda path: read(path.name)["made_at"])]


def remove(name: str) -> None:
    read(name)
    shutil.rmtree(directory(name))


# What there is


def monit_states(summary: str) -> dict[str, str]:
    """State of each of monit's processes, lower case, from its summary."""
    return {name: state.lower() for name, state in monit.parse(summary).items()}


def disks() -> dict[str, Path]:
    """Where each disk is, by its CID."""
    found = [*paths.DISKS.glob("*/"), *paths.VMS.glob("*/attached/*/")]
    return {path.name: path for path in found if path.is_dir()}


def place(cid: str, holder: str | None) -> Path:
    """Where a disk belongs: in its VM, or among the free ones."""
    return (paths.VMS / holder / "attached" if holder else paths.DISKS) / cid


def _holder(path: Path) -> str | None:
    return path.parent.parent.name if path.parent.name == "attached" else None


def tags(podman: Podman) -> dict[str, str]:
    """Stemcells: their names as images, and the images' ids."""
    images = podman.call("GET", "/images/json") or []
    return {tag: image["Id"] for image in images for tag in image.get("RepoTags") or [] if tag.startswith(TAG)}


def _image_ids(podman: Podman) -> set[str]:
    return {image["Id"].removeprefix("sha256:") for image in podman.call("GET", "/images/json") or []}


def describe(inspected: dict[str, Any]) -> dict[str, Any]:
    """What it takes to make a VM's container again, from Podman's words about it."""
    labels = inspected["Config"]["Labels"]
    return {
        "cid": labels[cpi.LABEL],
        "address": labels["bosh-lab.ip"],
        "agent": labels["bosh-lab.agent"],
        "image": inspected["ImageName"],
        "image_id": inspected["Image"],
        "iaas_access": any(mount.get("Destination") == str(paths.STATE) for mount in inspected.get("Mounts") or []),
        "running": inspected["State"]["Status"] == "running",
    }


def _upper(podman: Podman, cid: str) -> Path:
    """Where Podman keeps what a VM wrote."""
    driver = podman.inspect(cid)["GraphDriver"]
    if driver["Name"] != "overlay":
        raise SnapshotError(f"Podman keeps VMs by {driver['Name']}: snapshots need overlay")
    return Path(driver["Data"]["UpperDir"])


def _cids(podman: Podman) -> list[str]:
    return [container["Names"][0] for container in podman.containers(cpi.LABEL)]


def _each(deed: Callable[..., Any], *lists: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(deed, *lists))


# Copies


def mirror(source: Path, target: Path, exclude: tuple[str, ...] = (), linked: Path | None = None) -> None:
    """Make `target` the same as `source`, by owner, mode, time in nanoseconds, links, ACLs and attributes.

    linked: a tree of which unchanged files are taken as hard links.
    """
    target.mkdir(parents=True, exist_ok=True)
    command = ["rsync", "-aHAX", "--numeric-ids", "--delete", "--modify-window=-1", "--whole-file", "--sparse"]
    command += [f"--exclude={pattern}" for pattern in exclude]
    if linked and linked.is_dir():
        command.append(f"--link-dest={linked}")
    done = subprocess.run([*command, f"{source}/", f"{target}/"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SnapshotError(f"the copy of {source} failed: {done.stderr.strip()[-500:]}")


def index(tree: Path) -> dict[str, list[int]]:
    """Of each file its inode and when it last changed in any way, which nobody can set: `mtime` can be set back."""
    found = {}
    for place_, _directories, files in os.walk(tree):
        for name in files:
            path = os.path.join(place_, name)
            about = os.lstat(path)
            found[os.path.relpath(path, tree)] = [about.st_ino, about.st_ctime_ns]
    return found


def doubt(tree: Path, known: dict[str, list[int]]) -> int:
    """Give each file that changed since the index a time that no snapshot has, so that it is surely copied again."""
    changed = [name for name, about in index(tree).items() if known.get(name) != about]
    for name in changed:
        path = tree / name
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(1, 1))
    return len(changed)


# To and fro


def stop(podman: Podman, run: Run, cids: list[str], clean: bool) -> None:
    """All VMs stand still: their files are nobody's. clean: PostgreSQL shuts down before."""

    def one(cid: str) -> None:
        if podman.inspect(cid)["State"]["Status"] == "running":
            if clean:
                run(cid, QUIET)
            podman.stop(cid)

    _each(one, cids)
    uppers = {f"upperdir={_upper(podman, cid)}" for cid in cids}
    until = time.monotonic() + UNMOUNT
    while any(upper in Path("/proc/self/mounts").read_text(encoding="utf-8") for upper in uppers):
        if time.monotonic() > until:
            raise SnapshotError(f"after {UNMOUNT} s Podman still has the files of a stopped VM mounted")
        time.sleep(0.1)


def boot(podman: Podman, cid: str) -> None:
    """Start a VM in which what monit had stopped stays stopped: no process may touch a store that was at rest."""
    marker = _upper(podman, cid) / "var/vcap/monit/lab.laststate"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    podman.start(cid)


def settle(run: Run, vms: list[dict[str, Any]]) -> None:
    """Wait until monit and the director of each VM are again what they were. Raises SnapshotError."""
    until = time.monotonic() + SETTLE
    waiting = [vm for vm in vms if vm["running"]]
    while True:
        said = _each(_unsettled, [run] * len(waiting), waiting)
        late = [(vm, words) for vm, words in zip(waiting, said, strict=True) if words]
        if not late:
            return
        if time.monotonic() > until:
            vm, words = late[0]
            raise SnapshotError(f"{vm['cid']} at {vm['address']} is not what it was in {SETTLE} s: {words}")
        waiting = [vm for vm, _words in late]
        time.sleep(0.5)


def _unsettled(run: Run, vm: dict[str, Any]) -> str:
    """What is not yet as it was; nothing where all is."""
    states = look(run, vm["cid"])
    for name, state in vm["monit"].items():
        # What was on its way somewhere need not be on its way again. A stopped one whose job file somebody took away
        # while monit ran is not known to monit any more.
        gone = state == "not monitored" and name not in states
        if state in ("running", "not monitored") and states.get(name) != state and not gone:
            return f"monit says '{states.get(name, 'nothing')}' of {name}, not '{state}'"
    if vm["uuid"] and uuid_at(vm["address"]) != vm["uuid"]:
        return f"its director does not answer as {vm['uuid']}"
    return ""


def look(run: Run, cid: str) -> dict[str, str]:
    return monit_states(run(cid, "/var/vcap/bosh/bin/monit summary"))


def uuid_at(address: str) -> str | None:
    """The UUID with which a director answers, or None."""
    return asyncio.run(probe.ask(address, probe.context(), timeout=2))["uuid"]


def make(name: str, run: Run, podman: Podman | None = None) -> dict[str, Any]:
    """Keep the lab under a name; one that is there under it is replaced. Returns what is in snapshot.json."""
    podman = podman or Podman()
    target = directory(name)
    new = target.with_name(f"{name}.new")
    shutil.rmtree(new, ignore_errors=True)
    paths.SNAPSHOTS.mkdir(exist_ok=True)
    paths.SNAPSHOTS.chmod(0o700)
    known = names()
    linked = directory(known[-1]) if known else None
    cids = sorted(_cids(podman))
    vms = [describe(podman.inspect(cid)) for cid in cids]
    running = [vm["cid"] for vm in vms if vm["running"]]
    for vm, states in zip(vms, _each(lambda vm: look(run, vm["cid"]) if vm["running"] else {}, vms), strict=True):
        vm |= {"monit": states, "uuid": uuid_at(vm["address"]) if "director" in states else None}
    found = {
        "made_at": time.time(),
        "vms": vms,
        "tags": tags(podman),
        "disks": {cid: _holder(path) for cid, path in disks().items()},
    }
    began = time.monotonic()
    stop(podman, run, cids, clean=True)
    try:
        trees = _trees(podman, new, cids)
        _each(
            lambda part: mirror(part[1], part[2], part[3], linked / part[0] if linked else None),
            [(str(kept.relative_to(new)), live, kept, exclude) for live, kept, exclude in trees],
        )
        _write_index(new, trees)
    finally:
        _each(lambda cid: boot(podman, cid), running)
    found["stood_still"] = round(time.monotonic() - began, 1)
    (new / "snapshot.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    new.rename(target)
    settle(run, vms)
    return found


def _trees(podman: Podman, kept: Path, cids: Iterable[str]) -> list[tuple[Path, Path, tuple[str, ...]]]:
    """Pairs of a living tree and where a snapshot has it, with what is left out; the large ones first."""
    return [
        *[(path, kept / "disks" / cid, ()) for cid, path in sorted(disks().items())],
        *[(_upper(podman, cid), kept / "layers" / cid, ()) for cid in cids],
        (paths.STATE, kept / "state", NOT_STATE),
    ]


def _write_index(kept: Path, trees: list[tuple[Path, Path, tuple[str, ...]]]) -> None:
    # The state directory is small and copied by time and size alone.
    found = {str(copy.relative_to(kept)): index(live) for live, copy, exclude in trees if not exclude}
    temporary = kept / "index.new"
    temporary.write_text(json.dumps(found), encoding="utf-8")
    temporary.rename(kept / "index.json")


def restore(name: str, run: Run, podman: Podman | None = None) -> dict[str, Any]:
    """Back to a snapshot; what came after it is gone. Broken off, it can be run again."""
    podman = podman or Podman()
    kept, found = directory(name), read(name)
    there = _image_ids(podman)
    lost = {vm["cid"] for vm in found["vms"] if vm["image_id"].removeprefix("sha256:") not in there}
    if lost:
        raise SnapshotError(f"the image of {', '.join(sorted(lost))} in snapshot {name} is not in Podman any more")
    wanted = {vm["cid"]: vm for vm in found["vms"]}
    stop(podman, run, _cids(podman), clean=False)
    # Only now, as a director may have been making one.
    present = set(_cids(podman))
    _each(podman.remove, present - wanted.keys())
    _restore_tags(podman, found["tags"])
    _place_disks(found["disks"])
    mirror(kept / "state", paths.STATE, NOT_STATE)
    for cid in sorted(wanted.keys() - present):
        vm = wanted[cid]
        (paths.VMS / cid / "attached").mkdir(parents=True, exist_ok=True)
        image = vm["image"] if vm["image"] in found["tags"] else vm["image_id"]
        podman.create(cpi.container(cid, image, vm["agent"], vm["address"], vm["iaas_access"]))
    trees = _trees(podman, kept, wanted)
    known = json.loads((kept / "index.json").read_text(encoding="utf-8"))

    def back(part: tuple[Path, Path, tuple[str, ...]]) -> None:
        live, copy, _exclude = part
        doubt(live, known[str(copy.relative_to(kept))])
        mirror(copy, live)

    _each(back, [part for part in trees if not part[2]])
    _write_index(kept, trees)
    _each(lambda cid: boot(podman, cid), [vm["cid"] for vm in found["vms"] if vm["running"]])
    settle(run, found["vms"])
    return found


def _restore_tags(podman: Podman, wanted: dict[str, str]) -> None:
    """The stemcells that there were, and no other."""
    present = tags(podman)
    for tag, image in wanted.items():
        if present.get(tag) != image:
            repo, _colon, version = tag.rpartition(":")
            podman.call("POST", f"/images/{image}/tag", params={"repo": repo, "tag": version})
    for tag in present.keys() - wanted.keys():
        repo, _colon, version = tag.rpartition(":")
        podman.call("POST", f"/images/{present[tag]}/untag", params={"repo": repo, "tag": version})


def _place_disks(wanted: dict[str, str | None]) -> None:
    """Each disk to where it was, with whatever is on it; one that was not there goes."""
    for cid, path in disks().items():
        if cid not in wanted:
            shutil.rmtree(path)
        elif path != place(cid, wanted[cid]):
            place(cid, wanted[cid]).parent.mkdir(parents=True, exist_ok=True)
            path.rename(place(cid, wanted[cid]))
    for cid, holder in wanted.items():
        place(cid, holder).mkdir(parents=True, exist_ok=True)
