# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running BBR's scripts on the VM that has them: each in a process group of its own, and never for ever.

Sources: bosh-backup-and-restore instance/{job,job_finder,deployed_instance}.go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from ansible_collections.bosh.ha.plugins.module_utils import bbr_mark

JOBS_DIR = "/var/vcap/jobs"
#: Where BBR's scripts of all jobs leave what is backed up; BBR's own name, so that neither works while the other does.
ARTIFACTS_DIR = "/var/vcap/store/bbr-backup"
#: Options of every module that works with them.
OPTIONS: dict[str, Any] = {
    "jobs_dir": {"type": "path", "default": JOBS_DIR},
    "artifacts_dir": {"type": "path", "default": ARTIFACTS_DIR},
}
#: Whose metadata may depend on it.
BBR_VERSION = "1.9.0"
#: Seconds between the polite end of a script that hangs and the other one.
GRACE = 10.0
#: Characters of what a script said last.
TAIL = 2000


@dataclass(frozen=True)
class Ran:
    """One script that was run. problem is a sentence, and empty where it did what it should."""

    job: str
    script: str
    seconds: float
    problem: str = ""
    output: str = ""


def path_of(job: str, script: str, jobs_dir: str = JOBS_DIR) -> str:
    return os.path.join(jobs_dir, job, "bin", "bbr", script)


def artifact_dir(name: str, root: str = ARTIFACTS_DIR) -> str:
    return os.path.join(root, name)


def variables(script: str, artifact: str, root: str = ARTIFACTS_DIR, successful: bool = True) -> dict[str, str]:
    """What a script finds in its environment, by the contract. artifact: name of the job's directory."""
    if script in ("backup", "restore"):
        # The scripts rely on the slash at the end.
        directory = f"{artifact_dir(artifact, root)}/"
        return {"BBR_ARTIFACT_DIRECTORY": directory, "ARTIFACT_DIRECTORY": directory}
    if script == "post-backup-unlock":
        return {"BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL": "true" if successful else "false"}
    if script == "metadata":
        return {"BBR_VERSION": BBR_VERSION}
    return {}


def run(job: str, script: str, path: str, more: Mapping[str, str], timeout: float) -> Ran:
    """Run one script to its end, or for `timeout` seconds; then it is ended, with all that it began.

    Never raises OSError.
    """
    began = time.monotonic()
    # A file, as whoever the script leaves behind would hold a pipe open.
    with tempfile.TemporaryFile() as said:
        try:
            process = _begin(path, more, said, subprocess.STDOUT if script != "metadata" else subprocess.DEVNULL)
        except OSError as error:
            return Ran(job, script, 0.0, f"{script} of {job} cannot be run: {error}")
        try:
            code = process.wait(timeout)
            problem = "" if code == 0 else f"{script} of {job} failed with exit code {code}"
        except subprocess.TimeoutExpired:
            end(process)
            problem = f"{script} of {job} did not end in {timeout:g} s, and was ended"
        said.seek(0)
        output = said.read().decode(errors="replace")
    if problem and output.strip():
        problem = f"{problem}: {_last_line(output)}"
    kept = output if script == "metadata" else output[-TAIL:]
    return Ran(job, script, round(time.monotonic() - began, 3), problem, kept)


def _begin(path: str, more: Mapping[str, str], said: IO[bytes], errors: int) -> subprocess.Popen[bytes]:
    """Start a script as `sudo` does, which gives one without an interpreter's line to sh. Raises OSError."""

    def begin(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            env={**_plain(os.environ), **more},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=errors,
            start_new_session=True,
        )

    try:
        return begin(path)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return begin("/bin/sh", path)


def make_artifact_dir(name: str, root: str = ARTIFACTS_DIR) -> None:
    """Where a job's backup script leaves what it has, made as `sudo mkdir -p` does. Raises OSError.

    A script that works as another user gives the directory to that user, and that user must be able to reach it. What
    the script writes there has the modes that the script gives it, as under bbr. A directory that is there stays as it
    is, as it may be given to that user already. Source: bosh-backup-and-restore instance/job.go (Backup).
    """
    path = os.path.normpath(root)
    if not os.path.isdir(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    for part in ("", *name.split("/")):
        path = os.path.join(path, part) if part else path
        with contextlib.suppress(FileExistsError):
            bbr_mark.make(path)


def run_all(jobs: Sequence[str], script: str, params: Mapping[str, Any], names: Mapping[str, str]) -> list[Ran]:
    """One script of each of these jobs, all of them even where one fails, as BBR does.

    params: jobs_dir, artifacts_dir, timeout, at_once and successful, as of M(bosh.ha.bbr_script). names: of a job's
    artifact, where it is another than the job's.
    """

    def one(job: str) -> Ran:
        path = path_of(job, script, params["jobs_dir"])
        more = variables(script, names.get(job, job), params["artifacts_dir"], params["successful"])
        return run(job, script, path, more, params["timeout"])

    with ThreadPoolExecutor(max_workers=max(1, len(jobs)) if params["at_once"] else 1) as pool:
        return list(pool.map(one, jobs))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all in its group; those who mind no SIGTERM have GRACE seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            # Again where the first of them is gone, as its children may have stayed.
            os.killpg(process.pid, number)
            process.wait(GRACE)
    process.wait()


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """What sudo leaves of an environment; a script finds no more with BBR.

    Locale and time zone would be those of the control node, as ssh sends them, and bbr's own session sends none
    (bosh-backup-and-restore ssh/connection.go): a dump sorted or printed by them could not be restored elsewhere.
    """
    kept = {name: value for name, value in environment.items() if name == "TERM"} | {"LC_ALL": "C.UTF-8"}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return kept | {"PATH": path, "HOME": "/root", "USER": "root", "LOGNAME": "root"}


def _last_line(output: str) -> str:
    return output.strip().splitlines()[-1][:500]
