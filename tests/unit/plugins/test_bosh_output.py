# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import epoch, parse_output, split_lines, without_marks

from ..conftest import recorded


def output_of(name):
    return parse_output(recorded(name)[1])


def test_rows_of_a_table():
    rows = output_of("vms").rows("vms")
    assert [(row["vm_cid"], row["process_state"]) for row in rows] == [("vm-b90042ef", "running")]


def test_a_table_that_was_not_printed_has_no_rows():
    assert output_of("fail_unknown_deployment_vms").rows("vms") == []


def test_tables_of_one_name_are_joined():
    tables = [{"Content": "vms", "Rows": [{"instance": name}]} for name in ("a/1", "b/2")]
    text = json.dumps({"Tables": tables, "Blocks": None, "Lines": []})
    assert [row["instance"] for row in parse_output(text).rows("vms")] == ["a/1", "b/2"]


@pytest.mark.parametrize(
    ("name", "changed_lines", "touched"),
    [
        ("deploy_nochange", 0, False),
        ("deploy_dryrun_nochange", 0, False),
        ("deploy_dryrun_change", 2, False),
        ("deploy_change", 2, True),
    ],
)
def test_what_a_deploy_changed(name, changed_lines, touched):
    output = output_of(name)
    assert len(output.changed_lines()) == changed_lines
    assert output.touched_instances() is touched


def test_the_diff_keeps_its_context():
    assert output_of("deploy_dryrun_change").diff_lines() == [
        "  instance_groups:",
        "  - name: bosh",
        "    jobs:",
        "    - name: health_monitor",
        "      properties:",
        "        hm:",
        '-         resurrector_enabled: "<redacted>"',
        '+         resurrector_enabled: "<redacted>"',
    ]


def test_tasks_that_a_command_followed():
    assert output_of("cck_recreate").task_ids() == [42, 43]


def test_a_failure_in_bosh_own_words():
    message = output_of("cck_while_locked").message()
    assert "Unable to get deployment lock" in message
    assert "Using environment" not in message


@pytest.mark.parametrize("text", ["", "Unknown command `nope'\n", '{"Lines": [', "[1, 2]", "{}"])
def test_what_is_no_json_answer_is_kept_as_text(text):
    output = parse_output(text)
    assert output.tables == {}
    assert output.message() == text.strip()


def test_times():
    assert epoch("Sat Nov 21 00:33:31 UTC 2026") == 1795221211
    assert epoch("2026-11-21 00:29:31 UTC") == 1795220971
    assert epoch("-") is None


def test_cells():
    assert split_lines("10.0.0.1\n10.0.0.2\n") == ["10.0.0.1", "10.0.0.2"]
    assert without_marks("1.1*") == ("1.1", True)
    assert without_marks("empty+") == ("empty", False)
