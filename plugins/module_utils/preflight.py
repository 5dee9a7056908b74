# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares Micro, the source, with Meta, the target, before one takes the other's data.

Everything is judged, and nothing stops at the first: what was not asked, or did not answer, is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.director_manifest import is_director, release
from ansible_collections.bosh.ha.plugins.module_utils.preflight_deploys import cloud_config_findings, deploy_findings
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import (
    ERROR,
    NOT_KNOWN,
    UNKNOWN,
    WARNING,
    Finding,
    finding,
    newer,
)
from ansible_collections.bosh.ha.plugins.module_utils.preflight_live import director_findings, host_findings
from ansible_collections.bosh.ha.plugins.module_utils.preflight_manifests import manifest_findings
from ansible_collections.bosh.ha.plugins.module_utils.preflight_pair import adoptable, apart

#: Before these phases a director gets the release of its manifest, after them it runs what it runs.
_YET_TO_DEPLOY = ("nothing", "only_micro")
_PARTS = ("manifests", "cloud_configs")
_LIVE = ("said", "traits", "deployed", "instances", "logins", "hosts", "edits", "rehearsed")


def findings(given: dict[str, Any]) -> list[Finding]:
    """All rows, in the order of the table.

    `given` has, by the names of the directors: directors (address and deployment), manifests (content),
    cloud_configs (content), and, but for offline: said (director_info), traits (director_traits), deployed
    (deployed_manifest), instances (vm_info), logins (wait_for_connection), hosts (host_traits), edits
    (recursor_free_manifest) and rehearsed (deployment_dry_run). Besides: state (env_state of Micro), cli (rc and stdout
    of `bosh --version`), offline, phase, stopped (names of directors), handover, same_az, clock_skew (seconds) and
    room_factor. A part, or a name in it, may be missing.
    """
    parts = {part: given.get(part) or {} for part in _PARTS}
    parts |= {part: {} if given.get("offline") else given.get(part) or {} for part in _LIVE}
    common: dict[str, Any] = {"phase": "", "stopped": [], "handover": "recreate"}
    common |= {"same_az": WARNING, "clock_skew": 2.0, "room_factor": 1.1}
    seen = common | given | parts | {"state": {} if given.get("offline") else given.get("state") or {}}
    return list(_all(seen))


def _all(seen: dict[str, Any]) -> Iterator[Finding]:
    contents = {name: answer.get("content") for name, answer in seen["manifests"].items() if isinstance(answer, dict)}
    manifests = {name: content for name, content in contents.items() if is_director(content)}
    offline = seen.get("offline")
    yield _cli(seen.get("cli") or {})
    yield _version(seen, manifests)
    yield from manifest_findings(seen, manifests)
    yield from cloud_config_findings(seen, manifests)
    yield apart(seen, manifests)
    if not offline:
        yield from director_findings(seen)
        yield from deploy_findings(seen)
        yield from host_findings(seen)
    if seen["handover"] == "adopt":
        yield from adoptable(seen, manifests)


def _cli(said: dict[str, Any]) -> Finding:
    what, text = "bosh CLI, here", str(said.get("stdout") or "")
    found = re.search(r"version (\d+(?:\.\d+)+)", text)
    if said.get("rc") != 0:
        return finding(
            what, "cannot be run", "", ERROR, "install version 7, or name its path in bosh_ha_cli_options.cli"
        )
    if not found:
        built = "DEV BUILD" in text
        return finding(what, "built from source" if built else NOT_KNOWN, "", UNKNOWN, "version 7.0 or newer is needed")
    if not newer(found.group(1), "7.0"):
        return finding(what, found.group(1), "", ERROR, "version 7.0 or newer is needed")
    return finding(what, found.group(1), "")


def _version(seen: dict[str, Any], manifests: dict[str, Any]) -> Finding:
    """Migrations run before a director starts, and do not refuse a database that is newer than the code."""
    live, planned = {}, {}
    for name in ("micro", "meta"):
        live[name] = str(((seen["said"].get(name) or {}).get("director") or {}).get("version") or "").partition(" ")[0]
        planned[name] = release(manifests[name])[1] if name in manifests else ""
        unborn = seen["phase"] in _YET_TO_DEPLOY and planned[name]
        if unborn and (name == "meta" or not live[name] or newer(planned[name], live[name])):
            # Never the older one of the two for Micro: its database has seen the newer.
            live[name] = ""
    versions = [live[name] or planned[name] for name in live]
    if sum(map(bool, live.values())) == 1:
        # A director's own version is not that of its release: 283.1.0 of 283.1.6, as recorded.
        versions = [".".join(version.split(".")[:2]) for version in versions]
    told = [
        f"{live[name]}, runs" if live[name] else f"{planned[name]}, in the manifest" if planned[name] else NOT_KNOWN
        for name in live
    ]
    newer_or_same = newer(versions[1], versions[0]) if all(versions) else None
    if newer_or_same is None:
        return finding("BOSH", *told, UNKNOWN, "Meta's must not be older than Micro's")
    if not newer_or_same:
        do = "Meta's is older than Micro's database: give bosh_ha_directors.meta a newer release, and deploy it"
        return finding("BOSH", *told, ERROR, do)
    return finding("BOSH", *told)
