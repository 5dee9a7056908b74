# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a manifest says of the director in it: v1 and v2, of create-env and of a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.manifests import property_homes

Manifest = dict[str, Any]

#: A variable that nobody has filled in.
VARIABLE = re.compile(r"\(\([^()\s]+\)\)")
#: Global properties that are a CPI's account. Source: the CPIs' jobs/*/spec.
_ACCOUNTS = (
    "alicloud",
    "aws",
    "azure",
    "cloudstack",
    "docker",
    "google",
    "openstack",
    "softlayer",
    "vcd",
    "vcenter",
    "warden_cpi",
)
#: What a CPI's job has besides its account: the director's own addresses and passwords.
_NO_ACCOUNT = ("agent", "blobstore", "env", "nats", "ntp", "registry")


def is_director(manifest: Any) -> bool:
    """Whether the data have the form of a manifest with a director in it."""
    try:
        for _path, _properties, _job in property_homes(manifest):
            pass
        return bool(_group(manifest))
    except (AttributeError, KeyError, TypeError):
        return False


def job_names(manifest: Manifest) -> set[str]:
    """Names of all jobs; v1 calls them templates."""
    return {name for name, _release in _jobs(manifest)}


def value(manifest: Manifest, job: str, path: str) -> Any:
    """A property as a job gets it, by its path with dots: the job's own, its group's, or a global one.

    None where it is not set, or still has a variable that nobody has filled in.
    """
    homes = list(property_homes(manifest))
    own = [properties for _path, properties, name in homes if name == job]
    shared = [properties for _path, properties, name in homes if not name]
    for properties in own + shared:
        found: Any = properties
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            return None if has_variable(found) else found
    return None


def has_variable(data: Any) -> bool:
    """Whether a variable is left anywhere in the data."""
    if isinstance(data, dict):
        return any(has_variable(item) for item in data.values())
    if isinstance(data, list):
        return any(has_variable(item) for item in data)
    return isinstance(data, str) and bool(VARIABLE.search(data))


def release(manifest: Manifest) -> tuple[str, str]:
    """Name and version of the release that the director is of; an empty version where none is told."""
    name = next((release for job, release in _jobs(manifest) if job == "director" and release), "bosh")
    rows = [row for row in manifest.get("releases") or [] if isinstance(row, dict) and row.get("name") == name]
    version = str(rows[0].get("version") or "") if rows else ""
    return name, version if re.match(r"\d", version) else ""


def zones(manifest: Manifest) -> list[str]:
    """Availability zones of the director's instance group."""
    group = _group(manifest) or {}
    return [str(zone) for zone in group.get("azs") or []]


def persistent_disk(manifest: Manifest, cloud_config: Any = None) -> int | str | None:
    """Size of the persistent disk in MiB, the name of its type or pool where only that is known; None for no disk."""
    group = _group(manifest) or {}
    if group.get("persistent_disk"):
        return _size(group["persistent_disk"])
    kinds = {
        "persistent_disk_type": _rows(manifest, "disk_types") + _rows(cloud_config, "disk_types"),
        "persistent_disk_pool": _rows(manifest, "disk_pools") + _rows(cloud_config, "disk_pools"),
    }
    for key, rows in kinds.items():
        if group.get(key):
            name = str(group[key])
            return next(
                (_size(row["disk_size"]) for row in rows if row.get("name") == name and "disk_size" in row), name
            )
    return "" if group.get("persistent_disks") else None


def account(manifest: Manifest, job: str, address: str) -> dict[str, str]:
    """The properties of a CPI's job by their paths with dots, without what is the director's own.

    Where the director's address is in a value it is taken out, so that two directors can be compared.
    """
    found: dict[str, str] = {}
    for _path, properties, name in property_homes(manifest):
        for key, content in properties.items():
            if (name == job and key not in _NO_ACCOUNT) or (not name and key in _ACCOUNTS):
                found |= {path: text.replace(address, "@") for path, text in _flat(content, str(key))}
    return found


def _flat(data: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(data, (dict, list)):
        for key, content in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _flat(content, f"{path}.{key}")
    else:
        yield path, str(data)


def _groups(manifest: Manifest) -> list[dict[str, Any]]:
    return [group for kind in ("instance_groups", "jobs") for group in manifest.get(kind) or []]


def _group(manifest: Manifest) -> dict[str, Any] | None:
    """The instance group with the director; where no job says so, the first one."""
    groups = _groups(manifest)
    with_director = [group for group in groups if "director" in [name for name, _release in _jobs_of(group)]]
    return next(iter(with_director or groups), None)


def _jobs(manifest: Manifest) -> list[tuple[str, str]]:
    return [job for group in _groups(manifest) for job in _jobs_of(group)]


def _jobs_of(group: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and release of each job of a group."""
    found = []
    for inner in ("jobs", "templates", "template"):
        jobs = group.get(inner) or []
        for job in jobs if isinstance(jobs, list) else [jobs]:
            row = job if isinstance(job, dict) else {"name": job, "release": group.get("release")}
            found.append((str(row.get("name") or ""), str(row.get("release") or "")))
    return found


def _rows(data: Any, key: str) -> list[dict[str, Any]]:
    rows = data.get(key) if isinstance(data, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _size(given: Any) -> int | str:
    return int(given) if str(given).isdigit() else str(given)
