# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A manifest with everything laid over it, without a trace left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli, manifest_words


def interpolated_text(cli: BoshCli, params: dict[str, Any], scratch: str) -> str:
    """What `bosh interpolate` makes of a manifest, as YAML text with every secret in it.

    The vars store is used by way of a copy in `scratch` (a directory for the owner only), as the CLI writes
    the variables into it that it generates. Raises BoshFailure, and ValueError for a file that is not there.
    """
    path = params.get("path")
    words = manifest_words(with_spare_store(params, scratch), scratch)
    return cli.run("interpolate", *words, *([f"--path={path}"] if path else [])).text()


def as_mapping(text: str, path: str) -> dict[Any, Any]:
    """An interpolated manifest as data. path: that of the manifest. Raises ValueError if it holds no mapping."""
    try:
        data = bosh_yaml.load(text)
    except bosh_yaml.BadYaml as error:
        raise ValueError(f"{path}: what `bosh interpolate` printed cannot be read as YAML: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"the manifest {path} holds no mapping")
    return data


def with_spare_store(params: dict[str, Any], scratch: str) -> dict[str, Any]:
    """The same parameters with a copy of the vars store, in a directory for the owner only.

    The CLI writes the variables that it generates into the vars store, for a dry run too.
    """
    store = os.path.expanduser(params.get("vars_store") or "")
    if not store:
        return params
    copy = os.path.join(scratch, "bosh_ha_vars_store.yml")
    if os.path.exists(store):
        shutil.copyfile(store, copy)
        os.chmod(copy, 0o600)
    return params | {"vars_store": copy}


def manifest_sha(cli: BoshCli, params: dict[str, Any], scratch: str) -> str:
    """The digest by which create-env knows a manifest again: SHA-512 of the interpolated text, in hex.

    Source: bosh-cli deployment/template/deployment_template.go.
    """
    return hashlib.sha512(interpolated_text(cli, params, scratch).encode()).hexdigest()
