# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director has is counted while its tasks are held, and its tasks are let go whatever comes of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from .role_runner import Roles

DIRECTOR_CONTENTS = """#!/usr/bin/python
# Stands for the module of this name.
import os
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({})
with open(os.environ["LOG"], "a") as stream:
    stream.write("count\\n")
if os.environ["PSQL"]:
    module.fail_json(msg=os.environ["PSQL"])
module.exit_json(changed=False, rows={"tasks": 5}, blobs={})
"""
MODULES = {"director_contents": DIRECTOR_CONTENTS}


@pytest.fixture
def record(tmp_path: Path, roles: Roles):
    """Plays an entry point of the role, over one that stands for hold_director_tasks; the log has what was done."""
    shared = roles.top / "ansible_collections" / "bosh" / "ha" / "roles"
    if shared.is_symlink():
        own = shared.resolve()
        shared.unlink()
        (shared / "hold_director_tasks" / "tasks").mkdir(parents=True)
        (shared / "record_director").symlink_to(own / "record_director")
        for point, word in (("main", "hold"), ("free", "free")):
            line = f"echo {word} {{{{ hold_director_tasks_name | default('') }}}} >> {{{{ log }}}}"
            text = f"- ansible.builtin.shell: {line}\n"
            (shared / "hold_director_tasks" / "tasks" / f"{point}.yml").write_text(text, encoding="utf-8")

    def play(point: str, psql: str = "", **variables: object) -> tuple[int, str, list[str]]:
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        given = {"log": str(log), "record_director_name": "micro", "ansible_become": False} | variables
        environ = {"LOG": str(log), "PSQL": psql}
        rc, told = roles.play(tmp_path, "record_director", point, "-v", variables=given, hosts={}, environ=environ)
        return rc, told, [line.strip() for line in log.read_text(encoding="utf-8").splitlines()]

    return play


def test_it_counts_within_what_is_held(record):
    rc, told, log = record("main")
    assert (rc, log) == (0, ["hold micro", "count"]), told
    rc, told, log = record("free")
    assert (rc, log) == (0, ["count", "free"]), told
    assert '"tasks": 5' in told


def test_who_need_not_be_held_is_counted_all_the_same(record):
    assert record("main", record_director_hold_tasks=False)[2] == ["count"]
    assert record("free", record_director_hold_tasks=False)[2] == ["count"]


def test_what_cannot_be_counted_keeps_nobody(record):
    rc, told, log = record("main", psql="there is no psql on this host")
    assert (rc, log) == (0, ["hold micro", "count"]), told
    assert "Nothing is recorded of its rows and blobs: there is no psql on this host" in told
    rc, told, log = record("free", psql="there is no psql on this host")
    assert (rc, log) == (0, ["count", "free"]), told
