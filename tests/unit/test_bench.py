# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmarks conclude from events and probes: nobody would notice a wrong figure."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bosh.ha.tests.bench import (
    backup,
    bbr_way,
    figures,
    handover,
    machine,
    migration,
    outage,
    playbook,
    table,
    timeline,
)
from hypothesis import given
from hypothesis import strategies as st

BEGAN = timeline.moment("2026-11-21T12:00:00+00:00")


def event(counter: int, kind: str, second: float, **data: Any) -> dict[str, Any]:
    return {
        "counter": counter,
        "event": kind,
        "created": f"2026-11-21T12:00:{second:09.6f}+00:00",
        "event_data": data,
    }


def started(counter: int, second: float, name: str, role: str = "", action: str = "debug") -> dict[str, Any]:
    return event(counter, "playbook_on_task_start", second, task=name, role=role, task_action=action)


#: A freeze: the stop from 1 to 9, a copy from 10 to 12, the start from 14 to 20, an answer at 22.
RUN = [
    started(1, 0, "Ask"),
    started(2, 1, timeline.STOP, "stop_boshes", "bosh.ha.monit"),
    event(3, "runner_on_ok", 8.5, task=timeline.STOP, task_action="bosh.ha.monit", res={}),
    started(4, 9, "Look", "bosh.ha.sync_store"),
    started(5, 10, "Copy", "bosh.ha.sync_store", timeline.COPY),
    event(6, "runner_on_ok", 11, task="Copy", task_action=timeline.COPY, res={"bytes_sent": 7}),
    started(7, 12, "Swap", "sync_store"),
    event(8, "playbook_on_play_start", 13),
    started(9, 14, timeline.START, "start_meta", "bosh.ha.monit"),
    started(10, 20, "Ask Meta", "start_meta"),
    event(11, "playbook_on_stats", 30),
]


def at(second: float) -> float:
    return BEGAN + second


def test_a_task_lasts_until_the_next_one_or_the_end_of_its_play() -> None:
    found = {span.name: span.ended - span.began for span in timeline.spans(RUN)}
    assert found == {
        "Ask": 1,
        timeline.STOP: 8,
        "Look": 1,
        "Copy": 2,
        "Swap": 1,
        timeline.START: 6,
        "Ask Meta": 10,
    }


def test_events_are_taken_by_their_counter() -> None:
    assert timeline.spans(reversed(RUN)) == timeline.spans(RUN)


def test_a_run_that_was_cut_off_ends_with_its_last_event() -> None:
    assert timeline.spans(RUN[:3])[-1].ended == at(8.5)


def test_no_zone_is_utc() -> None:
    assert timeline.moment("2026-11-21T12:00:00") == BEGAN


def test_roles_have_one_name_in_or_out_of_the_collection() -> None:
    assert [span.role for span in timeline.spans(RUN)][2:5] == ["sync_store"] * 3


def test_the_floor_is_the_stop_and_the_start_inside_the_freeze() -> None:
    tasks = timeline.spans(RUN)
    # From 2 to 22: 7 s of the stop, 6 s of the start, 2 s until the API answered; 5 s are ours.
    assert timeline.floor(tasks, at(2), at(22)) == 15
    assert timeline.between(tasks) == (at(9), at(14))


def test_an_api_that_answers_before_all_processes_run_ends_the_floor() -> None:
    assert timeline.floor(timeline.spans(RUN), at(2), at(17)) == 10


def test_a_task_that_has_another_name_now_is_said() -> None:
    with pytest.raises(timeline.NoTask, match=timeline.STOP):
        timeline.floor(timeline.spans(RUN[4:]), at(2), at(22))


def test_shares_leave_no_second_out() -> None:
    tasks = timeline.spans(RUN)
    found = timeline.shares(tasks, at(2), at(22))
    assert sum(share["seconds"] for share in found) == 19  # one second lies between two plays
    assert found[0] == {"role": "stop_boshes", "task": timeline.STOP, "seconds": 7}


@given(st.lists(st.floats(0, 59), min_size=2, max_size=20))
def test_spans_neither_overlap_nor_leave_gaps(seconds: list[float]) -> None:
    found = timeline.spans([started(number, second, str(number)) for number, second in enumerate(seconds)])
    assert all(one.ended == after.began for one, after in pairwise(found))
    assert all(span.ended >= span.began for span in found)


def test_results_are_those_of_a_module() -> None:
    assert timeline.results(RUN, timeline.COPY) == [{"bytes_sent": 7}]


def test_the_result_of_a_loop_is_not_counted_beside_its_items() -> None:
    looped = [
        event(1, "runner_item_on_ok", 1, task_action=timeline.COPY, res={"bytes_sent": 1}),
        event(2, "runner_item_on_ok", 2, task_action=timeline.COPY, res={"bytes_sent": 2}),
        event(3, "runner_on_ok", 3, task_action=timeline.COPY, res={"results": [{}, {}]}),
    ]
    assert timeline.results(looped, timeline.COPY) == [{"bytes_sent": 1}, {"bytes_sent": 2}]


def answers(name: str, words: str, uuid: str) -> list[outage.Sample]:
    """A sample for each letter, a fifth of a second apart: `x` is none."""
    return [
        {"time": round(number / 5, 1), "name": name, "ok": letter != "x", "uuid": None if letter == "x" else uuid}
        for number, letter in enumerate(words)
    ]


def both(*lists: list[outage.Sample]) -> list[outage.Sample]:
    return outage.samples(json.dumps(sample) for one in lists for sample in one)


def test_the_freeze_is_from_the_first_question_without_an_answer_to_the_first_with_one() -> None:
    asked = both(answers("micro", "....xxxxxxxx", "U"), answers("meta", "xxxxxxxxx...", "U"))
    assert outage.freeze(asked, outage.uuid_of(asked, "micro")) == outage.Outage(0.8, 1.8)


def test_who_answers_under_another_uuid_ends_no_freeze() -> None:
    meta = answers("meta", "...xxxxxx...", "U")
    for sample in meta[:3]:
        sample["uuid"] = "meta's own"
    asked = both(answers("micro", "....xxxxxxxx", "U"), meta)
    assert outage.freeze(asked, "U") == outage.Outage(0.8, 1.8)


def test_a_question_that_was_lost_is_not_the_freeze() -> None:
    asked = both(answers("micro", ".x..xxxxxxxx", "U"), answers("meta", "xxxxxxxxx...", "U"))
    assert outage.freeze(asked, "U").began == 0.8


def test_a_freeze_that_never_ended_is_said() -> None:
    with pytest.raises(outage.NoAnswer, match="only micro answered"):
        outage.freeze(both(answers("micro", "..xx", "U"), answers("meta", "xxxx", "U")), "U")


def test_outages_of_one_director() -> None:
    asked = both(answers("primary", "..xx..x.xx", "P"), answers("meta", "xxxxxxxxxx", "U"))
    found = outage.outages(asked, "primary")
    assert [(one.began, one.ended) for one in found] == [(0.4, 0.8), (1.2, 1.4), (1.6, 1.8)]
    assert outage.outages(asked, "primary", 1.0, 1.5) == [found[1]]
    assert outage.failed(asked, "primary", 0, 1.0) == (2, 6)


def test_a_run_is_told_by_its_probe_and_its_tasks() -> None:
    words = {"micro": "." * 10 + "x" * 120, "meta": "x" * 110 + "." * 20}
    asked = both(*(answers(name, one, "U") for name, one in words.items()))
    for sample in asked:
        sample["time"] += BEGAN
    done = copy.deepcopy(RUN)
    done[5]["event_data"]["res"] = dict.fromkeys(
        ("bytes_sent", "bytes_total", "files_total", "files_copied", "seconds"), 7
    )
    found = migration.tell(playbook.Run(done, 33.3), asked)
    assert {key: found[key] for key in ("freeze", "floor", "stop", "start", "between", "copy")} == {
        "freeze": 20,
        "floor": 15,
        "stop": 7,
        "start": 6,
        "between": 5,
        "copy": 2,
    }
    assert [one["bytes_sent"] for one in found["copies"]] == [7]


def test_primarys_outage_ends_with_the_role_that_hands_it_over() -> None:
    run = playbook.Run([started(1, 0, "Terminate", "recreate_primary"), started(2, 3, "Deploy", "deploy_director")], 9)
    asked = both(answers("primary", "..xxxx........xxxxx...........xxx..", "P"))
    for sample in asked:
        sample["time"] += BEGAN
    found = handover.primary(run, asked, "recreate")
    assert found == {"outage": 1.8, "failed": 6, "asked": 16, "later_outage": 0.6}
    with pytest.raises(handover.lab.BenchError, match="adopt_primary"):
        handover.primary(run, asked, "adopt")


def test_a_line_that_was_cut_off_is_passed_over() -> None:
    assert outage.samples(['{"time": 1, "name": "micro"}', '{"time": 2, "na']) == [{"time": 1, "name": "micro"}]


def frozen(gib: float, freeze: float, floor: float, **more: Any) -> dict[str, Any]:
    return {
        "freeze": freeze,
        "floor": floor,
        "stop": floor / 2,
        "copy": 0.5,
        "between": 2.0,
        "blog": 6.0,
        "nothing_to_copy": [0.4, 0.5, 0.6],
        "by_hand": {"stop": 8.0, "start": 5.0},
        "store": {"bytes": int(gib * figures.GIB)},
    } | more


def row(lines: list[figures.Line], words: str) -> figures.Line:
    return next(line for line in lines if words in line.figure)


def test_a_freeze_is_held_against_its_floor() -> None:
    good, bad = (figures.lines({"freeze": {"1G": frozen(1, freeze, 20.0)}})[0] for freeze in (23.0, 23.2))
    assert (good.ratio, good.reached, good.limit) == (1.15, True, "")
    assert bad.reached is False
    assert bad.limit.startswith("1.02")


@pytest.mark.parametrize(("gib", "part", "reached"), [(1, 10, True), (4, 30, False), (8, 30, False)])
def test_the_copys_part_goes_by_the_size(gib: float, part: int, reached: bool) -> None:
    found = row(figures.lines({"freeze": {"it": frozen(gib, 20, 20)}}), "the copy in the freeze")
    assert (found.target, found.reached) == (f"<= 1/{part}", reached)
    assert bool(found.limit) != reached


def test_a_small_store_has_no_target_for_the_copy() -> None:
    found = row(figures.lines({"freeze": {"it": frozen(0.2, 20, 20)}}), "the copy in the freeze")
    assert (found.target, found.reached) == ("", None)


def test_the_growth_is_from_the_smallest_to_the_largest() -> None:
    sizes = {"8G": frozen(8, 26.0, 20), "1G": frozen(1, 20.0, 20), "4G": frozen(4, 90.0, 20)}
    found = row(figures.lines({"freeze": sizes}), "growth")
    assert (found.ratio, found.reached) == (1.3, False)


def test_an_adoption_has_no_probe_to_lose() -> None:
    for failed in (0, 1):
        one = {"failed": failed, "asked": 500, "copies": [{"bytes_sent": 1, "bytes_total": 1}]}
        assert row(figures.lines({"adopt": one}), "adopt").reached is (failed == 0)


def test_the_cold_copy_is_held_against_the_faster_limit() -> None:
    seconds = {"plain": [6.0], "ours": [4.0], "stream": [3.6], "local": [5.0]}
    found = figures.lines(
        {"copies": {"store": {"bytes": 10**9}, "seconds": {"disk": seconds, "memory": seconds | {"ours": [5.0]}}}}
    )
    assert [(line.ratio, line.reached) for line in found] == [(1.5, True), (0.9, True), (1.2, False), (0.72, False)]
    assert "raw stream" in found[2].limit


def test_bytes_of_all_passes_are_counted() -> None:
    copies = [{"bytes_sent": 100, "bytes_total": 100}, {"bytes_sent": 6, "bytes_total": 100}]
    one = {"outage": 12.0, "alone": [10.0, 11.0, 30.0], "copies": copies}
    found = figures.lines({"recreate": one})
    assert row(found, "bytes sent").ratio == 1.06
    assert row(found, "recreate").reached is True


def test_a_finished_pair_is_held_against_its_calls() -> None:
    runs = [{"seconds": seconds, "calls_seconds": 10.0, "calls": 9, "tasks": 99, "changed": 0} for seconds in (30, 21)]
    found = figures.lines({"finished": {"runs": runs}})[0]
    assert (found.ratio, found.reached) == (2.55, False)


def test_the_table_says_what_is_not_reached() -> None:
    told = table.of_figures(figures.lines({"freeze": {"4G": frozen(4, 20, 20)}}))
    missed = next(line for line in told.splitlines() if "the copy in the freeze" in line)
    assert "| 1/12.0 | <= 1/30 | NO " in missed
    assert len({len(line) for line in told.splitlines()}) == 1


def test_short_tasks_are_one_row() -> None:
    shares = [
        {"role": "r", "task": name, "seconds": seconds} for name, seconds in (("a", 0.04), ("b", 3.0), ("c", 0.05))
    ]
    told = table.of_shares(shares, 3.09).splitlines()
    assert [line.split("|")[2].strip() for line in told[2:]] == ["b", "2 tasks of less than 0.1 s"]


def test_the_calls_of_bosh_are_timed_and_pass_through(tmp_path: Path) -> None:
    real, log = tmp_path / "real", tmp_path / "log"
    real.mkdir()
    # Like the lab's: it looks for another one on PATH, and must not find the one that measures.
    (real / "bosh").write_text('#!/bin/sh\necho "$1,$2"; command -v bosh\nexit 3\n')
    (real / "bosh").chmod(0o755)
    wrapper = Path(timeline.__file__).parent / "bin"
    environment = {"PATH": f"{wrapper}:{real}:{os.environ['PATH']}", "BENCH_BOSH_CALLS": str(log)}
    done = subprocess.run(
        ["bosh", "-n", "a b"], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout.splitlines()) == (3, ["-n,a b", str(real / "bosh")])
    began, ended = (float(word) for word in log.read_text().split())
    assert 0 < ended - began < 30


def one_backup(seconds: float, locked: float | None, extra: int = 10**6) -> dict[str, Any]:
    return {"seconds": seconds, "locked": locked, "extra": extra, "bytes": 10**9, "path": "/x"}


BACKUPS: dict[str, Any] = {
    "store": {"bytes": 10**9},
    "bbr": "bbr's commands, scripted",
    "ours": [one_backup(6, 1.0), one_backup(5, 2.0), one_backup(60, 9.0)],
    "theirs": [one_backup(10, 4.0), one_backup(12, 8.0), one_backup(9, 6.0)],
    "restore": [7.0, 8.0, 9.0],
    "their_restore": [10.0, 10.0, 10.0],
    "first": {"seconds": 12.0, "bytes": 10**9, "locked": 1.0},
    "again": [{"seconds": seconds, "bytes": 10**8, "locked": 1.0} for seconds in (1.0, 2.0, 9.0)],
    "idle": 0.5,
    "read": 2.0,
}


def test_a_backup_is_held_against_bbr_s_by_medians():
    found = {line.figure: line for line in backup.lines(BACKUPS)}
    assert (found["full backup"].ratio, found["full backup"].reached) == (0.6, True)
    assert (found["restore"].ratio, found["restore"].reached) == (0.8, True)
    assert (found["time locked"].ratio, found["time locked"].reached) == (2 / 6, False)
    assert found["extra disk on the VM"].reached
    missed = backup.lines(BACKUPS | {"ours": [one_backup(90, 1.0)]})[0]
    assert missed.limit.startswith(
        "0.80: the jobs' own scripts take 6.0 s, and to read the store once from the disk 2.0 s"
    )
    assert found["first backup into a repository"].ratio == 1.2
    again = found["second one after 1% of change: time"]
    assert (again.ratio, again.reached) == (0.2, False)
    assert "0.05: with nothing changed it takes 0.5 s" in again.limit
    assert found["second one after 1% of change: bytes"].reached


def test_how_long_bbr_locked_is_in_its_log():
    said = (
        "[bbr] 2026/11/22 07:08:32 INFO - Running pre-backup-lock scripts...\n"
        "[bbr] 2026/11/22 07:09:03 INFO - Running post-backup-unlock scripts...\n"
        "[bbr] 2026/11/22 07:09:04 INFO - Finished running post-backup-unlock scripts.\n"
    )
    assert bbr_way.locked(said) == 32
    assert bbr_way.locked(said[:70]) is None


def test_a_vm_s_disk_that_was_filled_is_told_and_bbr_tells_no_time_locked():
    raw = BACKUPS | {"ours": [one_backup(6, 1.0, 10**8)], "theirs": [one_backup(10, None)]}
    found = {line.figure: line for line in backup.lines(raw)}
    assert (found["extra disk on the VM"].ratio, found["extra disk on the VM"].reached) == (0.1, False)
    assert found["time locked"].reached is None


def test_what_the_host_took_is_a_part_of_all_that_passed():
    before = [100, 0, 50, 800, 10, 0, 5, 40]
    assert machine.stolen(before, [110, 0, 55, 850, 10, 0, 5, 75]) == 0.35
    assert machine.stolen(before, before) == 0
    assert len(machine.clock()) == len(before)
