# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup in BBR's layout: a directory with a tar for each job, and `metadata` with the digest of each file in them.

Sources: bosh-backup-and-restore backup/{backup_directory,metadata}.go, orchestrator/error.go.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Protocol, cast

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml

METADATA = "metadata"
#: Ours beside it.
ABOUT = "bosh_ha.json"
#: What came of its rehearsal, beside it, too.
REHEARSED = "rehearsed.json"
#: At the end of the name of a backup that is not finished.
PARTIAL = ".part"
#: What each kind of failure adds to the exit code.
EXIT_BITS = {"failed": 1, "lock": 4, "unlock": 8, "cleanup": 16}
#: What `metadata` holds, as BBR's struct has it (backup/metadata.go).
_ARTIFACTS = [{"name": str, "checksums": {str: str}}]
_METADATA = {
    "instances": [{"name": str, "index": str, "artifacts": _ARTIFACTS}],
    "custom_artifacts": _ARTIFACTS,
    "backup_activity": {"start_time": str, "finish_time": str},
}
_TIME = "%Y/%m/%d %H:%M:%S UTC"
#: At the end of a backup's name. strptime takes a digit less, too.
_STAMP = "%Y%m%dT%H%M%SZ"
_STAMPED = re.compile("[0-9]{8}T[0-9]{6}Z", re.ASCII)
_CHUNK = 1 << 20


class Readable(Protocol):
    """All that is asked of a stream."""

    def read(self, size: int = ..., /) -> bytes: ...


class Damaged(ValueError):
    """A backup that is not what it was when it was made; the message names the file."""


@dataclass(frozen=True)
class Artifact:
    """What one job's backup script left. group and index are empty for one that is restored on all instances."""

    name: str
    group: str = ""
    index: str = ""

    @property
    def file(self) -> str:
        """Name of its file in the backup."""
        return f"{self.group}-{self.index}-{self.name}.tar" if self.group else f"{self.name}.tar"


def artifacts_of(jobs: list[dict[str, Any]], script: str, group: str, index: str) -> list[dict[str, str]]:
    """What the jobs of one instance that have a script leave or take: job, name, group, index and file of each.

    jobs: as M(bosh.ha.bbr_jobs) tells them. script: backup or restore. An artifact that all instances restore has
    no group and no index; it is left by one of them, the source.
    """
    found = []
    for job in jobs:
        if script in job["scripts"]:
            shared = job["shared"] and (script == "restore" or job.get("source", True))
            one = Artifact(job["artifact"]) if shared else Artifact(job["name"], group, index)
            found.append(
                {"job": job["name"], "name": one.name, "group": one.group, "index": one.index, "file": one.file}
            )
    return found


def unfit(
    artifacts: list[dict[str, Any]], takers: list[list[dict[str, str]]], instances: list[list[str]]
) -> dict[str, Any]:
    """Whether a backup fits a deployment: `problems`, each a sentence, and `ignored`, files that no job takes.

    As bbr has it, every instance of the backup must be there, and every job that restores needs its part; what a job
    left that restores nothing is ignored, as what instances leave beside the one that leaves for all.
    artifacts: group, index and file of each in the backup. takers: what `artifacts_of` returned for the restore, by
    instance. instances: group and index of each. Sources: backup/backup_directory.go (DeploymentMatches, ReadArtifact),
    orchestrator/backup_upload_executable.go.
    """
    there = {one["file"] for one in artifacts}
    known = {(group, str(index)) for group, index in instances}
    of = {(one["group"], str(one["index"])) for one in artifacts if one["group"]}
    wanted = {one["file"] for jobs in takers for one in jobs}
    problems = [f"the deployment has no instance {group}/{index}" for group, index in sorted(of - known)]
    problems += [f"it has no {file}" for file in sorted(wanted - there)]
    return {"problems": problems, "ignored": sorted(there - wanted)}


def private(path: str, flags: int) -> int:
    """An opener: a backup has all secrets of what it was made of."""
    return os.open(path, flags, 0o600)


def stamp_of(begun: datetime) -> str:
    """When a backup was begun, as its name has it."""
    return begun.astimezone(UTC).strftime(_STAMP)


def time_of(stamp: str) -> datetime | None:
    """The time of a stamp; None for what is none."""
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) if _STAMPED.fullmatch(stamp) else None
    except ValueError:
        return None


def directory_name(deployment: str, begun: datetime) -> str:
    """Name of a backup's directory; for a director `deployment` is its address."""
    return f"{deployment}_{stamp_of(begun)}"


def begun_at(entry: str, deployment: str) -> datetime | None:
    """When a backup with this name of a directory was begun; None for what is none of this deployment's.

    The whole name counts: `10.0.0.8` has no part in `10.0.0.80_...`, nor `app` in `app_two_...`.
    """
    return time_of(entry.removeprefix(f"{deployment}_")) if entry.startswith(f"{deployment}_") else None


def exit_code(kinds: list[str]) -> int:
    """BBR's exit code for failures of these kinds (keys of EXIT_BITS)."""
    return sum({EXIT_BITS[kind] for kind in kinds})


def metadata(sums: dict[Artifact, dict[str, str]], begun: datetime, ended: datetime | None = None) -> dict[str, Any]:
    """The content of `metadata`. sums: SHA-256 of each file of each artifact by its path in the tar (`./a/b`)."""
    instances: dict[tuple[str, str], dict[str, Any]] = {}
    custom = []
    for artifact, digests in sums.items():
        entry = {"name": artifact.name, "checksums": dict(digests)}
        if not artifact.group:
            custom.append(entry)
            continue
        key = (artifact.group, artifact.index)
        instance = instances.setdefault(key, {"name": artifact.group, "index": artifact.index, "artifacts": []})
        instance["artifacts"].append(entry)
    activity = {"start_time": begun.astimezone(UTC).strftime(_TIME)}
    if ended:
        activity["finish_time"] = ended.astimezone(UTC).strftime(_TIME)
    found: dict[str, Any] = {"instances": list(instances.values())} if instances else {}
    if custom:
        found["custom_artifacts"] = custom
    return found | {"backup_activity": activity}


def write_metadata(directory: str, data: dict[str, Any]) -> None:
    """`metadata`, on the disk once this has returned."""
    path = os.path.join(directory, METADATA)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(bosh_yaml.dump(data))
        stream.flush()
        os.fsync(stream.fileno())


def write_about(directory: str, data: dict[str, Any]) -> None:
    """What bbr has no place for, beside the backup."""
    with open(os.path.join(directory, ABOUT), "w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=1)


def half_done(parent: str, name: str) -> list[str]:
    """Names of backups of a deployment that were begun and never finished."""
    if not os.path.isdir(parent):
        return []
    there = (one for one in os.listdir(parent) if one.endswith(PARTIAL))
    return sorted(one for one in there if begun_at(one.removesuffix(PARTIAL), name))


def move_up(part: str) -> None:
    """Take what bbr made, the only directory in `part`, out of it. Raises Damaged, OSError."""
    made = sorted(one.path for one in os.scandir(part) if one.is_dir())
    if len(made) != 1:
        raise Damaged(f"bbr was to make one directory in {part}, and there are {len(made)}")
    read_metadata(made[0])
    # The metadata goes last, as what has it is a backup.
    for name in sorted(os.listdir(made[0]), key=lambda name: name == METADATA):
        os.rename(os.path.join(made[0], name), os.path.join(part, name))
    os.rmdir(made[0])


def about(directory: str) -> dict[str, Any]:
    """What we kept beside a backup; nothing for one that bbr made. Raises Damaged."""
    return _beside(directory, ABOUT)


def rehearsed(directory: str) -> dict[str, Any]:
    """What came of the last rehearsal of a backup; nothing where there was none. Raises Damaged."""
    return _beside(directory, REHEARSED)


def _beside(directory: str, name: str) -> dict[str, Any]:
    path = os.path.join(directory, name)
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Damaged(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise Damaged(f"{path} is no mapping")
    return data


def sums_of(data: dict[str, Any]) -> dict[Artifact, dict[str, str]]:
    """The reverse of `metadata`. Raises Damaged if an instance or an artifact lacks what bbr always writes."""
    found = {}
    instances, custom = data.get("instances", []), data.get("custom_artifacts", [])
    artifacts = [*custom, *(one for instance in instances for one in instance["artifacts"])]
    whole = all(instance["name"] and instance["index"] and instance["artifacts"] for instance in instances)
    if not whole or not all(one["name"] for one in artifacts):
        raise Damaged(f"{METADATA} is not what bbr writes: an instance or artifact has not all of its keys")
    for instance in instances:
        for one in instance["artifacts"]:
            found[Artifact(one["name"], instance["name"], instance["index"])] = one["checksums"]
    for one in custom:
        found[Artifact(one["name"])] = one["checksums"]
    return found


def read_metadata(directory: str) -> dict[str, Any]:
    """`metadata` of a backup. Raises Damaged where it is not there or cannot be read."""
    path = os.path.join(directory, METADATA)
    try:
        with open(path, "rb") as stream:
            data: dict[str, Any] = bosh_yaml.decode(stream.read(), _METADATA)
    except FileNotFoundError:
        raise Damaged(f"{path} is not there, so {directory} is no backup, or one that was not finished") from None
    except (OSError, bosh_yaml.BadYaml) as error:
        raise Damaged(f"{path} cannot be read: {error}") from None
    if not data["backup_activity"]["start_time"]:
        raise Damaged(f"{path} is not what bbr writes: it has no backup_activity")
    return data


def tar_sums(stream: Readable) -> dict[str, str]:
    """SHA-256 of each regular file of a tar that is read once, from front to end. Raises tarfile.TarError, OSError."""
    found = {}
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", bufsize=_CHUNK) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            digest = hashlib.sha256()
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
            name = member.name if member.name.startswith("./") else f"./{member.name}"
            found[name] = digest.hexdigest()
    return found


def check(directory: str) -> dict[Artifact, dict[str, str]]:
    """The sums of a backup, once every file was read and is what it was. Raises Damaged, which names the file."""
    sums = sums_of(read_metadata(directory))
    if not sums:
        raise Damaged(f"{directory} has no artifact")
    for artifact, wanted in sums.items():
        path = os.path.join(directory, artifact.file)
        try:
            with open(path, "rb") as stream:
                there = tar_sums(stream)
        except FileNotFoundError:
            raise Damaged(f"{path} is not there, and {METADATA} names it") from None
        except (OSError, tarfile.TarError) as error:
            raise Damaged(f"{path} cannot be read as a tar: {error}") from None
        compare(path, wanted, there)
    return sums


def printed_sums(printed: bytes) -> dict[str, str]:
    """What `sha256sum -z` printed, or `openssl dgst -r` with NULs between its lines, by path.

    Raises Damaged for anything else.
    """
    found = {}
    for line in printed.split(b"\0"):
        digest, mark, name = line[:64], line[64:66], line[66:]
        if line and (mark not in (b"  ", b" *") or not name):
            raise Damaged(f"the host printed {line[:100]!r}, which is no sum")
        if line:
            found[os.fsdecode(name)] = digest.decode()
    return found


def compare(path: str, wanted: dict[str, str], there: dict[str, str], who: str = METADATA) -> None:
    """Raises Damaged, which names the file, where a directory or tar is not what was summed up.

    who: where `wanted` is from.
    """
    for name in sorted(wanted.keys() | there.keys()):
        if name not in there:
            raise Damaged(f"{path} is without {name}, which {who} names")
        if name not in wanted:
            raise Damaged(f"{path} has {name}, of which {who} knows nothing")
        if wanted[name] != there[name]:
            raise Damaged(f"{path} is damaged: {name} has another SHA-256 than in {who}")
