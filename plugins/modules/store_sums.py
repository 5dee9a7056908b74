#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One digest of all that a directory holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_sums
short_description: Sum a tree up, so that two hosts can compare theirs
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Makes one digest of every entry's path, type, mode, owner, group, size, time to the nanosecond, link target, hard links,
    ACLs, attributes, device number and SHA-256. Of the directory itself only the entries count.
  - With a cache only files are read that were written since the last call. One that was written less than 2 s before it was
    read is read again the next time.
  - Blocks of zeros count the same whether they were written or are holes of a sparse file, which are not read.
  - The attributes C(security.selinux), C(security.ima) and C(security.evm) do not count, as each host makes its own.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads]
attributes:
  check_mode:
    description: Nothing is changed but the cache.
    support: full
options:
  path:
    description: The directory.
    type: path
    required: true
  excludes:
    description: What does not count, as patterns of rsync, without C(***) and rules of filters.
    type: list
    elements: str
    default: []
  cache_file:
    description:
      - File in which the sums are kept, for its owner only. It is replaced as a whole.
      - One that is damaged, belongs to somebody else or is of another file system is not used.
      - It must not be below O(path) unless it is excluded.
    type: path
  threads:
    description: How many files are read at once.
    type: int
    default: 2
  moving:
    description:
      - Whether the tree is in use, so that files which change or vanish meanwhile are left out. The digest is worth nothing then.
      - Otherwise they are a failure that names one of them.
    type: bool
    default: false
  nice:
    description: Niceness to run with, 0 to 19.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Read Micro's store while all runs, so that the comparison has little left to read
  bosh.ha.store_sums:
    path: /var/vcap/store
    excludes: [/lost+found, /bbr-backup, '/bosh_ha_*', postmaster.pid]
    cache_file: /var/vcap/data/bosh_ha_sums
    moving: true
    nice: 10
  become: true
"""

RETURN = r"""
digest:
  description: The same on two hosts exactly where their trees are the same.
  returned: always
  type: str
  sample: 832ecefe7620
top:
  description: Digests of all below each entry of the directory, and below each directory in those, to narrow a difference down.
  returned: always
  type: dict
  sample: {postgres-15: 5f3a, postgres-15/base: 91c2}
entries:
  description: How many entries count.
  returned: always
  type: int
  sample: 11971
files:
  description: How many of them are files.
  returned: always
  type: int
  sample: 10207
bytes:
  description: Size of the files.
  returned: always
  type: int
  sample: 997351061
hashed_files:
  description: How many of them were read, as the cache had no sum of them.
  returned: always
  type: int
  sample: 12
hashed_bytes:
  description: Bytes that were read of those, without the holes of sparse files.
  returned: always
  type: int
  sample: 1834345
moved:
  description: How many entries changed or vanished meanwhile.
  returned: always
  type: int
  sample: 0
cache_used:
  description: Whether there was a cache that could be used.
  returned: always
  type: bool
  sample: true
seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 0.12
"""

import os
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import store_sums


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "excludes": {"type": "list", "elements": "str", "default": []},
            "cache_file": {"type": "path"},
            "threads": {"type": "int", "default": 2},
            "moving": {"type": "bool", "default": False},
            "nice": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    for name, (least, most) in {"threads": (1, 64), "nice": (0, 19)}.items():
        if not least <= params[name] <= most:
            module.fail_json(msg=f"{name}: {params[name]} is not between {least} and {most}")
    if not os.path.isdir(params["path"]):
        module.fail_json(msg=f"path: there is no directory {params['path']} on this host")
    try:
        os.nice(params["nice"])
        result = store_sums.sums(
            params["path"], params["excludes"], params["cache_file"] or "", params["threads"], params["moving"]
        )
    except store_sums.Unstable as error:
        module.fail_json(msg=f"{params['path']}: {error}")
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **asdict(result))


if __name__ == "__main__":
    main()
