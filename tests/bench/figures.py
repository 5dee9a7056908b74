# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of issue and documentation, from the raw numbers: what it is, against what, and whether it is reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

#: What the copy may cost in the freeze, as a part of the blog's copy: from that many GiB on.
COPY_PARTS = {1: 10, 4: 30}
GIB = 2**30


@dataclass(frozen=True)
class Line:
    """One row. `ratio` is as the target has it; `limit` says what cannot be gone below, where the target is missed."""

    figure: str
    value: str
    against: str
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None
    limit: str = ""


def at_most(figure: str, value: str, against: str, ratio: float, most: float, limit: str = "") -> Line:
    reached = ratio <= most
    return Line(figure, value, against, ratio, f"<= {_number(most)}", reached, "" if reached else limit)


def at_least(figure: str, value: str, against: str, ratio: float, least: float, limit: str = "") -> Line:
    reached = ratio >= least
    return Line(figure, value, against, ratio, f">= {_number(least)}", reached, "" if reached else limit)


def lines(raw: dict[str, Any]) -> list[Line]:
    """All that was measured, in the issue's order."""
    frozen = raw.get("freeze") or {}
    found: list[Line] = []
    for size, one in frozen.items():
        found += _freeze(size, one)
    for size, one in frozen.items():
        found += _copy(size, one)
    found += _growth(frozen)
    if raw.get("recreate"):
        found += _recreate(raw["recreate"])
    if raw.get("adopt"):
        found += _adopt(raw["adopt"])
    if raw.get("copies"):
        found += _cold(raw["copies"])
    found += [_sent(name, raw[name]) for name in ("recreate", "adopt") if raw.get(name)]
    if raw.get("finished"):
        found.append(_finished(raw["finished"]))
    return found


def _freeze(size: str, one: dict[str, Any]) -> Iterator[Line]:
    floor, bare = one["floor"], min(one["nothing_to_copy"])
    yield at_most(
        f"freeze, {size}",
        seconds_of(one["freeze"]),
        f"stop of Micro {seconds_of(one['stop'])}, start of Meta {seconds_of(floor - one['stop'])}",
        one["freeze"] / floor,
        1.15,
        f"{(floor + bare) / floor:.2f}: the floor and a bare rsync with nothing to copy, {seconds_of(bare)}",
    )
    hand = one["by_hand"]["stop"] + one["by_hand"]["start"]
    yield Line(
        f"freeze, {size}",
        seconds_of(one["freeze"]),
        f"the same director stopped and started by hand with monit, {seconds_of(hand)}",
        one["freeze"] / hand,
    )


def _copy(size: str, one: dict[str, Any]) -> Iterator[Line]:
    gib = one["store"]["bytes"] / GIB
    part = max((parts for least, parts in COPY_PARTS.items() if gib >= 0.9 * least), default=0)
    bare = median(one["nothing_to_copy"])
    limit = f"1/{one['blog'] / bare:.0f}: a bare rsync with nothing to copy takes {spread(one['nothing_to_copy'])}"
    against = f"the blog's copy {seconds_of(one['blog'])}"
    for figure, seconds in (("the copy in the freeze", one["copy"]), ("fence, copy, proof and swap", one["between"])):
        ratio = seconds / one["blog"]
        if part:
            reached = ratio <= 1 / part
            yield Line(
                f"{figure}, {size}",
                seconds_of(seconds),
                against,
                ratio,
                f"<= 1/{part}",
                reached,
                "" if reached else limit,
            )
        else:
            yield Line(f"{figure}, {size}", seconds_of(seconds), against, ratio)


def _growth(frozen: dict[str, Any]) -> Iterator[Line]:
    if len(frozen) < 2:
        return
    sizes = sorted(frozen, key=lambda size: frozen[size]["store"]["bytes"])
    least, most = frozen[sizes[0]], frozen[sizes[-1]]
    yield at_most(
        f"growth of the freeze, {sizes[0]} to {sizes[-1]}",
        seconds_of(most["freeze"]),
        f"{seconds_of(least['freeze'])}",
        most["freeze"] / least["freeze"],
        1.2,
        f"{most['floor'] / least['floor']:.2f}: the floors' growth, which is BOSH's own",
    )


def _recreate(one: dict[str, Any]) -> Iterator[Line]:
    alone = median(one["alone"])
    yield at_most(
        "Primary's outage, minimal and recreate",
        seconds_of(one["outage"]),
        f"two calls of bosh, delete-vm and cck: {spread(one['alone'])}",
        one["outage"] / alone,
        1.1,
    )


def _adopt(one: dict[str, Any]) -> Iterator[Line]:
    yield Line(
        "Primary's outage, minimal and adopt",
        f"{one['failed']} failed",
        f"{one['asked']} probes",
        None,
        "0",
        one["failed"] == 0,
    )


def _cold(copies: dict[str, Any]) -> Iterator[Line]:
    size = copies["store"]["bytes"] / 1e6
    for state, words in (("disk", "page cache dropped"), ("memory", "store in the page cache")):
        seconds = copies["seconds"][state]
        ours, plain = median(seconds["ours"]), median(seconds["plain"])
        kind = min(("stream", "local"), key=lambda kind: median(seconds[kind]))
        limit = median(seconds[kind])
        name = {"stream": "a raw stream over SSH", "local": "cp -a on Meta's disk"}[kind]
        value = f"{size / ours:.0f} MB/s, {spread(seconds['ours'])}"
        told = f"{plain / limit:.2f}: {name}, {size / limit:.0f} MB/s, is all that there is"
        yield at_least(
            f"cold copy, {words}", value, f"rsync -aHAX over SSH, {spread(seconds['plain'])}", plain / ours, 1.3, told
        )
        other = "; ".join(
            f"{'stream' if one == 'stream' else 'cp'} {spread(seconds[one])}" for one in ("stream", "local")
        )
        yield at_least(f"cold copy, {words}", value, f"{name} ({other})", limit / ours, 0.8)


def _sent(name: str, one: dict[str, Any]) -> Line:
    sent, size = sum(copy["bytes_sent"] for copy in one["copies"]), one["copies"][-1]["bytes_total"]
    return at_most(
        f"bytes sent in {len(one['copies'])} passes, nobody writes ({name})",
        f"{sent / 1e6:.0f} MB",
        f"the store, {size / 1e6:.0f} MB",
        sent / size,
        1.05,
    )


def _finished(one: dict[str, Any]) -> Line:
    ratios = [run["seconds"] / run["calls_seconds"] for run in one["runs"]]
    best = sorted(one["runs"], key=lambda run: run["seconds"])[len(one["runs"]) // 2]
    return at_most(
        "a run on a finished pair",
        spread([run["seconds"] for run in one["runs"]]),
        f"its {best['calls']} calls of bosh, {seconds_of(best['calls_seconds'])}",
        median(ratios),
        2,
        f"{best['tasks']} tasks, {best['changed']} changed; all else is Ansible's time for them",
    )


def seconds_of(value: float) -> str:
    return f"{value:.1f} s"


def spread(values: list[float]) -> str:
    """The median, and the least and the most where there are several."""
    if len(values) == 1:
        return seconds_of(values[0])
    return f"{median(values):.2f} s ({min(values):.2f}..{max(values):.2f})"


def _number(value: float) -> str:
    return f"{value:g}"
