# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands of restic and rclone, what restic says, and how backups are kept in one of its repositories.

A backup is one snapshot for each VM, and after them one of a single file with the facts of it (FACTS): what is not
named by such a file is no backup. All have the tags `bosh_ha`, `kind=`, `name=` and `stamp=`.

Sources: restic 0.14 doc/{040_backup,060_forget,075_scripting}.rst, internal/backend/rclone/backend.go.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN

#: File of the facts of a backup, in a snapshot of its own.
FACTS = "bosh_ha.json"
#: The first with compression (format 2 of a repository).
OLDEST = (0, 14)
#: How often restic tries again for a file that is not there, before we end it; it would for a quarter of an hour.
TRIES = 3
#: What may be kept, as `restic forget --keep-...` names it.
KEEPS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
#: Options of every module that works with a repository.
OPTIONS: dict[str, Any] = {
    "repository": {"type": "str", "required": True},
    "passphrase": {"type": "str", "no_log": True},
    "restic": {"type": "str", "default": "restic"},
    "rclone": {"type": "str", "default": "rclone"},
    "lock_wait": {"type": "int", "default": 600},
}
PASSPHRASE = "BOSH_HA_BACKUP_PASSPHRASE"
_SECRET = re.compile(r"(?:^|,)[a-z0-9_]*(?:secret|pass|token|key|auth|credential)[a-z0-9_]*=", re.IGNORECASE)
_MARK = "bosh_ha"
#: rclone keeps what it saw of a file when it listed it. What another VM was writing then would be too short for as long
#: as this rclone runs, and restic tries again in vain (restic/restic#5273).
_NEVER_HALF = "--cache-objects=false"
#: What restic says of a file that is not there, or has other bytes than it was written with.
_DAMAGE = (
    "ciphertext verification failed",
    "does not exist",
    "does not match",
    "invalid data returned",
    "contains errors",
)


class Refused(Exception):
    """A repository that cannot be used, or a call of restic that failed; the message is a sentence."""


@dataclass(frozen=True)
class Summary:
    """What one snapshot has; sizes in bytes, before compression. id is short, as restic 0.14 tells it."""

    id: str
    files_new: int
    files_changed: int
    files_unmodified: int
    bytes_added: int
    bytes_processed: int


@dataclass
class Backup:
    """One backup in a repository; facts is the ID of its last snapshot, and empty where it was never finished."""

    name: str
    stamp: str
    facts: str = ""
    parts: list[str] = field(default_factory=list)


def problem_of(repository: str, passphrase: str | None) -> str:
    """What is wrong with these inputs, as a sentence; empty where nothing is."""
    if not repository.startswith("/") and ":" not in repository:
        return f"'{repository}' is no repository: give an absolute path, or a remote of rclone's such as s3:bucket/path"
    # A connection string of rclone's (`:s3,provider=Minio:bucket`) is in the arguments of its process.
    if not repository.startswith("/") and _SECRET.search(repository[: repository.rindex(":")]):
        name = repository.split(",", 1)[0]
        return (
            f"the repository {name},... has a credential in its name, which everybody on the control node can read: "
            "give it in the environment (RCLONE_CONFIG_NAME_OPTION), or in rclone's config file"
        )
    if not passphrase:
        return f"{repository} needs a passphrase: set the variable, or {PASSPHRASE} in the environment"
    if "\n" in passphrase or "\0" in passphrase:
        return f"the passphrase of {repository} has more than one line"
    return ""


def environment(passphrase: str, given: Mapping[str, str]) -> dict[str, str]:
    """For restic and rclone on the control node: what is given without restic's own variables, and the passphrase."""
    kept = {name: value for name, value in given.items() if not name.startswith("RESTIC_")}
    return {"RCLONE_LOG_LEVEL": "ERROR"} | kept | PLAIN | {"RESTIC_PASSWORD": passphrase}


def command(restic: str, rclone: str, repository: str, words: Sequence[str]) -> list[str]:
    """restic on the control node, over a rclone that it starts itself."""
    # As restic has them, and one more.
    args = f"rclone.args=serve restic --stdio --b2-hard-delete {_NEVER_HALF}"
    return [restic, "-r", f"rclone:{repository}", "-o", f"rclone.program={rclone}", "-o", args, *words]


def serve(rclone: str, repository: str) -> list[str]:
    """The repository for a VM, on stdin and stdout. It can add to it, and remove nothing but its own locks."""
    return [rclone, "serve", "restic", "--stdio", "--append-only", _NEVER_HALF, repository]


def backup_words(path: str, left_out: str, host: str, tags: Sequence[str]) -> list[str]:
    """What restic on a VM is told. By host and path it finds the snapshot before.

    The blobstore's script makes hard links, which changes each blob's ctime and nothing else.
    """
    words = ["--json", "--quiet", "backup", "--ignore-ctime", "--one-file-system", "--host", host]
    return [*words, "--tag", ",".join(tags), "--exclude", os.path.join(path, left_out), path]


def tags(kind: str, name: str, stamp: str) -> list[str]:
    """kind: `backup` for the facts, `part` for a VM's. Names are quoted, as restic divides tags by commas."""
    return [_MARK, f"kind={kind}", f"name={quote(name, safe='')}", f"stamp={stamp}"]


def host_of(name: str, group: str, index: str) -> str:
    """Under which host a VM's snapshots are, the same each time."""
    return "/".join(quote(word, safe="") for word in (name, group, index))


def summary_of(said: str) -> Summary:
    """The last summary in restic's JSON lines. Raises Refused where there is none."""
    found = [line for line in _lines(said) if line.get("message_type") == "summary"]
    if not found:
        raise Refused(f"restic told of no snapshot: {last_words(said)}")
    told = found[-1]
    return Summary(
        id=str(told["snapshot_id"]),
        files_new=told["files_new"],
        files_changed=told["files_changed"],
        files_unmodified=told["files_unmodified"],
        bytes_added=told["data_added"],
        bytes_processed=told["total_bytes_processed"],
    )


def backups_of(snapshots: Sequence[Mapping[str, Any]], name: str = "") -> list[Backup]:
    """The backups among `restic snapshots --json`, of one name or all; the oldest first, and those half done, too."""
    found: dict[tuple[str, str], Backup] = {}
    for one in snapshots:
        told = dict(tag.partition("=")[::2] for tag in one.get("tags") or [])
        if _MARK not in told or not {"kind", "name", "stamp"} <= told.keys():
            continue
        if name and told["name"] != quote(name, safe=""):
            continue
        backup = found.setdefault((told["name"], told["stamp"]), Backup(told["name"], told["stamp"]))
        if told["kind"] == "backup":
            backup.facts = str(one["id"])
        else:
            backup.parts.append(str(one["id"]))
    return sorted(found.values(), key=lambda backup: (backup.stamp, backup.name))


def chosen(backups: Sequence[Backup], stamp: str, name: str, repository: str) -> Backup:
    """The one that is asked for, or the newest for `latest`. Raises Refused, which names those that are there."""
    whole = [backup for backup in backups if backup.facts]
    if not whole:
        raise Refused(f"{repository} has no backup of {name}")
    if stamp == "latest":
        return whole[-1]
    for backup in whole:
        if stamp in (backup.stamp, f"{name}_{backup.stamp}"):
            return backup
    there = ", ".join(backup.stamp for backup in whole[-10:])
    raise Refused(f"{repository} has no backup {stamp} of {name}; it has {there}")


def keep_words(keep: Mapping[str, int | None]) -> list[str]:
    """restic's own policies; none where nothing is to be removed. Raises Refused for a number that is none."""
    words = []
    for kind in KEEPS:
        number = keep.get(kind)
        if number is not None and number < 1:
            raise Refused(f"{kind} is {number}: what is to be kept must be 1 or more")
        words += [f"--keep-{kind}", str(number)] if number else []
    return words


def listed(told: str, what: str) -> list[dict[str, Any]]:
    """A JSON list of restic's; `null` where it has none. Raises Refused for anything else, above all for no output."""
    try:
        found = json.loads(told)
    except ValueError:
        found = ""
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Refused(f"restic's {what} cannot be read: it printed {len(told)} characters that are no JSON list")
    return found


def removed_of(forgotten: str) -> list[str]:
    """IDs of snapshots that `restic forget --dry-run --json` would remove."""
    # Without a group it prints nothing (restic cmd/restic/cmd_forget.go).
    groups = listed(forgotten if forgotten.strip() else "[]", "list of what it would forget")
    return [str(one["id"]) for group in groups for one in group.get("remove") or []]


def is_locked(said: str) -> bool:
    """Whether somebody else works on the repository, so that waiting helps."""
    return "is already locked" in said


def told(said: str, repository: str, code: int) -> str:
    """One sentence of what restic or rclone said last."""
    words = last_words(said)
    if "wrong password" in said:
        return f"the passphrase is not that of {repository}"
    if "unable to open config file" in said or "Is there a repository" in said:
        return f"{repository} is no repository of restic's, or cannot be reached: {words}"
    if is_locked(said):
        return f"somebody else works on {repository}: {words}"
    if any(sign in said for sign in _DAMAGE):
        return f"{repository} is damaged: {words}"
    if code in (124, 137):
        return f"restic did not end in time, and was ended: {words}"
    return f"restic failed on {repository} (exit code {code}): {words}"


def last_words(said: str) -> str:
    """The last things that restic said, those in its JSON, too."""
    lines = []
    for line in said.splitlines():
        if not line.strip() or line.startswith(f"{_MARK} ") or "repository contains errors" in line:
            continue
        if not line.startswith("{"):
            lines.append(line.strip())
        elif '"error"' in line:
            lines.append(_error(line))
    return " / ".join(lines[-3:])[-600:] or "it said nothing"


def far_process(said: str) -> tuple[str, int] | None:
    """Host name and process ID of the restic on a VM, as it is written into its lock; None where it never began."""
    for line in said.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == _MARK and words[2].isdigit():
            return words[1], int(words[2])
    return None


def _error(line: str) -> str:
    try:
        data = json.loads(line)
        error = data.get("error")
        words = error.get("message") or error.get("Err") or error if isinstance(error, dict) else error
        return f"{data.get('item', '')}: {words}".removeprefix(": ")
    except ValueError:
        return line


def _lines(said: str) -> list[dict[str, Any]]:
    found = []
    for line in said.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return [one for one in found if isinstance(one, dict)]
