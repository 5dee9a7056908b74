#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An out-of-band kit, decrypted into a directory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unpacked_kit
short_description: Unpack an out-of-band kit into a directory of its owner's only
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Decrypts what M(bosh.ha.out_of_band_kit) wrote, and writes its files below C(DEST/files), each for its owner only.
  - C(DEST/vars.yml) has C(bosh_ha_directors), C(bosh_ha_known_hosts) and C(bosh_ha_work_dir) with the paths there, C(DEST/README) how to go on.
  - It is written whole or not at all, and only once. A directory that was unpacked from the same kit is left as it is.
  - What it returns holds secrets, so use C(no_log).
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether the kit would be unpacked, without writing anything.
    support: full
  action:
    description: It runs on the control node, where the vault passwords of the run are.
    support: full
  async:
    description: It only reads and writes files.
    support: none
options:
  path:
    description: Path of the kit.
    type: path
    required: true
  dest:
    description: The directory, which is made, or is empty, or was unpacked from the same kit.
    type: path
    required: true
  password:
    description: Password of the kit. The vault passwords of the run are tried, too.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Unpack the kit
  bosh.ha.unpacked_kit:
    path: kit.vault
    dest: ~/both-lost
  no_log: true
"""

RETURN = r"""
dest:
  description: The directory.
  returned: success
  type: str
  sample: /root/both-lost
made:
  description: When the kit was made, in UTC.
  returned: success
  type: str
  sample: '2026-11-21T09:30:00Z'
directors:
  description: What was told about each director, and when.
  returned: success
  type: dict
  sample: {primary: {address: 10.10.0.4, vm: {vm_cid: vm-e0958411, disk_cids: [disk-10dc8044312f], told_at: '2026-11-21T09:30:00Z'}}}
inputs:
  description: C(bosh_ha_directors) with the paths of the unpacked files.
  returned: success
  type: dict
  sample: {primary: {address: 10.10.0.4, manifest: /root/both-lost/files/primary/manifest/bosh-primary.yml}}
artifacts:
  description: Names, versions and URLs of releases and stemcells.
  returned: success
  type: dict
  sample: {}
files:
  description: By its path inside the kit, where each file is now.
  returned: success
  type: dict
  sample: {micro/manifest/micro_bosh.yml: /root/both-lost/files/micro/manifest/micro_bosh.yml}
origins:
  description: By its path inside the kit, where each file was.
  returned: success
  type: dict
  sample: {micro/manifest/micro_bosh.yml: /home/me/workspace/deployments/microbosh/micro_bosh.yml}
no_password:
  description: Whether it failed because there is no password to decrypt with.
  returned: failure
  type: bool
  sample: false
"""
