# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be so after each case, whatever happened; each question says what is wrong, or nothing."""

from __future__ import annotations

from typing import Any

from chaos.lab import ADDRESSES, STORE, Lab, LabError

#: In these phases the data are Micro's; later they are Meta's.
AT_MICRO = ("only_micro", "deployed", "frozen")
KEYS = "cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys /var/vcap/.ssh/authorized_keys 2>/dev/null || true"
#: Blobs that `lab fill` wrote have no row at the director's, which so deletes none of them.
DIGESTS = f"cd {STORE}/blobstore/store && find . -type f -size +0 ! -name chaos | sort | xargs -r sha256sum"
ROWS = "SELECT count(*), md5(string_agg(md5(body), '' ORDER BY id)) FROM fill.rows"


def survivor(phase: str) -> str:
    """Who has Micro's data in a phase."""
    return "micro" if phase in AT_MICRO else "meta"


def sshd_config(lab: Lab, name: str) -> str:
    return lab.inside(name, "sha256sum </etc/ssh/sshd_config").strip()


def blobs(lab: Lab, name: str) -> dict[str, str]:
    """Digest of each blob, by its path."""
    lines = lab.inside(name, DIGESTS).splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


def rows(lab: Lab, name: str) -> str:
    """Number and digest of the rows that `lab fill` wrote."""
    return lab.sql(name, ROWS)


def nothing_lost(lab: Lab, name: str, filled: dict[str, Any]) -> list[str]:
    """filled: `blobs` and `rows` as they were when Micro had been filled."""
    wrong = []
    try:
        lab.call("written", name)
    except LabError as error:
        wrong.append(str(error))
    if filled:
        there = blobs(lab, name)
        lost = [path for path, digest in filled["blobs"].items() if there.get(path) != digest]
        if lost:
            wrong.append(f"{len(lost)} blobs are not at {name} as they were, {lost[0]} for one")
        if (now := rows(lab, name)) != filled["rows"]:
            wrong.append(f"{name} has the rows {now}, and Micro had {filled['rows']}")
    return wrong


def nothing_open(lab: Lab, sshd: dict[str, str]) -> list[str]:
    """sshd: what sshd_config was of each; one that has no VM now is closed."""
    wrong = []
    for name in ADDRESSES:
        try:
            lab.vm(name)
        except LabError:
            continue
        if "bosh_ha_sync" in lab.inside(name, KEYS):
            wrong.append(f"{name} has a key of ours in authorized_keys")
        if lab.inside(name, "ls -d /run/bosh_ha 2>/dev/null || true").strip():
            wrong.append(f"{name} has /run/bosh_ha still")
        if name in sshd and sshd_config(lab, name) != sshd[name]:
            wrong.append(f"sshd_config of {name} is not what it was")
    return wrong
