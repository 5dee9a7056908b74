# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restored director against what was written down when it was backed up, and whether a backup was ever restored."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup

PASS, FAIL, UNKNOWN = "pass", "FAIL", "not known"
#: How many of the same kind are named; the rest is counted.
_NAMED = 5

Finding = dict[str, str]


def contents_range(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """What goes into the record: least and most of each count, before and after a backup's scripts.

    counts: what M(bosh.ha.director_contents) told, twice. Where it was not told twice, nothing is recorded.
    """
    if len(counts) != 2:
        return {}
    record: dict[str, Any] = {"rows": _ranges(*(one["rows"] for one in counts))}
    # A director that has its blobs elsewhere has none in the backup.
    if all(one["blobs"] for one in counts):
        record["blobs"] = _ranges(*(one["blobs"] for one in counts))
    return record


def _ranges(first: dict[str, int], second: dict[str, int]) -> dict[str, list[int]]:
    return {name: sorted((first[name], second[name])) for name in sorted(first.keys() & second.keys())}


def findings(record: dict[str, Any], seen: dict[str, Any]) -> list[Finding]:
    """Each thing that was looked at, with its verdict (PASS, FAIL or UNKNOWN) and what is told of it.

    record: what `bosh_ha.json` of the backup has. seen: `failed` is the sentence of the step that failed, if one did;
    `director` and `deployments` are what the restored director's API told, `contents` what its VM has, each only where
    it came that far.
    """
    found = []
    if seen.get("contents"):
        found += _contents(record, seen["contents"])
    if seen.get("director"):
        found += _identity(record, seen)
    if seen.get("failed"):
        found.append(_finding("steps", False, seen["failed"]))
    elif not (seen.get("contents") and seen.get("director")):
        found.append(_finding("steps", False, "not all of it was looked at"))
    return found


def _finding(what: str, passed: bool | None, told: str) -> Finding:
    return {"what": what, "verdict": UNKNOWN if passed is None else PASS if passed else FAIL, "told": told}


def _contents(record: dict[str, Any], contents: dict[str, Any]) -> list[Finding]:
    found = []
    rows, problems = record.get("rows"), contents["problems"]
    if rows is None:
        found.append(_finding("rows", None, "the backup has no record of them"))
    else:
        wrong = _outside(rows, contents["rows"])
        told = f"{sum(contents['rows'][name] for name in rows.keys() & contents['rows'].keys())} in {len(rows)} tables"
        found.append(_finding("rows", not wrong, _some(wrong) or told))
    if not contents["blobs"]:
        found.append(_finding("blobs", None, "the director has none on its VM"))
        return found
    if contents.get("skipped"):
        found.append(_finding("blobs", None, "the backup has none, as blobstore.bbr.enabled of its director is false"))
        return found
    blobs, told = record.get("blobs"), "{count} with {bytes} bytes".format(**contents["blobs"])
    if blobs is None:
        found.append(_finding("blobs", None, f"{told}; the backup has no record of them"))
    else:
        wrong = _outside(blobs, contents["blobs"])
        found.append(_finding("blobs", not wrong, _some(wrong) or told))
    if not problems and not contents["named"] and not contents["blobs"]["count"]:
        found.append(_finding("digests", None, "there is no blob to compare"))
        return found
    told = f"{contents['named']} that the database names, and all of the backup"
    told += "".join(f"; {count} of {table} need none" for table, count in contents.get("unstored", {}).items())
    found.append(_finding("digests", not problems, _some(problems) or told))
    return found


def _outside(record: dict[str, list[int]], seen: dict[str, int]) -> list[str]:
    wrong = []
    for name, (least, most) in record.items():
        if name not in seen:
            wrong.append(f"{name} is not there")
        elif not least <= seen[name] <= most:
            told = str(least) if least == most else f"{least} to {most}"
            wrong.append(f"{name} is {seen[name]}, and was {told} when it was backed up")
    return wrong


def _identity(record: dict[str, Any], seen: dict[str, Any]) -> list[Finding]:
    uuid, deployments = seen["director"]["uuid"], sorted(one["name"] for one in seen["deployments"])
    if not record.get("uuid"):
        return [_finding("UUID", None, f"{uuid}; the backup does not say of which director it is")]
    there = ", ".join(deployments) or "none"
    wanted = ", ".join(sorted(record["deployments"])) or "none"
    return [
        _finding("UUID", uuid == record["uuid"], uuid if uuid == record["uuid"] else f"{uuid}, not {record['uuid']}"),
        _finding("deployments", there == wanted, there if there == wanted else f"{there}, not {wanted}"),
        _finding("version", True, f"{seen['director']['version']}, backed up from {record['version']}"),
    ]


def _some(told: list[str]) -> str:
    rest = len(told) - _NAMED
    return "; ".join(told[:_NAMED] + ([f"and {rest} more"] if rest > 0 else []))


def seconds(marks: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of each step.

    marks: `step` and `at` (seconds since 1970) of the moment at which each began; the last is the end.
    """
    return {one["step"]: round(float(after["at"]) - float(one["at"]), 1) for one, after in pairwise(marks)}


def lines(found: list[Finding], took: dict[str, float]) -> list[str]:
    """The findings as a table, and how long each step took."""
    width = max([len(one["what"]) for one in found], default=0)
    table = [f"{one['verdict']:9}  {one['what']:{width}}  {one['told']}" for one in found]
    times = ", ".join(f"{step} {of} s" for step, of in took.items())
    return [*table, f"{times}, {round(sum(took.values()), 1)} s in all"] if took else table


def newest(paths: list[str]) -> str:
    """The newest of several backups, by the time in its name; those that are not finished do not count.

    Raises ValueError where there is none.
    """
    found = {path: begun for path in paths if (begun := bbr_backup.time_of(path.rstrip("/").rpartition("_")[2]))}
    if not found:
        raise ValueError("there is no backup that is finished")
    return max(found, key=found.__getitem__)


def told(rehearsed: dict[str, Any]) -> str:
    """Whether a backup was rehearsed, in words. rehearsed: what M(bosh.ha.bbr_backup) told; empty where it was not."""
    if not rehearsed:
        return "not rehearsed yet"
    return f"rehearsed {rehearsed['at']}, and it {'passed' if rehearsed['passed'] else 'FAILED'}"
