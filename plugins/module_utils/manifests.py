# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked for and changed in director manifests, v1 (global properties) and v2 (per job)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Operation = dict[str, Any]


def property_homes(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every place of a manifest that holds properties: its ops path, the properties, and the job's name or ''."""
    if isinstance(manifest.get("properties"), dict):
        yield "/properties", manifest["properties"], ""
    for kind in ("instance_groups", "jobs"):
        for group in manifest.get(kind) or []:
            at = f"/{kind}/name={_escaped(group['name'])}"
            if isinstance(group.get("properties"), dict):
                yield f"{at}/properties", group["properties"], ""
            for inner in ("jobs", "templates"):
                for job in group.get(inner) or []:
                    if isinstance(job, dict) and isinstance(job.get("properties"), dict):
                        yield f"{at}/{inner}/name={_escaped(job['name'])}/properties", job["properties"], job["name"]


def strip_dns_recursor_ops(manifest: dict[str, Any]) -> list[Operation]:
    """Ops that remove every `dns.recursor`, global and per job; none where there is none."""
    return [
        {"type": "remove", "path": f"{path}/dns/recursor"}
        for path, properties, _job in property_homes(manifest)
        if isinstance(properties.get("dns"), dict) and "recursor" in properties["dns"]
    ]


def enable_resurrector_ops(
    manifest: dict[str, Any], minimum_down_jobs: int = 5, percent_threshold: float = 0.2, time_threshold: int = 600
) -> list[Operation]:
    """Ops that switch the health monitor's resurrector on, with its thresholds (time in seconds).

    v2 has them with the job health_monitor, v1 in the global properties. Numbers may come as texts, as `-e` gives them.
    Raises ValueError where the manifest has no health monitor, or for thresholds with which it would resurrect
    nothing. Source of the names: bosh jobs/health_monitor/spec.
    """
    minimum_down_jobs, percent_threshold, time_threshold = _thresholds(
        minimum_down_jobs, percent_threshold, time_threshold
    )
    homes = [
        f"/instance_groups/name={_escaped(group['name'])}/jobs/name=health_monitor/properties?"
        for group in manifest.get("instance_groups") or []
        if any(job.get("name") == "health_monitor" for job in group.get("jobs") or [])
    ]
    if not homes and "hm" in (manifest.get("properties") or {}):
        homes = ["/properties"]
    if not homes:
        raise ValueError(f"the manifest of {manifest.get('name')} has neither a job health_monitor nor properties.hm")
    wanted = {
        "resurrector_enabled": True,
        "resurrector?/minimum_down_jobs": minimum_down_jobs,
        "resurrector?/percent_threshold": percent_threshold,
        "resurrector?/time_threshold": time_threshold,
    }
    return [
        {"type": "replace", "path": f"{home}/hm?/{key}{'' if key.endswith('?') else '?'}", "value": value}
        for home in homes
        for key, value in wanted.items()
    ]


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
    """Whether a manifest switches the resurrector on anywhere."""
    return any(
        isinstance(properties.get("hm"), dict) and properties["hm"].get("resurrector_enabled") is True
        for _path, properties, _job in property_homes(manifest)
    )


def dead_dns_keys(manifest: dict[str, Any]) -> list[str]:
    """Paths of what BOSH reads no more since v280.0.22: each `dns.*` but `dns.domain_name`, and PowerDNS itself.

    `dns.recursor` is not among them, as it is removed. Source: bosh jobs/director/spec.
    """
    found = [
        f"{path}/dns/{_escaped(str(key))}"
        for path, properties, _job in property_homes(manifest)
        if isinstance(properties.get("dns"), dict)
        for key in properties["dns"]
        if key not in ("domain_name", "recursor")
    ]
    for kind in ("instance_groups", "jobs"):
        for group in manifest.get(kind) or []:
            for inner in ("jobs", "templates", "template"):
                # v1 names its templates, or has a mapping with the name.
                jobs = group.get(inner) or []
                jobs = jobs if isinstance(jobs, list) else [jobs]
                if any((job.get("name") if isinstance(job, dict) else job) == "powerdns" for job in jobs):
                    found.append(f"/{kind}/name={_escaped(group['name'])}/{inner}/name=powerdns")
    return found


def address_mentions(data: Any, address: str, path: str = "") -> list[str]:
    """Paths of every value that names the address, as a whole word."""
    if isinstance(data, dict):
        return [
            found
            for key, value in data.items()
            for found in address_mentions(value, address, f"{path}/{_escaped(str(key))}")
        ]
    if isinstance(data, list):
        found = []
        for number, value in enumerate(data):
            named = isinstance(value, dict) and value.get("name")
            found += address_mentions(value, address, f"{path}/name={named}" if named else f"{path}/{number}")
        return found
    whole = rf"(?<!\d){re.escape(address)}(?!\d)"
    return [path] if isinstance(data, str) and re.search(whole, data) else []


def without_values(data: Any, names: bool = True) -> Any:
    """The same structure without what may be secret: of values only the names of groups, jobs and templates are left.

    Enough for strip_dns_recursor_ops, enable_resurrector_ops and dead_dns_keys. Below `properties` no value is left.
    """
    if isinstance(data, dict):
        kept = {}
        for key, value in data.items():
            inner = names and key != "properties"
            known = key in ("name", "template", "templates")
            kept[key] = _bare_names(value, inner) if known else without_values(value, inner)
        return kept
    return [without_values(item, names) for item in data] if isinstance(data, list) else None


def _bare_names(value: Any, names: bool) -> Any:
    """A name, or the list of names that v1 has for its templates."""
    if isinstance(value, str):
        return value if names else None
    return [_bare_names(item, names) for item in value] if isinstance(value, list) else without_values(value, names)


def _escaped(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")
