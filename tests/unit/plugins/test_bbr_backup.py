# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""BBR's layout, and that damage is found."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.action import bbr_artifact
from ansible_collections.bosh.ha.plugins.module_utils import bbr_jobs
from ansible_collections.bosh.ha.plugins.module_utils.bbr_backup import (
    Artifact,
    Damaged,
    artifacts_of,
    check,
    directory_name,
    exit_code,
    metadata,
    printed_sums,
    rehearsed,
    sums_of,
    tar_sums,
    unfit,
    write_metadata,
)

BEGUN = datetime(2026, 11, 21, 20, 18, 5, tzinfo=UTC)
POSTGRES, BLOBS, ALL = Artifact("postgres", "bosh", "0"), Artifact("blobstore", "bosh", "0"), Artifact("uaa-uaa-all")
FILES = {
    POSTGRES: {"./bosh.sql": b"rows", "./empty": b""},
    BLOBS: {"./store/aa/one": b"1" * 3000000},
    ALL: {"./x y": b"z"},
}


def tar_of(files, prefix=""):
    """As `tar -C DIR -c .` makes it: with the directories, in any order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        directory = tarfile.TarInfo("./")
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)
        for name, content in files.items():
            entry = tarfile.TarInfo(name.removeprefix(prefix))
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def sums():
    return {
        artifact: {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        for artifact, files in FILES.items()
    }


@pytest.fixture
def backup(tmp_path):
    for artifact, files in FILES.items():
        (tmp_path / artifact.file).write_bytes(tar_of(files))
    data = metadata(sums(), BEGUN, BEGUN + timedelta(seconds=61))
    (tmp_path / "metadata").write_text(yaml.safe_dump(data), encoding="utf-8")
    return tmp_path


def test_names_and_times_are_bbr_s():
    assert directory_name("10.10.0.4", BEGUN.astimezone(timezone(timedelta(hours=2)))) == "10.10.0.4_20261121T201805Z"
    assert [artifact.file for artifact in FILES] == ["bosh-0-postgres.tar", "bosh-0-blobstore.tar", "uaa-uaa-all.tar"]
    data = metadata(sums(), BEGUN)
    assert data["backup_activity"] == {"start_time": "2026/11/21 20:18:05 UTC"}
    assert [(one["name"], one["index"], len(one["artifacts"])) for one in data["instances"]] == [("bosh", "0", 2)]
    assert [one["name"] for one in data["custom_artifacts"]] == ["uaa-uaa-all"]
    assert sums_of(data) == sums()


def test_exit_bits_add_up_once_each():
    assert exit_code([]) == 0
    assert exit_code(["lock", "unlock", "unlock", "cleanup"]) == 28
    assert exit_code(["failed", "failed"]) == 1


def test_a_whole_backup_is_whole(backup):
    assert check(str(backup)) == sums()


def test_a_tar_without_the_dot_is_the_same(backup):
    (backup / POSTGRES.file).write_bytes(tar_of(FILES[POSTGRES], prefix="./"))
    assert check(str(backup)) == sums()


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"rows")] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda at: flip(at / POSTGRES.file), r"bosh-0-postgres\.tar is damaged: \./bosh\.sql has another SHA-256"),
        (lambda at: (at / BLOBS.file).unlink(), r"bosh-0-blobstore\.tar is not there, and metadata names it"),
        (lambda at: (at / BLOBS.file).write_bytes((at / BLOBS.file).read_bytes()[:2000000]), "cannot be read as a tar"),
        (lambda at: (at / BLOBS.file).write_bytes(b"no tar" * 200), "cannot be read as a tar"),
        (lambda at: (at / ALL.file).write_bytes(tar_of({})), r"uaa-uaa-all\.tar is without \./x y"),
        (lambda at: (at / ALL.file).write_bytes(tar_of(FILES[ALL] | {"./new": b""})), r"has \./new, of which"),
        (lambda at: (at / "metadata").unlink(), "no backup, or one that was not finished"),
        (lambda at: (at / "metadata").write_text("a: ["), "metadata cannot be read"),
        (lambda at: (at / "metadata").write_text("a: 1"), "it has no backup_activity"),
        (
            lambda at: (at / "metadata").write_text("{backup_activity: {start_time: a}, instances: [{name: x}]}"),
            "not all of",
        ),
        (lambda at: (at / "metadata").write_text("backup_activity: {start_time: a}"), "has no artifact"),
    ],
)
def test_damage_is_found_and_named(backup, harm, words):
    harm(backup)
    with pytest.raises(Damaged, match=words):
        check(str(backup))


@pytest.mark.parametrize(
    "name",
    ["smile-\U0001f600", "=", "y", "12e03", "a: b", "\x7f\x85\u2028\ufeff", "bad-\udcff", "l" * 3000, "a\nb", "' \""],
)
def test_backup_with_any_file_name_is_readable(tmp_path, name):
    (tmp_path / POSTGRES.file).write_bytes(tar_of({f"./{name}": b"x"}))
    summed = {POSTGRES: {f"./{name}": hashlib.sha256(b"x").hexdigest()}}
    write_metadata(str(tmp_path), metadata(summed, BEGUN, BEGUN))
    assert check(str(tmp_path)) == summed
    assert yaml.safe_load((tmp_path / "metadata").read_text(encoding="utf-8"))["instances"][0]["index"] == "0"


def test_metadata_of_bbr_is_read_with_its_types(backup):
    text = (backup / "metadata").read_text(encoding="utf-8")
    (backup / "metadata").write_text(text.replace("index: '0'", "index: 0"), encoding="utf-8")
    assert check(str(backup)) == sums()


def test_what_an_instance_leaves_is_named_as_bbr_names_it():
    jobs = [
        {"name": "db", "artifact": "db", "shared": False, "scripts": ["backup", "restore"]},
        {"name": "web", "artifact": "web-app-backup-one-restore-all", "shared": True, "scripts": ["backup"]},
        {"name": "nats", "artifact": "nats", "shared": False, "scripts": ["metadata"]},
    ]
    assert artifacts_of(jobs, "backup", "data", "1") == [
        {"job": "db", "name": "db", "group": "data", "index": "1", "file": "data-1-db.tar"},
        {
            "job": "web",
            "name": "web-app-backup-one-restore-all",
            "group": "",
            "index": "",
            "file": "web-app-backup-one-restore-all.tar",
        },
    ]
    assert [one["name"] for one in artifacts_of(jobs, "restore", "data", "1")] == ["db"]


@pytest.mark.parametrize(
    ("of_jobs", "backup_file", "restore_file"),
    [
        ({"store": True}, "store-db-backup-one-restore-all.tar", "store-db-backup-one-restore-all.tar"),
        # BackupArtifactName asks for the bootstrap instance, RestoreArtifactName does not (instance/job.go).
        ({"store": False}, "db-1-store.tar", "store-db-backup-one-restore-all.tar"),
        ({}, "db-1-store.tar", "db-1-store.tar"),
        # A list stands for the bootstrap instance.
        (["store"], "store-db-backup-one-restore-all.tar", "store-db-backup-one-restore-all.tar"),
    ],
)
def test_only_the_bootstrap_instance_leaves_what_all_restore(of_jobs, backup_file, restore_file):
    found = [{"name": "store", "scripts": ["backup", "restore"], "metadata": ""}]
    jobs = bbr_jobs.tell(found, True, {"store": "db"}, of_jobs)["jobs"]
    files = [[one["file"] for one in artifacts_of(jobs, script, "db", "1")] for script in ("backup", "restore")]
    assert files == [[backup_file], [restore_file]]


def taken(*files):
    return [{"job": "x", "name": "x", "group": "", "index": "", "file": file} for file in files]


def left(file, group="", index=""):
    return {"file": file, "group": group, "index": index}


SHARED = "store-db-backup-one-restore-all.tar"
TWO = [["db", "0"], ["db", "1"]]


@pytest.mark.parametrize(
    ("artifacts", "takers", "instances", "problems", "ignored"),
    [
        # Beside the one that leaves for all, what an instance leaves is restored nowhere.
        ([left(SHARED), left("db-1-store.tar", "db", "1")], [taken(SHARED)] * 2, TWO, [], ["db-1-store.tar"]),
        # A job that backs up and restores nothing.
        (
            [left("db-0-a.tar", "db", "0"), left("db-0-b.tar", "db", "0")],
            [taken("db-0-a.tar")],
            TWO,
            [],
            ["db-0-b.tar"],
        ),
        ([left("db-2-a.tar", "db", "2")], [taken()], TWO, ["the deployment has no instance db/2"], ["db-2-a.tar"]),
        ([left("db-0-a.tar", "db", "0")], [taken("db-0-a.tar", SHARED)], TWO, [f"it has no {SHARED}"], []),
        # An index may be a number.
        ([left("db-0-a.tar", "db", "0")], [taken("db-0-a.tar")], [["db", 0]], [], []),
        ([], [taken("db-0-a.tar")], TWO, ["it has no db-0-a.tar"], []),
    ],
)
def test_a_backup_fits_as_bbr_has_it(artifacts, takers, instances, problems, ignored):
    assert unfit(artifacts, takers, instances) == {"problems": problems, "ignored": ignored}


def test_what_came_of_a_rehearsal_is_beside_the_backup(backup, run_module):
    result, _replay = run_module("bbr_backup", {"state": "described", "path": str(backup)})
    assert result["rehearsed"] == rehearsed(str(backup)) == {}
    (backup / "rehearsed.json").write_text('{"at": "2026-11-21T22:10:00Z", "passed": true}', encoding="utf-8")
    for state in ("described", "checked"):
        result, _replay = run_module("bbr_backup", {"state": state, "path": str(backup)})
        assert result["rehearsed"]["passed"] is True
    (backup / "rehearsed.json").write_text("{", encoding="utf-8")
    with pytest.raises(Damaged, match=r"rehearsed\.json cannot be read"):
        rehearsed(str(backup))


@pytest.mark.parametrize("names", [["a b", "-c", "sub/\\d", "ü"], ["a b", "line\nbreak"], ["dir\n/x"], []])
@pytest.mark.parametrize("openssl", [True, False])
def test_the_host_sums_up_files_of_any_name_with_what_it_has(tmp_path, names, openssl):
    (tmp_path / "bin").mkdir()
    for program in ("find", "xargs", "sha256sum", "tr", *(["openssl"] if openssl else [])):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program))
    top = tmp_path / "artifact"
    top.mkdir()
    for name in names:
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(name, encoding="utf-8")
    words = [word.replace("{}", str(top)) for word in bbr_artifact.SUMS]
    done = subprocess.run(["/bin/sh", *words[1:]], capture_output=True, check=True, env={"PATH": str(tmp_path / "bin")})
    assert printed_sums(done.stdout) == {f"./{name}": hashlib.sha256(name.encode()).hexdigest() for name in names}


def test_a_directory_that_is_not_there_has_no_sums(tmp_path):
    words = [word.replace("{}", str(tmp_path / "nothing")) for word in bbr_artifact.SUMS]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 2


def test_an_artifact_with_holes_is_small_and_has_the_sums_of_its_contents(tmp_path):
    top = tmp_path / "artifact"
    top.mkdir()
    size = 64 << 20
    with (top / "sparse").open("wb") as stream:
        stream.write(b"x")
        stream.truncate(size)
    (top / "plain").write_bytes(b"plain")
    packed = subprocess.run(
        [word.replace("{}", str(top)) for word in bbr_artifact._TAR], capture_output=True, check=True
    ).stdout
    assert len(packed) < 1 << 20
    wanted = {"./sparse": b"x" + bytes(size - 1), "./plain": b"plain"}
    assert tar_sums(io.BytesIO(packed)) == {name: hashlib.sha256(data).hexdigest() for name, data in wanted.items()}
    # As it comes back on a VM.
    there = tmp_path / "there"
    words = [word.replace("{}", str(there)) for word in bbr_artifact._UNTAR]
    subprocess.run(words, input=packed, check=True)
    assert (there / "sparse").stat().st_size == size
    assert (there / "sparse").stat().st_blocks * 512 < 1 << 20
