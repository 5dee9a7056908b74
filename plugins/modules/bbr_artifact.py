#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An artifact of BBR's, streamed. All of it is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_artifact
short_description: Stream what a job's backup script left to the control node, or back to a VM
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Reads a job's directory on the VM as a tar over SSH, straight into a file on the control node, or writes such a file into it.
    Nothing is written twice, and neither side has it in memory.
  - Both sides sum up each file, and a difference is a failure. A file on the control node has its name only once it is whole.
  - It logs in as Ansible does, with a key. A host key that is not known is refused, whatever Ansible's options say.
requirements:
  - an OpenSSH client on the control node
  - C(sudo) without a password on the host
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Nothing is streamed.
    support: full
  action:
    description: All is done on the control node.
    support: full
options:
  state:
    description: Which way.
    type: str
    choices: [fetched, sent]
    required: true
  job:
    description: The name of its directory.
    type: str
    required: true
  file:
    description: The tar on the control node.
    type: path
    required: true
  checksums:
    description: SHA-256 of each file by its path, which the VM must have after O(state=sent).
    type: dict
  artifacts_dir:
    description: Directory in which each job's scripts leave, and find, what is backed up. BBR has the same.
    type: path
    default: /var/vcap/store/bbr-backup
"""

EXAMPLES = r"""
- name: Fetch the blobs
  bosh.ha.bbr_artifact:
    state: fetched
    job: blobstore
    file: /backups/10.10.0.4_20261121T220000Z/bosh-0-blobstore.tar
"""

RETURN = r"""
checksums:
  description: SHA-256 of each file, as the VM and the tar have it.
  returned: success
  type: dict
  sample: {./bosh-director-artifact-file: 9f86d081884c}
bytes:
  description: Size of the tar.
  returned: success
  type: int
  sample: 1048576
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 2.7
"""
