# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the preflight judges of step 7's deploys: what may be refused after the freeze is known before it.

Micro has the data with which Meta deploys Primary, and Primary deploys Meta itself. Only the cloud config is another
one at Meta, if it has one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import cloud_config
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import (
    ERROR,
    NOT_KNOWN,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    finding,
)
from ansible_collections.bosh.ha.plugins.module_utils.preflight_live import DEPLOYED_BY
from ansible_collections.bosh.ha.plugins.module_utils.preflight_manifests import Manifests

#: Phases in which Primary or Meta is still to be deployed.
_TO_COME = ("nothing", "only_micro")
#: Who deploys each of them in step 7.
DEPLOYED_THEN_BY = {"primary": "meta", "meta": "primary"}


def cloud_config_findings(seen: dict[str, Any], manifests: Manifests) -> Iterator[Finding]:
    """Rows for the cloud configs that step 7 uploads before it deploys, if there are any."""
    for name, by in DEPLOYED_THEN_BY.items():
        given = (seen["cloud_configs"].get(by) or {}).get("content")
        if not isinstance(given, dict) or name not in manifests:
            continue
        # Meta has Micro's other configs by then.
        rows = (seen["traits"].get("micro" if by == "meta" else by) or {}).get("cloud_configs") or []
        others = [row["content"] for row in rows if row["name"] != "default" and isinstance(row["content"], dict)]
        lacking = cloud_config.lacking(manifests[name], [given, *others])
        do = f"add it to bosh_ha_directors.{by}.cloud_config: {by} gets this file, and deploys {name} with it"
        what = f"{by.capitalize()}'s cloud config for {seen['directors'][name]['deployment']}"
        yield finding(what, "", ", ".join(lacking) or "complete", ERROR if lacking else OK, do if lacking else "")


def deploy_findings(seen: dict[str, Any]) -> Iterator[Finding]:
    """Rows for the dry runs of step 7's deploys, and for the edit of a manifest."""
    for name, by in DEPLOYED_BY.items():
        edit = seen["edits"].get(name) or {}
        if edit.get("msg"):
            do = "edit it by hand, or leave strip_dns_recursor_in_place off"
            yield finding(f"step 7's edit of {name}'s manifest", "", str(edit["msg"]), ERROR, do)
        yield _deploy(seen, name, by)


def _deploy(seen: dict[str, Any], name: str, by: str) -> Finding:
    """A deploy that is refused, or was not rehearsed, is an error once all three are deployed.

    Before that steps 1 to 3 may bring what is lacking, and then it is rehearsed again. A director that is stopped
    already cannot rehearse: a run does so before it stops anybody, and was interrupted in its freeze.
    """
    what, said = f"step 7's deploy of {seen['directors'][name]['deployment']}", seen["rehearsed"].get(name) or {}
    refused_by, early = said.get("refused_by"), seen["phase"] in _TO_COME
    if refused_by == "nobody":
        changes = len(said.get("manifest_changes") or [])
        return finding(what, "", f"accepted in a dry run at {by}, {changes} lines change")
    if refused_by:
        where = f"bosh_ha_directors.{name}: manifest, ops_files or vars_files"
        where += f", or what {by} has for it" if refused_by == "director" else ""
        do = f"correct {where}; after the freeze this deploy would fail"
        return finding(
            what, "", f"refused in a dry run at {by}: {said.get('refusal')}", WARNING if early else ERROR, do
        )
    if "msg" in said:
        why, do = f"no dry run at {by}: {said['msg']}", "make it possible before the freeze: this deploy comes after it"
    elif (seen["said"].get(by) or {}).get("logged_in"):
        why, do = "not deployed yet", f"deploy {name} by {by} first"
    elif by in seen["stopped"]:
        do = f"{by} is stopped already: the run that stopped it rehearsed this before"
        return finding(what, "", NOT_KNOWN, UNKNOWN, do)
    else:
        why, do = NOT_KNOWN, f"{by} was not asked, or is silent"
    return finding(what, "", why, ERROR if seen["phase"] == "deployed" else UNKNOWN, do)
