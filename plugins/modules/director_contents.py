#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows and blobs of a director."""

from __future__ import annotations

DOCUMENTATION = r"""
module: director_contents
short_description: Count the rows and blobs of a director on its VM
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Counts the rows of each table of the director's database, which it reaches as the director's own backup script does, by
    the job's C(bbr.json), and the blobs of its blobstore.
  - With O(proved) it looks whether every blob that the database names is there with the digest that the database has of it.
  - A blob of rendered templates or of fetched logs need not be there. With C(director.enable_nats_delivered_templates), the default of
    bosh-deployment, the director writes rows for rendered templates that never were in the blobstore.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  config:
    description: What tells how the database is reached.
    type: path
    default: /var/vcap/jobs/director/config/bbr.json
  director_config:
    description: The director's own configuration, which names the provider of its blobstore. It may be absent.
    type: path
    default: /var/vcap/jobs/director/config/director.yml
  blobstore:
    description:
      - The blobstore's directory. Where it is not there, or O(director_config) names a provider with a bucket, the director has its
        blobs elsewhere, and they are not looked at.
    type: path
    default: /var/vcap/store/blobstore
  proved:
    description: Whether each blob is read and compared with its digests.
    type: bool
    default: false
  checksums:
    description: SHA-256 of each file of the blobstore's artifact in a backup, with which the blobs are compared, too.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Count what a director has
  bosh.ha.director_contents:
  register: contents
  become: true
"""

RETURN = r"""
rows:
  description: Rows of each table, by its name, with its schema where that is not C(public).
  returned: success
  type: dict
  sample: {deployments: 2, tasks: 431}
blobs:
  description: How many there are, and their bytes. Empty where there is no blobstore on this host.
  returned: success
  type: dict
  sample: {count: 212, bytes: 913441}
named:
  description: How many blobs the database names that must be there.
  returned: success
  type: int
  sample: 198
unstored:
  description: How many blobs that are not there, and need not be, each table names.
  returned: success
  type: dict
  sample: {rendered_templates_archives: 12}
skipped:
  description: The backup has no blobs, as C(blobstore.bbr.enabled) of its director was V(false), so they are not compared.
  returned: success
  type: bool
  sample: false
problems:
  description: What is wrong with the blobs, a sentence each.
  returned: when O(proved)
  type: list
  elements: str
  sample: ["templates names the blob 3f1c0f4e, which is not there"]
host:
  description: Where the database is.
  returned: success
  type: str
  sample: 127.0.0.1
"""

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import director_contents
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN


def ask(module: AnsibleModule, config: dict[str, Any], sql: str) -> Any:
    """What one statement answers, as data."""
    # Neither the password nor what may be in the environment for somebody else's database.
    environ = {"PGPASSWORD": str(config["password"]), "PGCONNECT_TIMEOUT": "10", "PGOPTIONS": ""}
    # By the locale psql would also choose in which encoding it prints.
    environ |= PLAIN | {"PGCLIENTENCODING": "UTF8"}
    command = director_contents.command(director_contents.psql(), config)
    rc, out, err = module.run_command(command, data=sql, binary_data=True, environ_update=environ)
    if rc:
        raise director_contents.Unknown(f"psql failed with exit code {rc}: {' '.join(err.split())}")
    try:
        return json.loads(out)
    except ValueError:
        raise director_contents.Unknown(f"psql printed no JSON but {len(out)} characters") from None


def look(module: AnsibleModule) -> dict[str, Any]:
    path = module.params["config"]
    with open(path, encoding="utf-8") as stream:
        config = director_contents.database(stream.read(), path)
    module.no_log_values.add(str(config["password"]))
    tables = ask(module, config, director_contents.TABLES)
    result = {
        "changed": False,
        "host": str(config["host"]),
        "rows": ask(module, config, director_contents.rows_sql(tables)),
    }
    named = ask(module, config, director_contents.blobs_sql(tables))
    here = os.path.isdir(module.params["blobstore"]) and director_contents.has_blobs_here(own_config(module))
    there = director_contents.blobs(module.params["blobstore"]) if here else {}
    size = sum(os.path.getsize(one) for one in there.values())
    unstored = director_contents.unstored(there, named) if here else {}
    skipped = director_contents.is_skipped(module.params["checksums"])
    result |= {"named": len({blob for _table, blob, _digest in named}) - sum(unstored.values())}
    result |= {"blobs": {"count": len(there), "bytes": size} if here else {}, "unstored": unstored, "skipped": skipped}
    if module.params["proved"]:
        compared = here and not skipped
        result["problems"] = director_contents.problems(there, named, module.params["checksums"]) if compared else []
    return result


def own_config(module: AnsibleModule) -> str:
    """The director's own configuration; empty if there is none. It has secrets, and nothing of it is returned."""
    try:
        with open(module.params["director_config"], encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "config": {"type": "path", "default": "/var/vcap/jobs/director/config/bbr.json"},
            "director_config": {"type": "path", "default": "/var/vcap/jobs/director/config/director.yml"},
            "blobstore": {"type": "path", "default": "/var/vcap/store/blobstore"},
            "proved": {"type": "bool", "default": False},
            "checksums": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        result = look(module)
    except (director_contents.Unknown, OSError, ValueError) as error:
        module.fail_json(msg=f"what the director has cannot be counted: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
