# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NEXT, PHASES
from ansible_collections.bosh.ha.plugins.module_utils.pair_summary import pair_summary, step_seconds

from .test_pair_phase import ACTIVE, DEPLOYED, GONE, MUTUAL, NOTHING

DIRECTORS = {
    "micro": {"address": "10.10.0.3", "client_secret": "not-for-eyes"},
    "primary": {"address": "10.10.0.4", "client_secret": "not-for-eyes"},
    "meta": {"address": "10.10.0.5", "client_secret": "not-for-eyes"},
}
PROOF = {"task": 79, "at": "Sat Nov 21 01:11:58 UTC 2026", "detected": 30, "back": 135, "seconds": {}}
PAIR = [
    "primary (10.10.0.4) deploys and watches bosh-meta",
    "meta (10.10.0.5) deploys and watches bosh-primary",
]


def summary(seen, phase, proofs=None):
    return pair_summary(NOTHING | seen, phase, DIRECTORS, proofs or {})


# step_seconds


def test_each_step_lasts_until_the_next_one():
    began = [{"step": "Stop", "at": 100}, {"step": "Copy", "at": 107}, {"step": "Start", "at": 1107.4}]
    assert step_seconds(began, 1110.0) == [
        "   7 s  Stop",
        "1000 s  Copy",
        "   3 s  Start",
        "1010 s  in all",
    ]


def test_one_step():
    assert step_seconds([{"step": "Stop", "at": 100}], 119) == ["  19 s  Stop", "  19 s  in all"]


def test_a_run_without_a_step_has_no_lines():
    assert step_seconds([], 119) == []


# pair_summary


@pytest.mark.parametrize(
    ("seen", "phase", "lines"),
    [
        ({}, "nothing", []),
        (
            DEPLOYED,
            "deployed",
            ["micro (10.10.0.3) deploys bosh-primary", "primary (10.10.0.4) deploys bosh-meta"],
        ),
        (ACTIVE, "meta_active", ["meta (10.10.0.5) deploys bosh-primary"]),
        (MUTUAL | {"settled": False}, "primary_adopted", [line.replace(" and watches", "") for line in PAIR]),
        (MUTUAL, "mutual", PAIR),
        (GONE, "micro_gone", [*PAIR, "micro (10.10.0.3) is gone"]),
    ],
)
def test_who_deploys_and_watches_whom(seen, phase, lines):
    assert summary(seen, phase) == [*lines, f"phase: {phase}; next is {NEXT[phase]}"]


def test_micro_watches_nobody():
    """Its health monitor watches Primary only until the stop, and nobody relies on it."""
    assert not any("watches" in line for line in summary(DEPLOYED | {"settled": True}, "deployed")[:1])


def test_deployments_have_the_names_that_a_person_gave_them():
    names = {"primary": "left", "meta": "right"}
    seen = MUTUAL | {"names": names, "known": {"micro": [], "primary": ["right"], "meta": ["left", "cf"]}}
    assert summary(seen, "mutual")[:2] == [
        "primary (10.10.0.4) deploys and watches right",
        "meta (10.10.0.5) deploys and watches left",
    ]


def test_what_was_proved_is_told_of_both_and_the_newest_only():
    other = PROOF | {"task": 12, "at": "Sat Nov 21 01:20:00 UTC 2026", "detected": None, "back": None}
    lines = summary(GONE, "micro_gone", {"primary": [PROOF, PROOF | {"task": 50}], "meta": [other]})
    assert lines[2:4] == [
        "meta resurrected primary in task 79, Sat Nov 21 01:11:58 UTC 2026: detected after 30 s, back after 135 s",
        # How it was lost is not known, so neither is when.
        "primary resurrected meta in task 12, Sat Nov 21 01:20:00 UTC 2026",
    ]
    assert len(lines) == 6


def test_a_loss_that_was_detected_at_once_has_its_times():
    lines = summary(MUTUAL, "mutual", {"primary": [PROOF | {"detected": 0, "back": 105}], "meta": []})
    assert lines[2].endswith(": detected after 0 s, back after 105 s")
    assert len(lines) == 4


def test_why_it_is_that_phase_is_told_before_it():
    seen = DEPLOYED | {"reason": "meta is stopped, but not micro and primary: the stop goes on with the rest"}
    assert summary(seen, "deployed")[-2:] == [seen["reason"], f"phase: deployed; next is {NEXT['deployed']}"]


@pytest.mark.parametrize("phase", ["", "Frozen", None, ["frozen"]])
def test_a_phase_that_there_is_not_is_one_sentence(phase):
    with pytest.raises(ValueError, match=r"^there is no phase .*; the phases are [a-z_, ]+$"):
        summary(GONE, phase)


def test_every_phase_has_a_last_line_and_no_secret():
    for phase in PHASES:
        lines = summary(GONE, phase)
        assert lines[-1] == f"phase: {phase}; next is {NEXT[phase]}"
        assert "not-for-eyes" not in str(lines)
        assert ("micro (10.10.0.3) is gone" in lines) is (phase == "micro_gone")


def test_the_last_backup_of_each_is_told():
    last = {"path": "/b/10.10.0.3_2", "begun": "2026-11-21 22:00:00 UTC", "rehearsed": False}
    backups = {"micro": [last, last | {"path": "/b/10.10.0.3_1"}], "primary": [last | {"rehearsed": True}], "meta": []}
    assert pair_summary(NOTHING | DEPLOYED, "deployed", DIRECTORS, {}, backups)[2:4] == [
        "last backup of micro: /b/10.10.0.3_2, begun 2026-11-21 22:00:00 UTC, not rehearsed yet",
        "last backup of primary: /b/10.10.0.3_2, begun 2026-11-21 22:00:00 UTC, rehearsed",
    ]
