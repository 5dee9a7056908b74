# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IP addresses compared as addresses, not as text: alone, in ranges, in URLs and in longer texts.

Parts of it run on VMs, so it needs nothing but the standard library.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    # VMs may have an older Python.
    from typing import TypeAlias

    Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

#: Whatever could be an address: IPv4, or IPv6 with two colons or more.
_RUN = re.compile(r"[0-9A-Fa-f:.]+")
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)|(?<=[^\W\d]\.)\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
#: What may stand before an address in a URL.
_URL = re.compile(r"(?://|@)$")


def parse(text: object) -> Address | None:
    """An address, in brackets or not; None for any other text. IPv4 mapped into IPv6 is the IPv4 address."""
    if not isinstance(text, str):
        # ipaddress takes a number for an address.
        return text if isinstance(text, (ipaddress.IPv4Address, ipaddress.IPv6Address)) else None
    bare = text.strip()
    bare = bare[1:-1] if bare.startswith("[") and bare.endswith("]") else bare
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def same(one: object, other: object) -> bool:
    """Whether two texts name the same host: one address, or one host name in any case; two empty texts do not."""
    first, second = parse(one), parse(other)
    if first is not None or second is not None:
        return first == second
    name = str(one or "").strip().lower().rstrip(".")
    return bool(name) and name == str(other or "").strip().lower().rstrip(".")


def among(address: object, others: Iterable[object]) -> bool:
    """Whether an address is one of others."""
    return any(same(address, other) for other in others)


def holds(text: str, address: object) -> bool | None:
    """Whether a range of BOSH (one address, `first-last`, or CIDR) holds an address; None if the text is no range."""
    place, (first, dash, last) = parse(address), (part.strip() for part in str(text).partition("-"))
    if not dash and "/" in first:
        try:
            network = ipaddress.ip_network(first, strict=False)
        except ValueError:
            return None
        return place is not None and place in network
    begin, end = parse(first), parse(last or first) if last or not dash else None
    if begin is None or end is None:
        return None
    if place is None or not place.version == begin.version == end.version:
        return False
    return int(begin) <= int(place) <= int(end)


def host_of(url: str) -> str:
    """Host of a URL, without brackets; empty if it has none. Raises ValueError for a URL that cannot be parsed."""
    return urlsplit(url if "//" in url else f"//{url}").hostname or ""


def mentions(text: str, address: object) -> bool:
    """Whether a text names an address: alone, with a port or a prefix, in a URL, a list, or as an end of a range."""
    wanted = parse(address)
    return wanted is not None and any(found == wanted for _begin, _end, found in _addresses(text))


def replaced(text: str, old: object, new: str) -> str:
    """The text with another address, or sign, wherever it names the old one; brackets as the new one needs them."""
    wanted = parse(old)
    if wanted is None:
        return text
    six = isinstance(parse(new), ipaddress.IPv6Address)
    for begin, end, found in reversed(list(_addresses(text))):
        if found != wanted:
            continue
        bracketed = text[begin - 1 : begin] == "[" and text[end : end + 1] == "]"
        instead = new
        if bracketed and not six:
            begin, end = begin - 1, end + 1
        elif six and not bracketed and (_URL.search(text[:begin]) or re.match(r":\d", text[end:])):
            instead = f"[{new}]"
        text = text[:begin] + instead + text[end:]
    return text


def _addresses(text: str) -> Iterator[tuple[int, int, Address]]:
    """Beginning, end and address of each address in a text."""
    for run in _RUN.finditer(text):
        begin, end = run.span()
        found = _six(text, begin, end) if text.count(":", begin, end) > 1 else None
        if found:
            yield found
            continue
        for four in _V4.finditer(text, begin, end):
            address = parse(four.group())
            # finditer minds neither side of the run.
            if address is not None and not re.match(r"\w|\.\d", text[four.end() : four.end() + 2]):
                yield four.start(), four.end(), address


def _six(text: str, begin: int, end: int) -> tuple[int, int, Address] | None:
    """The IPv6 address of a run: all of it, or without a colon before it (`host:fd00::6`) or a sign after it."""
    if begin and re.match(r"\w", text[begin - 1]):
        # The run begins within a word: it may begin after the word's colon.
        begin = text.find(":", begin, end) + 1
    elif text[begin] == ":" and text[begin : begin + 2] != "::":
        begin += 1
    if re.match(r"\w", text[end : end + 1]):
        return None
    for stop in (end, end - 1, end - 2):
        if stop <= begin or text[stop:end].strip(".:"):
            break
        address = parse(text[begin:stop])
        if address is not None and text.count(":", begin, stop) > 1:
            return begin, stop, address
    return None
