# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM's jobs left, put into a repository of restic's by a restic on the VM."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bosh.ha.plugins.module_utils import restic
from ansible_collections.bosh.ha.plugins.module_utils.bbr_scripts import OPTIONS
from ansible_collections.bosh.ha.plugins.module_utils.restic_repository import Repository
from ansible_collections.bosh.ha.plugins.plugin_utils import restic_stream, ssh_stream


class ActionModule(ActionBase):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self._supports_check_mode = True
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(
            argument_spec=restic.OPTIONS
            | {
                "name": {"type": "str", "required": True},
                "group": {"type": "str", "required": True},
                "index": {"type": "str", "default": "0"},
                "stamp": {"type": "str", "required": True},
                "artifacts_dir": OPTIONS["artifacts_dir"],
                "program": {"type": "path"},
                "work_dir": {"type": "path", "default": "/var/vcap/data/bosh_ha"},
                "timeout": {"type": "int", "default": 86400},
            },
        )
        if self._task.check_mode:
            return result | {"changed": True, "snapshot": "", "path": args["artifacts_dir"]}
        began = time.monotonic()
        try:
            summary = restic_stream.snapshot(
                args, Repository(args), lambda words: ssh_stream.command_line(self._connection, words)
            )
        except (restic.Refused, ssh_stream.Broken, OSError) as error:
            words = " ".join(str(error).split())
            return result | {"failed": True, "msg": f"{args['artifacts_dir']} to {args['repository']}: {words}"}
        return result | {
            "changed": True,
            "snapshot": summary.id,
            "path": args["artifacts_dir"],
            "files_new": summary.files_new,
            "files_changed": summary.files_changed,
            "files_unmodified": summary.files_unmodified,
            "bytes": summary.bytes_processed,
            "bytes_added": summary.bytes_added,
            "seconds": round(time.monotonic() - began, 3),
        }
