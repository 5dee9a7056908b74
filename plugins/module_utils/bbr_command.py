# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command `bbr director`: its words, how long it may take, and what its exit code and its output tell.

Sources: bosh-backup-and-restore cmd/bbr/main.go, cli/command/{director_backup,director_restore,utils}.go,
orchestrator/{error,backuper}.go.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.bosh.ha.plugins.module_utils import bbr_scripts
from ansible_collections.bosh.ha.plugins.module_utils.bbr_backup import EXIT_BITS
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN_UTF8
from ansible_collections.bosh.ha.plugins.module_utils.waiting_lock import lock_within

#: What it is told to do, by what is wanted of it.
DEEDS = ("backup", "restore", "backup-cleanup", "restore-cleanup")
#: Seconds to wait for a bbr that goes on although the run that began it was ended. Its way to the host ended with it.
PATIENCE = 60.0
_KNOWN = sum(EXIT_BITS.values())
_AT = r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) INFO - "
_LOCKING = re.compile(_AT + r"Running pre-(?:backup|restore)-lock scripts")
_UNLOCKED = re.compile(_AT + r"Finished running post-(?:backup|restore)-unlock scripts")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERRORS = re.compile(r"^\d+ errors? occurred:$", re.MULTILINE)
_ERROR = re.compile(r"^error \d+:$\n?", re.MULTILINE)


class Busy(Exception):
    """Another bbr of ours has not ended; the message names the file that it holds."""


@dataclass(frozen=True)
class Ended:
    """A bbr that was run. code is negative where a signal ended it, and None where it took too long.

    problem is a sentence, and empty where all went well.
    """

    code: int | None
    problem: str = ""
    output: str = ""
    kinds: list[str] = field(default_factory=list)
    seconds_locked: float | None = None

    @property
    def whole(self) -> bool:
        """Whether what it was told to do is done; a job that could not be unlocked, or cleaned, costs no backup."""
        return not {"failed", "lock"} & set(self.kinds)

    @property
    def unclean(self) -> bool:
        """Whether something may be locked still, or on the VM's disk: it was ended, or says so itself.

        Else it has cleaned up, or there is a directory that is somebody else's, which must stay.
        """
        return not _is_bbrs(self.code) or bool({"unlock", "cleanup"} & set(self.kinds))


def words(bbr: str, deed: str, host: str, user: str, key: str, path: str = "") -> list[str]:
    """The command line. host: with a port, where it is not 22. key: path of the private key, which bbr reads itself.

    There is no secret in it.
    """
    target = [bbr, "director", "--host", host, "--username", user, "--private-key-path", key]
    return [*target, deed, *(["--artifact-path", path] if path else [])]


def target(host: str, port: int) -> str:
    """A host and its SSH port as bbr takes them. Raises ValueError for an address that it cannot take.

    bbr looks for one colon to know a port, and adds `:22` to whatever else (ssh/connection.go, defaultToSSHPort), so it
    takes an IPv6 address in brackets, and only with port 22.
    """
    if ":" not in host:
        return f"{host}:{port}"
    if port != 22:
        raise ValueError(f"ansible_port is {port}, and bbr takes the IPv6 address {host} with port 22 only")
    return host if host.startswith("[") else f"[{host}]"


def environment(around: Mapping[str, str], all_proxy: str = "") -> dict[str, str]:
    """What bbr finds in its environment: no variable of BOSH's that a person's shell has, but the proxy."""
    kept = {
        name: value for name, value in around.items() if not name.startswith(("BOSH_", "BBR_")) and name != "CA_CERT"
    }
    return kept | ({"BOSH_ALL_PROXY": all_proxy} if all_proxy else {})


def kinds_of(code: int | None) -> list[str]:
    """Kinds of failures by the exit code; one that is none of bbr's is a failure like others."""
    if not _is_bbrs(code):
        return ["failed"]
    return [kind for kind, bit in EXIT_BITS.items() if (code or 0) & bit]


def _is_bbrs(code: int | None) -> bool:
    """Whether bbr itself chose the exit code; Go has 2 where a program falls over."""
    return code is not None and code >= 0 and not code & ~_KNOWN


def seconds_locked(output: str) -> float | None:
    """From the first lock to the last unlock, as bbr's own log has it, to the second; None where it has not both."""
    begin, end = _LOCKING.search(output), _UNLOCKED.search(output)
    if not begin or not end:
        return None
    first, last = (datetime.strptime(found[1], "%Y/%m/%d %H:%M:%S") for found in (begin, end))
    return (last - first).total_seconds()


def said(output: str) -> str:
    """What bbr names as its errors, on one line; its last words where it names none."""
    plain = _COLOUR.sub("", output)
    parts = _ERRORS.split(plain)
    if len(parts) > 1:
        errors = [" ".join(error.split()) for error in _ERROR.split(parts[-1])[1:]]
        return "; ".join(error for error in errors if error)[:2000]
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:600]


def run(command: Sequence[str], environ: Mapping[str, str], log: str, timeout: float) -> Ended:
    """Run bbr to its end, or for `timeout` seconds; all that it says is added to the file `log`, for its owner only.

    bbr holds a lock on the log, so that nobody cleans up beside one that goes on. Raises Busy, OSError.
    """
    handle = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab") as stream, tempfile.TemporaryDirectory() as scratch:
        if not lock_within(handle, PATIENCE, 0.5):
            raise Busy(f"a bbr that an earlier run began has not ended, and writes into {log} still")
        begin = os.fstat(handle).st_size
        process = subprocess.Popen(
            command,
            # Its log has local times.
            env=dict(environ) | PLAIN_UTF8,
            # It leaves a file with where in its code an error came from.
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=(handle,),
            start_new_session=True,
        )
        try:
            code = _wait(process, timeout)
        finally:
            if process.poll() is None:
                bbr_scripts.end(process)
        for trace in sorted(glob.glob(os.path.join(scratch, "bbr-*.err.log"))):
            with open(trace, "rb") as source:
                stream.write(source.read())
    with open(log, "rb") as source:
        source.seek(begin)
        output = source.read().decode(errors="replace")
    return judged(os.path.basename(command[0]), code, output, timeout)


def _wait(process: subprocess.Popen[bytes], timeout: float) -> int | None:
    """The exit code; None after `timeout` seconds, or as soon as the run that began it is gone: its worker goes on."""
    runner, until = os.getppid(), time.monotonic() + timeout
    while os.getppid() == runner and (left := until - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(min(left, 1.0))
    return process.poll()


def judged(name: str, code: int | None, output: str, timeout: float) -> Ended:
    """What an exit code and an output mean."""
    kinds, told = kinds_of(code), said(output)
    if code is None:
        problem = f"{name} did not end in {timeout:g} s, and was ended"
    elif code < 0:
        problem = f"{name} was ended by signal {-code}"
    else:
        problem = f"{name} failed with exit code {code}" if code else ""
    if problem and told:
        problem = f"{problem}: {told}"
    return Ended(code, problem, output[-bbr_scripts.TAIL :], kinds, seconds_locked(output))
