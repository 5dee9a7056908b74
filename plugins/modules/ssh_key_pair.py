#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fresh SSH key pair."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_key_pair
short_description: Make a fresh SSH key pair
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Makes an ed25519 key pair without a passphrase in a directory that only its owner may enter, and returns the public key.
  - C(ssh-keygen) writes both files in their place. No file is moved there, since moving a file from a disk
    to a tmpfs makes Ansible copy its attributes with C(chattr), which a tmpfs refuses. C(/run) of each stemcell is a tmpfs.
  - A pair that is there already, such as one of an interrupted run, is replaced.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: No key is made, and none is returned.
    support: full
options:
  path:
    description:
      - File of the private key. The public key is beside it, with C(.pub) at its end.
      - Its directory is made with mode V(0700) if it is absent. It must not be open to group or others.
    type: path
    required: true
  comment:
    description: Comment of the public key.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Make a key pair for one copy, in memory only
  bosh.ha.ssh_key_pair:
    path: /run/bosh_ha/key
    comment: bosh_ha_sync
  become: true
  register: key
"""

RETURN = r"""
public_key:
  description: Type and key, without the comment. Empty in check mode.
  returned: always
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK
"""

import os
import stat
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule


def make(module: AnsibleModule, path: str, comment: str) -> str:
    """The public key of a new pair. Raises ValueError if the directory is open to others, or ssh-keygen fails."""
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if stat.S_IMODE(os.stat(directory).st_mode) & 0o077:
        raise ValueError(f"{directory}: the directory of a private key is open to others; give it the mode 0700")
    for name in (path, f"{path}.pub"):
        with suppress(FileNotFoundError):
            os.unlink(name)
    # The empty passphrase is no secret, so it may be on the command line.
    command = [module.get_bin_path("ssh-keygen", required=True), "-q", "-t", "ed25519", "-N", "", "-C", comment]
    rc, _out, err = module.run_command([*command, "-f", path])
    if rc != 0:
        raise ValueError(f"{path}: ssh-keygen made no key: {' '.join(err.split())}")
    with open(f"{path}.pub", encoding="utf-8") as stream:
        return " ".join(stream.read().split()[:2])


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "comment": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    try:
        key = "" if module.check_mode else make(module, module.params["path"], module.params["comment"])
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, public_key=key)


if __name__ == "__main__":
    main()
