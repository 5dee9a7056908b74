# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Meta can take Primary's agent over as it is, without another VM."""

from __future__ import annotations

import re
from typing import Any


def obstacle(agent: dict[str, Any], shared: dict[str, Any], at_least: str | float = "") -> str:
    """Why Primary's agent cannot be pointed at Meta, in one sentence; empty if it can.

    `agent`: what bosh.ha.agent_bus told of it. `shared`: what bosh.ha.shared_variables would copy from Micro's vars
    store to Meta's, and the fingerprints there. `at_least`: the oldest version of the agent, such as 2.848; empty takes
    any. Raises ValueError where `at_least` is no version.
    """
    if agent.get("unreachable") or "settings_path" not in agent:
        return f"Primary's agent cannot be asked: {agent.get('msg') or 'it said nothing'}"
    if agent.get("tmpfs"):
        where = agent["settings_path"]
        return f"the settings of Primary's agent are in memory ({where}): a reboot would point it at Micro again"
    version = str(agent.get("version") or "")
    if at_least and not _reaches(version, at_least):
        return f"Primary's agent is {version or 'of a version that it does not tell'}, and {at_least} is needed"
    if "copied" not in shared:
        return f"it cannot be told what Meta shares with Micro: {shared.get('msg') or 'nothing was said'}"
    if shared["copied"]:
        return (
            f"Meta's vars store has not Micro's {', '.join(shared['copied'])}: Meta was not deployed to adopt Primary"
        )
    known = {print_ for prints in (shared.get("fingerprints") or {}).values() for print_ in prints}
    if not known & set(agent.get("nats_ca") or []):
        return "Primary's agent trusts another NATS CA than that which Meta has from Micro"
    # Another kind of blobstore than BOSH's own has no CA of its own, and stays where it is.
    if agent.get("blobstore_ca") and not known & set(agent["blobstore_ca"]):
        return "Primary's agent trusts another blobstore CA than that which Meta has from Micro"
    return ""


def _reaches(version: str, at_least: str | float) -> bool:
    # Of 2.850 a number has lost the last digit.
    if isinstance(at_least, float) and len(str(at_least).partition(".")[2]) < 3:
        raise ValueError(
            f"adopt_primary_agent_version: {at_least} is a number, which may have lost a zero at its end; "
            f"set it with a third part, such as {at_least}.0"
        )
    # A build without a release's number tells nothing of its age.
    found, wanted = (re.match(r"(\d+)\.(\d+)", text) for text in (version, str(at_least)))
    if not wanted:
        raise ValueError(f"{at_least} is no version such as 2.848")
    return bool(found) and tuple(map(int, found.groups())) >= tuple(map(int, wanted.groups()))  # type: ignore[union-attr]
