#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bus that a BOSH VM's agent obeys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_bus
short_description: Tell which NATS the agent of a BOSH VM obeys, and point it at another one
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Runs on the VM, as root. Without O(urls) and O(blobstore_hosts) it only tells.
  - Writes the URLs into the agent's C(update_settings.json), whole or not at all, restarts the agent, and waits until it has
    a connection to one of them that stays. If it gets none, what was is put back.
  - The agent's certificate and the CA that it trusts stay, so the other NATS must be of the same CA.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says whether something would change, without changing it.
    support: full
options:
  urls:
    description: URLs of NATS, each C(nats://HOST:PORT) without credentials. An agent older than 2.848 uses the first one only.
    type: list
    elements: str
  blobstore_hosts:
    description:
      - Hosts of a DAV blobstore that are replaced by other ones, where the agent's endpoint has one of them; the port stays.
      - The new one is asked first, with the agent's own CA and password, whether it takes them.
    type: dict
    default: {}
  verify:
    description: Whether the connection is waited for. Where nobody listens at O(urls) yet, it cannot be.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for the connection.
    type: int
    default: 120
  directory:
    description: Where the agent lives.
    type: path
    default: /var/vcap/bosh
"""

EXAMPLES = r"""
- name: Ask Primary's agent which bus it obeys
  bosh.ha.agent_bus:
  become: true

- name: Point it at Meta
  bosh.ha.agent_bus:
    urls: ["nats://10.10.0.5:4222"]
    blobstore_hosts: {10.10.0.3: 10.10.0.5}
  become: true
"""

RETURN = r"""
urls:
  description: The URLs that the agent uses, after the call; in check mode, after the call that it foretells. Credentials in them are hidden.
  returned: always
  type: list
  elements: str
  sample: ["nats://10.10.0.5:4222"]
source:
  description: Where in the agent's settings they are; empty where it has none.
  returned: always
  type: str
  sample: update_settings.mbus.urls
before:
  description: RV(urls), RV(source) and RV(blobstore) before the call.
  returned: always
  type: dict
  sample: {urls: ["nats://10.10.0.3:4222"], source: env.bosh.mbus.urls, blobstore: "https://10.10.0.3:25250"}
blobstore:
  description: Endpoint of the DAV blobstore that the agent uses, after the call; empty where it is of another kind.
  returned: always
  type: str
  sample: https://10.10.0.5:25250
connected:
  description: Whether the agent has a connection to one of the URLs.
  returned: always
  type: bool
  sample: true
version:
  description: What C(bosh-agent -v) prints; empty where it cannot be run.
  returned: always
  type: str
  sample: 2.874.0-d6d3c1d3-2026-06-11T10:00:00Z-go1.24.4
settings_path:
  description: The file that later settings are written into.
  returned: always
  type: str
  sample: /var/vcap/bosh/update_settings.json
tmpfs:
  description: Whether that file is in memory, so that what is written is lost with a reboot.
  returned: always
  type: bool
  sample: false
nats_ca:
  description: SHA-256 of each certificate of the CA by which the agent knows its bus.
  returned: always
  type: list
  elements: str
  sample: [9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]
blobstore_ca:
  description: SHA-256 of each certificate of the CA by which it knows its blobstore.
  returned: always
  type: list
  elements: str
  sample: []
restored:
  description: Whether what was is in place again.
  returned: when the agent got no connection after a change
  type: bool
  sample: true
"""

import os
import re
import time
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import agent_process, agent_settings, blobstore_knock
from ansible_collections.bosh.ha.plugins.module_utils.certificates import fingerprints
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

#: Seconds between two looks, and seconds that a connection must stay: one that is refused is open for a moment, too.
PAUSE = 0.5
STEADY = 3
#: Where runit has the agent, on stemcells before Noble.
RUNIT = "/etc/service/agent"
PROC = "/proc"


class Service:
    """The agent as a service of runit's or systemd's."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        sv, systemctl = module.get_bin_path("sv"), module.get_bin_path("systemctl")
        if sv and os.path.isdir(RUNIT):
            self.again, self.ask = [sv, "restart", "agent"], [sv, "status", "agent"]
        elif systemctl:
            self.again = [systemctl, "restart", "bosh-agent"]
            self.ask = [systemctl, "show", "--property=MainPID", "bosh-agent"]
        else:
            module.fail_json(
                msg=f"there is neither {RUNIT} nor systemctl on this host, so the agent cannot be restarted"
            )

    def restart(self) -> str:
        """Why it could not be restarted; empty if it was."""
        rc, out, err = self.module.run_command(self.again)
        # runit gives up waiting after 7 s, and restarts it all the same when it ends.
        if rc == 0 or "got TERM" in out:
            return ""
        return f"`{' '.join([os.path.basename(self.again[0]), *self.again[1:]])}` failed: {(err or out).strip()}"

    def sockets(self, places: set[tuple[str, int]]) -> set[str]:
        """Its connections to the places."""
        _rc, out, _err = self.module.run_command(self.ask)
        found = re.search(r"(?:^run: agent: \(pid |^MainPID=)([1-9]\d*)", out, re.MULTILINE)
        pids = agent_process.family(int(found.group(1)), PROC) if found else set()
        return agent_process.connections(pids, places, PROC)


def places_of(urls: list[str]) -> set[tuple[str, int]]:
    """Those that can be looked for: not a create-env's own https."""
    found = set()
    for url in urls:
        try:
            found.add(agent_settings.place_of(re.sub("//.*@", "//", url)))
        except ValueError:
            continue
    return found


def told(settings: agent_settings.Settings) -> dict[str, Any]:
    urls, source = agent_settings.mbus_urls(settings)
    endpoint = agent_settings.blobstore_endpoint(settings)
    return {
        "urls": [agent_settings.shown(url) for url in urls],
        "source": source,
        "blobstore": agent_settings.shown(endpoint),
    }


def version_of(module: AnsibleModule) -> str:
    path = os.path.join(module.params["directory"], "bin", "bosh-agent")
    if not os.access(path, os.X_OK):
        return ""
    rc, out, _err = module.run_command([path, "-v"])
    return out.strip() if rc == 0 else ""


def obey(module: AnsibleModule) -> dict[str, Any]:
    wanted_urls = module.params["urls"]
    for url in wanted_urls or []:
        agent_settings.place_of(url)
    settings = agent_settings.read(module.params["directory"])
    service = Service(module)
    update = agent_settings.with_urls(settings, wanted_urls) if wanted_urls else settings.update
    update = agent_settings.with_blobstore_host(replace(settings, update=update), module.params["blobstore_hosts"])
    after = replace(settings, update=update)
    places = places_of(agent_settings.mbus_urls(after)[0])
    result = {
        "changed": update != settings.update,
        **told(after),
        "before": told(settings),
        "connected": bool(service.sockets(places)),
        "version": version_of(module),
        "settings_path": settings.update_path,
        "tmpfs": settings.tmpfs,
        "nats_ca": fingerprints(agent_settings.mbus_ca(settings)),
        "blobstore_ca": fingerprints(agent_settings.blobstore_ca(settings)),
    }
    if not result["changed"]:
        # A call that was stopped between the file and the restart left an agent on the old bus.
        stale = bool(wanted_urls) and module.params["verify"] and not wait(module, service, places)
        if not stale:
            return result | {"connected": result["connected"] or bool(wanted_urls and module.params["verify"])}
        result["changed"] = True
    if module.check_mode:
        return result
    if told(after)["blobstore"] != told(settings)["blobstore"] and module.params["verify"]:
        endpoint = agent_settings.blobstore_endpoint(after)
        refused = blobstore_knock.refusal(agent_settings.blobstore(settings), endpoint, 10)
        if refused:
            module.fail_json(msg=f"nothing was changed: {refused}", **result | {"changed": False} | told(settings))
    return result | move(module, service, settings, update, places)


def move(
    module: AnsibleModule,
    service: Service,
    settings: agent_settings.Settings,
    update: dict[str, Any],
    places: set[tuple[str, int]],
) -> dict[str, Any]:
    """Write and restart; leaves in failure, with what was put back, where the agent gets no connection."""
    path = settings.update_path
    was = None
    if os.path.exists(path):
        with open(path, "rb") as stream:
            was = stream.read()
    if update != settings.update:
        agent_settings.write(path, update)
    failure = service.restart()
    if not failure and (not module.params["verify"] or wait(module, service, places, module.params["timeout"])):
        return {"connected": bool(service.sockets(places))}
    new = ", ".join(sorted(f"{host}:{port}" for host, port in places))
    failure = failure or f"after {module.params['timeout']} s the agent has no connection to {new} that stays"
    if update == settings.update:
        module.fail_json(msg=failure, **told(settings))
    agent_settings.put(path, was)
    again = service.restart()
    old = ", ".join(told(settings)["urls"]) or "none"
    back = f"; its old settings, with the bus {old}, are in place again" + (f", but {again}" if again else "")
    module.fail_json(msg=failure + back, changed=True, restored=True, before=told(settings), **told(settings))


def wait(module: AnsibleModule, service: Service, places: set[tuple[str, int]], seconds: float = STEADY + 1) -> bool:
    """Whether within the seconds there is a connection that stays."""
    since: dict[str, float] = {}
    until = time.monotonic() + seconds
    while True:
        at = time.monotonic()
        since = {socket: since.get(socket, at) for socket in service.sockets(places)}
        if any(at - first >= STEADY for first in since.values()):
            return True
        if (not since and at > until) or at > until + STEADY:
            return False
        time.sleep(PAUSE)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str"},
            "blobstore_hosts": {"type": "dict", "default": {}},
            "verify": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 120},
            "directory": {"type": "path", "default": "/var/vcap/bosh"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = PLAIN
    try:
        result = obey(module)
    except ValueError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"the agent's settings in {module.params['directory']} cannot be written: {error.strerror}"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
