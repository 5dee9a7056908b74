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
  - Nothing is moved under a director that works, by monit's word, open ports and who holds the store open. A copy in which
    PostgreSQL was not shut down is not put in place, and one that is put in place is on the disk.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared, bosh.ha.monit]
attributes:
  check_mode:
    description:
      - Does the deed to stand-ins of the store's entries, so result, phase and refusal are those of the deed.
      - Whether the host works is not asked, as what comes before the deed may be foretold, too.
    support: full
options:
  store:
    description: The persistent disk's mount point.
    type: path
    default: /var/vcap/store
  state:
    description:
      - Without it the module only tells the phase.
      - V(swapped) puts the staged copy in place and keeps the own store. Refuses while this host works.
      - V(restored) puts the kept own store back; the copy becomes the staged one again. Refuses while this host works.
      - V(committed) removes the kept own store.
    type: str
    choices: [swapped, restored, committed]
  ports:
    description: TCP ports of a director, one of which is open while it works.
    type: list
    elements: int
    default: []
  find_written:
    description: Look, too, whether this host wrote to a copy that is in place. Every entry of the store is looked at.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Put Micro's store in the place of Meta's own
  bosh.ha.store_swap:
    state: swapped
    ports: [25555, 4222, 25250, 5432]
  become: true
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
from ansible_collections.bosh.ha.plugins.module_utils import host_processes, pg_control, staged_store
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

DEEDS = {"swapped": staged_store.swap_in, "restored": staged_store.put_back, "committed": staged_store.discard_kept}
#: The phases in which a deed moves what a director works on.
MOVES = {"swapped": ("staged", "swapping"), "restored": ("swapping", "swapped")}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "default": "/var/vcap/store"},
            "state": {"type": "str", "choices": [*DEEDS]},
            "ports": {"type": "list", "elements": "int", "default": []},
            "find_written": {"type": "bool", "default": False},
            **host_processes.OPTIONS,
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    store, state = module.params["store"], module.params["state"]
    if not os.path.isdir(store):
        module.fail_json(msg=f"there is no directory {store} on this host")
    if not state:
        module.exit_json(changed=False, phase=staged_store.phase(store), **written(module))
    try:
        if state == "swapped":
            refuse_unclean(store)
        if module.check_mode:
            with tempfile.TemporaryDirectory() as scratch:
                changed, phase = staged_store.rehearse(DEEDS[state], store, scratch)
        else:
            if staged_store.phase(store) in MOVES.get(state, ()):
                refuse_in_use(module)
            changed = DEEDS[state](store)
            phase = staged_store.phase(store)
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"{store}: {error}", phase=staged_store.phase(store))
    module.exit_json(changed=changed, phase=phase, **written(module))


def refuse_in_use(module: AnsibleModule) -> None:
    """Raises SwapRefused while a director works on this host, and NoAnswer where monit does not tell."""
    seen = host_processes.look(module.run_command, module.params)
    if not seen["all_stopped"]:
        raise staged_store.SwapRefused(f"this host is not stopped, so nothing is moved: {host_processes.told(seen)}")


def refuse_unclean(store: str) -> None:
    """Raises SwapRefused where PostgreSQL was not shut down in the staged copy, BadControlFile where that cannot be read."""
    found = pg_control.databases(os.path.join(store, staged_store.STAGING))
    unclean = [f"{database['path']} is {database['state']}" for database in found if not database["clean"]]
    if unclean:
        raise staged_store.SwapRefused(
            f"PostgreSQL was not shut down before it was copied ({', '.join(unclean)}), so the copy is not put in place: "
            "look at its log where it came from"
        )


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
