# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the workspace: its vars stores have what its manifests define, and the CLI issues what one lacks."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from boshlab import paths, properties, release, render, workspace
from boshlab.bosh_cli import env
from boshlab.bosh_cli.errors import BoshError
from boshlab.director import plan, tasks
from boshlab.director.db import Config, Release, ReleaseVersion, Stemcell, Template, migrate
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy.orm import Session

CLIS = ["lab", *(["real"] if os.environ.get("BOSH_REAL_CLI") else [])]
TARBALLS = {"release.tgz": paths.RELEASE, "lab-app.tgz": paths.APP_RELEASE}
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
    (group,) = manifest["instance_groups"]
    jobs = {job["name"]: properties.of_job(manifest, group, job) for job in group["jobs"]}
    assert jobs["nats"]["nats"]["tls"]["ca"] == store["nats_ca"]["certificate"]
    assert jobs["nats"]["nats"]["tls"]["server"]["certificate"] == made["nats_server_tls"]["certificate"]


@contextmanager
def _director(directory: Path, cloud: dict[str, Any]) -> Iterator[tuple[Session, Any]]:
    """The database and the blobstore of a director that has stemcell, releases and a cloud config."""
    blobs: dict[str, bytes] = {}
    engine = sa.create_engine("sqlite://")
    migrate(engine, {})
    with Session(engine) as session:
        name, version = paths.STEMCELL
        session.add(Stemcell(name=name, version=version, cid="s", operating_system="os"))
        for number, (tarball, of_release) in enumerate(TARBALLS.items(), start=1):
            release.build(directory / tarball, of_release)
            session.add(Release(id=number, name=of_release[0]))
            session.add(ReleaseVersion(id=number, version=of_release[1], release_id=number))
            for path, data in render.read_tgz((directory / tarball).read_bytes()).items():
                if path.startswith("jobs/"):
                    blob = f"{number}/{path}"
                    blobs[blob] = data
                    session.add(
                        Template(name=Path(path).stem, version="1", blobstore_id=blob, release_version_id=number)
                    )
        session.add(Config(name="default", type="cloud", content=yaml.safe_dump(cloud)))
        session.flush()
        yield session, SimpleNamespace(get=blobs.__getitem__)
    engine.dispose()


def test_director_and_create_env_take_a_manifest_with_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ARTIFACTS", tmp_path)
    (tmp_path / "stemcell.tgz").write_bytes(b"x")
    release.build(tmp_path / "release.tgz")
    env.Manifest(workspace.create_env_manifest("micro", "ssh-ed25519 AAAA"), "sha").check()
    manifest = workspace.deployment_manifest("meta", "ssh-ed25519 AAAA")
    with _director(tmp_path, workspace.cloud_config(ADDRESS)) as (session, store):
        digests = set()
        # All of them as the lab's CLI sends them, none as the real one does, which leaves out what it found.
        for definitions in (manifest["variables"], []):
            (wanted,) = plan.plan(session, store, manifest | {"variables": definitions}, paths.ADDRESSES["primary"])
            digests.add(wanted.digest)
        assert len(digests) == 1
    assert plan.diff(manifest, manifest) == []
    added = plan.diff(manifest | {"variables": []}, manifest)
    assert {state for _line, state in added} == {None, "added"}
    assert [line for line, state in added if state is None] == ["variables:"]


def _resurrecting(path: tuple[str, ...]) -> dict[str, Any]:
    """Primary's manifest with the resurrector switched on in one place, as an ops file does it."""
    manifest = workspace.deployment_manifest("primary", "ssh-ed25519 AAAA")
    (group,) = manifest["instance_groups"]
    monitor = next(job for job in group["jobs"] if job["name"] == "health_monitor")
    at: Any = {"group": group, "job": monitor}[path[0]].setdefault("properties", {})
    at.setdefault("hm", {})["resurrector_enabled"] = True
    return manifest


def test_a_job_with_properties_of_its_own_loses_those_of_its_group(tmp_path: Path) -> None:
    """What the real director answers to an ops file that adds properties to a job of bosh-deployment's manifest."""
    with _director(tmp_path, workspace.cloud_config(paths.ADDRESSES["primary"])) as (session, store):
        (good,) = plan.plan(session, store, _resurrecting(("group",)), paths.ADDRESSES["micro"])
        assert json.loads(render.read_tgz(good.archive)["health_monitor/config/health_monitor.json"])[
            "resurrector_enabled"
        ]
        with pytest.raises(tasks.Failure) as refused:
            plan.plan(session, store, _resurrecting(("job",)), paths.ADDRESSES["micro"])
    lines = str(refused.value).splitlines()
    assert lines[:3] == [
        "Unable to render instance groups for deployment. Errors are:",
        "  - Unable to render jobs for instance group 'bosh'. Errors are:",
        "    - Unable to render templates for job 'health_monitor'. Errors are:",
    ]
    assert any(line.endswith("Can't find property 'director.address')") for line in lines)


@pytest.mark.parametrize("where", ["manifest", "group", "job"])
def test_properties_that_are_null_are_refused(tmp_path: Path, where: str) -> None:
    manifest = workspace.deployment_manifest("primary", "ssh-ed25519 AAAA")
    (group,) = manifest["instance_groups"]
    {"manifest": manifest, "group": group, "job": group["jobs"][1]}[where]["properties"] = None
    refused = pytest.raises(tasks.Failure, match=r"Property 'properties' value \(nil\) did not match the required type")
    with _director(tmp_path, workspace.cloud_config(paths.ADDRESSES["primary"])) as (session, store), refused:
        plan.plan(session, store, manifest, paths.ADDRESSES["micro"])


def test_create_env_renders_the_same_of_every_form_of_a_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Properties at the group, at each job, or global with `jobs` and `templates`, as in the manifests of 2014."""
    monkeypatch.setattr(paths, "ARTIFACTS", tmp_path)
    (tmp_path / "stemcell.tgz").write_bytes(b"x")
    release.build(tmp_path / "release.tgz")
    members = render.read_tgz((tmp_path / "release.tgz").read_bytes())
    digests = set()
    for form in ("group", "job", "global"):
        manifest = env.Manifest(workspace.create_env_manifest("micro", "ssh-ed25519 AAAA", form), "sha")
        manifest.check()
        rendered = [
            (job["name"], render.render_job(render.load_job(members[f"jobs/{job['name']}.tgz"]), job["properties"], {}))
            for job in manifest.templates()
        ]
        digests.add(render.rendered_archive(rendered)[1])
    assert len(digests) == 1


def test_create_env_refuses_both_forms_in_one_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ARTIFACTS", tmp_path)
    for name in ("release.tgz", "stemcell.tgz"):
        (tmp_path / name).write_bytes(b"x")
    manifest = workspace.create_env_manifest("micro", "ssh-ed25519 AAAA")
    manifest["jobs"] = manifest["instance_groups"]
    with pytest.raises(BoshError, match="specifies both jobs and instance_groups"):
        env.Manifest(manifest, "sha").check()


def test_primary_can_deploy_what_the_workspace_has_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARTIFACTS", "WORKSPACE"):
        monkeypatch.setattr(paths, name, tmp_path / name)
    paths.ARTIFACTS.mkdir()
    for name, of_release in TARBALLS.items():
        release.build(paths.ARTIFACTS / name, of_release)
    (paths.ARTIFACTS / "stemcell.tgz").write_bytes(b"x")
    workspace.write()
    boshes = paths.WORKSPACE / "boshes"
    app, cloud = (yaml.safe_load((boshes / name).read_text()) for name in ("app.yml", "cloud-config-primary.yml"))
    for wanted in app["releases"]:
        tarball = Path(wanted["url"].removeprefix("file://"))
        assert TARBALLS[tarball.name] == (wanted["name"], wanted["version"])
        assert wanted["sha1"] == hashlib.sha1(tarball.read_bytes()).hexdigest()
    with _director(tmp_path, cloud) as (session, store):
        found = plan.plan(session, store, app, paths.ADDRESSES["primary"])
        assert [(one.group["name"], one.index, one.spec["networks"]["default"]["ip"]) for one in found] == [
            ("app", 0, "10.10.0.32"),
            ("app", 1, "10.10.0.33"),
            ("data", 0, "10.10.0.34"),
        ]
        assert [one.disk_mb > 0 for one in found] == [False, False, True]
        jobs = [[job["name"] for job in one.spec["apply"]["job"]["templates"]] for one in found]
        assert jobs == [["user_add", "web", "worker"]] * 2 + [["user_add", "records", "cache"]]
        assert {one.spec["cloud_properties"].get("iaas_access") for one in found} == {None}
        archive = render.read_tgz(found[0].archive)
        assert b"app/0 at 10.10.0.32" in archive["worker/bin/pre-start"]
    cloud = yaml.safe_load((boshes / "cloud-config-meta.yml").read_text())
    refused = pytest.raises(tasks.Failure, match=r"static ip '10\.10\.0\.32', which belongs to no subnet")
    with _director(tmp_path, cloud) as (session, store), refused:
        plan.plan(session, store, app, paths.ADDRESSES["meta"])
    spare = yaml.safe_load((boshes / "bosh-rehearsal.yml").read_text())
    for of, by in (("micro", "meta"), ("primary", "primary"), ("meta", "meta")):
        cloud = yaml.safe_load((boshes / f"cloud-config-{of}.yml").read_text())
        with _director(tmp_path, cloud) as (session, store):
            (one,) = plan.plan(session, store, spare, paths.ADDRESSES[by])
            assert one.spec["networks"]["default"]["ip"] == paths.SPARE["rehearsal"]
