# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole roles with `-v` over a `bosh` of the tests; the manifest holds a secret, and nothing that is told has it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from .role_runner import Roles, Run, write_program

SECRET = "not-for-eyes"
#: Answers as the CLI does, and writes down what it was asked.
BOSH = """with open(TOLD, "a") as stream:
    stream.write(" ".join(sys.argv[1:]) + "\\n")
def answer(blocks=(), rows=(), content="", lines=("Succeeded",), rc=0):
    tables = [{"Content": content, "Rows": list(rows)}]
    print(json.dumps({"Tables": tables, "Blocks": list(blocks), "Lines": list(lines)}))
    sys.exit(rc)
if sys.argv[1:] == ["--version"]:
    print("version 7.10.0-abc")
elif "interpolate" in sys.argv:
    answer([open(MANIFEST).read()])
elif "configs" in sys.argv:
    answer(rows=[{"id": "1", "type": "cloud", "name": "default"}], content="configs")
elif "config" in sys.argv:
    answer(rows=[{"id": "1", "type": "cloud", "name": "default", "content": "azs: []"}], content="config")
elif "env" in sys.argv:
    answer(rows=[{"name": "a", "uuid": "b", "version": "c", "cpi": "d", "user": "admin"}])
elif "instances" in sys.argv:
    vm = {"vm_cid": "vm-1", "disk_cids": "disk-1", "process_state": "running"}
    answer(rows=[{"instance": "bosh/1"} | vm], content="instances")
elif "releases" in sys.argv:
    answer(content="releases")
elif "deploy" in sys.argv and os.path.exists(TOLD + ".refuses"):
    answer(lines=["Error: Instance group 'bosh' has no such thing", "Exit code 1"], rc=1)
else:
    answer()
"""
V1 = {
    "name": "bosh-primary",
    "jobs": [{"name": "bosh", "template": ["powerdns", "director"]}],
    "properties": {"hm": {"intervals": {}}, "dns": {"recursor": "10.10.0.3"}, "nats": {"password": SECRET}},
}
V2 = {
    "name": "bosh-primary",
    "instance_groups": [
        {
            "name": "bosh",
            "jobs": [
                {"name": "health_monitor", "properties": {"hm": {"director_account": {"password": SECRET}}}},
                {"name": "director", "properties": {"dns": {"recursor": "10.10.0.3"}, "blobstore": {"name": SECRET}}},
            ],
        }
    ],
    "networks": [{"name": "default", "subnets": [{"dns": ["10.10.0.3", "10.10.0.30"]}]}],
}


@pytest.fixture
def run(tmp_path: Path, roles: Roles) -> Run:
    """Runs a whole role with `-v`."""

    def play(role: str, manifest: Any, variables: dict[str, Any], *words: str) -> tuple[int, str]:
        (tmp_path / "manifest.yml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
        (tmp_path / "vars.yml").write_text(f"password: {SECRET}\n", encoding="utf-8")
        paths = {"TOLD": f"{tmp_path}/told", "MANIFEST": f"{tmp_path}/manifest.yml"}
        write_program(tmp_path / "bosh", BOSH, **paths)
        common = {"client_secret": "else", "ca_cert": "-----BEGIN CERTIFICATE-----"}
        director = {"manifest": f"{tmp_path}/manifest.yml", "vars_files": [f"{tmp_path}/vars.yml"]}
        given = {
            "bosh_ha_directors": {
                "micro": common | {"address": "10.10.0.3"},
                "primary": common | {"address": "10.10.0.4"} | director,
                "meta": common | {"address": "10.10.0.5"} | variables.pop("meta", {}),
            },
            "bosh_ha_work_dir": f"{tmp_path}/work",
            "bosh_ha_cli_options": {"cli": f"{tmp_path}/bosh", "all_proxy": "socks5://127.0.0.1:1"},
        }
        return roles.play(tmp_path, role, "main", "-v", "--diff", *words, variables=given | variables, hosts={})

    return play


RESURRECTOR = {"enable_resurrector_name": "primary", "enable_resurrector_by": "meta"}
RECURSOR = {
    "strip_dns_recursor_name": "primary",
    "strip_dns_recursor_by": "meta",
    "strip_dns_recursor_address": "10.10.0.3",
}


@pytest.mark.parametrize("manifest", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(("role", "variables"), [("enable_resurrector", RESURRECTOR), ("strip_dns_recursor", RECURSOR)])
def test_no_secret_of_the_manifest_is_told(run: Run, tmp_path: Path, role, variables, manifest):
    rc, told = run(role, manifest, dict(variables))
    assert rc == 0, told
    assert "interpolate" in (tmp_path / "told").read_text(encoding="utf-8")
    assert "health_monitor" in told or "hm" in told, "the results are shown"
    assert SECRET not in told


def test_what_is_looked_for_in_values_is_found_all_the_same(run: Run, tmp_path: Path):
    rc, told = run("strip_dns_recursor", V2, dict(RECURSOR))
    assert rc == 0, told
    assert "manifest.yml names 10.10.0.3: /networks/name=default/subnets/0/dns/0" in told
    ops = yaml.safe_load((tmp_path / "work" / "primary-strip-dns-recursor.yml").read_text(encoding="utf-8"))
    home = "/instance_groups/name=bosh/jobs/name=director/properties"
    assert ops == [{"type": "remove", "path": f"{home}/dns/recursor"}]
    rc, told = run("strip_dns_recursor", V1, dict(RECURSOR))
    assert "BOSH reads no more of" in told and "/jobs/name=bosh/template/name=powerdns" in told


def test_thresholds_of_the_command_line_are_numbers_in_the_ops_file(run: Run, tmp_path: Path):
    rc, told = run("enable_resurrector", V2, dict(RESURRECTOR), "-e", "enable_resurrector_minimum_down_jobs=3")
    assert rc == 0, told
    ops = yaml.safe_load((tmp_path / "work" / "primary-resurrector.yml").read_text(encoding="utf-8"))
    assert [operation["value"] for operation in ops] == [True, 3, 0.2, 600]
    rc, told = run("enable_resurrector", V2, RESURRECTOR | {"enable_resurrector_minimum_down_jobs": "1"})
    assert rc == 2
    assert "minimum_down_jobs is 1, but needs 2 or more" in told


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("words", [(), ("--check",)])
def test_meta_gets_its_cloud_config_before_it_deploys(run: Run, tmp_path: Path, given: bool, words: tuple[str, ...]):
    (tmp_path / "cloud.yml").write_text("azs: [{name: z1}]\n", encoding="utf-8")
    meta = {"cloud_config": f"{tmp_path}/cloud.yml"} if given else {}
    rc, told = run("enable_resurrector", V2, RESURRECTOR | {"meta": meta}, *words)
    assert rc == 0, told
    asked = [
        line
        for line in (tmp_path / "told").read_text(encoding="utf-8").splitlines()
        if " deploy " in line or "update-config" in line
    ]
    assert ["update-config" if "update-config" in line else "deploy" for line in asked] == (
        [] if words else ["update-config", "deploy"] if given else ["deploy"]
    )
    assert ("z1" in told) is given


@pytest.mark.parametrize("waits", [True, False])
def test_a_manifest_that_bosh_refuses_is_refused_in_check_mode_too(run: Run, tmp_path: Path, waits: bool):
    """Unless an upload is only foretold: then BOSH has no word on the deploy yet."""
    (tmp_path / "told.refuses").touch()
    tarball = tmp_path / "release.tgz"
    (tmp_path / "release.MF").write_text("name: bosh\nversion: '1'\n", encoding="utf-8")
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(tmp_path / "release.MF", "release.MF")
    variables = {
        "deploy_director_name": "primary",
        "deploy_director_by": "meta",
        "deploy_director_release": str(tarball) if waits else "",
        "bosh_ha_known_hosts": f"{tmp_path}/known_hosts",
    }
    rc, told = run("deploy_director", V2, variables, "--check")
    assert rc == (0 if waits else 2), told
    assert "Instance group 'bosh' has no such thing" in told
    assert ("BOSH cannot foretell the deploy of bosh-primary before the uploads are done" in told) is waits


def test_a_deploy_that_fails_after_the_freeze_names_what_to_change(run: Run, tmp_path: Path):
    (tmp_path / "told.refuses").touch()
    rc, told = run("enable_resurrector", V2, dict(RESURRECTOR))
    assert rc == 2
    sentence = told.rpartition("bosh_ha_directors.primary: ")[2]
    assert sentence.startswith("meta did not deploy bosh-primary: "), told[-900:]
    assert "Instance group 'bosh' has no such thing" in sentence
    assert "Primary answers, and its VM is running" in sentence
    (tmp_path / "told.refuses").unlink()
    assert run("enable_resurrector", V2, dict(RESURRECTOR))[0] == 0
