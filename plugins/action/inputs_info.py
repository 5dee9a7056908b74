# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.inputs_info: what can be seen without the CLI is checked here, with the variables of each host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import inputs
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NAMES
from ansible_collections.bosh.ha.plugins.plugin_utils.director_action import PairAction, Result

_SSH = ("ansible_host", "ansible_user", "ansible_ssh_private_key_file")
# ansible-runner, and so AWX, switches it off in the environment, and for ssh the first StrictHostKeyChecking counts.
_CHECKS_KEYS = """
    hostvars[_bosh_ha_director].ansible_ssh_host_key_checking
    | default(hostvars[_bosh_ha_director].ansible_host_key_checking)
    | default(lookup('ansible.builtin.config', 'host_key_checking', plugin_type='connection', plugin_name='ssh'))
    | ansible.builtin.bool
"""
_TOLD = ("address", "client", "manifest", "ops_files", "vars_files", "vars_store", "deployment", "state_file")
_SECRET = ("client_secret", "ca_cert")


class ActionModule(PairAction):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        known = [name for name in NAMES if name in (task_vars or {}).get("groups", {}).get("all", [])]
        problems = [*inputs.problems(self._evaluate("bosh_ha_directors"), self._ssh(known)), *self._unchecked(known)]
        if problems:
            return {"failed": True, "msg": "; ".join(problems)}
        return super().run(tmp, task_vars)

    def pair_args(self) -> Result:
        return {
            "entries": {name: self._told(name) for name in NAMES},
            "cli": self.cli_options().get("cli") or "bosh",
        }

    def _ssh(self, known: list[str]) -> Result:
        return {
            "bosh_ha_known_hosts": self._evaluate("bosh_ha_known_hosts | default('', true)"),
            "hosts": {name: {key: self.of_host(name, key) for key in _SSH} for name in known},
            "backup": self._evaluate("bosh_ha_backup | default(false) | ansible.builtin.bool"),
            "backup_dir": self._evaluate("bosh_ha_backup_dir | default('', true)"),
        }

    def _unchecked(self, known: list[str]) -> Iterator[str]:
        for name in known:
            if not self._evaluate(_CHECKS_KEYS, _bosh_ha_director=name):
                yield (
                    f"ansible_host_key_checking: host keys of {name} would not be checked, as it is false, or "
                    "ansible-runner, AWX or ansible.cfg switches it off; set it to true for the host"
                )

    def _told(self, name: str) -> dict[str, Any]:
        entry = self.entry(name)
        return {key: entry[key] for key in _TOLD if key in entry} | {key: bool(entry[key]) for key in _SECRET}
