# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.deployment_dry_run, once no other task of the deployment runs."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.plugin_utils.followed_task import FollowedDirectorAction


class ActionModule(FollowedDirectorAction):
    """See the module's documentation."""

    MODULE = "deployment_dry_run"

    def follows(self) -> bool:
        """A dry run takes seconds, and its stages are no progress."""
        return False
