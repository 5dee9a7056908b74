# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's settings: which bus it obeys, which blobstore it uses. Source: bosh-agent settings/settings.go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

BOSH = Path("/var/vcap/bosh")
FROM_CPI = BOSH / "warden-cpi-agent-env.json"
SETTINGS = BOSH / "settings.json"
UPDATE = BOSH / "update_settings.json"
SPEC = BOSH / "spec.json"
DISKS = BOSH / "persistent_disks.json"


def read(path: Path, default: Any = None) -> Any:
    """A JSON file's content, or the default where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {} if default is None else default


def write(path: Path, data: Any) -> None:
    """Write whole or not at all, for root's eyes: settings hold keys."""
    temporary = path.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(data, stream)
    os.replace(temporary, path)


def mbus_urls(settings: dict[str, Any], update: dict[str, Any]) -> list[str]:
    """update_settings.mbus.urls, else env.bosh.mbus.urls, else mbus."""
    urls = (update.get("mbus") or {}).get("urls") or (_env(settings).get("mbus") or {}).get("urls")
    return urls or ([settings["mbus"]] if settings.get("mbus") else [])


def mbus_cert(settings: dict[str, Any], update: dict[str, Any]) -> dict[str, str]:
    """update_settings.mbus.cert where it has a CA, else env.bosh.mbus.cert: `ca`, `certificate`, `private_key`."""
    later = (update.get("mbus") or {}).get("cert") or {}
    return later if later.get("ca") else (_env(settings).get("mbus") or {}).get("cert") or {}


def blobstore(settings: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """update_settings.blobstores, else env.bosh.blobstores, else blobstore; the first of a list."""
    several = update.get("blobstores") or _env(settings).get("blobstores")
    return several[0] if several else settings.get("blobstore") or {}


def merged(update: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What a director's new settings make of those that it sent before, and whether the agent has to start again.

    A bus or blobstores that the new ones lack stay as they are. But a bus comes whole: a new certificate without
    URLs takes the old URLs away. Source: bosh-agent settings/update_settings.go, MergeSettings.
    """
    result = {
        "blobstores": update.get("blobstores"),
        "disk_associations": wanted.get("disk_associations"),
        "mbus": _bus(update),
        "trusted_certs": wanted.get("trusted_certs") or "",
    }
    again = False
    if _bus(wanted) not in (_bus(update), _bus({})):
        result["mbus"], again = _bus(wanted), True
    if wanted.get("blobstores") not in (update.get("blobstores"), None):
        result["blobstores"], again = wanted["blobstores"], True
    return result, again


def _bus(update: dict[str, Any]) -> dict[str, Any]:
    """A bus with all that the agent itself writes down, empty where it has nothing."""
    bus = update.get("mbus") or {}
    cert = {"ca": "", "private_key": "", "certificate": ""} | (bus.get("cert") or {})
    return {"cert": cert, "urls": bus.get("urls")}


def _env(settings: dict[str, Any]) -> dict[str, Any]:
    return (settings.get("env") or {}).get("bosh") or {}
