# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users for a while on the VMs of a deployment, as `bosh ssh` and `bbr` have their director make them.

Source: bosh-cli director/ssh.go, bosh-director jobs/ssh.rb, bosh-agent agent/action/ssh.go; for the manifest
bosh-backup-and-restore bosh/manifest_querier.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any


def setup(user: str, public_key: str) -> str:
    """Body of the request that makes the user on every VM of a deployment."""
    return _body("setup", {"user": user, "public_key": f"{public_key.strip()}\n"})


def cleanup(user: str) -> str:
    """Body of the request that removes the user, and nobody whose name only begins like it."""
    return _body("cleanup", {"user_regex": f"^{re.escape(user)}$"})


def _body(command: str, params: dict[str, str]) -> str:
    target: dict[str, list[str]] = {"indexes": [], "ids": []}
    return json.dumps({"command": command, "target": target, "params": params})


def hosts(result: str, instances: Sequence[dict[str, Any]], manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Each VM on which the user can log in, from what the task returned.

    result: the task's result, a JSON list. instances: as director_facts.instances has them. manifest: the deployment's.
    Raises ValueError with a sentence where the agent of a VM made no user, or told no host key.
    """
    known = {(one["group"], one["id"]): one for one in instances}
    found = []
    for said in json.loads(result or "[]"):
        name = f"{said.get('job')}/{said.get('id')}"
        instance = known.get((str(said.get("job")), str(said.get("id"))))
        if said.get("status") != "success" or not said.get("ip"):
            raise ValueError(f"the agent of {name} made no user: {said.get('status')}")
        if not said.get("host_public_key"):
            raise ValueError(f"the agent of {name} told no host key")
        if instance is None or instance["index"] is None:
            raise ValueError(f"the director does not tell the index of {name}")
        found.append(
            {
                "group": instance["group"],
                "index": str(instance["index"]),
                "id": instance["id"],
                "address": said["ip"],
                "host_key": " ".join(str(said["host_public_key"]).split()[:2]),
                "releases": releases(manifest, instance["group"]),
                "one_restore_all": one_restore_all(manifest, instance["group"]) if instance["bootstrap"] else [],
            }
        )
    return sorted(found, key=lambda one: (one["group"], int(one["index"])))


def releases(manifest: dict[str, Any], group: str) -> dict[str, str]:
    """Release of each job of an instance group, by the job's name."""
    return {job["name"]: job.get("release", "") for job in _jobs(manifest, group)}


def one_restore_all(manifest: dict[str, Any], group: str) -> list[str]:
    """Jobs of an instance group of which what one instance leaves is restored on all."""
    return [
        job["name"]
        for job in _jobs(manifest, group)
        if ((job.get("properties") or {}).get("bbr") or {}).get("backup_one_restore_all") is True
    ]


def _jobs(manifest: dict[str, Any], group: str) -> list[dict[str, Any]]:
    groups = [one for one in manifest.get("instance_groups") or [] if one.get("name") == group]
    return [job for one in groups for job in one.get("jobs") or []]
