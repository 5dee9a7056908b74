# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a case is made of. The cases themselves are in cases.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: What goes on once the first run ended: nobody, the same again, or a playbook, whatever the first one did.
NOBODY, RUN = "nobody", "run"
ROLLBACK, PAIR_AGAIN = "rollback.yml", "pair_again.yml"
#: What a first run may do.
WELL = "ends well"


@dataclass(frozen=True)
class Moment:
    """When a fault comes: so many seconds after the nth start of a task of this name, in the first run."""

    task: str
    nth: int = 1
    after: float = 0


@dataclass(frozen=True)
class Fault:
    """`do` and `undo` get the lab and the run at which it comes (None where it comes before the run).

    do may raise faults.NotHere: then this lab cannot have the fault, and the case is told as such.
    """

    words: str
    do: Callable[[Any, Any], None]
    undo: Callable[[Any], None] = lambda _lab: None
    #: It ends the run, so that no sentence is asked for.
    kills: bool = False


@dataclass(frozen=True)
class Stops:
    """The first run stops, and one of its sentences has this (a regular expression). may_end: it may end well, too."""

    sentence: str
    may_end: bool = False


@dataclass(frozen=True)
class Case:
    """A fault at a moment, and what has to come of it."""

    name: str
    group: str
    #: For the page of the documentation: what happens, what the run does then, and what a person does.
    what: str
    it: str
    you: str
    start: str
    fault: Fault
    wanted: str
    moment: Moment | None = None
    first: str | Stops = WELL
    then: str = RUN
    tags: str = ""
    playbook: str = "binary_boshes.yml"
    vars: dict[str, Any] = field(default_factory=dict)
    #: For what goes on.
    vars_then: dict[str, Any] = field(default_factory=dict)
    #: What a person does where a run stops with this sentence (a regular expression), before it is started once more.
    asked: tuple[tuple[str, Callable[[Any], object]], ...] = ()
    #: Questions besides the invariants: each gets the lab and says what is wrong, or nothing.
    also: tuple[Callable[[Any], str], ...] = ()
    #: Part of `make test`.
    sample: bool = False
    #: Each run is a job of AWX, with a host name and process IDs of its own.
    awx: bool = False


@dataclass(frozen=True)
class Chain:
    """Runs that are killed, each at the next boundary between two tasks, until one comes to its end."""

    name: str
    group: str
    what: str
    it: str
    you: str
    start: str
    wanted: str
    tags: str = ""
    playbook: str = "binary_boshes.yml"
    vars: dict[str, Any] = field(default_factory=dict)
    sample: bool = False


@dataclass(frozen=True)
class Break:
    """A guard that is taken out of a copy of the collection, and the case that must fail then.

    shows: what the harness has to say of the case then (a regular expression).
    edits: file, what is to be found there (exactly once) and what takes its place.
    """

    guard: str
    case: str
    shows: str
    edits: tuple[tuple[str, str, str], ...]


@dataclass
class Told:
    """How a case went."""

    case: str
    held: bool
    seconds: float
    #: How often a fault was played in it: runs of a chain that were killed, else one.
    faults: int = 1
    why: str = ""
    here: bool = True
