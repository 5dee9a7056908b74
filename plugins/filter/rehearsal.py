# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rehearsal of a restore found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import rehearsal


def newest_backup(paths: list[str]) -> str:
    """The newest of several backups."""
    try:
        return rehearsal.newest(paths)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "contents_range": rehearsal.contents_range,
            "newest_backup": newest_backup,
            "rehearsal_findings": rehearsal.findings,
            "rehearsal_lines": rehearsal.lines,
            "rehearsal_seconds": rehearsal.seconds,
            "rehearsal_told": rehearsal.told,
        }
