#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directory of BBR's artifacts on a VM."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_directory
short_description: Take the directory of BBR's artifacts on a VM, or remove it
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Nobody backs up or restores while C(/var/vcap/store/bbr-backup) is there, so it is the lock between all who would, BBR too.
  - A file in it says whose it is. One of somebody else's is refused, and left as it is.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Looks, and refuses, but does not make or remove it.
    support: full
options:
  state:
    description: V(held) makes it, V(free) removes it with all that is in it.
    type: str
    choices: [held, free]
    default: held
  owner:
    description: Whose it is, in words by which a person finds them.
    type: str
    required: true
  deed:
    description: What for.
    type: str
    choices: [backup, restore]
    default: backup
  artifacts_dir:
    description: The directory. BBR has the same.
    type: path
    default: /var/vcap/store/bbr-backup
"""

EXAMPLES = r"""
- name: Begin a backup
  bosh.ha.bbr_directory:
    owner: jumpbox:/backups
  become: true
"""

RETURN = r"""
path:
  description: The directory.
  returned: success
  type: str
  sample: /var/vcap/store/bbr-backup
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bbr_mark
from ansible_collections.bosh.ha.plugins.module_utils.bbr_scripts import OPTIONS


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["held", "free"], "default": "held"},
            "owner": {"type": "str", "required": True},
            "deed": {"type": "str", "choices": ["backup", "restore"], "default": "backup"},
            "artifacts_dir": OPTIONS["artifacts_dir"],
        },
        supports_check_mode=True,
    )
    path, owner = module.params["artifacts_dir"], module.params["owner"]
    held = module.params["state"] == "held"
    try:
        if module.check_mode:
            there = bbr_mark.left(path)
            if there and there["owner"] != owner:
                raise bbr_mark.Taken(bbr_mark.told(there))
            changed = held != bool(there)
        elif held:
            changed = bbr_mark.take(path, owner, module.params["deed"])
        else:
            changed = bbr_mark.give_back(path, owner)
    except (bbr_mark.Taken, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, path=path)


if __name__ == "__main__":
    main()
