# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose properties a job gets, for the director and for create-env alike.

Sources: bosh v283.1.6 bosh-director deployment_plan/instance_group_spec_parser.rb (parse_jobs) and core_ext/hash.rb
(recursive_merge); bosh-cli v7.10.6 templatescompiler/job_evaluation_context.go.
"""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]


def of_job(manifest: Data, group: Data, job: Data) -> Data:
    """A job's own properties if it has the key, even an empty one; else the group's, merged over the global ones."""
    if job.get("properties") is not None:
        return dict(job["properties"])
    return merged(manifest.get("properties") or {}, group.get("properties") or {})


def merged(below: Data, above: Data) -> Data:
    """Two mappings, the second over the first, mappings in them too."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def lookup(properties: Data, path: str) -> Any:
    """A property by its path with dots; None for an absent or null one."""
    value: Any = properties
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def bound(properties: Data, defined: Data) -> Data:
    """What a job whose spec defines properties gets: those alone, with their defaults.

    Source: bosh v283.1.6 deployment_plan/job.rb (bind_properties).
    """
    result: Data = {}
    for path, definition in defined.items():
        value = lookup(properties, path)
        at = result
        *above, last = path.split(".")
        for part in above:
            at = at.setdefault(part, {})
        at[last] = (definition or {}).get("default") if value is None else value
    return result
