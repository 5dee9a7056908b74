# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A known_hosts file with the host keys of our own VMs, and how a host is made to show its keys.

The file is anybody's bytes (a comment may be Latin-1), so it is read and written as bytes, as ssh does.
Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; openssh hostfile.c, match.c (match_pattern_list).
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN_UTF8

_KIND_OF_KEY = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA", "ssh-dss": "DSA"}


def keys_in(text: str) -> list[str]:
    """Host keys of public key files, type and key only: a comment would name the build host."""
    words = [line.split() for line in text.splitlines()]
    return sorted({" ".join(word[:2]) for word in words if len(word) >= 2 and word[0].startswith(("ssh-", "ecdsa-"))})


def fingerprint(key: str) -> str:
    """A key, `TYPE BASE64`, as `ssh-keygen -l` shows it: `SHA256:...`. Raises ValueError if it is no key."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error) as error:
        raise ValueError(f"{key!r} is not a public key: {error}") from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def described(key: str) -> str:
    """Fingerprint and type of a key, as a person compares them: `SHA256:... (ED25519)`."""
    kind = key.split()[0]
    return f"{fingerprint(key)} ({_KIND_OF_KEY.get(kind, 'ECDSA' if kind.startswith('ecdsa-') else kind)})"


def entry(address: str, port: int) -> str:
    """The name under which known_hosts has a host; a port other than 22 is part of it."""
    return address if port == 22 else f"[{address}]:{port}"


class _Line(NamedTuple):
    """A line that has a key: marker such as `@revoked` or none, names with commas between, `TYPE BASE64`, the rest."""

    marker: str
    names: list[str]
    key: str
    raw: bytes


def entries(path: str, name: str) -> list[str]:
    """What ssh finds for a name, as lines of a known_hosts file for this name alone; `@revoked` keys are not in it.

    A name is found alone, among others, hashed, and by a pattern. Raises ValueError if the file cannot be read.
    """
    found = [line for line in map(_parse, _lines(path)) if line and line.marker != "@revoked" and _found(line, name)]
    return sorted({" ".join(filter(None, (line.marker, name, line.key))) for line in found})


def pinned(path: str, address: str) -> list[str]:
    """Keys that are pinned for an address: alone, among other names, hashed, or by a pattern.

    Certificate authorities are not in it. Raises ValueError if the file cannot be read.
    """
    found = [line for line in map(_parse, _lines(path)) if line and not line.marker and _found(line, address)]
    return sorted(line.key for line in found)


def pinned_alone(path: str, address: str) -> list[str]:
    """Keys of the lines that name this very address, which `write_pinned` replaces; a pattern names others, too."""
    found = [line for line in map(_parse, _lines(path)) if line and not line.marker]
    return sorted(line.key for line in found if any(_is(one, address) for one in line.names))


def write_pinned(path: str, address: str, keys: list[str]) -> None:
    """Replace the address's keys, leaving every other line and the other names of a line; whole or not at all.

    Raises ValueError if the file cannot be read or written.
    """
    # A file behind a link stays where it is, and one without a directory has the current one.
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # The directory is the lock of all writers of ours: one file cannot be, as it is replaced.
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # ssh appends to the file without a lock: what it appended meanwhile is read again.
            while not _replace(path, address, keys):
                pass
        finally:
            os.close(handle)
    except OSError as error:
        raise ValueError(f"{path}: host keys cannot be written: {error.strerror}; correct its owner or mode") from None


def _replace(path: str, address: str, keys: list[str]) -> bool:
    """Whether the file was replaced; not if another program changed it meanwhile."""
    before = _identity(path)
    kept = [left for line in _lines(path) if (left := _without(line, address)) is not None]
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".known_hosts")
    try:
        with os.fdopen(handle, "wb") as stream:
            # Others who may read the file may do so later, too.
            if before:
                os.fchmod(stream.fileno(), before.st_mode & 0o7777)
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                    os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            stream.writelines(line + b"\n" for line in [*kept, *(f"{address} {key}".encode() for key in keys)])
            stream.flush()
            os.fsync(stream.fileno())
        after = _identity(path)
        if (before and _state(before)) != (after and _state(after)):
            return False
        os.replace(temporary, path)
        return True
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _identity(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _state(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _parse(raw: bytes) -> _Line | None:
    """None for a comment, and for a line without a key."""
    words = [word.decode(errors="surrogateescape") for word in re.split(rb"[ \t]+", raw.strip())]
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#"):
        return None
    return _Line(marker, words[0].split(","), " ".join(words[1:3]), raw)


def _found(line: _Line, name: str) -> bool:
    """Whether ssh takes the line for one of this host. A negated pattern that matches takes the whole line out."""
    negated = [one[1:] for one in line.names if one.startswith("!")]
    if any(_like(one, name) for one in negated):
        return False
    return any(_is(one, name) or _like(one, name) for one in line.names if not one.startswith("!"))


def _is(name: str, address: str) -> bool:
    """Whether a name, which may be hashed, is this very address."""
    if not name.startswith("|1|"):
        return name.lower() == address.lower()
    try:
        salt, digest = (base64.b64decode(part) for part in name.split("|")[2:])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, address.lower().encode(), hashlib.sha1).digest(), digest)


def _like(pattern: str, name: str) -> bool:
    """A pattern has `*` and `?` only; brackets are those of `[host]:port`."""
    wanted = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern.lower())
    return re.fullmatch(wanted, name.lower()) is not None


def _without(raw: bytes, address: str) -> bytes | None:
    """A line without the address, None if it has no other name."""
    line = _parse(raw)
    if not line or line.marker or not any(_is(name, address) for name in line.names):
        return raw
    others = ",".join(name for name in line.names if not _is(name, address))
    rest = re.split(rb"[ \t]+", raw.strip(), maxsplit=1)[1]
    return others.encode(errors="surrogateescape") + b" " + rest if others else None


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


def shown_keys(
    run: Callable[..., tuple[int, str, str]], address: str, port: int, ssh_args: str, scratch: str
) -> tuple[list[str], str]:
    """Keys that sshd of a host shows (the kind that ssh likes best), and ssh's words if it shows none.

    run: AnsibleModule.run_command. scratch: an empty directory.
    """
    command, noted = look(address, port, ssh_args, scratch)
    _rc, _out, err = run(command, environ_update=PLAIN_UTF8)
    keys = noted_keys(noted)
    return keys, "" if keys else " ".join(err.split())


def must_show(
    run: Callable[..., tuple[int, str, str]], address: str, port: int, ssh_args: str, tmpdir: str
) -> list[str]:
    """The same keys, with a directory of their own below `tmpdir`. Raises ValueError if the host shows none."""
    keys, reason = shown_keys(run, address, port, ssh_args, tempfile.mkdtemp(dir=tmpdir))
    if not keys:
        raise ValueError(f"sshd of {address} told no host key: {reason}")
    return keys


def noted_keys(path: str) -> list[str]:
    """Host keys in a known_hosts file, whatever names they have there."""
    return sorted({line.key for line in map(_parse, _lines(path)) if line})


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


def _lines(path: str) -> Iterator[bytes]:
    """Lines without their ends; none if there is no file."""
    try:
        with open(path, "rb") as stream:
            text = stream.read()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read as known_hosts: {error.strerror}; correct bosh_ha_known_hosts, or the file's mode"
        ) from None
    yield from text.removesuffix(b"\n").split(b"\n") if text else ()
