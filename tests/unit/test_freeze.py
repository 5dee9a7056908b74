# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stop_boshes, sync_store and permit_root_rsync over hosts, a monit, an rsync and a `bosh` of the tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .role_runner import ADDRESSES, Roles, Run, write_program

STOPPED = {"processes": {"director": "not monitored", "nats": "not monitored"}, "open_ports": []}
RUNNING = {"processes": {"director": "running", "nats": "running"}, "open_ports": [25555, 4222]}
#: What an interrupted stop leaves: the API is gone, its nginx perhaps not.
HALF = {"processes": {"director": "not monitored", "nats": "running"}, "open_ports": [4222]}
HALF_WITH_NGINX = HALF | {"open_ports": [4222, 25555]}
#: A host: what a module is told of `@HOST@` is a directory of that host, and a host that is away has no Python.
HOST = """if NAME in json.load(open(SITE))["away"]:
    sys.exit("No route to host")
os.environ.update(HOST=NAME, HOME=HOME, SITE=SITE)
for old, new in {"@HOST@": NAME, "/usr/sbin/sshd": SSHD, "/etc/ssh/sshd_config": SSHD}.items():
    program = program.replace(old.encode(), new.encode())
"""
#: A monit that is as the site says, each look at a host the next of its states, the last one for ever.
MONIT = """
import json, os
from ansible.module_utils.basic import AnsibleModule
DOCUMENTATION = "{}"
def main():
    module = AnsibleModule(argument_spec=dict(state={}, ports=dict(type="list"), store={}, timeout={}),
                           supports_check_mode=True)
    site = json.load(open(os.environ["SITE"]))
    states = site["monit"][os.environ["HOST"]]
    seen = {"holders": []} | (states.pop(0) if len(states) > 1 else states[0])
    seen["all_stopped"] = not seen["open_ports"] and set(seen["processes"].values()) == {"not monitored"}
    if module.params["state"]:
        verb = {"stopped": "stop", "held": "hold", "released": "release"}[module.params["state"]]
        site["log"].append(verb + " " + os.environ["HOST"])
        seen["all_stopped"] = verb == "stop"
    seen["last_monitored"] = {"director": 1.5}
    json.dump(site, open(os.environ["SITE"], "w"))
    module.exit_json(changed=bool(module.params["state"]), **seen)
main()
"""
BOSH = """import fcntl
# Directors are asked side by side.
turn = open(SITE + ".lock", "w")
fcntl.flock(turn, fcntl.LOCK_EX)
site = json.load(open(SITE))
words = sys.argv[1:]
if words == ["--version"]:
    print("version 7.10.0-abc")
    sys.exit()
address = os.environ["BOSH_ENVIRONMENT"]
director = site["directors"].get(address)
verbs = "env deployments releases stemcells configs vms tasks locks curl update-resurrection".split()
verb = next(word for word in words if word in verbs)
site["log"].append(" ".join([address, verb, *(word for word in words if word.startswith("--recent"))]))
def answer(content, rows, lines=(), rc=0, blocks=None):
    json.dump(site, open(SITE, "w"))
    print(json.dumps({"Tables": [{"Content": content, "Rows": rows}], "Blocks": blocks, "Lines": list(lines)}))
    sys.exit(rc)
if director is None:
    answer("", [], ["Fetching info: dial tcp: connect: no route to host", "Exit code 1"], 1)
if director.get("silent"):
    director["silent"] -= 1
    answer("", [], ["Fetching info: dial tcp: connect: connection refused", "Exit code 1"], 1)
if "says" in director:
    answer("", [], [director["says"]], 1)
if verb == "env":
    answer("", [{"name": "a", "uuid": "b", "version": director["version"], "cpi": "d", "user": "admin"}])
if verb == "curl":
    answer("", [], blocks=[json.dumps({"resurrection": False})])
if verb == "tasks" and any("--recent" in word for word in words):
    last = director["last"].pop(0) if len(director["last"]) > 1 else director["last"][0]
    answer("tasks", [{"id": last, "state": "done", "user": "hm", "deployment": "", "description": "", "result": "",
        "started_at": "-", "finished_at": "-"} | director.get("did", {})])
if verb == "tasks" and director.get("refuses"):
    answer("", [], ["Finding current tasks: Director responded with non-successful status code '401'"], 1)
if verb == "tasks" and (director.get("begins") or "?") in site["log"]:
    director["busy_with"] = "cf"
if verb == "tasks" and "busy_with" in director:
    answer("tasks", [{"id": "5", "state": "processing", "user": "u", "deployment": director["busy_with"],
        "description": "", "result": "", "started_at": "-", "finished_at": "-"}])
answer(verb, director.get(verb, []))
"""
#: Whose number is asked for, as the host says.
ID = """
name = os.environ["HOME"] + "/vcap"
print(open(name).read().strip() if os.path.exists(name) else 1000)
"""
#: Renames as the module does, without a monit.
FENCE = """
import os
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule
DOCUMENTATION = "{}"
def main():
    module = AnsibleModule(argument_spec=dict(store={}, state={}, reload={}), supports_check_mode=True)
    store, wanted = Path(module.params["store"]), module.params["state"]
    fenced = store / "bosh_ha_fenced"
    phase = "fenced" if fenced.is_dir() else "open"
    changed = wanted not in (None, phase)
    if changed:
        if wanted == "fenced":
            names = [path for path in store.iterdir() if not path.name.startswith("bosh_ha_")]
            fenced.mkdir()
            for path in names:
                path.rename(fenced / path.name)
        else:
            for path in list(fenced.iterdir()):
                path.rename(store / path.name)
            fenced.rmdir()
    module.exit_json(changed=changed, phase=wanted or phase)
main()
"""
#: Has the options of the module, and copies from the host of the tests that the source names.
COPY = """
import json, os, shutil
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule
DOCUMENTATION = "{}"
def listed(top):
    names = [path.relative_to(top) for path in top.rglob("*") if path.is_file()]
    return {str(name): (top / name).read_text() for name in names if not name.parts[0].startswith("bosh_ha_")}
def main():
    names = "source dest key known_hosts excludes timeout retries streams bandwidth_limit nice ionice vanished_ok"
    names += " checksum follow progress_file"
    module = AnsibleModule(argument_spec={name: dict(type="raw") for name in names.split()}, supports_check_mode=True)
    site, dest = json.load(open(os.environ["SITE"])), Path(module.params["dest"])
    micro = Path(module.params["dest"].partition("/meta/")[0]) / "micro" / "store"
    source = micro / module.params["source"].partition(":/")[2]
    if module.check_mode:
        mine, theirs = listed(source), listed(dest)
        names = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        module.exit_json(changed=bool(names), different=[">fcst...... " + name for name in names])
    site["log"].append("copy" + (" by checksums" if module.params["checksum"] in (True, "True", "true") else ""))
    shutil.rmtree(dest, ignore_errors=True)
    shutil.copytree(source, dest, copy_function=shutil.copy2, ignore=shutil.ignore_patterns("bosh_ha_*"))
    for name in site["missed"][:1]:
        (dest / name).write_text("missed")
        site["missed"].pop(0)
    json.dump(site, open(os.environ["SITE"], "w"))
    module.exit_json(changed=True)
main()
"""
SUMS = """
import hashlib
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule
DOCUMENTATION = "{}"
def main():
    module = AnsibleModule(argument_spec=dict(path={}, excludes={}, cache_file={}, moving={}), supports_check_mode=True)
    top = Path(module.params["path"])
    files = sorted(path for path in top.rglob("*") if path.is_file())
    told = "".join(f"{path.relative_to(top)} {path.read_text()}" for path in files)
    module.exit_json(changed=False, digest=hashlib.sha256(told.encode()).hexdigest())
main()
"""
#: Moves as the module does; what it looks at before that is as the site says.
SWAP = """
import json, os, tempfile
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import staged_store
DOCUMENTATION = "{}"
DEEDS = {"swapped": staged_store.swap_in, "restored": staged_store.put_back}
def main():
    options = dict(store=dict(default="/nowhere"), state={}, ports=dict(type="list"), find_written={})
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    store, state = module.params["store"], module.params["state"]
    site, changed, more = json.load(open(os.environ["SITE"])), False, {}
    if state:
        states = site["monit"][os.environ["HOST"]]
        seen = states.pop(0) if len(states) > 1 else states[0]
        json.dump(site, open(os.environ["SITE"], "w"))
        if seen["open_ports"]:
            module.fail_json(msg="this host is not stopped")
        if state == "swapped" and site["postgres"] != "shut down":
            module.fail_json(msg="PostgreSQL was not shut down before it was copied")
        if module.check_mode:
            changed, _phase = staged_store.rehearse(DEEDS[state], store, tempfile.mkdtemp(dir=module.tmpdir))
        else:
            changed = DEEDS[state](store)
    if module.params["find_written"]:
        more["written"] = staged_store.written_here(store)
    module.exit_json(changed=changed, phase=staged_store.phase(store), **more)
main()
"""
MODULES = {"monit": MONIT, "store_fence": FENCE, "store_copy": COPY, "store_sums": SUMS, "store_swap": SWAP}


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """All three run, idle; Micro's and Meta's stores go together."""
    for name, whose in (("micro", "micro"), ("meta", "meta")):
        home = tmp_path / "hosts" / name
        (home / "store" / "postgres-15" / "global").mkdir(parents=True)
        (home / "store" / "postgres-15" / "global" / "pg_control").write_text(whose, encoding="utf-8")
        (home / ".ssh").mkdir()
        (home / ".ssh" / "authorized_keys").write_text("ssh-ed25519 AAAA operator\n", encoding="utf-8")
        age(home / "store")
    return {
        "away": [],
        "log": [],
        "missed": [],
        "postgres": "shut down",
        "monit": {name: [RUNNING] for name in ADDRESSES},
        "directors": {address: {"version": "283.1.0 (0)", "last": ["7"]} for address in ADDRESSES.values()},
    }


@pytest.fixture
def run(tmp_path: Path, roles: Roles) -> Run:
    """Runs one file of a role's tasks on the site."""
    made, programs = tmp_path / "site.json", tmp_path / "bin"
    write_program(programs / "bosh", BOSH, SITE=str(made))
    write_program(programs / "id", ID)
    write_program(programs / "sshd", 'print("permitrootlogin no")\n')
    for name in ADDRESSES:
        home = tmp_path / "hosts" / name
        home.mkdir(parents=True, exist_ok=True)
        roles.write_python(
            programs / f"{name}-python", HOST, NAME=name, SITE=str(made), HOME=str(home), SSHD=str(programs / "sshd")
        )

    def play(site: dict[str, Any], role: str, tasks: str = "main", *words: str) -> tuple[int, str]:
        made.write_text(json.dumps(site), encoding="utf-8")
        store = str(tmp_path / "hosts" / "@HOST@" / "store")
        variables = {
            "bosh_ha_directors": {
                name: {"address": address, "client_secret": "not-for-eyes", "ca_cert": "-----BEGIN CERTIFICATE-----"}
                for name, address in ADDRESSES.items()
            },
            "bosh_ha_known_hosts": str(tmp_path / "known_hosts"),
            "bosh_ha_work_dir": str(tmp_path / "work"),
            # Behind a proxy nobody knocks at the addresses, where there is nobody here.
            "bosh_ha_cli_options": {"cli": str(programs / "bosh"), "all_proxy": "socks5://127.0.0.1:1"},
            "stop_boshes_wait": 0,
            "stop_boshes_timeout": 30,
            "stop_boshes_store": store,
            "sync_store_store": store,
            "permit_root_rsync_dir": str(tmp_path / "hosts" / "@HOST@" / "key"),
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_pipelining": True,
            "ansible_async_dir": str(tmp_path / "async"),
            "ansible_user": "",
        }
        hosts = {name: {"ansible_python_interpreter": str(programs / f"{name}-python")} for name in ADDRESSES}
        environ = {"HOME": str(tmp_path), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        rc, told = roles.play(tmp_path, role, tasks, *words, variables=variables, hosts=hosts, environ=environ)
        site |= json.loads(made.read_text(encoding="utf-8"))
        return rc, told

    return play


def age(top: Path) -> None:
    """As rsync leaves it: the data have their time at the source."""
    for path in [top, *top.rglob("*")]:
        os.utime(path, ns=(1, 1))


def control(tmp_path: Path, name: str, below: str = "") -> str:
    return (tmp_path / "hosts" / name / "store" / below / "postgres-15/global/pg_control").read_text(encoding="utf-8")


# stop_boshes, up to the stop itself, in check mode: the stop needs a monit that stops.


def stop(run: Run, site: dict[str, Any]) -> tuple[int, str]:
    return run(site, "stop_boshes", "main", "--check")


def asked(site: dict[str, Any], address: str, verb: str) -> int:
    return site["log"].count(f"{address} {verb}")


def test_those_that_run_are_asked_again_right_before_the_stop(run, site):
    rc, told = stop(run, site)
    assert rc == 0, told
    assert [asked(site, address, "locks") for address in ADDRESSES.values()] == [4, 2, 2]
    orders = [line for line in site["log"] if line.split()[0] in ("stop", "hold", "release")]
    assert orders == ["stop primary", "stop meta", "hold micro", "stop micro"]
    held = site["log"].index("hold micro")
    assert site["log"][held - 1] == "10.10.0.3 tasks --recent=1"
    # Between the two stops it is asked once more, as a task may have begun.
    assert site["log"][held + 1 :] == ["10.10.0.3 tasks", "10.10.0.3 locks", "stop micro"]
    assert asked(site, "10.10.0.3", "vms") == 1


def test_a_task_that_begins_as_the_workers_stop_has_them_started_again(run, site):
    site["directors"]["10.10.0.3"]["begins"] = "hold micro"
    rc, told = stop(run, site)
    assert (rc, "stop micro" in site["log"], site["log"][-1]) == (2, False, "release micro")
    assert "micro began a task as its workers were stopped, so it is not stopped now: task 5" in told


def test_a_primary_that_goes_on_serving_is_not_stopped(run, site):
    rc, told = run(site, "stop_boshes", "main", "--check", "-e", "bosh_ha_freeze=minimal")
    assert rc == 0, told
    assert [line for line in site["log"] if line.startswith("stop")] == ["stop meta", "stop micro"]
    assert asked(site, "10.10.0.4", "tasks") > asked(site, "10.10.0.5", "tasks")


@pytest.mark.parametrize(("deployment", "rc"), [("cf", 0), ("bosh-meta", 2)])
def test_what_a_primary_that_goes_on_does_for_its_users_is_its_own(run, site, deployment, rc):
    site["directors"]["10.10.0.4"]["busy_with"] = deployment
    ended, told = run(site, "stop_boshes", "main", "--check", "-e", "bosh_ha_freeze=minimal")
    assert ended == rc, told
    assert (
        "primary is busy with bosh-meta, which must be left alone now (stop_boshes_wait is 0 s): task 5" in told
    ) == bool(rc)
    assert run(site, "stop_boshes", "main", "--check")[0] == 2


@pytest.mark.parametrize(("name", "half"), [("micro", HALF), ("meta", HALF_WITH_NGINX)])
def test_a_director_without_its_api_is_stopped_without_being_asked(run, site, half, name):
    site["monit"][name] = [half]
    site["directors"][ADDRESSES[name]] = {"says": "Director responded with non-successful status code '502'"}
    rc, told = stop(run, site)
    assert rc == 0, told
    assert f"{name} is not stopped, and its API is" in told
    assert "The versions of Micro and Meta are not compared" in told
    assert not [line for line in site["log"] if line.startswith(ADDRESSES[name])]
    assert f"stop {name}" in site["log"]


def test_those_that_are_stopped_are_left(run, site):
    site["monit"] = {"micro": [STOPPED], "primary": [RUNNING], "meta": [STOPPED]}
    rc, told = stop(run, site)
    assert rc == 0, told
    assert [line for line in site["log"] if line.startswith("stop")] == ["stop primary"]


@pytest.mark.parametrize(
    ("director", "reason"),
    [
        (None, "micro runs, and cannot be asked whether it is busy"),
        ({"says": "Director responded with non-successful status code '502'"}, "status code '502'"),
        ({"version": "283.1.0", "last": ["7"], "refuses": True}, "the director refuses the client"),
    ],
)
def test_one_that_runs_and_cannot_be_asked_is_refused(run, site, director, reason):
    site["directors"]["10.10.0.3"] = director
    rc, told = run(site, "stop_boshes", "main", "--check", "-e", "stop_boshes_wait=600")
    assert rc == 2
    assert reason in told
    assert not [line for line in site["log"] if line.startswith("stop")]


def test_a_task_that_ran_meanwhile_has_the_state_written_down_again(run, site):
    site["directors"]["10.10.0.3"]["last"] = ["7", "8"]
    rc, told = stop(run, site)
    assert rc == 0, told
    assert asked(site, "10.10.0.3", "vms") == 2


def test_tasks_that_go_on_to_begin_are_a_refusal(run, site):
    site["directors"]["10.10.0.3"]["last"] = ["7", "8", "8", "9"]
    rc, told = stop(run, site)
    assert rc == 2
    assert "micro is busy, so it cannot be stopped now: task 9 ran" in told
    assert "stop micro" not in site["log"]


@pytest.mark.parametrize("states", [{}, {"micro": [STOPPED]}, {"meta": [STOPPED]}])
def test_a_host_that_does_not_fit_is_refused_though_its_director_is_stopped(run, site, tmp_path, states):
    site["monit"] |= states
    (tmp_path / "hosts/meta/store/postgres-15").rename(tmp_path / "hosts/meta/store/postgres-13")
    rc, told = stop(run, site)
    assert rc == 2
    assert "Micro's store has postgres-15, Meta's has postgres-13" in told


def test_the_stop_goes_on_where_micro_is_fenced_and_another_came_up_again(run, frozen, tmp_path):
    """A host that restarted after the fence, be it before the swap or in it."""
    for name, ours in (("micro", "bosh_ha_fenced"), ("meta", "bosh_ha_kept.partial")):
        store = tmp_path / "hosts" / name / "store"
        (store / ours).mkdir()
        (store / "postgres-15").rename(store / ours / "postgres-15")
        frozen["monit"]["primary"] = [RUNNING]
        rc, told = stop(run, frozen)
        assert rc == 0, told
        assert "stop primary" in frozen["log"]
    (tmp_path / "hosts/meta/store/bosh_ha_kept.partial/postgres-15").rename(tmp_path / "hosts/meta/store/postgres-13")
    rc, told = stop(run, frozen)
    assert rc == 2 and "Micro's store has postgres-15, Meta's has postgres-13" in told


def test_an_older_meta_is_refused(run, site):
    site["directors"]["10.10.0.5"]["version"] = "282.9.9 (0)"
    rc, told = stop(run, site)
    assert rc == 2
    assert "Meta is version 282.9.9 and cannot run on the data of Micro, 283.1.0" in told


def test_the_stop_itself(run, site):
    rc, told = run(site, "stop_boshes")
    assert rc == 0, told
    assert sorted(line for line in site["log"] if line.startswith("stop")) == [
        "stop meta",
        "stop micro",
        "stop primary",
    ]


# sync_store


@pytest.fixture
def frozen(site: dict[str, Any]) -> dict[str, Any]:
    site["monit"] = {name: [STOPPED] for name in ADDRESSES}
    return site


@pytest.fixture
def synced(run: Run, frozen: dict[str, Any]) -> dict[str, Any]:
    rc, told = run(frozen, "sync_store")
    assert rc == 0, told
    frozen["log"].clear()
    return frozen


def test_the_copy_is_put_in_place_and_compared_again(run, synced, tmp_path):
    assert (control(tmp_path, "meta"), control(tmp_path, "meta", "bosh_ha_kept")) == ("micro", "meta")
    rc, told = run(synced, "sync_store")
    assert rc == 0, told
    assert "changed=0" in told
    assert synced["log"] == []


def reopened(tmp_path: Path, text: str) -> None:
    """Somebody took Micro's fence away, and Micro wrote."""
    store = tmp_path / "hosts/micro/store"
    (store / "bosh_ha_fenced/postgres-15").rename(store / "postgres-15")
    (store / "bosh_ha_fenced").rmdir()
    (store / "postgres-15/global/pg_control").write_text(text, encoding="utf-8")
    age(store)


def test_what_micro_wrote_after_the_swap_is_copied_again(run, synced, tmp_path):
    reopened(tmp_path, "micro, later")
    rc, told = run(synced, "sync_store")
    assert rc == 0, told
    assert (
        "Micro's store has changed since it was copied, so it is copied again: >fcst...... postgres-15/global/" in told
    )
    assert (control(tmp_path, "meta"), control(tmp_path, "meta", "bosh_ha_kept")) == ("micro, later", "meta")
    assert synced["log"] == ["copy"]


def test_what_meta_made_of_the_copy_is_never_copied_over(run, synced, tmp_path):
    (tmp_path / "hosts/meta/store/postgres-15/global/pg_control").write_text("meta, later", encoding="utf-8")
    # Micro is fenced, so there is nothing else that could count.
    rc, told = run(synced, "sync_store")
    assert rc == 0, told
    assert (control(tmp_path, "meta"), synced["log"]) == ("meta, later", [])
    reopened(tmp_path, "micro, later")
    rc, told = run(synced, "sync_store")
    assert rc == 2
    assert (
        "Meta ran on the copy of Micro's store and is stopped now (postgres-15/global/pg_control was written on Meta)"
        in told
    )
    assert (control(tmp_path, "meta"), synced["log"]) == ("meta, later", [])


def test_a_meta_that_is_started_on_the_copy_is_left(run, synced, tmp_path):
    synced["monit"]["meta"] = [RUNNING]
    (tmp_path / "hosts/meta/store/postgres-15/global/pg_control").write_text("meta, later", encoding="utf-8")
    rc, told = run(synced, "sync_store")
    assert rc == 0, told
    assert "Meta's processes are started on the copy of Micro's store" in told
    synced["monit"]["micro"] = [RUNNING]
    rc, told = run(synced, "sync_store")
    assert rc == 2
    assert "micro is not stopped, so its store is not copied" in told


def test_a_meta_that_runs_is_noticed_before_the_swap(run, frozen, tmp_path):
    frozen["monit"]["meta"] = [RUNNING]
    rc, told = run(frozen, "sync_store")
    assert rc == 2
    assert "this host is not stopped" in told
    assert (control(tmp_path, "meta"), frozen["log"]) == ("meta", ["copy"])


def test_micro_is_out_of_reach_before_the_copy_is_in_place(run, frozen, tmp_path):
    frozen["postgres"] = "in production"
    rc, told = run(frozen, "sync_store")
    assert rc == 2
    assert "PostgreSQL was not shut down before it was copied" in told
    assert (control(tmp_path, "micro", "bosh_ha_fenced"), control(tmp_path, "meta")) == ("micro", "meta")


@pytest.mark.parametrize(
    ("missed", "rc"), [(["postgres-15/global/pg_control"], 0), (["postgres-15/global/pg_control"] * 2, 2)]
)
def test_what_the_copy_missed_is_found_by_its_checksum(run, frozen, tmp_path, missed, rc):
    frozen["missed"] = list(missed)
    ended, told = run(frozen, "sync_store")
    assert ended == rc, told
    assert frozen["log"] == ["copy", "copy by checksums"]
    assert control(tmp_path, "meta") == ("meta" if rc else "micro")
    assert ("is not what Micro has: >fcst...... postgres-15/global/pg_control" in told) == bool(rc)


def test_the_first_copy_stops_nobody_and_is_put_nowhere(run, site, tmp_path):
    rc, told = run(site, "sync_store", "warm")
    assert rc == 0, told
    assert site["log"] == ["copy", "copy"]
    assert control(tmp_path, "meta") == "meta"
    assert control(tmp_path, "meta", "bosh_ha_staging") == "micro"
    assert control(tmp_path, "micro") == "micro"


def test_where_the_copy_is_in_place_there_is_no_first_one(run, synced, tmp_path):
    rc, told = run(synced, "sync_store", "warm")
    assert rc == 0, told
    assert synced["log"] == []


def test_one_that_started_during_the_comparison_is_noticed_before_anything_is_moved(run, synced, tmp_path):
    reopened(tmp_path, "micro, later")
    synced["monit"]["meta"] = [STOPPED, RUNNING]
    rc, told = run(synced, "sync_store")
    assert rc == 2
    assert "this host is not stopped" in told
    assert (control(tmp_path, "meta"), synced["log"]) == ("micro", [])


def test_another_vcap_is_refused_before_the_copy(run, frozen, tmp_path):
    (tmp_path / "hosts/meta/vcap").write_text("1001\n", encoding="utf-8")
    rc, told = run(frozen, "sync_store")
    assert rc == 2
    assert "The user vcap is 1000 on Micro and 1001 on Meta" in told
    assert frozen["log"] == []


def test_check_mode_copies_nothing(run, frozen, tmp_path):
    assert run(frozen, "sync_store", "main", "--check")[0] == 0
    frozen["away"] = ["micro", "meta"]
    assert run(frozen, "sync_store", "main", "--check")[0] == 0
    assert (control(tmp_path, "meta"), frozen["log"]) == ("meta", [])


# permit_root_rsync, close


@pytest.fixture
def opened(site: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "hosts/meta/key").mkdir()
    with (tmp_path / "hosts/micro/.ssh/authorized_keys").open("a", encoding="utf-8") as stream:
        stream.write("restrict ssh-ed25519 AAAB bosh_ha_sync\n")
    return site


def left(tmp_path: Path) -> tuple[bool, bool]:
    """Whether Meta has its half, and Micro its own."""
    keys = (tmp_path / "hosts/micro/.ssh/authorized_keys").read_text(encoding="utf-8")
    assert "operator" in keys
    return (tmp_path / "hosts/meta/key").exists(), "bosh_ha_sync" in keys


def test_both_halves_are_taken_and_where_there_is_none_nothing_is_done(run, opened, tmp_path):
    rc, told = run(opened, "permit_root_rsync", "close")
    assert (rc, left(tmp_path)) == (0, (False, False)), told
    rc, told = run(opened, "permit_root_rsync", "close")
    assert rc == 0 and "changed=0" in told


def test_a_micro_that_is_away_may_have_its_half_still(run, opened, tmp_path):
    opened["away"] = ["micro"]
    rc, told = run(opened, "permit_root_rsync", "close")
    assert (rc, left(tmp_path)) == (2, (False, True))
    assert "Micro cannot be reached, so its half of the key may be there still" in told
    # Now there is no private half for it.
    rc, told = run(opened, "permit_root_rsync", "close")
    assert rc == 0, told
    assert "Micro cannot be reached, so its authorized_keys was not looked at" in told


def test_a_meta_that_is_away_does_not_keep_micros_half(run, opened, tmp_path):
    opened["away"] = ["meta"]
    rc, told = run(opened, "permit_root_rsync", "close")
    assert (rc, left(tmp_path)) == (2, (True, False))
    assert "Meta cannot be reached, so the key pair may be there still" in told


def test_check_mode_closes_nothing(run, opened, tmp_path):
    assert run(opened, "permit_root_rsync", "close", "--check")[0] == 0
    assert left(tmp_path) == (True, True)


# find_phase, whose hosts and directors are the same


def test_a_director_that_starts_is_waited_for(run, site):
    for address, name in (("10.10.0.3", "bosh-primary"), ("10.10.0.4", "bosh-meta")):
        site["directors"][address] |= {"deployments": [{"name": name}], "did": {"description": "create deployment"}}
    # Asked with all others, then alone until it answers, then with all others again.
    site["directors"]["10.10.0.4"]["silent"] = 3
    rc, told = run(site, "find_phase", "main", "-v")
    assert rc == 0, told
    assert '"find_phase_found": "deployed"' in told
    site["directors"]["10.10.0.4"]["silent"] = 99
    rc, told = run(site, "find_phase", "main", "-v", "-e", "find_phase_start=10")
    assert rc == 0, told
    assert '"find_phase_found": "unclear"' in told
