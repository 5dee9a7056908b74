# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import parse_output
from ansible_collections.bosh.ha.plugins.module_utils.task_events import (
    error_of,
    parse_events,
    recreated_vms,
    stage_seconds,
)

from ..conftest import recorded


def events_of(name):
    return parse_events("".join(parse_output(recorded(name)[1]).blocks))


def test_a_deploy_tells_stage_percent_and_what_it_does():
    lines = [event.line() for event in events_of("task_event")]
    assert lines[0] == "Preparing deployment started" or lines[0] == "Preparing deployment"
    assert any(line.endswith("(canary) 90 % starting jobs") for line in lines)


def test_what_the_health_monitor_recreated():
    events = events_of("resurrect_bosh-primary_task_event")
    assert len(recreated_vms(events)) == 1
    assert stage_seconds(events) == {"Scanning 1 VMs": 10, "Applying problem resolutions": 95}


def test_a_scan_alone_recreated_nothing():
    assert recreated_vms(events_of("task_event")) == []


def test_a_half_written_line_waits_for_the_next_look():
    assert parse_events('{"time":1,"stage":"A","task":"b","state":"started"}\n{"time":2,"st')[0].stage == "A"
    assert len(parse_events('{"time":1,"stage":"A"}\n{"time":2,"st')) == 1


INSTANCE = "bosh/3bc98394-f6bc-4700-b5fe-c8d0fb33ebe9 (0)"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        # bosh-director event_log.rb, warn_deprecated and warn; bosh-cli ui/task/reporter.go
        (
            {"time": 1467300000, "type": "deprecation", "message": "Ignoring cloud config."},
            "Deprecation: Ignoring cloud config.",
        ),
        (
            {"time": 1467300001, "type": "warning", "message": "You have ignored instances."},
            "Warning: You have ignored instances.",
        ),
        ({"time": 1, "type": "warning", "message": "two\nlines"}, "Warning: two lines"),
        ({"time": 1, "type": "notice", "message": "of a kind to come"}, "Notice: of a kind to come"),
        ({"time": 1, "message": "without a kind"}, "without a kind"),
        ({"time": 1, "error": {"code": 450001, "message": "no capacity"}}, "Error: no capacity"),
        ({"time": 1, "error": {"code": 450001}}, "Error: 450001"),
        ({"time": 1, "error": "no capacity"}, "Error: no capacity"),
        (
            {"time": 1, "stage": "Updating instance", "tags": ["bosh"], "task": INSTANCE, "state": "started"},
            "Updating instance bosh: bosh/0",
        ),
        (
            {
                "time": 1,
                "stage": "Updating instance",
                "tags": None,
                "task": INSTANCE,
                "state": "failed",
                "progress": 100,
                "data": {"error": "'bosh/0' is not running after update"},
            },
            "Updating instance: bosh/0 failed: 'bosh/0' is not running after update",
        ),
        ({"time": None, "stage": "A", "task": "b", "state": "in_progress", "progress": None, "data": []}, "A: b 0 %"),
        ({"stage": "A", "task": None, "state": "finished", "progress": "100"}, "A finished"),
    ],
)
def test_the_director_s_words_are_shown(entry, line):
    assert [event.line() for event in parse_events(json.dumps(entry) + "\n")] == [line]


@pytest.mark.parametrize(
    "entry", ["{}", '{"time":1}', '{"time":1,"type":"warning","message":""}', '{"time":1,"data":{}}', ""]
)
def test_what_has_nothing_to_show_is_no_line(entry):
    assert parse_events(entry + "\n") == []


def test_a_line_that_is_no_json_is_shown_as_it_is():
    assert [event.line() for event in parse_events("D, [2026] worker died\n[1]\n{half")] == [
        "D, [2026] worker died",
        "[1]",
    ]


def test_the_error_of_a_task_keeps_its_lines():
    assert error_of(parse_events('{"time":1,"error":{"code":1,"message":"a\\n  b"}}\n')) == "a\n  b"
