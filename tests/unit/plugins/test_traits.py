# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts and directors are asked for by the preflight: host_traits, director_traits."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import host_traits
from ansible_collections.bosh.ha.plugins.module_utils.store_fence import fenced_jobs

SUMMARY = "Process 'nats'  running\nProcess 'director'  not monitored\nSystem 'x'  running\n"


def answers(told: dict[str, str]) -> Any:
    """A run_command: what a command of that name prints, or no such command."""

    def run(command: list[str], **_options: Any) -> tuple[int, str, str]:
        name = os.path.basename(command[0])
        if name not in told:
            raise FileNotFoundError(2, "No such file or directory")
        return 0, told[name], ""

    return run


def test_jobs_that_back_something_up_are_those_with_the_script(tmp_path):
    for path in ("director/bin/bbr/backup", "blobstore/bin/bbr/backup", "nats/bin/bbr/restore", "health/bin/backup"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    assert host_traits.backup_jobs(str(tmp_path)) == ["blobstore", "director"]
    assert host_traits.backup_jobs(str(tmp_path / "nowhere")) == []


@pytest.mark.parametrize("place", ["bosh_ha_fenced", "bosh_ha_fenced.partial", "bosh_ha_kept", "bosh_ha_kept.partial"])
def test_a_database_that_is_set_aside_is_the_hosts_still(tmp_path, place):
    (tmp_path / place / "postgres-15").mkdir(parents=True)
    (tmp_path / "bosh_ha_staging" / "postgres-13").mkdir(parents=True)
    assert host_traits.postgres_directories(str(tmp_path)) == ["postgres-15"]


def test_a_directors_vm(run_module, tmp_path):
    (tmp_path / "postgres-15").mkdir()
    (tmp_path / "postgres-previous-glibc-tracking").mkdir()
    (tmp_path / "postgres-10").write_text("", encoding="utf-8")
    (tmp_path / "bosh_ha_staging" / "blobstore").mkdir(parents=True)
    (tmp_path / "bosh_ha_staging" / "blobstore" / "a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "bosh_ha_staging/blobstore/a", tmp_path / "bosh_ha_staging/blobstore/b")
    run = answers({"monit": SUMMARY, "rsync": "rsync  version 3.2.7  protocol version 31\n", "bosh-agent": "2.874.0\n"})
    result, _replay = run_module("host_traits", {"store": str(tmp_path), "rrsync": __file__}, runner=run)
    assert result["changed"] is False
    assert abs(result["clock"] - time.time()) < 60
    assert result["postgres"] == ["postgres-15"]
    states = {"nats": "running", "director": "not monitored"}
    assert result["monit"] == {"processes": states, "reason": "", "fenced": False, "held": []}
    assert (result["rsync"], result["rrsync"], result["agent_version"]) == ("3.2.7", __file__, "2.874.0")
    store = result["store"]
    assert (store["mounted"], store["path"]) == (False, str(tmp_path))
    assert store["total"] >= store["used"] + store["available"] > 0
    assert 100_000 <= store["staged"] < 150_000, "hard links count once"


def test_what_is_not_there_is_an_answer(run_module, tmp_path):
    args = {"store": str(tmp_path / "none"), "rrsync": str(tmp_path / "none")}
    result, _replay = run_module("host_traits", args, runner=answers({}))
    reason = "/var/vcap/bosh/bin/monit: No such file or directory"
    assert result["monit"] == {"processes": {}, "reason": reason, "fenced": False, "held": []}
    Path(fenced_jobs(str(tmp_path))).mkdir()
    result, _replay = run_module("host_traits", args | {"monit_dir": str(tmp_path)}, runner=answers({}))
    assert result["monit"]["fenced"] is True
    assert [result[key] for key in ("rsync", "rrsync", "agent_version", "postgres")] == ["", "", "", []]
    assert result["store"]["total"] == 0


def test_mounts(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /var/vcap/store ext4 rw 0 0\ntmpfs /var/vcap/bosh/settings tmpfs rw 0 0\n",
        encoding="utf-8",
    )
    assert host_traits.mounted_from("/var/vcap/store", str(mounts)) == "/dev/sdb1"
    assert host_traits.mounted_from("/var/vcap", str(mounts)) == ""
    assert host_traits.settings_on_tmpfs(str(mounts))
    settings = tmp_path / "settings"
    assert not host_traits.settings_on_tmpfs(str(mounts), str(settings))
    settings.mkdir()
    assert not host_traits.settings_on_tmpfs(str(mounts), str(settings))
    (settings / "update_settings.json").touch()
    assert host_traits.settings_on_tmpfs(str(mounts), str(settings))


def table(content: str, *rows: dict[str, str]) -> tuple[int, str]:
    return 0, json.dumps({"Tables": [{"Content": content, "Rows": list(rows)}], "Blocks": None, "Lines": ["Succeeded"]})


DISK = {"disk_cid": "disk-1", "deployment": "bosh-primary", "instance": "bosh/1", "az": "z1", "size": "1 GiB"}
VM = {"vm_cid": "vm-1", "deployment": "bosh-meta", "instance": "bosh/2", "az": "z1", "ips": "10.10.0.5\n10.10.1.5"}
CLOUD = """
azs: [{name: z1, cloud_properties: {zone: a}}]
vm_types: [{name: a, cloud_properties: {properties: {password: not-for-eyes}}}]
"""


def test_a_director(run_module):
    result, _replay = run_module(
        "director_traits",
        {"environment": "10.10.0.3"},
        {
            "configs": "configs",
            "config --type=cloud": table("config", {"id": "1", "type": "cloud", "name": "default", "content": CLOUD}),
            "disks --orphaned": table("disks", DISK),
            "orphaned-vms": table("orphaned_vms", VM),
        },
    )
    assert result["unanswered"] == {}
    assert result["cloud_configs"][0]["content"]["azs"] == [{"name": "z1", "cloud_properties": {"zone": "a"}}]
    assert "not-for-eyes" not in json.dumps(result)
    assert result["orphaned_disks"] == [{"disk_cid": "disk-1", "deployment": "bosh-primary", "instance": "bosh/1"}]
    assert result["orphaned_vms"][0]["ips"] == ["10.10.0.5", "10.10.1.5"]


@pytest.mark.parametrize("cloud", ["a: [", "{"])
def test_a_question_without_an_answer_does_not_take_the_others_along(run_module, cloud):
    refused = (
        1,
        json.dumps({"Tables": None, "Blocks": None, "Lines": ["Director responded with '404'", "Exit code 1"]}),
    )
    result, _replay = run_module(
        "director_traits",
        {"environment": "10.10.0.3"},
        {
            "configs": "configs",
            "config --type=cloud": table("config", {"id": "1", "type": "cloud", "name": "default", "content": cloud}),
            "disks --orphaned": "disks_orphaned",
            "orphaned-vms": refused,
        },
    )
    assert result["orphaned_disks"] == []
    assert set(result["unanswered"]) == {"cloud_configs", "orphaned_vms"}
    assert "404" in result["unanswered"]["orphaned_vms"]
