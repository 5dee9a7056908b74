# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for BBR's scripts: as the jobs' templates have them, run below a directory that stands for /var/vcap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from boshlab import database_backup_restore, host, paths, release, render, workspace

SPEC = {"name": "data", "index": 0, "address": "10.10.0.34"}
ORDERED = ("web", "worker", "records")
TOOLS = {
    "psql": "",
    "pg_dump": 'for word in "$@"; do case $word in --file=*) echo dump >"${word#--file=}" ;; esac; done',
    "pg_restore": """if [ "$1" = --list ]; then cat "$here/list"; else
for word in "$@"; do case $word in --use-list=*) cp "${word#--use-list=}" "$here/chosen" ;; esac; done; fi""",
}


class Machine:
    """A VM's /var/vcap with its jobs. What needs a VM, root or PostgreSQL is a program that writes down its words."""

    def __init__(self, directory: Path) -> None:
        self.vcap, self.bin = directory / "vcap", directory / "bin"
        for path in (self.bin, self.vcap / "sys" / "log", self.vcap / "data", self.vcap / "store"):
            path.mkdir(parents=True)
        self.program("chown", "")
        for name, deed in TOOLS.items():
            self.program(name, deed)
        self.program(
            "boshlab",
            f"exec env PYTHONPATH={Path(release.__file__).parents[2]} {sys.executable} -c "
            '"import sys, pathlib; from boshlab import database_backup_restore as told; '
            'told.BIN = pathlib.Path(\'$here\'); sys.argv = sys.argv[1:]; sys.exit(told.main())" "$@"',
        )

    def program(self, name: str, deed: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/bash\nhere={self.bin}\necho "$PGPASSWORD" "$@" >>"$here/{name}.words"\n{deed}\n')
        path.chmod(0o755)

    def words(self, name: str) -> list[str]:
        """How often, and with what, such a program was called: password, then arguments."""
        return (self.bin / f"{name}.words").read_text().splitlines()

    def install(self, tarball: Path, name: str, properties: dict[str, Any]) -> None:
        members = render.read_tgz(tarball.read_bytes())
        files = render.render_job(render.load_job(members[f"jobs/{name}.tgz"]), properties, SPEC)
        for path, (body, mode) in files.items():
            target = self.vcap / "jobs" / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            text = body.decode().replace("/var/vcap", str(self.vcap))
            target.write_text(text.replace("/usr/local/bin/boshlab", str(self.bin / "boshlab")))
            target.chmod(mode)

    def start(self, job: str, script: str, **environ: str) -> subprocess.Popen[str]:
        path = self.vcap / "jobs" / job / "bin" / script
        return subprocess.Popen(
            [str(path)],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, job: str, script: str, **environ: str) -> tuple[int, str, str]:
        process = self.start(job, script, **environ)
        out, said = process.communicate(timeout=30)
        return process.returncode, out, said

    def artifact(self, job: str) -> tuple[Path, dict[str, str]]:
        """A job's directory, and the variables that name it as BBR does it."""
        path = self.vcap / "store" / "bbr-backup" / job
        path.mkdir(parents=True, exist_ok=True)
        return path, dict.fromkeys(("BBR_ARTIFACT_DIRECTORY", "ARTIFACT_DIRECTORY"), f"{path}/")

    def order(self) -> list[list[str]]:
        """The lines of the log without their times, which rise."""
        path = self.vcap / "sys" / "log" / "bbr-order.log"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        times = [float(line[0]) for line in lines]
        assert times == sorted(times) and all("." in line[0] for line in lines)
        return [line[1:] for line in lines]


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("artifacts")
    found = {name: directory / f"{name}.tgz" for name, _version in (paths.RELEASE, paths.APP_RELEASE)}
    release.build(found["bosh"])
    release.build(found["lab-app"], paths.APP_RELEASE)
    return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def director(machine: Machine, tarballs: dict[str, Path]) -> Machine:
    """One with the jobs of Primary, whose password has all that a shell could misread."""
    properties = workspace.instance_group_properties("primary")
    properties["director"]["director"]["db"]["password"] = "a'b\"c $d\\"
    for job in ("director", "blobstore"):
        machine.install(tarballs["bosh"], job, properties[job])
    return machine


@pytest.fixture
def app(machine: Machine, tarballs: dict[str, Path]) -> Machine:
    """One with all jobs of lab-app, as its pre-start scripts leave them."""
    for job in (*ORDERED, "cache"):
        machine.install(tarballs["lab-app"], job, {})
        if job != "web":
            assert machine.run(job, "pre-start")[0] == 0
    return machine


# The releases


def test_each_release_has_its_own_jobs_and_the_same_bytes_again(tarballs: dict[str, Path], tmp_path: Path) -> None:
    release.build(tmp_path / "again.tgz", paths.APP_RELEASE)
    assert (tmp_path / "again.tgz").read_bytes() == tarballs["lab-app"].read_bytes()
    members = render.read_tgz(tarballs["lab-app"].read_bytes())
    assert set(members) == {"release.MF", *(f"jobs/{name}.tgz" for name in (*ORDERED, "cache"))}
    manifest = yaml.safe_load(members["release.MF"])
    assert (manifest["name"], manifest["version"]) == paths.APP_RELEASE


def test_a_template_in_common_is_found_unless_the_job_has_its_own(tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "one"
    (job / "templates").mkdir(parents=True)
    (tmp_path / "common").mkdir()
    (job / "monit").touch()
    (job / "spec.yml").write_text("templates: {a.j2: bin/a, b.j2: bin/b}\n")
    for path in (job / "templates" / "a.j2", tmp_path / "common" / "a.j2", tmp_path / "common" / "b.j2"):
        path.write_text(path.parent.name)
    assert render.load_job(release.job_tarball(job)).sources == {"a.j2": "templates", "b.j2": "common"}


@pytest.mark.parametrize(
    ("name", "job", "scripts"),
    [
        ("bosh", "director", {"backup", "restore"}),
        ("bosh", "blobstore", {"backup", "restore"}),
        ("lab-app", "worker", set(host.BBR_SCRIPTS)),
        ("lab-app", "records", set(host.BBR_SCRIPTS)),
        ("lab-app", "cache", set(host.BBR_SCRIPTS)),
        ("lab-app", "web", set(host.BBR_SCRIPTS) - {"backup", "restore"}),
    ],
)
def test_scripts_can_be_run_and_are_bash(
    name: str, job: str, scripts: set[str], tarballs: dict[str, Path], machine: Machine
) -> None:
    machine.install(tarballs[name], job, workspace.instance_group_properties("meta").get(job, {}))
    directory = machine.vcap / "jobs" / job / "bin" / "bbr"
    assert {path.name for path in directory.iterdir()} == scripts
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o750
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_no_other_job_of_the_directors_has_any(tarballs: dict[str, Path]) -> None:
    """As in BOSH: PostgreSQL is the director's to back up, and NATS has nothing to lose."""
    members = render.read_tgz(tarballs["bosh"].read_bytes())
    jobs = [render.load_job(data) for name, data in members.items() if name.startswith("jobs/")]
    with_scripts = {job.name for job in jobs if any(to.startswith("bin/bbr/") for to in job.templates.values())}
    assert with_scripts == {"director", "blobstore"}


# The director's


def test_the_director_is_dumped_in_postgresqls_own_format(director: Machine) -> None:
    artifact, environ = director.artifact("director")
    assert director.run("director", "bbr/backup", **environ)[0] == 0
    file = f"{artifact}//bosh-director-artifact-file"
    where = "a'b\"c $d\\ --username=postgres --host=127.0.0.1 --port=5432"
    assert director.words("pg_dump") == [f"{where} --verbose --format=custom --file={file} bosh"]
    assert (artifact / "bosh-director-artifact-file").read_text() == "dump\n"


LISTED = """;
; Archive created at 2026-06-01 00:00:00 UTC
;
6; 2615 16384 SCHEMA - fill postgres
5; 2615 2200 SCHEMA - public pg_database_owner
2; 3079 16385 EXTENSION - citext
3380; 0 0 COMMENT - SCHEMA public pg_database_owner
215; 1259 16386 TABLE public tasks postgres
216; 1259 16387 TABLE fill rows postgres
"""


def test_a_dump_is_restored_whole_without_what_is_the_databases_own(director: Machine) -> None:
    artifact, environ = director.artifact("director")
    (artifact / "bosh-director-artifact-file").write_text("dump")
    (director.bin / "list").write_text(LISTED)
    assert director.run("director", "bbr/restore", **environ)[0] == 0
    file = f"{artifact}//bosh-director-artifact-file"
    listed, restored = director.words("pg_restore")
    assert listed.split() == ["--list", file]
    for word in ("--clean", "--if-exists", "--single-transaction", "--exit-on-error", "--dbname=bosh", file):
        assert word in restored.split()
    assert restored.startswith("a'b\"c $d\\ --username=postgres ")
    chosen = (director.bin / "chosen").read_text()
    assert [line.split(" ")[3] for line in chosen.splitlines() if line[:1].isdigit()] == ["TABLE", "TABLE"]
    (made,) = director.words("psql")
    assert 'CREATE SCHEMA IF NOT EXISTS "fill"' in made and "public" not in made


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_a_tool_that_fails_fails_the_script(verb: str, director: Machine) -> None:
    for tool in ("pg_dump", "pg_restore"):
        director.program(tool, 'echo "server is gone" >&2; exit 3')
    status, _out, said = director.run("director", f"bbr/{verb}", **director.artifact("director")[1])
    tool = "pg_dump" if verb == "backup" else "pg_restore"
    assert (status, said) == (1, f"server is gone\n{tool} failed with status 3: see above\n")


@pytest.mark.parametrize("verb", ["backup", "restore"])
@pytest.mark.parametrize("text", [None, "{", "[]", '{"adapter": "mysql"}', '{"adapter": "postgres"}'])
def test_a_bad_configuration_is_a_sentence(verb: str, text: str | None, director: Machine) -> None:
    config = director.vcap / "jobs" / "director" / "config" / "bbr.json"
    config.unlink() if text is None else config.write_text(text)
    status, _out, said = director.run("director", f"bbr/{verb}", **director.artifact("director")[1])
    assert status == 1 and said.startswith(str(config)) and said.count("\n") == 1
    assert not (director.bin / "pg_dump.words").exists()


def test_another_adapter_is_refused(tmp_path: Path) -> None:
    keys = dict.fromkeys(("username", "password", "host", "port", "database"), "x")
    (tmp_path / "bbr.json").write_text(json.dumps(keys | {"adapter": "mysql"}))
    with pytest.raises(ValueError, match="has the adapter mysql"):
        database_backup_restore.read_config(str(tmp_path / "bbr.json"))


# The blobstore's


def _blobs(machine: Machine) -> dict[str, str]:
    root = machine.vcap / "store" / "blobstore" / "store"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def _put(machine: Machine, name: str, text: str) -> Path:
    """As nginx does it: a file of its own comes into the place of the old one."""
    path = machine.vcap / "store" / "blobstore" / "store" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "new").write_text(text)
    return (path.parent / "new").rename(path)


def test_blobs_are_linked_and_come_back(director: Machine) -> None:
    before = {"ab/one": "1", "cd/two": "2", "cd/three": "3"}
    files = {name: _put(director, name, text) for name, text in before.items()}
    artifact, environ = director.artifact("blobstore")
    (artifact / "old").mkdir()
    assert director.run("blobstore", "bbr/backup", **environ)[0] == 0
    assert {path.name for path in artifact.iterdir()} == {"store"}
    for name, file in files.items():
        assert (artifact / "store" / name).stat().st_ino == file.stat().st_ino
    _put(director, "ab/one", "changed")
    _put(director, "ef/four", "4")
    files["cd/two"].unlink()
    assert (artifact / "store" / "ab" / "one").read_text() == "1"
    (artifact / "store" / "cd" / "three").chmod(0o644)
    status, _out, said = director.run("blobstore", "bbr/restore", **environ)
    assert status == 0, said
    assert _blobs(director) == before
    root = director.vcap / "store" / "blobstore"
    modes = {path.is_dir(): set() for path in root.rglob("*")}
    for path in (root / "store", *(root / "store").rglob("*")):
        modes[path.is_dir()].add(path.stat().st_mode & 0o777)
    assert modes == {True: {0o700}, False: {0o600}}
    assert director.words("chown") == [f" -R vcap:vcap {root}/"]


def test_an_empty_blobstore_is_one_too(director: Machine) -> None:
    (director.vcap / "store" / "blobstore").mkdir()
    artifact, environ = director.artifact("blobstore")
    assert director.run("blobstore", "bbr/backup", **environ)[0] == 0
    assert [path.name for path in artifact.iterdir()] == ["store"]
    _put(director, "ab/one", "1")
    status, _out, said = director.run("blobstore", "bbr/restore", **environ)
    assert (status, _blobs(director)) == (0, {}), said


def test_without_an_artifact_the_blobs_are_gone_but_it_is_told(director: Machine) -> None:
    """BOSH's own removes before it copies, too."""
    _put(director, "ab/one", "1")
    status, _out, said = director.run("blobstore", "bbr/restore", **director.artifact("blobstore")[1])
    assert status != 0 and "bbr-backup/blobstore//store" in said


def test_a_blobstore_that_is_not_to_be_backed_up(machine: Machine, tarballs: dict[str, Path]) -> None:
    properties = workspace.instance_group_properties("meta")["blobstore"]
    off = {"blobstore": properties["blobstore"] | {"bbr": {"enabled": False}}}
    machine.install(tarballs["bosh"], "blobstore", off)
    _put(machine, "ab/one", "1")
    environ = machine.artifact("blobstore")[1]
    skipped = "job property 'blobstore.bbr.enabled' is disabled\n"
    assert machine.run("blobstore", "bbr/backup", **environ) == (0, skipped, "")
    assert machine.run("blobstore", "bbr/restore")[0] == 0
    # One that is to be restored again, from such an artifact.
    machine.install(tarballs["bosh"], "blobstore", properties)
    assert machine.run("blobstore", "bbr/restore", **environ)[1].endswith(skipped)
    assert _blobs(machine) == {"ab/one": "1"}


@pytest.mark.parametrize(
    ("job", "variable"), [("director", "BBR_ARTIFACT_DIRECTORY"), ("blobstore", "ARTIFACT_DIRECTORY")]
)
@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_without_its_variable_a_script_touches_nothing(verb: str, job: str, variable: str, director: Machine) -> None:
    _put(director, "ab/one", "1")
    status, out, said = director.run(job, f"bbr/{verb}")
    assert (status, out) == (1, "")
    assert said == f"{job}: {variable} is not set, so it is not known where the artifact is\n"
    assert _blobs(director) == {"ab/one": "1"}


# lab-app's


def _waves(app: Machine, key: str) -> list[set[str]]:
    """Kahn, as BBR: first those before whom nobody has to be locked."""
    after = {}
    for job in (*ORDERED, "cache"):
        status, out, said = app.run(job, "bbr/metadata", BBR_VERSION="1.9.0")
        assert (status, said) == (0, "")
        metadata = yaml.safe_load(out)
        if not metadata.get("skip_bbr_scripts"):
            after[job] = {one["job_name"] for one in metadata.get(key) or []}
            assert {one["release"] for one in metadata.get(key) or []} <= {"lab-app"}
    waves = []
    while after:
        waves.append(set(after) - set().union(*after.values()))
        assert waves[-1], f"a cycle among {after}"
        after = {job: jobs for job, jobs in after.items() if job not in waves[-1]}
    return waves


def test_the_orders_of_backup_and_restore_differ(app: Machine) -> None:
    assert _waves(app, "backup_should_be_locked_before") == [{"web"}, {"worker"}, {"records"}]
    assert _waves(app, "restore_should_be_locked_before") == [{"records"}, {"web", "worker"}]


def test_a_backup_and_a_restore_of_a_job(app: Machine) -> None:
    store = app.vcap / "store" / "records"
    before = {str(path.relative_to(store)): path.read_text() for path in store.rglob("*") if path.is_file()}
    assert set(before) == {"instance", "rows/1", "rows/2", "rows/3"}
    assert before["instance"] == "data/0 at 10.10.0.34\n"
    artifact, environ = app.artifact("records")
    locked = app.vcap / "data" / "bbr-locked" / "records"
    assert app.run("records", "bbr/pre-backup-lock") == (0, "", "") and locked.exists()
    assert app.run("records", "bbr/backup", **environ) == (0, "", "")
    after = {"BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL": "true"}
    assert app.run("records", "bbr/post-backup-unlock", **after) == (0, "", "") and not locked.exists()
    assert {str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file()} == set(before)
    (store / "rows" / "2").write_text("changed")
    (store / "rows" / "4").write_text("new")
    assert app.run("records", "bbr/pre-restore-lock") == (0, "", "")
    assert app.run("records", "bbr/restore", **environ) == (0, "", "")
    assert app.run("records", "bbr/post-restore-unlock") == (0, "", "") and not locked.exists()
    assert {str(path.relative_to(store)): path.read_text() for path in store.rglob("*") if path.is_file()} == before
    assert app.run("records", "pre-start")[0] == 0
    assert app.order() == [
        ["records", "pre-backup-lock", "-"],
        ["records", "backup", "-"],
        ["records", "post-backup-unlock", "true"],
        ["records", "pre-restore-lock", "-"],
        ["records", "restore", "-"],
        ["records", "post-restore-unlock", "-"],
    ]


@pytest.mark.parametrize(
    ("script", "missing", "words"),
    [
        ("metadata", "BBR_VERSION", "BBR_VERSION is not set"),
        ("backup", "BBR_ARTIFACT_DIRECTORY", "BBR_ARTIFACT_DIRECTORY is not set"),
        ("restore", "BBR_ARTIFACT_DIRECTORY", "BBR_ARTIFACT_DIRECTORY is not set"),
        ("post-backup-unlock", "BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL", "BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL is not"),
        ("backup", "", "backup without pre-backup-lock before it"),
        ("restore", "", "restore without pre-restore-lock before it"),
    ],
)
def test_what_a_script_needs_is_said(script: str, missing: str, words: str, app: Machine) -> None:
    environ = app.artifact("worker")[1] | {"BBR_VERSION": "1", "BBR_AFTER_BACKUP_SCRIPTS_SUCCESSFUL": "false"}
    environ.pop(missing, None)
    status, out, said = app.run("worker", f"bbr/{script}", **environ)
    assert (status, out) == (1, "") and said.startswith(f"worker: {words}"), said


def test_a_directory_that_nobody_made_is_said(app: Machine) -> None:
    app.run("worker", "bbr/pre-backup-lock")
    status, _out, said = app.run("worker", "bbr/backup", BBR_ARTIFACT_DIRECTORY=f"{app.vcap}/none/")
    assert (status, said) == (1, f"worker: there is no directory {app.vcap}/none/\n")


def _fault(app: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    script = host.BBR_FAULT.replace("/var/vcap", str(app.vcap))
    return subprocess.run(["sh", "-c", script, "sh", *words], capture_output=True, text=True)


def test_a_script_fails_until_it_is_told_otherwise(app: Machine) -> None:
    assert _fault(app, "records", "backup", "fail").returncode == 0
    assert app.run("worker", "bbr/pre-backup-lock")[0] == 0
    status, _out, said = app.run("records", "bbr/backup", **app.artifact("records")[1])
    assert status == 1 and said.startswith("records: backup fails, as ")
    assert _fault(app, "records", "backup", "off").returncode == 0
    app.run("records", "bbr/pre-backup-lock")
    assert app.run("records", "bbr/backup", **app.artifact("records")[1])[0] == 0
    # It was begun each time.
    assert [line[:2] for line in app.order()].count(["records", "backup"]) == 2


def test_a_script_hangs_until_it_is_told_otherwise(app: Machine) -> None:
    assert _fault(app, "web", "pre-restore-lock", "hang").returncode == 0
    process = app.start("web", "bbr/pre-restore-lock")
    until = time.monotonic() + 20
    while not app.order() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    assert process.poll() is None and app.order() == [["web", "pre-restore-lock", "-"]]
    assert not (app.vcap / "data" / "bbr-locked" / "web").exists()
    assert _fault(app, "web", "pre-restore-lock", "off").returncode == 0
    assert process.communicate(timeout=20) == ("", "") and process.returncode == 0
    assert (app.vcap / "data" / "bbr-locked" / "web").exists()


@pytest.mark.parametrize("words", [("web", "backup"), ("none", "backup"), ("director", "backup")])
def test_a_fault_that_nobody_would_play_is_refused(
    words: tuple[str, str], app: Machine, tarballs: dict[str, Path]
) -> None:
    app.install(tarballs["bosh"], "director", workspace.instance_group_properties("meta")["director"])
    done = _fault(app, *words, "fail")
    assert (done.returncode, done.stderr) == (1, f"this VM has no job {words[0]} of lab-app with the script backup\n")
    assert not (app.vcap / "data" / "bbr-faults").exists()
