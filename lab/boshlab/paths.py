# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab keeps things; one environment variable moves all of it."""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path(os.environ.get("BOSH_LAB_STATE", "/var/lib/bosh-lab"))
SOCKET = STATE / "podman.sock"
DISKS = STATE / "disks"
VMS = STATE / "vms"
ARTIFACTS = STATE / "artifacts"
WORKSPACE = STATE / "workspace" / "deployments"
FAULTS = STATE / "faults.json"
#: What `lab write` was told to be committed: lines of JSON, a file for each VM's name.
WRITES = STATE / "writes"
#: Beside the state, so that `reset` keeps them.
SNAPSHOTS = STATE.with_name(f"{STATE.name}.snapshots")

NETWORK = "bosh-lab"
SUBNET = "10.10.0.0/24"
GATEWAY = "10.10.0.1"
ADDRESSES = {"micro": "10.10.0.3", "primary": "10.10.0.4", "meta": "10.10.0.5"}
#: A director for an hour, to try something on; nobody probes it.
SPARE = {"rehearsal": "10.10.0.40"}
DIRECTORS = ADDRESSES | SPARE

IMAGE = "localhost/bosh-lab/stemcell:1.1"
STEMCELL = ("bosh-lab-debian-bookworm-go_agent", "1.1")
RELEASE = ("bosh", "283.1.6")
APP_RELEASE = ("lab-app", "1.0.0")
#: Of each instance group of the deployment `lab-app`.
APP_ADDRESSES = {"app": ["10.10.0.32", "10.10.0.33"], "data": ["10.10.0.34"]}

#: Inside a VM: where its attached disks appear, as an IaaS shows block devices.
ATTACHED = "/var/vcap/lab/attached"
