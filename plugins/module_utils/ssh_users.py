# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users for a while on the VMs of a deployment, as `bosh ssh` and `bbr` have their director make them.

Sources: bosh-cli v7.10.6 director/ssh.go, bosh v283.1.6 bosh-director jobs/ssh.rb, bosh-agent v2.874
agent/action/ssh.go; bosh-backup-and-restore bosh/{client,manifest_querier}.go, ssh/remote_runner.go (IsWindows).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

#: In the OS and the name of every Windows stemcell: `windows2019`, `bosh-aws-xen-hvm-windows2019-go_agent`.
_WINDOWS = "windows"


def setup(user: str, public_key: str, ids: Sequence[str] = ()) -> str:
    """Body of the request that makes the user on the VMs with these instance ids; on every VM if there are none."""
    return _body("setup", {"user": user, "public_key": f"{public_key.strip()}\n"}, ids)


def cleanup(user: str, ids: Sequence[str] = ()) -> str:
    """Body of the request that removes the user, and nobody whose name only begins like it. ids: as in `setup`."""
    return _body("cleanup", {"user_regex": f"^{re.escape(user)}$"}, ids)


def _body(command: str, params: dict[str, str], ids: Sequence[str]) -> str:
    target: dict[str, list[str]] = {"indexes": [], "ids": list(ids)}
    return json.dumps({"command": command, "target": target, "params": params})


def targets(instances: Sequence[dict[str, Any]], manifest: dict[str, Any]) -> list[str]:
    """Instance ids for `setup` and `cleanup`: empty, which means all, unless the deployment has Windows VMs.

    The director's task fails as a whole if one agent refuses, and a Windows agent does if no OpenSSH server is
    installed (bosh-agent platform/windows_platform.go, GetHostPublicKey). instances, manifest: as of `hosts`.
    """
    with_vm = [one for one in instances if one.get("vm_cid")]
    if not any(is_windows(manifest, one["group"]) for one in with_vm):
        return []
    return [one["id"] for one in with_vm if not is_windows(manifest, one["group"])]


def hosts(result: str, instances: Sequence[dict[str, Any]], manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Each VM on which the user can log in, from what the task returned; `left_out` names the others.

    result: the task's result, a JSON list. instances: as director_facts.instances has them. manifest: the deployment's.
    Raises ValueError with a sentence if the agent of a VM made no user, or told no host key, or did not answer at all.
    """
    known = {(one["group"], one["id"]): one for one in instances}
    found = []
    answered = set()
    for said in _answers(result):
        group, uid = str(said.get("job")), str(said.get("id"))
        name = f"{group}/{uid}"
        answered.add((group, uid))
        if is_windows(manifest, group):
            continue
        instance = known.get((group, uid))
        if said.get("status") != "success" or not said.get("ip"):
            raise ValueError(f"the agent of {name} made no user: {said.get('status')}")
        key = str(said.get("host_public_key") or "").split()[:2]
        if len(key) != 2:
            raise ValueError(f"the agent of {name} told no host key")
        if instance is None or instance["index"] is None:
            raise ValueError(f"the director does not tell the index of {name}")
        found.append(
            {
                "group": instance["group"],
                "index": str(instance["index"]),
                "id": instance["id"],
                "address": said["ip"],
                "host_key": " ".join(key),
                "releases": releases(manifest, instance["group"]),
                "one_restore_all": dict.fromkeys(
                    one_restore_all(manifest, instance["group"]), bool(instance["bootstrap"])
                ),
            }
        )
    for (group, uid), instance in known.items():
        if instance.get("vm_cid") and (group, uid) not in answered and not is_windows(manifest, group):
            raise ValueError(f"the director returned no answer of the agent of {group}/{uid}")
    return sorted(found, key=lambda one: (one["group"], int(one["index"])))


def left_out(instances: Sequence[dict[str, Any]], manifest: dict[str, Any]) -> list[str]:
    """A sentence for each instance that is no host although it may have data: Windows, or stopped and without VM.

    An instance that was never started, as an errand's, has no data. instances, manifest: as of `hosts`.
    """
    found = []
    for one in instances:
        name = f"{one['group']}/{one['id']}"
        if is_windows(manifest, one["group"]):
            found.append(f"{name} is a Windows VM, so it is left out, as by bbr")
        elif one.get("vm_cid") == "" and one.get("state") in ("stopped", "detached"):
            found.append(f"{name} is {one['state']} and has no VM, so it is left out, as by bbr")
    return found


def _answers(result: str) -> list[dict[str, Any]]:
    try:
        answers = json.loads(result or "[]")
    except ValueError:
        answers = None
    if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
        raise ValueError(f"the director's task returned no list of answers: {' '.join(result.split())[:200]}")
    return answers


def is_windows(manifest: dict[str, Any], group: str) -> bool:
    """Whether the VMs of an instance group have a Windows stemcell, by the deployment's manifest.

    bbr asks each VM (`echo %OS%`), which needs a login that Ansible does not have there. The manifest names the
    stemcell by alias (`stemcells`), or in the older form by the resource pool's name; a sole stemcell is everybody's.
    """
    stemcells = _mappings(manifest.get("stemcells"))
    pools = _mappings(manifest.get("resource_pools"))
    for one in _groups(manifest, group):
        if "stemcell" in one:
            chosen = [cell for cell in stemcells if cell.get("alias") == one["stemcell"]]
        elif "resource_pool" in one:
            chosen = _mappings([pool.get("stemcell") for pool in pools if pool.get("name") == one["resource_pool"]])
        else:
            chosen = stemcells if len(stemcells) == 1 else []
        if any(_WINDOWS in f"{cell.get('os', '')} {cell.get('name', '')}".lower() for cell in chosen):
            return True
    return False


def releases(manifest: dict[str, Any], group: str) -> dict[str, str]:
    """Release of each job of an instance group, by the job's name."""
    return {str(job["name"]): str(job.get("release") or "") for job in _jobs(manifest, group)}


def one_restore_all(manifest: dict[str, Any], group: str) -> list[str]:
    """Jobs of an instance group of which what the bootstrap instance leaves is restored on all.

    Only a job's own properties count; in the older form of manifests only those of its group (manifest_querier.go).
    """
    found = []
    for one in _groups(manifest, group):
        for job in _mappings(one.get("jobs") if _is_v2(manifest) else one.get("templates")):
            properties = (job if _is_v2(manifest) else one).get("properties")
            bbr = properties.get("bbr") if isinstance(properties, dict) else None
            if isinstance(bbr, dict) and bbr.get("backup_one_restore_all") is True and "name" in job:
                found.append(str(job["name"]))
    return found


def _is_v2(manifest: dict[str, Any]) -> bool:
    return "instance_groups" in manifest


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _groups(manifest: dict[str, Any], group: str) -> list[dict[str, Any]]:
    listed = manifest.get("instance_groups" if _is_v2(manifest) else "jobs")
    return [one for one in _mappings(listed) if str(one.get("name")) == group]


def _jobs(manifest: dict[str, Any], group: str) -> list[dict[str, Any]]:
    key = "jobs" if _is_v2(manifest) else "templates"
    return [job for one in _groups(manifest, group) for job in _mappings(one.get(key)) if "name" in job]
