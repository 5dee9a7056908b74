# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command `bbr director`, run on the control node against the host that a task is for."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bosh.ha.plugins.module_utils import bbr_command
from ansible_collections.bosh.ha.plugins.plugin_utils import ssh_stream, ssh_tunnel


class Refused(Exception):
    """Something that bbr needs is not there; the message names it."""


class ActionModule(ActionBase):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self._supports_check_mode = True
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "deed": {"type": "str", "choices": list(bbr_command.DEEDS), "required": True},
                "path": {"type": "path"},
                "log": {"type": "path", "required": True},
                "bbr": {"type": "path", "default": "bbr"},
                "timeout": {"type": "int", "default": 21600},
                "tunnel": {"type": "bool", "default": True},
                "all_proxy": {"type": "str", "no_log": True},
            },
            required_if=[("deed", "backup", ["path"]), ("deed", "restore", ["path"])],
        )
        nothing = {"kinds": [], "whole": True, "unclean": False, "output": "", "seconds_locked": None}
        try:
            command, user, key = self._command(args["bbr"]), self._user(), self._key()
            if self._task.check_mode:
                return result | nothing | {"changed": True, "exit_code": 0}
            with self._way(args) as (host, environ):
                words = bbr_command.words(command, args["deed"], host, user, key, args["path"] or "")
                ended = bbr_command.run(words, environ, args["log"], args["timeout"])
        except (Refused, ssh_stream.Broken, bbr_command.Busy, OSError) as error:
            # It was never begun, so it has left nothing.
            unbegun = {"kinds": ["failed"], "whole": False, "exit_code": 1}
            msg = f"bbr was not begun: {' '.join(str(error).split())}"
            return result | nothing | unbegun | {"failed": True, "msg": msg}
        return result | {
            "changed": True,
            "failed": bool(ended.problem),
            "msg": f"{ended.problem} ({args['log']} has all that it said)" if ended.problem else "",
            "exit_code": -1 if ended.code is None else ended.code,
            "kinds": ended.kinds,
            "whole": ended.whole,
            "unclean": ended.unclean,
            "output": ended.output,
            "seconds_locked": ended.seconds_locked,
        }

    @staticmethod
    def _command(name: str) -> str:
        command = shutil.which(name)
        if not command:
            raise Refused(f"there is no command {name} on the control node")
        return command

    def _user(self) -> str:
        user = self._connection.get_option("remote_user") if self._connection.transport == "ssh" else None
        if not user:
            raise Refused("bbr logs in by SSH: set ansible_user for this host")
        return str(user)

    def _key(self) -> str:
        key = os.path.expanduser(str(self._connection.get_option("private_key_file") or ""))
        if not key:
            raise Refused("bbr asks no SSH agent: set ansible_ssh_private_key_file for this host")
        if not os.access(key, os.R_OK):
            raise Refused(f"the private key {key} cannot be read")
        return key

    @contextlib.contextmanager
    def _way(self, args: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
        """Where bbr finds the host's sshd, and its environment; the host key is checked before it begins."""
        if args["tunnel"]:
            with ssh_tunnel.opened(self._connection) as port:
                yield f"127.0.0.1:{port}", bbr_command.environment(os.environ)
            return
        ssh_stream.read(ssh_stream.command_line(self._connection, ["true"]), lambda stream: stream.read())
        host, port = self._connection.get_option("host"), self._connection.get_option("port") or 22
        try:
            where = bbr_command.target(host, int(port))
        except ValueError as error:
            raise Refused(str(error)) from None
        yield where, bbr_command.environment(os.environ, args["all_proxy"] or "")
