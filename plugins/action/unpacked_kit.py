# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bosh.ha.unpacked_kit: on the control node, as only there are the vault passwords."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from typing import Any

import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.bosh.ha.plugins.module_utils import out_of_band_kit as kits
from ansible_collections.bosh.ha.plugins.plugin_utils import vault_text

SPEC: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "password": {"type": "str", "no_log": True, "default": ""},
}
#: In a directory that a kit was unpacked into: the digest of the encrypted file.
MARK = ".bosh_ha_kit"


class ActionModule(ActionBase):
    """See the module's documentation."""

    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _valid, given = self.validate_argument_spec(argument_spec=SPEC)
        try:
            return result | self._unpack(given["path"], os.path.abspath(given["dest"]), given["password"])
        except vault_text.NoSecret as error:
            return result | {"failed": True, "no_password": True, "msg": str(error)}
        except (ValueError, OSError) as error:
            return result | {"failed": True, "no_password": False, "msg": str(error)}

    def _unpack(self, path: str, dest: str, password: str) -> dict[str, Any]:
        text = vault_text.opened(path, vault_text.secrets_of(self._loader, password))
        try:
            kit = kits.check(yaml.safe_load(text))
        except yaml.YAMLError:
            raise ValueError(f"{path}: it is no out-of-band kit, as it holds no YAML") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        with open(path, "rb") as stream:
            mark = hashlib.file_digest(stream, "sha256").hexdigest()
        unpacked = _mark_of(dest) == mark
        if not unpacked and os.path.exists(dest) and (not os.path.isdir(dest) or os.listdir(dest)):
            raise ValueError(f"{dest} is not empty, and was not unpacked from {path}: give another directory")
        inputs = kits.unpacked_inputs(kit, os.path.join(dest, "files"))
        if not unpacked and not self._task.check_mode:
            _write(kit, inputs, dest, mark)
        return {
            "changed": not unpacked,
            "dest": dest,
            "inputs": inputs,
            "files": {inside: os.path.join(dest, "files", inside) for inside in kit["files"]},
            **{key: kit.get(key) or {} for key in ("made", "directors", "artifacts", "origins")},
        }


def _mark_of(dest: str) -> str:
    try:
        with open(os.path.join(dest, MARK), encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _write(kit: dict[str, Any], inputs: dict[str, Any], dest: str, mark: str) -> None:
    """Whole or not at all: beside it first, then renamed. Everything is its owner's only."""
    parent = os.path.dirname(dest)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    fresh = tempfile.mkdtemp(dir=parent, prefix=f".{os.path.basename(dest)}.")
    known_hosts = next((path for path in kit["files"] if path.startswith("known_hosts/")), "known_hosts/known_hosts")
    variables = {
        "bosh_ha_directors": inputs,
        "bosh_ha_work_dir": os.path.join(dest, "files", "work_dir"),
        "bosh_ha_known_hosts": os.path.join(dest, "files", known_hosts),
    }
    texts = {f"files/{inside}": text for inside, text in kit["files"].items()}
    texts |= {"README": kit["readme"], "vars.yml": vault_text.as_yaml(variables), MARK: mark + "\n"}
    try:
        for inside, text in texts.items():
            path = os.path.join(fresh, inside)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
        for directory in (os.path.join(fresh, "rebuilt"), os.path.join(fresh, "files", "work_dir")):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        # makedirs gives its mode to the last one only.
        for directory, _directories, _files in os.walk(fresh):
            os.chmod(directory, 0o700)
        os.rename(fresh, dest)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
