# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the preflight found, as rows and as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import preflight, preflight_table


def preflight_findings(seen: Any) -> list[dict[str, str]]:
    """Every row; the manifests, in which secrets are, stay out of every message."""
    try:
        return preflight.findings(seen)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"what was asked has a form that is not known ({type(error).__name__})") from None


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_findings": preflight_findings, "preflight_table": preflight_table.table}
