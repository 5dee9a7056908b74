# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file of `bosh create-env`: checked before it is used, and a copy kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any


class DamagedState(ValueError):
    """The state file must not be used; the message names the file and what is wrong."""


#: What each record is looked up by. Source: bosh-cli config/deployment_state_service.go (v7.10.6); Go refuses a file
#: with a value of another type.
_RECORDS: dict[str, tuple[str, ...]] = {
    "stemcells": ("id", "name", "version", "cid"),
    "disks": ("id", "cid"),
    "releases": ("id", "name", "version"),
}
_TEXTS = (
    "director_id",
    "installation_id",
    "current_vm_cid",
    "current_stemcell_id",
    "current_disk_id",
    "current_manifest_sha",
)
#: No two records may have the same of these: the CLI would find the first of them, and delete the other as unused.
_UNIQUE: dict[str, tuple[tuple[str, ...], ...]] = {
    "stemcells": (("id",), ("cid",), ("name", "version")),
    "disks": (("id",), ("cid",)),
    "releases": (("id",),),
}


def read_state(path: str, to_deploy: bool = True) -> dict[str, Any]:
    """The state as data; an empty dict where there is no file yet.

    Raises DamagedState. An empty stemcell entry once made create-env delete every VM of a cluster
    (cloudfoundry/bosh issue #2625), so every record must carry what the CLI looks it up by.

    A state that names no current stemcell or disk although it records some is refused, too, unless `to_deploy` is False
    (for reading, stop-env and delete-env, or where the caller asks `without_current` itself): what is not current is
    unused to create-env, which deletes each such image and disk at its end (bosh-cli stemcell/manager.go and
    deployment/vm/disk_deployer.go, DeleteUnused).
    """
    path = os.path.expanduser(path)
    if not os.path.exists(path):
        return {}
    at = f"the state file {path}"
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        state = json.loads(text, parse_constant=_refuse_constant) if text.strip() else None
    except (ValueError, OSError, RecursionError) as error:
        raise DamagedState(f"{at} cannot be read as JSON: {error}") from error
    if state is None:
        raise DamagedState(
            f"{at} cannot be read as JSON: it is empty; take the last copy of it, or remove it if nothing was deployed"
        )
    if not isinstance(state, dict):
        raise DamagedState(f"{at} holds no JSON object")
    for key in _TEXTS:
        if not isinstance(state.get(key) or "", str):
            raise DamagedState(f"{at} is damaged: {key} is no text")
    if not state.get("director_id"):
        raise DamagedState(f"{at} has no director_id: it was not written by `bosh create-env`")
    for records in _RECORDS:
        _check_records(at, state, records)
    ids = state.get("current_release_ids")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(one, str) for one in ids)):
        raise DamagedState(f"{at} is damaged: current_release_ids is no list of texts")
    for current, records in (("current_stemcell_id", "stemcells"), ("current_disk_id", "disks")):
        wanted = state.get(current)
        if wanted and wanted not in [record["id"] for record in state.get(records) or []]:
            raise DamagedState(f"{at} is damaged: {current} {wanted} is not among its {records}")
    if to_deploy and (problem := without_current(state)):
        raise DamagedState(f"{at}: {problem}")
    return state


def without_current(state: dict[str, Any], stemcell: Collection[tuple[str, str]] = ()) -> str:
    """What create-env would delete, as none of these records is the current one, in a sentence; empty if nothing.

    A create-env whose new VM did not come up leaves such a state (bosh-cli issue #731). stemcell: names and versions by
    which the stemcell to deploy may be known; where each recorded one is it, nothing is lost.
    """
    kept = [one for one in state.get("disks") or [] if not state.get("current_disk_id")]
    if kept:
        shown = ", ".join(f"{disk['id']} ({disk['cid']})" for disk in kept)
        return (
            f"current_disk_id is empty although it records the disk {shown}: create-env would make a new disk and "
            "delete each recorded one with its data; set current_disk_id to the id of the disk that is in use"
        )
    images = [one for one in state.get("stemcells") or [] if not state.get("current_stemcell_id")]
    if any((image["name"], image["version"]) not in stemcell for image in images):
        shown = ", ".join(f"{one['id']} ({one['name']}/{one['version']}, {one['cid']})" for one in images)
        return (
            f"current_stemcell_id is empty although it records the stemcell {shown}: create-env with another stemcell "
            "would delete the image of each at the IaaS, whoever else uses it; set current_stemcell_id to the id of "
            "the one in use, or remove the records whose images may stay"
        )
    return ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _check_records(at: str, state: dict[str, Any], records: str) -> None:
    listed = state.get(records)
    if listed is None:
        return
    if not isinstance(listed, list):
        raise DamagedState(f"{at} is damaged: {records} is no list")
    for number, record in enumerate(listed):
        keys = _RECORDS[records]
        missing = [key for key in keys if not (isinstance(record, dict) and record.get(key))]
        if missing:
            raise DamagedState(f"{at} is damaged: {records}[{number}] has no {', '.join(missing)}")
        wrong = [key for key in keys if not isinstance(record[key], str)]
        wrong += [key for key in ("size", "api_version") if not _is_count(record.get(key))]
        if not isinstance(record.get("cloud_properties", {}), dict | None):
            wrong.append("cloud_properties")
        if wrong:
            raise DamagedState(f"{at} is damaged: {records}[{number}] has {', '.join(wrong)} of another type")
    for keys in _UNIQUE[records]:
        seen: dict[tuple[str, ...], int] = {}
        for number, record in enumerate(listed):
            other = seen.setdefault(tuple(record[key] for key in keys), number)
            if other != number:
                raise DamagedState(
                    f"{at} is damaged: {records}[{other}] and {records}[{number}] have the same {' and '.join(keys)}"
                )


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def keep_copy(path: str, directory: str) -> str:
    """Copy the state file aside under a UTC stamp and return the copy's path; owner-only."""
    directory = os.path.expanduser(directory)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    copy = os.path.join(directory, f"{os.path.basename(path)}.{stamp}")
    shutil.copy2(os.path.expanduser(path), copy)
    os.chmod(copy, 0o600)
    return copy


def current_vm_cid(state: dict[str, Any]) -> str:
    """CID of the VM that the state file knows, or an empty string."""
    return state.get("current_vm_cid") or ""


def current_disk_cid(state: dict[str, Any]) -> str:
    """CID of the persistent disk in use, or an empty string."""
    wanted = state.get("current_disk_id")
    return next((disk["cid"] for disk in state.get("disks") or [] if disk["id"] == wanted), "")


def disk_cids(state: dict[str, Any]) -> list[str]:
    """CIDs of all disks that the state file has, the one in use first."""
    current = current_disk_cid(state)
    others = [disk["cid"] for disk in state.get("disks") or [] if disk["cid"] != current]
    return [*([current] if current else []), *others]


def cids(state: dict[str, Any]) -> dict[str, Any]:
    """What a state file names, as the modules return it: vm_cid, disk_cid, disk_cids."""
    return {"vm_cid": current_vm_cid(state), "disk_cid": current_disk_cid(state), "disk_cids": disk_cids(state)}


def forget_vm(state: dict[str, Any]) -> dict[str, Any]:
    """The state without its VM, everything else kept, as `delete-env` leaves it between VM and disk.

    The manifest's digest goes, too: with it create-env would say "Skipping deploy" although there is no VM.
    Source: bosh-cli config/vm_repo.go (ClearCurrent), deployment/record.go (IsDeployed).
    """
    return state | {"current_vm_cid": "", "current_manifest_sha": ""}
