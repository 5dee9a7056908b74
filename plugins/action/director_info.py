# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.director_info, and each module of the group that needs no more than its director (meta/runtime.yml)."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import DirectorAction


class ActionModule(DirectorAction):
    """See the module's documentation."""
