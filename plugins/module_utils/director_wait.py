# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director that is asked again: one that just started does not answer yet, or does not know all yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import (
    CERTIFICATE_CAUSES,
    LOGIN_CAUSES,
    BoshFailure,
)

Answer = TypeVar("Answer")

#: Causes of a failure that no wait mends.
LASTING = (
    *LOGIN_CAUSES,
    # A clock may be set meanwhile.
    *(cause for cause in CERTIFICATE_CAUSES if cause != "certificate_not_yet_valid"),
    "bad_ca_cert",
    "unknown_deployment",
    "cli_missing",
    "cli_too_old",
)


def wait_for(
    ask: Callable[[], Answer],
    seconds: float,
    enough: Callable[[Answer], bool] = lambda answer: True,
    pause: float = 2.0,
) -> Answer:
    """What `ask` returned: as soon as `enough` is true of it, and after `seconds` whatever it is.

    For questions, not for deeds: where the run is killed, its module goes on asking. `ask` is called once at least,
    with `pause` seconds between two calls. Raises BoshFailure where its last call did, and at once for a cause that no
    wait mends.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
            if enough(answer) or time.monotonic() >= until:
                return answer
        except BoshFailure as failure:
            if failure.cause in LASTING or time.monotonic() >= until:
                raise
        time.sleep(pause)
