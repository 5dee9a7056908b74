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
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jinja2
import yaml

from boshlab.properties import bound, lookup

_MISSING = object()


@dataclass(frozen=True)
class Job:
    """A job of a release: its templates by source name, where each goes, and its monit file."""

    name: str
    templates: dict[str, str]
    sources: dict[str, str] = field(repr=False)
    monit: str = ""
    #: Properties that the job's spec defines, with their defaults; empty for a job that gets whatever there is.
    properties: dict[str, Any] = field(default_factory=dict, repr=False)


class MissingProperty(Exception):
    """A property that the manifest must set. Source: bosh-common template/unknown_property.rb."""


class Unrendered(Exception):
    """A job some templates of which cannot be rendered; the message has the lines that BOSH has.

    Sources: bosh v283.1.6 bosh-director core/templates/job_template_renderer.rb and source_erb.rb.
    """

    def __init__(self, job: str, errors: list[str]) -> None:
        super().__init__("\n".join([f"Unable to render templates for job '{job}'. Errors are:", *errors]))


def load_job(job_tgz: bytes) -> Job:
    """Read a job's tarball (job.MF, monit, templates/)."""
    members = read_tgz(job_tgz)
    manifest = yaml.safe_load(members["job.MF"])
    sources = {
        name.removeprefix("templates/"): text.decode()
        for name, text in members.items()
        if name.startswith("templates/")
    }
    monit = members.get("monit", b"").decode()
    return Job(manifest["name"], manifest["templates"], sources, monit, manifest.get("properties") or {})


def render_job(job: Job, properties: dict[str, Any], spec: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Files of a job below its directory, with their modes. Raises Unrendered with every error."""
    if job.properties:
        properties = bound(properties, job.properties)

    def p(path: str, default: Any = _MISSING) -> Any:
        value = lookup(properties, path)
        if value is None:
            if default is _MISSING:
                raise MissingProperty(f"Can't find property '{path}'")
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
    errors: list[str] = []
    for source, target in [*sorted(job.templates.items()), ("monit", "monit")]:
        try:
            template = environment.from_string(job.monit if source == "monit" else job.sources[source])
            text = template.render(p=p, spec=spec, properties=properties)
        except (MissingProperty, jinja2.TemplateError) as error:
            errors.append(f"  - Error filling in template '{source}' (line {_line(error)}: {error})")
        else:
            files[target] = (text.encode(), 0o750 if target.startswith("bin/") else 0o640)
    if errors:
        raise Unrendered(job.name, errors)
    return files


def _line(error: Exception) -> int | str:
    """The line of the template in which an error happened."""
    found: int | str = getattr(error, "lineno", None) or "?"
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == "<template>":
            found = frame.lineno or found
    return found


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
