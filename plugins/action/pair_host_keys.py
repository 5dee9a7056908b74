# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.pair_host_keys, with the directors of bosh_ha_directors and how the inventory reaches their hosts."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.module_utils.vouched_keys import DEPLOYERS
from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import PairAction, Result


class ActionModule(PairAction):
    """See the module's documentation."""

    def pair_args(self) -> Result:
        return {"entries": {name: self._reached(name) for name in DEPLOYERS}}

    def _reached(self, name: str) -> Result:
        entry = self.entry(name)
        return {key: entry[key] for key in ("address", "deployment", "instance_group")} | {
            "port": self.of_host(name, "ansible_port", 22),
            "ssh_args": self.of_host(name, "ansible_ssh_common_args"),
        }
