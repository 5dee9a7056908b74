#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release of a director."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Upload or delete a BOSH release
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Uploads a release unless the director already has this name and version, or deletes it.
  - Where O(name) and O(version) are not given, they are read from the tarball, if it is a local file. For a URL the director is
    looked up for what the file's name says; if that is not there, the release is uploaded, and is a change if it is new to the director.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    details: Of a URL whose O(name) and O(version) are neither given nor told by the file's name, only an upload tells whether the
      director has it, so a change is foretold.
    support: partial
  action:
    description: An action plugin follows the command while it runs and shows each new stage and percentage.
    support: full
  async:
    description: With C(async) set on the task nothing is followed.
    support: full
options:
  url:
    description: Path or URL of the tarball. Needed when it is to be present.
    type: str
  sha1:
    description:
      - Digest of the tarball, as C(SHA1) or C(sha256:SHA256). BOSH compares it with what it downloads from a URL.
      - A local file is compared before it is uploaded, and refused if it is another one.
    type: str
  name:
    description: Name of the release.
    type: str
  version:
    description: Version of the release.
    type: str
  state:
    description: Whether the release is there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Give Micro the release
  bosh.ha.release:
    environment: micro
    url: bosh-283.1.6.tgz
"""

RETURN = r"""
name:
  description: Name of the release.
  returned: when known
  type: str
  sample: bosh
version:
  description: Version of the release.
  returned: when known
  type: str
  sample: '1.1'
tasks:
  description: The tasks that the command followed.
  returned: always
  type: list
  elements: dict
  sample: [{id: 1}]
"""

from ansible_collections.bosh.ha.plugins.module_utils.artifacts import ARTIFACT_ARGS, keep_artifact
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import releases
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module


def main() -> None:
    run_director_module(
        ARTIFACT_ARGS,
        lambda module, cli: keep_artifact(module, cli, "release", releases),
        supports_check_mode=True,
        required_if=[("state", "present", ["url"]), ("state", "absent", ["name", "version"])],
    )


if __name__ == "__main__":
    main()
