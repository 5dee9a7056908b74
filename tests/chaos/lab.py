# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab, as a fault and an invariant need it. It has more ways into a VM than a migration has."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

ADDRESSES = {"micro": "10.10.0.3", "primary": "10.10.0.4", "meta": "10.10.0.5"}
STATE = Path(os.environ.get("BOSH_LAB_STATE", "/var/lib/bosh-lab"))
STORE = "/var/vcap/store"
#: Seconds for one command of the lab's; the longest is a reset.
PATIENCE = 300


class LabError(Exception):
    """What a command of the lab said when it failed."""


class Lab:
    """Commands are those of lab/bin; what is told of a VM by Podman is asked anew, as VMs come and go."""

    def __init__(self, root: Path) -> None:
        self._lab = str(root / "lab" / "bin" / "lab")

    def call(self, *words: str) -> str:
        """A command of `lab`; returns what it printed."""
        return run([self._lab, *words])

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command of `lab` that runs until it is ended."""
        return subprocess.Popen(
            [self._lab, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def vm(self, name: str) -> tuple[str, int]:
        """CID and process ID of a VM; raises LabError where there is none."""
        found = json.loads(podman("ps", "--filter", f"label=bosh-lab.ip={ADDRESSES[name]}", "--format", "json") or "[]")
        if not found:
            raise LabError(f"{name} has no VM that runs")
        return found[0]["Names"][0], found[0]["Pid"]

    def inside(self, name: str, script: str, timeout: float = 60) -> str:
        """What a shell command prints in a VM, as root."""
        return run([*_podman("exec"), self.vm(name)[0], "sh", "-c", script], timeout)

    def beneath(self, name: str, *words: str) -> str:
        """A command of this machine's in a VM's network, which asks nothing of the VM."""
        return run(["nsenter", "-t", str(self.vm(name)[1]), "-n", *words], 10)

    def sql(self, name: str, question: str) -> str:
        """The answer of a director's database."""
        words = "psql -h /var/vcap/sys/run/postgres -U postgres -At bosh"
        return self.inside(name, f'runuser -u vcap -- {words} -c "{question}"').strip()

    def faults(self, wanted: dict[str, object] | None) -> None:
        """What the CPI and the directors' workers shall do wrong from now on."""
        if wanted is None:
            (STATE / "faults.json").unlink(missing_ok=True)
        else:
            (STATE / "faults.json").write_text(json.dumps(wanted), encoding="utf-8")


def _podman(*words: str) -> list[str]:
    return ["env", f"CONTAINERS_CONF={STATE / 'containers.conf'}", "podman", *words]


def podman(*words: str) -> str:
    return run(_podman(*words))


def run(command: list[str], timeout: float = PATIENCE) -> str:
    """What a command printed; raises LabError with what it said where it failed or did not end."""
    try:
        # What a file of the store begins with need not be text.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(command)}` did not end in {timeout:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise LabError(f"`{' '.join(command)[:200]}`: {said}")
    return done.stdout
