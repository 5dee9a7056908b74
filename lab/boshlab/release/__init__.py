# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's release `bosh`, in the format of a real one, but with no packages: the software is in the stemcell.

A job is a directory: `spec.yml` (templates and where they go), `monit`, `templates/`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from boshlab import paths
from boshlab.render import tgz

JOBS = Path(__file__).parent / "jobs"


def job_tarball(directory: Path) -> bytes:
    spec = yaml.safe_load((directory / "spec.yml").read_text(encoding="utf-8"))
    manifest = {"name": directory.name, "templates": spec["templates"], "packages": [], "properties": {}}
    files = {"job.MF": yaml.safe_dump(manifest).encode(), "monit": (directory / "monit").read_bytes()}
    files |= {f"templates/{name}": (directory / "templates" / name).read_bytes() for name in spec["templates"]}
    return tgz(files)


def build(target: Path) -> None:
    """Write the release's tarball; the same jobs give the same bytes."""
    name, version = paths.RELEASE
    files, jobs = {}, []
    for directory in sorted(path for path in JOBS.iterdir() if path.is_dir()):
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
