# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.pair_info, with the directors of bosh_ha_directors."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import PairAction, Result


class ActionModule(PairAction):
    """See the module's documentation."""

    def pair_args(self) -> Result:
        return {
            "deployments": {name: self.entry(name)["deployment"] for name in ("primary", "meta")},
            "state_file": self.entry("micro")["state_file"],
            "work_dir": self._evaluate("bosh_ha_work_dir | default(none, true)"),
        }
