# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director's backup and restore as `bbr` does them: by itself where it is on PATH, else its commands in its order.

Source: bosh-backup-and-restore orchestrator/{backuper,restorer}.go, backup/directory.go, ssh/remote_runner.go.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from . import lab

#: The lab's jobs that have scripts, each with an artifact of its own.
JOBS = ("blobstore", "director")
_ARTIFACTS = f"{lab.STORE}/bbr-backup"
_AT = r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) INFO - "
_KEY = lab.STATE / "workspace" / "deployments" / "ssh" / "jumpbox"
_SSH = ("ssh", "-i", str(_KEY), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR")
_QUIET = ("-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes")


@dataclass(frozen=True)
class Took:
    """Seconds from the first process to the last, and from the first lock to the last unlock (None: nobody tells)."""

    seconds: float
    locked: float | None
    path: Path


def real() -> str:
    """The real `bbr`, or nothing."""
    return shutil.which("bbr") or ""


def backup(name: str, into: Path) -> Took:
    """Into a directory of its own below `into`."""
    into.mkdir(parents=True, exist_ok=True)
    return _real_backup(name, into) if real() else _scripted_backup(name, into)


def restore(name: str, path: Path) -> Took:
    began = time.monotonic()
    if real():
        _bbr(name, "restore", "--artifact-path", str(path), cwd=path.parent)
    else:
        _root(name, f"mkdir -p {_ARTIFACTS}")
        for job in JOBS:
            _root(name, f"mkdir -p {_ARTIFACTS}/{job}")
            with (path / f"bosh-0-{job}.tar").open("rb") as tar:
                _root(name, f"tar -C {_ARTIFACTS}/{job} -x", stdin=tar)
            if _sums(name, job) != _local_sums(path, job):
                raise lab.BenchError(f"{job} arrived as something else")
        for job in JOBS:
            _script(name, job, "restore")
        _root(name, f"rm -rf {_ARTIFACTS}")
    return Took(time.monotonic() - began, None, path)


def _real_backup(name: str, into: Path) -> Took:
    before, began = set(into.iterdir()), time.monotonic()
    said = _bbr(name, "backup", "--artifact-path", str(into), cwd=into)
    seconds = time.monotonic() - began
    [path] = set(into.iterdir()) - before
    return Took(seconds, locked(said), path)


def locked(said: str) -> float | None:
    """Seconds from the first lock to the last unlock, by the times of `bbr`'s log, which have no fractions."""
    found = [
        re.search(_AT + words, said) for words in ("Running pre-backup-lock", "Finished running post-backup-unlock")
    ]
    times = [datetime.strptime(one[1], "%Y/%m/%d %H:%M:%S") for one in found if one]
    return (times[1] - times[0]).total_seconds() if len(times) == 2 else None


def _bbr(name: str, *words: str, cwd: Path) -> str:
    who = ["director", "--host", lab.ADDRESSES[name], "--username", "jumpbox", "--private-key-path", str(_KEY)]
    done = subprocess.run([real(), *who, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise lab.BenchError(f"bbr {words[0]} of {name} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def _scripted_backup(name: str, into: Path) -> Took:
    path, began = into / f"{lab.ADDRESSES[name]}_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}", time.monotonic()
    path.mkdir()
    _root(name, "find /var/vcap/jobs/*/bin/bbr/* -type f")
    _root(name, f"mkdir -p {_ARTIFACTS}")
    locked = time.monotonic()
    for job in JOBS:
        _root(name, f"mkdir -p {_ARTIFACTS}/{job}")
        _script(name, job, "backup")
    unlocked = time.monotonic()
    for job in JOBS:
        _root(name, f"du -sh {_ARTIFACTS}/{job}")
        with (path / f"bosh-0-{job}.tar").open("wb") as tar:
            _root(name, f"tar -C {_ARTIFACTS}/{job} -c .", stdout=tar)
        if _local_sums(path, job) != _sums(name, job):
            raise lab.BenchError(f"{job} arrived as something else")
    _root(name, f"rm -rf {_ARTIFACTS}")
    return Took(time.monotonic() - began, unlocked - locked, path)


def _script(name: str, job: str, script: str) -> None:
    where = f"{_ARTIFACTS}/{job}/"
    _root(name, f"BBR_ARTIFACT_DIRECTORY={where} ARTIFACT_DIRECTORY={where} /var/vcap/jobs/{job}/bin/bbr/{script}")


def _sums(name: str, job: str) -> dict[str, str]:
    said = _root(name, f"cd {_ARTIFACTS}/{job} && find . -type f | xargs shasum -a 256")
    return {path: digest for digest, _space, path in (line.partition("  ") for line in said.splitlines())}


def _local_sums(path: Path, job: str) -> dict[str, str]:
    found = {}
    with tarfile.open(path / f"bosh-0-{job}.tar") as tar:
        for member in tar:
            if stream := tar.extractfile(member) if member.isfile() else None:
                found[member.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _root(name: str, script: str, **streams: object) -> str:
    command = [*_SSH, *_QUIET, f"jumpbox@{lab.ADDRESSES[name]}", "sudo", "sh", "-c", f"'{script}'"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | streams
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=1800, **streams)  # type: ignore[call-overload]
    if done.returncode:
        raise lab.BenchError(f"`{script}` on {name} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return (done.stdout or b"").decode()
