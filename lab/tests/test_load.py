# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the load: how large it is, that it looks like a store, that the same seed makes the same bytes."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from boshlab import load
from boshlab.agent.actions import blob_path
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.integers(1, 2**31), st.integers(0, 5))
@settings(max_examples=25)
def test_the_parts_are_as_large_as_was_said(size: int, seed: int) -> None:
    plan = load.plan(size, seed)
    blobs = sum(size for _name, size in plan["blobs"])
    logs = sum(sum(task.values()) for task in plan["tasks"])
    assert size - load.ROW <= blobs + logs + plan["rows"] * load.ROW <= size
    assert all(size > 0 for _name, size in plan["blobs"])
    assert all(size >= 0 for task in plan["tasks"] for size in task.values())
    assert len({name for name, _size in plan["blobs"]}) == len(plan["blobs"])


def test_a_gigabyte_has_thousands_of_blobs_a_small_median_and_some_very_large_ones() -> None:
    plan = load.plan(2**30, 1)
    sizes = sorted(size for _name, size in plan["blobs"])
    assert 2000 < len(sizes) < 20000
    assert 15 * load.KIB < sizes[len(sizes) // 2] < 27 * load.KIB
    assert sizes[-2] >= 100 * load.MIB
    assert plan["rows"] * load.ROW > 200 * 10**6
    assert plan == load.plan(2**30, 1) != load.plan(2**30, 2)


def test_bytes_depend_on_seed_and_name_only_and_nothing_compresses_them() -> None:
    data = load.stream(1, "a")(3 * load.MIB)
    take = load.stream(1, "a")
    assert b"".join(take(load.MIB) for _part in range(3)) == data
    assert len({data, load.stream(2, "a")(3 * load.MIB), load.stream(1, "b")(3 * load.MIB)}) == 3
    assert len(gzip.compress(data)) > len(data)


@pytest.mark.parametrize("size", [0, 1, 71, 95, 96, 97, load.MIB, load.MIB + 1])
@pytest.mark.parametrize("text", [False, True])
def test_a_file_is_as_long_as_was_said(size: int, text: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchown", lambda *_arguments: None)
    load.write_file(tmp_path / "debug", size, 1, text)
    assert (tmp_path / "debug").stat().st_size == size
    assert [path.name for path in tmp_path.iterdir()] == ["debug"]
    if text:
        (tmp_path / "debug").read_text(encoding="ascii")


def test_rows_are_what_postgresql_reads() -> None:
    data = b"".join(load.copy_binary(600, 1))
    assert data.startswith(b"PGCOPY\n\xff\r\n\0")
    at, ids = 19, []
    while struct.unpack_from("!h", data, at)[0] != -1:
        fields, length, number, body = struct.unpack_from("!hiqi", data, at)
        assert (fields, length, body) == (2, 8, load.BODY)
        ids.append(number)
        at += 18 + body
    assert (ids, at + 2) == (list(range(1, 601)), len(data))


def test_blobs_lie_where_the_director_looks_for_them() -> None:
    assert load.blob_path("a-b-c") == blob_path("a-b-c")


class Database:
    """Rows in memory; `failing` statements lose their connection, before or after the commit."""

    def __init__(self, failing: list[str]) -> None:
        self.rows: dict[tuple[str, int], tuple[Any, Any]] = {}
        self.failing, self.connections = failing, 0

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        if not values:
            return
        assert "ON CONFLICT DO NOTHING" in statement
        fails = self.failing.pop(0) if self.failing else ""
        if fails == "before":
            raise OSError("server closed the connection unexpectedly")
        self.rows.setdefault(values[:2], values[2:])
        if fails == "after":
            raise OSError("server closed the connection unexpectedly")

    def close(self) -> None:
        return


def test_the_writer_goes_on_and_tells_what_was_committed_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(["", "before", "after", "", "before", "after"] + [""] * 7)
    blobs: dict[str, bytes] = {}

    def connect(_config: Any) -> Database:
        database.connections += 1
        if database.connections == 2:
            raise OSError("no socket: monit has stopped it")
        return database

    def put(_config: Any, blob_id: str, data: bytes) -> None:
        blobs[blob_id] = data

    def sleep(_seconds: float) -> None:
        if len(database.rows) == 12:
            raise SystemExit

    monkeypatch.setattr(load, "connect", connect)
    monkeypatch.setattr(load, "put_blob", put)
    monkeypatch.setattr(load, "PID_FILE", tmp_path / "pid")
    monkeypatch.setattr(load.signal, "signal", lambda *_arguments: None)
    monkeypatch.setattr(load.time, "sleep", sleep)
    with pytest.raises(SystemExit):
        load.write(argparse.Namespace(rate=1000), {})
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["n"] for row in told] == list(range(1, 13))
    assert {(row["writer"], row["n"]): (row["blob"], row["sha256"]) for row in told} == database.rows
    # The blob is there before the row that names it.
    with_blob = [row for row in told if row["blob"]]
    assert [row["n"] for row in with_blob] == [10]
    assert hashlib.sha256(blobs[with_blob[0]["blob"]]).hexdigest() == with_blob[0]["sha256"]
    assert (tmp_path / "pid").read_text() == str(os.getpid())
