#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys that are pinned."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_key
short_description: Pin the SSH host keys of a BOSH VM
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Keeps the host keys of a VM in a known_hosts file that is then checked strictly.
  - With a deployment, the keys come from the VM through its director, as C(bosh ssh) checks the VM's host key
    against what the agent told the director over its own, mutually verified, bus.
  - Without one they are taken on first use. That is for a VM that was made a moment ago by the same play, and nothing else.
    A pinned key is never replaced on first use.
  - What a host shows is read by C(ssh), without a login, through the jump hosts that O(ssh_args) or ssh's own config name.
    Their keys must be in the known_hosts files of whoever runs this.
extends_documentation_fragment: [bosh.ha.director, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  address:
    description: Address of the VM.
    type: str
    required: true
  known_hosts:
    description:
      - The known_hosts file. It is made, and readable by its owner only.
      - The address is found in it alone, among other names, hashed, and by patterns; lines with patterns are not changed.
    type: path
    required: true
  deployment:
    description: Deployment of the VM.
    type: str
  instance:
    description: Instance group or instance of the VM. Needed where the deployment has several instances.
    type: str
  made_now:
    description: The caller made this VM a moment ago, so an older pin of its address is another VM's and is replaced.
    type: bool
    default: false
  source:
    description:
      - Where keys come from. V(director) needs O(deployment).
      - Where it is not set, it is V(director) with O(deployment), and V(first_use) without.
    type: str
    choices: [director, first_use]
  must_show:
    description:
      - Whether sshd must show one of the keys that the director told. If it does not, that is a failure, and the pin stays.
      - It needs the source V(director).
    type: bool
    default: false
  ssh_args:
    description:
      - The options of C(ssh) that lead to the VM, as C(ansible_ssh_common_args) has them, for example C(-o ProxyJump=jumpbox@bastion).
      - Those about host keys do not count here.
    type: str
    default: ""
  state:
    description: Whether keys are pinned for the address. V(absent) forgets them, for a VM that is gone.
    type: str
    choices: [present, absent]
    default: present
  port:
    description: Port of sshd. Any but 22 is part of the entry in known_hosts, as for ssh itself.
    type: int
    default: 22
  fingerprints:
    description:
      - SHA256 fingerprints, as C(ssh-keygen -l) prints them, that a person has compared with the VM's console.
      - The key that the host shows is pinned if its fingerprint is one of them. Any other key is a failure.
      - A key that is pinned already is not replaced. Neither O(source) nor O(made_now) counts then.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Pin Primary's host key, as Micro knows it
  bosh.ha.host_key:
    environment: micro
    deployment: bosh-primary
    instance: bosh
    address: 10.10.0.4
    known_hosts: ~/.bosh_ha/known_hosts

- name: Pin the new key of a Primary that was resurrected, if it is the one that the host shows
  bosh.ha.host_key:
    environment: meta
    deployment: bosh-primary
    address: 10.10.0.4
    known_hosts: ~/.bosh_ha/known_hosts
    source: director
    must_show: true
    ssh_args: -o ProxyJump=jumpbox@bastion.example.com

- name: Pin Micro's host key, which was compared with the VM's console
  bosh.ha.host_key:
    address: 10.10.0.3
    known_hosts: ~/.bosh_ha/known_hosts
    fingerprints: [SHA256:uNiVztksCsDhcc0u9e8BrsJJwLqbLaBbBqjIXQeRG6M]

- name: Forget the key of a VM that was destroyed
  bosh.ha.host_key:
    address: 10.10.0.3
    known_hosts: ~/.bosh_ha/known_hosts
    state: absent
"""

RETURN = r"""
host_keys:
  description: The pinned keys.
  returned: always
  type: list
  elements: str
  sample: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK]
source:
  description: Where they came from, V(director), V(first_use), V(fingerprint) or V(pinned).
  returned: when the state is present
  type: str
  sample: director
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import vms
from ansible_collections.bosh.ha.plugins.module_utils.director_module import run_director_module
from ansible_collections.bosh.ha.plugins.module_utils.known_hosts import (
    described,
    entry,
    fingerprint,
    must_show,
    pinned,
    pinned_alone,
    write_pinned,
)
from ansible_collections.bosh.ha.plugins.module_utils.vouched_keys import refuse_another, told_keys


def pin(module: AnsibleModule, cli: BoshCli) -> dict[str, Any]:
    path, address = module.params["known_hosts"], module.params["address"]
    name = entry(address, module.params["port"])
    before = pinned_alone(path, name)
    if module.params["state"] == "absent":
        if before and not module.check_mode:
            write_pinned(path, name, [])
        return {"changed": bool(before), "host_keys": []}
    if module.params["fingerprints"]:
        return pin_compared(module, name)
    if (module.params["source"] or ("director" if module.params["deployment"] else "first_use")) == "director":
        keys, source = ask_director(module, cli), "director"
        if module.params["must_show"]:
            refuse_another(address, shown(module, address), keys)
    elif (found := pinned(path, name)) and not module.params["made_now"]:
        return {"changed": False, "host_keys": found, "source": "pinned"}
    elif module.check_mode:
        return {"changed": True, "host_keys": [], "source": "first_use"}
    else:
        keys, source = shown(module, address), "first_use"
    changed = sorted(before) != sorted(keys)
    if changed and not module.check_mode:
        write_pinned(path, name, keys)
    return {"changed": changed, "host_keys": keys, "source": source}


def pin_compared(module: AnsibleModule, name: str) -> dict[str, Any]:
    """Pin the key that the host shows, if a person has compared its fingerprint. A pinned key is not replaced."""
    path, address = module.params["known_hosts"], module.params["address"]
    found = pinned(path, name)
    keys = shown(module, address)
    if found and not set(found) & set(keys):
        raise ValueError(
            f"{path}: {address} shows {' and '.join(map(described, keys))}, but another key is pinned; if its VM was "
            f"recreated, remove the old key with `ssh-keygen -R {name} -f {path}`, then pin the new one"
        )
    if found:
        return {"changed": False, "host_keys": found, "source": "pinned"}
    wanted = [key for key in keys if fingerprint(key) in module.params["fingerprints"]]
    if not wanted:
        raise ValueError(
            f"{address} shows {' and '.join(map(described, keys))}, which is none of the fingerprints that are given "
            f"({', '.join(module.params['fingerprints'])}); nothing is pinned"
        )
    if not module.check_mode:
        write_pinned(path, name, wanted)
    return {"changed": True, "host_keys": wanted, "source": "fingerprint"}


def ask_director(module: AnsibleModule, cli: BoshCli) -> list[str]:
    if not module.params["instance"]:
        refuse_several(cli, module.params["deployment"])
    return told_keys(cli, module.params["deployment"], module.params["instance"] or "")


def refuse_several(cli: BoshCli, deployment: str) -> None:
    """`bosh ssh` would log in to each of them."""
    found = [vm["instance"] for vm in vms(cli, deployment)]
    if len(found) > 1:
        raise ValueError(f"the deployment {deployment} has {len(found)} instances: set `instance`")


def shown(module: AnsibleModule, address: str) -> list[str]:
    """What sshd shows. Raises ValueError if it shows no key."""
    return must_show(module.run_command, address, module.params["port"], module.params["ssh_args"], module.tmpdir)


def main() -> None:
    run_director_module(
        {
            "address": {"type": "str", "required": True},
            # Host keys are public; the name alone makes Ansible ask.
            "known_hosts": {"type": "path", "required": True, "no_log": False},
            "deployment": {"type": "str"},
            "instance": {"type": "str"},
            "made_now": {"type": "bool", "default": False},
            "source": {"type": "str", "choices": ["director", "first_use"]},
            "must_show": {"type": "bool", "default": False},
            "ssh_args": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "port": {"type": "int", "default": 22},
            "fingerprints": {"type": "list", "elements": "str", "default": []},
        },
        pin,
        supports_check_mode=True,
        required_if=[("source", "director", ["deployment"]), ("must_show", True, ["deployment"])],
    )


if __name__ == "__main__":
    main()
