# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's CPI: BOSH's CPI v2 contract over Podman.

A VM is a container. A persistent disk is a directory that is renamed into its VM's `attached` folder: a rename
is atomic, and a disk can be attached to one VM only.
Source of the contract: bosh docs "CPI API v2" and bosh-cli cloud/cloud.go.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from boshlab import faults, paths
from boshlab.podman import Podman, PodmanError

LABEL = "bosh-lab.vm"
SETTINGS = "/var/vcap/bosh/warden-cpi-agent-env.json"

#: Mounts of each stemcell, empty after a boot. `chattr` cannot set there what a file has on a disk, and nothing is
#: executed in the last two. Source: systemd (or runit's base_runsvdir: /var/run is /run); bosh-agent v2.874
#: platform/linux_platform.go: setupRunDir (16m, /var/vcap/data/sys/run behind /var/vcap/sys/run), SetupTmpDir (there a
#: bind mount on the ephemeral disk).
IN_MEMORY = [
    {"type": "tmpfs", "source": "tmpfs", "destination": where, "options": ["rw", "nosuid", "nodev", *options]}
    for where, options in {
        "/run": ["size=64m", "mode=0755"],
        "/var/vcap/sys/run": ["size=16m", "mode=1777"],
        "/tmp": ["size=256m", "mode=1777", "noexec"],
        "/var/tmp": ["size=256m", "mode=1777", "noexec"],
    }.items()
]


class CpiError(Exception):
    """An error in BOSH's own classes, such as Bosh::Clouds::VMNotFound."""

    def __init__(self, kind: str, message: str, ok_to_retry: bool = False) -> None:
        super().__init__(message)
        self.kind, self.ok_to_retry = kind, ok_to_retry


class Cpi:
    """One method for each of the contract's; arguments come in the contract's order.

    config: `agent` with `mbus`, `blobstore` and `ntp`, which go into each VM's settings.
    """

    def __init__(self, config: dict[str, Any], podman: Podman | None = None) -> None:
        self.agent = config.get("agent") or {}
        self.podman = podman or Podman()

    def info(self) -> dict[str, Any]:
        return {"stemcell_formats": ["bosh-lab-podman"], "api_version": 2}

    # Stemcells

    def create_stemcell(self, _image_path: str, properties: dict[str, Any], _env: dict[str, Any] | None = None) -> str:
        image = properties.get("image")
        if not image or not self.podman.exists("images", image):
            raise CpiError("Bosh::Clouds::CloudError", f"the image {image} is not there: `lab up` builds it")
        cid = f"stemcell-{secrets.token_hex(6)}"
        self.podman.call("POST", f"/images/{image}/tag", params={"repo": "localhost/bosh-lab/cid", "tag": cid})
        return cid

    def delete_stemcell(self, cid: str) -> None:
        if self.podman.exists("images", _image(cid)):
            self.podman.call("DELETE", f"/images/{_image(cid)}")

    # VMs

    def create_vm(
        self,
        agent_id: str,
        stemcell_cid: str,
        properties: dict[str, Any],
        networks: dict[str, Any],
        _disk_cids: list[str] | None = None,
        env: dict[str, Any] | None = None,
    ) -> list[Any]:
        if not self.podman.exists("images", _image(stemcell_cid)):
            raise CpiError("Bosh::Clouds::VMCreationFailed", f"unknown stemcell {stemcell_cid}")
        cid = f"vm-{secrets.token_hex(4)}"
        network = next(iter(networks.values()))
        attached = paths.VMS / cid / "attached"
        attached.mkdir(parents=True)
        attached.chmod(0o755)
        image, access = _image(stemcell_cid), bool(properties.get("iaas_access"))
        spec = container(cid, image, agent_id, network["ip"], access)
        settings = {
            "agent_id": agent_id,
            "vm": {"name": cid, "id": cid},
            "networks": networks,
            "disks": {"system": "/", "ephemeral": "", "persistent": {}},
            "env": env or {},
            "mbus": self.agent.get("mbus", ""),
            "blobstore": self.agent.get("blobstore") or {},
            "ntp": self.agent.get("ntp") or [],
        }
        try:
            self.podman.create(spec)
            self.podman.put(cid, SETTINGS, json.dumps(settings).encode())
            self.podman.start(cid)
        except (PodmanError, OSError) as error:
            shutil.rmtree(paths.VMS / cid, ignore_errors=True)
            # What made it fail may make this fail too: the first reason is the one to tell.
            with suppress(PodmanError):
                self.podman.remove(cid)
            raise CpiError("Bosh::Clouds::VMCreationFailed", str(error)) from error
        return [cid, networks]

    def delete_vm(self, cid: str) -> None:
        self.podman.remove(cid)
        release_disks(cid)

    def has_vm(self, cid: str) -> bool:
        return self.podman.exists("containers", cid)

    def reboot_vm(self, cid: str) -> None:
        self._vm(cid)
        self.podman.restart(cid)

    def set_vm_metadata(self, cid: str, metadata: dict[str, str]) -> None:
        self._vm(cid)
        (paths.VMS / cid / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")

    def calculate_vm_cloud_properties(self, _wanted: dict[str, Any]) -> dict[str, Any]:
        return {}

    # Disks

    def create_disk(self, size: int, _properties: dict[str, Any], _vm_cid: str | None = None) -> str:
        cid = f"disk-{secrets.token_hex(6)}"
        disk = paths.DISKS / cid
        disk.mkdir(parents=True)
        # The root of a fresh file system is open to all; the caller's umask must not close it.
        disk.chmod(0o755)
        # Size in MiB. It is kept beside the disk, not in it: what is in it belongs to the VM.
        (paths.DISKS / f"{cid}.json").write_text(json.dumps({"size": size}), encoding="utf-8")
        return cid

    def has_disk(self, cid: str) -> bool:
        return (paths.DISKS / cid).is_dir() or _holder(cid) is not None

    def delete_disk(self, cid: str) -> None:
        if holder := _holder(cid):
            raise CpiError("Bosh::Clouds::CloudError", f"the disk {cid} is attached to {holder}")
        if not self.has_disk(cid):
            raise CpiError("Bosh::Clouds::DiskNotFound", f"disk {cid} not found")
        shutil.rmtree(paths.DISKS / cid)
        (paths.DISKS / f"{cid}.json").unlink(missing_ok=True)

    def attach_disk(self, vm_cid: str, disk_cid: str) -> str:
        self._vm(vm_cid)
        holder = _holder(disk_cid)
        if holder is None:
            try:
                os.rename(paths.DISKS / disk_cid, paths.VMS / vm_cid / "attached" / disk_cid)
            except FileNotFoundError:
                raise CpiError("Bosh::Clouds::DiskNotFound", f"disk {disk_cid} not found") from None
        elif holder != vm_cid:
            raise CpiError("Bosh::Clouds::CloudError", f"the disk {disk_cid} is attached to {holder}")
        return f"{paths.ATTACHED}/{disk_cid}"

    def detach_disk(self, vm_cid: str, disk_cid: str) -> None:
        if _holder(disk_cid) == vm_cid:
            os.rename(paths.VMS / vm_cid / "attached" / disk_cid, paths.DISKS / disk_cid)
        elif not self.has_disk(disk_cid):
            raise CpiError("Bosh::Clouds::DiskNotFound", f"disk {disk_cid} not found")

    def get_disks(self, vm_cid: str) -> list[str]:
        self._vm(vm_cid)
        return sorted(os.listdir(paths.VMS / vm_cid / "attached"))

    def set_disk_metadata(self, _cid: str, _metadata: dict[str, str]) -> None:
        return None

    def _vm(self, cid: str) -> None:
        if not self.has_vm(cid):
            raise CpiError("Bosh::Clouds::VMNotFound", f"VM {cid} not found")


def container(cid: str, image: str, agent_id: str, address: str, iaas_access: bool) -> dict[str, Any]:
    """Podman's specification of a VM."""
    attached = str(paths.VMS / cid / "attached")
    mounts = [{"type": "bind", "source": attached, "destination": paths.ATTACHED, "options": ["rbind"]}, *IN_MEMORY]
    if iaas_access:
        # The way to the IaaS that a real CPI has by credentials: Podman's socket and the disks.
        mounts.append(
            {"type": "bind", "source": str(paths.STATE), "destination": str(paths.STATE), "options": ["rbind"]}
        )
    return {
        "name": cid,
        "image": image,
        "hostname": agent_id[:8],
        "labels": {LABEL: cid, "bosh-lab.ip": address, "bosh-lab.agent": agent_id},
        "oci_runtime": "runc",
        "netns": {"nsmode": "bridge"},
        # The MAC follows the address, so that a VM recreated at it is reached at once.
        "Networks": {paths.NETWORK: {"static_ips": [address], "static_mac": _mac(address)}},
        # As root of a VM: it mounts, and filters its own packets.
        "cap_add": ["SYS_ADMIN", "AUDIT_WRITE", "NET_ADMIN"],
        "r_limits": [{"type": kind, "soft": 4096, "hard": 4096} for kind in ("NOFILE", "NPROC")],
        "use_image_resolve_conf": True,
        "use_image_hosts": False,
        "mounts": mounts,
    }


def _image(stemcell_cid: str) -> str:
    return f"localhost/bosh-lab/cid:{stemcell_cid}"


def _mac(address: str) -> str:
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def _holder(disk_cid: str) -> str | None:
    """CID of the VM to which a disk is attached."""
    return next((path.parent.parent.name for path in paths.VMS.glob(f"*/attached/{disk_cid}")), None)


def release_disks(vm_cid: str) -> None:
    """A lost VM's disks are free again, as an IaaS sees to."""
    attached = paths.VMS / vm_cid / "attached"
    if attached.is_dir():
        paths.DISKS.mkdir(exist_ok=True)
        for name in os.listdir(attached):
            os.rename(attached / name, paths.DISKS / name)
        shutil.rmtree(paths.VMS / vm_cid)


def injected_fault(method: str) -> float:
    """What faults.json has for a method: fails, or waits, or gives back the seconds to wait after the deed.

    {"create_vm": {"times": 2, "message": "..."}} fails. With `delay_seconds` and no `message` the call is slow and then
    goes on as ever; with `after: true` it is slow once the deed is done, before the caller knows of it.
    """
    fault = faults.take(method)
    if fault is None:
        return 0
    delay = float(fault.get("delay_seconds", 0))
    late = bool(fault.get("after"))
    if not late:
        time.sleep(delay)
    if "delay_seconds" in fault and "message" not in fault:
        return delay if late else 0
    kind = "VMCreationFailed" if method == "create_vm" else "CloudError"
    raise CpiError(f"Bosh::Clouds::{kind}", fault.get("message", "injected"), fault.get("ok_to_retry", False))


def answer(cpi: Cpi, request: dict[str, Any]) -> dict[str, Any]:
    """The contract's answer to one request: exactly one of result and error is not null."""
    method = request.get("method", "")
    deed: Callable[..., Any] | None = getattr(cpi, method, None) if method.islower() and method[0] != "_" else None
    try:
        if not callable(deed):
            raise CpiError("Bosh::Clouds::NotImplemented", f"the lab's CPI has no {method}")
        pause = injected_fault(method)
        result = deed(*request.get("arguments", []))
        time.sleep(pause)
        return {"result": result, "error": None, "log": ""}
    except Exception as error:
        # Whatever happened, the caller gets an answer: without one the director knows only "Invalid CPI response".
        kind = getattr(error, "kind", "Bosh::Clouds::CloudError")
        words = str(error) if isinstance(error, (CpiError, PodmanError, OSError)) else repr(error)
        told = {"type": kind, "message": words, "ok_to_retry": getattr(error, "ok_to_retry", False)}
        return {"result": None, "error": told, "log": ""}
