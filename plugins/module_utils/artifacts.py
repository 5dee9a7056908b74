# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stemcells and releases: uploaded once, deleted when told."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
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
#: A version such as 621.10 is text, with or without quotes.
_MANIFEST = {"name": str, "version": str}
_TARBALL = re.compile(r"\.(?:tgz|tar\.gz)$")
# As bosh.io names its files; the version of a stemcell comes before the rest of its name. Light ones have the name of
# the whole ones (bosh-linux-stemcell-builder bosh-stemcell/lib/bosh/stemcell/archive_filename.rb).
_STEMCELL_FILE = re.compile(r"^(?:light-(?:china-)?)?bosh-stemcell-(?P<version>\d[\w.+]*)-(?P<name>.+)$")
# Where a version may begin: a name may have numbers, too.
_VERSION_AT = re.compile(r"-v?(?=\d)")
_VERSION = re.compile(r"\d[\w.+-]*")
# What `bosh export-release` adds (bosh-cli cmd/export_release.go): operating system and version of the stemcell for
# which it is compiled, and a time.
_COMPILED = re.compile(
    r"-(?:ubuntu|debian|centos|rhel|opensuse|photonos|windows|alpine)[a-zA-Z0-9]*(?:-[a-zA-Z][\w.]*|-\d{1,2}(?=-))*"
    r"-\d[\w.+]*(?:-\d{6,})*$"
)
# A file that names no version lies under the tag of a release.
_GITHUB = re.compile(r"/(?P<name>[^/]+)/releases/download/v?(?P<version>\d[\w.+-]*)/[^/]+$")
_REPOSITORY = re.compile(r"-(?:bosh-?)?release$")


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
                    manifest = bosh_yaml.decode(stream.read() if stream else b"", _MANIFEST)
                    if not all(manifest.values()):
                        raise ValueError(f"its {member.name} has no name or no version")
                    return manifest["name"], manifest["version"]
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a stemcell or release: {error}") from error
    raise ValueError(f"{path} has neither {' nor '.join(_MANIFESTS)}: it is no stemcell or release")


def guesses(kind: str, url: str) -> list[tuple[str, str]]:
    """Names and versions that a URL may stand for, the likely first, by the file names and addresses of bosh.io.

    A guess is good for looking whether the director has it, and for nothing else. What is not part of the version (the
    stemcell of a compiled release) is left out, but nothing else: a release of another version must never be guessed.
    """
    parts = urlsplit(url)
    file = unquote(os.path.basename(parts.path.rstrip("/")))
    stem = _TARBALL.sub("", file)
    if stem == file:
        # An address of bosh.io ends in the name of the stemcell, or of the release's repository.
        version = parse_qs(parts.query).get("v")
        names = _with_agent(file) if kind == "stemcell" else [file, _REPOSITORY.sub("", file)]
        return [(name, version[0]) for name in dict.fromkeys(names)] if version and file else []
    if kind == "stemcell":
        image = _STEMCELL_FILE.match(stem)
        return [(f"bosh-{name}", image["version"]) for name in _with_agent(image["name"])] if image else []
    found = _divided(_COMPILED.sub("", stem)) or _divided(stem)
    tag = _GITHUB.search(parts.path)
    if not found and tag:
        found = [(name, tag["version"]) for name in dict.fromkeys((_REPOSITORY.sub("", tag["name"]), tag["name"]))]
    return found


def _divided(text: str) -> list[tuple[str, str]]:
    """Each way in which `name-version` may be divided; the name that ends at the first number comes first."""
    places = [(text[: at.start()], text[at.end() :]) for at in _VERSION_AT.finditer(text) if at.start()]
    return [(name, version) for name, version in places if _VERSION.fullmatch(version)]


def _with_agent(name: str) -> list[str]:
    """The name itself, and as its manifest may have it: file names leave `-go_agent` out, or have it."""
    bare, raw = (name.removesuffix("-raw"), "-raw") if name.endswith("-raw") else (name, "")
    bare = bare.removesuffix("-go_agent")
    return list(dict.fromkeys((name, f"{bare}{raw}", f"{bare}-go_agent{raw}")))


def verify_digest(path: str, wanted: str) -> None:
    """Compare a file with its digest in BOSH's form: SHA-1, or `sha256:...`, or several of them with `;` between.

    Raises ValueError with a sentence, also for a digest that is none. Source: bosh-utils crypto/multiple_digest.go.
    """
    for digest in wanted.split(";"):
        kind, _colon, value = digest.strip().rpartition(":")
        kind = kind or "sha1"
        if kind not in ("sha1", "sha256", "sha512"):
            raise ValueError(f"sha1: {kind} is no digest that BOSH knows: give a SHA-1, sha256:... or sha512:...")
        with open(path, "rb") as stream:
            found = hashlib.file_digest(stream, kind).hexdigest()
        if found != value.lower():
            raise ValueError(f"{path} is not the file that was meant: its {kind} is {found}, and `sha1` says {value}")


def keep_artifact(
    module: AnsibleModule, cli: BoshCli, kind: str, known: Callable[[BoshCli], list[dict[str, Any]]]
) -> dict[str, Any]:
    """Upload or delete a stemcell or release unless the director is already as wanted."""
    wanted, present = module.params, module.params["state"] == "present"
    path = local_path(wanted["url"] or "")
    name, version = wanted["name"], wanted["version"]
    if present and path and not (name and version):
        name, version = name_and_version(path)
    before = _listed(known(cli))
    there = (name, version) in before
    if present and not there and not (name and version):
        fitting = [one for one in guesses(kind, wanted["url"]) if one in before and name in (None, one[0])]
        fitting = [one for one in fitting if version in (None, one[1])]
        if fitting:
            (name, version), there = fitting[0], True
    result: dict[str, Any] = {"changed": there != present, "tasks": []}
    if result["changed"] and present and path and wanted["sha1"]:
        verify_digest(path, wanted["sha1"])
    if result["changed"] and not module.check_mode:
        if present:
            output = cli.run(f"upload-{kind}", *_upload_words(wanted, path, name, version))
            result["changed"] = bool(output.task_ids())
            if result["changed"] and not (name and version):
                # Only the task read its name, and it ends well, too, where the director had it.
                added = _listed(known(cli)) - before
                result["changed"] = bool(added)
                name, version = added.pop() if len(added) == 1 else (name, version)
        else:
            output = cli.run(f"delete-{kind}", f"{name}/{version}")
        result["tasks"] = tasks_of(output)
    return result | {key: value for key, value in (("name", name), ("version", version)) if value}


def _listed(items: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(item["name"], item["version"]) for item in items}


def _upload_words(wanted: dict[str, Any], path: str, name: str | None, version: str | None) -> list[str]:
    words = [path or wanted["url"]]
    if not path:
        for flag, value in (("--sha1", wanted["sha1"]), ("--name", name), ("--version", version)):
            if value:
                words.append(f"{flag}={value}")
    return words
