# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a BOSH VM's processes run or are stopped: what monit, the kernel's ports and the open files say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import monit_orders, monit_status, store_fence
from ansible_collections.bosh.ha.plugins.module_utils.host_evidence import holders_of, listening

#: Options of every module that asks monit; plugins/doc_fragments/monit.py describes them.
OPTIONS: dict[str, dict[str, Any]] = {
    "monit_dir": {"type": "path", "default": "/var/vcap/monit"},
    "path": {"type": "path", "default": "/var/vcap/bosh/bin/monit", "aliases": ["executable"]},
}


def look(run: monit_status.Run, params: Mapping[str, Any]) -> dict[str, Any]:
    """One look: what M(bosh.ha.monit) returns.

    Of a module's `params` are read: path, the monit command; monit_dir, the agent's directory of monit; ports, those of
    a director; store. Raises monit_status.NoAnswer where monit cannot be asked, or names no process on a host that is
    not fenced; or where the note of held workers cannot be read.
    """
    fenced = store_fence.jobs_are_shut(params["monit_dir"])
    try:
        held = monit_orders.held(params["monit_dir"])
    except ValueError as error:
        raise monit_status.NoAnswer(str(error)) from error
    services = monit_status.ask(run, params["path"])
    processes = {service.name: service.state for service in monit_status.processes(services)}
    if not processes and not fenced:
        names = ", ".join(service.name for service in services)
        raise monit_status.NoAnswer(f"monit names no process, so nothing can be said of them: it has {names}")
    wanted = set(params["ports"])
    open_ports = sorted(wanted & listening())
    holders = holders_of(params["store"])
    quiet = monit_status.all_stopped(services) or (fenced and not processes)
    return {
        "services": [asdict(service) for service in services],
        "processes": processes,
        "all_stopped": quiet and not open_ports and not holders,
        "all_running": monit_status.all_running(services) and set(open_ports) == wanted and not fenced,
        "open_ports": open_ports,
        "holders": holders,
        "fenced": fenced,
        "held": held,
    }


def told(seen: dict[str, Any]) -> str:
    """What a look found, for a sentence."""
    return f"processes {seen['processes']}, open ports {seen['open_ports']}, still holding the store {seen['holders']}"
