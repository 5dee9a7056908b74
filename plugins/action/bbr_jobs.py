# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.bbr_jobs, of which the YAML is read here: a stemcell's Python has no PyYAML."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.bosh.ha.plugins.module_utils import bbr_jobs


class ActionModule(ActionBase):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        found = self._execute_module(module_name="bosh.ha.bbr_jobs", task_vars=task_vars)
        if found.get("failed") or "jobs" not in found:
            return result | found
        args = self._task.args
        with_releases = boolean(args.get("with_releases", False), strict=False)
        releases = args.get("releases") or {} if with_releases else {}
        try:
            told = bbr_jobs.tell(found["jobs"], with_releases, releases, args.get("one_restore_all") or {})
        except ValueError as error:
            return result | {"failed": True, "msg": str(error)}
        return result | found | told
