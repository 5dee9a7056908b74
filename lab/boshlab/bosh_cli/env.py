# SPDX-License-Identifier: GPL-3.0-or-later
"""``create-env``, ``delete-env``, ``stop-env``, ``start-env``: a director without a director.

The flow, its stages and the state file follow bosh-cli 7.10 (cmd/deployment_preparer.go, deployment/, config/).
Every step that changes the world writes the state file at once: what was made is never forgotten.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.parse
import uuid
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from boshlab import properties, render
from boshlab.bosh_cli import template
from boshlab.bosh_cli.client import Session, go_reason
from boshlab.bosh_cli.commands import flags_of, tar_member
from boshlab.bosh_cli.errors import BoshError, doing
from boshlab.bosh_cli.ui import SkipStage, Stage

Args = argparse.Namespace

PING_TIMEOUT, PING_DELAY = 10.0, 0.5  # seconds, for an agent that should be there
READY_TIMEOUT = 600.0  # seconds, for the agent of a new VM
CPI_TIMEOUT = 1800.0  # seconds


# --- state file -----------------------------------------------------------------------------------------------

_EMPTY: dict[str, Any] = {
    "director_id": "",
    "installation_id": "",
    "current_vm_cid": "",
    "current_stemcell_id": "",
    "current_disk_id": "",
    "current_release_ids": [],
    "current_manifest_sha": "",
    "disks": [],
    "stemcells": [],
    "releases": [],
}


class State:
    """The deployment's state file, with the keys of the real one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exists = path.exists()
        self.data: dict[str, Any] = json.loads(json.dumps(_EMPTY))
        if self.exists:
            with doing("Loading deployment state"):
                self.data.update(self._read())
        if not self.data["director_id"]:
            self.data["director_id"] = str(uuid.uuid4())

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except ValueError as error:
            what = f"Unmarshalling deployment state file '{self.path}'"
            raise BoshError(what, [BoshError(str(error))]) from error
        if not isinstance(found, dict):
            raise BoshError(f"Unmarshalling deployment state file '{self.path}'", [BoshError("Expected an object")])
        for kind in ("disks", "stemcells", "releases", "current_release_ids"):
            found[kind] = found.get(kind) or []
        for kind in ("disks", "stemcells"):
            for record in found[kind]:
                # acting on a record without CID is what once deleted the VMs of a whole cluster
                if not isinstance(record, dict) or not record.get("id") or not record.get("cid"):
                    raise BoshError(f"Deployment state file '{self.path}' has an entry without id or cid in '{kind}'")
        return found

    def save(self, **changes: Any) -> None:
        """Change keys and write the file at once."""
        self.data.update(changes)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=4)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, self.path.stat().st_mode & 0o7777 if self.path.exists() else 0o644)
        os.replace(temporary, self.path)

    def current(self, kind: str) -> dict[str, Any] | None:
        """The current record of ``disks`` or ``stemcells``."""
        wanted = self.data[f"current_{kind.removesuffix('s')}_id"]
        return next((record for record in self.data[kind] if record["id"] == wanted), None)


# --- manifest -------------------------------------------------------------------------------------------------


@dataclass
class Manifest:
    """What create-env needs of a manifest. Properties raise BoshError for what is missing."""

    data: dict[str, Any]
    sha: str
    group: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Find the one instance group and see that all that is referred to is there."""
        both = [key for key in ("jobs", "instance_groups") if self.data.get(key)]
        if len(both) > 1:
            # bosh-cli v7.10.6 deployment/manifest/parser.go
            raise BoshError("Deployment specifies both jobs and instance_groups keys, only one is allowed")
        groups = self.data[both[0]] if both else []
        problems = []
        if not self.data.get("name"):
            problems.append("name must be provided")
        if len(groups) != 1:
            problems.append(f"There must only be one job, found {len(groups)}")
        else:
            self.group = groups[0]
            if self.group.get("instances", 1) != 1:
                problems.append(f"jobs[0].instances must be 1, found {self.group['instances']}")
            problems += self._check_group()
        if not problems:
            # What would fail only after the old VM is gone is found now.
            try:
                self.networks()
            except (BoshError, ValueError, KeyError) as error:
                problems.append(f"jobs[0].networks: {error}")
        if problems:
            raise BoshError("Validating deployment manifest", [BoshError(problem) for problem in problems])

    def _check_group(self) -> Iterable[str]:
        if not self.group.get("name"):
            yield "jobs[0].name must be provided"
        if self._find("resource_pools", self.group.get("resource_pool")) is None:
            yield "jobs[0].resource_pool must be the name of a resource pool"
        pool = self.group.get("persistent_disk_pool")
        if pool and self._find("disk_pools", pool) is None:
            yield "jobs[0].persistent_disk_pool must be the name of a disk pool"
        for network in self.group.get("networks") or []:
            if self._find("networks", network.get("name")) is None:
                yield f"jobs[0].networks: there is no network '{network.get('name')}'"
        if not self.group.get("networks"):
            yield "jobs[0].networks must be a non-empty array"

    def _find(self, kind: str, name: Any) -> dict[str, Any] | None:
        return next((item for item in self.data.get(kind) or [] if item.get("name") == name), None)

    @property
    def name(self) -> str:
        """Name of the instance group."""
        return str(self.group["name"])

    @property
    def resource_pool(self) -> dict[str, Any]:
        """Stemcell, cloud properties and env of the VM."""
        return self._find("resource_pools", self.group["resource_pool"]) or {}

    @property
    def disk(self) -> dict[str, Any] | None:
        """Size (MiB) and cloud properties of the persistent disk, if there is to be one."""
        if self.group.get("persistent_disk"):
            return {"disk_size": int(self.group["persistent_disk"]), "cloud_properties": {}}
        pool = self._find("disk_pools", self.group.get("persistent_disk_pool"))
        return pool if pool and pool.get("disk_size") else None

    def templates(self) -> list[dict[str, Any]]:
        """The group's jobs with their properties: a job's own ones, else the group's, else the global ones."""
        jobs = self.group.get("jobs") or self.group.get("templates") or []
        return [{**job, "properties": properties.of_job(self.data, self.group, job)} for job in jobs]

    def networks(self) -> dict[str, Any]:
        """Network settings of the VM by name, as the CPI and the agent take them."""
        result: dict[str, Any] = {}
        for wanted in self.group["networks"]:
            network = self._find("networks", wanted["name"]) or {}
            settings: dict[str, Any] = {
                "type": network.get("type", "manual"),
                "cloud_properties": network.get("cloud_properties") or {},
                "default": wanted.get("default") or ["dns", "gateway"],
            }
            addresses = wanted.get("static_ips") or []
            if addresses:
                settings["ip"] = str(addresses[0])
            for subnet in network.get("subnets") or []:
                cidr = ipaddress.ip_network(subnet["range"])
                if addresses and ipaddress.ip_address(str(addresses[0])) not in cidr:
                    continue
                settings |= {
                    "netmask": str(cidr.netmask),
                    "gateway": str(subnet.get("gateway", "")),
                    "dns": [str(dns) for dns in subnet.get("dns") or []],
                    "cloud_properties": subnet.get("cloud_properties") or settings["cloud_properties"],
                }
                break
            else:
                if network.get("type") == "manual":
                    raise BoshError(f"Network '{wanted['name']}' has no subnet that holds the static IP")
            result[str(wanted["name"])] = settings
        return result

    @property
    def provider(self) -> dict[str, Any]:
        """``cloud_provider``: the CPI's job and properties, the agent's address and certificate."""
        return self.data.get("cloud_provider") or {}

    @property
    def provider_template(self) -> dict[str, Any]:
        """Name and release of the CPI's job."""
        found = self.provider.get("template") or (self.provider.get("templates") or [{}])[0]
        if not found.get("name") or not found.get("release"):
            raise BoshError("Validating installation manifest", [BoshError("cloud_provider.template must be provided")])
        return dict(found)

    def release(self, name: str) -> dict[str, Any]:
        """The release of this name with its URL."""
        found = self._find("releases", name)
        if found is None:
            raise BoshError(f"installation release '{name}' must refer to a release in releases")
        return found


def _tarball(url: str, sha1: str, base: Path) -> Path:
    """The tarball of this URL, downloaded if it is far, with its digest checked.

    ``sha1`` may be of another algorithm when it says so: ``sha256:...``.
    """
    if url.startswith(("http://", "https://")):
        cache = Path.home() / ".bosh" / "downloads"
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / hashlib.sha256(f"{url}{sha1}".encode()).hexdigest()
        if not path.exists():
            part = path.with_suffix(".part")
            try:
                with httpx.stream("GET", url, follow_redirects=True, timeout=300) as response, part.open("wb") as out:
                    response.raise_for_status()
                    for chunk in response.iter_bytes():
                        out.write(chunk)
            except httpx.HTTPError as error:
                raise BoshError(f"Downloading '{url}'", [BoshError(str(error))]) from error
            part.rename(path)
    else:
        path = Path(url.removeprefix("file://")).expanduser()
        path = path if path.is_absolute() else base / path
    algorithm, _, wanted = sha1.rpartition(":")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm or "sha1").hexdigest()
    except OSError as error:
        raise BoshError(f"Getting tarball '{url}'", [BoshError(f"open {path}: {error.strerror}")]) from error
    if wanted and found != wanted:
        raise BoshError(f"Getting tarball '{url}'", [BoshError(f"Expected digest '{sha1}' but got '{found}'")])
    return path


@dataclass
class Release:
    """An extracted release: its manifest and its jobs."""

    name: str
    version: str
    jobs: dict[str, render.Job]


def _release(reference: dict[str, Any], base: Path) -> Release:
    path = _tarball(str(reference.get("url", "")), str(reference.get("sha1", "")), base)
    try:
        members = render.read_tgz(path.read_bytes())
        manifest = template.load(members["release.MF"])
        jobs = {job["name"]: render.load_job(members[f"jobs/{job['name']}.tgz"]) for job in manifest.get("jobs") or []}
    except (KeyError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise BoshError(f"Invalid release '{reference['name']}'", [BoshError(f"{error}")]) from error
    if manifest["name"] != reference["name"]:
        raise BoshError(
            f"Release name '{reference['name']}' does not match the name in release tarball '{manifest['name']}'"
        )
    return Release(str(manifest["name"]), str(manifest["version"]), jobs)


# --- CPI and agent --------------------------------------------------------------------------------------------


class CpiError(BoshError):
    """The CPI answered with an error."""

    def __init__(self, method: str, kind: str, message: str) -> None:
        super().__init__(
            f'CPI \'{method}\' method responded with error: CmdError{{"type":"{kind}","message":"{message}"}}'
        )
        self.kind = kind


class Cpi:
    """The CPI that was rendered on this machine."""

    def __init__(self, config: Path, director_id: str) -> None:
        self.config, self.director_id = config, director_id

    def __call__(self, method: str, *arguments: Any) -> Any:
        """One call of the CPI's JSON contract v2. Raises CpiError."""
        request = {
            "method": method,
            "arguments": list(arguments),
            "context": {
                "director_uuid": self.director_id,
                "request_id": f"cpi-{uuid.uuid4().hex[:6]}",
                "vm": {"stemcell": {"api_version": 3}},
            },
            "api_version": 2,
        }
        environ = dict(os.environ)
        # the CPI is the lab's own code, whatever the working directory is
        source = str(Path(__file__).resolve().parents[2])
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, environ.get("PYTHONPATH", "")]))
        done = subprocess.run(
            [sys.executable, "-m", "boshlab.cpi", str(self.config)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=CPI_TIMEOUT,
            check=False,
            env=environ,
        )
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            text = done.stderr.strip() or done.stdout.strip()
            raise BoshError(
                f"Calling CPI '{method}' method", [BoshError(f"exit status {done.returncode}: {text}")]
            ) from error
        if answer.get("error"):
            raise CpiError(method, answer["error"].get("type", ""), answer["error"].get("message", ""))
        return answer.get("result")


class AgentError(BoshError):
    """The agent answered with an exception."""


class Agent:
    """The agent of a create-env VM, over HTTPS with basic auth."""

    def __init__(self, mbus: str, ca_cert: str, director_id: str) -> None:
        parsed = urllib.parse.urlsplit(mbus)
        self.base = f"https://{parsed.hostname}:{parsed.port or 6868}"
        self.reply_to = director_id
        try:
            context = ssl.create_default_context(cadata=ca_cert or None)
        except ssl.SSLError as error:
            raise BoshError("Parsing CA certificate of cloud_provider.cert", [BoshError(str(error))]) from error
        auth = (urllib.parse.unquote(parsed.username or ""), urllib.parse.unquote(parsed.password or ""))
        self.http = httpx.Client(verify=context, auth=auth, timeout=httpx.Timeout(60, connect=3), trust_env=False)

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = self.base + path
        try:
            response = self.http.request(method, url, **options)
        except httpx.TransportError as error:
            reason = f'{method.capitalize()} "{url}": {go_reason(error, url)}'
            raise BoshError("Performing request to agent", [BoshError(reason)]) from error
        if response.status_code // 100 != 2:
            raise BoshError(f"Agent responded with non-successful status code: {response.status_code}")
        return response

    def call(self, method: str, *arguments: Any) -> Any:
        """A synchronous method's value. Raises AgentError for the agent's own, BoshError for the way's errors."""
        message = {"method": method, "arguments": list(arguments), "reply_to": self.reply_to}
        answer = self._request("POST", "/agent", json=message).json()
        if answer.get("exception"):
            raise AgentError(f"Agent responded with error: {answer['exception'].get('message', '')}")
        return answer.get("value")

    def task(self, method: str, *arguments: Any, timeout: float = 1800) -> Any:
        """An asynchronous method: start it and ask for its task until it is done. timeout in seconds."""
        with doing(f"Sending '{method}' to the agent"):
            value = self.call(method, *arguments)
            deadline = time.monotonic() + timeout
            while isinstance(value, dict) and value.get("agent_task_id") and value.get("state") == "running":
                if time.monotonic() > deadline:
                    raise BoshError(f"The agent's task '{value['agent_task_id']}' still runs after {timeout:.0f} s")
                time.sleep(0.5)
                value = self._poll(value["agent_task_id"])
            return value

    def _poll(self, task: str) -> Any:
        for _ in range(10):
            try:
                return self.call("get_task", task)
            except AgentError:
                raise
            except BoshError:
                time.sleep(1)
        return self.call("get_task", task)

    def wait(self, timeout: float) -> None:
        """Ping until the agent answers. timeout in seconds; raises BoshError when it does not."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.call("ping")
            except BoshError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PING_DELAY)
            else:
                return

    def put_blob(self, content: bytes) -> str:
        """Store a blob at the agent's blobstore; returns its id."""
        blob = str(uuid.uuid4())
        with doing(f"Putting blob '{blob}' into blobstore"):
            self._request("PUT", f"/blobs/{blob}", content=content)
        return blob


# --- the flow -------------------------------------------------------------------------------------------------


def state_path(manifest: str, state: str) -> Path:
    """``--state`` or ``NAME-state.json`` beside the manifest."""
    if state:
        return Path(state).expanduser().absolute()
    path = Path(manifest).expanduser().absolute()
    return path.with_name(f"{path.stem}-state.json")


class Environment:
    """One create-env deployment: its manifest, its state and the ways to the IaaS and to the agent."""

    def __init__(self, session: Session, args: Args) -> None:
        self.ui, self.args = session.ui, args
        self.stage = Stage(session.ui)
        self.base = Path(args.path).expanduser().absolute().parent
        self.state = State(state_path(args.path, args.state))
        self.releases: list[Release] = []

    def __enter__(self) -> Environment:
        return self

    def __exit__(self, *_: object) -> None:
        # the rendered CPI holds secrets: it does not outlive the command
        if installation := self.state.data["installation_id"]:
            shutil.rmtree(self._installation(installation), ignore_errors=True)

    @staticmethod
    def _installation(ident: str) -> Path:
        return Path.home() / ".bosh" / "installations" / ident

    def load(self) -> None:
        """Read and interpolate the manifest. Raises BoshError, also for variables that are missing."""
        with doing(f"Parsing manifest '{self.args.path}'"):
            data = template.evaluate(template.read(self.args.path), flags_of(self.args), expect_found=True)
            if not isinstance(data, dict):
                raise BoshError("Expected the manifest to be a map")
        self.manifest = Manifest(data, hashlib.sha512(template.dump(data).encode()).hexdigest())

    def validate_releases(self, stage: Stage, *, cpi_only: bool) -> None:
        """Fetch and open the releases, and see that the CPI's job is there."""
        wanted = self.manifest.provider_template
        references = [self.manifest.release(wanted["release"])]
        if not cpi_only:
            references = list(self.manifest.data.get("releases") or [])
        for reference in references:
            with stage.step(f"Validating release '{reference['name']}'"):
                self.releases.append(_release(reference, self.base))
        with stage.step("Validating cpi release"):
            self._job(wanted)

    def _job(self, reference: dict[str, Any]) -> render.Job:
        release = next((r for r in self.releases if r.name == reference["release"]), None)
        if release is None or reference["name"] not in release.jobs:
            raise BoshError(f"Job '{reference['name']}' was not found in release '{reference['release']}'")
        return release.jobs[reference["name"]]

    def _rendered(
        self, reference: dict[str, Any], properties: dict[str, Any], spec: dict[str, Any]
    ) -> dict[str, tuple[bytes, int]]:
        try:
            return render.render_job(self._job(reference), properties, spec)
        except render.Unrendered as error:
            raise BoshError(f"Rendering job '{reference['name']}'", [BoshError(str(error))]) from error

    def install_cpi(self) -> None:
        """Render the CPI's job on this machine."""
        if not self.state.data["installation_id"]:
            self.state.save(installation_id=str(uuid.uuid4()))
        root = self._installation(self.state.data["installation_id"])
        wanted = self.manifest.provider_template
        with self.stage.complex("installing CPI") as stage:
            with stage.step("Rendering job templates"):
                properties = self.manifest.provider.get("properties") or {}
                files = self._rendered(wanted, properties, {"name": wanted["name"], "address": "", "index": 0})
            with stage.step(f"Installing job '{wanted['name']}'"):
                job = root / "jobs" / wanted["name"]
                shutil.rmtree(job, ignore_errors=True)
                job.mkdir(parents=True, mode=0o700)
                for name, (content, mode) in files.items():
                    target = job / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode & 0o700)
                    with os.fdopen(handle, "wb") as file:
                        file.write(content)
        config = next(iter(sorted((job / "config").glob("*.json"))), None)
        if config is None:
            raise BoshError(f"Job '{wanted['name']}' has no config/*.json")
        self.cpi = Cpi(config, self.state.data["director_id"])

    def connect_agent(self) -> None:
        """The way to the agent, whether it answers or not."""
        cert = self.manifest.provider.get("cert") or {}
        mbus = str(self.manifest.provider.get("mbus") or "")
        if not mbus.startswith("https://"):
            why = BoshError("cloud_provider.mbus must use https protocol")
            raise BoshError("Validating installation manifest", [why])
        self.agent = Agent(mbus, str(cert.get("ca") or ""), self.state.data["director_id"])

    # --- stemcell

    def upload_stemcell(self, path: Path, metadata: dict[str, Any]) -> dict[str, Any]:
        """The stemcell's record; made at the IaaS when it is not there yet."""
        name, version = str(metadata["name"]), str(metadata["version"])
        found = [s for s in self.state.data["stemcells"] if (s["name"], str(s["version"])) == (name, version)]
        with self.stage.step(f"Uploading stemcell '{name}/{version}'"):
            if found:
                raise SkipStage("Stemcell already uploaded", f"Found stemcell: {found[0]['cid']}")
            with tempfile.TemporaryDirectory(prefix="bosh-stemcell.") as directory:
                image = Path(directory, "image")
                # a light stemcell's image file may be empty: the CPI knows it by its properties
                image.write_bytes(render.read_tgz(path.read_bytes()).get("image", b""))
                with doing("creating stemcell"):
                    cid = self.cpi("create_stemcell", str(image), metadata.get("cloud_properties") or {})
            record = {"id": str(uuid.uuid4()), "name": name, "version": version, "api_version": 3, "cid": cid}
            self.state.save(stemcells=[*self.state.data["stemcells"], record])
            found = [record]
        return dict(found[0])

    def delete_unused_stemcells(self, *, stage: Stage) -> None:
        """Delete stemcells that are not current."""
        for record in list(self.state.data["stemcells"]):
            if record["id"] != self.state.data["current_stemcell_id"]:
                with stage.step(f"Deleting unused stemcell '{record['cid']}'"):
                    self.cpi("delete_stemcell", record["cid"])
                    self._forget("stemcells", record)

    def _forget(self, kind: str, record: dict[str, Any]) -> None:
        self.state.save(**{kind: [r for r in self.state.data[kind] if r["id"] != record["id"]]})

    # --- VM

    @property
    def instance(self) -> str:
        """``group/0``"""
        return f"{self.manifest.name}/0"

    def _stop_jobs(self, stage: Stage, label: str, *, skip_drain: bool) -> None:
        with stage.step(f"Running the pre-stop scripts '{label}'"):
            self._script("pre-stop")
        if not skip_drain:
            with stage.step(f"Draining jobs on instance '{label}'"):
                self._drain()
        with stage.step(f"Stopping jobs on instance '{label}'"), doing("Stopping the agent"):
            self.agent.task("stop")
        with stage.step(f"Running the post-stop scripts '{label}'"):
            self._script("post-stop")

    def _script(self, name: str) -> None:
        try:
            with doing(f"Running the {name} script"):
                self.agent.task("run_script", name, {})
        except BoshError as error:
            # agents that do not know scripts have none to run
            if "unknown message" not in str(error):
                raise

    def _drain(self) -> None:
        with doing("Draining VM"):
            wait = int(self.agent.task("drain", "shutdown") or 0)
            while wait < 0:
                time.sleep(-wait)
                wait = int(self.agent.task("drain", "status") or 0)
            time.sleep(wait)

    def delete_vm(self, stage: Stage, label: str, *, skip_drain: bool) -> None:
        """Stop what runs on the current VM, let go of its disks and delete it. A lost VM is only forgotten."""
        cid = str(self.state.data["current_vm_cid"])
        if not cid:
            return
        if self.cpi("has_vm", cid):
            answers = True
            try:
                with stage.step(f"Waiting for the agent on VM '{cid}'"):
                    self.agent.wait(PING_TIMEOUT)
            except BoshError:
                # a VM that does not answer is deleted all the same
                answers = False
            if answers:
                self._stop_jobs(stage, label, skip_drain=skip_drain)
                for disk in self.agent.call("list_disk") or []:
                    with stage.step(f"Unmounting disk '{disk}'"):
                        self.agent.task("unmount_disk", disk)
        with stage.step(f"Deleting VM '{cid}'"):
            gone = None
            try:
                self.cpi("delete_vm", cid)
            except CpiError as error:
                if "VMNotFound" not in error.kind:
                    raise BoshError("Deleting vm in the cloud", [error]) from error
                gone = error
            self.state.save(current_vm_cid="", current_stemcell_id="")
            if gone:
                raise SkipStage("VM not found", str(gone))

    def create_vm(self, stage: Stage, stemcell: dict[str, Any]) -> str:
        """A new VM; its CID is written down before anything else is done with it."""
        pool = self.manifest.resource_pool
        with stage.step(f"Creating VM for instance '{self.instance}' from stemcell '{stemcell['cid']}'"):
            disks = [disk["cid"] for disk in self.state.data["disks"]]
            properties, env = pool.get("cloud_properties") or {}, pool.get("env") or {}
            with doing("Creating VM"):
                answer = self.cpi(
                    "create_vm", str(uuid.uuid4()), stemcell["cid"], properties, self.manifest.networks(), disks, env
                )
            cid = str(answer[0] if isinstance(answer, list) else answer)
            self.state.save(current_vm_cid=cid, current_stemcell_id=stemcell["id"])
            metadata = {
                "deployment": str(self.manifest.data["name"]),
                "job": self.manifest.name,
                "instance_group": self.manifest.name,
                "index": "0",
                "director": "bosh-init",
                "name": self.instance,
                "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            try:
                self.cpi("set_vm_metadata", cid, metadata)
            except CpiError as error:
                if "NotImplemented" not in error.kind:
                    raise
        with stage.step(f"Waiting for the agent on VM '{cid}' to be ready"):
            self.agent.wait(READY_TIMEOUT)
        return cid

    # --- disk

    def update_disk(self, stage: Stage, vm: str, *, recreate: bool) -> None:
        """Attach the current disk, or make one; move to another one when size or properties changed."""
        wanted = self.manifest.disk
        if wanted is None:
            return
        size, properties = int(wanted["disk_size"]), wanted.get("cloud_properties") or {}
        current = self.state.current("disks")
        if current is None:
            current = self._create_disk(stage, size, properties, vm)
            self._attach(stage, current, vm)
            self.state.save(current_disk_id=current["id"])
        else:
            self._attach(stage, current, vm)
            if recreate or (current["size"], current.get("cloud_properties") or {}) != (size, properties):
                self._migrate(stage, current, size, properties, vm)
        for record in list(self.state.data["disks"]):
            if record["id"] != self.state.data["current_disk_id"]:
                with stage.step(f"Deleting unused disk '{record['cid']}'"):
                    self._delete_disk(record)

    def _create_disk(self, stage: Stage, size: int, properties: dict[str, Any], vm: str) -> dict[str, Any]:
        with stage.step("Creating disk"):
            cid = self.cpi("create_disk", size, properties, vm)
            record = {"id": str(uuid.uuid4()), "cid": cid, "size": size, "cloud_properties": properties}
            self.state.save(disks=[*self.state.data["disks"], record])
        return record

    def _attach(self, stage: Stage, disk: dict[str, Any], vm: str) -> None:
        with stage.step(f"Attaching disk '{disk['cid']}' to VM '{vm}'"):
            with doing("Attaching disk in the cloud"):
                hint = self.cpi("attach_disk", vm, disk["cid"])
            self.agent.wait(READY_TIMEOUT)
            if hint:
                self._optional("add_persistent_disk", disk["cid"], hint)
            with doing("Mounting disk"):
                self.agent.task("mount_disk", disk["cid"])

    def _optional(self, method: str, *arguments: Any) -> None:
        try:
            self.agent.call(method, *arguments)
        except AgentError as error:
            if "unknown message" not in str(error):
                raise

    def _migrate(self, stage: Stage, old: dict[str, Any], size: int, properties: dict[str, Any], vm: str) -> None:
        new = self._create_disk(stage, size, properties, vm)
        self._attach(stage, new, vm)
        with stage.step(f"Migrating disk content from '{old['cid']}' to '{new['cid']}'"):
            self.agent.task("migrate_disk")
        self.state.save(current_disk_id=new["id"])
        with stage.step(f"Detaching disk '{old['cid']}'"):
            self._optional("remove_persistent_disk", old["cid"])
            self.cpi("detach_disk", vm, old["cid"])
        with stage.step(f"Deleting disk '{old['cid']}'"):
            self._delete_disk(old)

    def _delete_disk(self, record: dict[str, Any]) -> None:
        gone = None
        try:
            self.cpi("delete_disk", record["cid"])
        except CpiError as error:
            if "DiskNotFound" not in error.kind:
                raise BoshError("Deleting disk in the cloud", [error]) from error
            gone = error
        if record["id"] == self.state.data["current_disk_id"]:
            self.state.data["current_disk_id"] = ""
        self._forget("disks", record)
        if gone:
            raise SkipStage("Disk not found", str(gone))

    # --- jobs

    def update_jobs(self, stage: Stage) -> None:
        """Render the jobs, hand them to the agent and start them."""
        networks = self.manifest.networks()
        templates = self.manifest.templates()
        spec: dict[str, Any] = {
            "deployment": str(self.manifest.data["name"]),
            "id": "0",
            "az": "unknown",
            "name": self.manifest.name,
            "index": 0,
            "networks": networks,
            "job": {"name": self.manifest.name, "templates": []},
            "packages": {},
            "configuration_hash": "unused-configuration-hash",
        }
        with doing("Applying the initial agent state"):
            # with its networks the agent can tell its address
            self.agent.task("apply", spec)
        address = next((n["ip"] for n in networks.values() if n.get("ip")), "")
        with stage.step("Rendering job templates"):
            known = {
                **{key: spec[key] for key in ("deployment", "id", "az", "name", "index", "networks")},
                "address": address,
                "ip": address,
                "bootstrap": True,
            }
            jobs = [(job["name"], self._rendered(job, job["properties"], known)) for job in templates]
            archive, digest = render.rendered_archive(jobs)
            blob = self.agent.put_blob(archive)
        spec["job"]["templates"] = [{"name": job["name"], "version": "1"} for job in templates]
        spec["rendered_templates_archive"] = {"blobstore_id": blob, "sha1": f"sha256:{digest}"}
        with stage.step(f"Updating instance '{self.instance}'"):
            with doing("Stopping the agent"):
                self.agent.task("stop")
            with doing("Applying the agent state"):
                self.agent.task("apply", spec)
            self._script("pre-start")
            with doing("Starting the agent"):
                self.agent.call("start")
        self.wait_running(stage)
        with stage.step(f"Running the post-start scripts '{self.instance}'"):
            self._script("post-start")

    def wait_running(self, stage: Stage) -> None:
        """Wait as long as the manifest's ``update_watch_time`` says (milliseconds, default 0-300000)."""
        watch = str((self.manifest.data.get("update") or {}).get("update_watch_time") or "0-300000")
        start, _, end = watch.replace(" ", "").partition("-")
        first, last = int(start) / 1000, int(end or start) / 1000
        with stage.step(f"Waiting for instance '{self.instance}' to be running"):
            time.sleep(first)
            deadline = time.monotonic() + max(last - first, 1)
            while True:
                state = self.agent.call("get_state").get("job_state")
                if state == "running":
                    return
                if time.monotonic() > deadline:
                    raise BoshError(f"Received non-running job state: '{state}'")
                time.sleep(1)


def _is_deployed(env: Environment, metadata: dict[str, Any]) -> bool:
    data, stemcell = env.state.data, env.state.current("stemcells")
    if data["current_manifest_sha"] != env.manifest.sha or stemcell is None:
        return False
    if (stemcell["name"], str(stemcell["version"])) != (str(metadata["name"]), str(metadata["version"])):
        return False
    recorded = sorted((r["name"], r["version"]) for r in data["releases"] if r["id"] in data["current_release_ids"])
    return recorded == sorted((r.name, r.version) for r in env.releases)


def create_env(session: Session, args: Args) -> None:
    """``create-env``: make the director's VM, or bring it to what the manifest says now."""
    ui = session.ui
    ui.begin(f"Deployment manifest: '{Path(args.path).expanduser().absolute()}'\n")
    ui.begin(f"Deployment state: '{state_path(args.path, args.state)}'\n")
    with Environment(session, args) as env:
        with env.stage.complex("validating") as stage:
            env.load()
            env.validate_releases(stage, cpi_only=False)
            with stage.step("Validating deployment manifest"):
                env.manifest.check()
                env.connect_agent()
                for job in env.manifest.templates():
                    env._job(job)
            with stage.step("Validating stemcell"):
                reference = env.manifest.resource_pool.get("stemcell") or {}
                path = _tarball(str(reference.get("url", "")), str(reference.get("sha1", "")), env.base)
                metadata = tar_member(str(path), "stemcell.MF", "stemcell")
        if _is_deployed(env, metadata) and not args.recreate and not args.recreate_persistent_disks:
            ui.begin("No deployment, stemcell or release changes. Skipping deploy.\n")
            return
        env.install_cpi()
        stemcell = env.upload_stemcell(path, metadata)
        with env.stage.complex("deploying") as stage, doing("Deploying"):
            # until all is done nothing is recorded as deployed
            env.state.save(current_manifest_sha="", current_release_ids=[], releases=[])
            env.delete_vm(stage, env.instance, skip_drain=args.skip_drain)
            with doing(f"Creating instance '{env.instance}'"):
                vm = env.create_vm(stage, stemcell)
                env.update_disk(stage, vm, recreate=args.recreate_persistent_disks)
            env.update_jobs(stage)
            records = [{"id": str(uuid.uuid4()), "name": r.name, "version": r.version} for r in env.releases]
            env.state.save(
                current_manifest_sha=env.manifest.sha,
                releases=records,
                current_release_ids=[r["id"] for r in records],
            )
        env.delete_unused_stemcells(stage=env.stage)
        with env.stage.step("Cleaning up rendered CPI jobs"):
            shutil.rmtree(env._installation(env.state.data["installation_id"]), ignore_errors=True)


def delete_env(session: Session, args: Args) -> None:
    """``delete-env``: stop and delete VM, disk and stemcell, and the state file with them."""
    path = state_path(args.path, args.state)
    session.ui.begin(f"Deployment state: '{path}'\n")
    if not path.exists():
        session.ui.begin("No deployment state file found.\n")
        return
    with Environment(session, args) as env:
        with env.stage.complex("validating") as stage:
            env.load()
            env.validate_releases(stage, cpi_only=True)
            env.connect_agent()
        env.install_cpi()
        with doing("Deleting deployment"), env.stage.complex("deleting deployment") as stage:
            # the manifest may have changed since: what is deleted is what the state file knows
            env.delete_vm(stage, "unknown/0", skip_drain=args.skip_drain)
            disk = env.state.current("disks")
            if disk:
                with stage.step(f"Deleting disk '{disk['cid']}'"):
                    env._delete_disk(disk)
            for record in list(env.state.data["stemcells"]):
                with stage.step(f"Deleting stemcell '{record['cid']}'"):
                    env.cpi("delete_stemcell", record["cid"])
                    env._forget("stemcells", record)
        for record in list(env.state.data["disks"]):
            with env.stage.step(f"Deleting unused disk '{record['cid']}'"):
                env._delete_disk(record)
        with env.stage.step("Uninstalling local artifacts for CPI and deployment"):
            shutil.rmtree(env._installation(env.state.data["installation_id"]), ignore_errors=True)
            with suppress(FileNotFoundError):
                env.state.path.unlink()


def stop_env(session: Session, args: Args) -> None:
    """``stop-env``: stop the jobs, keep the VM."""
    _with_running_vm(session, args, "stopping deployment")


def start_env(session: Session, args: Args) -> None:
    """``start-env``: start the jobs again."""
    _with_running_vm(session, args, "starting deployment")


def _with_running_vm(session: Session, args: Args, what: str) -> None:
    path = state_path(args.path, args.state)
    session.ui.begin(f"Deployment state: '{path}'\n")
    if not path.exists():
        session.ui.begin("No deployment state file found.\n")
        return
    with Environment(session, args) as env:
        env.load()
        env.manifest.check()
        env.connect_agent()
        with env.stage.complex(what) as stage:
            with stage.step(f"Waiting for the agent on VM '{env.state.data['current_vm_cid']}'"):
                env.agent.wait(PING_TIMEOUT)
            if what.startswith("stopping"):
                env._stop_jobs(stage, env.instance, skip_drain=args.skip_drain)
            else:
                with stage.step(f"Starting the agent '{env.instance}'"):
                    env._script("pre-start")
                    env.agent.call("start")
                env.wait_running(stage)
                with stage.step(f"Running the post-start scripts '{env.instance}'"):
                    env._script("post-start")
