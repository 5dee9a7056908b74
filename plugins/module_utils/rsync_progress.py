# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rsync prints while it runs (`--info=progress2`, `--out-format=%i`, names too) and at its end (`--stats`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# rsync 3.2.7, progress.c rprint_progress(): "  1234567  12%    1.23MB/s    0:00:03 (xfr#5, to-chk=169/396)"
_PROGRESS = re.compile(
    r"\s*(?P<bytes>[\d,.]+)\s+(?P<percent>\d+)%\s+(?P<rate>[\d.]+)(?P<unit>[kMGT]?)B/s\s+\S+"
    r"(?:\s+\((?:xfr#\d+, )?(?:ir|to)-chk=(?P<left>\d+)/(?P<files>\d+)\))?\s*"
)
# rsync.1, --itemize-changes.
_ITEM = re.compile(r"(?P<change>\*deleting|[<>ch.][fdLDS][.+?a-zA-Z]{2,11})(?:\s+(?P<name>\S.*))?\s*")
#: How many names are kept: who asks what differs reads no million of lines.
_NAMED = 1000
_STAT = re.compile(r"(?P<name>[A-Z][A-Za-z ]+): (?P<value>[\d,]+)")
_UNITS = {"": 1, "k": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
#: `--stats` by the names of our own.
_STATS = {
    "Number of files": "files_total",
    "Number of deleted files": "files_deleted",
    "Number of regular files transferred": "files_copied",
    "Total file size": "bytes_total",
    "Total transferred file size": "bytes_copied",
    "Total bytes received": "bytes_received",
    "Total bytes sent": "bytes_asked",
}


@dataclass
class Progress:
    """How far one rsync is. `total` is narrowed down from whole percents, and 0 as long as they say nothing."""

    copied: int = 0
    files_done: int = 0
    files: int = 0
    rate: float = 0.0
    _least: float = 0.0
    _most: float = field(default=float("inf"))

    def take(self, text: str) -> bool:
        """Read one line of progress2; False where it is none."""
        found = _PROGRESS.fullmatch(text)
        if not found:
            return False
        self.copied = _number(found["bytes"])
        self.rate = float(found["rate"]) * _UNITS[found["unit"]]
        if found["files"]:
            self.files = int(found["files"])
            self.files_done = self.files - int(found["left"])
        percent = int(found["percent"])
        self._least = max(self._least, self.copied * 100 / (percent + 1), self.copied)
        if percent:
            self._most = min(self._most, self.copied * 100 / percent)
        return True

    @property
    def total(self) -> int:
        """Bytes of all files, as well as they are known."""
        if self._most == float("inf"):
            return 0
        return max(round((self._least + max(self._most, self._least)) / 2), self.copied)


@dataclass
class Told:
    """All that one rsync said on stdout."""

    progress: Progress = field(default_factory=Progress)
    items: int = 0
    files: int = 0
    named: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def take(self, piece: str) -> bool:
        """Sort in one piece between two ends of lines; True where it was progress."""
        if self.progress.take(piece):
            return True
        item = _ITEM.fullmatch(piece)
        if item:
            self.items += 1
            self.files += item["change"][:2] == ">f"
            # The directory itself is whose it is mounted at, and its time that of the last rename in it.
            if item["name"] and item["name"] != "./" and len(self.named) < _NAMED:
                self.named.append(f"{item['change']} {item['name']}")
            return False
        found = _STAT.match(piece)
        if found and found["name"] in _STATS:
            self.numbers[_STATS[found["name"]]] = _number(found["value"])
        return False


def pieces(rest: bytes, chunk: bytes) -> tuple[list[str], bytes]:
    """Pieces that are complete, of the rest of an earlier chunk and a new one, and the new rest."""
    *whole, rest = re.split(rb"[\r\n]", rest + chunk)
    return [piece.decode("utf-8", "replace") for piece in whole if piece], rest


def line_of(streams: Iterable[Progress]) -> str:
    """One line for a person who waits: bytes, files, rate and time left of all streams together."""
    parts = list(streams)
    copied, rate = sum(part.copied for part in parts), sum(part.rate for part in parts)
    total = sum(part.total for part in parts) if all(part.total for part in parts) else 0
    words = [_of(copied, total)]
    files = sum(part.files for part in parts)
    if files:
        words.append(f"{sum(part.files_done for part in parts)} of {files} files")
    if rate:
        words.append(f"{_size(rate)}/s")
        words += [f"{_time((total - copied) / rate)} left"] if total > copied else []
    return ", ".join(words)


def _number(text: str) -> int:
    return int(re.sub(r"[,.]", "", text))


def _unit(value: float) -> tuple[float, str]:
    for factor, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= factor:
            return factor, name
    return 1, "B"


def _size(value: float) -> str:
    factor, name = _unit(value)
    number = value / factor
    return f"{number:.1f} {name}" if factor > 1 and number < 10 else f"{number:.0f} {name}"


def _of(done: int, total: int) -> str:
    if not total:
        return _size(done)
    factor, name = _unit(total)
    digits = 1 if factor > 1 else 0
    return f"{done / factor:.{digits}f} of {total / factor:.{digits}f} {name}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
