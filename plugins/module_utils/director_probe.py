# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a director answers, and what it reports if it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import CERTIFICATE_CAUSES, LOGIN_CAUSES, BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for
from ansible_collections.bosh.ha.plugins.module_utils.tcp_knock import silence


def probe(cli: BoshCli, ask: Callable[[], dict[str, Any]], seconds: float = 0) -> dict[str, Any]:
    """`reachable`, `logged_in`, `reason` and `cause`, and what `ask` returned if the director let us in.

    seconds: how long a director that does not answer yet is asked again. Raises BoshFailure if its cause does not show
    whether the director is there, as with a proxy that fails.
    """
    if not cli.director.all_proxy and not seconds:
        reason = silence(cli.director.environment)
        if reason:
            return _without(reason, "unreachable", reachable=False)
    try:
        facts = wait_for(ask, seconds)
    except BoshFailure as failure:
        refused = failure.cause in (*CERTIFICATE_CAUSES, *LOGIN_CAUSES)
        if not (refused or failure.cause in ("unreachable", "not_ready")):
            raise
        return _without(failure.sentence(), failure.cause, reachable=refused)
    return ANSWERED | facts


ANSWERED = {"reachable": True, "logged_in": True, "reason": "", "cause": ""}


def _without(reason: str, cause: str, reachable: bool) -> dict[str, Any]:
    return {"reachable": reachable, "logged_in": False, "reason": reason, "cause": cause}
