# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose properties a job gets, and where in a manifest they stand.

A job gets its own `properties` if it has that key, even an empty one; otherwise its instance group's, merged over the
manifest's global ones. Sources: bosh v283.1.6 deployment_plan/instance_group_spec_parser.rb (parse_jobs,
extract_global_and_instance_group_properties), core_ext/hash.rb (recursive_merge); bosh-cli v7.10.6
templatescompiler/job_evaluation_context.go and deployment/manifest/parser.go, which also takes `jobs` for
`instance_groups` and `templates` for `jobs`. A key with null is refused by a director and is absent to create-env.

Paths are those of an ops file. Source: bosh-cli's go-patch, patch/pointer.go and patch/replace_op.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Data = dict[str, Any]
Operation = dict[str, Any]

_GROUPS, _JOBS = ("instance_groups", "jobs"), ("jobs", "templates", "template")
#: A variable without a value. Source: bosh-cli director/template/template.go.
VARIABLE = re.compile(r"\(\([^()\s]+\)\)")


@dataclass(frozen=True)
class Home:
    """A place of a manifest that holds properties; `job` is empty where several jobs share it."""

    path: str
    properties: Data
    job: str


@dataclass(frozen=True)
class Source:
    """A place that a job's properties come from, or would."""

    path: str
    #: Whether the key is there; `value` is what it holds, usually a mapping.
    exists: bool
    value: Any = field(repr=False)

    @property
    def content(self) -> Data:
        """What it holds; empty where that is no mapping."""
        return self.value if isinstance(self.value, dict) else {}


@dataclass(frozen=True)
class Job:
    """A job, its ops path and instance group, the properties that it gets, and their sources, the strongest first."""

    name: str
    release: str
    path: str
    group: Data = field(repr=False)
    properties: Data = field(repr=False)
    sources: tuple[Source, ...] = field(repr=False)


def jobs(manifest: Data, resolved: Data | None = None) -> list[Job]:
    """Every job of every instance group, in order.

    `manifest` is what an ops file sees, before variables are filled in; `resolved` is the same manifest with its
    variables, which gives the names. Raises KeyError or TypeError for a group without a name, which is no manifest.
    """
    found = []
    for at, group, names in _groups(manifest, resolved):
        shared = (_source(group, at), _source(manifest, ""))
        for place, job, name in _jobs_of(at, group, names):
            row = job if isinstance(job, dict) else {}
            own = _source(row, place)
            sources = shared if own.value is None else (own,)
            properties: Data = {}
            for source in reversed(sources):
                properties = merged(properties, source.content)
            release = row.get("release") or group.get("release") or ""
            found.append(Job(name, str(release), place, group, properties, sources))
    return found


def whole(manifest: Data, name: str) -> Job:
    """A job that the manifest does not list, as it would get the global properties."""
    source = _source(manifest, "")
    return Job(name, "", "", {}, source.content, (source,))


def homes(manifest: Data) -> Iterator[Home]:
    """Every place of a manifest that holds properties, whether a job gets them or not.

    Raises KeyError or TypeError for a group or a job without a name, which is no manifest.
    """
    if isinstance(manifest.get("properties"), dict):
        yield Home("/properties", manifest["properties"], "")
    for at, group, _names in _groups(manifest, None):
        if isinstance(group.get("properties"), dict):
            yield Home(f"{at}/properties", group["properties"], "")
        for place, job, _name in _jobs_of(at, group, group):
            if isinstance(job, dict) and isinstance(job.get("properties"), dict):
                yield Home(f"{place}/properties", job["properties"], str(job["name"]))


def of_job(manifest: Data, name: str) -> Data | None:
    """The properties that the first job of this name gets; None where the manifest has no such job."""
    return next((job.properties for job in jobs(manifest) if job.name == name), None)


def lookup(properties: Any, path: str) -> Any:
    """A property by its path with dots; None where it is absent or null, which is the same to BOSH."""
    for key in path.split("."):
        properties = properties.get(key) if isinstance(properties, dict) else None
    return properties


def set_operations(job: Job, values: dict[str, Any]) -> list[Operation]:
    """Operations that set properties of a job, by their paths with dots, so that it keeps all others that it gets.

    They write where the job gets its properties from: its own, else the group's, else the global ones where only those
    exist. A null on the way, which no operation can enter, is replaced by an empty mapping first. Raises ValueError
    where a variable or another value that is no mapping is in the way.
    """
    source = next((one for one in job.sources if one.value), job.sources[0])
    root = f"{source.path}{'' if source.exists else '?'}"
    operations: dict[str, Operation] = {}
    for key, value in values.items():
        at, held, exists = root, source.value, source.exists
        *above, last = key.split(".")
        for part in [*above, ""]:
            if exists and held is None:
                operations.setdefault(at, {"type": "replace", "path": at, "value": {}})
            elif exists and not isinstance(held, dict):
                raise ValueError(f"{at}: {key} cannot be set in {_described(held)}, which is no mapping; set it there")
            if part:
                inner = held or {}
                at, held, exists = f"{at}/{token(part)}?", inner.get(part), part in inner
        at = f"{at}/{token(last)}?"
        operations[at] = {"type": "replace", "path": at, "value": value}
    return list(operations.values())


def merged(below: Data, above: Data) -> Data:
    """Two mappings, the second over the first, mappings in them too."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def has_variable(data: Any) -> bool:
    """Whether a variable is left anywhere in the data."""
    if isinstance(data, dict):
        return any(has_variable(key) or has_variable(item) for key, item in data.items())
    if isinstance(data, list):
        return any(has_variable(item) for item in data)
    return isinstance(data, str) and bool(VARIABLE.search(data))


def token(text: str) -> str:
    """A key or a name as a part of an ops file's path."""
    return text.replace("~", "~0").replace("/", "~1").replace(":", "~7")


def item_token(items: list[Any], number: int) -> str:
    """How an ops file names an item of a list: by its name, or by its index where the name does not do.

    A path has the name as text; it finds nothing where two items have the same, where the name is still a variable
    (operations come first), where YAML reads it as a number, and where it ends with `?`, which is cut off.
    """
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    name = names[number]
    if not isinstance(name, str) or not name or name.endswith("?") or has_variable(name) or names.count(name) > 1:
        return str(number)
    return f"name={token(name)}"


def _groups(manifest: Data, resolved: Data | None) -> Iterator[tuple[str, Data, Data]]:
    """Path of each instance group, the group, and the same group with its variables filled in."""
    for kind in _GROUPS:
        groups = manifest.get(kind)
        if not isinstance(groups, list):
            continue
        for number, group in enumerate(groups):
            # Neither the CLI nor a director takes a group without a name.
            group["name"]
            yield f"/{kind}/{item_token(groups, number)}", group, _same(resolved, kind, number) or group


def _jobs_of(at: str, group: Data, names: Data) -> Iterator[tuple[str, Any, str]]:
    """Path, content and name of each job of a group; the oldest manifests have names only, or one of them."""
    for inner in _JOBS:
        given = group.get(inner)
        listed = given if isinstance(given, list) else [] if given is None else [given]
        for number, job in enumerate(listed):
            known = (_same(names, inner, number) or job) if isinstance(job, dict) else job
            name = known.get("name") if isinstance(known, dict) else known
            place = item_token(listed, number) if isinstance(job, dict) else f"name={token(str(job))}"
            yield f"{at}/{inner}/{place}", job, "" if name is None else str(name)


def _same(data: Any, kind: str, number: int) -> Any:
    items = data.get(kind) if isinstance(data, dict) else None
    item = items[number] if isinstance(items, list) and number < len(items) else None
    return item if isinstance(item, dict) else None


def _source(data: Data, at: str) -> Source:
    return Source(f"{at}/properties", "properties" in data, data.get("properties"))


def _described(value: Any) -> str:
    # A value may be a secret; the name of a variable is none.
    whole = isinstance(value, str) and VARIABLE.fullmatch(value)
    return value if whole else f"a {type(value).__name__}"
