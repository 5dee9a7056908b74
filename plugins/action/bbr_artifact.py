# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one job's scripts leave or find, streamed between its VM and the control node."""

from __future__ import annotations

import contextlib
import errno
import os
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from ansible.plugins.action import ActionBase
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup
from ansible_collections.bosh.ha.plugins.module_utils.bbr_scripts import OPTIONS
from ansible_collections.bosh.ha.plugins.plugin_utils import ssh_stream

# As BBR has it; but a second name of a file is a file of its own, as BBR's sums have it, too, and the holes of a sparse
# file are left out. BBR reads such a tar: Go's archive/tar fills the holes in (bbr v1.9 backup/backup_directory.go),
# and tar on the VM makes them again.
_TAR = ("tar", "--hard-dereference", "--sparse", "-C", "{}", "-c", ".")
# A restore script may read it as another user, so all may pass; each file keeps the mode and owner of the backup.
_UNTAR = ("sh", "-c", 'umask 022 && mkdir -p "$1" && exec tar -C "$1" -x', "sh", "{}")
# One line for each file, ended by a NUL, as a name may have anything else in it. openssl takes the CPU's own SHA, which
# is three times as fast, but ends its lines otherwise.
_SUM_UP = r"""cd "$1" || exit
newline='
'
if command -v openssl >/dev/null && [ -z "$(find . -path "*$newline*" -print -quit)" ]; then
  find . -type f -print0 | xargs -0 -r openssl dgst -sha256 -r | tr '\n' '\0'
else
  find . -type f -print0 | xargs -0 -r sha256sum -z
fi"""
SUMS = ("sh", "-c", _SUM_UP, "sh", "{}")


class _Copied:
    """A stream that writes down what is read of it."""

    def __init__(self, source: IO[bytes], target: IO[bytes]) -> None:
        self._source, self._target = source, target
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._target.write(data)
        self.size += len(data)
        return data


class ActionModule(ActionBase):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self._supports_check_mode = True
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["fetched", "sent"], "required": True},
                "job": {"type": "str", "required": True},
                "file": {"type": "path", "required": True},
                "checksums": {"type": "dict"},
                "artifacts_dir": OPTIONS["artifacts_dir"],
            },
            required_if=[("state", "sent", ["checksums"])],
        )
        if self._task.check_mode:
            return result | {"changed": True, "checksums": args["checksums"] or {}, "bytes": 0, "seconds": 0.0}
        directory = os.path.join(args["artifacts_dir"], args["job"])
        began = time.monotonic()
        try:
            sums, size = (self._fetch if args["state"] == "fetched" else self._send)(directory, args)
        except (ssh_stream.Broken, bbr_backup.Damaged, tarfile.TarError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                place = os.path.dirname(args["file"])
                return result | {
                    "failed": True,
                    "msg": f"{place} on the control node is full, so {args['file']} is not kept",
                }
            way = f"{directory} to {args['file']}" if args["state"] == "fetched" else f"{args['file']} to {directory}"
            return result | {"failed": True, "msg": f"{way}: {' '.join(str(error).split())}"}
        seconds = round(time.monotonic() - began, 3)
        return result | {"changed": True, "checksums": sums, "bytes": size, "seconds": seconds}

    def _command(self, words: tuple[str, ...], directory: str) -> list[str]:
        return ssh_stream.command_line(self._connection, [word.replace("{}", directory) for word in words])

    def _sums(self, directory: str) -> dict[str, str]:
        return bbr_backup.printed_sums(ssh_stream.read(self._command(SUMS, directory), lambda stream: stream.read()))

    def _fetch(self, directory: str, args: dict[str, Any]) -> tuple[dict[str, str], int]:
        partial = f"{args['file']}.part"
        try:
            sums, size = self._fetch_to(partial, directory)
        except BaseException:
            # What is half there only takes room.
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        os.rename(partial, args["file"])
        return sums, size

    def _fetch_to(self, path: str, directory: str) -> tuple[dict[str, str], int]:
        """The host sums up at the same time, as the page cache has then what both read."""
        with ThreadPoolExecutor(1) as pool, open(path, "wb", opener=bbr_backup.private) as target:
            wanted = pool.submit(self._sums, directory)

            def take(stream: IO[bytes]) -> tuple[dict[str, str], int]:
                copied = _Copied(stream, target)
                sums = bbr_backup.tar_sums(copied)
                while copied.read(1 << 20):
                    pass
                return sums, copied.size

            sums, size = ssh_stream.read(self._command(_TAR, directory), take)
            target.flush()
            os.fsync(target.fileno())
            bbr_backup.compare(path, wanted.result(), sums, f"{directory} on the host")
        return sums, size

    def _send(self, directory: str, args: dict[str, Any]) -> tuple[dict[str, str], int]:
        with open(args["file"], "rb") as source:
            ssh_stream.write(self._command(_UNTAR, directory), source)
            size = os.fstat(source.fileno()).st_size
        sums = self._sums(directory)
        bbr_backup.compare(f"{directory} on the host", args["checksums"], sums)
        return sums, size
