# SPDX-License-Identifier: GPL-3.0-or-later

"""`/var/vcap/bosh/bin/monit`: Debian's monit 5.33 with the answers and the deeds of a stemcell's monit 5.2.5.

Source: monit-5.2.5.tar.gz in bosh-linux-stemcell-builder (stemcell_builder/stages/bosh_monit/assets). What differs is
done here:

- `summary` is one line a service, `Process 'NAME'   STATE`, with the first failure only, and never cut short
  (http/cervlet.c, print_summary and get_service_status_text). It exits with 0 if the daemon is away (status.c).
- `start NAME` also starts what depends on NAME, unless NAME runs already (control.c, control_service and do_depend).
- A service that was just started is checked in the same cycle (validate.c, validate), so that a rule `if failed port`
  fires before the port is open. 5.33 checks it a cycle later.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

MONIT, CONFIG, PIDFILE = "/usr/bin/monit", "/var/vcap/bosh/etc/monitrc", Path("/run/monit.pid")
USER, JOBS = Path("/var/vcap/monit/monit.user"), Path("/var/vcap/monit/job")
#: Seconds that a start may take until its process is there to be checked.
START_SECONDS = 30.0
_KINDS = ["Filesystem", "Directory", "File", "Process", "Remote Host", "System", "Fifo"]
_PENDING = ["", "alert", "restart", "stop", "exec", "unmonitor", "start", "monitor"]
#: Bits of `status` in the order in which 5.2.5 looks for the one that it prints (event.c, Event_Table; event.h).
_FAILURES = {
    0x20: "Connection failed",
    0x800: "Data access error",
    0x1000: "Execution failed",
    0x200: "Does not exist",
    0x40000: "PID failed",
    0x80000: "PPID failed",
    0x2: "Resource limit matched",
    0x4: "Timeout",
}
_LINE = re.compile(r"^(\w[\w ]*) '([^']+)'\s+(\S.*?)\s*$")


def parse(summary: str, kind: str = "Process") -> dict[str, str]:
    """State of each service of a kind, by its name, from what `summary` prints."""
    found = [_LINE.match(line) for line in summary.splitlines()]
    return {line.group(2): line.group(3) for line in found if line and line.group(1) == kind}


def status() -> str | None:
    """The daemon's own XML; None if it does not answer."""
    try:
        login = b64encode(USER.read_bytes().strip()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", 2822, timeout=10)
        connection.request("GET", "/_status?format=xml", headers={"Authorization": f"Basic {login}"})
        answer = connection.getresponse()
        return answer.read().decode("utf-8", "replace") if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None


def state(monitor: int, failures: int, pending: int, kind: str = "Process") -> str:
    """A service's state in 5.2.5's words (cervlet.c, get_service_status_text)."""
    if monitor == 0:
        words = "not monitored"
    elif monitor & 2:
        words = "initializing"
    elif failures:
        words = next((text for bit, text in _FAILURES.items() if failures & bit), "unknown")
    else:
        words = "running" if kind in ("Process", "System") else "accessible"
    return f"{words} - {_PENDING[pending]} pending" if 0 < pending < len(_PENDING) else words


def summary(xml: str) -> str:
    """What 5.2.5 prints for `summary`."""
    root = ElementTree.fromstring(xml)
    minutes = int(root.findtext("server/uptime") or 0) // 60
    lines = [f"The Monit daemon 5.2.5 uptime: {minutes}m ", ""]
    for item in root.iter("service"):
        kind = _KINDS[int(item.get("type") or 3)]
        values = (int(item.findtext(tag) or 0) for tag in ("monitor", "status", "pendingaction"))
        prefix = f"{kind} '{item.get('name') or item.findtext('name')}'"
        lines.append(f"{prefix:<35} {state(*values, kind)}")
    return "\n".join(lines) + "\n\n"


def answer() -> str | None:
    """What 5.2.5 prints for `summary` now; None if the daemon does not answer."""
    xml = status()
    return None if xml is None else summary(xml)


@dataclass
class Service:
    """What a job's monit file says of a process."""

    pidfile: str = ""
    depends: list[str] = field(default_factory=list)
    has_port_rule: bool = False

    @property
    def runs(self) -> bool:
        try:
            return Path(f"/proc/{int(Path(self.pidfile).read_text(encoding='utf-8'))}").exists()
        except (OSError, ValueError):
            return False


def services(texts: Iterable[str]) -> dict[str, Service]:
    """The processes of monit files, by name."""
    found: dict[str, Service] = {}
    for line in "\n".join(texts).splitlines():
        words = line.split()
        if words[:2] == ["check", "process"]:
            current = found[words[2]] = Service()
        if "pidfile" in words:
            current.pidfile = words[words.index("pidfile") + 1]
        elif words[:2] == ["depends", "on"]:
            current.depends += [name.strip(",") for name in words[2:]]
        elif words[:1] == ["port"] or words[:3] == ["if", "failed", "port"]:
            current.has_port_rule = True
    return found


def dependents(name: str, known: dict[str, Service]) -> list[str]:
    """All that depend on a service, also by way of others, in the order in which 5.2.5 starts them (do_depend)."""
    found: list[str] = []
    for child, service in known.items():
        if name in service.depends:
            found += [one for one in [child, *dependents(child, known)] if one not in found]
    return found


def check_at_once(started: Iterable[Service]) -> None:
    """Have what was just started checked in this cycle, if a rule asks for its port."""
    awaited = [service for service in started if service.has_port_rule and not service.runs]
    if not awaited or os.fork():
        return
    os.setsid()
    with open(os.devnull, "r+b") as null:
        for stream in range(3):
            os.dup2(null.fileno(), stream)
    until = time.monotonic() + START_SECONDS
    while awaited and time.monotonic() < until:
        if any(service.runs for service in awaited):
            awaited = [service for service in awaited if not service.runs]
            os.kill(int(PIDFILE.read_text(encoding="utf-8")), signal.SIGUSR1)
        time.sleep(0.01)
    os._exit(0)


def real(*words: str) -> int:
    """Run Debian's monit."""
    return os.spawnv(os.P_WAIT, MONIT, [MONIT, "-c", CONFIG, *words])


def main() -> int:
    words = sys.argv[1:]
    if words == ["summary"]:
        text = answer()
        if text is None:
            print("monit: error connecting to the monit daemon", file=sys.stderr)
        else:
            print(text, end="")
        return 0
    if len(words) != 2 or words[0] != "start":
        os.execv(MONIT, [MONIT, "-c", CONFIG, *words])
    known = services(path.read_text(encoding="utf-8") for path in sorted(JOBS.glob("*.monitrc")))
    name = words[1]
    asked = [name]
    if name in known and not known[name].runs:
        asked += dependents(name, known)
    check_at_once(list(known.values()) if name == "all" else [known[one] for one in asked if one in known])
    code = real(*words)
    for other in asked[1:]:
        code = real("start", other) or code
    return code


if __name__ == "__main__":
    sys.exit(main())
