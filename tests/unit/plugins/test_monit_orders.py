# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.monit_orders import (
    forget_held,
    held,
    last_monitored,
    not_running,
    note_held,
    start_orders,
    stop_orders,
    workers,
)

IDLE = "not monitored"


def test_workers_are_known_by_the_names_of_boshs_monit_file():
    names = [
        "worker_1",
        "worker_12",
        "dynamic_disks_worker_1",
        "worker",
        "worker_a",
        "my_worker_1",
        "director_scheduler",
    ]
    assert workers(dict.fromkeys(names, "running")) == ["worker_1", "worker_12", "dynamic_disks_worker_1"]


@pytest.mark.parametrize(
    ("states", "orders"),
    [
        ({"postgres": "running", "worker_1": "running", "worker_2": "running"}, [["worker_1", "worker_2"], ["all"]]),
        ({"postgres": "running", "dynamic_disks_worker_1": "running"}, [["dynamic_disks_worker_1"], ["all"]]),
        # On its way is not stopped, and what monit tries to start is not either.
        ({"worker_1": "running - stop pending"}, [["worker_1"], ["all"]]),
        ({"worker_1": "not monitored - stop pending"}, [["worker_1"], ["all"]]),
        ({"worker_1": "initializing"}, [["worker_1"], ["all"]]),
        ({"worker_1": "does not exist", "worker_2": IDLE}, [["worker_1"], ["all"]]),
        ({"postgres": "running", "worker_1": IDLE}, [["all"]]),
        # A VM without workers, and one that is stopped.
        ({"postgres": "running"}, [["all"]]),
        ({}, [["all"]]),
    ],
)
def test_workers_stop_before_all(states, orders):
    assert stop_orders(states) == orders


@pytest.mark.parametrize(
    ("states", "names", "orders"),
    [
        ({"a": IDLE, "b": IDLE}, [], ["all"]),
        ({"a": IDLE, "b": "running"}, [], ["a"]),
        ({"a": IDLE, "b": IDLE}, ["b"], ["b"]),
        ({"a": IDLE, "b": IDLE}, ["a", "b"], ["a", "b"]),
        *(
            ({"a": state, "b": "running"}, [], [])
            for state in (
                "running",
                "initializing",
                "does not exist",
                "execution failed",
                "connection failed",
                "timeout",
                "pid failed",
                "running - restart pending",
                "not monitored - start pending",
            )
        ),
        ({}, [], []),
        ({"a": IDLE}, ["gone"], []),
    ],
)
def test_only_what_monit_does_not_monitor_is_ordered_to_start(states, names, orders):
    assert start_orders(states, names) == orders


def test_what_does_not_run_has_its_state():
    states = {"a": "running", "b": "does not exist", "c": IDLE}
    assert not_running(states, []) == ["b (does not exist)", "c (not monitored)"]
    assert not_running(states, ["a", "b"]) == ["b (does not exist)"]


def test_a_process_ran_until_it_was_last_seen_monitored():
    looks = [
        (0.0, {"a": "running", "b": "running", "c": IDLE}),
        (1.04, {"a": IDLE, "b": "running - stop pending", "c": IDLE}),
        # Stopping: it may not serve any more.
        (2.0, {"a": IDLE, "b": "not monitored - stop pending", "c": IDLE}),
    ]
    assert last_monitored(looks) == {"a": 0.0, "b": 1.0}
    assert last_monitored([]) == {}


def test_a_note_is_read_as_it_was_written(tmp_path):
    assert held(str(tmp_path)) == []
    note_held(str(tmp_path), ["worker_2", "worker_1"])
    assert held(str(tmp_path)) == ["worker_1", "worker_2"]
    assert [path.name for path in tmp_path.iterdir()] == ["bosh_ha_held_workers"]
    forget_held(str(tmp_path))
    forget_held(str(tmp_path))
    assert held(str(tmp_path)) == []
