# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What directors told, in the form that the out-of-band kit has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import out_of_band_kit


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kit_deployers": out_of_band_kit.deployers, "kit_told": out_of_band_kit.told}
