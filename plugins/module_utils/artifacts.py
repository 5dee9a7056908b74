# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stemcells and releases: uploaded once, deleted when told."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.director_module import tasks_of

ARTIFACT_ARGS: dict[str, dict[str, Any]] = {
    "url": {"type": "str"},
    "sha1": {"type": "str"},
    "name": {"type": "str"},
    "version": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_MANIFESTS = ("stemcell.MF", "release.MF")


def local_path(url: str) -> str:
    """The path of a local tarball, or an empty string for a URL that only the director can fetch."""
    if url.startswith("file://"):
        url = url.removeprefix("file://")
    return "" if "://" in url else os.path.expanduser(url)


def name_and_version(path: str) -> tuple[str, str]:
    """Name and version that a tarball's own manifest has.

    Raises ValueError naming the file. Source: bosh-cli stemcell/reader.go, release/archive_reader.go.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if os.path.basename(member.name) in _MANIFESTS:
                    stream = archive.extractfile(member)
                    manifest = yaml_load(stream) if stream else None
                    if isinstance(manifest, dict):
                        return str(manifest["name"]), str(manifest["version"])
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a stemcell or release: {error}") from error
    raise ValueError(f"{path} has neither {' nor '.join(_MANIFESTS)}: it is no stemcell or release")


def keep_artifact(
    module: AnsibleModule, cli: BoshCli, kind: str, known: Callable[[BoshCli], list[dict[str, Any]]]
) -> dict[str, Any]:
    """Upload or delete a stemcell or release unless the director is already as wanted."""
    wanted = module.params
    path = local_path(wanted["url"] or "")
    name, version = wanted["name"], wanted["version"]
    if wanted["state"] == "present" and path and not (name and version):
        name, version = name_and_version(path)
    there = bool(name and version) and (name, version) in [(item["name"], item["version"]) for item in known(cli)]
    result: dict[str, Any] = {"changed": there != (wanted["state"] == "present"), "tasks": []}
    result |= {key: value for key, value in (("name", name), ("version", version)) if value}
    if not result["changed"] or module.check_mode:
        return result
    if wanted["state"] == "absent":
        output = cli.run(f"delete-{kind}", f"{name}/{version}")
    else:
        output = cli.run(f"upload-{kind}", *_upload_words(wanted, path, name, version))
        # BOSH itself skips what it already has when the name was not known here.
        result["changed"] = bool(output.task_ids())
    return result | {"tasks": tasks_of(output)}


def _upload_words(wanted: dict[str, Any], path: str, name: str | None, version: str | None) -> list[str]:
    words = [path or wanted["url"]]
    if not path:
        for flag, value in (("--sha1", wanted["sha1"]), ("--name", name), ("--version", version)):
            if value:
                words.append(f"{flag}={value}")
    return words
