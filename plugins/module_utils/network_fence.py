# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A packet filter that keeps a VM from reaching anybody: it only answers, and only at some ports.

No rule asks for a connection's state, so none that is there when the fence is closed, the operator's SSH above all, is
cut or taken for another one. It runs on VMs, so it needs nothing but the standard library.
Source of the syntax: iptables(8), iptables-extensions(8), 1.8.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

#: Chains of the table `filter`, each entered first of all from one of the kernel's own.
CHAINS = {"INPUT": "BOSH_HA_IN", "OUTPUT": "BOSH_HA_OUT"}
#: Neighbour solicitation and advertisement, without which no packet of IPv6 is answered.
_NEIGHBOURS = (135, 136)

Address = tuple[str, int]


def addresses(urls: list[str], port: int) -> list[Address]:
    """Addresses and ports behind URLs, by the resolver. Raises OSError for a name that has none."""
    found = []
    for url in urls:
        parts = urlsplit(url)
        for one in socket.getaddrinfo(parts.hostname, parts.port or port, type=socket.SOCK_STREAM):
            found.append((str(one[4][0]), int(one[4][1])))
    return list(dict.fromkeys(found))


def is_first(listed: str, chain: str) -> bool:
    """Whether what `iptables -S CHAIN` listed has the jump into our chain before every other rule."""
    rules = [line for line in listed.splitlines() if line.startswith("-A ")]
    return bool(rules) and rules[0] == _jump("-A", chain)


def is_there(listed: str, chain: str) -> bool:
    """Whether it has the jump at all."""
    return _jump("-A", chain) in listed.splitlines()


def _jump(verb: str, chain: str) -> str:
    return f"{verb} {chain} -j {CHAINS[chain]}"


def closed(listed: dict[str, str], ports: list[int], buses: list[Address], v6: bool) -> str:
    """What `iptables-restore --noflush` is given, all of which it does at once.

    listed: what `iptables -S` printed for each of the kernel's chains. ports: TCP ports at which the VM answers.
    buses: where root alone, that is the agent, may connect to.
    """
    answered = ",".join(str(port) for port in sorted(ports))
    into, out = CHAINS["INPUT"], CHAINS["OUTPUT"]
    lines = ["*filter", *(f":{chain} - [0:0]" for chain in CHAINS.values())]
    lines += [f"-A {into} -i lo -j ACCEPT", f"-A {out} -o lo -j ACCEPT"]
    lines.append(f"-A {into} -p tcp -m multiport --dports {answered} -j ACCEPT")
    # Who begins a connection sends a SYN alone, and that is no answer.
    lines.append(f"-A {out} -p tcp -m tcp ! --syn -m multiport --sports {answered} -j ACCEPT")
    for address, port in buses:
        if (":" in address) == v6:
            lines.append(f"-A {into} -p tcp -s {address} -m tcp --sport {port} ! --syn -j ACCEPT")
            lines.append(f"-A {out} -p tcp -d {address} -m tcp --dport {port} -m owner --uid-owner 0 -j ACCEPT")
    if v6:
        lines += [
            f"-A {chain} -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT"
            for chain in (into, out)
            for kind in _NEIGHBOURS
        ]
    # Told at once that it is not let through: nobody waits for a name server then.
    lines += [f"-A {into} -j DROP", f"-A {out} -j REJECT"]
    for chain in CHAINS:
        if is_there(listed[chain], chain):
            lines.append(_jump("-D", chain))
        lines.append(f"-I {chain} 1 -j {CHAINS[chain]}")
    return "\n".join([*lines, "COMMIT", ""])


def opened(listed: dict[str, str]) -> str:
    """The reverse, for as many of the jumps as are there."""
    lines = ["*filter", *(f":{chain} - [0:0]" for chain in CHAINS.values())]
    lines += [_jump("-D", chain) for chain in CHAINS if is_there(listed[chain], chain)]
    return "\n".join([*lines, *(f"-X {chain}" for chain in CHAINS.values()), "COMMIT", ""])


def is_reached(address: str, port: int, seconds: float = 3) -> bool:
    """Whether a TCP connection to an address comes about within some seconds."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError:
        return False
    return True
