# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host keys for which the director vouches that deploys the VM: its certificate is verified, and it asks the agent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import busy_with, instances
from ansible_collections.bosh.ha.plugins.module_utils.director_wait import wait_for
from ansible_collections.bosh.ha.plugins.module_utils.known_hosts import keys_in

READ_KEYS = "cat /etc/ssh/ssh_host_*_key.pub"
#: Who may deploy each of them. Micro's data, and with them Primary, are Meta's in the end.
DEPLOYERS = {"primary": ("meta", "micro"), "meta": ("primary",)}


@dataclass(frozen=True)
class Host:
    """A VM with a director."""

    address: str
    deployment: str
    instance_group: str


def deployer(name: str, deployment: str, answers: dict[str, dict[str, Any]]) -> str:
    """The director that answers and has this deployment. Raises ValueError if there is none.

    answers: as pair_facts.ask_all returns them.
    """
    for by in DEPLOYERS[name]:
        answer = answers.get(by, {})
        if answer.get("logged_in") and deployment in answer.get("deployments", []):
            return by
    raise ValueError(f"no director that answers has the deployment {deployment} and could vouch for its key")


def told_keys(cli: BoshCli, deployment: str, instance: str = "") -> list[str]:
    """The keys of the one instance, as its agent reports them to the director. Raises BoshFailure."""
    words = ["ssh", *([instance] if instance else []), "-c", READ_KEYS, "--results"]
    rc, output, command = cli.try_run(*words, deployment=deployment)
    if rc != 0:
        raise BoshFailure(command, rc, output.message())
    rows = output.rows("results")
    keys = keys_in(rows[0]["stdout"]) if len(rows) == 1 else []
    if not keys:
        raise BoshFailure(command, rc, output.message() or f"{len(rows)} instances answered, and no key was read")
    return keys


def refuse_another(address: str, seen: list[str], told: list[str]) -> None:
    """Raises ValueError if no key that the host shows is one that the director reports."""
    if not set(seen) & set(told):
        raise ValueError(f"sshd of {address} shows {', '.join(seen)}, and the director says {', '.join(told)}")


def vouched(cli: BoshCli, by: str, host: Host, shown: Callable[[], list[str]], wait: float, retry: float) -> list[str]:
    """The keys of a VM, if `shown` returns one of those that the director reports.

    wait: seconds for tasks of the deployment, as a VM that is made just now is in the database only once the IaaS has
    answered. retry: seconds for an agent that is still to come. Raises BoshFailure, and ValueError with the reason.
    """
    with contextlib.suppress(BoshFailure):
        wait_for(lambda: busy_with(cli, host.deployment), wait, enough=lambda busy: not busy)
    if not any(instance["vm_cid"] for instance in instances(cli, host.deployment)):
        # A director that goes down while the IaaS makes a VM never hears of it.
        raise ValueError(
            f"{by}, which deploys {host.deployment}, has no VM for it, so who answers at {host.address} is none that "
            "it knows. If it was cut off while it made one, the CPI's log of that task "
            f"(`bosh -e {by} task ID --cpi`, the ID is in `tasks --recent --all`) or the IaaS tells which VM has this "
            "address: terminate that one, and start again"
        )
    told = wait_for(lambda: told_keys(cli, host.deployment, host.instance_group), retry)
    refuse_another(host.address, shown(), told)
    return told
