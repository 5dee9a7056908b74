# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""known_hosts as ssh reads it, host keys that are not pinned, and the keys of a copy."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import host_pins, known_hosts

from ..conftest import Failed

ADDRESS = "10.0.0.3"
MAIN = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, str]:
    """A real public key of each type, as `TYPE BASE64`."""
    top = tmp_path_factory.mktemp("keys")
    made = {}
    for kind in ("ed25519", "ecdsa", "rsa"):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(top / kind)], check=True)
        made[kind] = " ".join((top / f"{kind}.pub").read_text(encoding="utf-8").split()[:2])
    return made


def hashed(name: str) -> str:
    salt = bytes(range(20))
    parts = (salt, hmac.new(salt, name.encode(), hashlib.sha1).digest())
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in parts)


def test_a_comment_may_be_any_bytes(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_bytes(b"10.0.0.4 ssh-rsa BBB J\xfcrgen\n10.0.0.3 ssh-rsa AAA\n")
    assert known_hosts.pinned(str(path), ADDRESS) == ["ssh-rsa AAA"]
    known_hosts.write_pinned(str(path), ADDRESS, ["ssh-rsa CCC"])
    assert path.read_bytes() == b"10.0.0.4 ssh-rsa BBB J\xfcrgen\n10.0.0.3 ssh-rsa CCC\n"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("10.0.0.3 {key}", ADDRESS),
        ("  10.0.0.3\t{key}  a  comment", ADDRESS),
        ("10.0.0.3 {key}\r", ADDRESS),
        ("micro,10.0.0.3 {key} J\xfcrgen\x85", ADDRESS),
        ("10.0.0.* {key}", ADDRESS),
        ("10.0.0.? {key}", ADDRESS),
        ("*,!10.0.0.4 {key}", ADDRESS),
        ("*,!10.0.0.3 {key}", ADDRESS),
        ("!10.0.0.* ,10.0.0.3 {key}", ADDRESS),
        ("10.0.0.30 {key}", ADDRESS),
        ("10.0.0.3,10.0.0.30 {key}", "10.0.0.30"),
        ("[10.0.0.3]:2222 {key}", ADDRESS),
        ("[10.0.0.3]:2222 {key}", "[10.0.0.3]:2222"),
        ("[10.0.0.*]:2222 {key}", "[10.0.0.3]:2222"),
        ("fd00::3 {key}", "fd00::3"),
        ("FD00::3 {key}", "fd00::3"),
        ("[fd00::3]:2222 {key}", "[fd00::3]:2222"),
        ("# 10.0.0.3 {key}", ADDRESS),
        ("10.0.0.3", ADDRESS),
        ("Director.Example.COM {key}", "director.example.com"),
        ("@cert-authority 10.0.0.* {key}", ADDRESS),
        (hashed(ADDRESS) + " {key}", ADDRESS),
        (hashed("10.0.0.30") + " {key}", ADDRESS),
        ("|1|no|hash {key}", ADDRESS),
    ],
)
def test_ssh_keygen_finds_the_same(tmp_path, keys, line, name):
    path = tmp_path / "known_hosts"
    path.write_bytes(b"\n" + line.format(key=keys["ed25519"]).encode("latin-1"))
    found = (
        subprocess.run(["ssh-keygen", "-F", name, "-f", str(path)], capture_output=True, check=False).returncode == 0
    )
    marker = "@cert-authority " if line.startswith("@") else ""
    assert known_hosts.entries(str(path), name) == ([f"{marker}{name} {keys['ed25519']}"] if found else [])
    assert known_hosts.pinned(str(path), name) == ([keys["ed25519"]] if found and not marker else [])


def test_a_revoked_key_is_not_pinned(tmp_path, keys):
    path = tmp_path / "known_hosts"
    path.write_text(f"@revoked {ADDRESS} {keys['rsa']}\n", encoding="utf-8")
    assert known_hosts.entries(str(path), ADDRESS) == known_hosts.pinned(str(path), ADDRESS) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"10.0.0.3 ssh-rsa NEW\n"),
        (b"10.0.0.4 ssh-rsa BBB", b"10.0.0.4 ssh-rsa BBB\n10.0.0.3 ssh-rsa NEW\n"),
        (b"10.0.0.4 ssh-rsa BBB\r\n\r\n", b"10.0.0.4 ssh-rsa BBB\r\n\r\n10.0.0.3 ssh-rsa NEW\n"),
        (b"m\xfc,10.0.0.3 ssh-rsa BBB \xfc\n", b"m\xfc ssh-rsa BBB \xfc\n10.0.0.3 ssh-rsa NEW\n"),
        (b"10.0.0.* ssh-rsa BBB\n", b"10.0.0.* ssh-rsa BBB\n10.0.0.3 ssh-rsa NEW\n"),
        (b"@revoked 10.0.0.3 ssh-rsa BBB\n", b"@revoked 10.0.0.3 ssh-rsa BBB\n10.0.0.3 ssh-rsa NEW\n"),
        (b"10.0.0.3 ssh-rsa A\n10.0.0.3 ssh-dss B\n", b"10.0.0.3 ssh-rsa NEW\n"),
    ],
)
def test_other_lines_stay_byte_for_byte(tmp_path, before, after):
    path = tmp_path / "known_hosts"
    path.write_bytes(before)
    path.chmod(0o644)
    known_hosts.write_pinned(str(path), ADDRESS, ["ssh-rsa NEW"])
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (after, 0o644)
    assert os.listdir(tmp_path) == ["known_hosts"]


def test_what_cannot_be_read_names_the_file(tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path}: cannot be read as known_hosts: Is a directory"):
        known_hosts.pinned(str(tmp_path), ADDRESS)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{tmp_path}/file/below: host keys cannot be written: "):
        known_hosts.write_pinned(f"{tmp_path}/file/below", ADDRESS, ["ssh-rsa NEW"])


def test_writers_lose_no_line_of_another(tmp_path):
    path = tmp_path / "known_hosts"
    names = [f"10.0.1.{number}" for number in range(8)]
    writers = [
        threading.Thread(target=known_hosts.write_pinned, args=(str(path), name, ["ssh-rsa A"])) for name in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == [f"{name} ssh-rsa A" for name in names]


def test_a_line_that_ssh_appends_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "known_hosts"
    path.write_text("10.0.0.4 ssh-rsa B\n", encoding="utf-8")
    sync, appended = os.fsync, []

    def append_once(handle: int) -> None:
        sync(handle)
        if not appended:
            appended.append(True)
            with path.open("a", encoding="utf-8") as stream:
                stream.write("10.0.0.5 ssh-rsa C\n")

    monkeypatch.setattr(os, "fsync", append_once)
    known_hosts.write_pinned(str(path), ADDRESS, ["ssh-rsa A"])
    assert path.read_text(encoding="utf-8") == "10.0.0.4 ssh-rsa B\n10.0.0.5 ssh-rsa C\n10.0.0.3 ssh-rsa A\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_fingerprints_are_those_of_ssh_keygen(tmp_path, keys, kind):
    path = tmp_path / "key.pub"
    path.write_text(keys[kind], encoding="utf-8")
    printed = subprocess.run(
        ["ssh-keygen", "-lf", str(path)], capture_output=True, check=True, text=True
    ).stdout.split()
    assert known_hosts.described(keys[kind]) == f"{printed[1]} {printed[-1]}"


@pytest.mark.parametrize("key", ["ssh-rsa", "ssh-rsa AAA", "ssh-rsa ####"])
def test_what_is_no_key_has_no_fingerprint(key):
    with pytest.raises(ValueError, match="is not a public key"):
        known_hosts.fingerprint(key)


# host_key_info, host_key


class Sshd:
    """Stands at the boundary: `ssh` notes the key of the address in its last words but one."""

    def __init__(self, shows: dict[str, str]) -> None:
        self.shows = shows
        self.asked: list[str] = []

    def __call__(self, command, **_options):
        if command[1:] == ["--version"]:
            return 0, "version 7.10.0-abc\n", ""
        address = command[-2]
        self.asked.append(address)
        [noted] = [word.partition("=")[2] for word in command if word.startswith("UserKnownHostsFile=")][:1]
        if address not in self.shows:
            return 255, "", f"ssh: connect to host {address} port 22: Connection refused\r\n"
        Path(noted).write_text(f"{address} {self.shows[address]}\n", encoding="utf-8")
        return 255, "", "Permission denied (publickey).\r\n"


HOSTS = [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(("micro", "primary", "meta"), 3)]


def test_all_unpinned_hosts_are_in_one_advice(run_module, tmp_path, keys):
    path = tmp_path / "absent" / "known_hosts"
    sshd = Sshd({"10.0.0.3": keys["ed25519"], "10.0.0.4": keys["rsa"]})
    args = {
        "hosts": HOSTS,
        "known_hosts": str(path),
        "look_at": ["micro", "primary"],
        "inventory": ["/my site/hosts.yml"],
    }
    result, _replay = run_module("host_key_info", args, runner=sshd, check=True)
    assert (result["changed"], result["not_pinned"], sshd.asked) == (
        False,
        ["micro", "primary"],
        ["10.0.0.3", "10.0.0.4"],
    )
    prints = ",".join(known_hosts.fingerprint(keys[kind]) for kind in ("ed25519", "rsa"))
    command = f"ansible-playbook -i '/my site/hosts.yml' bosh.ha.pin_host_keys -e bosh_ha_pin_host_keys={prints}"
    assert f"`{command}`" in result["advice"]
    assert not path.parent.exists()


def test_a_pinned_host_is_not_asked(run_module, tmp_path, keys):
    path = tmp_path / "known_hosts"
    path.write_text(f"10.0.0.3 {keys['rsa']}\n[10.0.0.4]:2222 {keys['rsa']}\n", encoding="utf-8")
    hosts = [HOSTS[0], HOSTS[1] | {"port": 2222}, HOSTS[2]]
    sshd = Sshd({})
    args = {"hosts": hosts, "known_hosts": str(path), "look_at": ["micro", "primary"]}
    result, _replay = run_module("host_key_info", args, runner=sshd)
    assert [host["pinned"] for host in result["hosts"]] == [True, True, False]
    assert (result["not_pinned"], result["advice"], sshd.asked) == ([], "", [])
    assert result["hosts"][0]["fingerprints"] == [known_hosts.fingerprint(keys["rsa"])]


def test_a_silent_host_is_no_command(run_module, tmp_path):
    args = {"hosts": HOSTS, "known_hosts": str(tmp_path / "known_hosts"), "look_at": ["meta"]}
    result, _replay = run_module("host_key_info", args, runner=Sshd({}))
    assert (result["not_pinned"], result["hosts"][2]["shown"]) == (["meta"], [])
    assert "Connection refused" in result["advice"] and "bosh_ha_pin_host_keys" not in result["advice"]


def test_nothing_to_advise():
    assert host_pins.advice([], "/known_hosts") == ""


def test_only_a_key_that_was_compared_is_pinned(run_module, tmp_path, keys):
    path = tmp_path / "own" / "known_hosts"
    args = {"address": ADDRESS, "known_hosts": str(path)}
    mine, other = (known_hosts.fingerprint(keys[kind]) for kind in ("ed25519", "rsa"))
    sshd = Sshd({ADDRESS: keys["ed25519"]})
    with pytest.raises(Failed, match="none of the fingerprints"):
        run_module("host_key", args | {"fingerprints": [other]}, runner=sshd)
    assert not path.exists()
    result, _replay = run_module("host_key", args | {"fingerprints": [other, mine]}, runner=sshd, check=True)
    assert (result["changed"], path.exists()) == (True, False)
    result, _replay = run_module("host_key", args | {"fingerprints": [other, mine]}, runner=sshd)
    assert (result["changed"], result["source"]) == (True, "fingerprint")
    assert path.read_text(encoding="utf-8") == f"{ADDRESS} {keys['ed25519']}\n"
    assert run_module("host_key", args | {"fingerprints": [mine]}, runner=sshd)[0]["changed"] is False
    # A pinned key is never replaced, whoever compared what.
    with pytest.raises(Failed, match="another key is pinned"):
        run_module("host_key", args | {"fingerprints": [other]}, runner=Sshd({ADDRESS: keys["rsa"]}))
    assert path.read_text(encoding="utf-8") == f"{ADDRESS} {keys['ed25519']}\n"


# ssh_key_pair, authorized_key


def refuse_attributes(programs: Path) -> None:
    """`lsattr` and `chattr` as a file system on disk and a tmpfs answer them."""
    programs.mkdir()
    for name, text in {
        "lsattr": '#!/bin/sh\ncase "$*" in *memory*) echo "---- $2" ;; *) echo "--------------e------- $2" ;; esac\n',
        "chattr": "#!/bin/sh\necho 'chattr: Operation not supported while reading flags' >&2\nexit 1\n",
    }.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)


def run_real(command, **_options):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_key_pair_is_made_where_chattr_is_refused(run_module, tmp_path, monkeypatch):
    refuse_attributes(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "memory" / "key"
    args = {"path": str(path), "comment": "bosh_ha_sync"}
    assert run_module("ssh_key_pair", args, check=True)[0]["public_key"] == ""
    assert not path.parent.exists()
    first = run_module("ssh_key_pair", args, runner=run_real)[0]["public_key"]
    assert path.with_name("key.pub").read_text(encoding="utf-8") == f"{first} bosh_ha_sync\n"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]
    # A pair of an interrupted run is not used again.
    assert run_module("ssh_key_pair", args, runner=run_real)[0]["public_key"] != first
    assert sorted(os.listdir(path.parent)) == ["key", "key.pub"]


def test_a_private_key_is_not_put_where_others_may_look(run_module, tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(Failed, match=f"{tmp_path}/open: the directory of a private key is open to others"):
        run_module("ssh_key_pair", {"path": str(tmp_path / "open" / "key"), "comment": "x"}, runner=run_real)
    assert os.listdir(tmp_path / "open") == []


def test_no_task_on_a_host_moves_attributes():
    """openssh_keypair moves by AnsibleModule.preserved_copy, which runs chattr; lineinfile makes root's remote_tmp."""
    found = [
        f"{path.relative_to(MAIN)}:{number}"
        for path in sorted([*MAIN.glob("roles/*/tasks/*.yml"), *MAIN.glob("playbooks/**/*.yml")])
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip().startswith(("community.crypto.", "attributes:", "ansible.builtin.lineinfile:"))
    ]
    assert found == []


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return {"user": "", "comment": "bosh_ha_sync"}, tmp_path / ".ssh" / "authorized_keys"


GIVEN = {
    "public_key": "ssh-ed25519 AAAC ignored",
    "source_address": "10.0.0.5",
    "command": "sudo -n rrsync -ro /store",
    "hours": 2,
}


def test_a_key_is_let_in_for_some_hours_and_taken_back(run_module, home, monkeypatch):
    args, path = home
    path.parent.mkdir()
    operator = b"ssh-rsa AAAB J\xfcrgen bosh_ha_sync_not\n# bosh_ha_sync\n"
    path.write_bytes(operator + b"restrict ssh-ed25519 OLD bosh_ha_sync")
    path.chmod(0o644)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    until = time.strftime("%Y%m%d%H%M%S", time.localtime(7200))
    assert run_module("authorized_key", args | GIVEN, check=True)[0]["changed"] is True
    assert path.read_bytes().endswith(b"OLD bosh_ha_sync")
    run_module("authorized_key", args | GIVEN)
    options = f'restrict,from="10.0.0.5",expiry-time="{until}",command="sudo -n rrsync -ro /store"'
    line = f"{options} ssh-ed25519 AAAC bosh_ha_sync\n".encode()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (operator + line, 0o644)
    assert run_module("authorized_key", args | {"state": "absent"}, check=True)[0]["changed"] is True
    assert run_module("authorized_key", args | {"state": "absent"})[0]["changed"] is True
    assert (path.read_bytes(), os.listdir(path.parent)) == (operator, ["authorized_keys"])
    assert run_module("authorized_key", args | {"state": "absent"})[0]["changed"] is False


def test_a_user_without_keys_gets_a_directory_of_his_own(run_module, home):
    args, path = home
    assert run_module("authorized_key", args | {"state": "absent"})[0]["changed"] is False
    assert not path.parent.exists()
    run_module("authorized_key", args | GIVEN)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]


def test_what_would_break_out_of_the_line_is_refused(run_module, home):
    args, path = home
    with pytest.raises(Failed, match="double quote"):
        run_module("authorized_key", args | GIVEN | {"command": 'x" ssh-rsa AAAA'})
    with pytest.raises(Failed, match="there is no user nobody-here"):
        run_module("authorized_key", args | GIVEN | {"user": "nobody-here"})
    assert not path.exists()
