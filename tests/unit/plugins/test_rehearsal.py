# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restored director against its backup's record."""

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import rehearsal

BEFORE = {"rows": {"tasks": 430, "deployments": 2, "old": 1}, "blobs": {"count": 3, "bytes": 30}}
AFTER = {"rows": {"tasks": 432, "deployments": 2, "new": 1}, "blobs": {"count": 3, "bytes": 30}}
RECORD = {
    "uuid": "u-1",
    "name": "micro",
    "version": "283.1.0",
    "deployments": ["b", "a"],
    "rows": {"deployments": [2, 2], "tasks": [430, 432]},
    "blobs": {"bytes": [30, 30], "count": [3, 3]},
}
CONTENTS = {
    "rows": {"tasks": 431, "deployments": 2, "schema_migrations": 9},
    "blobs": {"count": 3, "bytes": 30},
    "named": 2,
    "problems": [],
}
SEEN = {
    "failed": "",
    "contents": CONTENTS,
    "director": {"uuid": "u-1", "version": "283.2.0"},
    "deployments": [{"name": "a"}, {"name": "b"}],
}


def test_what_was_counted_twice_is_a_range():
    found = rehearsal.contents_range([BEFORE, AFTER])
    assert found == {"rows": RECORD["rows"], "blobs": RECORD["blobs"]}
    assert rehearsal.contents_range([AFTER, BEFORE]) == found
    assert rehearsal.contents_range([BEFORE | {"blobs": {}}, AFTER | {"blobs": {}}]) == {"rows": RECORD["rows"]}
    # One alone is no range: the API may have written meanwhile.
    assert rehearsal.contents_range([BEFORE]) == rehearsal.contents_range([]) == {}


def verdicts(record, seen):
    return {one["what"]: one["verdict"] for one in rehearsal.findings(record, seen)}


def test_a_director_that_is_as_its_backup_passes():
    found = rehearsal.findings(RECORD, SEEN)
    assert {one["what"]: one["told"] for one in found} == {
        "rows": "433 in 2 tables",
        "blobs": "3 with 30 bytes",
        "digests": "2 that the database names, and all of the backup",
        "UUID": "u-1",
        "deployments": "a, b",
        "version": "283.2.0, backed up from 283.1.0",
    }
    assert {one["verdict"] for one in found} == {"pass"}


@pytest.mark.parametrize(
    ("change", "what", "told"),
    [
        (
            {"contents": CONTENTS | {"rows": {"tasks": 429, "deployments": 2}}},
            "rows",
            "tasks is 429, and was 430 to 432 when it was backed up",
        ),
        (
            {"contents": CONTENTS | {"rows": {"tasks": 433, "deployments": 2}}},
            "rows",
            "tasks is 433, and was 430 to 432",
        ),
        ({"contents": CONTENTS | {"rows": {"tasks": 430}}}, "rows", "deployments is not there"),
        ({"contents": CONTENTS | {"blobs": {"count": 2, "bytes": 30}}}, "blobs", "count is 2, and was 3 when"),
        ({"contents": CONTENTS | {"problems": ["a"] * 7}}, "digests", "a; a; a; a; a; and 2 more"),
        ({"director": SEEN["director"] | {"uuid": "u-2"}}, "UUID", "u-2, not u-1"),
        ({"deployments": [{"name": "a"}]}, "deployments", "a, not a, b"),
        ({"failed": "no route to host"}, "steps", "no route to host"),
        ({"contents": {}}, "steps", "not all of it was looked at"),
        ({"director": {}}, "steps", "not all of it was looked at"),
    ],
)
def test_each_difference_fails(change, what, told):
    wrong = [one for one in rehearsal.findings(RECORD, SEEN | change) if one["verdict"] != "pass"]
    assert [(one["what"], one["verdict"]) for one in wrong] == [(what, "FAIL")]
    assert told in wrong[0]["told"]


def test_what_nobody_wrote_down_is_not_known():
    assert verdicts({}, SEEN) == {"rows": "not known", "blobs": "not known", "digests": "pass", "UUID": "not known"}
    elsewhere = SEEN | {"contents": CONTENTS | {"blobs": {}}}
    assert verdicts({key: RECORD[key] for key in RECORD if key != "blobs"}, elsewhere)["blobs"] == "not known"


def test_a_failure_before_anything_was_seen_is_told_alone():
    assert verdicts(RECORD, {"failed": "damaged"}) == {"steps": "FAIL"}


def test_the_table_ends_with_the_seconds():
    marks = [{"step": "read", "at": 10.0}, {"step": "restore", "at": "12.5"}, {"step": "end", "at": 13.75}]
    took = rehearsal.seconds(marks)
    assert took == {"read": 2.5, "restore": 1.2}
    assert rehearsal.lines(rehearsal.findings(RECORD, SEEN | {"failed": "no"})[-2:], took) == [
        "pass       version  283.2.0, backed up from 283.1.0",
        "FAIL       steps    no",
        "read 2.5 s, restore 1.2 s, 3.7 s in all",
    ]


def test_the_newest_backup_is_the_newest_by_its_name():
    old, new = "/b/10.0.0.9_20261120T220000Z", "/b/10.0.0.4_20261121T010000Z"
    assert rehearsal.newest([new, old, "/b/10.0.0.4_20261122T010000Z.part", "/b/copy", "/b/a_b"]) == new
    with pytest.raises(ValueError, match="there is no backup that is finished"):
        rehearsal.newest(["/b/10.0.0.4_20261122T010000Z.part"])


def test_a_backup_says_whether_it_was_rehearsed():
    assert rehearsal.told({}) == "not rehearsed yet"
    at = "2026-11-21T22:10:00Z"
    assert rehearsal.told({"at": at, "passed": True}) == f"rehearsed {at}, and it passed"
    assert rehearsal.told({"at": at, "passed": False}) == f"rehearsed {at}, and it FAILED"


def test_rendered_templates_without_a_blob_pass_and_are_told():
    contents = CONTENTS | {"unstored": {"rendered_templates_archives": 12}, "skipped": False}
    found = rehearsal.findings(RECORD, SEEN | {"contents": contents})
    digests = next(one for one in found if one["what"] == "digests")
    assert digests["verdict"] == "pass"
    assert "12 of rendered_templates_archives" in digests["told"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"blobs": {"count": 0, "bytes": 0}, "skipped": True}, "blobs"),
        # Nothing compared with nothing.
        ({"blobs": {"count": 0, "bytes": 0}, "named": 0}, "digests"),
    ],
)
def test_what_was_not_compared_is_not_known(change, what):
    record = RECORD | {"blobs": {"bytes": [0, 0], "count": [0, 0]}}
    assert verdicts(record, SEEN | {"contents": CONTENTS | change})[what] == "not known"


def test_a_missing_blob_fails_where_there_is_none_at_all():
    contents = CONTENTS | {"blobs": {"count": 0, "bytes": 0}, "named": 1, "problems": ["gone"]}
    assert verdicts(RECORD, SEEN | {"contents": contents})["digests"] == "FAIL"
