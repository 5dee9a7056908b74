# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A BOSH agent's settings: which bus it obeys, which CA it trusts, which blobstore it asks.

Source: bosh-agent settings/settings.go, settings/service.go, settings/update_settings.go, platform/linux_platform.go.
It runs on VMs, so it needs nothing but the standard library.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.bosh.ha.plugins.module_utils.addresses import same

HIDDEN = "<redacted>"
#: Where NATS listens if the URL does not say it.
NATS_PORT = 4222


class BadSettings(ValueError):
    """Settings that cannot be used; the message names the file, and quotes nothing of it."""


@dataclass(frozen=True)
class Settings:
    """What the CPI gave (`base`), what a director changed later (`update`), and where each is.

    `tmpfs`: both are in a file system in memory, so that what a director changed is lost with a reboot.
    """

    base: dict[str, Any]
    update: dict[str, Any]
    path: str
    update_path: str
    tmpfs: bool


def read(directory: str) -> Settings:
    """The settings of the agent below a directory, /var/vcap/bosh. Raises BadSettings.

    The agent has them below `settings` where env.bosh.agent.settings.tmpfs is set, and only there.
    """
    for folder in (os.path.join(directory, "settings"), directory):
        path = os.path.join(folder, "settings.json")
        base = _json(path)
        if base is not None:
            break
    else:
        raise BadSettings(f"there is no {path}, so no BOSH agent has started on this host")
    tmpfs = bool(_deep(base, "env", "bosh", "agent", "settings", "tmpfs"))
    update_path = os.path.join(directory, *(["settings"] if tmpfs else []), "update_settings.json")
    return Settings(base, _json(update_path) or {}, path, update_path, tmpfs)


def _json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
    except FileNotFoundError:
        return None
    except ValueError:
        raise BadSettings(f"{path} is no JSON") from None
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise BadSettings(f"{path} holds no JSON object")
    return data


def _deep(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def mbus_urls(settings: Settings) -> tuple[list[str], str]:
    """The URLs of the bus, and where they are from (settings.go, GetMbusURLs). Empty lists and nulls count for none."""
    for data, keys in (
        (settings.update, ("mbus", "urls")),
        (settings.base, ("env", "bosh", "mbus", "urls")),
    ):
        urls = _deep(data, *keys)
        if urls:
            return [str(url) for url in urls], ".".join(["update_settings", *keys] if len(keys) == 2 else keys)
    mbus = settings.base.get("mbus")
    return ([str(mbus)], "mbus") if mbus else ([], "")


def mbus_ca(settings: Settings) -> str:
    """The CA by which it knows the bus, PEM (settings.go, GetMbusCerts)."""
    return (
        _deep(settings.update, "mbus", "cert", "ca") or _deep(settings.base, "env", "bosh", "mbus", "cert", "ca") or ""
    )


def blobstore(settings: Settings) -> dict[str, Any]:
    """The blobstore that it asks, `provider` and `options` (settings.go, GetBlobstore)."""
    several = settings.update.get("blobstores") or _deep(settings.base, "env", "bosh", "blobstores")
    return (several[0] if several else settings.base.get("blobstore")) or {}


def blobstore_ca(settings: Settings) -> str:
    """The CA by which it knows a DAV blobstore, PEM; empty for another kind of blobstore."""
    return _deep(blobstore(settings), "options", "tls", "cert", "ca") or ""


def blobstore_endpoint(settings: Settings) -> str:
    """The URL of a DAV blobstore; empty for another kind."""
    return str(_deep(blobstore(settings), "options", "endpoint") or "")


def with_urls(settings: Settings, urls: list[str]) -> dict[str, Any]:
    """The later settings with these URLs of the bus; the rest, the certificate above all, stays."""
    if mbus_urls(settings)[0] == urls:
        return settings.update
    return settings.update | {"mbus": {**(settings.update.get("mbus") or {}), "urls": urls}}


def with_blobstore_host(settings: Settings, hosts: dict[str, str]) -> dict[str, Any]:
    """The later settings with a DAV blobstore at another host, where `hosts` has the one that it is at.

    A director sends its blobstore only after it let the agent prepare, which may fetch blobs (bosh-director
    instance_updater/update_procedure.rb), so an agent that changed directors cannot wait for that.
    """
    endpoint = blobstore_endpoint(settings)
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return settings.update
    new_host = next((new for old, new in hosts.items() if same(old, host)), host)
    if not host or same(new_host, host):
        return settings.update
    new = copy.deepcopy(blobstore(settings))
    place = new_host if ":" not in new_host else f"[{new_host}]"
    new["options"]["endpoint"] = urlunsplit(parts._replace(netloc=f"{place}:{port}" if port else place))
    others = settings.update.get("blobstores") or _deep(settings.base, "env", "bosh", "blobstores") or []
    return settings.update | {"blobstores": [new, *others[1:]]}


def write(path: str, data: dict[str, Any]) -> None:
    """Write later settings whole or not at all; mode and owner stay, new ones are for root's eyes."""
    put(path, json.dumps(data).encode())


def put(path: str, content: bytes | None) -> None:
    """Make a file's content this; None removes it."""
    if content is None:
        os.remove(path)
        return
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".bosh_ha.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(path):
            was = os.stat(path)
            os.chmod(temporary, was.st_mode & 0o7777)
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(temporary, was.st_uid, was.st_gid)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def shown(url: str) -> str:
    """A URL without its credentials, which stand before the last @ of its host."""
    return re.sub(r"(?s)^([^:/?#]*:?//)?.*@", lambda found: f"{found.group(1) or ''}{HIDDEN}@", url)


def place_of(url: str) -> tuple[str, int]:
    """Host and port of a NATS server. ValueError, which does not quote it, for one that is none or has credentials."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme != "nats" or "@" in url:
        raise ValueError("each of the URLs must be nats://HOST or nats://HOST:PORT, without credentials")
    return host, NATS_PORT if port is None else port
