# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file of `bosh create-env`: checked before it is used, and a copy kept."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from typing import Any


class DamagedState(ValueError):
    """The state file must not be used; the message names the file and what is wrong."""


def read_state(path: str) -> dict[str, Any]:
    """The state as data; an empty dict where there is no file yet.

    Raises DamagedState. An empty stemcell entry once made create-env delete every VM of a cluster
    (bosh-facts, "CLI v7"), so every record must carry what the CLI looks it up by.
    Source: bosh-cli deployment/state.go (config/deployment_state_service.go).
    """
    path = os.path.expanduser(path)
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as stream:
            state = json.load(stream)
    except (ValueError, OSError) as error:
        raise DamagedState(f"the state file {path} cannot be read as JSON: {error}") from error
    if not isinstance(state, dict):
        raise DamagedState(f"the state file {path} holds no JSON object")
    if not state.get("director_id"):
        raise DamagedState(f"the state file {path} has no director_id: it was not written by `bosh create-env`")
    for records, keys in (
        ("stemcells", ("id", "name", "version", "cid")),
        ("disks", ("id", "cid")),
        ("releases", ("id", "name", "version")),
    ):
        listed = state.get(records)
        if listed is not None and not isinstance(listed, list):
            raise DamagedState(f"the state file {path} is damaged: {records} is no list")
        for number, record in enumerate(listed or []):
            missing = [key for key in keys if not (isinstance(record, dict) and record.get(key))]
            if missing:
                raise DamagedState(f"the state file {path} is damaged: {records}[{number}] has no {', '.join(missing)}")
    for current, records in (("current_stemcell_id", "stemcells"), ("current_disk_id", "disks")):
        wanted = state.get(current)
        if wanted and wanted not in [record["id"] for record in state.get(records) or []]:
            raise DamagedState(f"the state file {path} is damaged: {current} {wanted} is not among its {records}")
    return state


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
