#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A manifest without dns.recursor, in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: recursor_free_manifest
short_description: Remove dns.recursor from a director's manifest in place
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Cuts the lines of every C(dns.recursor), global and per job, out of the operator's own manifest.
    Comments, order, quoting and every other line stay as they are.
  - A C(dns) that had nothing else is left as C(dns) with an empty mapping, as an ops file leaves it.
  - The manifest before and after is compared as data, and the file is left alone unless it differs by C(dns.recursor) only.
    What cannot be cut out by whole lines, such as a mapping in flow style or a recursor that comes by an alias, is refused; an ops file removes that too.
  - It runs where the manifest is, which is the control node.
requirements:
  - PyYAML
extends_documentation_fragment: [bosh.ha.attributes]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
  diff_mode:
    description: The lines that are removed, without the lines around them, which may hold secrets.
    support: full
options:
  path:
    description: The manifest. It keeps its mode and owner; where it is a symbolic link, the file behind it is changed.
    type: path
    required: true
  backup:
    description: Whether the manifest as it was is kept beside it, with a time stamp in its name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Let Primary's manifest ask Micro for no name any more
  bosh.ha.recursor_free_manifest:
    path: boshes/bosh-primary.yml
    backup: true
"""

RETURN = r"""
removed:
  description: Path of every C(dns.recursor) that was removed, as in an ops file.
  returned: always
  type: list
  elements: str
  sample: [/instance_groups/name=bosh/jobs/name=director/properties/dns/recursor]
backup_file:
  description: Where the manifest as it was is kept.
  returned: when changed and asked for
  type: str
  sample: /home/operator/boshes/bosh-primary.yml.4242.2026-11-21@07:10:49~
"""

import difflib
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.bosh.ha.plugins.module_utils.manifest_text import YAML_IMPORT_ERROR, without_dns_recursor


def removed_lines(path: str, before: str, after: str) -> str:
    """A unified diff without context."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, n=0, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def replace(module: AnsibleModule, path: str, text: str) -> None:
    """Put the text in the place of the file at once; atomic_move gives it the file's mode and owner."""
    handle, scratch = tempfile.mkstemp(dir=module.tmpdir)
    with open(handle, "wb") as stream:
        stream.write(text.encode())
    module.atomic_move(scratch, path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if YAML_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR)
    path = os.path.realpath(module.params["path"])
    try:
        with open(path, "rb") as stream:
            # As it is: line ends are part of what stays.
            before = stream.read().decode()
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg=f"the manifest {path} cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8'}")
    try:
        after, removed = without_dns_recursor(before)
    except ValueError as error:
        hint = "the manifest is left as it was; remove dns.recursor with an ops file, which leaves the manifest alone"
        module.fail_json(msg=f"{path}, {error}: {hint}")
    result = {"changed": after != before, "removed": removed}
    if module._diff:
        result["diff"] = {"prepared": removed_lines(path, before, after)}
    if result["changed"] and not module.check_mode:
        if module.params["backup"]:
            result["backup_file"] = module.backup_local(path)
        replace(module, path, after)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
