# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back to Micro: what it would do, and what of Meta's would be lost by it."""

from __future__ import annotations

import shlex
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import addresses
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import IDLE

#: What changes nothing that a director would have to know. Source: bosh-director jobs, by their descriptions.
_IDLE = (*IDLE, "scan cloud", "scheduled ")
#: What taking Primary over consists of; the rollback undoes it.
_HANDOVER = ("create deployment", "apply resolutions", "scan and fix")


def own_tasks(tasks: list[dict[str, Any]], last: int, primary: str) -> dict[str, list[str]]:
    """Meta's own tasks after Micro's last one, in words: `undone` by the rollback, and `lost`.

    `tasks` are those of `task_info`, `primary` is Primary's deployment.
    """
    found: dict[str, list[str]] = {"undone": [], "lost": []}
    for task in tasks:
        if task["id"] <= last or task["description"].startswith(_IDLE):
            continue
        handover = task["deployment"] == primary and task["description"].startswith(_HANDOVER)
        # It belongs to no deployment (bosh-director api/controllers/vms_controller.rb).
        undone = handover or task["description"].startswith("delete vm ")
        words = (str(task["id"]), task["description"], task["deployment"], f"({task['state']})")
        found["undone" if undone else "lost"].append("task " + " ".join(word for word in words if word))
    return found


def own_configs(configs: list[dict[str, Any]], noted: list[dict[str, Any]]) -> list[str]:
    """Configs that Meta has and Micro had not, in words; both are those of `director_info`.

    The default cloud config is none of them: the procedure itself takes Micro's address out of it.
    """
    had = [(config["type"], config["name"], str(config["id"])) for config in noted]
    own = [(config["type"], config["name"], str(config["id"])) for config in configs]
    return [
        f"config {kind} {name} (ID {number})"
        for kind, name, number in own
        if (kind, name, number) not in had and (kind, name) != ("cloud", "default")
    ]


def vm_at(vms: list[dict[str, Any]], address: str) -> str:
    """The CID of the VM that has an address, however it is written; empty if none has it."""
    return next((str(vm["vm_cid"]) for vm in vms if addresses.among(address, vm["ips"])), "")


def rollback_plan(
    seen: dict[str, Any], own: dict[str, list[str]], micro_vms: list[str] | None = None, vms: list[str] | None = None
) -> list[str]:
    """What a rollback does from here, a line each, in its order.

    `seen` is what the phase was judged from, `own` what `own_tasks` told, `micro_vms` the CIDs of the VMs that
    Micro had, `vms` those that Meta has for Primary.
    """
    leads = "meta" in seen["answers"] and seen["names"]["primary"] in seen["known"]["meta"]
    made = [cid for cid in vms or [] if cid not in (micro_vms or [])]
    lines = []
    if leads:
        lines.append("switch resurrection off at Meta and Primary")
    lines += [f"terminate {cid}, which Meta made for Primary; its persistent disk stays" for cid in made]
    if leads or seen["store"] in ("swapping", "swapped"):
        lines.append("stop Meta, and give it its own store back; what it has of Micro's stays beside it")
    if "micro" not in seen["answers"]:
        lines.append("open Micro's store, and start its processes")
    if made or (leads and not vms):
        lines.append("let Micro make Primary's VM anew, on its own disk")
    elif leads:
        lines.append("bring Primary's agent back to Micro's bus, if Meta has it")
    lines += [f"start {name.capitalize()}'s processes" for name in ("primary", "meta") if name in seen["stopped"]]
    lines += [f"undone is {told}" for told in own["undone"]]
    lines += [f"LOST IS {told}" for told in own["lost"]]
    return [*lines, "take the key of the copy back, switch resurrection on"]


def last_resort(backups: list[dict[str, Any]], inventories: list[str], playbook: str) -> list[str]:
    """How Micro is restored where its own store turns out to be no good; nothing where there is no backup.

    `backups` are those of M(bosh.ha.bbr_backups), newest first, `playbook` is the path of restore.yml.
    """
    if not backups:
        return []
    words = ["ansible-playbook", *(word for path in inventories for word in ("-i", path)), playbook]
    command = shlex.join([*words, "-e", "restore_host=micro", "-e", f"restore_path={backups[0]['path']}"])
    return [f"the last resort, where Micro's store is no good, is its backup of {backups[0]['begun']}: {command}"]
