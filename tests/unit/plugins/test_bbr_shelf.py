# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups a directory has of a deployment, and which of them may go."""

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bbr_backup import begun_at, half_done
from ansible_collections.bosh.ha.plugins.module_utils.bbr_shelf import backups, free_at, to_go


def put(shelf, name, rehearsed=None, metadata=True):
    path = shelf / name
    path.mkdir()
    (path / "bosh-0-director.tar").write_bytes(b"x" * 100)
    if metadata:
        (path / "metadata").write_text("{}", encoding="utf-8")
    if rehearsed is not None:
        (path / "rehearsed.json").write_text(rehearsed, encoding="utf-8")
    return str(path)


def days(shelf, *numbers, name="10.0.0.8"):
    return [put(shelf, f"{name}_202601{number:02}T000000Z") for number in numbers]


def gone(shelf, keep, made="", name="10.0.0.8"):
    return [backup.path for backup in to_go(backups(str(shelf), name), keep, made)]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("10.0.0.80_20260101T000000Z", "10.0.0.8"),
        ("app_two_20260101T000000Z", "app"),
        ("app_20260101T000000Z.part", "app"),
        ("app_20260101T000000Z.old", "app"),
        ("app_20261301T000000Z", "app"),
        ("app_2026101T0000000Z", "app"),
        ("app", "app"),
    ],
)
def test_another_name_is_another_deployment(entry, name):
    assert begun_at(entry, name) is None


def test_a_backup_tells_its_time():
    assert f"{begun_at('app_two_20260102T030405Z', 'app_two'):%Y-%m-%d %H:%M:%S %Z}" == "2026-01-02 03:04:05 UTC"


def test_what_another_deployment_has_half_done_is_left(tmp_path):
    for name in ("app_20260101T000000Z.part", "app_two_20260101T000000Z.part", "app_x.part"):
        (tmp_path / name).mkdir()
    assert half_done(str(tmp_path), "app") == ["app_20260101T000000Z.part"]
    assert half_done(str(tmp_path / "nowhere"), "app") == []


def test_the_newest_is_first_and_what_is_no_backup_is_none(tmp_path):
    first, second = days(tmp_path, 1, 2)
    days(tmp_path, 3, name="10.0.0.80")
    put(tmp_path, "10.0.0.8_20260104T000000Z.part")
    put(tmp_path, "10.0.0.8_20260105T000000Z", metadata=False)
    (tmp_path / "10.0.0.8_20260106T000000Z").write_text("", encoding="utf-8")
    (tmp_path / "10.0.0.8_20260107T000000Z").symlink_to(first)
    (tmp_path / "10.0.0.8_20260101T000000Z" / "bosh_ha.json").write_text(json.dumps({"uuid": "u"}), encoding="utf-8")
    (tmp_path / "10.0.0.8_20260102T000000Z" / "bosh_ha.json").write_text("{", encoding="utf-8")
    there = backups(str(tmp_path), "10.0.0.8")
    assert [(one.path, one.about, one.size) for one in there] == [(second, {}, 103), (first, {"uuid": "u"}, 115)]
    assert backups(str(tmp_path / "nowhere"), "10.0.0.8") == []


def test_the_oldest_go(tmp_path):
    paths = days(tmp_path, 3, 1, 2, 4)
    assert gone(tmp_path, 2) == [paths[1], paths[2]]
    assert gone(tmp_path, 4) == []
    assert gone(tmp_path, 0) == []


@pytest.mark.parametrize(
    ("told", "stays"),
    [
        ('{"passed": true}', True),
        ('{"passed": false}', False),
        ('{"passed": "true"}', False),
        ("{", False),
        ("[]", False),
    ],
)
def test_the_newest_that_is_known_to_restore_stays(tmp_path, told, stays):
    older = put(tmp_path, "10.0.0.8_20260101T000000Z", rehearsed='{"passed": true}')
    newer = put(tmp_path, "10.0.0.8_20260102T000000Z", rehearsed=told)
    third, _last = days(tmp_path, 3, 4)
    assert gone(tmp_path, 1) == [older if stays else newer, third]


def test_the_one_that_was_made_stays_and_counts_even_where_it_is_not_there_yet(tmp_path):
    first, second, third = days(tmp_path, 1, 2, 3)
    assert gone(tmp_path, 2, made=str(tmp_path / "10.0.0.8_20260104T000000Z")) == [first, second]
    # The clock went back.
    assert gone(tmp_path, 1, made=first) == [second, third]


def test_room_is_told_of_a_directory_that_is_still_to_be_made(tmp_path):
    assert free_at(str(tmp_path / "a" / "b")) == pytest.approx(free_at(str(tmp_path)), rel=0.01)
