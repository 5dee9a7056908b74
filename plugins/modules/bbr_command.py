#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command `bbr director`. All of it is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_command
short_description: Back up or restore a director by the command bbr
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs C(bbr director) on the control node, against the host that the task is for, by the address, user and key of Ansible's connection.
  - bbr takes any host key. So it is led through a connection of OpenSSH, which checks the key strictly, to the host's own sshd.
  - It is ended after O(timeout) seconds. What the job's scripts do on the VM then goes on, as bbr has no way to end it.
  - All that bbr says is kept. While bbr runs it holds a lock on O(log), also where the run that began it was killed.
requirements:
  - bbr 1.9 and an OpenSSH client on the control node
  - a private key without a passphrase in a file, and C(sudo) without a password on the host
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: bbr is looked for, and not run.
    support: full
  action:
    description: All is done on the control node.
    support: full
options:
  deed:
    description: What is wanted of it.
    type: str
    choices: [backup, restore, backup-cleanup, restore-cleanup]
    required: true
  path:
    description: Directory in which bbr makes the backup's directory, or the backup itself for O(deed=restore).
    type: path
  log:
    description: File to which all that bbr says is added, for its owner only.
    type: path
    required: true
  bbr:
    description: The command, or its path.
    type: path
    default: bbr
  timeout:
    description: Seconds after which it is ended.
    type: int
    default: 21600
  tunnel:
    description:
      - Whether bbr is led through a connection whose host key was checked. The host's sshd must let its user forward a port.
      - With V(false) the key is checked immediately before bbr begins, which then logs in by itself, and takes any key.
    type: bool
    default: true
  all_proxy:
    description: What bbr finds in C(BOSH_ALL_PROXY) where O(tunnel=false).
    type: str
"""

EXAMPLES = r"""
- name: Back up by bbr
  bosh.ha.bbr_command:
    deed: backup
    path: /backups
    log: /backups/bbr.log
"""

RETURN = r"""
exit_code:
  description: That of bbr; negative where it was ended.
  returned: always
  type: int
  sample: 8
kinds:
  description: Kinds of failures by the bits of the exit code, V(failed), V(lock), V(unlock) and V(cleanup).
  returned: always
  type: list
  elements: str
  sample: [unlock]
whole:
  description: Whether the backup or restore is done, whatever could not be unlocked or cleaned.
  returned: always
  type: bool
  sample: true
unclean:
  description: Whether it may have left a lock, or something on the VM's disk, so that it has to be cleaned up.
  returned: always
  type: bool
  sample: true
seconds_locked:
  description: Seconds from the first lock to the last unlock by bbr's own log, where it has both.
  returned: always
  type: float
  sample: 2.0
output:
  description: The end of what bbr said.
  returned: always
  type: str
  sample: Backup created of 10.10.0.4
"""
