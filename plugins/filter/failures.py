# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task that failed says of it."""

from __future__ import annotations

from typing import Any


def failure_words(result: dict[str, Any]) -> str:
    """The message of a failed task; of a loop those of the items that failed, as its own says only that some did."""
    failed = [one.get("msg", "") for one in result.get("results", []) if one.get("failed")]
    return "; ".join(failed) or result.get("msg", "")


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {"failure_words": failure_words}
