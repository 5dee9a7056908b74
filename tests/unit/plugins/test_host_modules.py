# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that look at a host: monit, store_swap, host_key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import host_evidence, monit_status
from ansible_collections.bosh.ha.plugins.module_utils.staged_store import KEPT, KEPT_PARTIAL, STAGING

from ..conftest import Failed

# monit

RUNNING = "Process 'nats'  running\nProcess 'postgres'  running\nSystem 'x'  running\n"
STOPPING = "Process 'nats'  not monitored\nProcess 'postgres'  not monitored - stop pending\nSystem 'x'  running\n"
STOPPED = "Process 'nats'  not monitored\nProcess 'postgres'  not monitored\nSystem 'x'  running\n"


class Monit:
    """Answers `monit summary` with each text in turn, the last one for ever."""

    def __init__(self, *summaries, refusals=0):
        self.summaries = list(summaries)
        self.refusals = refusals
        self.orders = []

    def __call__(self, command, **_options):
        if command[1] == "summary":
            return 0, self.summaries.pop(0) if len(self.summaries) > 1 else self.summaries[0], ""
        if self.refusals:
            self.refusals -= 1
            return 1, "", "monit: action failed -- Other action already in progress -- please try again later\n"
        self.orders.append(" ".join(command[1:]))
        return 0, "", ""


@pytest.fixture
def quick(monkeypatch, tmp_path):
    from ansible_collections.bosh.ha.plugins.modules import monit

    monkeypatch.setattr(monit, "PAUSE", 0.01)
    return {"store": str(tmp_path), "timeout": 20, "monit_dir": str(tmp_path)}


def summary(**states):
    """A director's processes in 5.2.5's words; those that are not named run."""
    processes = {"postgres": "running", "director": "running", "worker_1": "running", "worker_2": "running"} | states
    return "".join(f"Process '{name}'  {state}\n" for name, state in processes.items()) + "System 'x'  running\n"


IDLE = "not monitored"
NO_WORKER = {"worker_1": IDLE, "worker_2": IDLE}
NOTHING = NO_WORKER | {"director": IDLE, "postgres": IDLE}


def note(quick):
    """What the note of held workers says; None without one."""
    path = Path(quick["monit_dir"]) / "bosh_ha_held_workers"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def test_a_stop_is_waited_for(run_module, quick):
    monit = Monit(RUNNING, RUNNING, STOPPING, STOPPED)
    result, _replay = run_module("monit", quick | {"state": "stopped"}, runner=monit)
    assert (result["changed"], result["all_stopped"], monit.orders) == (True, True, ["stop all"])
    assert result["processes"] == {"nats": "not monitored", "postgres": "not monitored"}
    assert {service["kind"] for service in result["services"]} == {"Process", "System"}


def test_workers_are_stopped_first_and_waited_for(run_module, quick):
    pending = {"worker_1": IDLE, "worker_2": "running - stop pending"}
    states = [summary(), summary(**pending), summary(**NO_WORKER), summary(**NOTHING)]

    class Watched(Monit):
        """Notes which state was the last one seen at each order."""

        def __call__(self, command, **options):
            if command[1] != "summary":
                at.append((command[2], len(self.summaries), note(quick)))
            return super().__call__(command, **options)

    at = []
    result, _replay = run_module("monit", quick | {"state": "stopped"}, runner=Watched(*states))
    assert at == [
        ("worker_1", 3, ["worker_1", "worker_2"]),
        ("worker_2", 3, ["worker_1", "worker_2"]),
        # Not while one of them is still on its way.
        ("all", 1, ["worker_1", "worker_2"]),
    ]
    assert (result["changed"], result["all_stopped"], note(quick)) == (True, True, None)
    assert result["last_monitored"].keys() == {"postgres", "director", "worker_1", "worker_2"}
    assert result["last_monitored"]["director"] >= result["last_monitored"]["worker_1"]


def test_workers_that_do_not_stop_leave_a_director_that_works(run_module, quick):
    monit = Monit(summary(), summary(worker_1=IDLE))
    with pytest.raises(Failed, match="stop worker_1 worker_2` is not done"):
        run_module("monit", quick | {"timeout": 2, "state": "stopped"}, runner=monit)
    assert monit.orders == ["stop worker_1", "stop worker_2", "start worker_1"]


def test_held_workers_are_noted_until_they_run(run_module, quick):
    monit = Monit(summary(), summary(**NO_WORKER))
    assert run_module("monit", quick | {"state": "held"}, runner=monit)[0]["changed"] is True
    assert (monit.orders, note(quick)) == (["stop worker_1", "stop worker_2"], ["worker_1", "worker_2"])
    monit = Monit(summary(**NO_WORKER), summary())
    assert run_module("monit", quick | {"state": "released"}, runner=monit)[0]["changed"] is True
    assert (monit.orders, note(quick)) == (["start worker_1", "start worker_2"], None)


def test_workers_that_a_person_stopped_are_left(run_module, quick):
    monit = Monit(summary(**NO_WORKER))
    assert run_module("monit", quick | {"state": "released"}, runner=monit)[0]["changed"] is False
    assert monit.orders == []


def test_a_director_that_is_stopped_keeps_its_workers_stopped(run_module, quick):
    (Path(quick["monit_dir"]) / "bosh_ha_held_workers").write_text('["worker_1"]', encoding="utf-8")
    monit = Monit(summary(**NOTHING))
    assert run_module("monit", quick | {"state": "released"}, runner=monit)[0]["changed"] is False
    assert monit.orders == []


@pytest.mark.parametrize("text", ["", "{", '"worker_1"', "[1]"])
@pytest.mark.parametrize("state", ["released", "held", None])
def test_an_unreadable_note_is_an_error(run_module, quick, text, state):
    (Path(quick["monit_dir"]) / "bosh_ha_held_workers").write_text(text, encoding="utf-8")
    with pytest.raises(Failed, match="bosh_ha_held_workers: "):
        run_module("monit", quick | ({"state": state} if state else {}), runner=Monit(summary()))


def test_a_process_that_restarts_in_its_start_is_waited_for_without_another_order(run_module, quick):
    words = ["initializing", "Connection failed", "Does not exist", "not monitored", "Execution failed", "initializing"]
    states = [summary(**NOTHING), *(summary(worker_2=state) for state in words), summary()]
    monit = Monit(*states)
    assert run_module("monit", quick | {"state": "started"}, runner=monit)[0]["all_running"] is True
    assert monit.orders == ["start all"]


def test_a_start_orders_only_what_monit_does_not_start_itself(run_module, quick):
    monit = Monit(summary(worker_1="Does not exist", worker_2=IDLE), summary())
    run_module("monit", quick | {"state": "started"}, runner=monit)
    assert monit.orders == ["start worker_2"]


def test_a_start_that_is_not_waited_for(run_module, quick):
    monit = Monit(summary(**NOTHING))
    options = quick | {"state": "started", "wait": False}
    assert run_module("monit", options, runner=monit)[0]["changed"] is True
    assert monit.orders == ["start all"]
    # On its way already: nothing to order.
    assert run_module("monit", options, runner=Monit(summary(director="initializing")))[0]["changed"] is False


def test_what_does_not_run_in_time_is_named(run_module, quick):
    monit = Monit(summary(**NOTHING), summary(worker_2="Execution failed"))
    with pytest.raises(Failed, match=r"after 2 s not running: worker_2 \(execution failed\)"):
        run_module("monit", quick | {"timeout": 2, "state": "started"}, runner=monit)


def test_what_is_so_already_is_left(run_module, quick):
    monit = Monit(STOPPED)
    assert run_module("monit", quick | {"state": "stopped"}, runner=monit)[0]["changed"] is False
    monit = Monit(RUNNING)
    assert run_module("monit", quick | {"state": "started"}, runner=monit)[0]["changed"] is False
    result, _replay = run_module("monit", quick, runner=monit)
    assert (result["changed"], result["all_running"], result["all_stopped"], monit.orders) == (False, True, False, [])


def test_check_mode_gives_no_order(run_module, quick):
    monit = Monit(RUNNING)
    result, _replay = run_module("monit", quick | {"state": "stopped"}, runner=monit, check=True)
    assert (result["changed"], monit.orders) == (True, [])


def test_a_monit_that_is_busy_is_told_again(run_module, quick):
    monit = Monit(STOPPED, RUNNING, refusals=2)
    assert run_module("monit", quick | {"state": "started"}, runner=monit)[0]["all_running"] is True
    assert monit.orders == ["start all"]


def test_monit_s_word_alone_proves_no_stop(run_module, quick):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(Failed, match=f"open ports .{port}.") as failed:
            run_module("monit", quick | {"timeout": 2, "state": "stopped", "ports": [port]}, runner=Monit(STOPPED))
    assert failed.value.result["all_stopped"] is False
    assert failed.value.result["open_ports"] == [port]


def test_a_process_that_holds_the_store_open_is_named(run_module, quick, tmp_path):
    (tmp_path / "pg").write_text("", encoding="utf-8")
    program = "import sys; f = open(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(tmp_path / "pg")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(Failed, match="still holding the store") as failed:
            run_module("monit", quick | {"timeout": 2, "state": "stopped"}, runner=Monit(STOPPED))
        assert [holder.split()[0] for holder in failed.value.result["holders"]] == [str(process.pid)]
        process.stdin.close()
    assert run_module("monit", quick | {"state": "stopped"}, runner=Monit(STOPPED))[0]["holders"] == []


def test_a_process_that_monit_does_not_know_is_a_failure(run_module, quick):
    with pytest.raises(Failed, match="monit does not know director"):
        run_module("monit", quick | {"processes": ["nats", "director"]}, runner=Monit(STOPPED))


def test_a_summary_that_cannot_be_read_never_means_stopped(run_module, quick, monkeypatch, tmp_path):
    monkeypatch.setattr(monit_status, "MONIT_USER", str(tmp_path / "none"))
    with pytest.raises(Failed, match="cannot be read"):
        run_module("monit", quick | {"state": "stopped"}, runner=Monit("what is this\n"))
    xml = '<monit><service type="3"><name>nats</name><status>0</status><monitor>0</monitor></service></monit>'
    monkeypatch.setattr(monit_status, "status_xml", lambda: xml)
    result, _replay = run_module("monit", quick | {"state": "stopped"}, runner=Monit("what is this\n"))
    assert result["processes"] == {"nats": "not monitored"}


@pytest.mark.parametrize(
    ("monitor", "status", "pending", "state"),
    [
        (0, 0, 0, "not monitored"),
        (1, 0, 0, "running"),
        (2, 0, 0, "initializing"),
        (1, 0, 3, "running - stop pending"),
        (0, 0, 6, "not monitored - start pending"),
        (1, 512, 0, "does not exist"),
        (1, 32, 0, "connection failed"),
        (1, 4, 0, "timeout"),
        (1, 0x100, 0, "failed (256)"),
        (1, 0x1000, 0, "execution failed"),
        (1, 0x800, 0, "data access error"),
    ],
)
def test_monit_s_xml_in_both_forms(monitor, status, pending, state):
    inner = f"<status>{status}</status><monitor>{monitor}</monitor><pendingaction>{pending}</pendingaction>"
    for text in (
        f'<service type="3"><name>nats</name>{inner}</service>',
        f'<service name="nats"><type>3</type>{inner}</service>',
    ):
        assert monit_status.parse_xml(f"<monit>{text}</monit>") == [monit_status.Service("Process", "nats", state)]
    with pytest.raises(ValueError, match="no XML"):
        monit_status.parse_xml("Not found")


def test_ports_from_the_kernel_s_own_table():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert server.getsockname()[1] not in host_evidence.listening()
        server.listen()
        assert server.getsockname()[1] in host_evidence.listening()


# store_swap


def pg_control(name):
    """What PostgreSQL wrote itself."""
    recorded = Path(__file__).parent.parent / "fixtures" / "pg_control" / f"{name}.hex"
    return bytes.fromhex(recorded.read_text(encoding="ascii")).ljust(8192, b"\0")


@pytest.fixture
def stopped():
    """A monit whose processes are all stopped."""
    return Monit(STOPPED)


def test_the_swap_s_phases(run_module, tmp_path, stopped):
    for name in ("postgres-15", f"{STAGING}/postgres-15"):
        (tmp_path / name).mkdir(parents=True)
    args = {"store": str(tmp_path)}
    assert run_module("store_swap", args)[0] | {"invocation": 0} == {
        "changed": False,
        "phase": "staged",
        "invocation": 0,
    }
    result, _replay = run_module("store_swap", args | {"state": "swapped"}, check=True)
    assert (result["changed"], result["phase"], (tmp_path / KEPT).exists()) == (True, "swapped", False)
    result, _replay = run_module("store_swap", args | {"state": "swapped"}, runner=stopped)
    assert (result["changed"], result["phase"]) == (True, "swapped")
    result, _replay = run_module("store_swap", args | {"state": "swapped"})
    assert (result["changed"], result["phase"]) == (False, "swapped")
    result, _replay = run_module("store_swap", args | {"state": "committed"})
    assert (result["changed"], result["phase"], (tmp_path / KEPT).exists()) == (True, "none", False)
    with pytest.raises(Failed, match="no staged copy"):
        run_module("store_swap", args | {"state": "swapped"})
    with pytest.raises(Failed, match="there is no directory"):
        run_module("store_swap", {"store": str(tmp_path / "nowhere")})


def test_nothing_is_moved_while_the_host_works(run_module, tmp_path):
    for name in ("postgres-15", f"{STAGING}/postgres-15"):
        (tmp_path / name).mkdir(parents=True)
    args, before = {"store": str(tmp_path)}, listing(tmp_path)
    with pytest.raises(Failed, match=r"is not stopped, so nothing is moved: processes .*postgres': 'running"):
        run_module("store_swap", args | {"state": "swapped"}, runner=Monit(RUNNING))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(Failed, match=rf"open ports \[{port}\]"):
            run_module("store_swap", args | {"state": "swapped", "ports": [port]}, runner=Monit(STOPPED))
    assert listing(tmp_path) == before
    run_module("store_swap", args | {"state": "swapped"}, runner=Monit(STOPPED))
    with pytest.raises(Failed, match="is not stopped"):
        run_module("store_swap", args | {"state": "restored"}, runner=Monit(RUNNING))
    # Where nothing is to be moved nobody is asked.
    assert run_module("store_swap", args | {"state": "swapped"}, runner=Monit(RUNNING))[0]["changed"] is False
    assert run_module("store_swap", args | {"state": "committed"}, runner=Monit(RUNNING))[0]["changed"] is True


def test_a_database_that_was_not_shut_down_is_not_put_in_place(run_module, tmp_path, stopped):
    data = tmp_path / STAGING / "postgres-15"
    (data / "global").mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n", encoding="ascii")
    args = {"store": str(tmp_path), "state": "swapped"}
    for check in (True, False):
        (data / "global" / "pg_control").write_bytes(pg_control("15-in-production"))
        with pytest.raises(Failed, match=r"not shut down before it was copied \(.*postgres-15 is in production\)"):
            run_module("store_swap", args, runner=stopped, check=check)
    (data / "global" / "pg_control").write_bytes(pg_control("15-shut-down"))
    assert run_module("store_swap", args, runner=stopped)[0]["phase"] == "swapped"


def test_what_was_written_is_looked_for_only_when_asked(run_module, tmp_path, stopped):
    for name in ("postgres-15", f"{STAGING}/postgres-15"):
        (tmp_path / name).mkdir(parents=True)
    os.utime(tmp_path / STAGING / "postgres-15", ns=(1, 1))
    args = {"store": str(tmp_path)}
    assert run_module("store_swap", args | {"find_written": True})[0]["written"] == ""
    swapped = run_module("store_swap", args | {"find_written": True, "state": "swapped"}, runner=stopped)[0]
    assert swapped["written"] == ""
    (tmp_path / "postgres-15" / "postmaster.opts").touch()
    assert run_module("store_swap", args | {"find_written": True})[0]["written"] == "postgres-15"
    assert "written" not in run_module("store_swap", args)[0]


def outcome(run_module, args, check):
    try:
        result = run_module("store_swap", args, runner=Monit(STOPPED), check=check)[0]
    except Failed as failed:
        return "failed", failed.result["msg"]
    return result["changed"], result["phase"]


def listing(store):
    return sorted(str(path.relative_to(store)) for path in store.rglob("*"))


@pytest.mark.parametrize("state", ["swapped", "restored", "committed"])
@pytest.mark.parametrize(
    "found",
    [
        [],
        ["postgres-15/"],
        ["postgres-15/", f"{STAGING}/"],
        ["postgres-15/", f"{STAGING}/postgres-15/"],
        ["postgres-15/", f"{STAGING}/blobstore/", f"{KEPT_PARTIAL}/blobstore/"],
        [f"{STAGING}/blobstore/", f"{STAGING}/a-file", f"{KEPT_PARTIAL}/blobstore/"],
        [f"{STAGING}/", f"{KEPT_PARTIAL}/blobstore/"],
        ["blobstore/", f"{STAGING}/postgres-15/", f"{KEPT}/postgres-15/"],
        ["blobstore/", f"{KEPT}/blobstore/"],
        ["blobstore/", f"{KEPT_PARTIAL}/director/"],
        ["blobstore/", f"{KEPT}/a-file", f"{KEPT_PARTIAL}/blobstore/"],
        # Somebody put it there: a full directory is in the way of a rename, an empty one is not.
        ["blobstore/full", f"{STAGING}/blobstore/full", f"{KEPT}/blobstore/full"],
        ["blobstore/", f"{STAGING}/blobstore/full", f"{KEPT}/blobstore/full"],
        ["blobstore", f"{STAGING}/blobstore/full", f"{KEPT}/blobstore/full"],
    ],
)
def test_check_mode_foretells_what_the_deed_does(run_module, tmp_path, found, state):
    store = tmp_path / "store"
    store.mkdir()
    for name in found:
        path = store / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    before, args = listing(store), {"store": str(store), "state": state}
    foretold = outcome(run_module, args, check=True)
    assert listing(store) == before
    assert outcome(run_module, args, check=False) == foretold


# host_key

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITwo"


class Host:
    """Answers `bosh ssh` with a host key, and shows ssh one, the same where no other is given."""

    def __init__(self, key, rows=1, shows=None, vms=1):
        self.key = key
        self.vms = vms
        self.rows = rows
        self.shows = key if shows is None else shows
        self.calls = []

    def __call__(self, command, **_options):
        self.calls.append(command)
        if command[1:] == ["--version"]:
            return 0, "version 7.10.0-abc\n", ""
        if command[0] == "ssh":
            [noted] = [word.partition("=")[2] for word in command if word.startswith("UserKnownHostsFile=/")][:1]
            if self.shows:
                Path(noted).write_text(f"10.10.0.4 {self.shows}\n", encoding="utf-8")
            self.config = Path(command[2]).read_text(encoding="utf-8")
            return 255, "", "Permission denied (publickey).\r\n" if self.shows else "refused\r\n"
        if "vms" in command:
            columns = ("vm_cid", "process_state", "az", "ips")
            rows = [{"instance": f"bosh/{number}"} | dict.fromkeys(columns, "") for number in range(self.vms)]
            return 0, json.dumps({"Tables": [{"Content": "vms", "Rows": rows}], "Blocks": None, "Lines": []}), ""
        rows = [{"instance": "bosh/1", "stdout": f"{self.key} root@builder\r\n", "exit_code": "0"}] * self.rows
        return 0, json.dumps({"Tables": [{"Content": "results", "Rows": rows}], "Blocks": None, "Lines": []}), ""


@pytest.fixture
def pins(tmp_path):
    path = tmp_path / "own" / "known_hosts"
    return {"address": "10.10.0.4", "known_hosts": str(path)}, path


def test_keys_come_from_the_director(run_module, pins):
    args, path = pins
    args = args | {"deployment": "bosh-primary", "instance": "bosh"}
    host = Host(KEY)
    result, _replay = run_module("host_key", args, runner=host)
    assert (result["changed"], result["source"], result["host_keys"]) == (True, "director", [KEY])
    assert path.read_text(encoding="utf-8") == f"10.10.0.4 {KEY}\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert host.calls[0][-5:] == ["ssh", "bosh", "-c", "cat /etc/ssh/ssh_host_*_key.pub", "--results"]
    assert run_module("host_key", args, runner=host)[0]["changed"] is False
    # A VM that its director recreated has new keys, and the director vouches for them.
    result, _replay = run_module("host_key", args, runner=Host(OTHER), check=True)
    assert (result["changed"], path.read_text(encoding="utf-8")) == (True, f"10.10.0.4 {KEY}\n")
    run_module("host_key", args, runner=Host(OTHER))
    assert path.read_text(encoding="utf-8") == f"10.10.0.4 {OTHER}\n"


@pytest.mark.parametrize("rows", [0, 2])
def test_an_answer_that_is_not_of_one_instance_is_refused(run_module, pins, rows):
    args, path = pins
    with pytest.raises(Failed, match=f"{rows} instances answered"):
        run_module("host_key", args | {"deployment": "bosh-primary"}, runner=Host(KEY, rows))
    assert not path.exists()


def test_of_several_instances_one_must_be_named(run_module, pins):
    args, path = pins
    args = args | {"deployment": "cf"}
    host = Host(KEY, vms=2)
    with pytest.raises(Failed, match=r"^the deployment cf has 2 instances: set `instance`$"):
        run_module("host_key", args, runner=host)
    assert not path.exists() and not any("ssh" in call for call in host.calls)
    assert run_module("host_key", args | {"instance": "bosh/1"}, runner=host)[0]["host_keys"] == [KEY]


def hashed(name):
    """An entry as ssh writes it with HashKnownHosts."""
    salt = bytes(range(20))
    parts = (salt, hmac.new(salt, name.encode(), hashlib.sha1).digest())
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in parts)


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ("10.10.0.4", ""),
        ("primary,10.10.0.4", "primary"),
        (hashed("10.10.0.4"), ""),
        ("10.10.0.4,[x]:2222", "[x]:2222"),
    ],
)
def test_an_address_is_found_in_each_form_of_an_entry(run_module, pins, entry, left):
    args, path = pins
    path.parent.mkdir()
    others = f"# 10.10.0.4\n@revoked 10.10.0.4 {OTHER}\n{hashed('10.10.0.40')} {OTHER}\n|1|no|hash! {OTHER}\n"
    path.write_text(f"{others}{entry}\t{OTHER} a comment\n", encoding="utf-8")
    assert run_module("host_key", args, runner=Host(KEY))[0]["host_keys"] == [OTHER]
    run_module("host_key", args | {"deployment": "bosh-primary", "instance": "bosh"}, runner=Host(KEY))
    kept = f"{left} {OTHER} a comment\n" if left else ""
    assert path.read_text(encoding="utf-8") == f"{others}{kept}10.10.0.4 {KEY}\n"


def test_ssh_keygen_finds_what_is_found_here(pins):
    _args, path = pins
    path.parent.mkdir()
    path.write_text(f"{hashed('10.10.0.4')} {OTHER}\n", encoding="utf-8")
    subprocess.run(["ssh-keygen", "-F", "10.10.0.4", "-f", str(path)], capture_output=True, check=True)


def test_a_file_may_be_relative_or_behind_a_link(run_module, pins, tmp_path, monkeypatch):
    args, _path = pins
    monkeypatch.chdir(tmp_path)
    run_module("host_key", args | {"known_hosts": "pins"}, runner=Host(KEY))
    (tmp_path / "link").symlink_to("pins")
    run_module("host_key", args | {"known_hosts": "link", "address": "10.10.0.5"}, runner=Host(OTHER))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "pins").read_text(encoding="utf-8") == f"10.10.0.4 {KEY}\n10.10.0.5 {OTHER}\n"


def test_a_pinned_key_is_not_replaced_on_first_use(run_module, pins):
    args, path = pins
    result, _replay = run_module("host_key", args, runner=Host(KEY))
    assert (result["changed"], result["source"]) == (True, "first_use")
    host = Host(OTHER)
    result, _replay = run_module("host_key", args, runner=host)
    assert (result["changed"], result["source"], result["host_keys"]) == (False, "pinned", [KEY])
    assert not any(call[0] == "ssh" for call in host.calls)
    assert path.read_text(encoding="utf-8") == f"10.10.0.4 {KEY}\n"
    # A VM that the play made a moment ago is another one.
    assert run_module("host_key", args | {"made_now": True}, runner=host)[0]["host_keys"] == [OTHER]


def test_other_addresses_keep_their_keys(run_module, pins):
    args, path = pins
    path.parent.mkdir()
    path.write_text(f"10.10.0.40 {OTHER}\n10.10.0.4 {KEY}\n", encoding="utf-8")
    result, _replay = run_module("host_key", args | {"state": "absent"}, runner=Host(KEY))
    assert (result["changed"], path.read_text(encoding="utf-8")) == (True, f"10.10.0.40 {OTHER}\n")
    assert run_module("host_key", args | {"state": "absent"}, runner=Host(KEY))[0]["changed"] is False


def test_a_host_that_tells_no_key(run_module, pins):
    args, path = pins
    with pytest.raises(Failed, match="told no host key: refused"):
        run_module("host_key", args, runner=Host(""))
    assert not path.exists()


def test_the_director_is_not_asked_without_a_deployment(run_module, pins):
    with pytest.raises(Failed, match="deployment"):
        run_module("host_key", pins[0] | {"source": "director"}, runner=Host(KEY))


def test_a_port_of_its_own_is_part_of_the_entry(run_module, pins):
    args, path = pins
    run_module("host_key", args | {"port": 2222}, runner=Host(KEY))
    assert path.read_text(encoding="utf-8") == f"[10.10.0.4]:2222 {KEY}\n"
    assert run_module("host_key", args | {"port": 2222}, runner=Host(OTHER))[0]["source"] == "pinned"


JUMP = "-o UserKnownHostsFile=/pins -o StrictHostKeyChecking=yes -o 'ProxyJump=me@bastion,me@inner:2222'"


def test_a_host_is_looked_at_through_the_jump_host(run_module, pins):
    args, _path = pins
    host = Host(KEY)
    assert run_module("host_key", args | {"ssh_args": JUMP}, runner=host)[0]["host_keys"] == [KEY]
    command = host.calls[0]
    assert "ProxyJump=me@bastion,me@inner:2222" in command
    # For ssh the first value counts.
    assert [word for word in command if word.startswith("StrictHostKey")] == [
        "StrictHostKeyChecking=accept-new",
        "StrictHostKeyChecking=yes",
    ]
    assert "PreferredAuthentications=none" in command
    assert command[-2:] == ["10.10.0.4", "true"]
    # The config is the only thing that ssh hands on to the jump hosts.
    assert host.config.splitlines()[:2] == ["StrictHostKeyChecking yes", "BatchMode yes"]
    assert host.config.splitlines()[-2:] == ['Include "~/.ssh/config"', 'Include "/etc/ssh/ssh_config"']


@pytest.mark.parametrize("given", ["-F /site/ssh_config -C", "-F/site/ssh_config -C"])
def test_a_config_of_the_site_is_included(run_module, pins, given):
    host = Host(KEY)
    run_module("host_key", pins[0] | {"ssh_args": given}, runner=host)
    assert host.config.splitlines()[-2:] == ["ConnectTimeout 10", 'Include "/site/ssh_config"']
    assert host.calls[0].count("-F") == 1
    assert "-C" in host.calls[0]


def test_a_new_key_that_the_director_told_must_be_the_one_that_is_shown(run_module, pins):
    args, path = pins
    args = args | {"deployment": "bosh-primary", "must_show": True}
    run_module("host_key", args, runner=Host(KEY))
    with pytest.raises(Failed, match=f"shows {KEY}, and the director says {OTHER}"):
        run_module("host_key", args, runner=Host(OTHER, shows=KEY))
    with pytest.raises(Failed, match="told no host key: refused"):
        run_module("host_key", args, runner=Host(OTHER, shows=""))
    assert path.read_text(encoding="utf-8") == f"10.10.0.4 {KEY}\n"
    assert run_module("host_key", args, runner=Host(OTHER), check=True)[0]["changed"] is True
    assert path.read_text(encoding="utf-8") == f"10.10.0.4 {KEY}\n"
    assert run_module("host_key", args, runner=Host(OTHER))[0]["host_keys"] == [OTHER]
    assert path.read_text(encoding="utf-8") == f"10.10.0.4 {OTHER}\n"
