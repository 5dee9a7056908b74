# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the preflight judges by what directors and hosts say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import monit_orders
from ansible_collections.bosh.ha.plugins.module_utils.addresses import among
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import CERTIFICATE_CAUSES, LOGIN_CAUSES, explain
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import (
    ERROR,
    NOT_KNOWN,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    Side,
    compared,
    finding,
    sides,
)

NAMES = ("micro", "primary", "meta")
#: Who must be there in a phase; in the others a VM may be still to come.
THERE = {"only_micro": ("micro",), "deployed": NAMES, "frozen": NAMES}
#: By whom each is deployed.
DEPLOYED_BY = {"primary": "micro", "meta": "primary"}
_CLOCK_BLUR = 10.0
_UNASKED: Side = (NOT_KNOWN, UNKNOWN, "")
_GIB = 1024**3


def director_findings(seen: dict[str, Any]) -> Iterator[Finding]:
    """Rows for what the directors say; `seen` as in preflight.findings."""
    yield from _answers(seen)
    yield from _busy(seen)
    yield from _cpis(seen)
    yield from _attached(seen)
    yield from _orphans(seen)
    yield _strangers(seen)


def _answers(seen: dict[str, Any]) -> Iterator[Finding]:
    told: dict[str, Side] = {}
    for name in NAMES:
        said = seen["said"].get(name) or {}
        if said.get("logged_in"):
            told[name] = ("answers", OK, "")
        elif said.get("cause") in LOGIN_CAUSES:
            told[name] = (str(said["reason"]), ERROR, f"correct client and client_secret of bosh_ha_directors.{name}")
        elif said.get("cause") in CERTIFICATE_CAUSES:
            told[name] = (str(said["reason"]), ERROR, f"bosh_ha_directors.{name}: {explain(str(said['reason']))[1]}")
        else:
            reason = said.get("reason") or said.get("msg") or "it has no vars store yet"
            told[name] = (f"not asked, or silent: {reason}", UNKNOWN, "what only a director tells is not judged")
    yield from sides("director", told)


def _busy(seen: dict[str, Any]) -> Iterator[Finding]:
    told: dict[str, Side] = {}
    for name in NAMES:
        said = seen["said"].get(name) or {}
        if said.get("logged_in"):
            if said.get("tasks") is None or said.get("locks") is None:
                told[name] = _UNASKED
                continue
            tasks = [f"task {row['id']}" for row in said["tasks"]]
            locks = [f"lock on {row['resource']}" for row in said["locks"]]
            busy = ", ".join(tasks + locks)
            told[name] = (
                busy or "none",
                WARNING if busy else OK,
                "step 4 waits stop_boshes_wait seconds for it" if busy else "",
            )
    yield from sides("tasks and locks", told)


def _cpis(seen: dict[str, Any]) -> Iterator[Finding]:
    both = [seen["said"].get(name) or {} for name in ("micro", "meta")]
    if all(said.get("logged_in") for said in both):
        names = [said["director"]["cpi"] for said in both]
        yield compared("CPI, as it runs", *names, ERROR, "give Meta Micro's CPI")
        if any(said.get("configs") is None for said in both):
            yield finding(
                "CPI configs", NOT_KNOWN, NOT_KNOWN, UNKNOWN, "the directors were not asked for their configs"
            )
            return
        configs = [sorted(row["name"] for row in said["configs"] if row["type"] == "cpi") for said in both]
        told = [", ".join(names) or "none" for names in configs]
        lost = sorted(set(configs[1]) - set(configs[0]))
        do = f"{', '.join(lost)} goes with Meta's own database, which Micro's replaces" if lost else ""
        yield finding("CPI configs", *told, WARNING if lost else OK, do)


def _attached(seen: dict[str, Any]) -> Iterator[Finding]:
    told: dict[str, Side] = {}
    state = seen.get("state") or {}
    if state.get("vm_cid"):
        disk = state.get("disk_cid") or ""
        more = [cid for cid in state.get("disk_cids") or [] if cid != disk]
        told["micro"] = (
            f"{disk or 'none'}{', others: ' if more else ''}{', '.join(more)}",
            ERROR if not disk else WARNING if more else OK,
            "the state file names no disk in use" if not disk else "see which disk holds Micro's data" if more else "",
        )
    for name in DEPLOYED_BY:
        rows = [row for row in (seen["instances"].get(name) or {}).get("instances") or [] if row.get("vm_cid")]
        disks = [cid for row in rows for cid in row["disk_cids"]]
        if rows:
            do = "" if len(disks) == 1 else f"one disk is expected for {name}; with none its data are lost with its VM"
            told[name] = (", ".join(disks) or "none", OK if len(disks) == 1 else WARNING if disks else ERROR, do)
    yield from sides("disk in use", told)


def _orphans(seen: dict[str, Any]) -> Iterator[Finding]:
    """Disks and VMs that a director let go of, and that somebody could take for those in use."""
    ours_are = [seen["directors"][name]["address"] for name in NAMES]
    used = {
        cid
        for answer in seen["instances"].values()
        for row in (answer or {}).get("instances") or []
        for cid in row["disk_cids"]
    } | set((seen.get("state") or {}).get("disk_cids") or [])
    ours = {seen["directors"][name]["deployment"] for name in DEPLOYED_BY}
    for kind, key in (("disks", "disk_cid"), ("VMs", "vm_cid")):
        told: dict[str, Side] = {}
        for name in NAMES:
            rows = (seen["traits"].get(name) or {}).get(f"orphaned_{kind.lower()}")
            if rows is None:
                if (seen["said"].get(name) or {}).get("logged_in"):
                    told[name] = (NOT_KNOWN, UNKNOWN, "")
                continue
            clash = [row for row in rows if row[key] in used or any(among(ip, ours_are) for ip in row.get("ips") or [])]
            near = [row for row in rows if row not in clash and row["deployment"] in ours]
            text = ", ".join(f"{row[key]} of {row['deployment']}" for row in clash + near)
            others = len(rows) - len(clash) - len(near)
            text = text or (f"{others} of other deployments" if others else "none")
            do = "one in use, or at an address of the three, counts as an orphan: clear this first" if clash else ""
            told[name] = (
                text,
                ERROR if clash else WARNING if near else OK,
                do or ("remove it if nobody needs it (`bosh clean-up --all`)" if near else ""),
            )
        yield from sides(f"orphaned {kind}", told)


def _strangers(seen: dict[str, Any]) -> Finding:
    """VMs that a director has at an address of the three, and that are not the one that belongs there."""
    found, asked = [], []
    for by in NAMES:
        vms = (seen["said"].get(by) or {}).get("vms")
        if vms is None:
            continue
        asked.append(by)
        for name in NAMES:
            address = str(seen["directors"][name]["address"])
            rows = [vm for vm in vms if among(address, vm["ips"])]
            if by == DEPLOYED_BY.get(name):
                answer = seen["instances"].get(name) or {}
                if "instances" not in answer and len(rows) < 2:
                    continue
                own = [row["vm_cid"] for row in answer.get("instances") or []]
                rows = [vm for vm in rows if vm["vm_cid"] not in own]
            elif name == "micro":
                rows = [vm for vm in rows if vm["vm_cid"] != (seen.get("state") or {}).get("vm_cid")]
            found += [f"{vm['vm_cid']} ({vm['instance']}) of {by} at {name}'s {address}" for vm in rows]
    what = "second VM at an address"
    if found:
        return finding(
            what, "", ", ".join(found), ERROR, "two VMs at one address: give that deployment another one, or delete it"
        )
    return finding(what, "", "none" if asked else NOT_KNOWN, OK if asked else UNKNOWN)


def host_findings(seen: dict[str, Any]) -> Iterator[Finding]:
    """Rows for what the hosts say."""
    yield from _logins(seen)
    yield from _tools(seen)
    micro, meta = (_host(seen, name) or {} for name in ("micro", "meta"))
    yield compared(
        "vcap's numeric ID",
        micro.get("vcap_uid"),
        meta.get("vcap_uid"),
        ERROR,
        "their stemcells do not go together: PostgreSQL's files would not be its own",
    )
    databases = [", ".join(host["postgres"]) or "none" if "postgres" in host else None for host in (micro, meta)]
    yield compared(
        "PostgreSQL in the store",
        # Two that have none are no sign that they go together.
        *([None, None] if databases == ["none", "none"] else databases),
        ERROR,
        "give Meta a release with Micro's PostgreSQL: a start upgrades nothing, a deploy does",
    )
    yield from _mounts(seen)
    yield from _backups(seen)
    yield _room(seen, micro, meta)
    yield from _clocks(seen)


def _host(seen: dict[str, Any], name: str) -> dict[str, Any] | None:
    host = seen["hosts"].get(name) or {}
    return host if "clock" in host else None


def _logins(seen: dict[str, Any]) -> Iterator[Finding]:
    needed = THERE.get(seen["phase"], ())
    logins: dict[str, Side] = {}
    sudos: dict[str, Side] = {}
    for name in NAMES:
        login = seen["logins"].get(name) or {}
        message = str(login.get("msg") or "")
        if "elapsed" in login and not message:
            logins[name] = ("logged in", OK, "")
            said = seen["hosts"].get(name) or {}
            reason = _last_line(said.get("module_stderr") or said.get("msg") or "no answer")
            sudos[name] = (
                ("root", OK, "")
                if _host(seen, name)
                else (
                    f"not asked: {reason}",
                    ERROR,
                    f"{name}: sudo without a password for ansible_user, and Python 3, are needed",
                )
            )
            continue
        sudos[name] = (NOT_KNOWN, UNKNOWN, "")
        keys = seen.get("host_keys") or {}
        if name in keys.get("not_pinned", ()):
            # A newcomer has pinned no key yet: what the directors report is judged all the same.
            do = f"{name}: compare its fingerprint, which is below this table, and pin it"
            logins[name] = ("no host key is pinned", WARNING, do)
        elif "Host key verification failed" in message:
            logins[name] = (
                "another host key than the pinned one" + ("" if keys else ", or none pinned"),
                ERROR,
                f"see who answers at {name}'s address, and correct bosh_ha_known_hosts",
            )
        elif "Permission denied" in message:
            logins[name] = ("refuses the user or the key", ERROR, f"correct ansible_user or the key of {name}")
        else:
            logins[name] = (
                "does not answer",
                ERROR if name in needed else UNKNOWN,
                f"{name}: what only its host tells is not judged",
            )
    yield from sides("SSH", logins)
    yield from sides("sudo", sudos)


def _tools(seen: dict[str, Any]) -> Iterator[Finding]:
    monits: dict[str, Side] = {}
    copies: dict[str, Side] = {}
    for name in NAMES:
        host = _host(seen, name)
        if not host:
            monits[name] = (NOT_KNOWN, UNKNOWN, "")
            copies |= {} if name == "primary" else {name: (NOT_KNOWN, UNKNOWN, "")}
            continue
        states = host["monit"]["processes"]
        ill = sorted(
            process
            for process, state in states.items()
            if any(word in state for word in ("failed", "does not exist", "timeout"))
        )
        held = _held(states)
        if not states and host["monit"].get("fenced"):
            # Monit has forgotten its processes where a fenced host was restarted.
            monits[name] = ("fenced: nothing starts here", OK, "")
        elif not states:
            monits[name] = (
                f"silent: {host['monit']['reason']}",
                ERROR,
                f"{name}: the stop goes by monit; is this a director's VM?",
            )
        elif held and set(held) <= set(host["monit"].get("held") or []):
            monits[name] = (
                f"stopped by a run that was interrupted: {', '.join(held)}",
                WARNING,
                f"{name}: the next run of playbooks/binary_boshes.yml or rollback.yml, or its next backup, starts them",
            )
        elif held:
            monits[name] = (
                f"stopped beside a director that runs: {', '.join(held)}",
                WARNING if seen.get("backup") else ERROR,
                f"{name}: no task of it begins, and no run of this collection stopped them; "
                f"`monit start {held[0]}` there starts them",
            )
        elif ill:
            monits[name] = (f"ill: {', '.join(ill)}", WARNING, f"{name}: see `monit summary`")
        else:
            running = len([state for state in states.values() if state == "running"])
            monits[name] = (f"{running} of {len(states)} processes run", OK, "")
        if name != "primary":
            missing = [tool for tool in ("rsync", *(["rrsync"] if name == "micro" else [])) if not host[tool]]
            copies[name] = (
                f"no {' and no '.join(missing)}" if missing else host["rsync"],
                ERROR if missing else OK,
                f"install it on {name}, or name its path in permit_root_rsync_rrsync" if missing else "",
            )
    yield from sides("monit", monits)
    yield from sides("rsync", copies)


def _held(states: dict[str, str]) -> list[str]:
    """The workers that are stopped while the director takes tasks."""
    if states.get("director") != "running":
        return []
    return sorted(name for name in monit_orders.workers(states) if states[name] == monit_orders.NOT_MONITORED)


def _backups(seen: dict[str, Any]) -> Iterator[Finding]:
    """Whether the backup before the freeze has anything to back up, where one is asked for."""
    if not seen.get("backup") or seen["phase"] == "frozen":
        return
    told: dict[str, Side] = {}
    for name in ("micro", "primary"):
        host = _host(seen, name)
        jobs = ", ".join(host["backup_jobs"]) if host else ""
        do = f"{name}: deploy it with BBR's jobs, or go on without bosh_ha_backup"
        told[name] = (jobs or "no bin/bbr/backup", OK if jobs else ERROR, "" if jobs else do) if host else _UNASKED
    yield from sides("backup scripts", told)


def _mounts(seen: dict[str, Any]) -> Iterator[Finding]:
    told: dict[str, Side] = {}
    for name in NAMES:
        host = _host(seen, name)
        if not host:
            told[name] = (NOT_KNOWN, UNKNOWN, "")
        elif not host["store"]["mounted"]:
            told[name] = (f"no mount at {host['store']['path']}", ERROR, f"{name}: no persistent disk is mounted there")
        else:
            told[name] = (f"{host['store']['device']}, {_size(host['store']['total'])}", OK, "")
    yield from sides("store", told)


def _room(seen: dict[str, Any], micro: dict[str, Any], meta: dict[str, Any]) -> Finding:
    what = "room for the copy"
    if not all(host and host["store"]["total"] for host in (micro, meta)):
        return finding(what, NOT_KNOWN, NOT_KNOWN, UNKNOWN)
    if not micro["store"]["used"]:
        return finding(what, "0 MiB used", NOT_KNOWN, UNKNOWN, "no file system has nothing in use: see `df` on micro")
    # What lies in the staging directory is part of the copy already.
    needs = micro["store"]["used"] * float(seen["room_factor"])
    has = meta["store"]["available"] + meta["store"]["staged"]
    told = (f"{_size(micro['store']['used'])} used", f"{_size(has)} free")
    do = f"{_size(needs)} are needed beside Meta's own store: deploy Meta with a larger disk"
    return finding(what, *told) if has >= needs else finding(what, *told, ERROR, do)


def _clocks(seen: dict[str, Any]) -> Iterator[Finding]:
    """How far the clocks are from the control node's, at least and at most, as the answer took its time."""
    limit = float(seen["clock_skew"])
    spans = {}
    for name in NAMES:
        host = _host(seen, name)
        if host and host.get("asked") is not None:
            spans[name] = (host["clock"] - host["answered"], host["clock"] - host["asked"])
    told: dict[str, Side] = dict.fromkeys(NAMES, (NOT_KNOWN, UNKNOWN, ""))
    for name, (low, high) in spans.items():
        blurred = high - low > _CLOCK_BLUR
        text = f"{(low + high) / 2:+.1f} s, +-{(high - low) / 2:.1f} s"
        told[name] = (text, UNKNOWN if blurred else OK, f"{name} takes {high - low:.0f} s to answer" if blurred else "")
    for one, other in combinations(spans, 2):
        skew = max(spans[one][0] - spans[other][1], spans[other][0] - spans[one][1])
        if skew > limit:
            do = f"the clocks of {one} and {other} are {skew:.1f} s apart or more: set NTP right on both"
            told[other] = (told[other][0], ERROR, do)
    yield from sides("clock", told)


def _size(count: float) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / 1024**2:.0f} MiB"


def _last_line(text: Any) -> str:
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return lines[-1] if lines else ""
