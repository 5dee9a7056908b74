# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a store is pulled by rsync over SSH, and what its end means.

Facts are from rsync 3.2.7 (rsync.1, errcode.h, options.c, generator.c, xattrs.c) and OpenSSH 9 (ssh_config.5). On
the other side rrsync takes only options that it knows: those here that reach it are a bandwidth limit, a timeout,
numeric IDs, the level of the statistics, `--sparse` and `--inplace`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

#: Seconds between two signs of life, and how many may be missing before ssh gives a connection up.
_ALIVE_INTERVAL, _ALIVE_MISSING = 10, 3
_CONNECT_TIMEOUT = 15

#: Blobs lie in directories by two hex digits: the first one says which stream takes them.
_HEX = "0123456789abcdef"
_BLOBS = "/blobstore/store"

_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?", re.I)
_VERSION = re.compile(r"rsync\s+version\s+v?(\d+)\.(\d+)(?:\.(\d+))?")


class BadOption(ValueError):
    """An option of the copy that cannot be; the message names it."""


@dataclass(frozen=True)
class Copy:
    """What is copied and how; `limit_kib` 0 is no limit, `nice` 0 and `ionice` '' are as the caller runs."""

    source: str
    dest: str
    rsh: str = ""
    excludes: tuple[str, ...] = ()
    timeout: int = 120
    limit_kib: int = 0
    nice: int = 0
    ionice: str = ""
    dry_run: bool = False
    checksum: bool = False


def ssh_words(key: str, known_hosts: str, port: int, ciphers: Iterable[str]) -> str:
    """The value of rsync's `--rsh`; raises BadOption for a path that it could not split."""
    words = ["ssh", "-p", str(port), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    if key:
        words += ["-i", _one_word("key", key), "-o", "IdentitiesOnly=yes"]
    if known_hosts:
        words += ["-o", f"UserKnownHostsFile={_one_word('known_hosts', known_hosts)}"]
    # Blobs are compressed already; a connection of somebody's ControlMaster has another key and cipher.
    words += ["-o", "Compression=no", "-o", "ControlPath=none", "-o", f"ConnectTimeout={_CONNECT_TIMEOUT}"]
    # Without it a cut cable is noticed only by rsync's own timeout.
    words += ["-o", f"ServerAliveInterval={_ALIVE_INTERVAL}", "-o", f"ServerAliveCountMax={_ALIVE_MISSING}"]
    wanted = ",".join(ciphers)
    return " ".join([*words, "-c", wanted] if wanted else words)


def _one_word(option: str, path: str) -> str:
    # rsync splits at blanks, and ssh splits the value of UserKnownHostsFile once more.
    if re.search(r"[\s'\"]", path):
        raise BadOption(f"{option}: {path} has a blank or a quote in it, which rsync's --rsh cannot carry")
    return path


def limit_kib(text: str) -> int:
    """KiB a second of a limit as rsync takes it (`800`, `1.5m`, `10MB`); 0 where there is none. Raises BadOption."""
    if not text.strip():
        return 0
    found = _LIMIT.fullmatch(text.strip())
    if not found:
        raise BadOption(
            f"bandwidth_limit: {text} is neither KiB a second nor a number with one of rsync's suffixes (10m, 1.5MB)"
        )
    number, unit, base = float(found[1]), found[2].lower() or "k", (found[3] or "").lower()
    # As rsync: K, KiB are 1024, KB is 1000.
    factor = (1000 if base == "b" else 1024) ** ("kmgt".index(unit) + 1)
    if found[3] and not found[2]:
        factor = 1
    return max(1, round(number * factor / 1024)) if number else 0


def rsync_version(text: str) -> tuple[int, int, int]:
    """Version of the first line of `rsync --version`; (0, 0, 0) where it cannot be read."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


#: The first rsync that keeps holes in a file that it writes in place. Before it a hole at the end of a file left the
#: old data there: bytes that the source has not, without a complaint (rsync NEWS, 3.3.0; issue 114).
HOLES_IN_PLACE = (3, 3, 0)


@dataclass(frozen=True)
class Writing:
    """How rsync writes a file: in place, with holes where the source has zeros, or both."""

    inplace: bool
    sparse: bool


def writing(version: tuple[int, int, int], hard_links: bool, update: bool) -> Writing:
    """How the files of a copy are written.

    `hard_links`: a file of the copy has a second name, which must not see what is written to the first one.
    `update`: the copy is complete but for what changed, and the source waits for it. Then an rsync that cannot do both
    writes in place: it skips blocks that match, so that holes which are there stay. Otherwise it keeps holes.
    """
    inplace = not hard_links and (update or version >= HOLES_IN_PLACE)
    return Writing(inplace, not inplace or version >= HOLES_IN_PLACE)


def command(
    copy: Copy, version: tuple[int, int, int], how: Writing, progress: bool, stream: int = -1, streams: int = 1
) -> list[str]:
    """One rsync: the whole store with --delete, or where `stream` is 0 or more, that part of it."""
    words = []
    if copy.nice:
        words += ["nice", "-n", str(copy.nice)]
    if copy.ionice:
        words += ["ionice", "-c", {"best-effort": "2", "idle": "3"}[copy.ionice]]
    words += ["rsync", "-aHAX", "--numeric-ids", "--no-compress", f"--timeout={copy.timeout}"]
    # A part of a file that came is no loss: the next attempt goes on from it.
    words += ["--no-whole-file", "--inplace" if how.inplace else "--partial"]
    words += ["--sparse"] if how.sparse else []
    if version >= (3, 1, 3):
        # Without it times are compared in whole seconds, and a page that is written twice in one has the same size.
        words.append("--modify-window=-1")
    # %i is one short line for each change, attributes too: --stats alone does not count those.
    words += ["--stats", "--no-human-readable", "--out-format=%i %n" if copy.dry_run else "--out-format=%i"]
    # A list that is complete before the first file has a total, and is made in half the time.
    words.append("--no-inc-recursive")
    if progress:
        words.append("--info=progress2")
    if copy.checksum:
        words.append("--checksum")
    if copy.dry_run:
        words.append("--dry-run")
    if copy.limit_kib:
        words.append(f"--bwlimit={max(1, copy.limit_kib // (streams if stream >= 0 else 1))}")
    if copy.rsh:
        words.append(f"--rsh={copy.rsh}")
    if stream < 0:
        words.append("--delete")
    words += [f"--exclude={pattern}" for pattern in copy.excludes]
    words += part(stream, streams) if stream >= 0 else []
    return [*words, copy.source, copy.dest]


def part(stream: int, streams: int) -> list[str]:
    """Filters of one stream: blobs by the first hex digit of their directory, all else in stream 0."""
    digits = {number: _HEX[number * 16 // streams : (number + 1) * 16 // streams] for number in range(streams)}
    if stream == 0:
        others = "".join(digits[number] for number in range(1, streams))
        return [f"--exclude={_BLOBS}/[{others}]*"] if others else []
    above = [_BLOBS[:end] for end in (_BLOBS.index("/", 1), len(_BLOBS))]
    mine = f"{_BLOBS}/[{digits[stream]}]*"
    return [*(f"--include={path}" for path in (*above, mine, f"{mine}/**")), "--exclude=*"]


# The end

#: What may be over by itself: errors of the socket, of the stream, an ssh that was killed, timeouts, and ssh's own
#: (errcode.h).
_TRANSIENT = frozenset({10, 12, 16, 30, 35, 255})
_MEANINGS = {
    1: "an option was refused",
    2: "both rsyncs do not understand each other",
    3: "a file or directory cannot be chosen",
    5: "the other side did not start",
    10: "the socket failed",
    11: "a file could not be read or written",
    12: "the connection broke off",
    13: "a program failed",
    14: "the processes lost each other",
    16: "ssh was killed",
    20: "it was ended by a signal",
    22: "no memory",
    23: "not all was copied",
    24: "files vanished",
    30: "no data came in time",
    35: "no answer in time",
    127: "there is no such command",
    255: "ssh failed",
}
#: ssh, sudo and rrsync say the same at the next attempt.
_HOPELESS = re.compile(
    r"Permission denied \(|Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|no matching .* found"
    r"|rrsync error|^sudo:|Bad configuration option|Unknown cipher|command not found"
)
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
#: What a file tells that is removed, cut or written while it is copied; never the source itself, which must be there.
_MOVED = re.compile(
    r"file has vanished: |directory has vanished: |failed verification -- update "
    r"|read errors mapping .*(No data available|Success)|^(?!.*change_dir).*No such file or directory \(2\)$"
)
#: Lines that only repeat the exit code.
_SUMMARY = re.compile(r"^rsync (error|warning): |^rsync: connection unexpectedly closed ")
_KEPT = 20


@dataclass
class Complaints:
    """What rsync and ssh say on stderr, sorted as it comes: there may be a line for each of many files."""

    moved: int = 0
    trouble: int = 0
    moved_lines: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    summary: str = ""

    def take(self, line: str) -> None:
        """Sort in one line."""
        line = line.strip()
        if not line:
            return
        if _SUMMARY.match(line) and not _NO_SPACE.search(line):
            self.summary = line
        elif _MOVED.search(line):
            self.moved += 1
            if len(self.moved_lines) < _KEPT:
                self.moved_lines.append(line)
        else:
            self.trouble += 1
            # A full disk says so last, after other lines.
            if len(self.lines) < _KEPT or _NO_SPACE.search(line):
                self.lines.append(line)


class CopyFailed(RuntimeError):
    """rsync did not do it; the message is one sentence in its own words. `again` where a new attempt may."""

    def __init__(self, message: str, rc: int, again: bool) -> None:
        super().__init__(message)
        self.rc = rc
        self.again = again


def judge(copy: Copy, rc: int, said: Complaints, moving: bool) -> None:
    """Raise CopyFailed unless all was copied, or where the source is `moving`, all that stayed as it was."""
    if rc == 0 or (moving and rc in (23, 24) and not said.trouble):
        return
    full = [line for line in said.lines if _NO_SPACE.search(line)]
    if full:
        raise CopyFailed(
            f"there is no room left in {copy.dest} for the copy of {copy.source}: {full[0]}", rc, again=False
        )
    lines, count = (said.lines, said.trouble) if said.trouble else (said.moved_lines, said.moved)
    # ssh's banner comes before what is wrong.
    told = "; ".join(lines[-3:] if rc == 255 else lines[:3]) or said.summary or "it said nothing"
    more = f" ({count} in all)" if count > 3 else ""
    meaning = _MEANINGS.get(rc, "it was killed" if rc < 0 else "failed")
    again = rc in _TRANSIENT and not any(_HOPELESS.search(line) for line in said.lines)
    raise CopyFailed(f"rsync of {copy.source} to {copy.dest} ended with {rc}, {meaning}: {told}{more}", rc, again)
