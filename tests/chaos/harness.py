# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays a case: back to a snapshot of the lab, a run with a fault in it, a run that goes on, and the invariants."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import invariants
from chaos.boundaries import Boundaries
from chaos.case import NOBODY, RUN, WELL, Case, Chain, Told
from chaos.faults import KIT_PASSWORD, MAKE_BLOB, NotHere
from chaos.lab import ADDRESSES, STATE, Lab, LabError
from chaos.monitor import Monitor
from chaos.runs import Ended, NeverCame, Run, end_all, stopped_as_wanted, told

#: How a snapshot is come by: from which one, and by which steps. The first is made of nothing.
SNAPSHOTS = {
    "nothing": ("", ""),
    "only_micro": ("nothing", "bootstrap_micro"),
    "deployed": ("only_micro", "deploy_primary,deploy_meta"),
    "meta_active": ("deployed", "stop_boshes,sync_store,start_meta"),
    "mutual": ("meta_active", "recreate_primary,out_of_band_kit"),
}
#: Meta trusts whom Micro trusts, so that from there Primary can be handed over in both ways.
SNAPSHOT_VARS: dict[str, dict[str, Any]] = {
    "deployed": {"bosh_ha_handover": "adopt"},
    "mutual": {"write_kit_password": KIT_PASSWORD},
}
PREFIX = "chaos-"
FILL = "24M"
#: Runs of one chain; more than there are tasks in a playbook means that it does not come forward.
MOST_RUNS = 900


class NotHeld(Exception):
    """Why a case did not hold."""


@dataclass
class Harness:
    """collections: where Ansible finds bosh.ha. again: snapshots are made anew, even those that are there.

    deployed: a snapshot of three deployed directors that somebody else left, which saves the deploys.
    """

    root: Path
    cache: Path
    collections: Path
    say: Callable[[str], None]
    again: bool = True
    every: int = 1
    at: str = ""
    playbooks: Path | None = None
    deployed: str = ""
    _made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lab = Lab(self.root)
        self.playbooks = self.playbooks or self.root

    # Snapshots

    def reach(self, name: str) -> None:
        """The lab is at a snapshot, which is made where it is not there."""
        kept = self.lab.call("snapshots")
        # Of three directors that somebody else deployed, nobody knows whether both handovers are possible.
        own = f"{PREFIX}{self.deployed}-{name}" if self.deployed else f"{PREFIX}{name}"
        if f"{own} " in kept and (name in self._made or not self.again):
            self.lab.call("restore", own)
            return
        before, tags = SNAPSHOTS[name]
        began = time.monotonic()
        if name == "deployed" and self.deployed and f"{self.deployed} " in kept:
            self.lab.call("restore", self.deployed)
            self._filled.unlink(missing_ok=True)
        elif not before:
            self.lab.call("reset")
            self._filled.unlink(missing_ok=True)
        else:
            self.reach(before)
            self._write(name not in ("only_micro", "deployed"))
            ended = self._run(tags, more=SNAPSHOT_VARS.get(name)).play()
            self._write(False)
            if ended.rc:
                raise NotHeld(f"the snapshot {name} could not be made: {told(ended)}")
        if name == "deployed":
            self._fill()
        self.lab.call("snapshot", own)
        self._made.add(name)
        self.say(f"the lab at {name}, in {time.monotonic() - began:.0f} s")

    def _fill(self) -> None:
        """Blobs and rows that are there from the begin; what they are is kept beside the lab's own state."""
        self.lab.call("fill", "micro", "--size", FILL)
        self.lab.inside("micro", MAKE_BLOB)
        filled = {"blobs": invariants.blobs(self.lab, "micro"), "rows": invariants.rows(self.lab, "micro")}
        self._filled.write_text(json.dumps(filled), encoding="utf-8")

    @property
    def _filled(self) -> Path:
        # In the lab's state, so that a snapshot has it.
        return STATE / "chaos-filled.json"

    def _write(self, on: bool) -> None:
        """Rows and blobs into Micro, all the time."""
        if on:
            self.lab.call("write", "micro")
        else:
            with suppress(LabError):
                self.lab.call("write", "micro", "--stop")

    # Cases

    def play(self, case: Case | Chain) -> Told:
        """Never raises but for KeyboardInterrupt; the lab is whole afterwards, wherever it is."""
        began = time.monotonic()
        faults, bounds = 0, Boundaries(every=self.every, at=self.at)
        try:
            self.reach(case.start)
            began = time.monotonic()
            sshd = {name: invariants.sshd_config(self.lab, name) for name in ADDRESSES if self._there(name)}
            self._write(case.start == "deployed")
            watch = Monitor(self.lab, self.cache / "answers.jsonl").start()
            try:
                phase = self._chain(case, bounds) if isinstance(case, Chain) else self._case(case)
            finally:
                two = watch.stop()
                faults = len(bounds.killed) if isinstance(case, Chain) else 1
            wrong = two + self._after(case, phase, sshd)
            if wrong:
                raise NotHeld("; ".join(wrong))
            return Told(case.name, True, time.monotonic() - began, faults)
        except NotHere as error:
            return Told(case.name, False, time.monotonic() - began, 0, str(error), here=False)
        except (NotHeld, NeverCame, LabError, AssertionError) as error:
            return Told(case.name, False, time.monotonic() - began, faults, str(error))
        finally:
            self.mend(case)

    def mend(self, case: Case | Chain | None) -> None:
        """Nothing is cut off, nothing is made to fail, nobody writes."""
        end_all()
        if isinstance(case, Case):
            with suppress(LabError):
                case.fault.undo(self.lab)
        self.lab.faults(None)
        for name in ADDRESSES:
            with suppress(LabError):
                self.lab.call("heal", name)
        self._write(False)

    def _case(self, case: Case) -> str:
        first = self._run(case.tags, case)
        if case.moment:
            first.at.append((case.moment, lambda run: case.fault.do(self.lab, run)))
            first.awaited.append(case.moment)
        else:
            case.fault.do(self.lab, None)
        ended = first.play()
        self.say(f"{case.name}: {told(ended)} after {ended.seconds:.0f} s")
        stopped = self._judge(case, ended)
        if not stopped or case.then == NOBODY:
            return ended.phase
        with suppress(LabError):
            case.fault.undo(self.lab)
        for name in ADDRESSES:
            with suppress(LabError):
                self.lab.call("heal", name)
        who = "the next run" if case.then == RUN else case.then
        following = self._following(case).play()
        for sentence, deed in case.asked:
            if following.rc and not stopped_as_wanted(following, sentence):
                self.say(f"{case.name}: {told(following)}; that is done, as it asks")
                deed(self.lab)
                following = self._following(case).play()
        return self._well(following, who)

    def _following(self, case: Case) -> Run:
        if case.then == RUN:
            return self._run(case.tags, more={**case.vars, **case.vars_then}, awx=case.awx)
        return self._run("", playbook=case.then, more=case.vars_then, awx=case.awx)

    def _judge(self, case: Case, ended: Ended) -> bool:
        """Whether somebody has to go on; raises NotHeld where the first run did what it may not."""
        if ended.overtime:
            raise NotHeld(told(ended))
        if case.fault.kills:
            return True
        if ended.rc == 0:
            if case.first == WELL or case.first.may_end:
                return case.then not in (NOBODY, RUN)
            raise NotHeld(f"it ended well, and should have stopped with '{case.first.sentence}'")
        if case.first == WELL:
            raise NotHeld(told(ended))
        if wrong := stopped_as_wanted(ended, case.first.sentence):
            raise NotHeld(wrong)
        return True

    def _chain(self, chain: Chain, bounds: Boundaries) -> str:
        for _run in range(MOST_RUNS):
            bounds.begin()
            run = self._run(chain.tags, playbook=chain.playbook, more=chain.vars)
            run.boundary = bounds.due
            ended = run.play()
            if not ended.killed:
                break
            self.say(
                f"{chain.name}: killed at '{bounds.killed[-1]}' after {ended.seconds:.0f} s ({len(bounds.killed)})"
            )
        else:
            raise NotHeld(f"after {MOST_RUNS} runs it had not ended")
        if not bounds.killed:
            raise NotHeld("no run was killed, so it shows nothing")
        return self._well(ended, f"the run after the kill at '{bounds.killed[-1]}'")

    def _well(self, ended: Ended, who: str) -> str:
        if ended.rc or ended.overtime:
            raise NotHeld(f"{who} did not end well: {told(ended)}")
        return ended.phase

    def _after(self, case: Case | Chain, phase: str, sshd: dict[str, str]) -> list[str]:
        self._write(False)
        # Who is asked for the phase is asked by hosts and directors, not by what a run remembers.
        phase = phase or self._well(self._run("", playbook="status.yml").play(), "status.yml")
        wrong = [] if phase == case.wanted else [f"the phase is {phase}, not {case.wanted}"]
        if phase in ("nothing", "only_micro", "frozen", "synced", "unclear"):
            return wrong
        who = invariants.survivor(phase)
        filled = json.loads(self._filled.read_text(encoding="utf-8")) if self._filled.exists() else {}
        wrong += invariants.nothing_lost(self.lab, who, filled)
        wrong += invariants.nothing_open(self.lab, sshd)
        for ask in case.also if isinstance(case, Case) else ():
            wrong += [said for said in [ask(self.lab)] if said]
        return wrong

    def _run(
        self,
        tags: str,
        case: Case | None = None,
        playbook: str = "binary_boshes.yml",
        more: dict[str, Any] | None = None,
        awx: bool = False,
    ) -> Run:
        return Run(
            playbook=case.playbook if case else playbook,
            root=self.playbooks or self.root,
            cache=self.cache,
            collections=self.collections,
            tags=tags,
            vars=dict(case.vars if case else more or {}),
            say=self.say,
            awx=case.awx if case else awx,
        )

    def _there(self, name: str) -> bool:
        try:
            self.lab.vm(name)
        except LabError:
            return False
        return True
