# SPDX-License-Identifier: GPL-3.0-or-later

"""The VM's image: Debian made to look like a stemcell.

Two layers: a base with Debian's packages, the Python libraries and `rootfs`, kept while these stay the same; and the
lab's own code with `overlay`, the files that belong to that code, which is quick to lay over it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from boshlab import paths

HERE = Path(__file__).parent
LAB = HERE.parent.parent
PACKAGES = [
    "acl",
    "attr",
    "ca-certificates",
    "curl",
    "dnsutils",
    "iproute2",
    "iptables",
    "iputils-ping",
    "libfaketime",
    "monit",
    "nats-server",
    "nginx-light",
    "openssh-server",
    "openssl",
    "postgresql-15",
    "procps",
    "python3",
    "rsync",
    "runit",
    "sudo",
]
# Once, as every process of a director would do it at its start: a second and more each time. No PYTHON* of the host's.
COMPILE = "python3 -I -m compileall -q --invalidation-mode unchecked-hash"
HOOK = rf"""
set -e
groupadd --gid 1000 vcap; groupadd bosh_sshers; groupadd bosh_sudoers
useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash --groups bosh_sshers,bosh_sudoers vcap
mkdir -p /var/vcap/bosh/etc /var/vcap/bosh/log /var/vcap/data/jobs /var/vcap/jobs /var/vcap/monit/job \
  /var/vcap/store /var/vcap/sys/log /var/vcap/sys/run /var/vcap/lab/attached /opt/boshlab/src
ln -sf /var/vcap/bosh/etc/monitrc /etc/monitrc
rm -rf /var/lib/postgresql/15 /etc/postgresql/15 /etc/ssh/ssh_host_* /etc/nginx/sites-enabled/*
chmod 0440 /etc/sudoers.d/bosh_sudoers
: > /etc/resolv.conf
{COMPILE} /opt/boshlab/lib
"""


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _tree(directory: Path) -> bytes:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return b"\0".join(str(path.relative_to(directory)).encode() + path.read_bytes() for path in files)


def build(podman: Callable[..., str], say: Callable[[str], None]) -> None:
    """Build what is not there yet. `podman` runs the podman command; `say` tells a person."""
    requirements = (LAB / "requirements.txt").read_bytes()
    of_base = _digest(requirements, " ".join(PACKAGES).encode(), HOOK.encode(), _tree(HERE / "rootfs"))
    base = f"localhost/bosh-lab/base:{of_base}"
    if not _there(podman, base):
        say("Building the stemcell's base from Debian's packages (about a minute)")
        _build_base(podman, base)
    code = _digest(base.encode(), _tree(LAB / "boshlab"))
    if _there(podman, f"localhost/bosh-lab/code:{code}"):
        podman("tag", f"localhost/bosh-lab/code:{code}", paths.IMAGE)
        return
    say("Laying the lab's own programs over it")
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        shutil.copytree(LAB / "boshlab", context / "boshlab", ignore=shutil.ignore_patterns("__pycache__"))
        (context / "Containerfile").write_text(
            f"FROM {base}\nCOPY boshlab /opt/boshlab/src/boshlab\nCOPY boshlab/image/overlay /\n"
            f"RUN {COMPILE} /opt/boshlab/src\n"
            'CMD ["/sbin/boshlab-init"]\n',
            encoding="utf-8",
        )
        tags = ("--tag", paths.IMAGE, "--tag", f"localhost/bosh-lab/code:{code}")
        podman("build", "--quiet", "--network", "none", *tags, directory)


def _there(podman: Callable[..., str], image: str) -> bool:
    return image in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()


def _build_base(podman: Callable[..., str], name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        libraries, tarball = Path(directory) / "lib", Path(directory) / "base.tar"
        # For the image's Python, whatever the host's is.
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--target",
                str(libraries),
                "--python-version",
                "3.11",
                "--only-binary=:all:",
                "--platform",
                "manylinux2014_x86_64",
                "--platform",
                "manylinux_2_28_x86_64",
                "--platform",
                "manylinux_2_34_x86_64",
                "--requirement",
                str(LAB / "requirements.txt"),
            ],
            check=True,
        )
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
                f"--customize-hook=tar -C {HERE}/rootfs --owner=0 --group=0 -c ."
                ' | tar -C "$1" --keep-directory-symlink -x',
                '--customize-hook=mkdir -p "$1"/opt/boshlab',
                f"--customize-hook=copy-in {libraries} /opt/boshlab",
                f"--customize-hook=chroot \"$1\" sh -c '{HOOK}'",
                "bookworm",
                str(tarball),
            ],
            check=True,
        )
        podman("import", "--quiet", str(tarball), name)
