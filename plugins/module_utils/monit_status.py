# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What monit says of a VM's processes (`monit summary`), and what stopped and running mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ansible.module_utils.urls import open_url

# 5.2.5 quotes the names, newer monits print columns: both end in the name and the state.
_OLD = re.compile(
    r"^(?P<kind>Process|System|File|Filesystem|Host|Directory|Program)\s+'(?P<name>[^']+)'\s+(?P<state>.+?)\s*$", re.I
)
_NEW = re.compile(
    r"^\s*(?P<name>\S+)\s{2,}(?P<state>\S.*?)\s{2,}"
    r"(?P<kind>Process|System|File|Filesystem|Remote Host|Directory|Program)\s*$"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# monit 5.3 writes OK where 5.2.5 wrote running.
_SAME = {"ok": "running"}
#: Where a stemcell's agent keeps the user of monit's HTTP port, and that port (bosh-agent jobsupervisor/monit).
MONIT_USER = "/var/vcap/monit/monit.user"
MONIT_STATUS = "http://127.0.0.1:2822/_status?format=xml"

#: AnsibleModule.run_command.
Run = Callable[..., tuple[int, str, str]]


class NoAnswer(ValueError):
    """Monit could not be asked, or its answer not be read; the message says why."""


@dataclass(frozen=True)
class Service:
    """One service of monit: its kind, name and state in 5.2.5's words, lower case."""

    kind: str
    name: str
    state: str


def parse_summary(text: str) -> list[Service]:
    """Services of `monit summary`, for monit 5.2.5 and for later ones with columns."""
    services = []
    for raw in text.splitlines():
        line = _COLOUR.sub("", raw)
        found = _OLD.match(line) or _NEW.match(line)
        if found:
            state = found.group("state").strip().lower()
            services.append(Service(found.group("kind").capitalize(), found.group("name"), _SAME.get(state, state)))
    return services


def ask(run: Run, path: str) -> list[Service]:
    """Monit's services. Raises NoAnswer where it names none: it always has one, the system.

    5.2.5 exits with 0 also where its daemon does not answer (status.c, control.c), so only what is named is an answer.
    """
    rc, out, err = tell(run, path, "summary")
    if rc != 0:
        raise NoAnswer(f"monit does not answer: {(err or out).strip()}")
    services = parse_summary(out)
    if not processes(services):
        # A summary of a form that is not known may look so, too.
        try:
            services = parse_xml(status_xml()) or services
        except (OSError, ValueError) as error:
            if not services:
                raise NoAnswer(
                    f"monit's summary cannot be read ({(out or err).strip()}), nor its XML: {error}"
                ) from error
    if not services:
        raise NoAnswer(f"monit names nothing, not even the system: {(out or err).strip()}")
    return services


def tell(run: Run, path: str, *words: str) -> tuple[int, str, str]:
    """Run the monit command at `path`. Raises NoAnswer where there is none."""
    try:
        return run([path, *words], handle_exceptions=False)
    except OSError as error:
        raise NoAnswer(
            f"there is no monit that can be run as {path} on this host: {error.strerror or error}"
        ) from error


def status_xml() -> str:
    """Monit's own XML. Raises OSError."""
    with open(MONIT_USER, encoding="utf-8") as stream:
        user, _colon, password = stream.read().strip().partition(":")
    answer: Any = open_url(MONIT_STATUS, url_username=user, url_password=password, force_basic_auth=True, timeout=10)
    return answer.read().decode("utf-8", "replace")


# Numbers of monit's XML. Source: monit 5.2.5, monitor.h and event.h (Event_Type); 5.33 has the same.
_KINDS = {0: "Filesystem", 1: "Directory", 2: "File", 3: "Process", 4: "Remote host", 5: "System", 7: "Program"}
_MONITOR = {0: "not monitored", 2: "initializing"}
_PENDING = {2: "restart", 3: "stop", 6: "start"}
_FAILURES = {
    0x1: "checksum failed",
    0x2: "resource limit matched",
    0x4: "timeout",
    0x20: "connection failed",
    0x200: "does not exist",
    0x800: "data access error",
    0x1000: "execution failed",
    0x40000: "pid failed",
    0x80000: "ppid failed",
}


def parse_xml(text: str) -> list[Service]:
    """Services of `/_status?format=xml`, which reads the same in every monit.

    Raises ValueError when the text is no XML.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"monit's status is no XML: {error}") from error
    services = []
    for item in root.iter("service"):
        # Older monits have the name as an element, newer ones as an attribute, and so with the type.
        name = item.get("name") or item.findtext("name") or ""
        kind = int(item.get("type") or item.findtext("type") or -1)
        state = _xml_state(*(int(item.findtext(tag) or 0) for tag in ("monitor", "status", "pendingaction")))
        services.append(Service(_KINDS.get(kind, "Other"), name, state))
    return services


def _xml_state(monitor: int, status: int, pending: int) -> str:
    state = _MONITOR.get(monitor, "running")
    if state == "running" and status:
        told = [words for bit, words in _FAILURES.items() if status & bit]
        state = " | ".join(told) or f"failed ({status})"
    return f"{state} - {_PENDING[pending]} pending" if pending in _PENDING else state


def processes(services: list[Service]) -> list[Service]:
    """Only the processes: the System line stays `running` whatever stops."""
    return [service for service in services if service.kind == "Process"]


def all_stopped(services: list[Service]) -> bool:
    """Every process is exactly `not monitored`; ` - stop pending` is not yet stopped.

    No process at all is not "stopped": an unreadable answer must never pass as one.
    """
    found = processes(services)
    return bool(found) and all(service.state == "not monitored" for service in found)


def all_running(services: list[Service]) -> bool:
    """Every process is exactly `running`."""
    found = processes(services)
    return bool(found) and all(service.state == "running" for service in found)
