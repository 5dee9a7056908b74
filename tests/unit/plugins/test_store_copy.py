# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""store_copy with the real rsync, by way of a stand-in for ssh that runs the other side on this host."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import rsync_run
from ansible_collections.bosh.ha.plugins.module_utils.store_sums import sums

from ..conftest import Failed

pytestmark = pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")

SSH = """#!/bin/sh
[ "$1" = -Q ] && { echo aes128-ctr; exit; }
echo "$@" >> "$FAKE/calls"
while [ "$1" != there ]; do shift; done
shift
[ -e "$FAKE/break" ] && { rm "$FAKE/break"; "$@" | { dd bs=65536 count=12 2>/dev/null; kill -9 $$; }; }
if [ -e "$FAKE/refuse" ]; then echo "u@there: Permission denied (publickey)." >&2; exit 255; fi
[ -e "$FAKE/sleep" ] && sleep "$(cat "$FAKE/sleep")"
exec "$@"
"""
EXCLUDES = ["/lost+found", "/bosh_ha_*", "postmaster.pid"]


class Pair:
    """A source and a copy of it."""

    def __init__(self, path, run_module):
        self.path = path
        self.source = path / "micro"
        self.dest = path / "staging"
        self._run = run_module

    def put(self, name, data):
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def run(self, check=False, **args):
        given = {"source": f"u@there:{self.source}/", "dest": str(self.dest), "excludes": EXCLUDES, "pause": 0}
        return self._run("store_copy", given | args, check=check)[0]

    def calls(self):
        return (self.path / "calls").read_text(encoding="utf-8").splitlines()

    def equal(self):
        return sums(str(self.source), EXCLUDES).digest == sums(str(self.dest), EXCLUDES).digest


@pytest.fixture
def pair(tmp_path, monkeypatch, run_module):
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(SSH, encoding="utf-8")
    ssh.chmod(0o755)
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    made = Pair(tmp_path, run_module)
    for number in range(40):
        made.put(f"blobstore/store/{number * 6:02x}/blob{number}", os.urandom(30000))
    made.put("postgres-15/base/1", os.urandom(200000))
    made.put("postgres-15/postmaster.pid", b"7")
    made.put("bosh_ha_kept/x", b"")
    return made


def test_a_copy_and_the_difference(pair):
    result = pair.run()
    assert (result["changed"], result["files_copied"], result["attempts"]) == (True, 41, 1)
    assert result["bytes_total"] == result["bytes_copied"] == 40 * 30000 + 200000
    assert result["bytes_sent"] > 1_400_000 and result["inplace"] is True
    assert pair.equal() and not (pair.dest / "postgres-15" / "postmaster.pid").exists()
    assert "-c aes128-ctr " in pair.calls()[0]
    result = pair.run(follow=False)
    assert (result["changed"], result["files_copied"], result["bytes_copied"]) == (False, 0, 0)
    with (pair.source / "postgres-15" / "base" / "1").open("r+b") as stream:
        stream.seek(100000)
        stream.write(b"new")
    (pair.source / "blobstore" / "store" / "00" / "blob0").unlink()
    result = pair.run()
    assert (result["files_copied"], result["files_deleted"]) == (1, 1)
    # Only what changed in the file went over.
    assert result["bytes_sent"] < 50000 and pair.equal()


def test_attributes_alone_are_a_change(pair):
    pair.run()
    (pair.source / "postgres-15" / "base" / "1").chmod(0o400)
    result = pair.run()
    assert (result["changed"], result["files_copied"]) == (True, 0)
    assert pair.equal()


def test_a_file_of_the_same_size_and_second_is_copied(pair):
    path = pair.put("postgres-15/base/1", b"one")
    second = 1_700_000_000 * 10**9
    os.utime(path, ns=(second, second + 1))
    pair.run()
    path.write_bytes(b"two")
    os.utime(path, ns=(second, second + 2))
    assert pair.run()["files_copied"] == 1
    assert (pair.dest / "postgres-15" / "base" / "1").read_bytes() == b"two" and pair.equal()


def test_names_that_were_one_file_and_are_two_now(pair):
    first = pair.put("a", b"1" * 70000)
    os.link(first, pair.source / "b")
    os.utime(first, ns=(5, 5))
    pair.run()
    assert (pair.dest / "a").stat().st_ino == (pair.dest / "b").stat().st_ino
    (pair.source / "b").unlink()
    pair.put("b", b"2" * 70000)
    assert pair.run()["inplace"] is False
    # In place, the second would have been written into the first.
    assert (pair.dest / "a").read_bytes() == b"1" * 70000 and pair.equal()
    # And the other way round.
    (pair.source / "b").unlink()
    os.link(first, pair.source / "b")
    assert pair.run()["inplace"] is True
    assert (pair.dest / "a").stat().st_ino == (pair.dest / "b").stat().st_ino and pair.equal()


def test_streams_give_the_same(pair):
    pair.dest.mkdir()
    (pair.dest / "stale").write_bytes(b"")
    os.link(pair.source / "blobstore/store/00/blob0", pair.source / "blobstore/store/ea/other")
    result = pair.run(streams=3)
    assert (result["files_copied"], result["files_deleted"]) == (42, 1)
    assert result["bytes_total"] >= 40 * 30000 + 200000
    assert pair.equal() and not (pair.dest / "stale").exists()


def test_a_connection_that_breaks_off_is_made_again(pair):
    (pair.path / "break").touch()
    result = pair.run()
    assert (result["attempts"], len(pair.calls())) == (2, 2)
    assert pair.equal()
    (pair.path / "break").touch()
    with pytest.raises(Failed, match=r"attempt 1\)"):
        pair.run(retries=0)


def test_a_key_that_is_refused_is_not_tried_again(pair):
    (pair.path / "refuse").touch()
    with pytest.raises(Failed, match="Permission denied"):
        pair.run()
    assert len(pair.calls()) == 1


def test_check_mode_copies_nothing(pair):
    result = pair.run(check=True)
    assert (result["changed"], result["files_copied"], pair.dest.exists()) == (True, 41, False)
    pair.run()
    pair.put("new", b"x")
    assert pair.run(check=True)["files_copied"] == 1
    assert not (pair.dest / "new").exists()


def test_what_differs_is_told_by_name_in_check_mode_alone(pair):
    pair.put("director/a blob", b"1234")
    pair.put("director/gone", b"1")
    assert pair.run()["different"] == []
    seen = os.stat(pair.source / "director/a blob")
    (pair.source / "director/a blob").write_bytes(b"4321")
    (pair.source / "director/gone").unlink()
    os.utime(pair.source / "director/a blob", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    os.utime(pair.source, ns=(1, 1))
    told = pair.run(check=True, checksum=True)["different"]
    assert sorted(told) == ["*deleting director/gone", ".d..t...... director/", ">fc........ director/a blob"]
    pair.run(checksum=True)
    assert pair.run(check=True, checksum=True)["different"] == []


def test_how_far_it_is_can_be_read(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(rsync_run, "_TELL_EVERY", 0)
    pair.run(progress_file=str(tmp_path / "progress"))
    line = (tmp_path / "progress").read_text(encoding="utf-8")
    assert line.startswith("1.4 of 1.4 MB, ") and line.count("\n") == 1
    assert (tmp_path / "progress").stat().st_mode & 0o777 == 0o600
    # That it cannot be written is no failure.
    assert pair.run(progress_file=str(tmp_path / "none" / "progress"))["changed"] is False


def test_a_file_that_cannot_be_read_is_named(pair, monkeypatch):
    def failing(_self, _words, _told, said, _tell):
        said.take('rsync: [sender] send_files failed to open "/x": Permission denied (13)')
        return 23

    monkeypatch.setattr(rsync_run._Run, "_execute", failing)
    with pytest.raises(Failed, match=r"failed to open ./x.") as failed:
        pair.run(vanished_ok=True)
    assert failed.value.result["rc"] == 23


def test_only_one_copies_at_a_time(pair):
    pair.dest.mkdir()
    handle = os.open(pair.dest, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(
            Failed, match=rf"another copy into .*staging/ \(process {os.getpid()}\) has not ended in 0 s"
        ):
            pair.run(wait=0)
    finally:
        os.close(handle)
    assert pair.run(wait=0)["changed"] is True


def test_the_rsync_of_a_killed_module_holds_the_lock(pair):
    pair.dest.mkdir()
    (pair.path / "sleep").write_text("2", encoding="ascii")
    program = (
        "import sys; from ansible_collections.bosh.ha.plugins.module_utils import rsync_command as c, rsync_run as r;"
        "r.run(c.Copy(sys.argv[1], sys.argv[2], rsh='ssh'))"
    )
    words = [sys.executable, "-c", program, f"u@there:{pair.source}/", f"{pair.dest}/"]
    roots = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": roots}) as process:
        until = time.monotonic() + 20
        while not (pair.path / "calls").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    with pytest.raises(Failed, match="another copy into"):
        pair.run(wait=0)
    (pair.path / "sleep").unlink()
    assert pair.run(wait=20)["attempts"] == 1 and pair.equal()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"streams": 17}, "streams: 17 is not between 1 and 16"),
        ({"nice": -1}, "nice: -1"),
        ({"source": "-e x"}, "source: -e x is no path"),
        ({"dest": "/"}, "root of a host"),
        ({"bandwidth_limit": "fast"}, "bandwidth_limit: fast"),
        ({"key": "/a b"}, "key: /a b has a blank"),
    ],
)
def test_options_that_cannot_be(pair, args, words):
    with pytest.raises(Failed, match=words):
        pair.run(**args)


def test_a_directory_that_cannot_be_made(pair, tmp_path):
    with pytest.raises(Failed, match="no directory to make it in"):
        pair.run(dest=str(tmp_path / "none" / "staging"))


MIB = 1 << 20


def put_sparse(path, *parts):
    """A file of pieces of data, and of holes where a number of bytes stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for part in parts:
            if isinstance(part, int):
                stream.seek(part, os.SEEK_CUR)
            else:
                stream.write(part)
        stream.truncate()


def taken(path):
    """Bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


@pytest.fixture(params=[(3, 2, 7), None], ids=["as rsync 3.2.7", "as it is"])
def any_rsync(request, monkeypatch):
    """This host's rsync, also used as one that cannot write in place and make holes at once."""
    if request.param:
        monkeypatch.setattr(rsync_run, "rsync_version", lambda _text: request.param)


@pytest.mark.usefixtures("any_rsync")
def test_holes_are_kept(pair):
    holes = {
        "whole": [64 * MIB],
        "end": [b"x" * 5000, 64 * MIB],
        "begin": [64 * MIB, b"y"],
        "both": [8 * MIB, os.urandom(MIB), 8 * MIB + 77],
    }
    for name, parts in holes.items():
        put_sparse(pair.source / name, *parts)
    pair.run(vanished_ok=True)
    assert pair.equal()
    for name in holes:
        assert taken(pair.dest / name) <= taken(pair.source / name) + MIB, name
    # A copy in place, where the source waits: what was a hole stays one.
    with (pair.source / "both").open("r+b") as stream:
        stream.seek(8 * MIB + 9)
        stream.write(b"changed")
    assert pair.run()["inplace"] is True
    assert pair.equal()
    assert taken(pair.dest / "both") <= 3 * MIB


@pytest.mark.usefixtures("any_rsync")
@pytest.mark.parametrize("vanished_ok", [True, False])
def test_what_became_a_hole_is_none_of_the_old_data(pair, vanished_ok):
    """rsync 3.2.7 with both options leaves the end of `cut` as it was, and does not notice."""
    pair.put("cut", os.urandom(4 * MIB))
    pair.put("middle", os.urandom(4 * MIB))
    pair.run()
    put_sparse(pair.source / "cut", os.urandom(1000), 4 * MIB)
    put_sparse(pair.source / "middle", os.urandom(1000), 3 * MIB, b"end")
    pair.run(vanished_ok=vanished_ok)
    for name in ("cut", "middle"):
        assert (pair.dest / name).read_bytes() == (pair.source / name).read_bytes(), name
    assert pair.equal()


def test_a_first_copy_from_a_source_that_waits_keeps_holes(pair, monkeypatch):
    monkeypatch.setattr(rsync_run, "rsync_version", lambda _text: (3, 2, 7))
    put_sparse(pair.source / "sparse", b"x", 64 * MIB)
    assert pair.run()["inplace"] is False
    assert pair.equal()
    assert taken(pair.dest / "sparse") < MIB
