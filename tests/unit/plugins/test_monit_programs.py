# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes of monit's job files, started alone."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import tempfile
import time

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import monit_programs

from ..conftest import Failed

#: jobs/director/monit and jobs/postgres/monit of bosh v283.1.6, rendered, with forms that monit's grammar has beside.
DIRECTOR = """
check process director
  with pidfile /var/vcap/sys/run/bpm/director/director.pid
  start program "/var/vcap/jobs/bpm/bin/bpm start director -p director"
  stop program "/var/vcap/jobs/bpm/bin/bpm stop director"
  group vcap

check process worker_1
  with pidfile /var/vcap/sys/run/director/worker_1.pid
  start program "/var/vcap/jobs/director/bin/worker_ctl worker_1 start"
  stop program "/var/vcap/jobs/director/bin/worker_ctl worker_1 stop"
  group vcap
  depends on director

check process postgres
  with pidfile /var/vcap/sys/run/bpm/postgres/postgres.pid
  start program "/var/vcap/jobs/bpm/bin/bpm start postgres" with timeout 300 seconds
  group vcap
# check process old with pidfile /x start program "/bin/no"
check file log with path /var/vcap/sys/log/x
CHECK PROCESS 'odd name' PIDFILE "/run/odd.pid" START PROGRAM = '/bin/sh -c "exit 0"' as uid vcap
check process bare with pidfile /run/bare.pid
check process short pidfile /run/short.pid start = "/bin/true"
"""


def test_job_files_are_read_as_monit_reads_them():
    found = {one.name: (one.pidfile, one.start) for one in monit_programs.parse(DIRECTOR)}
    bpm = "/var/vcap/jobs/bpm/bin/bpm"
    assert found == {
        "director": ("/var/vcap/sys/run/bpm/director/director.pid", (bpm, "start", "director", "-p", "director")),
        "worker_1": (
            "/var/vcap/sys/run/director/worker_1.pid",
            ("/var/vcap/jobs/director/bin/worker_ctl", "worker_1", "start"),
        ),
        "postgres": ("/var/vcap/sys/run/bpm/postgres/postgres.pid", (bpm, "start", "postgres")),
        "odd name": ("/run/odd.pid", ("/bin/sh", "-c", "exit 0")),
        "bare": ("/run/bare.pid", ()),
        "short": ("/run/short.pid", ("/bin/true",)),
    }


class Vm:
    """A directory of monit with processes that are `sleep`s; `order` has who was started."""

    def __init__(self, top):
        self.top = top
        (top / "monit" / "job").mkdir(parents=True)
        (top / "ctl").write_text(
            f"#!/bin/sh\necho $1 >> {top}/order\nsetsid sleep 60 < /dev/null > /dev/null 2>&1 &\n"
            f"echo $! > {top}/$1.pid\n",
            encoding="utf-8",
        )
        (top / "ctl").chmod(0o755)

    def add(self, job, *processes, depends=""):
        text = "".join(
            f"check process {name} with pidfile {self.top}/{name}.pid\n"
            f' start program "{self.top}/ctl {name}"\n{depends}\n'
            for name in processes
        )
        path = self.top / "monit" / "job" / f"0001_{job}.monitrc"
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")

    def order(self):
        path = self.top / "order"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    @property
    def args(self):
        return {"monit_dir": str(self.top / "monit"), "timeout": 20}


@pytest.fixture
def vm(tmp_path):
    one = Vm(tmp_path)
    one.add("director", "director", "director_nginx")
    one.add("director", "worker_1", "worker_2", depends=" depends on director")
    yield one
    for path in tmp_path.glob("*.pid"):
        with open(path, encoding="utf-8") as stream:
            pid = int(stream.read())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_director_is_started_and_none_that_depends_on_it(run_module, vm):
    result, _replay = run_module("monit_program", vm.args | {"names": ["director", "director_nginx"]})
    assert sorted(vm.order()) == result["started"] == result["running"] == ["director", "director_nginx"]
    assert result["names"] == ["director", "director_nginx", "worker_1", "worker_2"]
    again, _replay = run_module("monit_program", vm.args | {"names": ["director"]})
    assert (again["started"], again["changed"]) == ([], False)


def test_what_lives_is_seen_whoever_started_it(run_module, vm):
    subprocess.run([str(vm.top / "ctl"), "worker_2"], check=True)
    result, _replay = run_module("monit_program", vm.args)
    assert (result["running"], result["changed"]) == (["worker_2"], False)


def test_check_mode_starts_nothing(run_module, vm):
    result, _replay = run_module("monit_program", vm.args | {"names": ["director"]}, check=True)
    assert (result["started"], vm.order()) == (["director"], [])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nats"], "do not name nats: they have director, director_nginx, worker_1, worker_2"),
        (["director", "broken"], "start program of broken failed with exit code 3: no such database"),
        (["mute"], "mute did not run after 0"),
        (["bare"], "no start program of bare"),
    ],
)
def test_a_process_that_cannot_be_started_is_named(run_module, vm, names, words):
    for name, command in (("broken", f"{vm.top}/fails"), ("mute", "/bin/true"), ("bare", "")):
        start = f' start program "{command}"\n' if command else ""
        if name in names:
            with open(vm.top / "monit" / "job" / "0002_more.monitrc", "a", encoding="utf-8") as stream:
                stream.write(f"check process {name} with pidfile {vm.top}/{name}.none\n{start}")
    (vm.top / "fails").write_text("#!/bin/sh\necho no such database\nexit 3\n", encoding="utf-8")
    (vm.top / "fails").chmod(0o755)
    with pytest.raises(Failed) as left:
        run_module("monit_program", vm.args | {"names": names, "timeout": 0 if "mute" in names else 20})
    assert words in left.value.result["msg"]


def test_without_job_files_nothing_is_known(run_module, tmp_path):
    with pytest.raises(Failed) as left:
        run_module("monit_program", {"monit_dir": str(tmp_path)})
    assert "names no process" in left.value.result["msg"]


def test_a_pid_file_is_no_process(tmp_path):
    path = tmp_path / "x.pid"
    assert not monit_programs.is_alive(str(path))
    for text in ("", "no number", "999999999"):
        path.write_text(text, encoding="utf-8")
        assert not monit_programs.is_alive(str(path))
    path.write_text(f"{os.getpid()}\n", encoding="utf-8")
    assert monit_programs.is_alive(str(path))
    child = subprocess.Popen(["true"])
    path.write_text(str(child.pid), encoding="utf-8")
    until = time.monotonic() + 10
    while monit_programs.is_alive(str(path)) and time.monotonic() < until:
        time.sleep(0.01)
    # A zombie, as nobody has waited for it.
    assert not monit_programs.is_alive(str(path))
    child.wait()


def test_a_program_that_stays_in_the_foreground_is_not_waited_for(tmp_path):
    script = tmp_path / "ctl"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/x.pid\nexec sleep 60\n", encoding="utf-8")
    script.chmod(0o755)
    known = {"x": monit_programs.Program("x", str(tmp_path / "x.pid"), (str(script),))}
    with tempfile.TemporaryFile() as said:
        assert isinstance(said, io.BufferedRandom)
        assert monit_programs.start(known, ["x"], 10, said) == ["x"]
    os.kill(int((tmp_path / "x.pid").read_text(encoding="utf-8")), signal.SIGKILL)
