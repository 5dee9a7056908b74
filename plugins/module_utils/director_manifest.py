# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a manifest says of the director in it: v1 and v2, of create-env and of a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import addresses, job_properties

Manifest = dict[str, Any]

has_variable = job_properties.has_variable

#: Keys of properties that are a CPI's account. Sources: the CPIs' jobs/*/spec, bosh-deployment */cpi.yml. Besides them,
#: the key that has the name of the CPI's job, as of docker_cpi and warden_cpi.
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
        return bool((_group(manifest) or {}).get("name"))
    except (AttributeError, KeyError, TypeError):
        return False


def job_names(manifest: Manifest) -> set[str]:
    """Names of all jobs; v1 calls them templates."""
    return {job.name for job in job_properties.jobs(manifest)}


def value(manifest: Manifest, job: str, path: str) -> Any:
    """A property as a job gets it, by its path with dots: its own, or its group's over the global ones.

    A job that the manifest has not got would get those of the director's group. None if it is not set, or still has a
    variable that nobody has filled in.
    """
    found = job_properties.lookup(_of_job(manifest, job), path)
    return None if has_variable(found) else found


def setting(manifest: Manifest, job: str, path: str, default: Any) -> Any:
    """The same with BOSH's default if it is not set; None only if a variable has no value, so that nobody knows."""
    found = job_properties.lookup(_of_job(manifest, job), path)
    return None if has_variable(found) else default if found is None else found


def _of_job(manifest: Manifest, name: str) -> dict[str, Any]:
    found = job_properties.of_job(manifest, name)
    if found is None:
        found = job_properties.of_job(manifest, "director")
    return job_properties.whole(manifest, name).properties if found is None else found


def release(manifest: Manifest) -> tuple[str, str]:
    """Name and version of the release that the director is of; an empty version where none is told."""
    name = next(
        (job.release for job in job_properties.jobs(manifest) if job.name == "director" and job.release), "bosh"
    )
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


def account_keys(manifest: Manifest, job: str) -> set[str]:
    """Keys below which properties are the account of a CPI's job.

    create-env's `cloud_provider.properties` are the CPI's alone, so they name those of a CPI that nobody here knows.
    """
    provider = (manifest.get("cloud_provider") or {}).get("properties") or {}
    return {*_ACCOUNTS, job, job.removesuffix("_cpi"), *provider} - set(_NO_ACCOUNT)


def account(manifest: Manifest, job: str, address: str, keys: Iterable[str] = ()) -> dict[str, str]:
    """The account of a CPI's job, by paths with dots, without what is the director's own.

    All properties of a job that has its own; of shared ones those below `account_keys`, and `keys` of the other
    director's. If the director has none, those with which create-env calls the CPI (`cloud_provider.properties`).
    Where the director's address is in a value it is taken out, so that two directors can be compared. Empty if nothing
    was found: then nothing is known.
    """
    wanted = account_keys(manifest, job) | set(keys)
    its = next((one for one in job_properties.jobs(manifest) if one.name == job), None)
    if its is None:
        found = {key: held for key, held in _of_job(manifest, job).items() if key in wanted}
    else:
        own = len(its.sources) == 1
        found = {key: held for key, held in its.properties.items() if key in wanted or (own and key not in _NO_ACCOUNT)}
    provider = (manifest.get("cloud_provider") or {}).get("properties") or {}
    for properties in (found, {key: held for key, held in provider.items() if key not in _NO_ACCOUNT}):
        flat = {
            path: addresses.replaced(text, address, "@")
            for key, content in properties.items()
            for path, text in _flat(_without_agent(content) if key == job else content, str(key))
            if path != job or text != "{}"
        }
        if flat:
            return flat
    return {}


def _without_agent(content: Any) -> Any:
    """What docker_cpi and warden_cpi have below their own name, without what is the agent's."""
    if not isinstance(content, dict):
        return content
    return {key: held for key, held in content.items() if key not in _NO_ACCOUNT}


def _flat(data: Any, path: str) -> Iterator[tuple[str, str]]:
    if data and isinstance(data, (dict, list)):
        for key, content in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _flat(content, f"{path}.{key}")
    elif data is not None:
        # A cluster of vSphere is a key with an empty mapping.
        yield path, str(data)


def _group(manifest: Manifest) -> dict[str, Any] | None:
    """The instance group with the director; where no job says so, the first one."""
    groups = [group for kind in ("instance_groups", "jobs") for group in manifest.get(kind) or []]
    with_director = [job.group for job in job_properties.jobs(manifest) if job.name == "director"]
    return next(iter(with_director or groups), None)


def _rows(data: Any, key: str) -> list[dict[str, Any]]:
    rows = data.get(key) if isinstance(data, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _size(given: Any) -> int | str:
    return int(given) if str(given).isdigit() else str(given)
