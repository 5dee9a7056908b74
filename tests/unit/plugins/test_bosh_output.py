# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import (
    UNREADABLE,
    epoch,
    parse_output,
    split_lines,
    without_marks,
)

from ..conftest import recorded


def output_of(name):
    return parse_output(recorded(name)[1])


def test_rows_of_a_table():
    rows = output_of("vms").rows("vms")
    assert [(row["vm_cid"], row["process_state"]) for row in rows] == [("vm-b90042ef", "running")]


def test_a_table_that_was_not_printed_is_no_answer():
    output = output_of("fail_unknown_deployment_vms")
    assert not output.has_table("vms")
    with pytest.raises(BoshFailure):
        output.rows("vms")


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


ANSWER = '{"Tables":[{"Content":"tasks","Rows":[{"id":"7"}]}],"Blocks":null,"Lines":["Succeeded"]}'
INDENTED = json.dumps(json.loads(ANSWER), indent=4)
OTHER = '{"Tables":[{"Content":"","Rows":[{"name":"micro"}]}],"Blocks":null,"Lines":["Succeeded"]}'
GREEN = "\x1b[32m"


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"a plain warning\n{ANSWER}",
        f'warning {{"x": 1}}\n{ANSWER}',
        f"{ANSWER}\nreal 0m0.2s\n",
        f'{ANSWER}\n{{"level":"info","msg":"done"}}\n',
        f'{{"level":"info","Lines":3}}\n{{"ts":1}}\n{INDENTED}\n{{"ts":2}}\n',
        f"set {{a,b}} and {{ and {{{{{ANSWER}}}}}",
        f"\ufeff{ANSWER}",
        INDENTED.replace("\n", "\r\n"),
        f"{GREEN}starting\x1b[0m\n{GREEN}{INDENTED.replace(':', ':' + GREEN)}\x1b[0m",
        f"\x1b]0;bosh\x07{ANSWER}",
        f"{OTHER}\n{ANSWER}",
        f"{ANSWER}\n{OTHER}",
        f'{{"Tables":"none","Blocks":null,"Lines":null}}{ANSWER}',
        f'{{"Tables":[1],"Blocks":null,"Lines":[]}} {ANSWER}',
        '{"Tables": null, "Blocks": null, "Lines": ["logged in"]}\n' + ANSWER,
    ],
)
def test_the_cli_s_answer_is_found_among_other_text(text):
    assert parse_output(text).rows("tasks") == [{"id": "7"}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "usage: bosh",
        "{}",
        "[]",
        "null",
        ANSWER[:-1],
        ANSWER[:40],
        '{"Tables":null,"Lines":["Succeeded"]}',
        '{"Tables":null,"Blocks":null,"Lines":["Succeeded"]}',
        '{"Tables":[],"Blocks":null,"Lines":["Succeeded"]}',
        OTHER,
        '{"Tables":[{"Content":"tasks"}],"Blocks":null,"Lines":[]}',
        '{"Tables":[{"Content":"tasks","Rows":{"id":"7"}}],"Blocks":null,"Lines":[]}',
        '{"Tables":[{"Content":"tasks","Rows":["7"]}],"Blocks":null,"Lines":[]}',
        '{"Tables":[{"Content":"tasks","Rows":[{"id":7}]}],"Blocks":null,"Lines":[]}',
        "{" * 5000,
        '{"a":' * 5000,
        "\n".join(f"12:00 {line}" for line in INDENTED.splitlines()),
    ],
)
def test_an_answer_without_the_table_is_not_nothing(text):
    with pytest.raises(BoshFailure) as caught:
        parse_output(text).rows("tasks")
    assert caught.value.cause == UNREADABLE


@pytest.mark.parametrize("rows", ["[]", "null"])
def test_a_table_without_rows_is_nothing(rows):
    text = f'{{"Tables":[{{"Content":"tasks","Rows":{rows}}}],"Blocks":null,"Lines":["Succeeded"]}}'
    assert parse_output(text).rows("tasks") == []


def test_a_column_that_is_absent_is_a_failure_with_its_name():
    with pytest.raises(BoshFailure, match="no column `state`") as caught:
        _cell = parse_output(ANSWER).rows("tasks")[0]["state"]
    assert caught.value.cause == UNREADABLE


@pytest.mark.parametrize("blocks", [None, [], ["<html>login</html>"], ["[1]"], ["{"]])
def test_an_answer_of_the_api_that_is_no_object_is_a_failure(blocks):
    output = parse_output(json.dumps({"Tables": None, "Blocks": blocks, "Lines": ["Succeeded"]}))
    with pytest.raises(BoshFailure) as caught:
        output.data()
    assert caught.value.cause == UNREADABLE
    assert "login" not in str(caught.value)
