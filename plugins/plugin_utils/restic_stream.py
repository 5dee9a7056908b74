# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restic on a VM over a repository that only the control node can reach: both speak through one SSH session.

restic talks to a program of its own choice by HTTP/2 on stdin and stdout. Here that is a pair of `cat`, which hand it
to the session, at whose other end is `rclone serve restic --stdio`. So there is no port and no tunnel, and the VM has
neither the bucket's address nor its credentials.
"""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from ansible_collections.bosh.ha.plugins.module_utils import bbr_mark, restic
from ansible_collections.bosh.ha.plugins.module_utils.restic_repository import PAUSE, Repository
from ansible_collections.bosh.ha.plugins.plugin_utils import ssh_stream

#: Seconds for a process to end after the other one has.
GRACE = 10.0
#: Seconds more than restic itself has on the VM, until the session is ended from here.
MORE = 60.0

#: On the VM: the passphrase's line and then restic itself are on stdin, and after them the repository.
#: $1 directory, $2 bytes of the packed restic, $3 restic where it is 0, $4 seconds, then restic's words.
SCRIPT = r"""
umask 077
IFS= read -r RESTIC_PASSWORD || exit 1
export RESTIC_PASSWORD
dir=$1 size=$2 restic=$3 seconds=$4
shift 4
mkdir -p "$dir" && rm -rf "$dir"/restic.?????? && work=$(mktemp -d "$dir/restic.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
if [ "$size" -gt 0 ]; then
  restic=$work/restic
  head -c "$size" | gzip -dc >"$restic" && chmod 700 "$restic" || exit 1
fi
# Where the session is cut, restic would try again for a quarter of an hour.
cat >"$work/pipe" <<'END'
(cat <&3; kill "$PPID") &
exec cat >&4
END
exec 3<&0 4>&1
export TMPDIR="$work"
setsid -w timeout -s INT -k 10 "$seconds" sh -c 'echo "bosh_ha $(uname -n) $$" >&2; exec "$@"' sh \
  "$restic" -r rclone:x -o rclone.program="sh '$work/pipe'" --cache-dir "$work/cache" "$@" </dev/null >&2 &
running=$!
trap 'kill -- "-$running"; exit 1' HUP INT TERM
wait $running
code=$?
# The pair of cats would keep the session open.
kill -- "-$running" 2>/dev/null
exit $code
"""

Reach = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Ended:
    """How both ended, and what they said."""

    code: int
    said: str
    near_code: int
    near_said: str


def snapshot(
    args: Mapping[str, Any], repository: Repository, reach: Callable[[list[str]], list[str]]
) -> restic.Summary:
    """Put a VM's artifacts into a repository. Raises restic.Refused, OSError.

    args: as of M(bosh.ha.restic_snapshot). reach: makes of a command the one that runs it on the VM as root.
    """
    words = restic.backup_words(
        args["artifacts_dir"],
        bbr_mark.MARK,
        restic.host_of(args["name"], args["group"], args["index"]),
        restic.tags("part", args["name"], args["stamp"]),
    )
    program, timeout = args["program"] or "", args["timeout"]
    packed = b"" if program else pack(repository.restic)
    far = reach(script_words(args["work_dir"], packed, program, timeout, words))
    near = restic.serve(repository.rclone, repository.name)
    opening = repository.passphrase.encode() + b"\n" + packed
    patience = time.monotonic() + args["lock_wait"]
    while True:
        ended = join(far, near, repository.environment, opening, timeout + MORE)
        if ended.code == 0:
            return restic.summary_of(ended.said)
        if not restic.is_locked(ended.said) or time.monotonic() > patience:
            break
        time.sleep(PAUSE)
    sentence = told(ended, repository.name)
    if process := restic.far_process(ended.said):
        # It has no way to the repository without its session, and what it had locked would be so for half an hour.
        try:
            repository.drop_lock(*process)
        except restic.Refused as error:
            sentence += f"; its lock could not be removed: {error}"
    raise restic.Refused(sentence)


def script_words(work_dir: str, packed: bytes, program: str, timeout: int, words: Sequence[str]) -> list[str]:
    """What is to run on the VM, as root."""
    return ["sh", "-c", SCRIPT, "restic", work_dir, str(len(packed)), program, str(timeout), *words]


def pack(program: str) -> bytes:
    """restic of the control node as it is sent: it is half of its size. Raises OSError."""
    with open(program, "rb") as stream:
        return gzip.compress(stream.read(), 1)


def join(far: Sequence[str], near: Sequence[str], environ: dict[str, str], opening: bytes, timeout: float) -> Ended:
    """Give `far` the bytes `opening`, and join its stdin and stdout with those of `near` until it has ended.

    Where either of them ends, or `timeout` seconds have passed, both are ended. environ: of `near`. Raises OSError.
    """
    with tempfile.TemporaryFile() as far_said, tempfile.TemporaryFile() as near_said:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": far_said}
        one = subprocess.Popen(far, env=ssh_stream.environ(), **pipes)
        processes = [one]
        # What hangs in a write is not waited for with a time-out, so it is ended from beside.
        timer = threading.Timer(timeout, lambda: [process.kill() for process in processes])
        timer.daemon = True
        timer.start()
        to_far, from_far = cast(IO[bytes], one.stdin), cast(IO[bytes], one.stdout)
        try:
            # One that ended already has said why.
            with contextlib.suppress(BrokenPipeError):
                to_far.write(opening)
                to_far.flush()
            other = subprocess.Popen(near, env=environ, stdin=from_far, stdout=to_far, stderr=near_said, umask=0o077)
            processes.append(other)
            with contextlib.suppress(BrokenPipeError):
                to_far.close()
            from_far.close()
            one.wait()
            _end(other)
        finally:
            timer.cancel()
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for stream in (to_far, from_far):
                with contextlib.suppress(OSError):
                    stream.close()
        return Ended(one.returncode, _text(far_said), other.returncode, _text(near_said))


def told(ended: Ended, repository: str) -> str:
    """One sentence on why it failed."""
    near = restic.last_words(ended.near_said) if ended.near_code > 0 and ended.near_said.strip() else ""
    if ended.code in (-9, 255):
        words = restic.last_words(ended.said)
        return f"the connection was cut, or ended after its time: {words}" + (f" ({near})" if near else "")
    return restic.told(ended.said, repository, ended.code) + (f" (rclone: {near})" if near else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself, as nobody is at the other end."""
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace")
