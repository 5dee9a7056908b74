#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository of restic's, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_repository
short_description: Make, list, thin out or check a repository of backups
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Works on a repository of restic's in which M(bosh.ha.restic_snapshot) and M(bosh.ha.restic_backup) keep backups.
extends_documentation_fragment: [bosh.ha.restic, bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Says what would be made or removed; a check is a check.
    support: full
options:
  state:
    description:
      - V(ready) opens it, and makes it where its place is empty or not there. It fails where there is something else, or where the
        passphrase is not the repository's.
      - V(listed) names the backups that are whole.
      - V(thinned) removes backups of O(name) that O(keep) does not keep, and frees their room. It sees no others.
      - V(checked) compares what it has with its index.
    type: str
    choices: [ready, listed, thinned, checked]
    default: ready
  name:
    description: What was backed up, a deployment or a director's address. For O(state=listed) all of them where it is not set.
    type: str
  keep:
    description:
      - How many of the newest to keep, as restic's policies count them. None is removed where nothing is set.
      - With another state it is only looked at, so that a mistake is found before anything is done.
    type: dict
    suboptions:
      last:
        description: The newest ones.
        type: int
      hourly:
        description: The newest of an hour.
        type: int
      daily:
        description: The newest of a day.
        type: int
      weekly:
        description: The newest of a week.
        type: int
      monthly:
        description: The newest of a month.
        type: int
      yearly:
        description: The newest of a year.
        type: int
  read:
    description: With O(state=checked), whether all of its data is read, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make sure that there is a repository, and that the passphrase is its
  bosh.ha.restic_repository:
    repository: s3:backups/directors

- name: Keep a week, and the first of each month
  bosh.ha.restic_repository:
    repository: s3:backups/directors
    state: thinned
    name: 10.10.0.4
    keep: {daily: 7, monthly: 12}
"""

RETURN = r"""
backups:
  description: The name and stamp of each, the oldest first.
  returned: when O(state=listed)
  type: list
  elements: dict
  sample: [{name: 10.10.0.4, stamp: 20261121T220000Z}]
removed:
  description: Stamps of those that are gone.
  returned: when O(state=thinned)
  type: list
  elements: str
  sample: [20261114T220000Z]
"""

from typing import Any
from urllib.parse import unquote

from ansible_collections.bosh.ha.plugins.module_utils import restic
from ansible_collections.bosh.ha.plugins.module_utils.restic_module import run_restic_module
from ansible_collections.bosh.ha.plugins.module_utils.restic_repository import Repository


def work(params: dict[str, Any], check: bool) -> dict[str, Any]:
    repository = Repository(params)
    restic.keep_words(params["keep"] or {})
    if params["state"] == "ready":
        return {"changed": repository.ready(check)}
    if params["state"] == "listed":
        backups = [
            {"name": unquote(one.name), "stamp": one.stamp}
            for one in repository.backups(params["name"] or "")
            if one.facts
        ]
        return {"changed": False, "backups": backups}
    if params["state"] == "checked":
        repository.check(params["read"])
        return {"changed": False}
    removed = repository.forget(params["name"], params["keep"] or {}, check)
    return {"changed": bool(removed), "removed": removed}


def main() -> None:
    run_restic_module(
        argument_spec={
            "state": {"type": "str", "choices": ["ready", "listed", "thinned", "checked"], "default": "ready"},
            "name": {"type": "str"},
            "keep": {"type": "dict", "options": {kind: {"type": "int"} for kind in restic.KEEPS}},
            "read": {"type": "bool", "default": False},
        },
        work=work,
        required_if=[("state", "thinned", ["name", "keep"])],
    )


if __name__ == "__main__":
    main()
