#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL's data directories in a store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_info
short_description: Tell the version, state and identity of the databases in a store
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Reads C(postgres-*/global/pg_control) below a directory, with no server and none of PostgreSQL's commands.
  - Two data directories with one system identifier are copies of one database.
  - A file whose checksum is wrong, or that no PostgreSQL writes, is a failure that names it.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  store:
    description: Directory with the data directories, a persistent disk's mount point or a staged copy.
    type: path
    default: /var/vcap/store
"""

EXAMPLES = r"""
- name: Look whether Micro's database was shut down as it should
  bosh.ha.postgres_info:
    store: /var/vcap/store/bosh_ha_staging
  become: true
"""

RETURN = r"""
databases:
  description: One for each data directory, by name.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The data directory.
      type: str
      sample: /var/vcap/store/postgres-15
    major:
      description: Content of C(PG_VERSION).
      type: str
      sample: '15'
    state:
      description: Of C(starting up), C(shut down), C(shut down in recovery), C(shutting down), C(in crash recovery),
        C(in archive recovery) and C(in production). A server that was killed leaves C(in production).
      type: str
      sample: shut down
    clean:
      description: It is C(shut down), and there is no C(postmaster.pid).
      type: bool
      sample: true
    system_identifier:
      description: Given to the database when it was made, and kept by every copy.
      type: str
      sample: '7710594480825228574'
    control_version:
      description: Version of C(pg_control).
      type: int
      sample: 1300
    catalog_version:
      description: Version of the system catalogs.
      type: int
      sample: 202209061
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import pg_control


def main() -> None:
    module = AnsibleModule(
        argument_spec={"store": {"type": "path", "default": "/var/vcap/store"}},
        supports_check_mode=True,
    )
    store = module.params["store"]
    if not os.path.isdir(store):
        module.fail_json(msg=f"there is no directory {store} on this host")
    try:
        databases = pg_control.databases(store)
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, databases=databases)


if __name__ == "__main__":
    main()
