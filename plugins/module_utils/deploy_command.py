# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of `bosh deploy`, the same for a deploy and for its dry run, and what step 7 lays over a manifest."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import manifest_words
from ansible_collections.bosh.ha.plugins.module_utils.interpolation import with_spare_store
from ansible_collections.bosh.ha.plugins.module_utils.manifests import (
    Operation,
    enable_resurrector_ops,
    strip_dns_recursor_ops,
)


def deploy_words(params: dict[str, Any], scratch: str, dry_run: bool) -> list[str]:
    """`deploy` with the manifest, and all that is laid over it; `params` as in bosh_cli.MANIFEST_ARGS, and `recreate`.

    A dry run gets a copy of the vars store, in the directory `scratch`: the CLI writes variables that it generates into
    the vars store before it asks the director (bosh-cli v7.10.6 cmd/deploy.go, Evaluate). Raises ValueError for a file
    that cannot be read.
    """
    given = with_spare_store(params, scratch) if dry_run else params
    flags = {"--recreate": params.get("recreate"), "--dry-run": dry_run}
    return ["deploy", *manifest_words(given, scratch), *(flag for flag, wanted in flags.items() if wanted)]


def pair_operations(
    manifest: dict[str, Any], thresholds: dict[str, Any], resolved: dict[str, Any] | None = None
) -> list[Operation]:
    """Operations of step 7 on a director's manifest: no `dns.recursor`, and the resurrector with its thresholds.

    `manifest` is what an ops file sees, before variables; `resolved` has names that come from variables. `thresholds`
    are keyword arguments of enable_resurrector_ops; those that are absent or None have its defaults. The roles
    strip_dns_recursor and enable_resurrector write what the same two functions return into their ops files.
    Raises ValueError where the resurrector cannot be enabled.
    """
    given = {name: value for name, value in thresholds.items() if value is not None}
    return [*strip_dns_recursor_ops(manifest), *enable_resurrector_ops(manifest, **given, resolved=resolved)]


def write_operations(operations: list[Operation], scratch: str) -> str:
    """Write an ops file into the directory `scratch`, for its owner only, and return its path."""
    path = os.path.join(scratch, "bosh_ha_pair_operations.yml")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        # JSON is YAML, too.
        json.dump(operations, stream)
    return path
