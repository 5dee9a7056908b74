# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a loop of wait_for_connection over hosts found."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.pair_facts import reached


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {"reached": reached}
