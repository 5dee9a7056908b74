# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes of any size between a host and the control node, over SSH, as Ansible would log in.

Ansible's own ways (`fetch`, `slurp`, `copy`) have a whole file in memory, or on the host's disk first.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import IO, Any, Protocol, cast

from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN
from ansible_collections.bosh.ha.plugins.module_utils.ssh_ciphers import cheapest_here

#: Seconds without an answer after which a connection that was cut is given up: count times interval.
ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")


class Options(Protocol):
    """What is asked of a connection: ansible.builtin.ssh's options by their names."""

    transport: str

    def get_option(self, option: str) -> Any: ...


class Broken(Exception):
    """A command on the host that failed; the message has its words."""


def command_line(connection: Options, words: Sequence[str]) -> list[str]:
    """ssh, logged in as the connection would be, running words as root. Raises Broken where that cannot be.

    A password would need somebody to type it; a host key that nobody has seen is refused, whatever the options say.
    """
    if connection.transport != "ssh":
        raise Broken(f"this host is reached by '{connection.transport}', and artifacts go over ssh only")
    get = connection.get_option
    command = [str(get("ssh_executable") or "ssh"), *ALIVE, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    # Ansible's own ssh_args have -C, which no option takes back: what is sent is compressed already, and zlib is slow.
    command += ["-o", "Compression=no"]
    for name in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
        command += [word for word in shlex.split(get(name) or "") if word != "-C"]
    if ciphers := cheapest_here(_ciphers(command[0])):
        command += ["-o", f"Ciphers={','.join(ciphers)}"]
    if get("port"):
        command += ["-p", str(get("port"))]
    if get("private_key_file"):
        command += ["-i", str(get("private_key_file")), "-o", "IdentitiesOnly=yes"]
    user = get("remote_user")
    if user:
        command += ["-l", str(user)]
    # A master that goes on would keep the pipe open.
    command += ["-o", "ControlMaster=no", "-o", "ControlPath=none", "--", str(get("host"))]
    return [*command, shlex.join(list(words) if user == "root" else ["sudo", "-n", "--", *words])]


def environ() -> dict[str, str]:
    """For ssh, which sends its locale to the host, so that both speak English."""
    return os.environ | PLAIN


@cache
def _ciphers(ssh: str) -> list[str]:
    """What this ssh knows; nothing where it does not tell."""
    try:
        done = subprocess.run(
            [ssh, "-Q", "cipher"], stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environ()
        )
    except OSError:
        return []
    return done.stdout.decode(errors="replace").split()


def read(command: Sequence[str], take: Callable[[IO[bytes]], Any]) -> Any:
    """What `take` makes of a command's output. Raises Broken where the command failed, and what `take` raises."""
    with tempfile.TemporaryFile() as said:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": said}
        process = subprocess.Popen(command, env=environ(), **pipes)
        stream = cast(IO[bytes], process.stdout)
        try:
            result = take(stream)
            stream.close()
            code = process.wait()
        except BaseException as error:
            process.kill()
            process.wait()
            # What the command said is nearer to the cause than what was made of the half of its output; but not where
            # nothing more could be written here.
            if isinstance(error, Exception) and not isinstance(error, OSError) and (words := words_of(said)):
                raise Broken(words) from error
            raise
        if code != 0:
            raise Broken(words_of(said) or f"exit code {code}")
    return result


def write(command: Sequence[str], source: IO[bytes]) -> None:
    """Give a command a file to read. Raises Broken where it failed."""
    pipes: dict[str, Any] = {"stdin": source, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    done = subprocess.run(command, check=False, env=environ(), **pipes)
    if done.returncode != 0:
        raise Broken(_last(done.stderr) or f"exit code {done.returncode}")


def words_of(said: IO[bytes]) -> str:
    """The last that a command wrote into a file."""
    said.seek(0)
    return _last(said.read())


def _last(text: bytes) -> str:
    """The last thing that was said, without what sudo or sshd greet with."""
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-600:]
