"""Runs a command with its output in a file, and fails if a secret of the lab was on a command line or is in that file.

It fails, too, if Ansible printed a warning or a retry, which an operator would read as an error.

Usage: watch_secrets.py WORKSPACE LOG COMMAND...

Every process of this machine is looked at, those of the lab's VMs included, about ten times a second: one that lives
shorter may be missed. The secrets are what the vars stores in WORKSPACE hold; they are read again when they change.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

SECRET = re.compile(r"password: (\S{8,})|BEGIN [A-Z ]*PRIVATE KEY-----\s+(\S+)")

#: As Ansible's display begins such lines; Molecule's own have no brackets.
NOISE = re.compile(rb"^(?:\x1b\[[0-9;]*m)*(\[(?:DEPRECATION )?WARNING\]: .*|FAILED - RETRYING: .*)", re.MULTILINE)


def secrets_in(workspace: Path) -> set[bytes]:
    """Passwords, and the first line of each private key."""
    found: set[bytes] = set()
    for store in workspace.rglob("*vars.yml"):
        try:
            text = store.read_text(encoding="utf-8")
        except OSError:
            continue
        found |= {(password or key).encode() for password, key in SECRET.findall(text)}
    return found


def command_lines() -> set[bytes]:
    lines = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                lines.add((process / "cmdline").read_bytes())
            except OSError:
                continue  # it ended
    return lines


def main() -> int:
    workspace, log, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    known: set[bytes] = set()
    seen: set[bytes] = set()
    shown: set[bytes] = set()
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
    # Whoever ends this ends the command, too.
    signal.signal(signal.SIGTERM, lambda *_signal: process.terminate())
    while process.poll() is None:
        known |= secrets_in(workspace)
        for line in command_lines() - seen:
            seen.add(line)
            if any(secret in line for secret in known):
                shown.add(line.split(b"\0")[0])
        time.sleep(0.1)
    told = sum(secret in log.read_bytes() for secret in known)
    names = ", ".join(sorted(name.decode(errors="replace") for name in shown))
    print(
        f"secrets: {len(known)} were looked for; on the command line of {names or 'nobody'} "
        f"({len(seen)} were seen), and {told} of them in {log}"
    )
    noise = sorted(set(NOISE.findall(log.read_bytes())))
    for line in noise:
        print(f"noise: {line.decode(errors='replace')}")
    if not known:
        print("secrets: there was none to look for, so nothing was shown")
    return process.returncode or int(bool(shown or told or noise or not known))


if __name__ == "__main__":
    sys.exit(main())
