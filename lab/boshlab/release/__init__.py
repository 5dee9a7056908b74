# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's releases, in the format of real ones, but with no packages: the software is in the stemcell.

A release is a directory with `jobs`, and perhaps `common`: templates that several of its jobs have. A job is a
directory: `spec.yml` (templates and where they go), `monit`, `templates/`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from boshlab import paths
from boshlab.render import tgz

RELEASES = Path(__file__).parent


def job_tarball(directory: Path) -> bytes:
    spec = yaml.safe_load((directory / "spec.yml").read_text(encoding="utf-8"))
    manifest = {"name": directory.name, "templates": spec["templates"], "packages": []}
    manifest["properties"] = spec.get("properties") or {}
    files = {"job.MF": yaml.safe_dump(manifest).encode(), "monit": (directory / "monit").read_bytes()}
    files |= {f"templates/{name}": _template(directory, name).read_bytes() for name in spec["templates"]}
    return tgz(files)


def _template(job: Path, name: str) -> Path:
    """A job's own template, or else the one that its release's jobs have in common."""
    own = job / "templates" / name
    return own if own.exists() else job.parent.parent / "common" / name


def build(target: Path, release: tuple[str, str] = paths.RELEASE) -> None:
    """Write a release's tarball; the same jobs give the same bytes. release: its name and version."""
    name, version = release
    files, jobs = {}, []
    for directory in sorted(path for path in (RELEASES / name / "jobs").iterdir() if path.is_dir()):
        data = job_tarball(directory)
        digest = hashlib.sha256(data).hexdigest()
        files[f"jobs/{directory.name}.tgz"] = data
        jobs.append({"name": directory.name, "version": digest, "fingerprint": digest, "sha1": f"sha256:{digest}"})
    manifest = {
        "name": name,
        "version": version,
        "commit_hash": "lab",
        "uncommitted_changes": False,
        "jobs": jobs,
        "packages": [],
    }
    write_tgz(target, {"release.MF": yaml.safe_dump(manifest).encode()} | files)


def write_tgz(target: Path, files: dict[str, bytes]) -> None:
    target.write_bytes(tgz(files))
