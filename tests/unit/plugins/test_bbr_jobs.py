# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which jobs BBR finds, and the order of their locks."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bbr_jobs import (
    Cycle,
    Job,
    one_by_one,
    parse_metadata,
    scripts_of,
    tell,
    waves,
    waves_by_host,
)
from hypothesis import given
from hypothesis import strategies as st


def test_only_the_scripts_of_the_contract_count():
    jobs = "/var/vcap/jobs"
    found = scripts_of(
        [
            f"{jobs}/postgres/bin/bbr/restore",
            f"{jobs}/postgres/bin/bbr/backup",
            f"{jobs}/postgres/bin/bbr/helper.sh",
            f"{jobs}/postgres/bin/bbr/lib/backup",
            f"{jobs}/director/bin/bbr/metadata",
            f"{jobs}/mysql-backup/bin/bbr/backup",
            f"{jobs}/blobstore/bin/backup",
        ]
    )
    assert found == {"director": ["metadata"], "postgres": ["backup", "restore"]}


def test_metadata_is_read():
    text = (
        "---\nbackup_should_be_locked_before:\n- {job_name: uaa, release: uaa}\n"
        "restore_should_be_locked_before:\n- {job_name: nats, release: bosh}\nskip_bbr_scripts: true\nbackup_name: x\n"
    )
    assert parse_metadata(text) == {
        "skip": True,
        "before": {"backup": (("uaa", "uaa"),), "restore": (("nats", "bosh"),)},
        "discontinued": ["backup_name"],
    }
    assert parse_metadata(text, with_releases=False)["before"]["backup"] == (("uaa", ""),)
    assert parse_metadata("") == {"skip": False, "before": {"backup": (), "restore": ()}, "discontinued": []}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "BBR cannot read"),
        ("words", "!!str into a mapping"),
        ("backup_should_be_locked_before: uaa", "line 1: cannot unmarshal !!str into a list"),
        ("backup_should_be_locked_before:\n- uaa", "line 2: cannot unmarshal !!str into a mapping"),
        ('skip_bbr_scripts: "true"', "line 1: cannot unmarshal !!str into bool"),
        ("skip_bbr_scripts: 'y'", "line 1: cannot unmarshal !!str into bool"),
        ("skip_bbr_scripts: 1", "line 1: cannot unmarshal !!int into bool"),
        ("backup_name: []", "line 1: cannot unmarshal !!seq into string"),
        ("backup_should_be_locked_before: [~]", "without job_name and release in backup_should"),
        ("restore_should_be_locked_before: [{job_name: uaa}]", "without job_name and release in restore_should"),
    ],
)
def test_metadata_that_cannot_be_read_is_said(text, words):
    with pytest.raises(ValueError, match=words):
        parse_metadata(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(text, True) for text in ("y", "Y", "yes", "on", "True", "!!bool 'on'")],
        *[(text, False) for text in ("n", "off", "NO", "~", "", "null")],
    ],
)
def test_scripts_are_skipped_where_bbr_skips_them(value, expected):
    assert parse_metadata(f"skip_bbr_scripts: {value}\n")["skip"] is expected


def test_names_that_look_like_numbers_stay_as_they_are_written():
    before = "[{job_name: 007, release: 12e03}, {job_name: y, release: =}]"
    text = f"backup_name: 0\nbackup_should_be_locked_before: {before}"
    found = parse_metadata(text)
    assert found["before"]["backup"] == (("007", "12e03"), ("y", "="))
    assert found["discontinued"] == ["backup_name"]


def job(name, *before, instance="bosh/0", release="bosh"):
    return Job(name, instance, release, before={"backup": tuple((other, "bosh") for other in before)})


def names(found):
    return [[f"{one.name} on {one.instance}" for one in wave] for wave in found]


def test_jobs_are_locked_in_waves_on_every_instance():
    api, api2 = job("api", "db", "router"), job("api", "db", "router", instance="bosh/1")
    others = [job("db", "disk"), job("router"), job("disk"), job("alone"), job("db", release="another")]
    found = names(waves([*others[:4], api, api2], "backup"))
    assert found == [
        ["alone on bosh/0", "api on bosh/0", "api on bosh/1"],
        ["db on bosh/0", "router on bosh/0"],
        ["disk on bosh/0"],
    ]
    # Of the other order nobody has said anything, and a job of another release is another job.
    assert len(waves([*others[:4], api], "restore")) == 1
    assert names(waves([others[4], api], "backup")) == [["db on bosh/0", "api on bosh/0"]]


def test_a_cycle_is_named_and_nothing_beside_it():
    with pytest.raises(Cycle) as said:
        waves([job("lead", "a"), job("a", "b"), job("b", "c"), job("c", "a", "tail"), job("tail")], "backup")
    circle = str(said.value).partition(": ")[2].split(" -> ")
    assert circle[0] == circle[-1]
    assert sorted(circle[1:]) == ["a on bosh/0", "b on bosh/0", "c on bosh/0"]
    with pytest.raises(Cycle, match="a on bosh/0 -> a on bosh/0"):
        waves([job("a", "a")], "backup")


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_every_job_is_once_in_an_order_that_keeps_all_wishes_or_a_cycle_is_real(pairs):
    wishes = {n: {str(after) for before, after in pairs if before == n} for n in range(8)}
    jobs = [job(str(n), *sorted(wishes[n])) for n in range(8)]
    try:
        found = [[one.name for one in wave] for wave in waves(jobs, "backup")]
    except Cycle as error:
        circle = [name.split()[0] for name in str(error).partition(": ")[2].split(" -> ")]
        assert circle[0] == circle[-1] and len(circle) > 1
        assert all(after in wishes[int(before)] for before, after in itertools.pairwise(circle))
        return
    place = {name: number for number, wave in enumerate(found) for name in wave}
    assert sorted(place) == sorted(str(n) for n in range(8)) and sum(map(len, found)) == 8
    assert all(place[str(before)] < place[after] for before, afters in wishes.items() for after in afters)


def found_on(host_jobs):
    return {
        host: [
            {"name": name, "release": "r", "scripts": scripts, "before": {"backup": (), "restore": ()}}
            for name, scripts in jobs.items()
        ]
        for host, jobs in host_jobs.items()
    }


def test_a_restore_has_one_host_after_the_other():
    # factory/deployment_restorer.go: NewSerialExecutor; deployment_backuper.go: NewParallelExecutor.
    found = found_on(
        {"vm1": {"web": ["restore"], "log": ["backup"]}, "vm2": {"db": ["restore"]}, "vm3": {"log": ["backup"]}}
    )
    assert waves_by_host(found, "backup") == [{"vm1": ["web", "log"], "vm2": ["db"], "vm3": ["log"]}]
    assert waves_by_host(found, "restore") == [{"vm1": ["web", "log"]}, {"vm2": ["db"]}, {"vm3": ["log"]}]
    assert one_by_one(found, "restore") == [{"vm1": ["web"]}, {"vm2": ["db"]}]
    assert one_by_one({"vm1": []}, "restore") == []


def test_discontinued_names_are_kept_with_the_job():
    found = [{"name": "db", "scripts": ["restore"], "metadata": "restore_name: other"}]
    told = tell(found, True, {}, {})
    assert told["jobs"][0]["discontinued"] == ["restore_name"]
    assert len(told["warnings_of_bbr"]) == 1


def test_a_link_is_no_script(tmp_path, run_module):
    # bbr: `find /var/vcap/jobs/*/bin/bbr/* -type f` (ssh/remote_runner.go); a job's directory itself may be a link.
    real = tmp_path / "data" / "db-1" / "bin" / "bbr"
    real.mkdir(parents=True)
    (real / "backup").write_text("#!/bin/sh\n", encoding="utf-8")
    (real / "restore").symlink_to("backup")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "db").symlink_to(tmp_path / "data" / "db-1")
    where = {"jobs_dir": str(tmp_path / "jobs"), "artifacts_dir": str(tmp_path / "none")}
    result, _replay = run_module("bbr_jobs", where)
    assert [(one["name"], one["scripts"]) for one in result["jobs"]] == [("db", ["backup"])]
