# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cipher costs a host least: with a large store it is more than the disk does. Facts are from OpenSSH 9."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: From the cheapest on: with AES in the CPU, and without it. What a host of either side lacks is passed over.
_WITH_AES = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "chacha20-poly1305@openssh.com")
_WITHOUT_AES = ("chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")
_CPU_AES = re.compile(r"^(?:flags|Features)\s*:.*\baes\b", re.M)


def has_aes(cpuinfo: str) -> bool:
    """Whether the CPU computes AES itself, by the text of /proc/cpuinfo."""
    return bool(_CPU_AES.search(cpuinfo))


def cipher_order(known: Iterable[str], aes: bool) -> list[str]:
    """Ciphers for `ssh -c`, of those that `ssh -Q cipher` names: the cheapest first, then what the other side may want.

    Empty where nothing is known of this host's ssh: then its own order is as good as any.
    """
    have = [name for name in known if name]
    preferred = [name for name in (_WITH_AES if aes else _WITHOUT_AES) if name in have]
    return preferred + [name for name in have if name not in preferred and "cbc" not in name]


def cheapest_here(known: Iterable[str], cpuinfo: str = "/proc/cpuinfo") -> list[str]:
    """`cipher_order` by the CPU of this host."""
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as stream:
            aes = has_aes(stream.read())
    except OSError:
        aes = False
    return cipher_order(known, aes)
