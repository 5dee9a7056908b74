# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fence is interrupted at every single change of the disk, and whatever was called next must end well."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import store_fence
from ansible_collections.bosh.ha.plugins.module_utils.staged_store import stays

from ..conftest import Failed

DATA = {"blobstore": "micro", "director": "micro", "postgres-15": "micro"}
JOBS = {
    "0001_postgres.monitrc": "check process postgres\n  group vcap\n",
    "0002_nats.monitrc": "check process 'nats'\n",
}


class Killed(Exception):
    """Stands for a kill -9 between two system calls."""


class Vm:
    """A director's VM: its store, the agent's directory of monit, and a monit that starts whatever is new to it."""

    def __init__(self, top, monkeypatch):
        self.top, self.monkeypatch = top, monkeypatch
        self.store, self.monit = str(top / "store"), str(top / "monit")
        for name, whose in DATA.items():
            (top / "store" / name).mkdir(parents=True)
            (top / "store" / name / "whose").write_text(whose, encoding="utf-8")
        (top / "store" / "lost+found").mkdir()
        (top / "monit" / "job").mkdir(parents=True)
        (top / "monit" / "job").chmod(0o750)
        for name, text in JOBS.items():
            (top / "monit" / "job" / name).write_text(text, encoding="utf-8")
        self.known = {"postgres": "not monitored", "nats": "not monitored"}
        self.reloads = self.deaf = 0

    # What is there

    def data(self, *where):
        top = self.top.joinpath("store", *where)
        names = [name for name in sorted(os.listdir(top)) if not stays(name)] if top.exists() else []
        return {name: (top / name / "whose").read_text(encoding="utf-8") for name in names}

    def jobs(self, name="job"):
        top = self.top / "monit" / name
        return {path.name: path.read_text(encoding="utf-8") for path in top.iterdir()} if top.exists() else {}

    def whole(self):
        return self.data() == DATA and self.jobs() == JOBS and len(os.listdir(self.store)) == len(DATA) + 1

    def shut(self):
        return (self.data("bosh_ha_fenced"), self.data(), self.jobs("job.bosh_ha_fenced"), self.jobs()) == (
            DATA,
            {},
            JOBS,
            {},
        )

    def listing(self):
        return sorted(str(path.relative_to(self.top)) for path in self.top.rglob("*"))

    # What is done

    def fence(self):
        return store_fence.fence(self.store, self.monit, self.read)

    def unfence(self, set_aside=False):
        changed = store_fence.unfence(self.store, self.monit, set_aside, self.read)
        self.read()
        return changed

    def create_env(self):
        """As a colleague's does: new jobs, and a new store."""
        for name in ("postgres-15", "blobstore"):
            path = self.top / "store" / name
            path.mkdir()
            (path / "whose").write_text("colleague", encoding="utf-8")
        (self.top / "monit" / "job" / "0001_postgres.monitrc").write_text("check process postgres\n", encoding="utf-8")

    # Monit

    def read(self):
        """Monit reads its files. What is new to it, it starts: its data must be whole then."""
        names = [text.split()[2].strip("'") for text in self.jobs().values()]
        for name in set(names) - set(self.known):
            assert self.data() == DATA, f"{name} is started on a store that is not whole"
        self.known = {name: self.known.get(name, "running") for name in names}

    def __call__(self, command, **_options):
        if command[1] == "reload":
            self.reloads += 1
            if self.deaf:
                self.deaf -= 1
            else:
                self.read()
            return 0, "Reinitializing monit daemon\n", ""
        lines = [f"Process '{name}'  {state}" for name, state in self.known.items()]
        return 0, "\n".join(["The Monit daemon 5.2.5 uptime: 1m", "", *lines, "System 'x'  running", ""]), ""

    def killed(self, deed, changes):
        """True when the deed was killed at its n-th change of the disk."""
        left = changes

        def counted(name):
            real = getattr(os, name)

            def call(*args, **kwargs):
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return real(*args, **kwargs)

            return call

        with self.monkeypatch.context() as patch:
            for name in ("rename", "rmdir", "mkdir", "chmod", "chown"):
                patch.setattr(os, name, counted(name))
            try:
                deed()
            except Killed:
                return True
        return False


@pytest.fixture
def vm(tmp_path, monkeypatch):
    return Vm(tmp_path, monkeypatch)


def test_there_and_back(vm):
    assert store_fence.phase(vm.store, vm.monit) == "open"
    assert (vm.unfence(), vm.whole()) == (False, True)
    assert (vm.fence(), vm.shut(), store_fence.phase(vm.store, vm.monit)) == (True, True, "fenced")
    assert (vm.top / "monit" / "job").stat().st_mode & 0o777 == 0o750
    assert vm.fence() is False
    assert (vm.unfence(), vm.whole(), store_fence.phase(vm.store, vm.monit)) == (True, True, "open")


@pytest.mark.parametrize(("first", "then", "last"), [*itertools.product(["fence", "unfence"], repeat=3)])
def test_killed_anywhere_and_once_more_the_next_call_ends_well(tmp_path, monkeypatch, first, then, last):
    for changes in range(40):
        for more in range(40):
            vm = Vm(tmp_path / f"{changes}-{more}", monkeypatch)
            if first == "unfence":
                vm.fence()
            killed = vm.killed(getattr(vm, first), changes)
            again = vm.killed(getattr(vm, then), more)
            getattr(vm, last)()
            assert vm.shut() if last == "fence" else vm.whole(), f"killed after {changes} and {more}: {vm.listing()}"
            if not again:
                break
        else:
            pytest.fail("the second deed never came to its end")
        if not killed:
            assert changes > 6, "the deed must have been interrupted at several places"
            return
    pytest.fail("the first deed never came to its end")


def test_what_a_colleague_made_is_named_and_can_be_set_aside(vm):
    vm.fence()
    vm.create_env()
    before = vm.listing()
    assert store_fence.phase(vm.store, vm.monit) == "fenced"
    with pytest.raises(
        store_fence.FenceRefused, match=r"somebody else made .*/store/blobstore, .*monitrc while"
    ) as told:
        vm.unfence()
    assert "set_aside: true" in str(told.value)
    assert (vm.listing(), vm.fence()) == (before, False)
    vm.unfence(set_aside=True)
    assert (vm.data(), vm.jobs()) == (DATA, JOBS)
    assert vm.data("bosh_ha_set_aside_1") == {"postgres-15": "colleague", "blobstore": "colleague"}
    assert list(vm.jobs("job.bosh_ha_set_aside_1")) == ["0001_postgres.monitrc"]
    # What was set aside stays when the host is fenced once more.
    vm.fence()
    vm.create_env()
    vm.unfence(set_aside=True)
    assert [os.path.basename(path) for path in store_fence.set_aside_dirs(vm.store, vm.monit)] == [
        "bosh_ha_set_aside_1",
        "bosh_ha_set_aside_2",
        "job.bosh_ha_set_aside_1",
        "job.bosh_ha_set_aside_2",
    ]


@pytest.mark.parametrize("again", [False, True])
def test_killed_anywhere_nothing_of_the_colleague_s_is_lost(tmp_path, monkeypatch, again):
    for changes in range(40):
        vm = Vm(tmp_path / f"{changes}", monkeypatch)
        vm.fence()
        vm.create_env()
        killed = vm.killed(lambda vm=vm: vm.unfence(set_aside=True), changes)
        made = 1
        if again and store_fence.phase(vm.store, vm.monit) == "fenced" and not vm.data() and killed:
            vm.create_env()
            made = 2
        vm.unfence(set_aside=True)
        assert (vm.data(), vm.jobs()) == (DATA, JOBS)
        aside = [vm.data(name) for name in sorted(os.listdir(vm.store)) if name.startswith("bosh_ha_set_aside")]
        assert aside == [{"postgres-15": "colleague", "blobstore": "colleague"}] * made
        if not killed:
            return
    pytest.fail("the deed never came to its end")


def test_what_would_replace_something_is_refused(vm):
    vm.killed(vm.fence, 8)
    assert store_fence.phase(vm.store, vm.monit) == "fencing"
    (moved, *_rest) = vm.data("bosh_ha_fenced.partial")
    (vm.top / "store" / moved).mkdir()
    (vm.top / "store" / moved / "whose").write_text("colleague", encoding="utf-8")
    before = vm.listing()
    for deed in (vm.fence, vm.unfence):
        with pytest.raises(ValueError, match=f"{moved} is in .* so neither is moved"):
            deed()
    assert vm.listing() == before
    (vm.top / "store" / "bosh_ha_fenced").mkdir()
    with pytest.raises(ValueError, match="no run leaves both"):
        vm.fence()


# The module


@pytest.fixture
def fence(vm, run_module, monkeypatch):
    from ansible_collections.bosh.ha.plugins.modules import store_fence as module

    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "AGAIN", 0.02)

    def run(state=None, check=False, **more):
        args = {"store": vm.store, "monit_dir": vm.monit, "timeout": 1, "state": state, **more}
        return run_module("store_fence", {k: v for k, v in args.items() if v is not None}, runner=vm, check=check)[0]

    return run


def test_the_module_s_whole_way(vm, fence):
    assert fence()["phase"] == "open"
    result = fence("fenced", check=True)
    assert (result["changed"], result["phase"], vm.whole(), vm.reloads) == (True, "fenced", True, 0)
    result = fence("fenced")
    assert (result["changed"], result["phase"], vm.shut(), vm.known) == (True, "fenced", True, {})
    assert fence("fenced")["changed"] is False
    result = fence("open", check=True)
    assert (result["changed"], result["phase"], result["monit_starts"], vm.shut()) == (True, "open", True, True)
    result = fence("open")
    assert (result["changed"], result["phase"], result["monit_starts"], vm.whole()) == (True, "open", True, True)
    # Both were stopped; to monit they are new.
    assert vm.known == {"postgres": "running", "nats": "running"}
    result = fence("open")
    assert (result["changed"], result["monit_starts"]) == (False, False)


def test_a_monit_that_is_deaf_is_told_again_and_given_up(vm, fence):
    vm.deaf = 2
    assert (fence("fenced")["phase"], vm.reloads) == ("fenced", 3)
    vm.deaf = 1000
    with pytest.raises(Failed, match=r"after 1 s `monit reload` is not done: it has the processes none$"):
        fence("open")
    assert fence()["phase"] == "open"
    # The next call sees that monit does not know its jobs.
    vm.deaf = 0
    result = fence("open")
    assert (result["changed"], result["monit_starts"]) == (True, True)


def test_jobs_are_away_before_the_store_is(vm, fence):
    vm.deaf = 1000
    with pytest.raises(Failed, match="it has the processes postgres, nats"):
        fence("fenced")
    assert (vm.data(), vm.jobs(), fence()["phase"]) == (DATA, {}, "fencing")
    vm.deaf = 0
    assert (fence("open")["phase"], vm.whole()) == ("open", True)


@pytest.mark.parametrize("state", ["running", "not monitored - start pending", "initializing"])
def test_nothing_is_moved_while_a_process_runs(vm, fence, state):
    vm.known["nats"] = state
    before = vm.listing()
    with pytest.raises(Failed, match=f"while this host works: processes .'nats': '{state}'."):
        fence("fenced")
    with pytest.raises(Failed, match="while this host works"):
        fence("fenced", check=True)
    assert vm.listing() == before


@pytest.mark.parametrize("how", ["open", "map"])
def test_nothing_is_moved_while_somebody_holds_the_store(vm, fence, how):
    program = "import sys, mmap; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
    if how == "map":
        # As a library that was loaded: the descriptors are closed, the map stays.
        program = (
            "import sys, ctypes, os; f = os.open(sys.argv[1], os.O_RDONLY); c = ctypes.CDLL(None)\n"
            "c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]\n"
            "c.mmap(None, 4096, 1, 1, f, 0); os.close(f)\n"
        )
    command = [sys.executable, "-c", program + "print(1, flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        [*command, vm.store + "/director/whose"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with pytest.raises(Failed, match=f"still holding the store .'{process.pid} "):
            fence("fenced")
        process.stdin.close()
    assert fence("fenced")["phase"] == "fenced"


def test_the_module_names_what_a_colleague_made(vm, fence):
    fence("fenced")
    vm.create_env()
    assert len(fence()["others"]) == len(fence("fenced")["others"]) == 3
    with pytest.raises(Failed, match=r"somebody else made .*postgres-15, .*set_aside: true") as failed:
        fence("open")
    assert (failed.value.result["phase"], len(failed.value.result["others"])) == ("fenced", 3)
    # Its processes run on the colleague's store.
    vm.known = {"postgres": "running"}
    with pytest.raises(Failed, match="while this host works"):
        fence("open", set_aside=True)
    vm.known = {"postgres": "not monitored"}
    result = fence("open", set_aside=True, check=True)
    assert (result["phase"], result["others"]) == ("open", [])
    result = fence("open", set_aside=True)
    assert (result["phase"], result["others"], vm.data(), vm.jobs()) == ("open", [], DATA, JOBS)
    assert [os.path.basename(path) for path in result["set_aside"]] == [
        "bosh_ha_set_aside_1",
        "job.bosh_ha_set_aside_1",
    ]


def test_a_half_way_store_with_the_same_name_twice_is_refused_before_monit_loses_its_jobs(vm, fence):
    (vm.top / "store" / "bosh_ha_fenced.partial" / "director").mkdir(parents=True)
    before = vm.listing()
    for state, check in itertools.product(["fenced", "open"], [False, True]):
        with pytest.raises(Failed, match=f"director is in {vm.store}.* so neither is moved"):
            fence(state, check=check)
    assert (vm.listing(), vm.reloads) == (before, 0)


def test_a_store_without_data_is_not_fenced(vm, fence, tmp_path):
    (tmp_path / "empty" / "lost+found").mkdir(parents=True)
    with pytest.raises(Failed, match=r"empty has no data, so there is nothing to fence"):
        fence("fenced", store=str(tmp_path / "empty"))
    with pytest.raises(Failed, match=r"^there is no directory .*/nowhere on this host$"):
        fence("fenced", store=str(tmp_path / "nowhere"))
    assert vm.whole()


def test_a_monit_that_is_not_there_or_does_not_answer(vm, fence, run_module):
    def missing(_command, **_options):
        raise FileNotFoundError(2, "No such file or directory")

    def dead(_command, **_options):
        # 5.2.5 says so, and exits with 0.
        return 0, "monit: no status available -- the monit daemon is not running\n", ""

    args = {"store": vm.store, "monit_dir": vm.monit, "timeout": 1, "state": "fenced"}
    with pytest.raises(
        Failed, match=r"there is no monit that can be run as /var/vcap/bosh/bin/monit on this host: No such"
    ):
        run_module("store_fence", args, runner=missing)
    with pytest.raises(Failed, match="the monit daemon is not running"):
        run_module("store_fence", args, runner=dead)
    assert vm.whole()
    # The phase is told all the same.
    assert run_module("store_fence", {"store": vm.store, "monit_dir": vm.monit}, runner=missing)[0]["phase"] == "open"


# What the module monit says of a fenced host


def test_monit_on_a_fenced_host(vm, fence, run_module, monkeypatch):
    fence("fenced")
    args = {"store": vm.store, "monit_dir": vm.monit, "timeout": 1}
    result, _replay = run_module("monit", args | {"processes": ["postgres"], "state": "stopped"}, runner=vm)
    assert (result["changed"], result["fenced"], result["processes"]) == (False, True, {})
    assert (result["all_stopped"], result["all_running"]) == (True, False)
    for check in (False, True):
        with pytest.raises(
            Failed, match=r"this host is fenced \(.*job.bosh_ha_fenced is there\), so nothing is started"
        ):
            run_module("monit", args | {"state": "started"}, runner=vm, check=check)
    vm.known = {"postgres": "running"}
    result, _replay = run_module("monit", args, runner=vm)
    assert (result["all_stopped"], result["all_running"]) == (False, False)
    vm.known = {}
    with pytest.raises(Failed, match="daemon is not running"):
        run_module("monit", args, runner=lambda _command, **_options: (0, "the monit daemon is not running\n", ""))
    fence("open")
    vm.known = {}
    with pytest.raises(Failed, match="names no process"):
        run_module("monit", args, runner=vm)


def test_who_holds_a_fenced_store_is_not_stopped(vm, fence, run_module):
    fence("fenced")
    with open(f"{vm.store}/bosh_ha_fenced/director/whose", encoding="utf-8"):
        result, _replay = run_module("monit", {"store": vm.store, "monit_dir": vm.monit}, runner=vm)
    assert (result["fenced"], result["all_stopped"]) == (True, False)
