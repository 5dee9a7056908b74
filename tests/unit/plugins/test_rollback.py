# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.filter.hosts import reached
from ansible_collections.bosh.ha.plugins.module_utils.rollback import (
    last_resort,
    own_configs,
    own_tasks,
    rollback_plan,
    vm_at,
)

NONE: dict[str, list[str]] = {"undone": [], "lost": []}
SEEN = {
    "answers": ["meta"],
    "reachable": ["micro", "primary", "meta"],
    "stopped": ["micro", "primary"],
    "known": {"micro": [], "primary": [], "meta": ["bosh-primary"]},
    "names": {"primary": "bosh-primary", "meta": "bosh-meta"},
    "store": "none",
}
AGAIN = "take the key of the copy back, switch resurrection on"


def task(number: int, description: str, deployment: str = "") -> dict[str, object]:
    return {"id": number, "description": description, "deployment": deployment, "state": "done"}


def test_only_what_is_metas_own_and_changes_something_is_lost() -> None:
    tasks = [
        task(60, "create deployment", "cf"),
        task(59, "create stemcell"),
        task(58, "retrieve vm-stats", "cf"),
        task(57, "create deployment", "bosh-primary"),
        task(56, "scan and fix", "bosh-primary"),
        task(55, "delete vm vm-1"),
        task(54, "run errand smoke from deployment bosh-primary", "bosh-primary"),
        task(43, "create deployment", "cf"),
    ]
    assert own_tasks(tasks, 43, "bosh-primary") == {
        "lost": [
            "task 60 create deployment cf (done)",
            "task 59 create stemcell (done)",
            "task 54 run errand smoke from deployment bosh-primary bosh-primary (done)",
        ],
        "undone": [
            "task 57 create deployment bosh-primary (done)",
            "task 56 scan and fix bosh-primary (done)",
            "task 55 delete vm vm-1 (done)",
        ],
    }


@pytest.mark.parametrize(
    ("seen", "vms", "steps"),
    [
        # Nothing is frozen.
        (
            {"answers": ["micro", "primary", "meta"], "stopped": [], "known": {"micro": [], "primary": [], "meta": []}},
            [],
            [],
        ),
        # Frozen, and the copy in place.
        (
            {
                "answers": [],
                "stopped": ["micro", "primary", "meta"],
                "known": {"micro": [], "primary": [], "meta": []},
                "store": "swapped",
            },
            [],
            [
                "stop Meta, and give it its own store back; what it has of Micro's stays beside it",
                "open Micro's store, and start its processes",
                "start Primary's processes",
                "start Meta's processes",
            ],
        ),
        # Meta works, and Primary is Micro's VM still.
        (
            {},
            ["vm-1"],
            [
                "switch resurrection off at Meta and Primary",
                "stop Meta, and give it its own store back; what it has of Micro's stays beside it",
                "open Micro's store, and start its processes",
                "bring Primary's agent back to Micro's bus, if Meta has it",
                "start Primary's processes",
            ],
        ),
        # Meta made another one; a manifest may have more groups than the director's.
        (
            {"answers": ["meta", "primary"], "stopped": ["micro"]},
            ["vm-2", "vm-other"],
            [
                "switch resurrection off at Meta and Primary",
                "terminate vm-2, which Meta made for Primary; its persistent disk stays",
                "stop Meta, and give it its own store back; what it has of Micro's stays beside it",
                "open Micro's store, and start its processes",
                "let Micro make Primary's VM anew, on its own disk",
            ],
        ),
    ],
)
def test_the_plan_says_what_is_done_from_there(seen, vms, steps) -> None:
    assert rollback_plan(SEEN | seen, NONE, ["vm-1", "vm-other"], vms) == [*steps, AGAIN]


def test_a_config_that_micro_had_not_is_metas_own() -> None:
    had = [{"type": "cloud", "name": "default", "id": "1"}, {"type": "runtime", "name": "dns", "id": "2"}]
    has = [
        {"type": "cloud", "name": "default", "id": "3"},
        {"type": "runtime", "name": "dns", "id": "4"},
        {"type": "cloud", "name": "more", "id": "5"},
    ]
    assert own_configs(had, had) == []
    assert own_configs(has, had) == ["config runtime dns (ID 4)", "config cloud more (ID 5)"]


def test_the_plan_names_what_is_lost() -> None:
    own = {"undone": ["task 51 apply resolutions bosh-primary (done)"], "lost": ["task 60 create deployment cf (done)"]}
    lines = rollback_plan(SEEN, own, ["vm-1"], ["vm-1"])
    assert lines[-3:-1] == [
        "undone is task 51 apply resolutions bosh-primary (done)",
        "LOST IS task 60 create deployment cf (done)",
    ]


def test_the_last_resort_is_the_newest_backup_and_a_command_that_can_be_pasted() -> None:
    backups = [{"path": "/my backups/10.0.0.6_2", "begun": "2026-11-21 22:00:00 UTC"}, {"path": "/b/1", "begun": ""}]
    assert last_resort(backups, ["/site", "/more"], "/p/restore.yml") == [
        "the last resort, where Micro's store is no good, is its backup of 2026-11-21 22:00:00 UTC: ansible-playbook "
        "-i /site -i /more /p/restore.yml -e restore_host=micro -e 'restore_path=/my backups/10.0.0.6_2'"
    ]
    assert last_resort([], ["/site"], "/p/restore.yml") == []


def test_reached_are_those_that_let_themselves_be_logged_in_to() -> None:
    results = [
        {"item": "micro", "elapsed": 0},
        {"item": "primary", "elapsed": 10, "msg": "timed out"},
        {"item": "meta", "skipped": True},
    ]
    assert reached(results) == ["micro"]


@pytest.mark.parametrize(
    ("address", "cid"),
    [("10.10.0.4", "vm-4"), ("10.10.0.40", "vm-40"), ("FD00:0::6", "vm-6"), ("fd00::6a", ""), ("", "")],
)
def test_a_vm_is_known_by_its_address_however_it_is_written(address: str, cid: str) -> None:
    ips = {"vm-40": ["10.10.0.40"], "vm-4": ["10.10.0.4", "192.0.2.1"], "vm-6": ["fd00::6"], "vm-0": []}
    assert vm_at([{"vm_cid": name, "ips": found} for name, found in ips.items()], address) == cid
