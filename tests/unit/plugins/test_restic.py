# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups in a repository, by the real restic and rclone; the VM is a shell of this host, reached by no ssh."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup, bbr_shelf, restic
from ansible_collections.bosh.ha.plugins.module_utils.restic_repository import Repository
from ansible_collections.bosh.ha.plugins.plugin_utils import restic_stream

from ..conftest import Failed

pytestmark = pytest.mark.skipif(
    not (shutil.which("restic") and shutil.which("rclone")), reason="restic or rclone is not installed"
)

PASSPHRASE = "no-eyes-for-this"
BLOB = 100_000


@dataclass
class Site:
    """A VM and a repository below one directory."""

    top: Path
    written: int = 0
    jobs: list[str] = field(default_factory=lambda: ["blobstore", "postgres"])

    @property
    def artifacts(self) -> Path:
        return self.top / "vm" / "artifacts"

    def args(self, **more: object) -> dict[str, object]:
        given = {
            "repository": str(self.top / "repository"),
            "passphrase": PASSPHRASE,
            "restic": "restic",
            "rclone": "rclone",
            "lock_wait": 0,
            "name": "10.0.0.8",
            "group": "bosh",
            "index": "0",
            "artifacts_dir": str(self.artifacts),
            "program": "",
            "work_dir": str(self.top / "vm" / "work"),
            "timeout": 60,
        }
        return given | more

    def repository(self, **more: object) -> Repository:
        return Repository(self.args(**more))

    def fill(self) -> None:
        """A hundred blobs, of which one has odd bytes in its name, and a dump."""
        (self.artifacts / "postgres").mkdir(parents=True)
        (self.artifacts / "postgres" / "dump.sql").write_text("rows\n" * 1000, encoding="utf-8")
        (self.artifacts / ".bosh_ha").write_text("{}", encoding="utf-8")
        source = random.Random(4)
        for number in range(100):
            path = self.artifacts / "blobstore" / "store" / f"{number % 16:02x}" / f"blob {number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.randbytes(BLOB))
        path.rename(path.with_name("blob ü\n99"))

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.top / "repository").rglob("*") if path.is_file())

    def snapshot(self, stamp: str, **more: object) -> restic.Summary:
        args = self.args(stamp=stamp, **more)
        return restic_stream.snapshot(args, Repository(args), list)

    def back_up(self, begun: float, name: str = "10.0.0.8") -> str:
        """A whole backup; its stamp."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(begun))
        summary = self.snapshot(stamp, name=name)
        artifacts = [
            {"name": job, "group": "bosh", "index": "0", "snapshot": summary.id, "path": str(self.artifacts / job)}
            for job in self.jobs
        ]
        assert self.repository().finish(name, begun, artifacts, {"uuid": name}) == stamp
        return stamp


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A VM with artifacts, and a repository without any. Its key takes restic half a second to make, and to try."""
    made = Site(tmp_path_factory.mktemp("empty"))
    made.fill()
    assert made.repository().ready()
    return made


@pytest.fixture
def site(empty: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(restic.PASSPHRASE, raising=False)
    shutil.copytree(empty.top, tmp_path, dirs_exist_ok=True)
    return Site(tmp_path)


DAY = 86400
BEGUN = 1_795_300_000.0


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_what_was_sent_once_is_not_sent_again_and_comes_back_as_it_was(site, run_module):
    first = site.snapshot("20261101T000000Z")
    assert (first.files_new, first.files_unmodified) == (101, 0)
    before = site.size()
    # As the blobstore's script makes hard links, each blob has another ctime, and one is new.
    for path in site.artifacts.rglob("blob *"):
        os.link(path, site.top / "vm" / "link")
        (site.top / "vm" / "link").unlink()
    changed = site.artifacts / "blobstore" / "store" / "00" / "blob 0"
    changed.write_bytes(random.Random(5).randbytes(BLOB))
    second = site.snapshot("20261102T000000Z")
    assert (second.files_new, second.files_changed, second.files_unmodified) == (0, 1, 100)
    assert site.size() - before < 3 * BLOB

    stamp = site.back_up(BEGUN)
    result, _replay = run_module("restic_backup", exported(site))
    path = Path(result["path"])
    assert path == site.top / "plain" / f"10.0.0.8_{stamp}"
    assert path.stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o077 for one in path.iterdir() if one.suffix == ".tar"} == {0}
    assert [one.file for one in bbr_backup.check(str(path))] == ["bosh-0-blobstore.tar", "bosh-0-postgres.tar"]
    assert bbr_backup.about(str(path)) == {"uuid": "10.0.0.8"}
    activity = bbr_backup.read_metadata(str(path))["backup_activity"]
    assert activity["start_time"] == time.strftime("%Y/%m/%d %H:%M:%S UTC", time.gmtime(BEGUN))
    for job in site.jobs:
        there = site.top / "unpacked" / job
        there.mkdir(parents=True)
        subprocess.run(["tar", "-C", str(there), "-xf", str(path / f"bosh-0-{job}.tar")], check=True)
        assert contents(there) == contents(site.artifacts / job)
        with tarfile.open(path / f"bosh-0-{job}.tar") as tar:
            assert all(member.name == "." or member.name.startswith("./") for member in tar)


def test_an_export_needs_room_before_anything_is_written(site, run_module, monkeypatch):
    site.back_up(BEGUN)
    monkeypatch.setattr(bbr_shelf, "free_at", lambda _path: BLOB)
    with pytest.raises(Failed, match=r"plain on the control node has .* free, and the backup takes .*MB"):
        run_module("restic_backup", exported(site))
    assert not (site.top / "plain").exists()


def exported(site: Site, **more: object) -> dict[str, object]:
    names = ("repository", "passphrase", "lock_wait", "name")
    args = {name: value for name, value in site.args().items() if name in names}
    return args | {"state": "exported", "path": str(site.top / "plain")} | more


def test_nothing_is_left_and_nobody_is_waited_for(site):
    far = restic_stream.script_words(str(site.top / "vm" / "work"), b"", "restic", 60, ["cat", "config"])
    repository = site.repository()
    near = restic.serve(repository.rclone, repository.name)
    ended = restic_stream.join(far, near, repository.environment, f"{PASSPHRASE}\n".encode(), 60)
    # Ended by force it would have another exit code.
    assert (ended.code, ended.near_code) == (0, 0), ended
    assert until(lambda: not running(site), 2), running(site)
    assert list((site.top / "vm" / "work").iterdir()) == []


def arguments_of_restic_s_rclone(repository: str) -> list[str]:
    [given] = [word for word in restic.command("restic", "rclone", repository, []) if word.startswith("rclone.args=")]
    return ["rclone", *given.removeprefix("rclone.args=").split(), repository]


@pytest.mark.parametrize("words_for", [lambda name: restic.serve("rclone", name), arguments_of_restic_s_rclone])
def test_what_was_half_written_when_it_was_listed_is_read_whole(tmp_path, words_for):
    """Another VM writes an index while this one lists them; rclone is asked as restic asks it, but by HTTP."""
    index = tmp_path / "index" / ("0" * 64)
    index.parent.mkdir()
    index.write_bytes(b"half")
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"127.0.0.1:{server.getsockname()[1]}"
    words = [word if word != "--stdio" else f"--addr={at}" for word in words_for(str(tmp_path))]
    with subprocess.Popen([*words, "--log-level=ERROR"]) as rclone:
        try:
            assert until(lambda: b'"size":4' in asked(f"http://{at}/index/"), 20)
            index.write_bytes(b"half, and whole")
            assert asked(f"http://{at}/index/{index.name}") == b"half, and whole"
        finally:
            rclone.terminate()


def asked(url: str) -> bytes:
    """Empty where nobody answers."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Accept": "application/vnd.x.restic.rest.v2"}), timeout=10
        ) as answer:
            return answer.read()
    except OSError:
        return b""


def test_the_vm_s_own_restic_is_taken_where_one_is_named(site):
    program = site.top / "vm" / "own"
    program.write_text('#!/bin/sh\ntouch "$0.ran"\nexec restic "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    site.snapshot("20261101T000000Z", program=str(program))
    assert (site.top / "vm" / "own.ran").exists()


def test_the_passphrase_is_on_no_command_line_and_in_no_file(site):
    """Looked at while restic runs, everywhere."""
    program = site.top / "vm" / "own"
    record = site.top / "vm" / "record"
    program.write_text(
        f'#!/bin/sh\ncat /proc/[0-9]*/cmdline > {record} 2>/dev/null\nexec restic "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    site.snapshot("20261101T000000Z", program=str(program))
    seen = record.read_bytes()
    assert b"serve" in seen and b"--append-only" in seen
    assert PASSPHRASE.encode() not in seen
    record.unlink()
    assert not any(PASSPHRASE.encode() in content for content in contents(site.top).values())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"passphrase": "another"}, "the passphrase is not that of {repository}"),
        ({"passphrase": ""}, "needs a passphrase: set the variable, or BOSH_HA_BACKUP_PASSPHRASE"),
        ({"passphrase": "a\nb"}, "has more than one line"),
        ({"repository": "relative"}, "'relative' is no repository: give an absolute path, or a remote"),
        ({"repository": "nowhere:bucket"}, "nowhere:bucket cannot be reached by rclone: .*didn't find section"),
        ({"repository": ":s3,secret_access_key=x:b"}, "the repository :s3,... has a credential in its name"),
        ({"restic": "restic-is-not-here"}, "the control node has no restic-is-not-here"),
        ({"rclone": "rclone-is-not-here"}, "the control node has no rclone-is-not-here"),
        ({"keep": {"last": 0}}, "last is 0: what is to be kept must be 1 or more"),
        ({"keep": {"newest": 1}}, "newest"),
        ({"restic": "true"}, "and 0.14 or newer is needed"),
        ({"repository": "{top}/vm"}, "{top}/vm has .*, and is no repository of restic's|{top}/vm has .* and is no"),
    ],
)
def test_a_repository_that_cannot_be_used_is_refused_with_a_sentence(site, run_module, given, words):
    args = {name: site.args()[name] for name in ("repository", "passphrase", "lock_wait")}
    args |= {name: value.format(top=site.top) if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(Exception, match=words.format(top=site.top, repository=args["repository"])) as failed:
        run_module("restic_repository", args)
    assert "\n" not in str(failed.value)


def test_the_passphrase_may_come_from_the_environment(site, monkeypatch):
    monkeypatch.setenv(restic.PASSPHRASE, PASSPHRASE)
    assert not site.repository(passphrase=None).ready()


def test_a_repository_is_made_once_and_for_nobody_else(site, run_module):
    args = {"repository": str(site.top / "new" / "one"), "passphrase": PASSPHRASE}
    assert run_module("restic_repository", args, check=True)[0]["changed"]
    assert not (site.top / "new").exists()
    assert run_module("restic_repository", args)[0]["changed"]
    assert not run_module("restic_repository", args)[0]["changed"]
    assert (site.top / "new" / "one").stat().st_mode & 0o777 == 0o700


def test_what_is_thinned_out_is_of_one_name_and_only_what_is_too_old(site, run_module):
    site.artifacts.joinpath("blobstore").rename(site.top / "vm" / "blobstore")
    site.jobs = ["postgres"]
    mine = [site.back_up(BEGUN + day * DAY) for day in range(3)]
    others = site.back_up(BEGUN, name="10.0.0.9")
    # Half done, as after a cut: of no use to anybody, and gone with the next that is whole.
    site.snapshot("20261101T000000Z")
    base = {name: site.args()[name] for name in ("repository", "passphrase", "lock_wait")}
    thin = base | {"state": "thinned", "name": "10.0.0.8", "keep": {"last": 2}}
    assert run_module("restic_repository", thin, check=True)[0]["removed"] == mine[:1]
    assert run_module("restic_repository", thin)[0]["removed"] == mine[:1]
    assert not run_module("restic_repository", thin)[0]["changed"]
    listed = run_module("restic_repository", base | {"state": "listed"})[0]["backups"]
    assert {(one["name"], one["stamp"]) for one in listed} == {
        ("10.0.0.8", mine[1]),
        ("10.0.0.8", mine[2]),
        ("10.0.0.9", others),
    }
    assert len(site.repository().backups("10.0.0.8")) == 3
    site.back_up(BEGUN + 9 * DAY)
    assert all(backup.facts for backup in site.repository().backups())
    run_module("restic_repository", base | {"state": "checked", "read": True})


def test_a_given_backup_is_exported_and_one_that_is_not_there_is_not(site):
    first, second = (site.back_up(BEGUN + day * DAY) for day in range(2))
    repository = site.repository()
    plain = str(site.top / "plain")
    assert repository.export("10.0.0.8", first, plain)[0].endswith(first)
    assert repository.export("10.0.0.8", f"10.0.0.8_{second}", plain)[0].endswith(second)
    with pytest.raises(restic.Refused, match=r"_\d+T\d+Z is there already"):
        repository.export("10.0.0.8", "latest", plain)
    with pytest.raises(restic.Refused, match=f"has no backup 2020 of 10.0.0.8; it has {first}, {second}"):
        repository.export("10.0.0.8", "2020", plain)
    with pytest.raises(restic.Refused, match=r"has no backup of 10\.0\.0\.7"):
        repository.export("10.0.0.7", "latest", plain)


def test_a_backup_without_an_artifact_is_not_finished(site):
    site.jobs.append("credhub")
    with pytest.raises(restic.Refused, match=r"has no .*artifacts/credhub"):
        site.back_up(BEGUN)
    assert not any(backup.facts for backup in site.repository().backups())


def largest_pack(site: Site) -> Path:
    return max((site.top / "repository" / "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)


def flip(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [flip, Path.unlink])
def test_damage_is_found_by_a_check_and_by_an_export(site, harm):
    site.back_up(BEGUN)
    harm(largest_pack(site))
    with pytest.raises(restic.Refused, match="repository is damaged: "):
        site.repository().check(read=True)
    with pytest.raises(restic.Refused, match=r"blobstore of snapshot .*: .*repository is damaged: "):
        site.repository().export("10.0.0.8", "latest", str(site.top / "plain"))
    assert list((site.top / "plain").iterdir()) == []
    assert locks(site) == []


def locks(site: Site) -> list[Path]:
    return list((site.top / "repository" / "locks").iterdir())


def running(site: Site) -> list[str]:
    """Processes of this host that are about the site."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(site.top) in words and path.parent.name != str(os.getpid()):
            found.append(words)
    return found


@pytest.fixture
def slow(site: Site) -> Path:
    """A restic on the VM that has more to send than it may in a minute."""
    program = site.top / "vm" / "slow"
    program.write_text('#!/bin/sh\nexec restic --limit-upload 50 "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (site.artifacts / "postgres" / "more").write_bytes(random.Random(6).randbytes(50 * BLOB))
    return program


def until(condition, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_a_cut_connection_ends_both_sides_and_leaves_the_repository_usable(site, slow):
    # As ssh: what runs on the VM is no child of it that would be killed with it.
    ssh = site.top / "ssh.py"
    ssh.write_text(SSH, encoding="utf-8")
    failures: list[str] = []

    def work() -> None:
        args = site.args(stamp="20261101T000000Z", program=str(slow))
        try:
            restic_stream.snapshot(
                args, Repository(args), lambda words: [sys.executable, str(ssh), str(site.top / "pid"), *words]
            )
        except restic.Refused as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert until(lambda: locks(site))
    os.kill(int((site.top / "pid").read_text(encoding="utf-8")), 9)
    thread.join(40)
    assert not thread.is_alive()
    assert "the connection was cut" in failures[0]
    assert until(lambda: not running(site)), running(site)
    assert locks(site) == []
    assert list((site.top / "vm" / "work").iterdir()) == []
    assert site.snapshot("20261102T000000Z").files_new == 102
    site.repository().forget("10.0.0.8", {"last": 1})


#: Hands bytes on between its own pipes and those of a command that goes on where it is killed.
SSH = """
import os, subprocess, sys, threading
process = subprocess.Popen(
    sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
)
with open(sys.argv[1], "w") as stream:
    stream.write(str(os.getpid()))
def hand(source, target):
    while data := os.read(source, 65536):
        os.write(target, data)
    os.close(target)
threading.Thread(target=hand, args=(0, process.stdin.fileno()), daemon=True).start()
hand(process.stdout.fileno(), 1)
sys.exit(process.wait())
"""


def test_what_takes_too_long_is_ended_on_both_sides(site, slow):
    with pytest.raises(restic.Refused, match="restic did not end in time, and was ended"):
        site.snapshot("20261101T000000Z", program=str(slow), timeout=3)
    assert until(lambda: not running(site)), running(site)
    assert locks(site) == []


def test_a_repository_that_cannot_be_served_is_told(site):
    with pytest.raises(restic.Refused, match="didn't find section"):
        site.snapshot("20261101T000000Z", repository="nowhere:bucket")
    assert until(lambda: not running(site)), running(site)


def test_a_vm_may_add_and_remove_nothing(site):
    stamp = site.back_up(BEGUN)
    program = site.top / "vm" / "evil"
    program.write_text(
        "#!/bin/sh\nfor word; do case $word in backup) break ;; esac; done\n"
        'exec restic "$1" "$2" "$3" "$4" forget --host 10.0.0.8 --keep-last 1 --group-by "" '
        f"{site.repository().backups()[0].facts}\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    with pytest.raises(restic.Refused):
        site.snapshot("20261101T000000Z", program=str(program), timeout=10)
    assert [backup.stamp for backup in site.repository().backups() if backup.facts] == [stamp]


def test_locks_of_others_are_left(site):
    """Whoever is at work on another host is waited for, and told."""
    site.back_up(BEGUN)
    site.back_up(BEGUN + DAY)
    repository = site.repository()
    process = subprocess.Popen(
        ["restic", "-r", f"rclone:{repository.name}", "backup", "--stdin", "--host", "x"],
        env=repository.environment,
        stdin=subprocess.PIPE,
    )
    try:
        assert until(lambda: locks(site))
        assert not repository.drop_lock(os.uname().nodename, 1)
        with pytest.raises(restic.Refused, match="somebody else works on "):
            repository.forget("10.0.0.8", {"last": 1})
        assert len(locks(site)) == 1
        assert repository.drop_lock(os.uname().nodename, process.pid)
        assert locks(site) == []
    finally:
        process.kill()
        process.wait()


def test_names_with_commas_are_names(site):
    site.jobs = ["postgres"]
    stamp = site.back_up(BEGUN, name="a,b=c")
    [backup] = site.repository().backups("a,b=c")
    assert backup.stamp == stamp
    assert site.repository().forget("a,b=c", {"last": 1}) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('bosh_ha vm 12\n{"message_type":"error","error":{"Op":"open"},"item":"/x"}\n', "/x: {'Op': 'open'}"),
        ('{"message_type":"error","error":{"message":"no"},"item":"/x"}\n', "/x: no"),
        ('{"message_type":"status"}\nFatal: a\nFatal: b\n', "Fatal: a / Fatal: b"),
        ("", "it said nothing"),
    ],
)
def test_the_last_words_are_those_that_matter(said, words):
    assert restic.last_words(said) == words
    assert restic.far_process(said) == (("vm", 12) if said.startswith("bosh_ha vm") else None)


def test_a_summary_without_a_snapshot_is_none():
    with pytest.raises(restic.Refused, match="restic told of no snapshot: it said nothing"):
        restic.summary_of(json.dumps({"message_type": "status"}))
