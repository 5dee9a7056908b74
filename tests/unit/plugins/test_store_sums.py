# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""store_sums: what counts in the digest, what the cache may be trusted with, and what excludes mean."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import store_sums
from ansible_collections.bosh.ha.plugins.module_utils.rsync_pattern import excluded_by
from ansible_collections.bosh.ha.plugins.module_utils.store_sums import Unstable, sums

from ..conftest import Failed

EXCLUDES = ["/lost+found", "/bbr-backup", "/bosh_ha_*", "postmaster.pid"]
OLD = 1_600_000_000 * 10**9


def fill(root):
    for name in ("postgres-15/base/1", "postgres-15/PG_VERSION", "blobstore/store/ab/blob", "director/tasks/1/debug"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="ascii")
    (root / "link").symlink_to("blobstore")
    os.link(root / "postgres-15/base/1", root / "postgres-15/base/2")
    for directory, names, files in os.walk(root, topdown=False):
        for name in (*names, *files):
            os.utime(os.path.join(directory, name), ns=(OLD, OLD), follow_symlinks=False)
    return root


@pytest.fixture
def tree(tmp_path):
    return fill(tmp_path / "micro")


@pytest.fixture
def at_rest(monkeypatch):
    """What was written just now counts as written long ago."""
    monkeypatch.setattr(store_sums, "RACY", -(10**12))


def digest(root, **options):
    return sums(str(root), EXCLUDES, **options).digest


def test_equal_trees_are_equal(tree, tmp_path):
    other = fill(tmp_path / "meta")
    first, second = sums(str(tree), EXCLUDES), sums(str(other), EXCLUDES)
    assert (first.digest, first.top) == (second.digest, second.top)
    assert (first.entries, first.files, first.hashed_files) == (14, 5, 5)
    assert (
        first.bytes
        == first.hashed_bytes
        == sum(
            p.stat().st_size
            for p in tree.rglob("*")
            if p.is_file() and not p.is_symlink() and "blobstore/store" not in str(p)
        )
        + 23
    )
    # The mount point itself is not part of it.
    os.utime(tree, ns=(1, 1))
    tree.chmod(0o700)
    assert digest(tree) == digest(other)


def relink(root):
    (root / "link").unlink()
    (root / "link").symlink_to("elsewhere")
    os.utime(root / "link", ns=(OLD, OLD), follow_symlinks=False)


def unlink_two(root):
    data = (root / "postgres-15/base/2").read_bytes()
    (root / "postgres-15/base/2").unlink()
    (root / "postgres-15/base/2").write_bytes(data)
    os.utime(root / "postgres-15/base/2", ns=(OLD, OLD))
    os.utime(root / "postgres-15/base", ns=(OLD, OLD))


def rewrite(root):
    (root / "director/tasks/1/debug").write_text("director/tasks/1/DEBUG", encoding="ascii")
    os.utime(root / "director/tasks/1/debug", ns=(OLD, OLD))


CHANGES = {
    "content": rewrite,
    "mode": lambda root: (root / "postgres-15").chmod(0o700),
    "time": lambda root: os.utime(root / "postgres-15/PG_VERSION", ns=(OLD, OLD + 1)),
    "time of a directory": lambda root: os.utime(root / "blobstore", ns=(OLD, OLD + 1)),
    "time of a link": lambda root: os.utime(root / "link", ns=(OLD, OLD + 1), follow_symlinks=False),
    "target": relink,
    "hard links": unlink_two,
    "new file": lambda root: (root / "new").touch(),
    "pipe": lambda root: os.mkfifo(root / "pipe"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_counts(tree, tmp_path, change):
    before, top = sums(str(tree), EXCLUDES).digest, sums(str(tree), EXCLUDES).top
    change(tree)
    after = sums(str(tree), EXCLUDES)
    assert after.digest != before
    assert len(set(after.top.items()) ^ set(top.items())) in (1, 2, 4)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_and_attributes_count(tree):
    path = tree / "postgres-15/PG_VERSION"
    seen = {digest(tree)}
    os.chown(path, 1000, 0)
    seen.add(digest(tree))
    os.chown(path, 1000, 1000)
    seen.add(digest(tree))
    acl = bytes.fromhex("0200000001000600ffffffff0200040001000000040004" + "00ffffffff10000600ffffffff20000400ffffffff")
    for name, value in (("trusted.x", b"1"), ("trusted.x", b"2"), ("system.posix_acl_access", acl)):
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            pytest.skip(f"this file system has no {name}: {error}")
        seen.add(digest(tree))
    assert len(seen) == 6


def test_a_difference_is_narrowed_down(tree):
    before = sums(str(tree), EXCLUDES).top
    assert sorted(before) == [
        "blobstore",
        "blobstore/store",
        "director",
        "director/tasks",
        "link",
        "postgres-15",
        "postgres-15/base",
    ]
    rewrite(tree)
    after = sums(str(tree), EXCLUDES).top
    assert [name for name in before if before[name] != after[name]] == ["director", "director/tasks"]


def test_what_does_not_count(tree):
    before = digest(tree)
    for name in ("lost+found/x", "bbr-backup/x", "bosh_ha_staging/postgres-15/x", "bosh_ha_x"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="ascii")
    (tree / "postgres-15/postmaster.pid").write_text("7", encoding="ascii")
    os.utime(tree / "postgres-15", ns=(OLD, OLD))
    assert digest(tree) == before
    # The same names deeper down do.
    (tree / "director/bosh_ha_x").touch()
    assert digest(tree) != before


# The cache


def test_only_what_changed_is_read_again(tree, tmp_path, at_rest):
    cache = str(tmp_path / "cache")
    first = sums(str(tree), EXCLUDES, cache)
    assert (first.hashed_files, first.cache_used) == (5, False)
    assert os.stat(cache).st_mode & 0o777 == 0o600
    second = sums(str(tree), EXCLUDES, cache)
    assert (second.digest, second.hashed_files, second.cache_used) == (first.digest, 0, True)
    rewrite(tree)
    third = sums(str(tree), EXCLUDES, cache)
    # Size and time are those of before: the inode's own time tells.
    assert (third.hashed_files, third.digest) == (1, digest(tree))
    assert third.digest != first.digest
    assert sums(str(tree), EXCLUDES, cache).hashed_files == 0
    assert sorted(os.listdir(tmp_path)) == ["cache", "micro"]


def test_what_was_written_a_moment_ago_is_not_trusted(tree, tmp_path, monkeypatch):
    cache = str(tmp_path / "cache")
    sums(str(tree), EXCLUDES, cache)
    assert sums(str(tree), EXCLUDES, cache).hashed_files == 5
    later = time.time_ns() + 3 * 10**9
    monkeypatch.setattr(store_sums.time, "time_ns", lambda: later)
    assert sums(str(tree), EXCLUDES, cache).hashed_files == 5
    assert sums(str(tree), EXCLUDES, cache).hashed_files == 0


def test_a_time_in_the_future_is_not_trusted(tree, tmp_path, monkeypatch):
    cache = str(tmp_path / "cache")
    monkeypatch.setattr(store_sums.time, "time_ns", lambda: OLD)
    sums(str(tree), EXCLUDES, cache)
    assert sums(str(tree), EXCLUDES, cache).hashed_files == 5


def spoil(path, old, new):
    text = path.read_text(encoding="ascii")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="ascii")


SPOILED = {
    "damaged": lambda cache: spoil(cache, "PG_VERSION", "PG_VERSIOM"),
    "cut off": lambda cache: cache.write_bytes(cache.read_bytes()[:-9]),
    "empty": lambda cache: cache.write_bytes(b""),
    "no text": lambda cache: cache.write_bytes(b"\xff\xfe"),
    "another form": lambda cache: spoil(cache, "store_sums 2 ", "store_sums 1 "),
    "to be written by others": lambda cache: cache.chmod(0o606),
    "a link": lambda cache: (cache.rename(cache.parent / "c"), cache.symlink_to("c")),
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED)
def test_a_cache_that_is_not_ours_is_not_used(tree, tmp_path, at_rest, spoiled):
    cache = tmp_path / "cache"
    sums(str(tree), EXCLUDES, str(cache))
    spoiled(cache)
    again = sums(str(tree), EXCLUDES, str(cache))
    assert (again.cache_used, again.hashed_files) == (False, 5)
    assert sums(str(tree), EXCLUDES, str(cache)).hashed_files == 0
    assert not cache.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_cache_of_somebody_else_is_not_used(tree, tmp_path, at_rest):
    cache = tmp_path / "cache"
    sums(str(tree), EXCLUDES, str(cache))
    os.chown(cache, 1000, 1000)
    assert sums(str(tree), EXCLUDES, str(cache)).hashed_files == 5


def test_a_cache_of_another_file_system_is_not_used(tree, tmp_path, at_rest):
    store_sums._write_cache(str(tmp_path / "cache"), os.stat(tree).st_dev + 1, [])
    assert store_sums._read_cache(str(tmp_path / "cache"), os.stat(tree).st_dev + 1) == {}
    sums(str(tree), EXCLUDES, str(tmp_path / "cache"))
    assert store_sums._read_cache(str(tmp_path / "cache"), os.stat(tree).st_dev + 1) == {}
    assert len(store_sums._read_cache(str(tmp_path / "cache"), os.stat(tree).st_dev)) == 5


def test_a_cache_is_written_whole_or_not_at_all(tree, tmp_path, at_rest, monkeypatch):
    cache = tmp_path / "cache"
    sums(str(tree), EXCLUDES, str(cache))
    before = cache.read_bytes()
    rewrite(tree)

    def full(_new, _cache):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_sums.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        sums(str(tree), EXCLUDES, str(cache))
    assert cache.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["cache", "micro"]


# A tree in use


@pytest.fixture
def meddle(monkeypatch):
    """Does something right before a file is opened."""

    def set_up(deed):
        real = os.open

        def meddling(path, *args, **options):
            if str(path).endswith("debug"):
                deed(path)
            return real(path, *args, **options)

        monkeypatch.setattr(store_sums.os, "open", meddling)

    return set_up


def append(path):
    with open(path, "a", encoding="ascii") as stream:
        stream.write("more")


@pytest.mark.parametrize(("deed", "words"), [(append, "debug has changed"), (os.unlink, "debug has vanished")])
def test_what_changes_is_a_failure_that_names_it(tree, meddle, deed, words):
    meddle(deed)
    with pytest.raises(Unstable, match=f"director/tasks/1/{words}"):
        sums(str(tree), EXCLUDES)


def test_what_vanishes_from_a_tree_in_use_is_left_out(tree, tmp_path, meddle, at_rest):
    meddle(os.unlink)
    result = sums(str(tree), EXCLUDES, str(tmp_path / "cache"), moving=True)
    assert (result.moved, result.hashed_files, result.files) == (1, 4, 4)
    # The others are known from now on.
    assert sums(str(tree), EXCLUDES, str(tmp_path / "cache"), moving=True).hashed_files == 0


def test_a_file_that_changes_while_it_is_read(tree, monkeypatch):
    real = os.preadv

    def reading(handle, buffers, at):
        count = real(handle, buffers, at)
        if bytes(buffers[0][:8]) == b"director" and count:
            append(tree / "director/tasks/1/debug")
        return count

    monkeypatch.setattr(store_sums.os, "preadv", reading)
    with pytest.raises(Unstable, match="director/tasks/1/debug has changed while it was read"):
        sums(str(tree), EXCLUDES)
    result = sums(str(tree), EXCLUDES, moving=True)
    assert (result.moved, result.hashed_files, result.files) == (1, 4, 4)


def test_what_cannot_be_read_is_a_failure_in_a_tree_in_use_too(tree, monkeypatch):
    real = os.open

    def refusing(path, *args, **options):
        if str(path).endswith("debug"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(store_sums.os, "open", refusing)
    for moving in (False, True):
        with pytest.raises(Unstable, match="director/tasks/1/debug cannot be read: Permission denied"):
            sums(str(tree), EXCLUDES, moving=moving)


# Excludes


def test_excludes_are_rsync_s():
    excluded = excluded_by(
        ["/top", "any", "*.log", "a/b", "dir/", "/x*z", "q?", "[0-9]f", "[!a]g", "/s/**/e", "we.ird+"]
    )
    yes = [
        "top",
        "any",
        "d/any",
        "x.log",
        "d/x.log",
        "a/b",
        "d/a/b",
        "xyz",
        "qx",
        "d/qx",
        "7f",
        "bg",
        "s/1/2/e",
        "we.ird+",
    ]
    no = ["d/top", "anyone", "x.logs", "a/c", "dir", "x/z", "q/", "qxx", "xf", "ag", "s/e2", "wexird"]
    assert [path for path in yes if not excluded(path, False)] == []
    assert [path for path in no if excluded(path, False)] == []
    assert excluded("dir", True) and excluded("d/dir", True)
    assert not excluded_by([])("a", True)


@pytest.mark.parametrize("pattern", ["", "/", "+ x", "- x", "!", "a/***"])
def test_rules_of_filters_are_refused(pattern):
    with pytest.raises(ValueError, match="excludes: "):
        excluded_by([pattern])


@pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")
def test_rsync_agrees(tmp_path):
    names = [
        "lost+found/x",
        "d/lost+found",
        "bosh_ha_",
        "bosh_ha_kept/y",
        "d/bosh_ha_kept",
        "postmaster.pid",
        "p/postmaster.pid/x",
    ]
    names += ["p/postmaster.pid2", "bbr-backup", "a/b/c", "d/a/b/c", "7f", "xf", "d/g/e", "s/1/2/e", "s/e", "s/1/e"]
    for name in names:
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    patterns = [*EXCLUDES, "a/b", "[0-9]f", "d/g/", "/s/**/e"]
    words = ["rsync", "-a", *(f"--exclude={pattern}" for pattern in patterns), f"{tmp_path}/from/", f"{tmp_path}/to/"]
    subprocess.run(words, check=True)
    copied = {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*")}
    walked = store_sums._walk(str(tmp_path / "from"), excluded_by(patterns), False, store_sums.Sums())
    assert {entry.path for entry in walked} == copied


# The module


def test_the_module(tree, tmp_path, run_module, monkeypatch):
    niceness = []
    monkeypatch.setattr(os, "nice", niceness.append)
    result, _replay = run_module("store_sums", {"path": str(tree), "excludes": EXCLUDES, "nice": 10, "threads": 3})
    assert (result["changed"], result["digest"], result["files"], niceness) == (False, digest(tree), 5, [10])
    for args, words in (
        ({"path": str(tree / "none")}, "path: there is no directory"),
        ({"path": str(tree), "threads": 0}, "threads: 0 is not between"),
        ({"path": str(tree), "excludes": ["- x"]}, "excludes: "),
        ({"path": str(tree), "cache_file": str(tmp_path / "none" / "cache")}, "No such file"),
    ):
        with pytest.raises(Failed, match=words):
            run_module("store_sums", args)


def test_names_that_are_no_utf_8(tree, tmp_path, run_module, at_rest):
    (tree / os.fsdecode(b"d\xff")).mkdir()
    (tree / os.fsdecode(b"d\xff/f\xfe")).touch()
    args = {"path": str(tree), "cache_file": str(tmp_path / "cache")}
    result, _replay = run_module("store_sums", args)
    assert "d\\xff" in result["top"]
    assert run_module("store_sums", args)[0]["hashed_files"] == 0


# holes

MIB = 1 << 20
#: Data, and zeros where a number of bytes stands.
HOLES = {
    "whole": [5 * MIB],
    "end": [b"x" * 100, 3 * MIB + 7],
    "begin": [3 * MIB + 7, b"y"],
    "middle": [b"x" * (MIB + 3), 7 * MIB + 11, b"z" * 9, MIB // 2],
    "page": [b"x", 4096, b"x"],
    "dense": [b"0123456789" * 300000],
    "empty": [],
}


def put(path, parts, sparse):
    with path.open("wb") as stream:
        for part in parts:
            if isinstance(part, int) and sparse:
                stream.seek(part, os.SEEK_CUR)
            else:
                stream.write(bytes(part) if isinstance(part, int) else part)
        stream.truncate()
    os.utime(path, ns=(OLD, OLD))


def one_file(directory, parts, sparse):
    directory.mkdir()
    put(directory / "file", parts, sparse)
    return sums(str(directory))


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_is_as_good_as_zeros(tmp_path, name):
    sparse, written = one_file(tmp_path / "a", HOLES[name], True), one_file(tmp_path / "b", HOLES[name], False)
    assert (sparse.digest, sparse.bytes) == (written.digest, written.bytes)
    assert written.hashed_bytes == written.bytes
    assert sparse.hashed_bytes <= sum(2 * MIB + len(part) for part in HOLES[name] if isinstance(part, bytes))


def test_zeros_at_another_place_are_another_file(tmp_path):
    layouts = [
        [b"x" * MIB, 2 * MIB, b"y" * MIB],
        [b"x" * MIB, b"y" * MIB, 2 * MIB],
        [2 * MIB, b"x" * MIB, b"y" * MIB],
        [MIB, b"x" * MIB, MIB, b"y" * MIB],
        [b"x" * MIB, b"\1" + bytes(2 * MIB - 1), b"y" * MIB],
    ]
    found = {
        one_file(tmp_path / f"{number}-{sparse}", parts, sparse).digest
        for number, parts in enumerate(layouts)
        for sparse in (True, False)
    }
    assert len(found) == len(layouts)


def test_a_tebibyte_of_nothing_is_not_read(tmp_path):
    result = one_file(tmp_path / "a", [b"x", 1 << 40, b"y"], True)
    assert result.bytes == (1 << 40) + 2
    assert result.hashed_bytes <= 2 * MIB


def test_a_file_system_that_knows_no_holes(tmp_path, monkeypatch):
    """It has data everywhere (lseek(2))."""
    there = one_file(tmp_path / "a", HOLES["middle"], True)
    monkeypatch.setattr(store_sums.os, "lseek", lambda _handle, at, _whence: at)
    assert sums(str(tmp_path / "a")).digest == there.digest
