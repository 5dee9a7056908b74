#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room on a VM's persistent disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bbr_room
short_description: Tell how much room a BOSH VM has for what BBR's scripts leave
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Tells the room of the store in which the directory of artifacts is, and what its database takes, of which a script makes a dump.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  artifacts_dir:
    description: Directory in which each job's scripts leave, and find, what is backed up. The one above it is the store.
    type: path
    default: /var/vcap/store/bbr-backup
"""

EXAMPLES = r"""
- name: Measure the store
  bosh.ha.bbr_room:
  register: room
  become: true
"""

RETURN = r"""
room:
  description: The store, and in bytes what is free, what is used, and what the files of its database take.
  returned: success
  type: dict
  sample: {path: /var/vcap/store, free: 21474836480, used: 4294967296, database: 268435456}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bbr_room
from ansible_collections.bosh.ha.plugins.module_utils.bbr_scripts import OPTIONS


def main() -> None:
    module = AnsibleModule(argument_spec={"artifacts_dir": OPTIONS["artifacts_dir"]}, supports_check_mode=True)
    try:
        room = bbr_room.room_of(os.path.dirname(module.params["artifacts_dir"].rstrip("/")))
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, room=room)


if __name__ == "__main__":
    main()
