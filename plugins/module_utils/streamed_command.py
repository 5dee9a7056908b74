# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A long command whose output can be read in a file while it runs."""

from __future__ import annotations

import os
import subprocess
import tempfile

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import Deadline
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure


def run_streamed(
    command: list[str], environ_update: dict[str, str], progress_file: str, timeout: int = 0
) -> tuple[int, str, str, bool]:
    """Run a command, its standard output in progress_file (for its owner only); `timeout` in seconds, 0 for none.

    Returns exit code, output, standard error, and whether it ended by itself. AnsibleModule.run_command tells
    nothing before the end. Raises BoshFailure when the command is missing.
    """
    deadline = Deadline(timeout)
    handle = os.open(progress_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=os.environ | environ_update
            )
        except OSError as error:
            raise BoshFailure(command, 127, str(error), cause="cli_missing") from error
        deadline.watch(process)
        rc = process.wait()
        deadline.stop()
        err.seek(0)
        told = err.read().decode("utf-8", "replace")
    with open(progress_file, encoding="utf-8", errors="replace") as stream:
        return rc, stream.read(), told, not deadline.passed
