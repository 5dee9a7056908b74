# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked for and changed in director manifests, whether properties are global, of a group or of a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import addresses, bosh_yaml, job_properties
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.job_properties import Operation

_MONITOR, _SWITCH = "health_monitor", "hm.resurrector_enabled"


def property_homes(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every place of a manifest that holds properties: its ops path, the properties, and the job's name or ''."""
    for home in job_properties.homes(manifest):
        yield home.path, home.properties, home.job


def strip_dns_recursor_ops(manifest: dict[str, Any]) -> list[Operation]:
    """Ops that remove every `dns.recursor`, global and per job; none where there is none."""
    return [
        {"type": "remove", "path": f"{path}/dns/recursor"}
        for path, properties, _job in property_homes(manifest)
        if isinstance(properties.get("dns"), dict) and "recursor" in properties["dns"]
    ]


def enable_resurrector_ops(
    manifest: dict[str, Any],
    minimum_down_jobs: int = 5,
    percent_threshold: float = 0.2,
    time_threshold: int = 600,
    resolved: dict[str, Any] | None = None,
) -> list[Operation]:
    """Ops that switch the health monitor's resurrector on, with its thresholds (time in seconds).

    They go to where each job health_monitor gets its properties from, so that it keeps the others. `manifest` is what
    an ops file sees, before variables; `resolved` has names that come from variables. Numbers may come as texts, as
    `-e` gives them. Raises ValueError if the manifest has no health monitor, if its properties come from a variable, or
    for thresholds with which it would resurrect nothing. Source of the names: bosh v283.1.6 jobs/health_monitor/spec.
    """
    minimum_down_jobs, percent_threshold, time_threshold = _thresholds(
        minimum_down_jobs, percent_threshold, time_threshold
    )
    monitors = [job for job in job_properties.jobs(manifest, resolved) if job.name == _MONITOR]
    if not monitors and "hm" in (manifest.get("properties") or {}):
        monitors = [job_properties.whole(manifest, _MONITOR)]
    if not monitors:
        raise ValueError(f"the manifest of {manifest.get('name')} has neither a job health_monitor nor properties.hm")
    wanted = {
        _SWITCH: True,
        "hm.resurrector.minimum_down_jobs": minimum_down_jobs,
        "hm.resurrector.percent_threshold": percent_threshold,
        "hm.resurrector.time_threshold": time_threshold,
    }
    # Several of them may share one place.
    found = {
        operation["path"]: operation for job in monitors for operation in job_properties.set_operations(job, wanted)
    }
    return list(found.values())


def _thresholds(minimum_down_jobs: Any, percent_threshold: Any, time_threshold: Any) -> tuple[int, float, int]:
    """Source: bosh-monitor resurrector_helper.rb (AlertTracker, DeploymentState)."""
    try:
        jobs, percent, seconds = int(str(minimum_down_jobs)), float(percent_threshold), int(str(time_threshold))
    except (TypeError, ValueError):
        raise ValueError(
            "minimum_down_jobs and time_threshold are whole numbers, percent_threshold is a number"
        ) from None
    if jobs < 2:
        # A director is the only VM of its deployment, so with it 100 % are lost.
        raise ValueError(
            f"minimum_down_jobs is {jobs}, but needs 2 or more: else the loss of a director, the only VM of its "
            "deployment, is a meltdown in which BOSH resurrects nothing"
        )
    if not 0 < percent <= 1:
        raise ValueError(f"percent_threshold is {percent}, but is a share: more than 0, and 1 at most")
    if seconds < 1:
        raise ValueError(f"time_threshold is {seconds}, but needs 1 s or more: else no lost VM is counted")
    return jobs, percent, seconds


def resurrector_enabled(manifest: dict[str, Any]) -> bool:
    """Whether a manifest switches the resurrector on: for a job health_monitor, or anywhere if it has no such job."""
    monitors = [job.properties for job in job_properties.jobs(manifest) if job.name == _MONITOR]
    places = monitors or [home.properties for home in job_properties.homes(manifest)]
    return any(job_properties.lookup(properties, _SWITCH) is True for properties in places)


def dead_dns_keys(manifest: dict[str, Any]) -> list[str]:
    """Paths of what BOSH reads no more since v280.0.22: each `dns.*` but `dns.domain_name`, and PowerDNS itself.

    `dns.recursor` is not among them, as it is removed. Source: bosh jobs/director/spec.
    """
    found = [
        f"{path}/dns/{job_properties.token(str(key))}"
        for path, properties, _job in property_homes(manifest)
        if isinstance(properties.get("dns"), dict)
        for key in properties["dns"]
        if key not in ("domain_name", "recursor")
    ]
    return found + [job.path for job in job_properties.jobs(manifest) if job.name == "powerdns"]


def address_mentions(data: Any, address: str, path: str = "") -> list[str]:
    """Paths of every value that names the address: alone, with a port, in a URL, a list, or as an end of a range."""
    if isinstance(data, dict):
        return [
            found
            for key, value in data.items()
            for found in address_mentions(value, address, f"{path}/{job_properties.token(str(key))}")
        ]
    if isinstance(data, list):
        return [
            found
            for number, value in enumerate(data)
            for found in address_mentions(value, address, f"{path}/{job_properties.item_token(data, number)}")
        ]
    return [path] if isinstance(data, str) and addresses.mentions(data, address) else []


def without_values(data: Any, names: bool = True) -> Any:
    """The same structure without what may be secret: only names are left, of groups, jobs, templates, variables.

    Enough for strip_dns_recursor_ops, enable_resurrector_ops and dead_dns_keys. Below `properties` no value is left but
    a variable that stands for the whole of it, so that nobody takes it for null.
    """
    if isinstance(data, dict):
        kept = {}
        for key, value in data.items():
            inner = names and key != "properties"
            known = key in ("name", "template", "templates")
            kept[key] = _bare_names(value, inner) if known else without_values(value, inner)
        return kept
    if isinstance(data, list):
        return [without_values(item, names) for item in data]
    return data if isinstance(data, str) and job_properties.VARIABLE.fullmatch(data) else None


def _bare_names(value: Any, names: bool) -> Any:
    """A name, or the list of names that v1 has for its templates."""
    if isinstance(value, str) and names:
        return value
    return [_bare_names(item, names) for item in value] if isinstance(value, list) else without_values(value, names)


def deployed_manifest(cli: BoshCli, deployment: str) -> dict[str, Any]:
    """The manifest of the last successful deploy as `content`, and what the procedure looks for in it."""
    content = bosh_yaml.load(cli.curl(f"/deployments/{deployment}")["manifest"] or "{}")
    return {
        "content": content,
        "resurrector_enabled": resurrector_enabled(content),
        "dns_recursors": [operation["path"] for operation in strip_dns_recursor_ops(content)],
    }
