# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent does when told: one method for each of BOSH's actions (bosh-agent agent/action)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx

from boshlab import monit, paths
from boshlab.agent import settings as store

VCAP = Path("/var/vcap")
JOBS = VCAP / "jobs"
MONIT = "/var/vcap/bosh/bin/monit"
#: What was brought by `upload_blob`, and is looked for before the blobstore (bosh-agent v2.874 app/app.go,
#: agent/blobstore/cascading_blobstore.go).
BLOBS = VCAP / "data" / "sensitive_blobs"
LOCAL_BLOBS = VCAP / "micro_bosh" / "data" / "cache"
MOUNT = "/var/vcap/store"
STOPPED = VCAP / "monit" / "stopped"
MONIT_TIMEOUT = 300
MONIT_STATUS = "http://127.0.0.1:2822/_status?format=xml"
#: Seconds until a reload that nothing came of is asked for again.
MONIT_RELOAD_PATIENCE = 5
#: Answered at once with an agent_task_id, and fetched with get_task (action/factory.go, IsAsynchronous).
ASYNCHRONOUS = frozenset(
    [
        "apply",
        "prepare",
        "stop",
        "drain",
        "run_script",
        "compile_package",
        "fetch_logs",
        "mount_disk",
        "unmount_disk",
        "migrate_disk",
        "update_settings",
    ]
)


class ActionFailed(Exception):
    """Told to the caller as the exception of the answer."""


def run(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if check and done.returncode != 0:
        raise ActionFailed(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def monit_states() -> dict[str, str]:
    """State of each of monit's processes, lower case."""
    # As the real agent, by HTTP: an agent asks so often that a process for each question would keep a processor busy.
    return {name: state.lower() for name, state in monit.parse(monit.answer() or "").items()}


def _process_state(state: str) -> str:
    """As bosh-agent's jobsupervisor/monit/status.go, StatusString: what monit is about to do does not count."""
    words = state.partition(" - ")[0]
    return {"not monitored": "unknown", "initializing": "starting", "running": "running"}.get(words, "failing")


def monit_incarnation() -> str:
    """Which monit answers: a reload makes another one of it. Empty where none does."""
    user, _colon, password = (VCAP / "monit" / "monit.user").read_text(encoding="utf-8").strip().partition(":")
    try:
        answer = httpx.get(MONIT_STATUS, auth=(user, password), timeout=5)
    except httpx.HTTPError:
        return ""
    found = re.search(r"<incarnation>(\d+)<", answer.text)
    return found.group(1) if found else ""


class Actions:
    """The actions; names and arguments are BOSH's."""

    def __init__(self) -> None:
        self.settings = store.read(store.SETTINGS)
        self.update = store.read(store.UPDATE)
        self.reconnect = False

    def ping(self) -> str:
        return "pong"

    def info(self) -> dict[str, Any]:
        return {"api_version": 1}

    def get_state(self, kind: str = "") -> dict[str, Any]:
        state = store.read(store.SPEC) | {
            "agent_id": self.settings["agent_id"],
            "vm": self.settings["vm"],
            "bosh_protocol": "1",
            "job_state": self.job_state(),
            "ntp": {"message": "file missing"},
        }
        if kind == "full":
            state["vitals"] = self.vitals()
            state["processes"] = [
                {"name": name, "state": _process_state(said)} for name, said in monit_states().items()
            ]
        return state

    def job_state(self) -> str:
        """running, starting, stopped or failing, as the agent reads it from monit."""
        # Stopped is what the agent itself stopped; a `monit stop` by hand is failing (monit_job_supervisor.go, Status).
        if STOPPED.exists():
            return "stopped"
        states = list(monit_states().values())
        # The first that starts decides, whatever fails beside it.
        if any(state.startswith("initializing") for state in states):
            return "starting"
        return "running" if all(_process_state(state) == "running" for state in states) else "failing"

    def vitals(self) -> dict[str, Any]:
        one, five, fifteen = os.getloadavg()
        disk = shutil.disk_usage("/")
        percent = str(int(disk.used * 100 / disk.total))
        disks = {"system": {"percent": percent, "inode_percent": "0"}}
        if os.path.ismount(MOUNT):
            disks["persistent"] = dict(disks["system"])
        return {"load": [f"{value:.2f}" for value in (one, five, fifteen)], "disk": disks}

    # Jobs

    def prepare(self, _spec: dict[str, Any]) -> str:
        return "prepared"

    def apply(self, spec: dict[str, Any]) -> str:
        archive = spec.get("rendered_templates_archive")
        templates = [template["name"] for template in (spec.get("job") or {}).get("templates") or []]
        if archive:
            self._install(self.blob(archive["blobstore_id"]), archive["sha1"], templates)
        store.write(store.SPEC, spec)
        return "applied"

    def _install(self, data: bytes, digest: str, names: list[str]) -> None:
        # A digest without the name of its kind is a SHA-1 (bosh-utils crypto/multiple_digest.go).
        kind, _colon, wanted = digest.rpartition(":")
        if hashlib.new(kind or "sha1", data, usedforsecurity=False).hexdigest() != wanted:
            raise ActionFailed(f"the rendered templates are not {digest}")
        target = VCAP / "data" / "jobs" / wanted[:20]
        if not target.exists():
            new = target.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            with tarfile.open(fileobj=BytesIO(data), mode="r:gz") as files:
                # Debian 12's Python has no extraction filters yet; the digest was checked
                files.extractall(new)
            run("chown", "-R", "root:vcap", str(new))
            run("chmod", "-R", "u=rwX,g=rX,o=", str(new))
            os.rename(new, target)
        for directory in (target.parent, target):
            run("chown", "root:vcap", str(directory))
            directory.chmod(0o750)
        JOBS.mkdir(exist_ok=True)
        for old in [path for path in JOBS.iterdir() if path.name not in names]:
            old.unlink()
        monit_jobs = VCAP / "monit" / "job"
        wanted_files = {}
        for number, name in enumerate(names):
            link = JOBS / f".{name}.new"
            link.unlink(missing_ok=True)
            link.symlink_to(target / name)
            os.replace(link, JOBS / name)
            text = (target / name / "monit").read_text(encoding="utf-8")
            if text.strip():
                # As ConfigureJobs does (bosh-agent v2.874, concrete_applier.go). Monit reads the last file first, so it
                # starts and stops in the manifest's order: postgres before director.
                wanted_files[f"{9000 - number:04}_{name}.monitrc"] = text
        for old in [path for path in monit_jobs.iterdir() if path.name not in wanted_files]:
            old.unlink()
        for name, text in wanted_files.items():
            (monit_jobs / name).write_text(text, encoding="utf-8")
        self._reload_monit()
        self._wait_for_monit(lambda states: bool(states) or not wanted_files)

    def _reload_monit(self) -> None:
        """Until another incarnation answers: what the old one is told to start is forgotten.

        As bosh-agent's jobsupervisor/monit_job_supervisor.go. An incarnation is a second of the clock, so a monit that
        began in this one has to be told again.
        """
        before = monit_incarnation()
        until = time.monotonic() + MONIT_TIMEOUT
        while time.monotonic() < until:
            run(MONIT, "reload")
            again = time.monotonic() + MONIT_RELOAD_PATIENCE
            while time.monotonic() < again:
                if monit_incarnation() not in ("", before):
                    return
                time.sleep(0.1)
        raise ActionFailed(f"monit was not reloaded in {MONIT_TIMEOUT} s")

    def start(self) -> str:
        STOPPED.unlink(missing_ok=True)
        # A VM of jobs without processes has nothing to start.
        if any((VCAP / "monit" / "job").glob("*.monitrc")):
            self._wait_for_monit(lambda states: bool(states))
            run(MONIT, "start", "all")
        return "started"

    def stop(self, *_arguments: Any) -> str:
        if monit_states():
            run(MONIT, "stop", "all")
            self._wait_for_monit(lambda states: all(state == "not monitored" for state in states.values()))
        STOPPED.touch()
        return "stopped"

    def _wait_for_monit(self, done: Callable[[dict[str, str]], bool]) -> None:
        until = time.monotonic() + MONIT_TIMEOUT
        while not done(states := monit_states()):
            if time.monotonic() > until:
                raise ActionFailed(f"monit did not come to it in {MONIT_TIMEOUT} s: {states}")
            time.sleep(0.5)

    def drain(self, *_arguments: Any) -> int:
        return 0

    def run_script(self, name: str, _options: dict[str, Any] | None = None) -> dict[str, Any]:
        for job in [template["name"] for template in store.read(store.SPEC).get("job", {}).get("templates", [])]:
            script = JOBS / job / "bin" / name
            if script.exists():
                done = subprocess.run([str(script)], capture_output=True, text=True, timeout=600)
                log = VCAP / "sys" / "log" / job
                log.mkdir(parents=True, exist_ok=True)
                (log / f"{name}.stdout.log").write_text(done.stdout, encoding="utf-8")
                (log / f"{name}.stderr.log").write_text(done.stderr, encoding="utf-8")
                if done.returncode != 0:
                    raise ActionFailed(f"1 of 1 {name} scripts failed. Failed Jobs: {job}.")
        return {}

    def sync_dns(self, *_arguments: Any) -> str:
        return "synced"

    def delete_arp_entries(self, *_arguments: Any) -> dict[str, Any]:
        return {}

    def update_settings(self, wanted: dict[str, Any]) -> str:
        # Read again, as the agent does: others write this file, too.
        self.update, again = store.merged(store.read(store.UPDATE), wanted)
        store.write(store.UPDATE, self.update)
        self.reconnect = self.reconnect or again
        return "ok"

    # Disks

    def add_persistent_disk(self, cid: str, hint: Any) -> str:
        disks = store.read(store.DISKS)
        disks[cid] = hint if isinstance(hint, str) else f"{paths.ATTACHED}/{cid}"
        store.write(store.DISKS, disks)
        return "added"

    def remove_persistent_disk(self, cid: str) -> str:
        disks = store.read(store.DISKS)
        disks.pop(cid, None)
        store.write(store.DISKS, disks)
        return "removed"

    def associate_disks(self, _associations: Any) -> str:
        return "associated"

    def mount_disk(self, cid: str) -> dict[str, Any]:
        path = store.read(store.DISKS).get(cid, f"{paths.ATTACHED}/{cid}")
        if not os.path.isdir(path):
            raise ActionFailed(f"Persistent disk with volume id '{cid}' could not be found")
        if not os.path.ismount(MOUNT):
            run("mount", "--bind", path, MOUNT)
        return {}

    def unmount_disk(self, cid: str) -> dict[str, Any]:
        if os.path.ismount(MOUNT):
            run("umount", MOUNT)
        return {"message": f"Unmounted partition of {cid}"}

    def migrate_disk(self, *_arguments: Any) -> dict[str, Any]:
        raise ActionFailed("the lab's agent cannot migrate disks")

    def list_disk(self) -> list[str]:
        return [cid for cid in store.read(store.DISKS) if os.path.ismount(MOUNT)]

    # Logging in

    def ssh(self, command: str, params: dict[str, Any]) -> dict[str, Any]:
        if command == "setup":
            user, home = params["user"], VCAP / "bosh_ssh" / params["user"]
            home.parent.mkdir(parents=True, exist_ok=True)
            run(
                "useradd",
                "--create-home",
                "--home-dir",
                str(home),
                "--shell",
                "/bin/bash",
                "--groups",
                "bosh_sshers,bosh_sudoers",
                user,
            )
            keys = home / ".ssh" / "authorized_keys"
            keys.parent.mkdir(mode=0o700)
            keys.write_text(params["public_key"] + "\n", encoding="utf-8")
            run("chown", "-R", f"{user}:{user}", str(keys.parent))
            public = Path("/etc/ssh/ssh_host_rsa_key.pub").read_text(encoding="utf-8").split()
            address = next(iter(self.settings["networks"].values()))["ip"]
            return {"command": "setup", "status": "success", "ip": address, "host_public_key": " ".join(public[:2])}
        if command == "cleanup":
            for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines():
                user = line.partition(":")[0]
                if re.match(params["user_regex"], user):
                    run("userdel", "--remove", "--force", user, check=False)
            return {"command": "cleanup", "status": "success", "ip": "", "host_public_key": ""}
        raise ActionFailed(f"Unknown command for SSH method: {command}")

    # Blobs

    def blob(self, blob_id: str) -> bytes:
        where = store.blobstore(self.settings, self.update)
        options = where.get("options") or {}
        if (BLOBS / blob_id).exists():
            return (BLOBS / blob_id).read_bytes()
        if where.get("provider") == "local":
            return (LOCAL_BLOBS / blob_id).read_bytes()
        context = ssl.create_default_context(cadata=options["tls"]["cert"]["ca"])
        url = f"{options['endpoint']}/{blob_path(blob_id)}"
        try:
            answer = httpx.get(url, auth=(options["user"], options["password"]), verify=context, timeout=60)
            return answer.raise_for_status().content
        except httpx.HTTPError as error:
            raise ActionFailed(f"Getting blob {blob_id}: {error}") from error

    def upload_blob(self, params: dict[str, Any]) -> str:
        data = base64.b64decode(params["payload"])
        if hashlib.sha1(data, usedforsecurity=False).hexdigest() != params["checksum"]:
            raise ActionFailed(f"Payload corrupted. Checksum mismatch. Expected '{params['checksum']}'")
        BLOBS.mkdir(parents=True, exist_ok=True, mode=0o700)
        (BLOBS / params["blob_id"]).write_bytes(data)
        return params["blob_id"]

    def shutdown(self) -> str:
        return "shutdown"


def blob_path(blob_id: str) -> str:
    """Where a blob is in a DAV blobstore: below a folder named by its id's SHA-1 (bosh-davcli)."""
    return f"{hashlib.sha1(blob_id.encode(), usedforsecurity=False).hexdigest()[:2]}/{blob_id}"
