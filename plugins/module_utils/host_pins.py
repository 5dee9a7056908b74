# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about host keys that are not pinned: trust is a person's, who compares fingerprints."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.known_hosts import described

PLAYBOOK = "bosh.ha.pin_host_keys"


def advice(hosts: Sequence[dict[str, Any]], known_hosts: str, inventory: Sequence[str] = ()) -> str:
    """One sentence for all hosts whose key is not pinned; empty if there is none.

    hosts: each with name, address, `shown`, its keys as `TYPE BASE64`, and `reason`, why it showed none.
    known_hosts: path of the file. inventory: the inventories of the run. The command in the sentence names the
    fingerprints, so it pins no other key.
    """
    if not hosts:
        return ""
    told = f"{known_hosts}: no host key is pinned for {_listed([host['name'] for host in hosts])}: " + "; ".join(
        f"{host['name']} ({host['address']}) shows "
        + (", ".join(described(key) for key in host["shown"]) or f"none ({host.get('reason') or 'it is silent'})")
        for host in hosts
    )
    if not any(host["shown"] for host in hosts):
        return f"{told}; correct ansible_host, ansible_port or ansible_ssh_common_args, or wait until sshd answers"
    return (
        f"{told}. Compare with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on each VM's console; "
        f"if they are equal, run `{pin_command(hosts, inventory)}`"
    )


def pin_command(hosts: Sequence[dict[str, Any]], inventory: Sequence[str] = ()) -> str:
    """The command that pins these keys and no others."""
    prints = [described(key).split()[0] for host in hosts for key in host["shown"]]
    sources = [word for source in inventory for word in ("-i", source)]
    words = ["ansible-playbook", *sources, PLAYBOOK, "-e", f"bosh_ha_pin_host_keys={','.join(dict.fromkeys(prints))}"]
    return shlex.join(words)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
