#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is needed when both directors are gone, encrypted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: out_of_band_kit
short_description: Write what is needed when both directors are gone into one file that ansible-vault encrypts
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Gathers the files that O(bosh_ha_directors) names, the pinned host keys, the ops files of the work directory, and what directors told.
  - The file holds plain YAML, so C(ansible-vault view) opens it without this collection.
  - It is encrypted in memory, read back and decrypted before it takes the place of the former one, and only its owner can read it.
  - What nobody tells now, and a file that is not there now, is taken from the former kit, and said in RV(notes).
  - A file that no password of the run opens is kept beside the new one.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether the kit would change, without changing it.
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
  password:
    description:
      - Password of the kit.
      - Where it is empty, a vault password of the run is taken.
    type: str
    default: ''
  vault_id:
    description:
      - Identity of the run's vault password that is taken, as in C(--vault-id NAME@FILE). With O(password) it is the name that the kit bears.
      - Where it is empty, the first one is taken.
    type: str
    default: ''
  keep:
    description: How many former kits are kept, as C(PATH.1), C(PATH.2) and so on.
    type: int
    default: 3
  readme:
    description: How the kit is used, in words.
    type: str
    required: true
  bosh_ha_directors:
    description: The three directors, as everywhere in this collection.
    type: dict
    required: true
  told:
    description:
      - What was told about each director, by its name. V(api) has its UUID, version and deployments, V(deployed) its releases and stemcells, V(vm) the CIDs
        of its VM and disk.
      - A part that nobody told is left out.
    type: dict
    default: {}
  artifacts:
    description: Names, versions and URLs of releases and stemcells.
    type: dict
    default: {}
  known_hosts:
    description: The known_hosts file.
    type: path
  work_dir:
    description: Directory whose C(.yml) and C(.json) files go into the kit.
    type: path
  more_files:
    description: Further files, as text.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Write the kit
  bosh.ha.out_of_band_kit:
    path: ~/.bosh_ha/kit.vault
    readme: See docs/both-lost.md of bosh.ha.
    bosh_ha_directors: "{{ bosh_ha_directors }}"
  no_log: true
"""

RETURN = r"""
path:
  description: Path of the kit.
  returned: success
  type: str
  sample: /root/.bosh_ha/kit.vault
made:
  description: When the kit that is there was made, in UTC.
  returned: success
  type: str
  sample: '2026-11-21T09:30:00Z'
files:
  description: Paths inside the kit.
  returned: success
  type: list
  elements: str
  sample: [micro/manifest/micro_bosh.yml]
notes:
  description: What is older than this run, or missing, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["primary: nobody tells the CIDs of its VM and disk now; the kit keeps what was told at 2026-11-20T22:10:00Z"]
no_password:
  description: Whether it failed because there is no password to encrypt with.
  returned: failure
  type: bool
  sample: true
"""
