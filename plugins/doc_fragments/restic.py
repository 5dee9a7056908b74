# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that name a repository of restic's, documented once (plugins/module_utils/restic.py, OPTIONS)."""

from __future__ import annotations


class ModuleDocFragment:
    """bosh.ha.restic"""

    DOCUMENTATION = r"""
requirements:
  - C(restic) 0.14 or newer on the control node
  - C(rclone) on the control node
options:
  repository:
    description:
      - Where it is, as rclone names it. An absolute path of the control node, a remote of rclone's config such as
        C(s3:bucket/path), or C(:s3,provider=Minio:bucket/path).
      - Credentials come from rclone's config file, or from the environment of the control node
        (C(RCLONE_CONFIG_NAME_OPTION)). They are refused here, as everybody could read them in the list of processes.
    type: str
    required: true
  passphrase:
    description:
      - With what it is encrypted. Who loses it loses all backups.
      - Where it is not set, the value of the environment variable E(BOSH_HA_BACKUP_PASSPHRASE) of the control node
        is used.
    type: str
  restic:
    description: The C(restic) command of the control node.
    type: str
    default: restic
  rclone:
    description: The C(rclone) command of the control node.
    type: str
    default: rclone
  lock_wait:
    description: Seconds to wait for somebody else who has the repository locked.
    type: int
    default: 600
"""
