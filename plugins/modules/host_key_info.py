#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host keys are pinned, and which are shown."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_key_info
short_description: Compare the SSH host keys that hosts show with those that are pinned
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Reads a known_hosts file as C(ssh) does, and reports for each host whether a key is pinned.
  - A host of O(look_at) that has no pinned key is asked for its key by C(ssh), without a login, through the jump hosts that
    O(hosts[].ssh_args) or ssh's own config name.
  - A key that is shown proves nothing. RV(advice) says with what to compare it, and how to pin it then.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.reads]
options:
  hosts:
    description: The hosts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the host, for messages.
        type: str
        required: true
      address:
        description: Address, as C(ssh) is called with it.
        type: str
        required: true
      port:
        description: Port of sshd. Any but 22 is part of the entry in known_hosts, as for ssh itself.
        type: int
        default: 22
      ssh_args:
        description: Options of C(ssh) that lead to the host, as C(ansible_ssh_common_args) has them.
        type: str
        default: ""
  known_hosts:
    description: The known_hosts file. It may be absent; then no key is pinned.
    type: path
    required: true
  look_at:
    description: Names of the hosts that are asked for their key if none is pinned. No host is asked if this is empty.
    type: list
    elements: str
    default: []
  inventory:
    description: Inventories of the run, for the command in RV(advice).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look which host keys are pinned
  bosh.ha.host_key_info:
    hosts:
      - {name: micro, address: 10.10.0.3}
      - {name: primary, address: 10.10.0.4, ssh_args: -o ProxyJump=jumpbox@bastion.example.com}
    known_hosts: ~/.bosh_ha/known_hosts
    look_at: [micro, primary]
"""

RETURN = r"""
hosts:
  description: The hosts, in the order in which they were given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name that was given.
      type: str
    pinned:
      description: Whether a key, or a certificate authority, is pinned.
      type: bool
    entries:
      description: What known_hosts has for the host, a line each, without other names, patterns and comments.
      type: list
      elements: str
    shown:
      description: Keys that the host showed. Empty if it was not asked, or did not answer.
      type: list
      elements: str
    fingerprints:
      description: SHA256 fingerprints of the keys that are shown or, if a key is pinned, of the pinned ones.
      type: list
      elements: str
    reason:
      description: Why the host showed no key, in ssh's words.
      type: str
not_pinned:
  description: Names of the hosts of O(look_at) for which no key is pinned.
  returned: always
  type: list
  elements: str
advice:
  description: One sentence for all of RV(not_pinned), with what to compare and the command that pins the keys. Empty if all are pinned.
  returned: always
  type: str
"""

import tempfile
from contextlib import suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.host_pins import advice
from ansible_collections.bosh.ha.plugins.module_utils.known_hosts import entries, entry, fingerprint, shown_keys


def look(module: AnsibleModule, host: dict[str, Any]) -> dict[str, Any]:
    """What is pinned for one host and, if nothing is and it shall be looked at, what it shows."""
    found = entries(module.params["known_hosts"], entry(host["address"], host["port"]))
    keys: list[str] = []
    reason = ""
    if not found and host["name"] in module.params["look_at"]:
        scratch = tempfile.mkdtemp(dir=module.tmpdir)
        keys, reason = shown_keys(module.run_command, host["address"], host["port"], host["ssh_args"], scratch)
    return {
        "name": host["name"],
        "pinned": bool(found),
        "entries": found,
        "shown": keys,
        "fingerprints": [fingerprint(key) for key in keys] or known_fingerprints(found),
        "reason": reason,
    }


def known_fingerprints(lines: list[str]) -> list[str]:
    """Those of the keys in known_hosts; a key that is damaged has none."""
    prints = []
    for line in lines:
        with suppress(ValueError):
            prints.append(fingerprint(" ".join(line.split()[-2:])))
    return prints


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "hosts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                    "port": {"type": "int", "default": 22},
                    "ssh_args": {"type": "str", "default": ""},
                },
            },
            # Host keys are public; the name alone makes Ansible ask.
            "known_hosts": {"type": "path", "required": True, "no_log": False},
            "look_at": {"type": "list", "elements": "str", "default": []},
            "inventory": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        hosts = [look(module, host) for host in module.params["hosts"]]
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    both = zip(module.params["hosts"], hosts, strict=True)
    asked = [given | host for given, host in both if given["name"] in module.params["look_at"]]
    unpinned = [host for host in asked if not host["pinned"]]
    module.exit_json(
        changed=False,
        hosts=hosts,
        not_pinned=[host["name"] for host in unpinned],
        advice=advice(unpinned, module.params["known_hosts"], module.params["inventory"]),
    )


if __name__ == "__main__":
    main()
