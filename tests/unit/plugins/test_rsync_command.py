# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How rsync is called, what its end means, and what it prints."""

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import rsync_progress
from ansible_collections.bosh.ha.plugins.module_utils.rsync_command import (
    BadOption,
    Complaints,
    Copy,
    CopyFailed,
    Writing,
    command,
    judge,
    limit_kib,
    part,
    rsync_version,
    ssh_words,
    writing,
)
from ansible_collections.bosh.ha.plugins.module_utils.rsync_progress import Progress, Told, line_of, pieces

COPY = Copy("vcap@10.10.0.3:/", "/s/bosh_ha_staging/", rsh="ssh -p 22", excludes=("/lost+found",))


def test_the_whole_store():
    words = command(COPY, (3, 2, 7), Writing(inplace=True, sparse=False), progress=False)
    assert words == [
        "rsync",
        "-aHAX",
        "--numeric-ids",
        "--no-compress",
        "--timeout=120",
        "--no-whole-file",
        "--inplace",
        "--modify-window=-1",
        "--stats",
        "--no-human-readable",
        "--out-format=%i",
        "--no-inc-recursive",
        "--rsh=ssh -p 22",
        "--delete",
        "--exclude=/lost+found",
        "vcap@10.10.0.3:/",
        "/s/bosh_ha_staging/",
    ]


def test_options_that_are_not_always_there():
    copy = Copy("a/", "b/", limit_kib=1000, nice=10, ionice="idle", dry_run=True)
    words = command(copy, (3, 1, 2), Writing(inplace=False, sparse=False), progress=True)
    assert words[:7] == ["nice", "-n", "10", "ionice", "-c", "3", "rsync"]
    assert {"--partial", "--dry-run", "--bwlimit=1000", "--info=progress2"} <= set(words)
    assert not [word for word in words if word.startswith(("--inplace", "--modify-window", "--rsh"))]
    # All streams share the limit, and what one of them does not have must stay.
    words = command(copy, (3, 2, 7), Writing(inplace=True, sparse=True), progress=True, stream=1, streams=4)
    assert "--bwlimit=250" in words and "--delete" not in words
    assert "--sparse" in words and "--inplace" in words


@pytest.mark.parametrize(
    ("version", "hard_links", "update", "inplace", "sparse"),
    [
        # A file that ends in a hole keeps its old end, where rsync before 3.3.0 does both.
        ((3, 2, 7), False, False, False, True),
        ((3, 2, 7), False, True, True, False),
        ((3, 2, 7), True, True, False, True),
        ((3, 1, 2), False, True, True, False),
        ((0, 0, 0), False, False, False, True),
        ((3, 3, 0), False, False, True, True),
        ((3, 3, 0), False, True, True, True),
        ((3, 4, 1), True, False, False, True),
    ],
)
def test_how_files_are_written(version, hard_links, update, inplace, sparse):
    assert writing(version, hard_links, update) == Writing(inplace, sparse)


def test_each_blob_is_of_one_stream():
    assert part(0, 1) == []
    assert part(0, 2) == ["--exclude=/blobstore/store/[89abcdef]*"]
    assert part(1, 2) == [
        "--include=/blobstore",
        "--include=/blobstore/store",
        "--include=/blobstore/store/[89abcdef]*",
        "--include=/blobstore/store/[89abcdef]*/**",
        "--exclude=*",
    ]
    for streams in range(1, 17):
        digits = [part(number, streams)[2].split("[")[1].split("]")[0] for number in range(1, streams)]
        assert part(0, streams) == ([f"--exclude=/blobstore/store/[{''.join(digits)}]*"] if digits else [])
        assert len("".join(digits)) == len(set("".join(digits))) == 16 - 16 // streams


def test_words_of_ssh():
    words = ssh_words("/run/key", "/run/hosts", 2222, ["aes128-ctr", "chacha20-poly1305@openssh.com"])
    assert words == (
        "ssh -p 2222 -o BatchMode=yes -o StrictHostKeyChecking=yes -i /run/key -o IdentitiesOnly=yes "
        "-o UserKnownHostsFile=/run/hosts -o Compression=no -o ControlPath=none -o ConnectTimeout=15 "
        "-o ServerAliveInterval=10 -o ServerAliveCountMax=3 -c aes128-ctr,chacha20-poly1305@openssh.com"
    )
    assert " -c " not in ssh_words("", "", 22, []) and " -i " not in ssh_words("", "", 22, [])
    with pytest.raises(BadOption, match="key: /a b "):
        ssh_words("/a b", "", 22, [])


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("", 0),
        ("0", 0),
        ("800", 800),
        ("10m", 10240),
        ("1.5MB", 1465),
        ("2MiB", 2048),
        ("1g", 1 << 20),
        ("0.1", 1),
        ("512b", 1),
    ],
)
def test_limits_as_rsync_reads_them(text, kib):
    assert limit_kib(text) == kib


@pytest.mark.parametrize("text", ["-1", "10 mbit", "fast", "1m --delete"])
def test_a_limit_that_is_none(text):
    with pytest.raises(BadOption, match="bandwidth_limit"):
        limit_kib(text)


def test_versions():
    assert rsync_version("rsync  version 3.2.7  protocol version 31\n") == (3, 2, 7)
    assert rsync_version("rsync  version v3.3.0  protocol") == (3, 3, 0)
    assert rsync_version("?") == (0, 0, 0)


def end(rc, *lines, moving=False):
    said = Complaints()
    for line in lines:
        said.take(line)
    judge(COPY, rc, said, moving)


PARTIAL = "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1865)"
UNREADABLE = 'rsync: [sender] send_files failed to open "/x": Permission denied (13)'


def test_what_moves_is_no_failure_where_it_may():
    moved = (
        'file has vanished: "/director/tasks/7/debug"',
        'rsync: [sender] read errors mapping "/pg/1": No data available (61)',
        "WARNING: pg/2 failed verification -- update discarded (will try again).",
        'rsync: [sender] get_xattr_names: llistxattr("/pg/3",1024) failed: No such file or directory (2)',
    )
    end(0)
    end(24, moved[0], "rsync warning: some files vanished before they could be transferred (code 24)", moving=True)
    end(23, *moved, PARTIAL, moving=True)
    with pytest.raises(CopyFailed, match=r"24, files vanished: file has vanished: ./director"):
        end(24, moved[0])
    with pytest.raises(CopyFailed, match="4 in all"):
        end(23, *moved, PARTIAL)


def test_what_cannot_be_read_is_a_failure_always():
    for moving in (False, True):
        with pytest.raises(CopyFailed, match=r"23, not all was copied: .*failed to open ./x.") as failed:
            end(23, UNREADABLE, 'file has vanished: "/y"', PARTIAL, moving=moving)
        assert failed.value.again is False
    with pytest.raises(CopyFailed, match="change_dir"):
        end(23, 'rsync: [sender] change_dir "/none" failed: No such file or directory (2)', PARTIAL, moving=True)


@pytest.mark.parametrize("rc", [10, 12, 16, 30, 35, 255])
def test_a_connection_that_broke_off_may_come_back(rc):
    with pytest.raises(CopyFailed) as failed:
        end(rc, "rsync: connection unexpectedly closed (99 bytes received so far) [receiver]")
    assert failed.value.again is True


@pytest.mark.parametrize(
    ("rc", "line"),
    [
        (255, "vcap@10.10.0.3: Permission denied (publickey)."),
        (12, "Host key verification failed."),
        (12, "/usr/bin/rrsync error: option --x has been disabled on this server."),
        (12, "sudo: a password is required"),
        (255, "Unable to negotiate with 10.10.0.3 port 22: no matching cipher found. Their offer: aes256-cbc"),
        (23, UNREADABLE),
        (20, ""),
        (-9, ""),
    ],
)
def test_what_will_not_get_better_by_itself(rc, line):
    with pytest.raises(CopyFailed) as failed:
        end(rc, line)
    assert failed.value.again is False


def test_a_full_disk_is_one_sentence():
    lines = [f"rsync: [receiver] x{number}" for number in range(30)]
    with pytest.raises(CopyFailed, match=r"^there is no room left in /s/bosh_ha_staging/ .*write failed on") as failed:
        end(
            11,
            *lines,
            'rsync: [receiver] write failed on "/s/b": No space left on device (28)',
            "rsync error: error in file IO (code 11)",
        )
    assert failed.value.again is False


# What it prints


def test_progress_is_narrowed_down_to_the_total():
    seen = Progress()
    assert seen.take("        500000   0%  476.84kB/s    0:00:10 (xfr#5, to-chk=160/396)")
    assert (seen.copied, seen.total, seen.files, seen.files_done) == (500000, 0, 396, 236)
    assert seen.take("      42000000   4%   40.05MB/s    0:00:23 (xfr#6, to-chk=150/396)")
    assert 840000000 < seen.total < 1050000000
    assert seen.take("     500000000  50%  100.00MB/s    0:00:05")
    assert 980000000 < seen.total < 1000000001
    assert seen.take("     998000000 100%  100.00MB/s    0:00:09 (xfr#7, to-chk=0/396)")
    assert 998000000 <= seen.total < 1000000001
    assert not seen.take(">f+++++++++")


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            Progress(1_200_000_000, 812, 10344, 210e6, 4e9, 4e9),
            "1.2 of 4.0 GB, 812 of 10344 files, 210 MB/s, 13 s left",
        ),
        (Progress(500, 0, 0, 0.0), "500 B"),
        (Progress(0, 7, 7, 0.0), "0 B, 7 of 7 files"),
        (Progress(10**9, 1, 2, 1e6, 9e9, 9e9), "1.0 of 9.0 GB, 1 of 2 files, 1.0 MB/s, 2.2 h left"),
        (Progress(10**9, 1, 2, 1e7, 9e9, 9e9), "1.0 of 9.0 GB, 1 of 2 files, 10 MB/s, 13 min left"),
    ],
)
def test_a_line_for_a_person(progress, line):
    assert line_of([progress]) == line


def test_streams_are_told_together():
    half = Progress(10**9, 5, 10, 1e8, 2e9, 2e9)
    assert line_of([half, half]) == "2.0 of 4.0 GB, 10 of 20 files, 200 MB/s, 10 s left"
    assert line_of([half, Progress(5, 1, 2, 0.0)]).startswith("1.0 GB, 6 of 12 files")


STATS = """
Number of files: 11,972 (reg: 10,207, dir: 1,765)
Number of created files: 2 (reg: 2)
Number of deleted files: 3 (reg: 3)
Number of regular files transferred: 4
Total file size: 997351061 bytes
Total transferred file size: 120034345 bytes
Literal data: 1000 bytes
File list size: 65536
Total bytes sent: 23456
Total bytes received: 1834345

sent 23,456 bytes  received 1,834,345 bytes  1,238,534.00 bytes/sec
total size is 997,351,061  speedup is 536.84
"""


def test_what_was_done_is_counted():
    told = Told()
    moved_on = [
        told.take(piece)
        for piece in [">f+++++++++", ">f.st......", "cd+++++++++", "*deleting  ", ".d..t......", *STATS.splitlines()]
    ]
    assert (told.items, told.files, any(moved_on)) == (5, 2, False)
    assert told.numbers == {
        "files_total": 11972,
        "files_deleted": 3,
        "files_copied": 4,
        "bytes_total": 997351061,
        "bytes_copied": 120034345,
        "bytes_received": 1834345,
        "bytes_asked": 23456,
    }


def test_pieces_end_with_either_sign():
    whole, rest = pieces(b"", b"\r  1 0%\r  2 1%\n>f++")
    assert (whole, rest) == (["  1 0%", "  2 1%"], b">f++")
    assert pieces(rest, b"+++\n") == ([">f+++++"], b"")
    assert rsync_progress.pieces(b"", b"") == ([], b"")
