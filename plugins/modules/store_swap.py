#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copied store in the place of a VM's own."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_swap
short_description: Put a staged copy of /var/vcap/store in place, and back
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Exchanges the entries of a store with those of C(bosh_ha_staging) by renames on one disk, keeping its own in C(bosh_ha_kept).
  - It may be interrupted anywhere, as the directories themselves tell how far it came, and the next call goes on from there.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Does the deed to stand-ins of the store's entries, so result, phase and refusal are those of the deed.
    support: full
options:
  store:
    description: The persistent disk's mount point.
    type: path
    default: /var/vcap/store
  state:
    description:
      - Without it the module only tells the phase.
      - V(swapped) puts the staged copy in place and keeps the own store.
      - V(restored) puts the kept own store back; the copy becomes the staged one again.
      - V(committed) removes the kept own store.
    type: str
    choices: [swapped, restored, committed]
  find_written:
    description: Look, too, whether this host wrote to a copy that is in place. Every entry of the store is looked at.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Put Micro's store in the place of Meta's own
  bosh.ha.store_swap:
    state: swapped
"""

RETURN = r"""
phase:
  description: V(none), V(staged), V(swapping) or V(swapped), after the call; in check mode, after the call that it foretells.
  returned: always
  type: str
  sample: swapped
written:
  description: One entry of the copy that this host itself wrote, by its path in the store; empty where there is none, or no copy in place.
  returned: when O(find_written) is set
  type: str
  sample: postgres-15/global/pg_control
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import staged_store

DEEDS = {"swapped": staged_store.swap_in, "restored": staged_store.put_back, "committed": staged_store.discard_kept}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "default": "/var/vcap/store"},
            "state": {"type": "str", "choices": [*DEEDS]},
            "find_written": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    store, state = module.params["store"], module.params["state"]
    if not os.path.isdir(store):
        module.fail_json(msg=f"there is no directory {store} on this host")
    if not state:
        module.exit_json(changed=False, phase=staged_store.phase(store), **written(module))
    try:
        if module.check_mode:
            changed, phase = staged_store.rehearse(DEEDS[state], store, tempfile.mkdtemp(dir=module.tmpdir))
        else:
            changed = DEEDS[state](store)
            phase = staged_store.phase(store)
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"{store}: {error}", phase=staged_store.phase(store))
    module.exit_json(changed=changed, phase=phase, **written(module))


def written(module: AnsibleModule) -> dict[str, str]:
    """The key `written`, where it is asked for."""
    store = module.params["store"]
    if not module.params["find_written"]:
        return {}
    try:
        return {"written": staged_store.written_here(store) if staged_store.phase(store) == "swapped" else ""}
    except OSError as error:
        module.fail_json(msg=f"{store}: {error}", phase=staged_store.phase(store))


if __name__ == "__main__":
    main()
