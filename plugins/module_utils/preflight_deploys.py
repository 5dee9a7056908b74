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
    Finding,
    finding,
)
from ansible_collections.bosh.ha.plugins.module_utils.preflight_live import DEPLOYED_BY
from ansible_collections.bosh.ha.plugins.module_utils.preflight_manifests import Manifests

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
    """A dry run that could not be made is an error before the freeze, if all three are deployed."""
    what, said = f"step 7's deploy of {seen['directors'][name]['deployment']}", seen["rehearsed"].get(name) or {}
    refused_by = said.get("refused_by")
    if refused_by == "nobody":
        return finding(what, "", f"accepted in a dry run at {by}, {len(said.get('manifest_changes') or [])} lines change")
    if refused_by:
        where = f"bosh_ha_directors.{name}"
        do = f"correct manifest, ops_files or vars_files of {where}: after the freeze this deploy would fail"
        if refused_by == "director":
            do = f"correct {where} (manifest, ops_files, vars_files), or what {by} has for it: after the freeze this deploy would fail"
        return finding(what, "", f"refused in a dry run at {by}: {said.get('refusal')}", ERROR, do)
    if "msg" in said:
        why, do = f"no dry run at {by}: {said['msg']}", f"see to it that {by} can make a dry run: after the freeze it is too late"
    else:
        answers = (seen["said"].get(by) or {}).get("logged_in")
        why = "not deployed yet" if answers else NOT_KNOWN
        do = f"deploy {name} by {by} first" if answers else f"{by} was not asked, or is silent"
    return finding(what, "", why, ERROR if seen["phase"] == "deployed" else UNKNOWN, do)
