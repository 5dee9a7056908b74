# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A port of the control node that is a host's own sshd, through a connection of which the host key was checked.

For a program that logs in by SSH and takes any host key: whoever stands between cannot be reached by it.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

from ansible_collections.bosh.ha.plugins.plugin_utils import ssh_stream

#: Seconds until the host's sshd has greeted through it.
PATIENCE = 30.0
_LOCAL = "127.0.0.1"


@contextlib.contextmanager
def opened(connection: ssh_stream.Options) -> Iterator[int]:
    """The port, as long as this lasts. Raises ssh_stream.Broken.

    It ends with this process, however that ends: the command at its other end reads until we are gone.
    """
    with socket.socket() as free:
        free.bind((_LOCAL, 0))
        port: int = free.getsockname()[1]
    command = ssh_stream.command_line(connection, ["cat"])
    target = f"{_LOCAL}:{port}:{_LOCAL}:{connection.get_option('port') or 22}"
    # Somebody else who took the port meanwhile would be a failure, and not who is spoken to.
    way = ["-T", "-L", target, "-o", "ExitOnForwardFailure=yes", "-o", "GatewayPorts=no"]
    with tempfile.TemporaryFile() as told:
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.DEVNULL,
            "stderr": told,
            "env": ssh_stream.environ(),
        }
        process = subprocess.Popen([*command[:-3], *way, *command[-3:]], start_new_session=True, **pipes)
        try:
            _greeted(process, port, told)
            yield port
        finally:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()


def _greeted(process: subprocess.Popen[bytes], port: int, told: IO[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise ssh_stream.Broken(ssh_stream.words_of(told) or f"exit code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((_LOCAL, port), PATIENCE) as probe:
            if probe.recv(4) == b"SSH-":
                return
            # The port is ours, and leads nowhere.
            words = ssh_stream.words_of(told) or "the connection was closed"
            raise ssh_stream.Broken(f"its sshd forwards no port (AllowTcpForwarding): {words}")
        time.sleep(0.2)
    raise ssh_stream.Broken(f"its sshd did not answer through the tunnel in {PATIENCE:g} s")
