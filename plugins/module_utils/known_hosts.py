# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A known_hosts file with the host keys of our own VMs, and how a host is made to show its keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shlex
import tempfile


def keys_in(text: str) -> list[str]:
    """Host keys of public key files, type and key only: a comment would name the build host."""
    words = [line.split() for line in text.splitlines()]
    return sorted({" ".join(word[:2]) for word in words if len(word) >= 2 and word[0].startswith(("ssh-", "ecdsa-"))})


def pinned(path: str, address: str) -> list[str]:
    """Keys pinned for an address, alone, among other names, or hashed."""
    return sorted(" ".join(line.split()[1:3]) for line in _lines(path) if _names(line, address))


def write_pinned(path: str, address: str, keys: list[str]) -> None:
    """Replace the address's keys, leaving every other line and the other names of a line; whole or not at all."""
    # A file behind a link stays where it is, and one without a directory has the current one.
    path = os.path.realpath(path)
    kept = [left for line in _lines(path) if (left := _without(line, address))]
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".known_hosts")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write("".join(f"{line}\n" for line in kept + [f"{address} {key}" for key in keys]))
    os.replace(temporary, path)


def _names(line: str, address: str) -> bool:
    """Whether a line pins a key for this very address. A marker, such as @revoked, pins none; nor does a pattern."""
    return any(_is(name, address) for name in line.split()[0].split(","))


def _is(name: str, address: str) -> bool:
    """Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; openssh hostfile.c (host_hash)."""
    if not name.startswith("|1|"):
        return name.lower() == address.lower()
    try:
        salt, digest = (base64.b64decode(part) for part in name.split("|")[2:])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, address.lower().encode(), hashlib.sha1).digest(), digest)


def _without(line: str, address: str) -> str:
    """A line without the address, empty where it has no other name."""
    if not _names(line, address):
        return line
    names, rest = line.split(None, 1)
    others = ",".join(name for name in names.split(",") if not _is(name, address))
    return f"{others} {rest}" if others else ""


#: A key is noted in the scratch file alone, and nobody logs in. For ssh the first value of an option counts.
_LOOK = (
    "StrictHostKeyChecking=accept-new",
    "GlobalKnownHostsFile=/dev/null",
    "HashKnownHosts=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "PreferredAuthentications=none",
    "ControlPath=none",
    "RemoteCommand=none",
    "LogLevel=INFO",
)
#: ssh hands its config file on to each jump host, but no option: there the usual known_hosts are checked, strictly.
_HOPS = ("StrictHostKeyChecking yes", "BatchMode yes", "ConnectTimeout 10")


def look(address: str, port: int, ssh_args: str, scratch: str) -> tuple[list[str], str]:
    """Command that makes sshd show a host key, on the way that ssh_args name, and the file in which ssh notes it.

    `scratch` is a directory, in which ssh's config is written. The command fails, also when the key was noted.
    Raises ValueError where ssh_args are no words of a shell.
    """
    config, noted = os.path.join(scratch, "config"), os.path.join(scratch, "known_hosts")
    words, configs = _without_config(shlex.split(ssh_args))
    included = configs or ["~/.ssh/config", "/etc/ssh/ssh_config"]
    with open(config, "w", encoding="utf-8") as stream:
        stream.write("".join(f"{line}\n" for line in [*_HOPS, *(f'Include "{path}"' for path in included)]))
    options = [f"UserKnownHostsFile={noted}", *_LOOK]
    ours = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", config, *ours, *words, "-p", str(port), "-T", "-n", address, "true"], noted


def noted_keys(path: str) -> list[str]:
    """Host keys in a known_hosts file, whatever names they have there."""
    return keys_in("\n".join(line.partition(" ")[2] for line in _lines(path)))


def _without_config(words: list[str]) -> tuple[list[str], list[str]]:
    """Options of ssh without `-F`, and the config files that it named: ours takes its place and includes them."""
    kept: list[str] = []
    configs: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-F"):
            kept.append(word)
        elif path := word[2:] or next(rest, ""):
            configs = [os.path.abspath(os.path.expanduser(path))]
    return kept, configs


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as stream:
            return [line.rstrip("\n") for line in stream if line.strip()]
    except FileNotFoundError:
        return []
