# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the out-of-band kit holds: which files, what the directors told, and what an earlier kit has to say for them.

A kit is a mapping: readme, made (UTC), directors (name -> address, api, deployed, vm), artifacts, inputs
(bosh_ha_directors with paths inside the kit), origins (path inside the kit -> where the file was), files (path -> its
text).
"""

from __future__ import annotations

import os
import posixpath
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import inputs

#: What is asked of directors, in the order of a sentence about it.
PARTS = {
    "api": "its UUID, version and deployments",
    "deployed": "its releases and stemcells",
    "vm": "the CIDs of its VM and disk",
}
#: Keys that differ in every kit, or tell how old something is: they make no difference of their own.
TIMES = ("made", "told_at")
_SINGLE = ("manifest", "vars_store", "cloud_config", "state_file")
_SEVERAL = ("ops_files", "vars_files")


def inventory(
    directors: dict[str, Any], known_hosts: str = "", work_dir: str = "", more: list[str] | None = None
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The inputs with paths inside the kit, and by each of these paths the path of the file here.

    A CA that is a path is a file of the kit, too. Raises ValueError where a director is not there.
    """
    told: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}
    for name in inputs.NAMES:
        values = inputs.director(directors, name)
        for key in _SINGLE:
            if values.get(key):
                values[key] = _inside(files, f"{name}/{key}", values[key])
        for key in _SEVERAL:
            values[key] = [_inside(files, f"{name}/{key}/{n}", path) for n, path in enumerate(values[key])]
        if values["ca_cert"] and "-----BEGIN" not in values["ca_cert"]:
            values["ca_cert"] = _inside(files, f"{name}/ca_cert", values["ca_cert"])
        told[name] = values
    if known_hosts:
        _inside(files, "known_hosts", known_hosts)
    directory = os.path.expanduser(work_dir)
    for entry in sorted(os.listdir(directory)) if work_dir and os.path.isdir(directory) else []:
        if entry.endswith((".yml", ".json")) and os.path.isfile(os.path.join(directory, entry)):
            _inside(files, "work_dir", os.path.join(directory, entry))
    for number, path in enumerate(more or []):
        _inside(files, f"more/{number}", path)
    return told, files


def _inside(files: dict[str, str], directory: str, path: str) -> str:
    path = os.path.abspath(os.path.expanduser(path))
    inside = posixpath.join(directory, os.path.basename(path))
    files[inside] = path
    return inside


def merged(fresh: dict[str, Any], former: dict[str, Any], now: str) -> tuple[dict[str, Any], list[str]]:
    """A kit that has of the former one what nobody tells now, and a sentence for each of these things.

    `fresh` has a part of a director only where it was told, and a file only where it could be read. What is kept
    has `stale: true` and the time at which it was told. `now` is a time in UTC, as text.
    """
    kit, said = dict(fresh), []
    kit["directors"] = {}
    for name, director in fresh["directors"].items():
        before = (former.get("directors") or {}).get(name) or {}
        kit["directors"][name] = now_knows = {key: value for key, value in director.items() if key not in PARTS}
        for part, what in PARTS.items():
            if part in director:
                now_knows[part] = director[part] | {"told_at": now}
            elif part in before:
                now_knows[part] = before[part] | {"stale": True}
                said.append(
                    f"{name}: nobody tells {what} now; the kit keeps what was told at {before[part]['told_at']}"
                )
            elif name != "micro":
                said.append(f"{name}: nobody tells {what}, and no kit before had them")
    kit["files"] = dict(fresh["files"])
    for inside, origin in fresh["origins"].items():
        if inside in fresh["files"]:
            continue
        kept = inside in (former.get("files") or {})
        if kept:
            kit["files"][inside] = former["files"][inside]
        said.append(f"{origin} is not there; the kit {'keeps it as it was' if kept else 'is without it'}")
    return kit, said


def same(one: Any, other: Any) -> bool:
    """Whether two kits say the same, whenever they were made."""
    return bool(_timeless(one) == _timeless(other))


def _timeless(data: Any, top: bool = True) -> Any:
    if isinstance(data, dict):
        # A file's text is compared as it is, whatever its name is.
        return {
            key: value if top and key == "files" else _timeless(value, False)
            for key, value in data.items()
            if key not in TIMES
        }
    return [_timeless(item, False) for item in data] if isinstance(data, list) else data


def unpacked_inputs(kit: dict[str, Any], directory: str) -> dict[str, dict[str, Any]]:
    """The inputs of a kit whose files lie in `directory`: those that the kit has, with their absolute paths.

    A vars store, cloud config or state file that the kit is without becomes empty, that is: none.
    """

    def there(inside: str) -> str:
        return os.path.join(directory, inside) if inside in kit["files"] else ""

    told = {}
    for name, values in kit["inputs"].items():
        own: dict[str, Any] = {key: there(values[key]) for key in _SINGLE if values.get(key)}
        own |= {key: [there(path) for path in values[key]] for key in _SEVERAL}
        if values["ca_cert"] and "-----BEGIN" not in values["ca_cert"]:
            own["ca_cert"] = there(values["ca_cert"])
        told[name] = values | own
    return told


def check(kit: Any) -> dict[str, Any]:
    """The kit itself. Raises ValueError where it is none, or a path of it leads out of its directory."""
    wanted = ("readme", "made", "directors", "inputs", "origins", "files")
    if not isinstance(kit, dict) or [key for key in wanted if key not in kit]:
        raise ValueError("it is no out-of-band kit: " + ", ".join(wanted) + " are what one has")
    for path in kit["files"]:
        if path != posixpath.normpath(path) or path.startswith(("/", "..")):
            raise ValueError(f"it is no out-of-band kit: the path {path} leads out of it")
    return kit


def deployers(asked: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, str]]:
    """Who can tell the CIDs of whom: of those that answered, the one that has it as a deployment.

    `asked` are results of bosh.ha.director_info by `item`, with deployments; `names` are the deployments' names. Where
    two have Primary, it is Meta: Micro gave its data away.
    """
    knows = {one["item"]: [row["name"] for row in one.get("deployments") or []] for one in asked}
    found = []
    for name, candidates in {"primary": ("meta", "micro"), "meta": ("primary",)}.items():
        by = next((by for by in candidates if names[name] in knows.get(by, [])), "")
        if by:
            found.append({"of": name, "by": by})
    return found


def told(asked: list[dict[str, Any]], seen: list[dict[str, Any]], names: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What was told about Primary and Meta, by the director's name, only the parts that somebody told.

    `seen` are results of bosh.ha.vm_info by `item`, one of `deployers`.
    """
    answers = {one["item"]: one for one in asked if one.get("logged_in")}
    found: dict[str, dict[str, Any]] = {"primary": {}, "meta": {}}
    for name, parts in found.items():
        if name in answers:
            director = answers[name]["director"]
            own = [row["name"] for row in answers[name].get("deployments") or []]
            parts["api"] = {key: director.get(key, "") for key in ("name", "uuid", "version", "cpi")} | {
                "deployments": own
            }
    for one in seen:
        name, by, instances = one["item"]["of"], one["item"]["by"], one.get("instances") or []
        rows = [row for row in answers.get(by, {}).get("deployments") or [] if row["name"] == names[name]]
        if rows:
            found[name]["deployed"] = {"by": by} | {key: rows[0].get(key) or [] for key in ("releases", "stemcells")}
        # One that has neither was lost: what was told before is worth more.
        if len(instances) == 1 and instances[0].get("disk_cids"):
            keys = ("instance", "vm_cid", "disk_cids", "az")
            found[name]["vm"] = {key: instances[0].get(key) for key in keys} | {"by": by}
    return found
