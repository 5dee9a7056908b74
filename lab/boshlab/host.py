# SPDX-License-Identifier: GPL-3.0-or-later

"""The `lab` command: the lab as its IaaS console and its network cabling."""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from boshlab import cpi, image, paths, workspace
from boshlab.podman import Podman, PodmanError

CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class LabError(Exception):
    """One sentence for a person."""


def say(words: str) -> None:
    print(f"lab: {words}", flush=True)


def podman(*words: str, conf: str = "") -> str:
    """Run the podman command and return what it printed."""
    environ = os.environ | {"CONTAINERS_CONF": conf} if conf else _environ()
    try:
        done = subprocess.run(["podman", *words], capture_output=True, text=True, env=environ, timeout=600)
    except FileNotFoundError:
        raise LabError("podman is missing: apt-get install podman") from None
    if done.returncode != 0:
        raise LabError(f"`podman {words[0]}` failed: {done.stderr.strip()}")
    return done.stdout


def _environ() -> dict[str, str]:
    # Podman refuses a file that is not there, as before the first `up`.
    conf = paths.STATE / "containers.conf"
    return os.environ | ({"CONTAINERS_CONF": str(conf)} if conf.exists() else {})


def check_host() -> None:
    """Say what is missing before anything is changed."""
    wanted = {
        "podman": "podman",
        "runc": "runc",
        "mmdebstrap": "mmdebstrap",
        "ssh-keygen": "openssh-client",
        "rsync": "rsync",
        "ip": "iproute2",
    }
    missing = sorted({package for command, package in wanted.items() if not shutil.which(command)})
    if not any(Path(directory, "netavark").exists() for directory in ("/usr/lib/podman", "/usr/libexec/podman")):
        missing.append("netavark")
    if missing:
        raise LabError(f"these Debian packages are missing: apt-get install {' '.join(missing)}")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(CONTAINERS_CONF)
        conf.flush()
        try:
            podman("images", "--quiet", conf=conf.name)
        except LabError as error:
            raise LabError(f"Podman can't run here (in a container it takes a privileged one): {error}") from None


def up(_options: argparse.Namespace) -> None:
    check_host()
    for directory in (paths.STATE, paths.DISKS, paths.VMS, paths.ARTIFACTS):
        directory.mkdir(parents=True, exist_ok=True)
    paths.STATE.chmod(0o700)
    (paths.STATE / "containers.conf").write_text(CONTAINERS_CONF, encoding="utf-8")
    if paths.NETWORK not in podman("network", "ls", "--format", "{{.Name}}").split():
        say(f"Making the network {paths.NETWORK}, {paths.SUBNET}")
        podman(
            "network", "create", "--subnet", paths.SUBNET, "--gateway", paths.GATEWAY, "--disable-dns", paths.NETWORK
        )
    guard_route("replace")
    image.build(podman, say)
    start_service()
    write_artifacts()
    workspace.write()
    say(f"Ready. The operator's workspace is {paths.WORKSPACE}")


def guard_route(verb: str) -> None:
    """While no VM runs there is no bridge, and what is meant for the lab would leave this machine: it must not."""
    command = ["ip", "route", verb, "unreachable", paths.SUBNET, "metric", "4096"]
    done = subprocess.run(command, capture_output=True, text=True)
    if verb == "replace" and done.returncode != 0:
        raise LabError(f"this machine lets nobody change its routes: `{' '.join(command)}`: {done.stderr.strip()}")


def start_service() -> None:
    """Podman's API on a socket of the lab's own, in the background."""
    if _service_pid():
        return
    paths.SOCKET.unlink(missing_ok=True)
    with open(paths.STATE / "podman.log", "ab") as log:
        process = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{paths.SOCKET}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environ(),
            start_new_session=True,
        )
    (paths.STATE / "podman.pid").write_text(str(process.pid), encoding="utf-8")
    for _attempt in range(100):
        if paths.SOCKET.exists():
            return
        time.sleep(0.1)
    raise LabError(f"podman's API did not start: see {paths.STATE}/podman.log")


def _service_pid() -> int | None:
    try:
        pid = int((paths.STATE / "podman.pid").read_text(encoding="utf-8"))
        return pid if b"system\0service" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
    except (OSError, ValueError):
        return None


def write_artifacts() -> None:
    """A light stemcell (its image is in Podman already) and the release."""
    from boshlab import release

    release.build(paths.ARTIFACTS / "release.tgz")
    name, version = paths.STEMCELL
    body = b"light"
    manifest = {
        "name": name,
        "version": version,
        "api_version": 3,
        "bosh_protocol": "1",
        "operating_system": "debian-bookworm",
        "sha1": hashlib.sha1(body, usedforsecurity=False).hexdigest(),
        "stemcell_formats": ["bosh-lab-podman"],
        "cloud_properties": {"name": name, "version": version, "infrastructure": "podman", "image": paths.IMAGE},
    }
    target = paths.ARTIFACTS / "stemcell.tgz"
    release.write_tgz(target, {"stemcell.MF": yaml.safe_dump(manifest).encode(), "image": body})


def down(_options: argparse.Namespace) -> None:
    reset_vms()
    if pid := _service_pid():
        os.kill(pid, signal.SIGTERM)
    if paths.NETWORK in podman("network", "ls", "--format", "{{.Name}}").split():
        podman("network", "rm", "--force", paths.NETWORK)
    guard_route("del")
    for name in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name.startswith("localhost/bosh-lab/"):
            podman("rmi", "--force", name)
    shutil.rmtree(paths.STATE, ignore_errors=True)
    # The directory itself may be somebody's mount.
    if paths.STATE.exists() and any(paths.STATE.iterdir()):
        raise LabError(f"{paths.STATE} could not be removed wholly: is something of it still mounted or in use?")
    say("Gone")


def reset(options: argparse.Namespace) -> None:
    """Back to the state after `up`: no VM, no disk, a fresh workspace, with nothing left of what was put beside it."""
    reset_vms()
    for directory in (paths.DISKS, paths.VMS, paths.WORKSPACE.parent):
        shutil.rmtree(directory, ignore_errors=True)
    paths.FAULTS.unlink(missing_ok=True)
    up(options)


def reset_vms() -> None:
    for name in podman("ps", "--all", "--filter", f"label={cpi.LABEL}", "--format", "{{.Names}}").split():
        podman("rm", "--force", "--time", "0", name)


def vms() -> list[dict[str, str]]:
    found = []
    for container in Podman().containers(cpi.LABEL):
        cid = container["Names"][0]
        attached = paths.VMS / cid / "attached"
        found.append(
            {
                "cid": cid,
                "ip": container["Labels"]["bosh-lab.ip"],
                "state": container["State"],
                "disk": ",".join(sorted(os.listdir(attached))) if attached.is_dir() else "",
                "pid": str(container.get("Pid") or 0),
            }
        )
    return sorted(found, key=lambda vm: vm["ip"])


def find(name: str) -> dict[str, str]:
    """A VM by its name (micro, primary, meta), address or CID."""
    for vm in vms():
        if name in (vm["cid"], vm["ip"]) or paths.ADDRESSES.get(name) == vm["ip"]:
            return vm
    raise LabError(f"there is no VM {name}: `lab status` lists them")


def status(_options: argparse.Namespace) -> None:
    names = {address: name for name, address in paths.ADDRESSES.items()}
    print(f"{'NAME':9}{'ADDRESS':13}{'VM':14}{'STATE':10}{'DISK':22}MONIT")
    for vm in vms():
        said = ""
        if vm["state"] == "running":
            summary = podman("exec", vm["cid"], "sh", "-c", "/var/vcap/bosh/bin/monit summary 2>/dev/null || true")
            rows = [line.split() for line in summary.splitlines() if line.rstrip().endswith("Process")]
            ok = sum(1 for row in rows if row[1] == "OK")
            said = f"{ok} of {len(rows)} running"
        print(f"{names.get(vm['ip'], ''):9}{vm['ip']:13}{vm['cid']:14}{vm['state']:10}{vm['disk']:22}{said}")


def ssh(options: argparse.Namespace) -> None:
    # The lab's own console: it made the VM a moment ago, so it need not ask whose key it is.
    args = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    command = [
        "ssh",
        "-i",
        str(paths.WORKSPACE / "ssh" / "jumpbox"),
        *args,
        f"jumpbox@{find(options.name)['ip']}",
        *options.command,
    ]
    os.execvp("ssh", command)


def kill(options: argparse.Namespace) -> None:
    vm = find(options.name)
    Podman().remove(vm["cid"])
    cpi.release_disks(vm["cid"])
    say(f"{vm['cid']} at {vm['ip']} is gone, as by the IaaS console")


def reboot(options: argparse.Namespace) -> None:
    Podman().restart(find(options.name)["cid"])


def cut(options: argparse.Namespace) -> None:
    _link(options.name, "down")


def heal(options: argparse.Namespace) -> None:
    _link(options.name, "up")


def _link(name: str, state: str) -> None:
    """Unplug the VM's cable at the host's end: inside, addresses and routes stay."""
    pid = find(name)["pid"]
    peer = subprocess.run(
        ["nsenter", "-t", pid, "-n", "cat", "/sys/class/net/eth0/iflink"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for link in Path("/sys/class/net").iterdir():
        if (link / "ifindex").read_text().strip() == peer:
            subprocess.run(["ip", "link", "set", link.name, state], check=True)
            return
    raise LabError(f"the cable of {name} was not found")


def main() -> int:
    parser = argparse.ArgumentParser(prog="lab", description="A BOSH lab on this machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for deed, words in (
        (up, "network, stemcell image, release and the operator's workspace; no director yet"),
        (down, "remove all of it"),
        (reset, "back to the state after `up`: no VM, no disk, fresh secrets"),
        (status, "VMs, addresses, disks and what monit says"),
    ):
        verbs.add_parser(deed.__name__, help=words, description=words).set_defaults(deed=deed)
    for deed, words in (
        (ssh, "log in to a VM as jumpbox"),
        (kill, "terminate a VM as the IaaS console would; its disk stays"),
        (reboot, "reboot a VM"),
        (cut, "unplug a VM from the network"),
        (heal, "plug it in again"),
    ):
        verb = verbs.add_parser(deed.__name__, help=words, description=words)
        verb.add_argument("name", help="micro, primary, meta, an address or a CID")
        if deed is ssh:
            verb.add_argument("command", nargs=argparse.REMAINDER)
        verb.set_defaults(deed=deed)
    options = parser.parse_args()
    try:
        if os.geteuid() != 0:
            raise LabError("root is needed: the lab makes a network and containers of its own; run it with sudo")
        options.deed(options)
    except (LabError, PodmanError, OSError, subprocess.SubprocessError) as error:
        print(f"lab: {told(error)}", file=sys.stderr)
        return 1
    return 0


def told(error: Exception) -> str:
    """An error as one sentence."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full: {error.filename or paths.STATE}"
    if isinstance(error, subprocess.CalledProcessError):
        return f"`{error.cmd[0] if isinstance(error.cmd, list) else error.cmd}` failed with status {error.returncode}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
