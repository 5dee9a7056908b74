# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.create_env, followed while it runs."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.plugin_utils.followed_task import FollowedEnvAction


class ActionModule(FollowedEnvAction):
    """See the module's documentation."""

    MODULE = "create_env"
