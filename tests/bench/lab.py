# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's commands, and its VMs: what the measurements do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import outage

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "bench"
INVENTORY = ROOT / "inventories" / "lab"
STATE = Path(os.environ.get("BOSH_LAB_STATE", "/var/lib/bosh-lab"))
ADDRESSES = {"micro": "10.10.0.3", "primary": "10.10.0.4", "meta": "10.10.0.5"}
STORE = "/var/vcap/store"
RATE = 5  # questions a second

_MONIT = "/var/vcap/bosh/bin/monit"
#: Until monit calls no process anything but stopped.
_STOPPED = (
    f"""while [ -n "$({_MONIT} summary | grep Process | grep -vi 'not monitored' || true)" ]; do sleep 0.2; done"""
)
_ANSWERS = "until curl --silent --insecure --fail --max-time 2 https://127.0.0.1:25555/info; do sleep 0.1; done"


class BenchError(Exception):
    """One sentence for a person."""


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def lab(*words: str, timeout: float = 900) -> str:
    """What `lab` prints; raises BenchError where it fails."""
    done = subprocess.run(
        ["lab", *words], capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise BenchError(f"`lab {' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def in_vm(name: str, script: str, timeout: float = 900) -> str:
    """What a script of root's prints in a VM."""
    command = ["lab", "ssh", name, "sudo", "bash", "-s"]
    words = f"set -euo pipefail\n{script}\n"
    done = subprocess.run(command, input=words, capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode != 0:
        raise BenchError(f"a script on {name} ended with {done.returncode}: {done.stderr.strip()[-500:]}\n{script}")
    return done.stdout


def timed(name: str, script: str, timeout: float = 900) -> float:
    """Seconds that a script takes in a VM, by the VM's own clock."""
    # Its own stdin is the script: an ssh in it would read the rest of it.
    measured = f"{{ {script}\n}} </dev/null >/dev/null"
    said = in_vm(name, f"began=$(date +%s%N)\n{measured}\necho $(($(date +%s%N) - began))", timeout)
    return int(said.splitlines()[-1]) / 1e9


def drop_caches() -> None:
    """All that was read is read from the disk again. VMs are containers, so it is the same cache for all of them."""
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def stop_processes(name: str) -> float:
    """Seconds from monit's order to the last process stopped, with nothing of Ansible's."""
    return timed(name, f"{_MONIT} stop all\n{_STOPPED}")


def start_processes(name: str) -> float:
    """Seconds from monit's order to the API's first answer."""
    return timed(name, f"{_MONIT} start all\n{_ANSWERS}")


@contextmanager
def probing(label: str) -> Iterator[Path]:
    """Ask all three directors all the time; yields the file of the answers."""
    out = CACHE / f"{label}.probe.jsonl"
    out.unlink(missing_ok=True)
    process = subprocess.Popen(
        ["lab", "probe", "--out", str(out), "--rate", str(RATE)], stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        time.sleep(2)
        yield out
    finally:
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def asked(out: Path) -> list[outage.Sample]:
    return outage.samples(out.read_text(encoding="utf-8").splitlines())


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Rows, and a blob now and then, into a director's database and blobstore."""
    lab("write", name)
    try:
        yield
    finally:
        lab("write", name, "--stop")


def written(name: str) -> dict[str, Any]:
    """What of it is in a VM now; raises BenchError where a row or a blob is lost."""
    return dict(json.loads(lab("written", name)))


def store_bytes(name: str, path: str = STORE) -> int:
    """Bytes of all files."""
    # Of a store that is in use files vanish meanwhile.
    sizes = f"{{ find {path} -type f -printf '%s\\n' 2>/dev/null || true; }}"
    return int(in_vm(name, f"{sizes} | awk '{{ n += $1 }} END {{ printf \"%.0f\", n }}'"))
