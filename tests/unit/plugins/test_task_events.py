# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import parse_output
from ansible_collections.bosh.ha.plugins.module_utils.task_events import parse_events, recreated_vms, stage_seconds

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
