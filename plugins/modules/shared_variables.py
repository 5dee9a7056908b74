#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables of one vars store, taken over into another."""

from __future__ import annotations

DOCUMENTATION = r"""
module: shared_variables
short_description: Let two directors share variables of the bosh CLI's vars stores
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Copies variables from one vars store of the CLI, a YAML file on this host, to another.
  - Where one is a CA and another one than before, the certificates that the old one signed are dropped, so that the CLI
    issues them anew at the next deploy. The manifest must have them below C(variables) for that.
  - The file is written whole or not at all, with mode C(0600); what else it has is kept, in its order.
  - Only names are shown, never values.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, and what, without changing it.
    support: full
options:
  source:
    description: The vars store that has the variables.
    type: path
    required: true
  target:
    description: The vars store that shall have them, too. It is made where there is none.
    type: path
    required: true
  names:
    description: Names of the variables. The default is what an agent must share with its director to change to another one.
    type: list
    elements: str
    default: [nats_ca, blobstore_ca, blobstore_agent_password, blobstore_director_password]
  backup_dir:
    description:
      - Directory for copies of the target, made before each change.
      - Where it is not set, it is C(vars-copies) beside the target.
    type: path
"""

EXAMPLES = r"""
- name: Give Meta Micro's CAs and blobstore passwords
  bosh.ha.shared_variables:
    source: microbosh/vars.yml
    target: boshes/meta-vars.yml
    backup_dir: ~/.bosh_ha/vars
"""

RETURN = r"""
copied:
  description: Names of the variables that the target had not, or with other values.
  returned: always
  type: list
  elements: str
  sample: [nats_ca, blobstore_ca]
dropped:
  description: Names of the certificates that CAs signed which are no more, so that they are issued anew.
  returned: always
  type: list
  elements: str
  sample: [nats_server_tls, blobstore_server_tls]
created:
  description: Whether there was no target before.
  returned: always
  type: bool
  sample: false
fingerprints:
  description: SHA-256 of the certificates of each named variable that has any, as the source has it.
  returned: always
  type: dict
  sample: {nats_ca: [9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]}
backup:
  description: Copy of the target as it was before.
  returned: when there was one and it was changed
  type: str
  sample: /root/.bosh_ha/vars/meta-vars.yml.20261121T003341.000000Z
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import vars_store
from ansible_collections.bosh.ha.plugins.module_utils.certificates import fingerprints

NAMES = ["nats_ca", "blobstore_ca", "blobstore_agent_password", "blobstore_director_password"]


def share(module: AnsibleModule) -> dict[str, Any]:
    source, target = vars_store.read(module.params["source"]), vars_store.read(module.params["target"])
    wanted = vars_store.shared(source, target, module.params["names"])
    values = {name: source.data[name] for name in module.params["names"]}
    prints = {name: fingerprints(value.get("certificate")) for name, value in values.items() if isinstance(value, dict)}
    result = {
        "changed": bool(wanted.copied or wanted.dropped),
        "copied": wanted.copied,
        "dropped": wanted.dropped,
        "created": not target.exists,
        "fingerprints": {name: found for name, found in prints.items() if found},
    }
    if module.check_mode or not result["changed"]:
        return result
    if target.exists:
        backup_dir = module.params["backup_dir"] or os.path.join(os.path.dirname(target.path), "vars-copies")
        result["backup"] = vars_store.keep_copy(target, backup_dir)
    vars_store.write_whole(target.path, vars_store.rendered(source, target, wanted))
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "target": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "default": NAMES},
            "backup_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = share(module)
    except vars_store.BadStore as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"the vars store {module.params['target']} cannot be written: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
