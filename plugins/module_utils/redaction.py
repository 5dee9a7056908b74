# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML for human eyes: what may be a secret is hidden, as BOSH does in the diff of a deployment."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml

HIDDEN = "<redacted>"
#: Keys below which BOSH redacts every value (bosh-director manifest/redactor.rb).
_SECRET_KEYS = ("properties", "bosh")


def redacted_yaml(text: str) -> str:
    """The text itself where it holds nothing to hide, else the same data with the values hidden."""
    data = bosh_yaml.load(text) if text else None
    shown = _redacted(data, False)
    return text if shown == data else bosh_yaml.dump(shown)


def _redacted(node: Any, secret: bool) -> Any:
    if isinstance(node, dict):
        # cloud_properties are no secrets: only the exact names count, and only for mappings.
        return {
            key: _redacted(value, secret or (key in _SECRET_KEYS and isinstance(value, dict)))
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_redacted(item, secret) for item in node]
    return HIDDEN if secret else node
