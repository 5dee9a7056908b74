# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an outside probe saw: lines of `lab probe`, one for each question (`time`, `name`, `ok`, `uuid`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Sample = dict[str, Any]


class NoAnswer(Exception):
    """Nobody answered where somebody should have; one sentence."""


@dataclass(frozen=True)
class Outage:
    """From the first question without an answer to the first one with, in seconds since 1970."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def samples(lines: Iterable[str]) -> list[Sample]:
    """In the order in which was asked; a last line that was cut off is passed over."""
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return sorted(found, key=lambda sample: sample["time"])


def uuid_of(asked: Iterable[Sample], name: str) -> str:
    """The UUID under which a director answered first; raises NoAnswer."""
    for sample in asked:
        if sample["name"] == name and sample["ok"]:
            return str(sample["uuid"])
    raise NoAnswer(f"{name} did not answer the probe once")


def freeze(asked: list[Sample], uuid: str) -> Outage:
    """The longest time in which nobody answered under a UUID; raises NoAnswer where nobody did again."""
    answers = [sample for sample in asked if sample["ok"] and sample["uuid"] == uuid]
    if len({sample["name"] for sample in answers}) < 2:
        raise NoAnswer(f"only {', '.join({sample['name'] for sample in answers}) or 'nobody'} answered as {uuid}")
    before, after = max(pairwise(answers), key=lambda pair: pair[1]["time"] - pair[0]["time"])
    # The moment of the first question without an answer; the probe itself may have been late.
    missed = (
        sample["time"]
        for sample in asked
        if sample["name"] == before["name"] and not sample["ok"] and before["time"] < sample["time"] < after["time"]
    )
    return Outage(next(missed, before["time"]), after["time"])


def outages(asked: Iterable[Sample], name: str, began: float = 0.0, ended: float = float("inf")) -> list[Outage]:
    """Of a director, those that began in such a time; one that never ended lasts to the last question."""
    found: list[Outage] = []
    down: float | None = None
    at = began
    for sample in asked:
        if sample["name"] != name:
            continue
        at = sample["time"]
        if not sample["ok"] and down is None:
            down = at
        elif sample["ok"] and down is not None:
            found.append(Outage(down, at))
            down = None
    if down is not None:
        found.append(Outage(down, at))
    return [outage for outage in found if began <= outage.began <= ended]


def failed(asked: Iterable[Sample], name: str, began: float, ended: float) -> tuple[int, int]:
    """Questions without an answer, and all, in such a time."""
    found = [sample["ok"] for sample in asked if sample["name"] == name and began <= sample["time"] <= ended]
    return found.count(False), len(found)


def first_answer(asked: Iterable[Sample], name: str, after: float) -> float:
    """When a director answered for the first time after a moment; raises NoAnswer."""
    for sample in asked:
        if sample["name"] == name and sample["ok"] and sample["time"] >= after:
            return float(sample["time"])
    raise NoAnswer(f"{name} did not answer again")
