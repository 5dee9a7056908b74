# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the fault harness (tests/chaos) that need no lab, and its cases against roles and documentation."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chaos import breaks, invariants, monitor, runs  # noqa: E402
from chaos.boundaries import Boundaries  # noqa: E402
from chaos.case import Case, Chain, Moment, Told  # noqa: E402
from chaos.cases import BREAKS, CASES  # noqa: E402
from chaos.harness import SNAPSHOTS  # noqa: E402
from chaos.page import page  # noqa: E402
from chaos.table import good, table  # noqa: E402

#: Task names with something of the inventory in them, as they are on the lab.
TEMPLATED = {f"Deploy bosh-{name}": "Deploy {{ _deploy_director_it.deployment }}" for name in ("primary", "meta")}


def sources() -> str:
    return "\n".join(path.read_text() for part in ("roles", "playbooks") for path in (ROOT / part).rglob("*.yml"))


def ended(rc: int = 2, sentences: tuple[str, ...] = (), **more: Any) -> runs.Ended:
    return runs.Ended(rc, 1.0, list(sentences), "", more.get("killed", False), more.get("overtime", False), 3)


# Boundaries

RUN = (("Step 0: look", "ask", "a:1"), ("Step 4", "one", "b:1"), ("Step 4", "two", "b:2"), ("Step 4", "two", "b:2"))


def kills(bounds: Boundaries, tasks: tuple[tuple[str, str, str], ...] = RUN) -> list[str]:
    """Plays runs until none is killed; the boundaries at which they were."""
    for _run in range(100):
        bounds.begin()
        if not any(bounds.due(*task) for task in tasks):
            return bounds.killed
    raise AssertionError("it does not come to an end")


def test_every_boundary_after_step_0_is_killed_once() -> None:
    assert kills(Boundaries()) == ["one", "two", "two"]


def test_every_second_new_boundary_is_killed() -> None:
    tasks = [("Step 4", f"task {number}", f"b:{number}") for number in range(1, 6)]
    assert kills(Boundaries(every=2), tasks) == ["task 2", "task 4"]


def test_a_task_can_be_chosen_by_name() -> None:
    assert kills(Boundaries(at="two")) == ["two", "two"]


def test_what_a_run_skips_later_is_no_boundary_any_more() -> None:
    bounds = Boundaries()
    bounds.begin()
    assert bounds.due("Step 4", "one", "b:1")
    bounds.begin()
    # The next run has nothing more to do with b:1, and begins where the first one ended.
    assert bounds.due("Step 4", "two", "b:2")
    assert kills(bounds) == ["one", "two", "two"]


# The table

HELD, LOST = Told("a", True, 12.4, 7), Told("bb", False, 3, why="a row\nis gone")
AWAY = Told("c", False, 0, 0, "no such clock", here=False)


def test_the_table_counts_what_was_tried_and_what_held() -> None:
    assert table([HELD, LOST, AWAY]).splitlines() == [
        "case            faults      s  why",
        "a     held           7     12",
        "bb    NOT HELD       1      3  a row is gone",
        "c     not here       0      0  no such clock",
        "2 cases tried with 8 faults, 1 held; 1 not here",
    ]


@pytest.mark.parametrize(
    ("told", "wanted"), [([HELD], True), ([HELD, AWAY], True), ([HELD, LOST], False), ([AWAY], False), ([], False)]
)
def test_it_is_good_only_where_something_was_tried_and_all_of_it_held(told: list[Told], wanted: bool) -> None:
    assert good(told) is wanted


# How a run ended


def test_a_run_stops_as_wanted_by_one_clear_sentence() -> None:
    assert runs.stopped_as_wanted(ended(sentences=("Copy: there is no room left in /x",)), "no room left") == ""


@pytest.mark.parametrize(
    "said",
    [
        (),
        ("Copy: something else",),
        ("Copy: no room left", "Close: 'x' is undefined"),
        ("Copy: no room left; Traceback (most recent call last)",),
    ],
)
def test_any_other_end_is_told(said: tuple[str, ...]) -> None:
    assert runs.stopped_as_wanted(ended(sentences=said), "no room left")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("phase: mutual; next is steps 8 and 9", "mutual"),
        (["micro is gone", "phase: micro_gone; next is nothing"], "micro_gone"),
        ("deployed; next is step 4", ""),
        (None, ""),
        ([{"phase": "x"}], ""),
    ],
)
def test_the_phase_is_read_from_the_summary(said: Any, wanted: str) -> None:
    assert runs.phase(said) == wanted


def test_the_sentence_of_a_failure_is_one_line() -> None:
    assert runs.sentence({"msg": "a\n  b"}) == "a b"
    assert runs.sentence({"rc": 3}) == '{"rc": 3}'


def test_processes_are_known_by_the_mark_that_they_inherit() -> None:
    mark = "unit-test-of-chaos"
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], env={"PATH": "/usr/bin:/bin", runs.MARK: mark})
    try:
        found: list[int] = []
        while len(found) < 2 and child.poll() is None:
            found = runs.marked(mark)
        assert child.pid in found
    finally:
        for pid in runs.marked(mark):
            subprocess.run(["kill", "-9", str(pid)], check=False)
        child.wait(10)
    # The grandchild was the shell's, and is somebody else's to bury.
    until = time.monotonic() + 10
    while runs.marked(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert runs.marked(mark) == []


# The monitor


def answer(time: float, name: str, uuid: str | None = "u1") -> dict[str, Any]:
    return {"time": time, "name": name, "ok": uuid is not None, "uuid": uuid}


def test_one_after_the_other_is_one_writer() -> None:
    assert (
        monitor.both_answer([answer(1, "micro"), answer(2, "micro", None), answer(12, "meta"), answer(30, "micro")])
        == []
    )
    assert monitor.both_answer([answer(1, "micro"), answer(1.1, "meta", "u2")]) == []


def test_two_that_answer_at_a_time_are_told() -> None:
    assert monitor.both_answer([answer(1, "micro"), answer(1.1, "meta"), answer(1.2, "micro")]) == [
        "micro and meta both answered with the UUID u1",
        "meta and micro both answered with the UUID u1",
    ]


def test_one_database_at_two_addresses_is_told() -> None:
    assert monitor.two_writers([("10.10.0.3", 7), ("10.10.0.3", 7), ("10.10.0.5", 8)]) == []
    [told] = monitor.two_writers([("10.10.0.3", 7), ("10.10.0.5", 7)])
    assert "10.10.0.3 and 10.10.0.5" in told


@pytest.mark.parametrize(("address", "wanted"), [("10.10.0.5", ("10.10.0.5", 7)), ("10.10.0.1", None), ("", None)])
def test_a_database_is_known_by_its_own_number_in_the_labs_vms(
    tmp_path: Path, address: str, wanted: tuple[str, int] | None
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "fib_trie").write_text(f"  |-- {address}\n     /32 host LOCAL\n")
    (tmp_path / "cwd" / "global").mkdir(parents=True)
    (tmp_path / "cwd" / "global" / "pg_control").write_bytes(struct.pack("<Q", 7) + b"more")
    assert monitor._learn(tmp_path) == wanted


def test_the_probes_lines_may_be_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    file.write_text('{"time": 2}\n{"time": 1}\n{"ti')
    assert monitor.read(file) == [{"time": 1}, {"time": 2}]
    assert monitor.read(tmp_path / "none") == []


@pytest.mark.parametrize(("phase", "who"), [("deployed", "micro"), ("meta_active", "meta"), ("micro_gone", "meta")])
def test_who_survives(phase: str, who: str) -> None:
    assert invariants.survivor(phase) == who


# The cases


def test_names_of_cases_are_their_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_begins_at_a_snapshot_with_tasks_that_there_are(case: Case | Chain) -> None:
    assert case.start in SNAPSHOTS
    assert (ROOT / "playbooks" / case.playbook).exists()
    text = sources()
    for tag in filter(None, case.tags.split(",")):
        assert re.search(rf"tags: .*\b{tag}\b", text), tag
    if isinstance(case, Case) and case.moment:
        name = TEMPLATED.get(case.moment.task, case.moment.task)
        assert re.search(rf"- name: \"?{re.escape(name)}\"?$", text, re.MULTILINE), name


def test_two_cases_are_a_sample_as_they_take_minutes() -> None:
    assert [case.name for case in CASES if case.sample] == ["micro-reboots-started", "back-from-swap"]


def test_the_documentation_is_made_of_the_cases() -> None:
    assert (ROOT / "docs" / "what-can-go-wrong.md").read_text() == page(CASES), "run `make chaos-docs`"


@pytest.mark.parametrize("what", BREAKS, ids=lambda what: what.guard)
def test_a_guard_that_is_taken_out_is_there(what: Any) -> None:
    assert what.case in [case.name for case in CASES]
    for name, found, instead in what.edits:
        assert breaks.broken((ROOT / name).read_text(), found, instead) != (ROOT / name).read_text()


def test_an_edit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 times"):
        breaks.broken("a a", "a", "b")


def test_a_copy_without_a_guard_leaves_the_checkout_alone(tmp_path: Path) -> None:
    before = {edit[0]: (ROOT / edit[0]).read_text() for edit in BREAKS[0].edits}
    path = breaks.break_guard(BREAKS[0], ROOT, tmp_path)
    for name, text in before.items():
        assert (path / "ansible_collections" / "bosh" / "ha" / name).read_text() != text
        assert (ROOT / name).read_text() == text


def test_a_moment_is_by_name_number_and_seconds() -> None:
    assert Moment("Stop") == Moment("Stop", 1, 0)
