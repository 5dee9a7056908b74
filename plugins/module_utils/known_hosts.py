# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A known_hosts file with the host keys of our own VMs."""

from __future__ import annotations

import os
import tempfile


def keys_in(text: str) -> list[str]:
    """Host keys of public key files, type and key only: a comment would name the build host."""
    words = [line.split() for line in text.splitlines()]
    return sorted({" ".join(word[:2]) for word in words if len(word) >= 2 and word[0].startswith(("ssh-", "ecdsa-"))})


def pinned(path: str, address: str) -> list[str]:
    """Keys pinned for an address."""
    return sorted(" ".join(line.split()[1:3]) for line in _lines(path) if line.split()[0] == address)


def write_pinned(path: str, address: str, keys: list[str]) -> None:
    """Replace the address's keys, leaving every other line; whole or not at all."""
    kept = [line for line in _lines(path) if line.split()[0] != address]
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".known_hosts")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write("".join(f"{line}\n" for line in kept + [f"{address} {key}" for key in keys]))
    os.replace(temporary, path)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as stream:
            return [line.rstrip("\n") for line in stream if line.strip()]
    except FileNotFoundError:
        return []
