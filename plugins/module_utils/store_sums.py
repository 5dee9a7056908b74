# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One digest of all that a tree holds, the same on two hosts whose trees are the same.

What was hashed is remembered with the file's inode, size and times, so that a later call reads only what was written
since. As in git's index, a file that was written less than 2 s before it was hashed is not trusted: it may be written
again within the same tick of the clock by which the kernel sets its times.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.rsync_pattern import Excluded, excluded_by

#: Also in the cache: one of another is not used. sha256 is the fastest of hashlib's on CPUs that compute it themselves.
ALGORITHM = "sha256"
_CACHE_FORM = f"bosh.ha.store_sums 2 {ALGORITHM}"
#: A file whose inode changed less than this before it was read is not remembered, in nanoseconds.
RACY = 2_000_000_000
#: What is read at once. A block of a file that has only zeros counts the same whether it is a hole or was written.
_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)

#: rsync -AX copies ACLs and all other attributes but those of `system.` (rsync 3.2.7, xattrs.c rsync_xal_get).
_ACLS = frozenset({"system.posix_acl_access", "system.posix_acl_default"})
#: What the host's own kernel and policy say of a file, not what belongs to it: it need not be the same on two hosts.
_OF_THE_HOST = frozenset({"security.selinux", "security.ima", "security.evm"})
_GONE = (FileNotFoundError, NotADirectoryError)

#: What a file is known by: inode, size, mtime and ctime in nanoseconds.
Mark = tuple[int, int, int, int]


class Unstable(RuntimeError):
    """A file changed, vanished or cannot be read; the message names it."""


@dataclass
class Entry:
    """One path below the root, as it was when it was found."""

    path: str
    seen: os.stat_result
    link: str = ""
    attributes: list[tuple[str, str]] = field(default_factory=list)
    digest: str = ""
    #: The path as the disk has it; asked for several times each, and there are very many.
    raw: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.raw = os.fsencode(self.path)

    @property
    def mark(self) -> Mark:
        """What it is known by in the cache."""
        return _mark(self.seen)


@dataclass
class Sums:
    """The digest of a tree, those of its uppermost directories, and what they cost; sizes in bytes, time in seconds."""

    digest: str = ""
    top: dict[str, str] = field(default_factory=dict)
    entries: int = 0
    files: int = 0
    bytes: int = 0
    hashed_files: int = 0
    hashed_bytes: int = 0
    moved: int = 0
    cache_used: bool = False
    seconds: float = 0.0


def sums(root: str, excludes: Iterable[str] = (), cache_file: str = "", threads: int = 2, moving: bool = False) -> Sums:
    """Sum a tree up, without its root itself. `moving`: what changes or vanishes meanwhile is left out.

    Raises Unstable, OSError for a root or a cache that cannot be used, ValueError for a pattern.
    """
    began = time.monotonic()
    root_seen = os.stat(root)
    known = _read_cache(cache_file, root_seen.st_dev) if cache_file else {}
    result = Sums(cache_used=bool(known))
    entries = sorted(_walk(root, excluded_by(excludes), moving, result), key=lambda entry: entry.raw)
    stale = []
    for entry in entries:
        if stat.S_ISREG(entry.seen.st_mode):
            entry.digest = known.get((entry.path, entry.mark), "")
            if not entry.digest:
                stale.append(entry)
    hashed_at = _hash_all(root, stale, threads, moving, result)
    _sum_up([entry for entry in entries if entry.digest or not stat.S_ISREG(entry.seen.st_mode)], result)
    if cache_file and (stale or len(known) != result.files):
        trusted = [entry for entry in entries if entry.digest and _trusted(entry, hashed_at)]
        _write_cache(cache_file, root_seen.st_dev, trusted)
    result.seconds = round(time.monotonic() - began, 3)
    return result


# The walk


def _walk(root: str, excluded: Excluded, moving: bool, result: Sums) -> Iterator[Entry]:
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        try:
            found = list(os.scandir(os.path.join(root, directory) if directory else root))
        except OSError as error:
            _left_out(directory, error, moving and bool(directory), result)
            continue
        for item in found:
            path = f"{directory}/{item.name}" if directory else item.name
            is_directory = item.is_dir(follow_symlinks=False)
            if excluded(path, is_directory):
                continue
            try:
                entry = Entry(path, item.stat(follow_symlinks=False))
                if stat.S_ISLNK(entry.seen.st_mode):
                    entry.link = os.readlink(item.path)
                entry.attributes = _attributes(item.path)
            except OSError as error:
                _left_out(path, error, moving, result)
                continue
            yield entry
            if is_directory:
                waiting.append(path)


def _attributes(path: str) -> list[tuple[str, str]]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
    wanted = sorted(
        name for name in names if (name in _ACLS or not name.startswith("system.")) and name not in _OF_THE_HOST
    )
    return [(name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in wanted]


def _left_out(path: str, error: OSError, moving: bool, result: Sums) -> None:
    if not (moving and isinstance(error, _GONE)):
        raise Unstable(f"{path or '.'} cannot be read: {error.strerror or error}") from error
    result.moved += 1


# The contents


def _hash_all(root: str, stale: list[Entry], threads: int, moving: bool, result: Sums) -> dict[str, int]:
    """Hash files, and say when each was begun, in nanoseconds of the clock that the kernel sets times by."""
    begun: dict[str, int] = {}
    failures: list[Exception] = []
    # The largest first: otherwise one thread may sit on it when all else is done.
    waiting = sorted(stale, key=lambda entry: entry.seen.st_size)
    lock = threading.Lock()

    def work() -> None:
        buffer = memoryview(bytearray(_BLOCK))
        while True:
            with lock:
                if failures or not waiting:
                    return
                entry = waiting.pop()
            try:
                begun[entry.path] = time.time_ns()
                entry.digest, read = _hash(os.path.join(root, entry.path), entry, buffer)
            except (Unstable, *_GONE) as error:
                if moving:
                    with lock:
                        result.moved += 1
                else:
                    told = error if isinstance(error, Unstable) else Unstable(f"{entry.path} has vanished")
                    failures.append(told)
                continue
            except OSError as error:
                failures.append(Unstable(f"{entry.path} cannot be read: {error.strerror or error}"))
                continue
            with lock:
                result.hashed_files += 1
                result.hashed_bytes += read

    workers = [threading.Thread(target=work) for _number in range(min(threads, len(stale)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return begun


def _hash(path: str, entry: Entry, buffer: memoryview) -> tuple[str, int]:
    """Digest of a file's contents, and how many bytes were read. Raises Unstable, OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if _mark(os.fstat(handle)) != entry.mark:
            raise Unstable(f"{entry.path} has changed since it was found")
        found = _contents(handle, entry.seen, buffer)
        if _mark(os.fstat(handle)) != entry.mark:
            raise Unstable(f"{entry.path} has changed while it was read")
        return found
    finally:
        os.close(handle)


def _contents(handle: int, seen: os.stat_result, buffer: memoryview) -> tuple[str, int]:
    """Digest of all blocks that have anything but zeros, and of the places of the others; and how many bytes were read.

    So it does not depend on how a file lies on the disk, and a hole of any size takes no time. A file without a block
    of zeros has the digest of its contents.
    """
    digest, zeros = hashlib.new(ALGORITHM), _Zeros()
    # A file system that cannot tell its holes has data everywhere (lseek(2)).
    sparse = seen.st_blocks * 512 < seen.st_size
    at = read = 0
    while at < seen.st_size:
        data = min(_next_data(handle, at) // _BLOCK * _BLOCK, seen.st_size) if sparse else at
        if data > at:
            zeros.add(at, data)
            at = data
            continue
        count = _fill(handle, at, buffer)
        if not count:
            # It was cut meanwhile, which its mark tells.
            break
        if buffer[:count] == _ZEROS[:count]:
            zeros.add(at, at + count)
        else:
            digest.update(buffer[:count])
        at += count
        read += count
    return digest.hexdigest() + zeros.told(), read


class _Zeros:
    """Places of zeros in a file, neighbours as one."""

    def __init__(self) -> None:
        self._places = hashlib.new(ALGORITHM)
        self._begin = self._end = 0
        self._any = False

    def add(self, begin: int, end: int) -> None:
        """A place behind all others, in bytes from the file's beginning."""
        if not self._any or begin != self._end:
            self._close()
            self._begin = begin
        self._end, self._any = end, True

    def told(self) -> str:
        """Empty where there are none."""
        self._close()
        return f".{self._places.hexdigest()}" if self._any else ""

    def _close(self) -> None:
        if self._any:
            self._places.update(f"{self._begin}-{self._end}\n".encode("ascii"))


def _next_data(handle: int, at: int) -> int:
    """Where the next data of a file begin, at or behind `at`; far behind every end where there are none."""
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return sys.maxsize


def _fill(handle: int, at: int, buffer: memoryview) -> int:
    """Read a whole block, or up to the end of the file; how many bytes there were."""
    count = 0
    while count < len(buffer) and (got := os.preadv(handle, [buffer[count:]], at + count)):
        count += got
    return count


def _mark(seen: os.stat_result) -> Mark:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


# The sum


def _sum_up(entries: list[Entry], result: Sums) -> None:
    whole = hashlib.new(ALGORITHM)
    parts: dict[str, Any] = defaultdict(lambda: hashlib.new(ALGORITHM))
    first = _first_names(entries)
    for entry in entries:
        row = _row(entry, first)
        whole.update(row)
        names = entry.path.split("/", 2)
        parts[names[0]].update(row)
        if len(names) > 2 or (len(names) == 2 and stat.S_ISDIR(entry.seen.st_mode)):
            parts["/".join(names[:2])].update(row)
        result.entries += 1
        if stat.S_ISREG(entry.seen.st_mode):
            result.files += 1
            result.bytes += entry.seen.st_size
    result.digest = whole.hexdigest()
    # Names that are no UTF-8 could not be printed.
    result.top = {
        os.fsencode(name).decode("utf-8", "backslashreplace"): part.hexdigest() for name, part in sorted(parts.items())
    }


def _first_names(entries: list[Entry]) -> dict[tuple[int, int], bytes]:
    """The first of the names of each file that has several here: numbers of inodes differ between hosts."""
    first: dict[tuple[int, int], bytes] = {}
    for entry in entries:
        if entry.seen.st_nlink > 1 and not stat.S_ISDIR(entry.seen.st_mode):
            first.setdefault((entry.seen.st_dev, entry.seen.st_ino), entry.raw)
    return first


def _row(entry: Entry, first: dict[tuple[int, int], bytes]) -> bytes:
    seen, kind = entry.seen, stat.S_IFMT(entry.seen.st_mode)
    is_device = stat.S_ISBLK(kind) or stat.S_ISCHR(kind)
    # A file whose other names are all outside is its own first one, as if it had none.
    first_name = first.get((seen.st_dev, seen.st_ino), entry.raw) if seen.st_nlink > 1 else entry.raw
    fields = (
        entry.raw.hex(),
        f"{kind:o}",
        # The mode of a link means nothing.
        f"{stat.S_IMODE(seen.st_mode):o}" if not stat.S_ISLNK(kind) else "",
        str(seen.st_uid),
        str(seen.st_gid),
        str(seen.st_size) if stat.S_ISREG(kind) else "",
        str(seen.st_mtime_ns),
        os.fsencode(entry.link).hex(),
        first_name.hex() if not stat.S_ISDIR(kind) else "",
        str(seen.st_rdev) if is_device else "",
        ",".join(f"{os.fsencode(name).hex()}={value}" for name, value in entry.attributes),
        entry.digest,
    )
    return ("\t".join(fields) + "\n").encode("ascii")


# The cache


def _trusted(entry: Entry, begun: dict[str, int]) -> bool:
    # One that was trusted before was proved then. A time in the future is a clock that was set: no proof, either.
    return entry.path not in begun or entry.seen.st_ctime_ns < begun[entry.path] - RACY


def _read_cache(path: str, device: int) -> dict[tuple[str, Mark], str]:
    """What an earlier call hashed; empty where the cache is none of ours, damaged or of another file system."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, encoding="ascii") as stream:
            seen = os.fstat(stream.fileno())
            if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
                return {}
            form, _newline, rest = stream.read().partition("\n")
            proof, _newline, body = rest.partition("\n")
            if form != _CACHE_FORM or proof != _proof(body):
                return {}
            held = json.loads(body)
            if held["device"] != device:
                return {}
            return {
                (name, (ino, size, mtime, ctime)): digest for name, ino, size, mtime, ctime, digest in held["files"]
            }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_cache(path: str, device: int, entries: list[Entry]) -> None:
    body = json.dumps({"device": device, "files": [(entry.path, *entry.mark, entry.digest) for entry in entries]})
    # mkstemp: for its owner only, and a name that nobody waits at.
    handle, new = tempfile.mkstemp(prefix=".bosh_ha_", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            # Not synced, which may take seconds in the freeze: what a crash leaves half written has not this proof.
            stream.write(f"{_CACHE_FORM}\n{_proof(body)}\n{body}")
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def _proof(body: str) -> str:
    return hashlib.new(ALGORITHM, body.encode("ascii")).hexdigest()
