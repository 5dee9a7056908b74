# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers to AWX: it tags each text !unsafe, and ansible-core 2.19 and newer reads it once more as a plain scalar."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .role_runner import link_collection

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chaos import awx  # noqa: E402

#: What no sentence for an operator has in it.
RIDDLE = re.compile(r"Traceback|NoneType|has no attribute|is undefined|has no len|object of type", re.IGNORECASE)


@pytest.fixture
def play(tmp_path: Path) -> Any:
    link_collection(tmp_path, {})

    def play(playbook: str, **answers: Any) -> tuple[int, str]:
        (tmp_path / "extravars").write_text("---\n" + awx.extravars(answers), encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
        }
        program = str(Path(sys.executable).parent / "ansible-playbook")
        given = ["-e", f"ansible_python_interpreter={sys.executable}", "-e", f"@{tmp_path / 'extravars'}"]
        done = subprocess.run(
            [sys.executable, program, "-i", "localhost,", "-c", "local", *given, playbook],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return play


def test_variables_are_written_as_awx_writes_them() -> None:
    text = awx.extravars({"a": "it's", "b": ["0644", 1], "c": {"d": ""}, "e": True})
    assert text == "a: !unsafe 'it''s'\nb: [!unsafe '0644', 1]\nc: {!unsafe 'd': !unsafe ''}\ne: true\n"
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!unsafe", lambda _loader, node: node.value)
    assert yaml.load(text, loader) == {"a": "it's", "b": ["0644", 1], "c": {"d": ""}, "e": True}


@pytest.mark.parametrize(
    ("playbook", "answers", "sentence"),
    [
        (
            "restore",
            {"restore_host": "", "restore_path": "", "restore_repository": ""},
            "restore_host must be a director of the inventory",
        ),
        (
            "renew_director",
            {"renew_name": "meta", "restore_path": ""},
            "restore_path the directory of its backup",
        ),
        (
            "pair_again",
            {"bosh_ha_work_dir": ""},
            "bosh_ha_work_dir: nothing is no path; set a directory",
        ),
    ],
)
def test_empty_answer_is_one_clear_sentence(play: Any, playbook: str, answers: dict[str, str], sentence: str) -> None:
    rc, told = play(f"bosh.ha.{playbook}", **answers)
    assert rc == 2
    assert sentence in told
    assert not RIDDLE.search(told), told


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: bosh.ha.hold_run_lock
    - ansible.builtin.include_vars: "{{ role }}/schedule_backup/vars/main.yml"
    - ansible.builtin.assert:
        that:
          - (1 if destroy_micro_keep_disk is none or destroy_micro_keep_disk | bool else 0) == 1
          - (bosh_ha_directors | bosh.ha.director('primary')).client_secret == '12345'
          - (bosh_ha_directors | bosh.ha.director('primary')).client == 'admin'
          - _schedule_backup_is_wanted
"""


def test_answers_that_ansible_retypes_keep_their_meaning(play: Any, tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    rc, told = play(
        "play.yml",
        role=str(ROOT / "roles"),
        bosh_ha_work_dir=str(tmp_path / "work"),
        hold_run_lock_lease="20",
        bosh_ha_directors={"primary": {"address": "10.0.0.7", "client": "", "client_secret": "12345"}},
        destroy_micro_keep_disk="",
        schedule_backup_state="",
        schedule_backup_timer="",
    )
    assert rc == 0, told
