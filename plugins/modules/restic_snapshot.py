#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM's artifacts in a repository of restic's. All of it is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_snapshot
short_description: Put what a VM's backup scripts left into a repository of restic's
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(restic) as root on the VM, over the directory of BBR's artifacts. What the repository has already is not sent again, and what
    is sent is compressed and encrypted before it leaves the VM.
  - The repository is reached through the SSH session itself. The control node runs C(rclone serve restic) at its other end, so the VM
    has neither a way to the bucket nor its credentials, and it can add to the repository but remove nothing.
  - The VM has the passphrase while this runs, in the memory of a process of root's; never in a file, or on a command line.
  - A snapshot alone is no backup. M(bosh.ha.restic_backup) makes one of those of all VMs.
  - It logs in as Ansible does, with a key. A host key that is not known is refused, whatever Ansible's options say.
requirements:
  - an OpenSSH client on the control node
  - C(sudo) without a password on the host
extends_documentation_fragment: [bosh.ha.restic, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Nothing is sent.
    support: full
  action:
    description: All is begun on the control node.
    support: full
options:
  name:
    description: What is backed up, a deployment or a director's address.
    type: str
    required: true
  group:
    description: The VM's instance group.
    type: str
    required: true
  index:
    description: Its index in it.
    type: str
    default: '0'
  stamp:
    description: Of which backup it is a part, as M(bosh.ha.restic_backup) named it with O(bosh.ha.restic_backup#module:state=begun).
    type: str
    required: true
  artifacts_dir:
    description: Directory in which each job's scripts leave what is backed up. BBR has the same.
    type: path
    default: /var/vcap/store/bbr-backup
  program:
    description: Path of a C(restic) that is on the VM. Where it is not set, that of the control node is brought, and removed afterwards.
    type: path
  work_dir:
    description: Directory of the VM for what restic needs while it runs; all that is made in it is removed.
    type: path
    default: /var/vcap/data/bosh_ha
  timeout:
    description: Seconds after which it is ended on both sides.
    type: int
    default: 86400
"""

EXAMPLES = r"""
- name: Put what the director's jobs left into a bucket
  bosh.ha.restic_snapshot:
    repository: s3:backups/directors
    name: 10.10.0.4
    group: bosh
    stamp: 20261121T220000Z
"""

RETURN = r"""
snapshot:
  description: ID of the snapshot.
  returned: success
  type: str
  sample: b2c7321c
path:
  description: Directory that it has.
  returned: success
  type: str
  sample: /var/vcap/store/bbr-backup
files_new:
  description: Files that the one before did not have.
  returned: success
  type: int
  sample: 3
files_changed:
  description: Files that have other bytes than in the one before.
  returned: success
  type: int
  sample: 1
files_unmodified:
  description: Files that were not read again.
  returned: success
  type: int
  sample: 4000
bytes:
  description: Size of all files.
  returned: success
  type: int
  sample: 1073741824
bytes_added:
  description: What the repository did not have.
  returned: success
  type: int
  sample: 10485760
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 2.7
"""
