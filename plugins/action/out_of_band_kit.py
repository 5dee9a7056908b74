# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.out_of_band_kit: all on the control node and in memory, as only there are the vault passwords."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.bosh.ha.plugins.module_utils import out_of_band_kit as kits
from ansible_collections.bosh.ha.plugins.plugin_utils import vault_text

SPEC: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "password": {"type": "str", "no_log": True, "default": ""},
    "vault_id": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 3},
    "readme": {"type": "str", "required": True},
    "bosh_ha_directors": {"type": "dict", "required": True},
    "told": {"type": "dict", "default": {}},
    "artifacts": {"type": "dict", "default": {}},
    "known_hosts": {"type": "path"},
    "work_dir": {"type": "path"},
    "more_files": {"type": "list", "elements": "path", "default": []},
}


class ActionModule(ActionBase):
    """See the module's documentation."""

    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _valid, given = self.validate_argument_spec(argument_spec=SPEC)
        try:
            return result | self._keep(given)
        except vault_text.NoSecret as error:
            return result | {"failed": True, "no_password": True, "msg": str(error)}
        except (ValueError, OSError) as error:
            return result | {"failed": True, "no_password": False, "msg": str(error)}

    def _keep(self, given: dict[str, Any]) -> dict[str, Any]:
        secrets = vault_text.secrets_of(self._loader, given["password"], given["vault_id"])
        secret = vault_text.encrypting(secrets, given["vault_id"])
        path, unopened, former = given["path"], "", {}
        if os.path.exists(path):
            try:
                former = kits.check(yaml.safe_load(vault_text.opened(path, secrets)))
            except (ValueError, yaml.YAMLError):
                unopened = path
        # Ansible's own kinds of text and mapping are none that YAML knows.
        given = json.loads(json.dumps(given))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kit, notes = kits.merged(self._fresh(given, now), former, now)
        found = {
            "changed": not former or not kits.same(kit, former),
            "path": path,
            "files": sorted(kit["files"]),
            "notes": notes,
            "made": now,
        }
        if not found["changed"]:
            found["made"] = former["made"]
        elif not self._task.check_mode:
            if unopened:
                aside = vault_text.set_aside(path)
                notes.append(f"{path} cannot be read as a kit with this run's password; it is kept as {aside}")
            vault_text.write_sealed(path, vault_text.as_yaml(kit), secret, 0 if unopened else given["keep"])
        return found

    def _fresh(self, given: dict[str, Any], now: str) -> dict[str, Any]:
        inputs, origins = kits.inventory(
            given["bosh_ha_directors"], given["known_hosts"] or "", given["work_dir"] or "", given["more_files"]
        )
        files = {}
        for inside, path in origins.items():
            try:
                with open(path, encoding="utf-8", newline="") as stream:
                    files[inside] = stream.read()
            except FileNotFoundError:
                continue
            except UnicodeDecodeError:
                raise ValueError(f"{path} is no text in UTF-8, so it cannot be in the kit") from None
        return {
            "readme": given["readme"],
            "made": now,
            "directors": {
                name: {"address": inputs[name]["address"], "alias": inputs[name]["alias"]} | given["told"].get(name, {})
                for name in inputs
            },
            "artifacts": given["artifacts"],
            "inputs": inputs,
            "origins": origins,
            "files": files,
        }
