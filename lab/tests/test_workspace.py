# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the workspace: its vars stores have what its manifests define, and the CLI issues what one lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from boshlab import paths, release, render, workspace
from boshlab.bosh_cli import env
from boshlab.director import plan
from boshlab.director.db import Config, Release, ReleaseVersion, Stemcell, Template, migrate
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy.orm import Session

CLIS = ["lab", *(["real"] if os.environ.get("BOSH_REAL_CLI") else [])]
LEAVES = {
    "nats_server_tls": "nats_ca",
    "nats_clients_director_tls": "nats_ca",
    "nats_clients_health_monitor_tls": "nats_ca",
    "blobstore_server_tls": "blobstore_ca",
}
ADDRESS = paths.ADDRESSES["meta"]


@pytest.fixture(scope="module")
def store() -> dict[str, Any]:
    """Meta's vars store, with Micro's CAs in place of its own, and without what those signed."""
    micro, meta = (workspace.variables(paths.ADDRESSES[name]) for name in ("micro", "meta"))
    return {name: value for name, value in meta.items() if name not in LEAVES} | {
        name: micro[name] for name in ("nats_ca", "blobstore_ca")
    }


def _interpolate(cli: str, directory: Path) -> dict[str, Any]:
    real = [os.environ.get("BOSH_REAL_CLI", "")]
    words = real if cli == "real" else [sys.executable, "-m", "boshlab.bosh_cli"]
    environ = os.environ | {"PYTHONPATH": str(Path(workspace.__file__).parents[1]), "HOME": str(directory)}
    done = subprocess.run(
        [*words, "interpolate", str(directory / "m.yml"), "--vars-store", str(directory / "vars.yml"), "--var-errs"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    manifest: dict[str, Any] = yaml.safe_load(done.stdout)
    return manifest


def test_a_vars_store_has_all_that_its_manifest_defines() -> None:
    made = workspace.variables(ADDRESS)
    assert list(made) == [definition["name"] for definition in workspace.definitions(ADDRESS)]
    manifest = json.dumps(workspace.deployment_manifest("meta", "ssh-ed25519 AAAA")["instance_groups"])
    used = {part.split("))")[0].split(".")[0] for part in manifest.split("((")[1:]}
    assert used <= set(made)


@pytest.mark.parametrize("cli", CLIS)
def test_the_cli_makes_nothing_where_the_vars_store_is_whole(cli: str, tmp_path: Path) -> None:
    text = yaml.safe_dump(workspace.variables(ADDRESS))
    (tmp_path / "vars.yml").write_text(text)
    workspace._write(tmp_path / "m.yml", workspace.deployment_manifest("meta", "ssh-ed25519 AAAA"))
    _interpolate(cli, tmp_path)
    assert yaml.safe_load((tmp_path / "vars.yml").read_text()) == yaml.safe_load(text)


@pytest.mark.parametrize("cli", CLIS)
def test_the_cli_issues_anew_what_shared_cas_have_not_signed(cli: str, tmp_path: Path, store: dict[str, Any]) -> None:
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(store))
    workspace._write(tmp_path / "m.yml", workspace.deployment_manifest("meta", "ssh-ed25519 AAAA"))
    manifest = _interpolate(cli, tmp_path)
    made = yaml.safe_load((tmp_path / "vars.yml").read_text())
    assert {name: value for name, value in made.items() if name not in LEAVES} == store
    uses = x509.ExtendedKeyUsage
    for name, ca in LEAVES.items():
        leaf = x509.load_pem_x509_certificate(made[name]["certificate"].encode())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(store[ca]["certificate"].encode()))
        # By letter: the director's fingerprint of its CAs is of their text.
        assert made[name]["ca"] == store[ca]["certificate"]
        client = "_clients_" in name
        wanted = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        assert list(leaf.extensions.get_extension_for_class(uses).value) == [wanted]
        if not client:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [ADDRESS, "127.0.0.1"]
    jobs = {job["name"]: job["properties"] for job in manifest["instance_groups"][0]["jobs"]}
    assert jobs["nats"]["nats"]["tls"]["ca"] == store["nats_ca"]["certificate"]
    assert jobs["nats"]["nats"]["tls"]["server"]["certificate"] == made["nats_server_tls"]["certificate"]


def test_director_and_create_env_take_a_manifest_with_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ARTIFACTS", tmp_path)
    (tmp_path / "stemcell.tgz").write_bytes(b"x")
    release.build(tmp_path / "release.tgz")
    env.Manifest(workspace.create_env_manifest("micro", "ssh-ed25519 AAAA"), "sha").check()
    members = render.read_tgz((tmp_path / "release.tgz").read_bytes())
    jobs = {name: data for name, data in members.items() if name.startswith("jobs/")}
    engine = sa.create_engine("sqlite://")
    migrate(engine, {})
    manifest = workspace.deployment_manifest("meta", "ssh-ed25519 AAAA")
    with Session(engine) as session:
        name, version = paths.STEMCELL
        session.add(Stemcell(name=name, version=version, cid="s", operating_system="os"))
        session.add(Release(id=1, name=paths.RELEASE[0]))
        session.add(ReleaseVersion(id=1, version=paths.RELEASE[1], release_id=1))
        session.add_all(
            Template(name=Path(job).stem, version="1", blobstore_id=job, release_version_id=1) for job in jobs
        )
        session.add(Config(name="default", type="cloud", content=yaml.safe_dump(workspace.cloud_config(ADDRESS))))
        session.flush()
        store: Any = SimpleNamespace(get=jobs.__getitem__)
        digests = set()
        # All of them as the lab's CLI sends them, none as the real one does, which leaves out what it found.
        for definitions in (manifest["variables"], []):
            (wanted,) = plan.plan(session, store, manifest | {"variables": definitions}, paths.ADDRESSES["primary"])
            digests.add(wanted.digest)
        assert len(digests) == 1
    engine.dispose()
    assert plan.diff(manifest, manifest) == []
    added = plan.diff(manifest | {"variables": []}, manifest)
    assert {state for _line, state in added} == {None, "added"}
    assert [line for line, state in added if state is None] == ["variables:"]
