# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The out-of-band kit is written and used, over a `bosh` of the tests; no secret is told."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .plugins.test_rebuilt_manifest import micro, primary
from .role_runner import Roles, write_program

SECRET = "not-for-eyes"
PASSWORD = "words-for-the-kit"
#: On this machine, so that nobody else is asked.
ADDRESSES = {"micro": "127.0.77.3", "primary": "127.0.77.4", "meta": "127.0.77.5"}
#: Answers as the CLI does; the manifests are JSON, and vars stores have no mappings.
BOSH = """words = sys.argv[1:]
with open(TOLD, "a") as stream:
    stream.write(" ".join(words) + "\\n")
def answer(blocks=(), rows=(), content="", lines=("Succeeded",), rc=0):
    tables = [{"Content": content, "Rows": list(rows)}]
    print(json.dumps({"Tables": tables, "Blocks": list(blocks), "Lines": list(lines)}))
    sys.exit(rc)
known = json.load(open(WORLD))
me = next((name for name, address in ADDRESSES.items() if address == os.environ.get("BOSH_ENVIRONMENT")), "")
if words == ["--version"]:
    print("version 7.10.0-abc")
elif "interpolate" in words:
    text = open(words[words.index("interpolate") + 1]).read()
    if "--vars-store" in words:
        for name, value in json.load(open(words[words.index("--vars-store") + 1])).items():
            text = text.replace(f"(({name}))", value)
    found = json.loads(text)
    for word in words:
        if word.startswith("--path="):
            for key in word[8:].split("/"):
                found = found[int(key) if isinstance(found, list) else key]
    answer([json.dumps(found)])
elif "create-env" in words:
    path = words[words.index("--state") + 1]
    state = json.load(open(path))
    state["current_vm_cid"] = "vm-rebuilt"
    json.dump(state, open(path, "w"))
    print("Started deploying")
elif "environments" in words:
    answer(content="environments")
elif "alias-env" in words:
    answer()
elif me not in known["answers"]:
    answer(lines=["Fetching info:", "Performing request GET 'https://x:25555/info': connection refused"], rc=1)
elif "env" in words:
    answer(rows=[{"name": me, "uuid": known["uuid"], "version": "283.1", "cpi": "d", "user": "admin"}])
elif "deployments" in words:
    rows = [{"name": name, "release_s": "bosh/283.1.6", "stemcell_s": "s/1"} for name in known["answers"][me]]
    answer(rows=rows, content="deployments")
elif "instances" in words:
    of = words[words.index("-d") + 1]
    row = {"instance": "bosh/x", "process_state": "running", "az": "z1"}
    answer(rows=[row | {"vm_cid": f"vm-{of}", "disk_cids": f"disk-{of}"}], content="instances")
else:
    answer(lines=["not known"], rc=1)
"""
HOST_KEY = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({name: {"type": "raw"} for name in
    ("address", "port", "known_hosts", "source", "made_now", "ssh_args", "cli", "environment", "client",
     "client_secret", "ca_cert", "all_proxy", "config_path")})
module.exit_json(changed=True)
"""
MODULES = {"host_key": HOST_KEY}


class Site:
    """A control node, and what its directors are like."""

    def __init__(self, top: Path, roles: Roles) -> None:
        self.top, self.roles = top, roles
        self.kit = top / "work" / "kit.vault"
        (top / "work").mkdir()
        base = micro()
        base["instance_groups"][0]["networks"][0]["static_ips"] = [ADDRESSES["micro"]]
        base["networks"][0]["subnets"][0]["range"] = "127.0.77.0/24"
        for name, manifest in {
            "micro": base,
            "primary": primary(password="((admin_password))"),
            "meta": primary(),
        }.items():
            (top / f"{name}.yml").write_text(json.dumps(manifest), encoding="utf-8")
            store = {"admin_password": f"{SECRET}-{name}"}
            (top / f"{name}-vars.yml").write_text(json.dumps(store), encoding="utf-8")
        (top / "known_hosts").write_text("127.0.77.4 ssh-ed25519 AAAA\n", encoding="utf-8")
        self.uuid = "uuid-1"
        self.answers: dict[str, list[str]] = {"primary": ["bosh-meta"], "meta": ["bosh-primary"]}

    def play(self, role: str, *words: str, environ: dict[str, str] | None = None, **variables: Any) -> tuple[int, str]:
        paths = {"TOLD": f"{self.top}/told", "WORLD": f"{self.top}/world", "ADDRESSES": ADDRESSES}
        write_program(self.top / "bosh", BOSH, **paths)
        world = {"uuid": self.uuid, "answers": self.answers}
        (self.top / "world").write_text(json.dumps(world), encoding="utf-8")
        cli = {"cli": f"{self.top}/bosh", "config_path": f"{self.top}/config", "all_proxy": "socks5://127.0.0.1:1"}
        environ = {"BOSH_HA_KIT_PASSWORD": ""} | (environ or {})
        given = {"bosh_ha_cli_options": cli} | variables
        return self.roles.play(
            self.top, role, "main", "-v", "--diff", *words, variables=given, hosts={}, environ=environ
        )

    def write(self, *words: str, **more: Any) -> tuple[int, str]:
        more.setdefault("environ", {"BOSH_HA_KIT_PASSWORD": PASSWORD})
        directors = {
            name: {
                "address": address,
                "manifest": f"{self.top}/{name}.yml",
                "vars_store": f"{self.top}/{name}-vars.yml",
                "ca_cert": "-----BEGIN CERTIFICATE-----",
            }
            for name, address in ADDRESSES.items()
        }
        own = {
            "bosh_ha_directors": directors,
            "bosh_ha_work_dir": f"{self.top}/work",
            "bosh_ha_known_hosts": f"{self.top}/known_hosts",
        }
        return self.play("write_kit", *words, **own, **more)

    def pair(self, *words: str) -> tuple[int, str]:
        return self.play("pair_again", *words, f"-e@{self.top}/lost/vars.yml", pair_again_dir=f"{self.top}/lost")

    def rebuild(self, *words: str, **more: Any) -> tuple[int, str]:
        more.setdefault("environ", {"BOSH_HA_KIT_PASSWORD": PASSWORD})
        own = {"rebuild_micro_kit": str(self.kit), "rebuild_micro_dir": f"{self.top}/lost"}
        return self.play("rebuild_micro", *words, **(own | more))

    def lose_all(self) -> None:
        """Both directors, and what the control node had."""
        self.answers = {}
        for path in [*self.top.glob("*.yml"), self.top / "known_hosts"]:
            path.unlink()

    def asked(self) -> str:
        return (self.top / "told").read_text(encoding="utf-8")


def viewed(kit: Path, password: str = PASSWORD) -> dict[str, Any]:
    """What `ansible-vault view` shows, without this collection."""
    secret = kit.parent / "password"
    secret.write_text(password, encoding="utf-8")
    vault = Path(sys.executable).parent / "ansible-vault"
    words = [str(vault), "view", "--vault-password-file", str(secret), str(kit)]
    return yaml.safe_load(subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout)


@pytest.fixture
def site(tmp_path: Path, roles: Roles) -> Site:
    return Site(tmp_path, roles)


def test_the_kit_is_written_once_and_any_ansible_vault_opens_it(site: Site):
    rc, told = site.write()
    assert rc == 0, told
    assert site.kit.stat().st_mode & 0o777 == 0o600
    assert site.kit.read_bytes().startswith(b"$ANSIBLE_VAULT;1.1;AES256\n")
    kit = viewed(site.kit)
    assert kit["directors"]["primary"]["vm"]["disk_cids"] == ["disk-bosh-primary"]
    assert kit["directors"]["meta"]["vm"]["by"] == "primary"
    assert kit["directors"]["primary"]["api"]["uuid"] == "uuid-1"
    assert SECRET in kit["files"]["primary/vars_store/primary-vars.yml"]
    assert kit["files"]["known_hosts/known_hosts"].startswith("127.0.77.4")
    assert [one["url"] for one in kit["artifacts"]["micro"]["releases"]] == ["https://x/bosh.tgz", "https://x/cpi.tgz"]
    assert "rebuild_micro" in kit["readme"]
    assert SECRET not in told and PASSWORD not in told
    assert SECRET not in site.asked() and PASSWORD not in site.asked()
    before = site.kit.read_bytes()
    rc, told = site.write()
    assert rc == 0 and "encrypted, as it was" in told
    assert site.kit.read_bytes() == before
    assert not (site.kit.parent / "kit.vault.1").exists()


def test_check_mode_writes_nothing(site: Site):
    rc, told = site.write("--check")
    assert rc == 0, told
    assert not site.kit.exists()


def test_without_a_password_it_is_one_sentence_or_said_aloud(site: Site):
    rc, told = site.write(environ={})
    assert rc == 2
    assert "there is no password to encrypt it with" in told
    assert "write_kit_vault_id" in told and "write_kit_password" in told
    rc, told = site.write(environ={}, write_kit_required=False)
    assert rc == 0, told
    assert "no kit was written: there is no password" in told
    assert not site.kit.exists()


@pytest.mark.parametrize("vault_id", ["", "kit"])
def test_a_vault_password_of_the_run_will_do(site: Site, vault_id: str):
    (site.top / "vault-password").write_text(PASSWORD, encoding="utf-8")
    (site.top / "other").write_text("another", encoding="utf-8")
    words = ["--vault-id", f"{vault_id or 'default'}@{site.top}/vault-password"]
    words = ["--vault-id", f"first@{site.top}/other", *words] if vault_id else words
    rc, told = site.write(*words, environ={}, write_kit_vault_id=vault_id)
    assert rc == 0, told
    assert viewed(site.kit)["files"]
    rc, told = site.write(*words, environ={}, write_kit_vault_id="unknown", write_kit_path=f"{site.top}/other.vault")
    assert rc == 2
    assert "with the identity unknown" in told


def test_what_is_not_told_now_is_kept_and_said_and_former_kits_stay(site: Site):
    assert site.write()[0] == 0
    site.answers = {"primary": ["bosh-meta"]}
    (site.top / "micro-vars.yml").unlink()
    rc, told = site.write()
    assert rc == 0, told
    kit = viewed(site.kit)
    assert kit["directors"]["primary"]["vm"]["disk_cids"] == ["disk-bosh-primary"]
    assert kit["directors"]["primary"]["vm"]["stale"] is True
    assert "stale" not in kit["directors"]["meta"]["vm"]
    assert "primary: nobody tells the CIDs of its VM and disk now; the kit keeps what was told at" in told
    assert SECRET in kit["files"]["micro/vars_store/micro-vars.yml"]
    assert "stale" not in viewed(site.kit.parent / "kit.vault.1")["directors"]["primary"]["vm"]
    for number in range(4):
        site.uuid = f"uuid-{number + 2}"
        assert site.write()[0] == 0
    assert sorted(path.name for path in site.kit.parent.glob("kit.vault*")) == [
        "kit.vault",
        "kit.vault.1",
        "kit.vault.2",
        "kit.vault.3",
    ]


def test_a_former_kit_of_another_password_is_kept(site: Site):
    assert site.write()[0] == 0
    former = site.kit.read_bytes()
    rc, told = site.write(environ={"BOSH_HA_KIT_PASSWORD": "another"})
    assert rc == 0, told
    (aside,) = site.kit.parent.glob("kit.vault.unopened-*")
    assert aside.read_bytes() == former
    assert f"it is kept as {aside}" in told
    assert viewed(site.kit, "another")["files"]


def test_a_file_that_is_no_text_is_named(site: Site):
    (site.top / "key").write_bytes(b"\xff\xfe")
    rc, told = site.write(write_kit_more_files=[f"{site.top}/key"])
    assert rc == 2
    assert f"no kit was written: {site.top}/key is no text in UTF-8" in told


def test_all_is_prepared_and_shown_from_the_kit_alone(site: Site):
    assert site.write()[0] == 0
    site.lose_all()
    rc, told = site.rebuild()
    assert rc == 0, told
    assert "it takes Primary's disk disk-bosh-primary, as was told at 20" in told
    assert "then give -e rebuild_micro_go=true" in told
    assert "create-env" not in site.asked()
    assert SECRET not in told and PASSWORD not in told
    lost = site.top / "lost"
    assert lost.stat().st_mode & 0o777 == 0o700
    assert not [path for path in lost.rglob("*") if path.stat().st_mode & 0o077]
    manifest = yaml.safe_load((lost / "rebuilt" / "micro.yml").read_text(encoding="utf-8"))
    group = manifest["instance_groups"][0]
    assert group["jobs"][0]["properties"]["password"] == f"{SECRET}-primary", "Primary's, and not Micro's"
    assert group["networks"][0]["static_ips"] == [ADDRESSES["primary"]]
    variables = yaml.safe_load((lost / "vars.yml").read_text(encoding="utf-8"))
    assert Path(variables["bosh_ha_directors"]["micro"]["manifest"]).is_file()
    assert Path(variables["bosh_ha_known_hosts"]).is_file()


def test_the_disk_is_taken_and_the_director_is_known_again(site: Site):
    assert site.write()[0] == 0
    site.lose_all()
    site.answers = {"primary": ["bosh-meta"]}
    rc, told = site.rebuild("-e", "rebuild_micro_go=true")
    assert rc == 0, told
    (words,) = [line for line in site.asked().splitlines() if "create-env" in line]
    assert f"create-env {site.top}/lost/rebuilt/micro.yml --vars-store {site.top}/lost/rebuilt/vars.yml" in words
    state = json.loads((site.top / "lost" / "rebuilt" / "micro-state.json").read_text(encoding="utf-8"))
    assert [disk["cid"] for disk in state["disks"]] == ["disk-bosh-primary"]
    assert f"ansible-playbook bosh.ha.pair_again -e @{site.top}/lost/vars.yml" in told
    assert SECRET not in told
    # Once more: nothing that create-env wrote is lost, and its own VM is no stranger.
    rc, told = site.rebuild("-e", "rebuild_micro_go=true")
    assert rc == 0, told
    again = json.loads((site.top / "lost" / "rebuilt" / "micro-state.json").read_text(encoding="utf-8"))
    assert again == state


def test_no_pair_is_made_of_what_is_not_there(site: Site):
    assert site.write()[0] == 0
    site.lose_all()
    assert site.rebuild()[0] == 0
    rc, told = site.pair()
    assert rc == 2
    assert f"pair_again_dir: {site.top}/lost/rebuilt/micro-state.json has no VM" in told
    site.answers = {"primary": ["bosh-meta"]}
    assert site.rebuild("-e", "rebuild_micro_go=true")[0] == 0
    site.answers = {}
    rc, told = site.pair()
    assert rc == 2
    assert f"neither Primary ({ADDRESSES['primary']}) nor Meta ({ADDRESSES['meta']}) answers" in told
    assert not [line for line in site.asked().splitlines() if "cloud-check" in line or "delete-vm" in line]


def test_another_director_s_disk_is_found_out(site: Site):
    assert site.write()[0] == 0
    site.lose_all()
    site.answers, site.uuid = {"primary": ["bosh-meta"]}, "uuid-9"
    rc, told = site.rebuild("-e", "rebuild_micro_go=true")
    assert rc == 2
    assert "has the UUID uuid-9" in told and "the kit knows Primary as uuid-1 with bosh-meta" in told


def test_nobody_is_made_where_somebody_answers(site: Site):
    assert site.write()[0] == 0
    site.lose_all()
    with socket.create_server((ADDRESSES["primary"], 25555)):
        rc, told = site.rebuild("-e", "rebuild_micro_go=true")
    assert rc == 2
    assert f"somebody answers at Primary's address {ADDRESSES['primary']}, port 25555" in told
    assert "create-env" not in site.asked()


def test_a_directory_in_use_is_refused_and_a_kit_that_does_not_open(site: Site):
    assert site.write()[0] == 0
    (site.top / "lost").mkdir()
    (site.top / "lost" / "mine").touch()
    rc, told = site.rebuild()
    assert rc == 2
    assert "lost is not empty, and was not unpacked from" in told
    assert [path.name for path in (site.top / "lost").iterdir()] == ["mine"]
    rc, told = site.rebuild(environ={"BOSH_HA_KIT_PASSWORD": "wrong"})
    assert rc == 2
    assert "is not opened by any vault password that this run has" in told
    rc, told = site.rebuild(environ={})
    assert rc == 2
    assert "there is no password to open it with" in told


def test_a_kit_without_the_disk_needs_its_cid(site: Site):
    site.answers = {}
    assert site.write()[0] == 0
    rc, told = site.rebuild()
    assert rc == 2
    assert "rebuild_micro_disk_cid: the kit names no disk of Primary" in told
    rc, told = site.rebuild(rebuild_micro_disk_cid="disk-7")
    assert rc == 0, told
    assert "it takes Primary's disk disk-7" in told


def test_check_mode_unpacks_nothing(site: Site):
    assert site.write()[0] == 0
    rc, told = site.rebuild("--check", rebuild_micro_go=True)
    assert rc == 0, told
    assert not (site.top / "lost").exists()
    assert "create-env" not in site.asked()


def test_the_playbooks_run_the_roles():
    """The playbooks name the roles."""
    books = Path(__file__).parents[2] / "playbooks"
    for book, role in {"out_of_band_kit": "write_kit", "rebuild_micro": "rebuild_micro"}.items():
        (play,) = yaml.safe_load((books / f"{book}.yml").read_text(encoding="utf-8"))
        assert play["roles"] == [{"role": f"bosh.ha.{role}"}]
    again, _on = yaml.safe_load((books / "pair_again.yml").read_text(encoding="utf-8"))
    assert again["roles"] == [{"role": "bosh.ha.hold_run_lock"}, {"role": "bosh.ha.pair_again"}]
