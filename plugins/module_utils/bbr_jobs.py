# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs with BBR's scripts, and in which order they are locked.

Sources: bosh-backup-and-restore instance/{script,metadata,job,job_finder}.go, orderer/kahn_lock_orderer.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml

#: Below /var/vcap/jobs/JOB/bin/bbr; whatever else is there is none of BBR's.
SCRIPTS = (
    "metadata",
    "pre-backup-lock",
    "backup",
    "post-backup-unlock",
    "pre-restore-lock",
    "restore",
    "post-restore-unlock",
)
_PATH = re.compile(rf"^/var/vcap/jobs/([^/]+)/bin/bbr/({'|'.join(SCRIPTS)})$")
# BBR leaves these two alone (isMySQLScript).
_NOT_OURS = ("mysql-backup", "mysql-restore")
#: What a metadata script prints, as BBR's struct Metadata has it (instance/metadata.go).
_LOCK_BEFORE = [{"job_name": str, "release": str}]
_METADATA = {
    "backup_name": str,
    "restore_name": str,
    "backup_should_be_locked_before": _LOCK_BEFORE,
    "restore_should_be_locked_before": _LOCK_BEFORE,
    "skip_bbr_scripts": bool,
}
#: metadata's key of each ordering.
ORDERS = {"backup": "backup_should_be_locked_before", "restore": "restore_should_be_locked_before"}


class Cycle(ValueError):
    """Jobs of which each has to be locked before the next; the message names them."""


@dataclass(frozen=True)
class Job:
    """A job with scripts on one instance. release is empty for a director, whose manifest nobody asks.

    before: by backup and restore, the (job, release) that have to be locked after this one.
    """

    name: str
    instance: str
    release: str = ""
    scripts: tuple[str, ...] = ()
    before: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict, hash=False)


def scripts_of(paths: list[str]) -> dict[str, list[str]]:
    """The scripts of each job by its name, of all files in a VM's bin/bbr directories, in the order of SCRIPTS."""
    found: dict[str, set[str]] = {}
    for path in paths:
        match = _PATH.match(path)
        if match and match.group(1) not in _NOT_OURS:
            found.setdefault(match.group(1), set()).add(match.group(2))
    return {job: [script for script in SCRIPTS if script in found[job]] for job in sorted(found)}


def parse_metadata(text: str, with_releases: bool = True) -> dict[str, Any]:
    """What a job's metadata script printed: skip, before (as in Job), and discontinued names.

    Without releases, for a director, only job names count. Raises ValueError with a sentence for what BBR refuses, too:
    a value of another type, and a job without name or release.
    """
    try:
        data = bosh_yaml.decode(text, _METADATA)
    except bosh_yaml.BadYaml as error:
        raise ValueError(f"its metadata script printed what BBR cannot read: {error}") from None
    before = {}
    for order, key in ORDERS.items():
        if not all(one["job_name"] and one["release"] for one in data[key]):
            raise ValueError(f"its metadata names a job without job_name and release in {key}")
        before[order] = tuple((one["job_name"], one["release"] if with_releases else "") for one in data[key])
    return {
        "skip": data["skip_bbr_scripts"],
        "before": before,
        "discontinued": [key for key in ("backup_name", "restore_name") if data[key]],
    }


def tell(
    found: list[dict[str, Any]],
    with_releases: bool,
    releases: dict[str, str],
    one_restore_all: Mapping[str, bool] | Sequence[str],
) -> dict[str, Any]:
    """What M(bosh.ha.bbr_jobs) returns of jobs with their scripts and what each metadata script printed.

    one_restore_all: jobs whose artifact all instances restore, and whether it is this instance's, the bootstrap one; a
    list of names stands for the bootstrap instance.
    Raises ValueError, which names the job, for metadata that cannot be read.
    """
    jobs, disabled, warnings = [], [], []
    own = one_restore_all if isinstance(one_restore_all, Mapping) else dict.fromkeys(one_restore_all, True)
    for one in found:
        name = one["name"]
        try:
            data = parse_metadata(one["metadata"], with_releases)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if data["skip"]:
            disabled.append(name)
            continue
        if data["discontinued"]:
            keys = " and ".join(data["discontinued"])
            warnings.append(f"{name} has {keys} in its metadata, which BBR has discontinued")
        jobs.append(
            {
                "name": name,
                "release": releases.get(name, ""),
                "scripts": one["scripts"],
                "before": data["before"],
                "artifact": shared_name(name, releases.get(name, "")) if name in own else name,
                "shared": name in own,
                "source": bool(own.get(name)),
                "discontinued": data["discontinued"],
            }
        )
    return {"jobs": jobs, "disabled": disabled, "warnings_of_bbr": warnings}


def shared_name(job: str, release: str) -> str:
    """Name of what one instance leaves for all.

    Every instance restores it, and only the bootstrap one leaves it: the others leave an artifact of their own name,
    which nothing restores. Source: instance/job.go, BackupArtifactName, RestoreArtifactName.
    """
    return f"{job}-{release}-backup-one-restore-all"


def waves(jobs: list[Job], order: str) -> list[list[Job]]:
    """Which jobs are locked at once, first to last; they are unlocked in the reverse. order: backup or restore.

    Raises Cycle where there is no such order.
    """
    left = list(jobs)
    found = []
    while left:
        later = {after for job in left for after in _after(job, left, order)}
        wave = [job for job in left if (job.name, job.instance) not in later]
        if not wave:
            raise Cycle(f"these jobs would each have to be locked before the next: {' -> '.join(_cycle(left, order))}")
        found.append(wave)
        left = [job for job in left if job not in wave]
    return found


def _after(job: Job, jobs: list[Job], order: str) -> list[tuple[str, str]]:
    """Name and instance of those that have to be locked after a job."""
    wanted = job.before.get(order, ())
    return [(other.name, other.instance) for other in jobs if (other.name, other.release) in wanted]


def _cycle(jobs: list[Job], order: str) -> list[str]:
    """A way from a job back to itself; each of these jobs has one after it, or one before it, that is in a cycle."""
    by_key = {(job.name, job.instance): job for job in jobs}
    before = {after: key for key, job in by_key.items() for after in _after(job, jobs, order)}
    # Everyone who is left has somebody before it, so the way back does not end before it meets itself.
    way = [next(iter(by_key))]
    while way.count(way[-1]) < 2:
        way.append(before[way[-1]])
    circle = list(reversed(way[way.index(way[-1]) :]))
    return [f"{name} on {instance}" for name, instance in circle]


def waves_by_host(found: dict[str, list[dict[str, Any]]], order: str) -> list[dict[str, list[str]]]:
    """The waves of jobs as bosh.ha.bbr_jobs tells them of each host; in each wave the names of its jobs, by host.

    bbr locks all jobs of a wave at once for a backup, and one host after the other for a restore
    (factory/{deployment,director}_restorer.go, NewSerialExecutor), so each wave of a restore has one host.
    Raises Cycle.
    """
    jobs = [
        Job(
            name=one["name"],
            instance=host,
            release=one.get("release", ""),
            before={order: tuple((str(job), str(release)) for job, release in one["before"][order])},
        )
        for host, listed in found.items()
        for one in listed
    ]
    told = []
    for wave in waves(jobs, order):
        by_host: dict[str, list[str]] = {}
        for job in wave:
            by_host.setdefault(job.instance, []).append(job.name)
        told += [by_host] if order == "backup" else [{host: names} for host, names in by_host.items()]
    return told


def one_by_one(found: dict[str, list[dict[str, Any]]], script: str) -> list[dict[str, list[str]]]:
    """Waves of one host each, with the names of its jobs that have a script; hosts without such a job are left out.

    bbr restores one instance after the other, as a cluster may need it (orchestrator/instance.go, Restore).
    """
    by_host = {host: [job["name"] for job in jobs if script in job["scripts"]] for host, jobs in found.items()}
    return [{host: names} for host, names in by_host.items() if names]
