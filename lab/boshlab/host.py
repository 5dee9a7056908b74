# SPDX-License-Identifier: GPL-3.0-or-later

"""The `lab` command: the lab as its IaaS console and its network cabling."""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import yaml

from boshlab import cpi, image, load, monit, paths, probe, snapshots, workspace
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
            # conmon starts nothing in a directory that is gone, as a checkout may be.
            cwd="/",
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
    """A light stemcell (its image is in Podman already) and the releases."""
    from boshlab import release

    release.build(paths.ARTIFACTS / "release.tgz")
    release.build(paths.ARTIFACTS / "lab-app.tgz", paths.APP_RELEASE)
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
    for directory in (paths.STATE, paths.SNAPSHOTS):
        shutil.rmtree(directory, ignore_errors=True)
    # The directory itself may be somebody's mount.
    if paths.STATE.exists() and any(paths.STATE.iterdir()):
        raise LabError(f"{paths.STATE} could not be removed wholly: is something of it still mounted or in use?")
    say("Gone")


def reset(options: argparse.Namespace) -> None:
    """Back to the state after `up`: no VM, no disk, a fresh workspace, with nothing left of what was put beside it."""
    reset_vms()
    for directory in (paths.DISKS, paths.VMS, paths.WORKSPACE.parent, paths.WRITES):
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
        if name in (vm["cid"], vm["ip"]) or paths.DIRECTORS.get(name) == vm["ip"]:
            return vm
    raise LabError(f"there is no VM {name}: `lab status` lists them")


def status(_options: argparse.Namespace) -> None:
    names = {address: name for name, address in paths.DIRECTORS.items()}
    print(f"{'NAME':11}{'ADDRESS':13}{'VM':14}{'STATE':10}{'DISK':22}MONIT")
    for vm in vms():
        said = ""
        if vm["state"] == "running":
            summary = podman("exec", vm["cid"], "sh", "-c", "/var/vcap/bosh/bin/monit summary 2>/dev/null || true")
            states = list(monit.parse(summary).values())
            said = f"{states.count('running')} of {len(states)} running"
        print(f"{names.get(vm['ip'], ''):11}{vm['ip']:13}{vm['cid']:14}{vm['state']:10}{vm['disk']:22}{said}")


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
    disks = cpi.Cpi({}).get_disks(vm["cid"]) if options.with_disk else []
    Podman().remove(vm["cid"])
    cpi.release_disks(vm["cid"])
    for disk in disks:
        cpi.Cpi({}).delete_disk(disk)
    say(f"{vm['cid']} at {vm['ip']} is gone, as by the IaaS console{''.join(f', and {disk}' for disk in disks)}")


def reboot(options: argparse.Namespace) -> None:
    Podman().restart(find(options.name)["cid"])


def cut(options: argparse.Namespace) -> None:
    _link(options.name, "down")


def heal(options: argparse.Namespace) -> None:
    _link(options.name, "up")


def _link(name: str, state: str) -> None:
    """Unplug the VM's cable at the host's end: inside, addresses and routes stay."""
    # By netlink, as /sys shows the links of the namespace in which it was mounted, which is the host's.
    inside = links("nsenter", "-t", find(name)["pid"], "-n")
    peer = next((link["link_index"] for link in inside if link["ifname"] == "eth0"), None)
    for link in links():
        if link["ifindex"] == peer and link.get("linkinfo", {}).get("info_kind") == "veth":
            subprocess.run(["ip", "link", "set", link["ifname"], state], check=True)
            return
    raise LabError(f"the cable of {name} was not found")


def links(*prefix: str) -> list[dict[str, Any]]:
    """Links of a network namespace, that of the host without a prefix, as `ip -details -json link` tells them."""
    told = subprocess.run([*prefix, "ip", "-details", "-json", "link"], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return found


# The lab at a moment


def in_vm(cid: str, script: str) -> str:
    """What a shell command prints in a VM; nothing where it fails."""
    command = ["podman", "exec", cid, "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=_environ(), timeout=60)
    return done.stdout if done.returncode == 0 else ""


def snapshot(options: argparse.Namespace) -> None:
    """Keep it; one that is there under this name is replaced."""
    began = time.monotonic()
    found = snapshots.make(options.name, in_vm)
    took = time.monotonic() - began
    still = found["stood_still"]
    say(f"{options.name} is kept: {len(found['vms'])} VMs; they stood still for {still} s of {took:.1f} s")


def restore(options: argparse.Namespace) -> None:
    began = time.monotonic()
    if paths.STATE.is_dir():
        start_service()
    found = snapshots.restore(options.name, in_vm)
    say(f"Back to {options.name}: {len(found['vms'])} VMs, in {time.monotonic() - began:.1f} s")


def list_snapshots(options: argparse.Namespace) -> None:
    if options.remove:
        snapshots.remove(options.remove)
    names = {address: name for name, address in paths.DIRECTORS.items()}
    for name in snapshots.names():
        found = snapshots.read(name)
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["made_at"]))
        print(f"{name:25}{made:21}{', '.join(names.get(vm['address'], vm['cid']) for vm in found['vms'])}")


# Load


def _loader(cid: str, deed: str, *words: str) -> list[str]:
    """A command that runs a deed of load.py in a VM; the file goes there with each, so that an older image will do."""
    Podman().put(cid, LOADER, Path(load.__file__).read_bytes(), 0o755)
    return ["podman", "exec", "--env", "PYTHONPATH=/opt/boshlab/lib", cid, "python3", LOADER, deed, *words]


def _in_director(name: str, deed: str, *words: str) -> str:
    done = subprocess.run(_loader(find(name)["cid"], deed, *words), capture_output=True, text=True, env=_environ())
    if done.returncode != 0:
        raise LabError(f"`lab {deed}` of {name}: {done.stderr.strip()}")
    return done.stdout


def fill(options: argparse.Namespace) -> None:
    print(_in_director(options.name, "fill", "--size", str(options.size), "--seed", str(options.seed)).strip())


def write(options: argparse.Namespace) -> None:
    vm = find(options.name)
    running = in_vm(
        vm["cid"], f"pid=$(cat {load.PID_FILE}) && grep -qz {LOADER} /proc/$pid/cmdline && echo $pid"
    ).strip()
    if options.stop:
        if running:
            in_vm(vm["cid"], f"kill {running}; while [ -d /proc/{running} ]; do sleep 0.1; done")
        say(f"Nobody writes to {options.name}; {_file_of(options.name)} has what was committed")
        return
    if running:
        raise LabError(f"somebody writes to {options.name} already: `lab write {options.name} --stop` ends it")
    paths.WRITES.mkdir(exist_ok=True)
    out = _file_of(options.name)
    command = _loader(vm["cid"], "write", "--rate", str(options.rate))
    with open(out, "ab") as lines, open(out.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=lines, stderr=log, env=_environ(), start_new_session=True
        )
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        say(f"{options.rate:g} rows a second into {options.name}; {out} has each that was committed")
        return
    raise LabError(f"the writer ended at once: see {out.with_suffix('.log')}")


def _file_of(name: str) -> Path:
    return paths.WRITES / f"{name}.jsonl"


def written(options: argparse.Namespace) -> None:
    """Whether what was committed, at whatever VM, is in this one's database and store; status 1 where it is not."""
    acknowledged: list[str] = []
    for file in sorted(paths.WRITES.glob("*.jsonl")):
        if not options.of or file.stem in options.of:
            acknowledged += file.read_text(encoding="utf-8").splitlines()
    found = compare(acknowledged, _in_director(options.name, "rows").splitlines())
    print(json.dumps(found))
    if found["lost"] or found["bad_blobs"]:
        raise LabError(
            f"{found['lost']} rows and {found['bad_blobs']} blobs that were written are not at {options.name}"
        )


def compare(acknowledged: list[str], rows: list[str]) -> dict[str, Any]:
    """Rows that were committed against those that are there, both as lines of JSON."""
    told: dict[tuple[str, int], float] = {}
    for line in acknowledged:
        # The last line of a VM that was killed may be cut off: then nobody was told of that row.
        with suppress(ValueError):
            row = json.loads(line)
            told[row["writer"], row["n"]] = row["time"]
    present = {(row["writer"], row["n"]): row["blob_good"] for row in map(json.loads, rows)}
    lost = sorted(told.keys() - present.keys(), key=lambda key: told[key])
    return {
        "acknowledged": len(told),
        "present": len(present),
        "lost": len(lost),
        "first_lost": {"writer": lost[0][0], "n": lost[0][1], "time": told[lost[0]]} if lost else None,
        "bad_blobs": sum(1 for key in told.keys() & present.keys() if present[key] is False),
        "last_acknowledged": max(told.values(), default=None),
    }


def ask(options: argparse.Namespace) -> None:
    """Sample who answers, or tell of what was sampled."""
    if options.summary:
        print(json.dumps(probe.summary(Path(options.summary).read_text(encoding="utf-8").splitlines()), indent=1))
        return
    names = options.names.split(",") if options.names else list(paths.ADDRESSES)
    addresses = {name: paths.ADDRESSES.get(name, name) for name in names}
    with open(options.out, "a", encoding="utf-8") if options.out else nullcontext(sys.stdout) as out:
        probe.run(addresses, out, options.rate, options.seconds)


# Faults in a VM


def lock(options: argparse.Namespace) -> None:
    """As a colleague's task would hold it; of 0 seconds it is given back."""
    resource = f"lock:deployment:{options.deployment}"
    _in_director(options.name, "lock", "--resource", resource, "--seconds", str(options.seconds))


KILL = r"""case $1 in
monit) pid=$(cat /run/monit.pid) ;;
agent | sshd) pid=$(cat "/etc/service/$1/supervise/pid") ;;
*)
  # The jobs' files may lie elsewhere for a time; their processes need not be gone then.
  file=$(awk -v name="$1" '$1 == "check" { f = $3 == name } f && /pidfile/ { print $NF; exit }' \
    /var/vcap/monit/job*/*.monitrc 2>/dev/null)
  [ -n "$file" ] || { echo "monit knows no process $1" >&2; exit 1; }
  pid=$(cat "$file" 2>/dev/null)
  ;;
esac
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null || { echo "$1 does not run" >&2; exit 1; }"""


def kill_process(options: argparse.Namespace) -> None:
    podman("exec", find(options.name)["cid"], "sh", "-c", KILL, "sh", options.process)


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
#: By PAM's environment and sudo's, so that sshd itself is spared, whose sandbox would end it. A file's times are shown
#: as they are: rsync and whoever compares files would else see others.
CLOCK = f"""set -e
rm -f /etc/sudoers.d/lab_clock
sed -i '/^LD_PRELOAD=\\|^FAKETIME=\\|^NO_FAKE_STAT=/d' /etc/environment
[ "$1" != +0 ] || exit 0
[ -e {FAKETIME} ] || {{ echo "the image of this VM is older than libfaketime in it" >&2; exit 1; }}
printf '%s\\n' LD_PRELOAD={FAKETIME} "FAKETIME=$1" NO_FAKE_STAT=1 >>/etc/environment
(umask 0337 && echo 'Defaults env_file=/etc/environment' >/etc/sudoers.d/lab_clock)"""


def clock(options: argparse.Namespace) -> None:
    podman("exec", find(options.name)["cid"], "sh", "-c", CLOCK, "sh", f"{options.seconds:+d}")


BBR_SCRIPTS = (
    "metadata",
    "pre-backup-lock",
    "backup",
    "post-backup-unlock",
    "pre-restore-lock",
    "restore",
    "post-restore-unlock",
)
#: Only lab-app's scripts look for faults: those of the release `bosh` do what BOSH's own do.
BBR_FAULT = """set -e
job=/var/vcap/jobs/$1 fault=/var/vcap/data/bbr-faults/$1/$2
[ -e "$job/bin/bbr/$2" ] && [ -e "$job/helpers/bbr.sh" ] ||
  { echo "this VM has no job $1 of lab-app with the script $2" >&2; exit 1; }
mkdir -p "${fault%/*}"
if [ "$3" = off ]; then rm -f "$fault"; else echo "$3" >"$fault"; fi"""


def bbr_fault(options: argparse.Namespace) -> None:
    words = options.job, options.script, options.fault
    podman("exec", find(options.name)["cid"], "sh", "-c", BBR_FAULT, "sh", *words)


def size_of(words: str) -> int:
    """Bytes of `1G`, `500M`, `64K` or a plain number; the letters are powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", words, re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"{words} is no size such as 500M or 1G")
    return int(float(found.group(1)) * 1024 ** " KMGT".index(found.group(2).upper() or " "))


LOADER = "/opt/boshlab/load.py"
NAME = "micro, primary, meta, an address or a CID"


def main() -> int:
    parser = argparse.ArgumentParser(prog="lab", description="A BOSH lab on this machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, deed: Callable[[argparse.Namespace], None], words: str, of_vm: bool = True) -> Any:
        found = verbs.add_parser(name, help=words, description=words)
        if of_vm:
            found.add_argument("name", help=NAME)
        found.set_defaults(deed=deed)
        return found

    verb("up", up, "network, stemcell image, release and the operator's workspace; no director yet", False)
    verb("down", down, "remove all of it", False)
    verb("reset", reset, "back to the state after `up`: no VM, no disk, fresh secrets", False)
    verb("status", status, "VMs, addresses, disks and what monit says", False)
    verb("ssh", ssh, "log in to a VM as jumpbox").add_argument("command", nargs=argparse.REMAINDER)
    killed = verb("kill", kill, "terminate a VM as the IaaS console would; its disk stays")
    killed.add_argument("--with-disk", action="store_true", help="its disk is deleted, too")
    verb("reboot", reboot, "reboot a VM")
    verb("cut", cut, "unplug a VM from the network")
    verb("heal", heal, "plug it in again")

    for name, deed, words in (
        ("snapshot", snapshot, "keep the whole lab, under a name; one of that name is replaced"),
        ("restore", restore, "the whole lab as it was; what came after is gone"),
    ):
        verb(name, deed, words, False).add_argument("name", help="of the snapshot")
    listed = verb("snapshots", list_snapshots, "which there are", False)
    listed.add_argument("--remove", metavar="NAME", help="forget one before")

    filled = verb("fill", fill, "a store that looks like one in use, with incompressible data, into a director's VM")
    filled.add_argument("--size", type=size_of, default="1G", help="of all of it, such as 500M (default 1G)")
    filled.add_argument("--seed", type=int, default=1, help="the same number makes the same data (default 1)")
    writes = verb("write", write, "rows and a blob now and then into a director's VM, in the background until --stop")
    writes.add_argument("--rate", type=float, default=5, help="rows a second (default 5)")
    writes.add_argument("--stop", action="store_true", help="no more")
    check = verb("written", written, "whether what `write` was told to be committed is in this VM now")
    check.add_argument("--of", action="append", metavar="NAME", help="only what was written to this VM; repeatable")
    asked = verb("probe", ask, "ask each director's /info until SIGTERM; lines of JSON", False)
    asked.add_argument("--out", help="a file to append to (default stdout)")
    asked.add_argument("--rate", type=float, default=5, help="times a second (default 5)")
    asked.add_argument("--seconds", type=float, help="end after so many (default never)")
    asked.add_argument("--names", help="names or addresses with commas between (default micro,primary,meta)")
    asked.add_argument("--summary", metavar="FILE", help="ask nobody; tell the outages in such a file")

    held = verb("lock", lock, "hold a deployment's lock in a director's database, as a colleague's task would")
    held.add_argument("deployment")
    held.add_argument("--seconds", type=float, default=240, help="until it expires (default 240); 0 gives it back")
    killed = verb("kill-process", kill_process, "SIGKILL to a process in a VM")
    killed.add_argument("process", help="a name that monit knows, or monit, agent, sshd")
    shifted = verb("clock", clock, "another time for whoever logs in to a VM from now on; 0: the true one")
    shifted.add_argument("seconds", type=int, help="such as +3600 or -60")
    refused = verb("bbr-fault", bbr_fault, "what one of BBR's scripts of lab-app does from now on")
    refused.add_argument("job", help="web, worker, records or cache")
    refused.add_argument("script", choices=BBR_SCRIPTS)
    refused.add_argument("fault", choices=("fail", "hang", "off"), help="one that hangs goes on after `off`")

    options = parser.parse_args()
    try:
        if os.geteuid() != 0:
            raise LabError("root is needed: the lab makes a network and containers of its own; run it with sudo")
        options.deed(options)
    except (LabError, snapshots.SnapshotError, PodmanError, OSError, subprocess.SubprocessError) as error:
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
