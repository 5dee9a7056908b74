# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the preflight judges of the pair to come: can both be lost together, and can Meta adopt Primary's agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import cloud_config, director_manifest
from ansible_collections.bosh.ha.plugins.module_utils.director_manifest import value
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import (
    ERROR,
    NOT_KNOWN,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    finding,
    newer,
    secret,
)
from ansible_collections.bosh.ha.plugins.module_utils.preflight_manifests import Manifests, configs_of

#: The first agent that uses all URLs of NATS.
AGENT = "2.848"


def apart(seen: dict[str, Any], manifests: Manifests) -> Finding:
    """Whether Primary and Meta can be lost together."""
    found: dict[str, tuple[str, Any]] = {}
    for name, by in (("primary", "micro"), ("meta", "primary")):
        zones = _zones(seen, name, manifests)
        known = (
            [cloud_config.zone_properties(config, zones[0]) for config in configs_of(seen, by)]
            if len(zones) == 1
            else []
        )
        found[name] = (", ".join(zones), next((place for place in known if place), None))
    (zone, place), (other, other_place) = found["primary"], found["meta"]
    boots = [(seen["hosts"].get(name) or {}).get("boot_id") for name in ("primary", "meta")]
    told = [f"Primary: {zone or NOT_KNOWN}", f"Meta: {other or NOT_KNOWN}"]
    verdict = ERROR if seen["same_az"] == "error" else WARNING
    what = "Primary and Meta apart"
    if boots[0] and boots[0] == boots[1]:
        return finding(
            what,
            told[0],
            f"{told[1]}; one kernel",
            verdict,
            "both are containers on one host, and are lost with it together",
        )
    if not zone or not other:
        return finding(what, *told, UNKNOWN)
    if place and other_place:
        together = place == other_place
    elif zone == other:
        together = True
    else:
        return finding(what, *told, UNKNOWN, "no cloud_properties of both zones are known that could be compared")
    do = "put them into two availability zones, or see at the IaaS that they are on two hosts"
    return finding(what, *told, verdict, do) if together else finding(what, *told)


def _zones(seen: dict[str, Any], name: str, manifests: Manifests) -> list[str]:
    live = [row["az"] for row in (seen["instances"].get(name) or {}).get("instances") or [] if row.get("az")]
    return live or (director_manifest.zones(manifests[name]) if name in manifests else [])


def adoptable(seen: dict[str, Any], manifests: Manifests) -> Iterator[Finding]:
    """Whether Meta can adopt Primary's agent; where not, it recreates Primary, so nothing is worse than a warning."""
    do = "Primary is recreated instead"
    deployed = (seen["deployed"].get("meta") or {}).get("content")
    meta = deployed if director_manifest.is_director(deployed) else None
    for what, job, paths in (
        ("adopt: NATS' CA", "nats", ("nats.tls.client_ca",)),
        ("adopt: blobstore's CA", "blobstore", ("blobstore.tls.cert.ca",)),
        ("adopt: blobstore's users", "blobstore", ("blobstore.agent", "blobstore.director")),
    ):
        source = _together(manifests.get("micro"), job, paths)
        if meta is None:
            said = seen["said"].get("primary") or {}
            names = [row["name"] for row in said.get("deployments") or []]
            to_come = said.get("logged_in") and seen["directors"]["meta"]["deployment"] not in names
            yield finding(
                what,
                "set" if source else NOT_KNOWN,
                "not deployed yet" if to_come else NOT_KNOWN,
                OK if to_come and source else UNKNOWN,
                "" if to_come and source else "a Meta that is still to be deployed gets Micro's",
            )
        else:
            yield secret(what, source, _together(meta, job, paths), WARNING, do)
    yield _agent((seen["hosts"].get("primary") or {}).get("agent_version") or "", do)
    yield _settings((seen["hosts"].get("primary") or {}).get("settings_on_tmpfs"), do)


def _agent(version: str, do: str) -> Finding:
    what, new = "adopt: Primary's agent", newer(version, AGENT)
    if new is None:
        return finding(what, "", version or NOT_KNOWN, UNKNOWN, f"{AGENT} or newer is needed")
    if not new:
        return finding(what, "", version, WARNING, f"before {AGENT} it knows one URL of NATS only; {do}")
    return finding(what, "", version)


def _settings(on_tmpfs: bool | None, do: str) -> Finding:
    what = "adopt: agent's settings"
    if on_tmpfs is None:
        return finding(what, "", NOT_KNOWN, UNKNOWN)
    if on_tmpfs:
        return finding(what, "", "on a tmpfs", WARNING, f"they do not outlive a reboot; {do}")
    return finding(what, "", "on a disk")


def _together(manifest: dict[str, Any] | None, job: str, paths: tuple[str, ...]) -> Any:
    if manifest is None:
        return None
    # v2 may have them with the director's job only.
    found = [value(manifest, job, path) or value(manifest, "director", path) for path in paths]
    return None if None in found else found
