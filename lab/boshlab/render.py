# SPDX-License-Identifier: GPL-3.0-or-later

"""Rendering a job's templates, for the director and for create-env alike.

BOSH's templates are ERB; the lab's release has Jinja2 instead, as there is no Ruby here. What comes out has the
layout that the agent expects of a rendered templates archive (bosh-agent agent/applier/jobs).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jinja2
import yaml

_MISSING = object()


@dataclass(frozen=True)
class Job:
    """A job of a release: its templates by source name, where each goes, and its monit file."""

    name: str
    templates: dict[str, str]
    sources: dict[str, str] = field(repr=False)
    monit: str = ""


class MissingProperty(Exception):
    """A property that the manifest must set; the message names job and property."""


def load_job(job_tgz: bytes) -> Job:
    """Read a job's tarball (job.MF, monit, templates/)."""
    members = read_tgz(job_tgz)
    manifest = yaml.safe_load(members["job.MF"])
    sources = {
        name.removeprefix("templates/"): text.decode()
        for name, text in members.items()
        if name.startswith("templates/")
    }
    return Job(manifest["name"], manifest["templates"], sources, members.get("monit", b"").decode())


def render_job(job: Job, properties: dict[str, Any], spec: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Files of a job below its directory, with their modes. Raises MissingProperty."""

    def p(path: str, default: Any = _MISSING) -> Any:
        value: Any = properties
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            if default is _MISSING:
                raise MissingProperty(f"job {job.name}: the property {path} is not set")
            return default
        return value

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["json"] = lambda value: json.dumps(value, sort_keys=True)
    files: dict[str, tuple[bytes, int]] = {}
    for source, target in sorted(job.templates.items()):
        text = environment.from_string(job.sources[source]).render(p=p, spec=spec, properties=properties)
        files[target] = (text.encode(), 0o750 if target.startswith("bin/") else 0o640)
    monit = environment.from_string(job.monit).render(p=p, spec=spec, properties=properties)
    files["monit"] = (monit.encode(), 0o640)
    return files


def rendered_archive(jobs: Iterable[tuple[str, dict[str, tuple[bytes, int]]]]) -> tuple[bytes, str]:
    """One tarball of all rendered jobs and its SHA-256; the same content gives the same digest."""
    members = {f"{name}/{path}": content for name, files in jobs for path, content in files.items()}
    data = tgz(
        {path: body for path, (body, _mode) in members.items()}, {path: mode for path, (_body, mode) in members.items()}
    )
    return data, hashlib.sha256(data).hexdigest()


def tgz(files: dict[str, bytes], modes: dict[str, int] | None = None) -> bytes:
    """A tarball that depends on nothing but its content: no times, no owners, sorted names."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), (modes or {}).get(name, 0o644)
            archive.addfile(member, io.BytesIO(files[name]))
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream:
        stream.write(plain.getvalue())
    return packed.getvalue()


def read_tgz(data: bytes) -> dict[str, bytes]:
    """Files of a tarball by their names, without a leading `./`."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream:
                found[member.name.removeprefix("./")] = stream.read()
    return found
