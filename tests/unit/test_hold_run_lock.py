# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role hold_run_lock between real processes of ansible-playbook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .role_runner import link_collection

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: bosh.ha.hold_run_lock
    - ansible.builtin.include_role:
        name: bosh.ha.hold_run_lock
    - ansible.builtin.wait_for:
        path: "{{ until }}"
        timeout: 120
        sleep: 1
      when: until is defined
    - ansible.builtin.include_role:
        name: bosh.ha.hold_run_lock
        tasks_from: free
      when: give_back is defined
"""
#: What a container of AWX has of its own: the host name, besides its namespaces.
OTHER_HOST = 'hostname "$0" && "$@"'
#: Seconds, on a machine that has other work.
PATIENCE = 120


@pytest.fixture
def start(tmp_path: Path) -> Any:
    link_collection(tmp_path, {})
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
    }
    started = []

    def run(*words: str, job: str = "") -> subprocess.Popen[str]:
        own = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", OTHER_HOST, job]
        command = [
            *(own if job else []),
            sys.executable,
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "localhost,",
        ]
        given = [f"bosh_ha_work_dir={tmp_path / 'work'}", f"ansible_python_interpreter={sys.executable}"]
        process = subprocess.Popen(
            [*command, "-c", "local", *[word for one in given for word in ("-e", one)], *words, "play.yml"],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout
        process.stdout.close()


def said(process: subprocess.Popen[str]) -> tuple[int, str]:
    text, _errors = process.communicate(timeout=PATIENCE)
    return process.returncode, " ".join(text.split())


def test_a_second_run_is_kept_away_until_the_first_one_is_dead(start: Any, tmp_path: Path) -> None:
    lock = tmp_path / "work" / "run.lock"
    rc, text = said(start("--check"))
    assert (rc, lock.exists()) == (0, False), text
    first = start("-e", f"until={tmp_path / 'never'}")
    end = time.monotonic() + PATIENCE
    while not lock.exists() and time.monotonic() < end:
        time.sleep(0.1)
    for words in ([], ["--check"]):
        rc, text = said(start(*words))
        assert rc == 2
        assert f"another run (process {first.pid}, since " in text
        assert f"works on this pair: wait for it, or end it; the lock is {lock}" in text
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    # The process that renewed the lock removes it, as its run is gone.
    end = time.monotonic() + PATIENCE
    while lock.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not lock.exists()
    rc, text = said(start("-e", "give_back=true"))
    assert rc == 0, text
    assert not lock.exists()


def test_a_job_that_was_killed_blocks_no_later_job_on_another_host(start: Any, tmp_path: Path) -> None:
    """As AWX runs them: each in a namespace of process IDs with a host name of its own, ended by SIGKILL."""
    lock = tmp_path / "work" / "run.lock"
    first = start("-e", f"until={tmp_path / 'never'}", "-e", "hold_run_lock_lease=5", job="ansible-runner-33")
    end = time.monotonic() + PATIENCE
    while not lock.exists() and time.monotonic() < end:
        time.sleep(0.1)
    rc, text = said(start(job="ansible-runner-34"))
    assert rc == 2, text
    assert "another run (process" in text and "on the host ansible-runner-33" in text
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert lock.exists()
    rc, text = said(start("-e", "give_back=true", job="ansible-runner-35"))
    assert rc == 0, text
    assert f"The run that held {lock} is dead" in text
    assert not lock.exists()


def test_a_run_that_lost_its_lock_is_ended_and_says_so(start: Any, tmp_path: Path) -> None:
    lock = tmp_path / "work" / "run.lock"
    first = start("-e", f"until={tmp_path / 'never'}", "-e", "hold_run_lock_lease=5")
    end = time.monotonic() + PATIENCE
    while not (lock.exists() and b'"renewer": [' in lock.read_bytes()) and time.monotonic() < end:
        time.sleep(0.1)
    lock.unlink()
    rc, text = said(first)
    assert rc != 0
    assert f"{lock}: the lock of this run was removed; this run is ended" in text
