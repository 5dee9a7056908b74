# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_control: recorded from PostgreSQL 15.20 (head of the file, the rest is zero), and made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import pg_control

RECORDED = Path(__file__).parent.parent / "fixtures" / "pg_control"


def recorded(name):
    return bytes.fromhex((RECORDED / f"{name}.hex").read_text(encoding="ascii")).ljust(8192, b"\0")


def made(version=1300, state=1, size=296, crc=True, identifier=7):
    body = struct.pack("<QIII", identifier, version, 202209061, state).ljust(size - 8, b"\x01")
    number = pg_control.crc32c(body) if crc else 1
    return (body + struct.pack("<I", number)).ljust(8192, b"\0")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(pg_control, "_PAUSE", 0)

    def put(data, name="postgres-15"):
        (tmp_path / name / "global").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "PG_VERSION").write_text(f"{name.rpartition('-')[2]}\n", encoding="ascii")
        (tmp_path / name / "global" / "pg_control").write_bytes(data)
        return tmp_path

    return put


def test_crc32c_is_castagnoli_s():
    assert pg_control.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(("name", "state"), [("15-shut-down", "shut down"), ("15-in-production", "in production")])
def test_what_postgresql_wrote_itself(name, state):
    # As pg_controldata tells it.
    assert pg_control.parse(recorded(name)) == pg_control.Control(7710594480825228574, 1300, 202209061, state, True)


@pytest.mark.parametrize(("version", "size"), [(960, 240), (1002, 248), (1201, 288), (1300, 296), (1800, 304)])
def test_the_crc_is_found_where_each_version_has_it(version, size):
    assert pg_control.parse(made(version, size=size)).crc_ok is True
    assert pg_control.parse(made(version, size=size, crc=False)).crc_ok is False


def test_the_crc_of_a_version_to_come_may_be_another():
    assert pg_control.parse(made(2100, crc=False)).crc_ok is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes only"),
        (made(version=0x14050000), "no version"),
        (made(state=7), "7 is no state"),
        (made(crc=False), "checksum"),
    ],
)
def test_what_is_none_is_a_failure_that_names_it(store, data, words):
    path = store(data)
    with pytest.raises(pg_control.BadControlFile, match=words) as failed:
        pg_control.databases(str(path))
    assert str(failed.value).startswith(f"{path}/postgres-15/global/pg_control: ")


def test_a_file_that_is_being_written_is_read_again(store, monkeypatch):
    path = store(made(crc=False)) / "postgres-15" / "global" / "pg_control"
    monkeypatch.setattr(pg_control.time, "sleep", lambda _seconds: path.write_bytes(made(state=6)))
    assert pg_control.read(str(path)).state == "in production"


def test_databases_of_a_store(store):
    path = store(recorded("15-shut-down"))
    store(recorded("15-in-production"), "postgres-13")
    (path / "postgres-previous-glibc-tracking").mkdir()
    found = pg_control.databases(str(path))
    assert [(row["major"], row["state"], row["clean"]) for row in found] == [
        ("13", "in production", False),
        ("15", "shut down", True),
    ]
    assert found[1] == {
        "path": f"{path}/postgres-15",
        "major": "15",
        "state": "shut down",
        "clean": True,
        "system_identifier": "7710594480825228574",
        "control_version": 1300,
        "catalog_version": 202209061,
    }


def test_with_a_pid_file_it_is_not_clean(store):
    path = store(recorded("15-shut-down"))
    (path / "postgres-15" / "postmaster.pid").symlink_to("nowhere")
    assert pg_control.databases(str(path))[0]["clean"] is False


def test_a_data_directory_without_pg_control_is_a_failure(store):
    path = store(b"")
    (path / "postgres-15" / "global" / "pg_control").unlink()
    with pytest.raises(OSError, match="pg_control"):
        pg_control.databases(str(path))


def test_a_name_with_signs_of_a_pattern_is_a_name(store):
    path = store(recorded("15-shut-down"), "[x]/postgres-15")
    assert len(pg_control.databases(str(path / "[x]"))) == 1
