# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.pair_host_keys, with the directors of bosh_ha_directors and how the inventory reaches their hosts."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.module_utils.vouched_keys import DEPLOYERS
from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import DirectorOptions, Result

_OF_HOST = "(hostvars[_bosh_ha_director] | default({{}})).{} | default({!r}, true)"


class ActionModule(DirectorOptions):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        self._supports_check_mode = True
        result: Result = super().run(tmp, task_vars)
        args = {"directors": self.directors(), "entries": {name: self._reached(name) for name in DEPLOYERS}}
        return result | self._execute_module(module_args=args | self._task.args, task_vars=task_vars)

    def _reached(self, name: str) -> Result:
        entry = self.entry(name)
        return {key: entry[key] for key in ("address", "deployment", "instance_group")} | {
            "port": self._evaluate(_OF_HOST.format("ansible_port", 22), _bosh_ha_director=name),
            "ssh_args": self._evaluate(_OF_HOST.format("ansible_ssh_common_args", ""), _bosh_ha_director=name),
        }
