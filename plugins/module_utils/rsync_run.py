# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the rsyncs of a copy: alone in their directory, again after a broken connection, their progress in a file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN
from ansible_collections.bosh.ha.plugins.module_utils.rsync_command import (
    Complaints,
    Copy,
    CopyFailed,
    command,
    judge,
    rsync_version,
    writing,
)
from ansible_collections.bosh.ha.plugins.module_utils.rsync_progress import Told, line_of, pieces
from ansible_collections.bosh.ha.plugins.module_utils.ssh_ciphers import cheapest_here
from ansible_collections.bosh.ha.plugins.module_utils.waiting_lock import lock_within

#: Seconds between two lines of progress, and between two looks whether another copy has ended.
_TELL_EVERY = 1.0
_LOOK_EVERY = 0.5
_CHUNK = 1 << 16


@dataclass
class Result:
    """What was done, all attempts together; sizes in bytes."""

    attempts: int = 0
    items: int = 0
    files_copied: int = 0
    files_deleted: int = 0
    bytes_sent: int = 0
    bytes_copied: int = 0
    bytes_total: int = 0
    files_total: int = 0
    moved: int = 0
    moved_lines: list[str] = field(default_factory=list)
    inplace: bool = True
    different: list[str] = field(default_factory=list)


def start(words: list[str], locks: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """A command of this host, without input and in English; it inherits the descriptors `locks`. Raises OSError."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # AnsibleModule.run_command tells nothing before the end, and cannot run two at once.
    return subprocess.Popen(  # pylint: disable=ansible-bad-function
        words, env=os.environ | PLAIN, pass_fds=locks, **pipes
    )


def asked(*words: str) -> str:
    """What a command of this host prints; empty where it cannot be run."""
    try:
        with start(list(words)) as process:
            return process.communicate()[0].decode("utf-8", "replace")
    except OSError:
        return ""


def ciphers_here() -> list[str]:
    """Ciphers for this host's ssh, the cheapest first; empty where it does not name them."""
    return cheapest_here(asked("ssh", "-Q", "cipher").split())


def has_hard_links(directory: str) -> bool:
    """Whether a file below has a second name, or it cannot be told. By `find`, as a store may have a million files."""
    words = ["find", directory, "-type", "f", "-links", "+1", "-print", "-quit"]
    try:
        with start(words) as process:
            out, _err = process.communicate()
            return process.returncode != 0 or bool(out)
    except OSError:
        return True


@contextlib.contextmanager
def alone(directory: str, wait: float) -> Iterator[int]:
    """Hold the directory: what an interrupted run left behind may copy into it still. Yields the descriptor.

    rsync inherits the lock, so it is free only when the last one has ended. Raises CopyFailed after `wait` seconds.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not lock_within(handle, wait, _LOOK_EVERY):
            other = f"another copy into {directory}{_holder(handle)} has not ended in {wait:.0f} s"
            raise CopyFailed(f"{other}: wait for it or end it", 0, again=False)
        yield handle
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    # The kernel names who took the lock first, which may be gone while its rsync goes on (proc(5), /proc/locks).
    inode = os.fstat(handle).st_ino
    try:
        with open("/proc/locks", encoding="utf-8") as stream:
            rows = [line.split() for line in stream]
    except OSError:
        return ""
    found = [row[4] for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5].endswith(f":{inode}")]
    return f" (process {found[0]})" if found else ""


def _holds_something(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(entries)
    except FileNotFoundError:
        return False


class Teller:
    """Keeps the newest line about all streams in a file, which is replaced, so that a reader never sees half of it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._streams: dict[int, Told] = {}
        self._lock = threading.Lock()
        self._next = 0.0

    def tell(self, stream: int, told: Told) -> None:
        """Progress of one stream. That it cannot be written is no failure of the copy."""
        with self._lock:
            self._streams[stream] = told
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _TELL_EVERY
            self.write(line_of(told.progress for told in self._streams.values()))

    def begin(self) -> None:
        """Forget the streams: another pass begins."""
        with self._lock:
            self._streams.clear()

    def write(self, line: str) -> None:
        """Put a line into the file."""
        with contextlib.suppress(OSError):
            handle = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
            os.replace(f"{self._path}.new", self._path)


def run(
    copy: Copy,
    *,
    streams: int = 1,
    moving: bool = False,
    retries: int = 3,
    pause: float = 5.0,
    wait: float = 600.0,
    progress_file: str = "",
) -> Result:
    """Copy; `moving`: files that change or vanish meanwhile are no failure. Raises CopyFailed, OSError."""
    teller = Teller(progress_file) if progress_file else None
    if copy.dry_run and not os.path.isdir(copy.dest):
        return _Run(copy, moving, teller, ()).passes(1, retries, pause)
    with alone(copy.dest, wait) as lock:
        return _Run(copy, moving, teller, (lock,)).passes(streams, retries, pause)


class _Run:
    def __init__(self, copy: Copy, moving: bool, teller: Teller | None, locks: tuple[int, ...]) -> None:
        self._copy = copy
        self._moving = moving
        self._teller = teller
        self._locks = locks
        self._version = rsync_version(asked("rsync", "--version"))
        self._update = not moving and _holds_something(copy.dest)
        self._result = Result()
        self._adding = threading.Lock()

    def passes(self, streams: int, retries: int, pause: float) -> Result:
        if streams > 1 and not self._copy.dry_run:
            self._head_start(streams)
        while True:
            self._result.attempts += 1
            try:
                self._one(-1, 1)
                return self._result
            except CopyFailed as error:
                if not error.again:
                    raise
                if self._result.attempts > retries:
                    raise CopyFailed(f"{error} (attempt {self._result.attempts})", error.rc, again=False) from error
                if self._teller:
                    self._teller.begin()
                    self._teller.write(f"{error}; again in {pause:.0f} s")
            time.sleep(pause)

    def _head_start(self, streams: int) -> None:
        """All parts at once. What a broken connection leaves out comes with the whole pass, as links do."""
        failures: list[Exception] = []

        def one(stream: int) -> None:
            try:
                self._one(stream, streams)
            except Exception as error:  # raised again below, in the thread that can tell it
                failures.append(error)

        threads = [threading.Thread(target=one, args=(stream,)) for stream in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in failures:
            if not (isinstance(error, CopyFailed) and error.again):
                raise error
        if self._teller:
            self._teller.begin()

    def _one(self, stream: int, streams: int) -> None:
        # In place a large file costs what changed in it. But where two names are one file on this side and two on the
        # other, what is written to one would be seen in both (rsync.1, --inplace).
        how = writing(self._version, has_hard_links(self._copy.dest), self._update)
        words = command(self._copy, self._version, how, self._teller is not None, stream, streams)
        told, said = Told(), Complaints()
        rc = self._execute(words, told, said, lambda: self._teller.tell(stream, told) if self._teller else None)
        with self._adding:
            self._add(told, said, how.inplace)
        judge(self._copy, rc, said, self._moving)
        if rc == 0 and "files_total" not in told.numbers:
            # A program that is no rsync, or one that prints another form: "nothing differs" must not be read from it.
            raise CopyFailed(
                "rsync ended well and printed no statistics that can be read, so nobody knows what it did",
                rc,
                again=False,
            )

    def _execute(self, words: list[str], told: Told, said: Complaints, tell: Callable[[], Any]) -> int:
        with start(words, self._locks) as process:
            listener = threading.Thread(target=_listen, args=(process.stderr, said))
            listener.start()
            rest, out = b"", cast(IO[bytes], process.stdout).fileno()
            while chunk := os.read(out, _CHUNK):
                whole, rest = pieces(rest, chunk)
                moved_on = [told.take(piece) for piece in whole]
                if True in moved_on:
                    tell()
            listener.join()
            return process.wait()

    def _add(self, told: Told, said: Complaints, inplace: bool) -> None:
        numbers, result = told.numbers, self._result
        result.items += told.items
        result.files_copied += told.files
        result.files_deleted += numbers.get("files_deleted", 0)
        result.bytes_sent += numbers.get("bytes_received", 0) + numbers.get("bytes_asked", 0)
        result.bytes_copied += numbers.get("bytes_copied", 0)
        # A part of the store has smaller ones.
        result.bytes_total = numbers.get("bytes_total", result.bytes_total)
        result.files_total = numbers.get("files_total", result.files_total)
        result.moved += said.moved
        result.moved_lines += said.moved_lines[: 20 - len(result.moved_lines)]
        result.inplace = inplace
        result.different = told.named


def _listen(stream: Any, said: Complaints) -> None:
    for line in stream:
        said.take(line.decode("utf-8", "replace"))
