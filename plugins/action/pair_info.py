# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.pair_info, with the directors of bosh_ha_directors."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import DirectorOptions


class ActionModule(DirectorOptions):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self._supports_check_mode = True
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = {
            "directors": self.directors(),
            "deployments": {name: self.entry(name)["deployment"] for name in ("primary", "meta")},
            "state_file": self.entry("micro")["state_file"],
            "work_dir": self._evaluate("bosh_ha_work_dir | default(none, true)"),
        } | self._task.args
        return result | self._execute_module(module_args=args, task_vars=task_vars)
