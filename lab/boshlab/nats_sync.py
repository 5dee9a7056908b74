# SPDX-License-Identifier: GPL-3.0-or-later

"""nats_sync: the list of agents that NATS lets in, filled from the director's API.

As BOSH's (src/bosh-nats-sync users_sync.rb): the file is on the ephemeral disk, so after a director was recreated its
agents are locked out until the next round; a list that is there is not overwritten while the director does not answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

#: Seconds for which a round waits for the director's API, and between two tries (users_sync.rb, v283.1.6).
PATIENCE, PAUSE = 60, 1

#: Of an agent, whose certificate is the director's own work (nats_client_cert_generator.rb).
AGENT = "C=USA, O=Cloud Foundry, CN={}"


def subject(certificate: Path) -> str:
    """The user that NATS takes the holder of a certificate for: its subject, whoever issued it.

    The real job has it of `openssl x509 -subject`, in its pre-start.
    """
    name = x509.load_pem_x509_certificate(certificate.read_bytes()).subject
    return ", ".join(part.rfc4514_string() for part in name.rdns)


def users(agents: list[dict[str, Any]], director: str, monitor: str) -> list[dict[str, Any]]:
    """NATS users with their permissions, as nats_auth_config.rb has them; director and monitor by their subjects."""
    found = [
        {
            "user": director,
            "permissions": {"publish": ["agent.*", "hm.director.alert"], "subscribe": ["director.>"]},
        },
        {
            "user": monitor,
            "permissions": {
                "publish": [],
                "subscribe": ["hm.agent.heartbeat.*", "hm.agent.alert.*", "hm.agent.shutdown.*", "hm.director.alert"],
            },
        },
    ]
    for vm in agents:
        agent_id = vm["agent_id"]
        names = [agent_id] if vm.get("permanent_nats_credentials") else [f"{agent_id}.bootstrap", agent_id]
        found += [
            {"user": AGENT.format(f"{name}.agent.bosh-internal"), "permissions": _agent(agent_id)} for name in names
        ]
    return found


def _agent(agent_id: str) -> dict[str, list[str]]:
    own = [f"hm.agent.{kind}.{agent_id}" for kind in ("heartbeat", "alert", "shutdown")]
    return {"publish": [*own, f"director.*.{agent_id}.*"], "subscribe": [f"agent.{agent_id}"]}


def write(path: Path, users: list[dict[str, Any]]) -> bool:
    """Write the list whole or not at all; True when it changed."""
    text = f"authorization: {json.dumps({'users': users}, indent=1)}\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return True


def agents(config: dict[str, Any]) -> list[dict[str, Any]]:
    """VMs with agents of every deployment."""
    with httpx.Client(
        base_url=config["director"], verify=config["ca"], auth=(config["user"], config["password"]), timeout=10
    ) as client:
        found = []
        for deployment in client.get("/deployments").raise_for_status().json():
            vms = client.get(f"/deployments/{deployment['name']}/vms").raise_for_status().json()
            found += [vm for vm in vms if vm.get("agent_id")]
        return found


def wait_for_director(config: dict[str, Any]) -> None:
    """Knock until the API answers: agents are let in about a second after it. Raises httpx.TransportError."""
    for left in reversed(range(PATIENCE // PAUSE)):
        try:
            httpx.get(f"{config['director']}/info", verify=config["ca"], timeout=10)
            return
        except httpx.TransportError:
            if not left:
                raise
            time.sleep(PAUSE)


def reload(pid_file: Path) -> None:
    # The number, not the file: nats-server takes no PID file that ends with a newline.
    pid = pid_file.read_text(encoding="utf-8").strip()
    subprocess.run(["/usr/sbin/nats-server", "--signal", f"reload={pid}"], check=True, timeout=30)


def sync(config: dict[str, Any], subjects: tuple[str, str], owed: bool) -> bool:
    """One round; whether NATS still has to be told of a list, as a reload that failed is made up for."""
    try:
        wait_for_director(config)
        if write(Path(config["auth_file"]), users(agents(config), *subjects)):
            owed = True
            print("wrote a new list of agents", flush=True)
        if owed:
            reload(Path(config["nats_pid_file"]))
        return False
    except (httpx.HTTPError, OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"could not {'tell NATS' if owed else 'ask the director'}: {error}", flush=True)
        return owed


def main() -> None:
    initial = "--initial" in sys.argv
    config = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    subjects = subject(Path(config["director_certificate"])), subject(Path(config["hm_certificate"]))
    if initial:
        write(Path(config["auth_file"]), users([], *subjects))
        return
    owed = False
    while True:
        owed = sync(config, subjects, owed)
        time.sleep(config["interval"])


if __name__ == "__main__":
    main()
