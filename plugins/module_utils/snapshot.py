# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director knows, in the form in which two directors are compared."""

from __future__ import annotations

from typing import Any

_KEYS = {
    "deployments": ("name", "releases", "stemcells"),
    "releases": ("name", "version", "deployed"),
    "stemcells": ("name", "version", "os", "cid", "deployed"),
    "configs": ("type", "name", "id"),
    # Not the state of the agent: after the copy it is still on the other director's bus.
    "vms": ("instance", "vm_cid", "az", "ips"),
}
_TASK = ("id", "state", "user", "deployment", "description", "result", "started_at", "finished_at")


def snapshot(
    said: dict[str, Any], tasks: list[dict[str, Any]], instances: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """What `director_info` and `task_info` said, without what differs between a director and its copy.

    The director's name is left out, as it is the manifest's; the UUID is the database's. `tasks` are newest first.
    `instances` are Primary's, by `vm_info`, where the director deploys it: of `bosh vms` alone nobody knows the disks.
    """
    known: dict[str, Any] = {"uuid": said["director"]["uuid"]}
    for subset, keys in _KEYS.items():
        rows = [{key: row.get(key, "") for key in keys} for row in said[subset]]
        known[subset] = sorted(rows, key=lambda row: [str(value) for value in row.values()])
    known["primary_disks"] = sorted(cid for instance in instances or [] for cid in instance["disk_cids"])
    known["last_task"] = {key: tasks[0].get(key, "") for key in _TASK} if tasks else {}
    return known
