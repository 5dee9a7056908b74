# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vars store of the CLI: variables of one taken over into another, so that two directors share CAs and passwords.

The CLI generates what a vars store lacks and never looks at what it has (bosh-cli cmd/opts/vars_fs_store.go). So a
certificate of a CA that was replaced has to go, or it would stay, signed by a CA that nobody trusts any more.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml, go_yaml
from ansible_collections.bosh.ha.plugins.module_utils.certificates import fingerprints


class BadStore(ValueError):
    """A vars store that cannot be used; the message names the file, and quotes nothing of it."""


@dataclass(frozen=True)
class Store:
    """A vars store: where it is, its text and its data; both empty where there is no file."""

    path: str
    text: str
    data: dict[str, Any]
    exists: bool = True


@dataclass(frozen=True)
class Shared:
    """What a vars store becomes, and the names of the variables that come and go."""

    data: dict[str, Any]
    copied: list[str]
    dropped: list[str]


def read(path: str) -> Store:
    """The vars store at a path. Raises BadStore for one that is no mapping in YAML and UTF-8, or cannot be read."""
    path = os.path.realpath(os.path.expanduser(path))
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            text = stream.read()
    except FileNotFoundError:
        return Store(path, "", {}, False)
    except UnicodeDecodeError:
        raise BadStore(f"the vars store {path} is no YAML in UTF-8") from None
    except OSError as error:
        raise BadStore(f"the vars store {path} cannot be read: {error.strerror}") from None
    try:
        data = bosh_yaml.load(text)
    except bosh_yaml.BadYaml as error:
        raise BadStore(f"the vars store {path} is no YAML: {error}") from None
    if not isinstance(data, (dict, type(None))):
        raise BadStore(f"the vars store {path} holds no mapping")
    return Store(path, text, data or {})


def shared(source: Store, target: Store, names: list[str]) -> Shared:
    """What the target becomes with the named variables of the source.

    Where one is a CA and another than before, what the old one signed is dropped, and so on down the chain. Raises
    BadStore where the source has no such file or variable.
    """
    if not source.exists:
        raise BadStore(f"the vars store {source.path} does not exist")
    if source.path == target.path:
        raise BadStore(f"source and target are one vars store, {source.path}")
    missing = [name for name in names if source.data.get(name) in (None, "")]
    if missing:
        raise BadStore(f"the vars store {source.path} has no {' and no '.join(missing)}")
    copied = [name for name in dict.fromkeys(names) if target.data.get(name) != source.data[name]]
    dropped = _signed_by_replaced(source.data, target.data, copied, set(names))
    kept = {name: value for name, value in target.data.items() if name not in dropped}
    return Shared(kept | {name: source.data[name] for name in copied}, copied, dropped)


def _signed_by_replaced(
    source: dict[str, Any], target: dict[str, Any], copied: list[str], named: set[str]
) -> list[str]:
    gone = {print_ for name in copied for print_ in _certificates(target.get(name), "certificate")}
    gone -= {print_ for name in named for print_ in _certificates(source[name], "certificate")}
    dropped: list[str] = []
    while True:
        # One that is signed by itself is a CA of its own, and not a leaf.
        more = [
            name
            for name, value in target.items()
            if name not in named and name not in dropped and _certificates(value, "ca") & gone
        ]
        if not more:
            return [name for name in target if name in dropped]
        dropped += more
        gone |= {print_ for name in more for print_ in _certificates(target[name], "certificate")}


def _certificates(variable: Any, key: str) -> set[str]:
    return set(fingerprints(variable.get(key))) if isinstance(variable, dict) else set()


def rendered(source: Store, target: Store, wanted: Shared) -> str:
    """The text of the new vars store: line for line what it was, but for the variables that come and go."""
    if not (wanted.copied or wanted.dropped):
        return target.text
    try:
        above, own = _blocks(target.text)
        theirs = _blocks(source.text)[1]
        blocks = {name: text for name, text in own.items() if name not in wanted.dropped}
        text = above + "".join((blocks | {name: theirs[name] for name in wanted.copied}).values())
        if bosh_yaml.load(text) == wanted.data:
            return text
    except Exception:  # one line, anchors, or a form that is not the CLI's: the data count
        pass
    return bosh_yaml.dump(wanted.data)


def _blocks(text: str) -> tuple[str, dict[str, str]]:
    """What is above the first variable, and the lines of each; ValueError where they are not one below the other."""
    root = go_yaml.parse(text)
    if root is None:
        return text, {}
    keys = root.children[::2]
    if root.kind != "mapping" or any(key.column != 1 for key in keys):
        raise ValueError("not one variable below the other")
    lines = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
    begins = [key.line - 1 for key in keys]
    blocks = zip(keys, begins, [*begins[1:], len(lines)], strict=True)
    return "".join(lines[: begins[0]]), {key.value: "".join(lines[a:b]) for key, a, b in blocks}


def write_whole(path: str, text: str) -> None:
    """Write a vars store whole or not at all, for its owner's eyes; the owner stays."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(path):
            owner = os.stat(path)
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(temporary, owner.st_uid, owner.st_gid)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def keep_copy(store: Store, directory: str) -> str:
    """Write what the vars store was into a directory, under a UTC stamp, for its owner's eyes; returns the path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    copy = os.path.join(os.path.expanduser(directory), f"{os.path.basename(store.path)}.{stamp}")
    write_whole(copy, store.text)
    return copy
