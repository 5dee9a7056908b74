# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a loop of wait_for_connection over hosts found."""

from __future__ import annotations

from typing import Any


def reached(results: list[dict[str, Any]]) -> list[str]:
    """The hosts, by `item`, that let themselves be logged in to.

    wait_for_connection tells how long it waited only where it got through, and has a message where it did not; one that
    was skipped has neither.
    """
    return [result["item"] for result in results if "elapsed" in result and "msg" not in result]


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {"reached": reached}
