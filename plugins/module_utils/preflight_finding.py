# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One finding of the preflight: what was compared, both sides, the verdict, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

Finding = dict[str, str]

OK, UNKNOWN, WARNING, ERROR = "ok", "unknown", "warning", "error"
#: From good to bad.
VERDICTS = (OK, UNKNOWN, WARNING, ERROR)
#: A side that was not asked, or did not answer.
NOT_KNOWN = "not known"
#: What to do where one side or both have nothing to compare.
UNCOMPARED = "nothing was compared: see for yourself that both are the same"

#: What one side says, its verdict, and what to do about it.
Side = tuple[str, str, str]


def finding(what: str, source: Any, target: Any, verdict: str = OK, do: str = "") -> Finding:
    """A row of the table; of what is well nothing is to be done."""
    return {"what": what, "source": str(source), "target": str(target), "verdict": verdict, "do": do}


def worst(verdicts: Iterable[str]) -> str:
    """The worst of some verdicts; ok of none."""
    return max(verdicts, key=VERDICTS.index, default=OK)


def is_nothing(value: Any) -> bool:
    """Whether a value has nothing in it that could be compared; zero and false have."""
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return all(is_nothing(item) for item in (value.values() if isinstance(value, dict) else value))
    return value is None or value == ""


def compared(what: str, source: Any, target: Any, verdict: str, do: str) -> Finding:
    """A row for two values that must be equal; nothing on a side is not known, and two nothings are not equal."""
    if is_nothing(source) or is_nothing(target):
        first, second = (NOT_KNOWN if is_nothing(value) else value for value in (source, target))
        return finding(what, first, second, UNKNOWN, UNCOMPARED)
    return finding(what, source, target) if source == target else finding(what, source, target, verdict, do)


def secret(what: str, source: Any, target: Any, verdict: str, do: str) -> Finding:
    """The same for what must not be shown: only whether both are equal."""
    if is_nothing(source) or is_nothing(target):
        first, second = ("not set, or not known" if is_nothing(value) else "set" for value in (source, target))
        return finding(what, first, second, UNKNOWN, UNCOMPARED)
    return finding(what, "set", "the same") if source == target else finding(what, "set", "differs", verdict, do)


def sides(what: str, by_name: dict[str, Side]) -> Iterator[Finding]:
    """A row for Micro and Meta, and one for Primary, where they are among the names."""
    blank: Side = ("", OK, "")
    pair = [by_name.get(name, blank) for name in ("micro", "meta")]
    if any(name in by_name for name in ("micro", "meta")):
        yield finding(what, pair[0][0], pair[1][0], worst(side[1] for side in pair), _joined(pair))
    if "primary" in by_name:
        text, verdict, do = by_name["primary"]
        yield finding(f"{what}, Primary", "", text, verdict, do)


def newer(version: str, other: str) -> bool | None:
    """Whether a version is the same as another or newer; None where one of the two is no version."""
    numbers = [re.match(r"v?(\d+(?:\.\d+)*)", text.strip()) for text in (version, other)]
    if not all(numbers):
        return None
    parts = [[int(part) for part in found.group(1).split(".")] for found in numbers if found]
    width = max(len(part) for part in parts)
    first, second = ([*part, *[0] * (width - len(part))] for part in parts)
    return first >= second


def _joined(pair: list[Side]) -> str:
    return "; ".join(dict.fromkeys(side[2] for side in pair if side[2]))
