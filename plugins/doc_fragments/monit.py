# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a BOSH VM has its monit, documented once (plugins/module_utils/host_processes.py, OPTIONS)."""

from __future__ import annotations


class ModuleDocFragment:
    """bosh.ha.monit: monit's command and directory."""

    DOCUMENTATION = r"""
options:
  monit_dir:
    description: The agent's directory of monit, which has C(job). The host is fenced if C(job.bosh_ha_fenced) is in it.
    type: path
    default: /var/vcap/monit
  path:
    description: The monit command.
    type: path
    default: /var/vcap/bosh/bin/monit
    aliases: [executable]
"""
