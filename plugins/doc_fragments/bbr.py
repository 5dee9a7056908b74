# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where BBR's scripts and what they leave are on a VM."""

from __future__ import annotations


class ModuleDocFragment:
    """bosh.ha.bbr"""

    DOCUMENTATION = r"""
options:
  jobs_dir:
    description: Directory with the VM's jobs.
    type: path
    default: /var/vcap/jobs
  artifacts_dir:
    description: Directory in which each job's scripts leave, and find, what is backed up. BBR has the same.
    type: path
    default: /var/vcap/store/bbr-backup
"""
