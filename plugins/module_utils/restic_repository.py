# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository of restic's as the control node works on it: made, listed, thinned out, checked, and read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any, cast

from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup, bbr_shelf, restic

#: Seconds between two attempts while somebody else has the repository locked.
PAUSE = 5.0
#: Seconds that restic has to give its lock back.
GRACE = 10.0
#: rclone's exit code for a directory that is not there (cmd/cmd.go, resolveExitCode).
_NOT_THERE = 3
_CHUNK = 1 << 20


class Repository:
    """restic's commands over one repository. All raise restic.Refused, and OSError where a command cannot be run."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        """params: as restic.OPTIONS has them. Raises Refused for what cannot be right."""
        self.name: str = params["repository"]
        passphrase = params["passphrase"] or os.environ.get(restic.PASSPHRASE, "")
        if problem := restic.problem_of(self.name, passphrase):
            raise restic.Refused(problem)
        self.passphrase: str = passphrase
        self.restic = _program(params["restic"])
        self.rclone = _program(params["rclone"])
        self.environment = restic.environment(passphrase, os.environ)
        self._patience = float(params["lock_wait"])

    def ready(self, check: bool = False) -> bool:
        """Open it; where its place is empty it is made first, and True is returned. A passphrase is tried, too."""
        self._refuse_old()
        listed = self._call([self.rclone, "lsf", "--max-depth", "1", self.name])
        if listed.returncode not in (0, _NOT_THERE):
            words = restic.last_words(listed.stderr)
            raise restic.Refused(f"{self.name} cannot be reached by rclone: {words}")
        there = listed.stdout.splitlines()
        if "config" in there:
            self.run("cat", "config", "--no-lock")
            return False
        if there:
            raise restic.Refused(
                f"{self.name} has {there[0]} and is no repository of restic's: give an empty place, where one is made"
            )
        if not check:
            self.run("init")
        return True

    def run(self, *words: str, given: bytes | None = None) -> str:
        """What restic prints. Waits for others that have it locked, as long as `lock_wait`."""
        end = time.monotonic() + self._patience
        while True:
            done = self._call(restic.command(self.restic, self.rclone, self.name, words), given)
            if done.returncode == 0:
                return done.stdout
            if not restic.is_locked(done.stderr) or time.monotonic() > end:
                raise restic.Refused(restic.told(done.stderr, self.name, done.returncode))
            time.sleep(PAUSE)

    def backups(self, name: str = "") -> list[restic.Backup]:
        """Those of one name or all, the oldest first."""
        return restic.backups_of(restic.listed(self.run("snapshots", "--json", "--no-lock"), "list of snapshots"), name)

    def facts(self, backup: restic.Backup) -> dict[str, Any]:
        """What was written down of a backup that is whole."""
        told = self.run("dump", backup.facts, restic.FACTS)
        try:
            facts: dict[str, Any] = json.loads(told)
            if not isinstance(facts["artifacts"], list):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise restic.Refused(f"{self.name}: the facts of {backup.name}_{backup.stamp} cannot be read") from None
        return facts

    def finish(self, name: str, begun: float, artifacts: list[dict[str, Any]], about: dict[str, Any]) -> str:
        """Write down that a backup is whole; its stamp. Refuses where an artifact is not in its snapshot.

        artifacts: name, group, index, snapshot and path of each. What an earlier one of the name left half done is
        forgotten.
        """
        for snapshot, root in sorted({(one["snapshot"], os.path.dirname(one["path"])) for one in artifacts}):
            there = {line.rstrip("/") for line in self.run("ls", "--no-lock", snapshot, root).splitlines()}
            for one in artifacts:
                if (one["snapshot"], os.path.dirname(one["path"])) == (snapshot, root) and one["path"] not in there:
                    raise restic.Refused(f"snapshot {snapshot} of {self.name} has no {one['path']}")
        stamp = stamp_of(begun)
        facts = {"name": name, "begun": begun, "ended": time.time(), "artifacts": artifacts, "about": about}
        words = ["--host", name, "--tag", ",".join(restic.tags("backup", name, stamp)), "--stdin"]
        self.run("backup", "--quiet", *words, "--stdin-filename", restic.FACTS, given=json.dumps(facts).encode())
        half_done = [one for backup in self.backups(name) if not backup.facts for one in backup.parts]
        if half_done:
            self.run("forget", *half_done)
        return stamp

    def forget(self, name: str, keep: Mapping[str, int | None], check: bool = False) -> list[str]:
        """Thin out the backups of one name, as restic's own policies have it, and free their room; their stamps."""
        words = restic.keep_words(keep)
        if not words:
            return []
        if not check:
            # Those of processes that are gone, by restic's own judgement.
            self.run("unlock")
        mine = ["--host", name, "--tag", ",".join(restic.tags("backup", name, "")[:-1]), "--group-by", "host"]
        told = self.run("forget", "--json", "--dry-run", "--no-lock", *mine, *words)
        removed = set(restic.removed_of(told))
        if not removed:
            return []
        backups = [backup for backup in self.backups(name) if backup.facts in removed]
        if backups and not check:
            # The facts first: what is cut off in the middle leaves what is half done, and no half backup.
            self.run("forget", *(backup.facts for backup in backups))
            if parts := [one for backup in backups for one in backup.parts]:
                self.run("forget", *parts)
            self.run("prune")
        return [backup.stamp for backup in backups]

    def check(self, read: bool) -> None:
        """Compare what it has with its index; `read`: all of the data, too."""
        self.run("check", *(["--read-data"] if read else []))

    def drop_lock(self, host: str, process: int) -> bool:
        """Remove the lock of one process on another host, which is known to be gone; whether there was one."""
        dropped = False
        for lock in self.run("list", "locks", "--no-lock").split():
            # One that was given back meanwhile is nobody's.
            with contextlib.suppress(restic.Refused, ValueError):
                told = json.loads(self.run("cat", "lock", lock, "--no-lock"))
                if (told.get("hostname"), told.get("pid")) == (host, process):
                    self._call([self.rclone, "deletefile", f"{self.name.rstrip('/')}/locks/{lock}"])
                    dropped = True
        return dropped

    def export(self, name: str, stamp: str, parent: str) -> tuple[str, dict[str, Any]]:
        """A backup in BBR's layout below `parent`; its path and facts. Raises FileExistsError where it is there."""
        backup = restic.chosen(self.backups(name), stamp, name, self.name)
        facts = self.facts(backup)
        begun = datetime.fromtimestamp(facts["begun"], UTC)
        path = os.path.join(parent, bbr_backup.directory_name(name, begun))
        if os.path.exists(path):
            raise restic.Refused(f"{path} is there already")
        self._refuse_full(parent, sorted({one["snapshot"] for one in facts["artifacts"]}))
        partial = path + bbr_backup.PARTIAL
        os.makedirs(parent, mode=0o700, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        os.mkdir(partial, 0o700)
        try:
            sums = {}
            for one in facts["artifacts"]:
                artifact = bbr_backup.Artifact(one["name"], one["group"], one["index"])
                target = os.path.join(partial, artifact.file)
                sums[artifact] = self._export_one(one["snapshot"], one["path"], target)
            bbr_backup.write_about(partial, facts["about"])
            ended = datetime.fromtimestamp(facts["ended"], UTC)
            bbr_backup.write_metadata(partial, bbr_backup.metadata(sums, begun, ended))
            os.rename(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return path, facts

    def _refuse_full(self, parent: str, snapshots: list[str]) -> None:
        told = self.run("stats", "--json", "--no-lock", "--mode", "restore-size", *snapshots)
        try:
            needed = int(json.loads(told)["total_size"])
        except (ValueError, KeyError, TypeError):
            raise restic.Refused(
                f"{self.name}: the size of the backup cannot be read from restic's statistics"
            ) from None
        free = bbr_shelf.free_at(parent)
        if free < needed:
            room = f"{bytes_to_human(free)} free, and the backup takes {bytes_to_human(needed)}"
            raise restic.Refused(f"{parent} on the control node has {room}")

    def _export_one(self, snapshot: str, path: str, target: str) -> dict[str, str]:
        words = ["dump", "--archive", "tar", snapshot, path]
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            restic.command(self.restic, self.rclone, self.name, words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, problem, sums = _Said(process), "", {}
        with process:
            try:
                with open(target, "wb", opener=bbr_backup.private) as stream:
                    sums = rewrite(cast(IO[bytes], process.stdout), stream, path)
                while process.stdout and process.stdout.read(_CHUNK):
                    pass
            except (tarfile.TarError, OSError) as error:
                problem = str(error)
            finally:
                if problem or sys.exc_info()[0]:
                    end(process)
            code = said.wait()
        # What restic says is nearer to the cause than what was made of half a tar.
        if code > 0 or (code and not problem):
            problem = restic.told(said.text(), self.name, code)
        if problem:
            raise restic.Refused(f"{path} of snapshot {snapshot} cannot be exported: {problem}")
        return sums

    def _refuse_old(self) -> None:
        words = self._call([self.restic, "version"]).stdout
        found = re.match(r"restic (\d+)\.(\d+)", words)
        if not found or (int(found[1]), int(found[2])) < restic.OLDEST:
            oldest = ".".join(str(number) for number in restic.OLDEST)
            raise restic.Refused(f"{self.restic} is '{words.strip()}', and {oldest} or newer is needed")

    def _call(self, command: Sequence[str], given: bytes | None = None) -> subprocess.CompletedProcess[str]:
        # AnsibleModule.run_command waits for whoever holds the pipe; an action plugin has none.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            command,
            env=self.environment,
            stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o077,
        )
        said = _Said(process)
        with process:
            if given is not None and process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(given)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            out = process.stdout.read() if process.stdout else b""
            code = said.wait()
        return subprocess.CompletedProcess(list(command), code, out.decode(errors="replace"), said.text())


class _Said:
    """What a process says on stderr, read while it runs. One that looks for a missing file for ever is ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._missing = 0
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait(self) -> int:
        code = self._process.wait()
        # rclone has the same stderr, and may end a moment later.
        self._thread.join(10)
        return code

    def text(self) -> str:
        return "\n".join(self._lines)

    def _listen(self) -> None:
        for raw in cast(IO[bytes], self._process.stderr):
            line = raw.decode(errors="replace").rstrip("\n")
            self._lines = [*self._lines[-200:], line]
            if "returned error, retrying" in line and "does not exist" in line:
                self._missing += 1
                if self._missing >= restic.TRIES:
                    end(self._process)
                    return


def end(process: subprocess.Popen[bytes]) -> None:
    """End restic as Ctrl-C does, so that it gives its lock back; by force where that takes GRACE seconds."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def rewrite(source: IO[bytes], target: IO[bytes], path: str) -> dict[str, str]:
    """A tar of `path` with its whole names into one of names below `.`, as bbr has it; SHA-256 of each file.

    Raises tarfile.TarError, OSError.
    """
    prefix = path.strip("/") + "/"
    sums = {}
    with (
        tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK) as there,
        tarfile.open(fileobj=target, mode="w|", bufsize=_CHUNK, format=tarfile.GNU_FORMAT) as here,
    ):
        top = tarfile.TarInfo("./")
        top.type, top.mode = tarfile.DIRTYPE, 0o700
        here.addfile(top)
        for member in there:
            if not member.name.startswith(prefix):
                continue
            member.name = f"./{member.name.removeprefix(prefix)}"
            member.pax_headers = {}
            content = there.extractfile(member) if member.isfile() else None
            if content is None:
                here.addfile(member)
                continue
            summed = _Summed(content)
            here.addfile(member, cast(IO[bytes], summed))
            sums[member.name] = summed.digest.hexdigest()
    target.flush()
    os.fsync(target.fileno())
    return sums


class _Summed(io.RawIOBase):
    """A stream that sums up what is read of it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


def stamp_of(begun: float) -> str:
    """The stamp of a backup that was begun then, in seconds since 1970; the same as in a plain backup's name."""
    return bbr_backup.stamp_of(datetime.fromtimestamp(begun, UTC))


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise restic.Refused(f"the control node has no {name}: install it (Debian's package has its name)")
    return found
