# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.store_copy, followed while it runs."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.plugin_utils.followed_task import FollowedCopyAction


class ActionModule(FollowedCopyAction):
    """See the module's documentation."""

    MODULE = "store_copy"
