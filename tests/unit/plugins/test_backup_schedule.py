# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One time, told to systemd and to AWX, and systemd's ways to write words and variables."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.backup_schedule import (
    DAYS,
    clock_time,
    command_line,
    environment_file,
    on_calendar,
    problems,
    rrule,
)
from hypothesis import given
from hypothesis import strategies as st

RULE = re.compile(
    r"DTSTART(?:;TZID=(?P<zone>[^:]+))?:(?P<start>\d{8}T\d{6})(?P<utc>Z?) "
    r"RRULE:FREQ=(?:DAILY;INTERVAL=1|WEEKLY;INTERVAL=1;BYDAY=(?P<days>[A-Z,]+))"
)


@pytest.mark.parametrize(
    ("days", "zone", "calendar", "rule"),
    [
        (DAYS, "UTC", "*-*-* 03:17:00 UTC", "DTSTART:20260105T031700Z RRULE:FREQ=DAILY;INTERVAL=1"),
        (
            ["wed", "mon", "wed"],
            "Europe/Berlin",
            "Mon,Wed *-*-* 03:17:00 Europe/Berlin",
            "DTSTART;TZID=Europe/Berlin:20260105T031700 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,WE",
        ),
        (
            ["sun"],
            "UTC",
            "Sun *-*-* 03:17:00 UTC",
            "DTSTART:20260111T031700Z RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SU",
        ),
    ],
)
def test_systemd_and_awx_are_told_the_same_time(days, zone, calendar, rule):
    assert on_calendar("03:17", days, zone) == calendar
    assert rrule("03:17", days, zone) == rule


@given(
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    days=st.lists(st.sampled_from(DAYS), min_size=1),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
)
def test_a_rule_has_all_that_awx_demands_and_begins_when_it_is_due(hour, minute, days, zone):
    """Without INTERVAL or without a zone AWX refuses it; a begin that is not due would be one time too many."""
    found = RULE.fullmatch(rrule(f"{hour:02}:{minute:02}", days, zone))
    assert found
    assert (found["zone"], found["utc"]) == ((None, "Z") if zone == "UTC" else (zone, ""))
    start = datetime.strptime(found["start"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert (start.hour, start.minute) == (hour, minute)
    assert DAYS[start.weekday()] in days
    due = {DAYS[(start + timedelta(days=one)).weekday()] for one in range(7)}
    told = {day.lower() for day in found["days"].split(",")} if found["days"] else {day[:2] for day in due}
    assert told == {day[:2] for day in days}


def test_systemd_takes_each_word_as_it_is():
    words = ["/bin/ansible-playbook", "--extra-vars", '{"a": "100 % of $HOME\\n"}', "it's", "two\nlines"]
    assert command_line(words) == (
        '/bin/ansible-playbook "--extra-vars" "{\\"a\\": \\"100 %% of $$HOME\\\\n\\"}" "it\'s" "two\\nlines"'
    )


def test_a_variable_of_a_file_may_have_anything():
    assert environment_file({"B": "plain", "A": 'a "b" \\ $c `d`\nnext'}) == (
        'A="a \\"b\\" \\\\ \\$c \\`d\\`\nnext"\nB="plain"\n'
    )


GOOD: dict[str, Any] = {
    "state": "present",
    "name": "bosh-ha-backup",
    "at": "03:17",
    "days": ["mon"],
    "time_zone": "UTC",
    "spread": 900,
    "timeout": "0",
    "vars": {"backup_director_dir": "/backups", "restic_password_file": "/etc/restic"},
    "timer": True,
    "user": "backup",
    "command": "/usr/bin/ansible-playbook",
    "inventory": ["/srv/inventory"],
    "environment": {"SECRET": "not-for-eyes"},
    "environment_file": "/etc/bosh-ha.env",
    "notify": ["/usr/bin/mail", "-s", "it failed", "ops@example.com"],
    "awx_file": "/srv/awx.yml",
    "awx_project": "bosh-ha",
    "awx_inventory": "directors",
}


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (797, "13:17"),
        (600, "10:00"),
        (1439, "23:59"),
        ("03:17", "03:17"),
        # No time without a leading zero became such a number.
        (599, 599),
        (1440, 1440),
        (True, True),
        (13.17, 13.17),
        (None, None),
    ],
)
def test_time_that_yaml_took_for_a_number_is_a_time_again(at, text):
    assert clock_time(at) == text
    if isinstance(text, str):
        assert problems(GOOD | {"at": at}) == []
        assert (on_calendar(at, ["mon"]), rrule(at, ["mon"])) == (on_calendar(text, ["mon"]), rrule(text, ["mon"]))
    else:
        assert "schedule_backup_at is to be a time" in problems(GOOD | {"at": at})[0]


def test_nothing_is_wrong_with_good_inputs():
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"at": 97}, 'schedule_backup_at is to be a time such as "03:17", in quotes, and not 97'),
        ({"at": "24:00"}, "and not '24:00'"),
        ({"at": "03:17\n"}, "schedule_backup_at is to be a time"),
        ({"days": ["monday"]}, "schedule_backup_days is to be a list of mon, tue"),
        ({"days": []}, "schedule_backup_days is to be a list of"),
        ({"time_zone": "Mars/Olympus"}, "schedule_backup_time_zone is to be a time zone such as UTC"),
        ({"time_zone": "../../etc/passwd"}, "schedule_backup_time_zone is to be a time zone such as UTC"),
        ({"spread": "soon"}, "schedule_backup_spread is to be a number of seconds, and not 'soon'"),
        ({"timeout": -1}, "schedule_backup_timeout is to be a number of seconds, and not -1"),
        ({"name": "a/b"}, "schedule_backup_name is to be the name of a unit, and not 'a/b'"),
        ({"vars": {"s3_secret_key": "x"}}, "schedule_backup_vars has s3_secret_key, and everybody can read it there"),
        ({"user": None}, "schedule_backup_user is to be the user"),
        ({"user": "root\nExecStartPre=x"}, "schedule_backup_user is to be the user"),
        ({"inventory": []}, "schedule_backup_inventory is not set"),
        ({"command": "ansible-playbook"}, "schedule_backup_command is to be a whole path without blanks"),
        ({"working_dir": "/srv/my site"}, "schedule_backup_working_dir is to be a whole path without blanks"),
        ({"environment_file": "/etc/*.env"}, "schedule_backup_environment_file is to be a whole path"),
        ({"environment_file": None}, "schedule_backup_environment_file does not say where to"),
        ({"environment": {"A-B": "not-for-eyes"}}, "schedule_backup_environment has 'A-B', which is no name"),
        ({"environment": {"A": "not-for-eyes\0"}}, "schedule_backup_environment has a NUL in A"),
        ({"notify": ["mail"]}, "schedule_backup_notify is to begin with the whole path of a command"),
        ({"notify": ["/bin/mail", "a\nb"]}, "schedule_backup_notify has a word that is empty or has a line's end"),
        ({"awx_project": ""}, "schedule_backup_awx_project is not set, and AWX needs its name"),
    ],
)
def test_what_is_wrong_is_one_clear_sentence(change, words):
    [found] = problems(GOOD | change)
    assert words in found
    assert "not-for-eyes" not in found


def test_without_a_timer_nobody_asks_for_its_user():
    nobody = {"user": None, "inventory": [], "command": "x"}
    assert problems(GOOD | nobody | {"timer": False}) == []
    assert problems(GOOD | nobody | {"state": "absent"}) == []
