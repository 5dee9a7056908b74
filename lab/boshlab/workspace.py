# SPDX-License-Identifier: GPL-3.0-or-later

"""The workspace of an operator: manifests, cloud configs, vars stores and a key, in the seed's layout."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import yaml

from boshlab import certs, paths, properties

GROUP = "bosh"
_PASSWORDS = [
    "admin_password",
    "hm_password",
    "postgres_password",
    "blobstore_agent_password",
    "blobstore_director_password",
    "mbus_bootstrap_password",
]
_SERVER, _CLIENT = "server_auth", "client_auth"


def write() -> None:
    """Write what is not there yet; an existing vars store is kept, as its secrets are in use."""
    micro, boshes, ssh = paths.WORKSPACE / "microbosh", paths.WORKSPACE / "boshes", paths.WORKSPACE / "ssh"
    for directory in (micro, boshes, ssh):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    key = ssh / "jumpbox"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bosh-lab", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    for name, vars_store in (
        ("micro", micro / "vars.yml"),
        ("primary", boshes / "primary-vars.yml"),
        ("meta", boshes / "meta-vars.yml"),
        ("rehearsal", boshes / "rehearsal-vars.yml"),
    ):
        if not vars_store.exists():
            _write(vars_store, variables(paths.DIRECTORS[name]), 0o600)
    _write(micro / "micro_bosh.yml", create_env_manifest("micro", public))
    _write(micro / "micro_bosh_v1.yml", create_env_manifest("micro", public, "global"))
    for name in ("primary", "meta", "rehearsal"):
        _write(boshes / f"bosh-{name}.yml", deployment_manifest(name, public))
    _write(boshes / "app.yml", app_manifest(public))
    # A director refuses a static range with its own address, and Meta inherits Micro's cloud config.
    for name, static in (("micro", "primary"), ("primary", "meta"), ("meta", "primary")):
        of_app = [address for group in paths.APP_ADDRESSES.values() for address in group] if name == "primary" else []
        _write(
            boshes / f"cloud-config-{name}.yml", cloud_config(paths.ADDRESSES[static], *paths.SPARE.values(), *of_app)
        )


def definitions(address: str) -> list[dict[str, Any]]:
    """A manifest's `variables`, as bosh-deployment has them: what the CLI makes where the vars store lacks it."""
    names = [address, "127.0.0.1"]
    return [
        *({"name": name, "type": "password"} for name in _PASSWORDS),
        _ca("default_ca", "ca"),
        _leaf("director_ssl", "default_ca", address, _SERVER, names),
        _leaf("mbus_bootstrap_ssl", "default_ca", address, _SERVER, names),
        _ca("nats_ca", "default.nats-ca.bosh-internal"),
        _leaf("nats_server_tls", "nats_ca", "default.nats.bosh-internal", _SERVER, names),
        _leaf("nats_clients_director_tls", "nats_ca", "default.director.bosh-internal", _CLIENT),
        _leaf("nats_clients_health_monitor_tls", "nats_ca", "default.hm.bosh-internal", _CLIENT),
        _ca("blobstore_ca", "default.blobstore-ca.bosh-internal"),
        _leaf("blobstore_server_tls", "blobstore_ca", address, _SERVER, names),
    ]


def _ca(name: str, common_name: str) -> dict[str, Any]:
    return {"name": name, "type": "certificate", "options": {"is_ca": True, "common_name": common_name}}


def _leaf(name: str, ca: str, common_name: str, use: str, names: list[str] | None = None) -> dict[str, Any]:
    options: dict[str, Any] = {"ca": ca, "common_name": common_name, "extended_key_usage": [use]}
    if names:
        options["alternative_names"] = names
    return {"name": name, "type": "certificate", "options": options}


def variables(address: str) -> dict[str, Any]:
    """A director's secrets: all that its manifest defines, so that the CLI finds nothing missing."""
    found: dict[str, Any] = {}
    issued: dict[str, certs.Issued] = {}
    for definition in definitions(address):
        name, options = definition["name"], definition.get("options")
        if not options:
            found[name] = secrets.token_hex(16)
            continue
        common_name = options["common_name"]
        issued[name] = (
            certs.authority(common_name)
            if options.get("is_ca")
            else certs.issue(issued[options["ca"]], common_name, tuple(options.get("alternative_names", ())))
        )
        found[name] = issued[name].as_variable()
    return found


def instance_group_properties(name: str) -> dict[str, dict[str, Any]]:
    """Properties of each job, under BOSH's own names."""
    address = paths.DIRECTORS[name]
    blobstore = {
        "address": address,
        "port": 25250,
        "director": {"user": "director", "password": "((blobstore_director_password))"},
        "agent": {"user": "agent", "password": "((blobstore_agent_password))"},
        "tls": {
            "cert": {
                "ca": "((blobstore_ca.certificate))",
                "certificate": "((blobstore_server_tls.certificate))",
                "private_key": "((blobstore_server_tls.private_key))",
            }
        },
    }
    nats = {
        "address": address,
        "tls": {
            "ca": "((nats_server_tls.ca))",
            "client_ca": {"certificate": "((nats_ca.certificate))", "private_key": "((nats_ca.private_key))"},
            "server": {
                "certificate": "((nats_server_tls.certificate))",
                "private_key": "((nats_server_tls.private_key))",
            },
            "director": {
                "certificate": "((nats_clients_director_tls.certificate))",
                "private_key": "((nats_clients_director_tls.private_key))",
            },
            "health_monitor": {
                "certificate": "((nats_clients_health_monitor_tls.certificate))",
                "private_key": "((nats_clients_health_monitor_tls.private_key))",
            },
        },
    }
    postgres = {"user": "postgres", "password": "((postgres_password))", "database": "bosh", "port": 5432}
    director = {
        "name": name,
        "address": address,
        "db": {"host": "127.0.0.1", **postgres},
        "cpi_job": "podman_cpi",
        "workers": 2,
        "ssl": {"key": "((director_ssl.private_key))", "cert": "((director_ssl.certificate))"},
        # As bosh-deployment has it (bosh.yml).
        "enable_nats_delivered_templates": True,
        "user_management": {
            "provider": "local",
            "local": {
                "users": [
                    {"name": "admin", "password": "((admin_password))"},
                    {"name": "hm", "password": "((hm_password))"},
                ]
            },
        },
    }
    hm = {
        "director_account": {"user": "hm", "password": "((hm_password))", "ca_cert": "((director_ssl.ca))"},
        "resurrector_enabled": False,
        # BOSH's own are 60 s and more; the lab need not wait that long to see a lost agent.
        "intervals": {"agent_timeout": 20, "analyze_agents": 5, "poll_director": 10, "poll_grace_period": 15},
    }
    director_properties: dict[str, Any] = {
        "director": director,
        "nats": nats,
        "blobstore": blobstore,
        "postgres": postgres,
    }
    if name == "primary":
        # As the blog has it: Primary resolves through Micro, which will be gone.
        director_properties["dns"] = {"recursor": paths.ADDRESSES["micro"]}
    return {
        "user_add": {},
        "postgres": {"postgres": postgres},
        "nats": {"nats": nats, "director": director, "hm": {"director_account": hm["director_account"]}},
        "blobstore": {"blobstore": blobstore},
        "director": director_properties,
        "health_monitor": {"hm": hm, "nats": nats, "director": {"address": address}},
        "podman_cpi": {"agent": {"mbus": f"nats://{address}:4222"}},
    }


def _jobs(name: str, public_key: str, form: str) -> dict[str, Any]:
    """What an instance group has of its jobs and their properties, in one of the forms that manifests have.

    `group`: properties at the instance group, as in bosh-deployment. `job`: at each job. `global`: of the manifest,
    with the jobs as `templates`, as in the manifests of 2014; those properties themselves are `shared_properties`.
    """
    of_jobs = instance_group_properties(name)
    users = {"users": [{"name": "jumpbox", "public_key": public_key}]}
    jobs: list[dict[str, Any]] = [{"name": job, "release": paths.RELEASE[0]} for job in of_jobs]
    for job in jobs:
        if job["name"] == "user_add":
            # bosh-deployment's jumpbox-user.yml gives it properties of its own, too.
            job["properties"] = users
        elif form == "job":
            job["properties"] = of_jobs[job["name"]]
    if form == "group":
        return {"jobs": jobs, "properties": shared_properties(name)}
    return {"jobs": jobs} if form == "job" else {"templates": jobs}


def shared_properties(name: str) -> dict[str, Any]:
    """The properties of all jobs of a director, in one mapping."""
    shared: dict[str, Any] = {}
    for of_job in instance_group_properties(name).values():
        shared = properties.merged(shared, of_job)
    return shared


#: In which form each director's manifest is: one migration covers both that are written today.
FORMS = {"micro": "group", "primary": "group", "meta": "job", "rehearsal": "group"}


def deployment_manifest(name: str, public_key: str) -> dict[str, Any]:
    """A director as a deployment (v2)."""
    return {
        "name": f"bosh-{name}",
        "releases": [{"name": paths.RELEASE[0], "version": paths.RELEASE[1]}],
        **_stemcell_and_update(),
        "instance_groups": [
            {
                "name": GROUP,
                "instances": 1,
                "azs": ["z1"],
                "vm_type": "director",
                "stemcell": "default",
                "persistent_disk_type": "default",
                "networks": [{"name": "default", "static_ips": [paths.DIRECTORS[name]]}],
                **_jobs(name, public_key, FORMS[name]),
            }
        ],
        "variables": definitions(paths.DIRECTORS[name]),
    }


def app_manifest(public_key: str) -> dict[str, Any]:
    """Jobs that show in which order BBR's scripts were run: a stateless group of two, and one with a disk."""
    users = {"users": [{"name": "jumpbox", "public_key": public_key}]}

    def group(name: str, jobs: list[str], **more: Any) -> dict[str, Any]:
        addresses, release = paths.APP_ADDRESSES[name], paths.APP_RELEASE[0]
        return {
            "name": name,
            "instances": len(addresses),
            "azs": ["z1"],
            "vm_type": "default",
            "stemcell": "default",
            **more,
            "networks": [{"name": "default", "static_ips": addresses}],
            "jobs": [
                {"name": "user_add", "release": paths.RELEASE[0], "properties": users},
                *({"name": job, "release": release, "properties": {}} for job in jobs),
            ],
        }

    return {
        "name": "lab-app",
        "releases": [
            _release(paths.RELEASE, paths.ARTIFACTS / "release.tgz"),
            _release(paths.APP_RELEASE, paths.ARTIFACTS / "lab-app.tgz"),
        ],
        **_stemcell_and_update(),
        "instance_groups": [
            group("app", ["web", "worker"]),
            group("data", ["records", "cache"], persistent_disk_type="default"),
        ],
    }


def _stemcell_and_update() -> dict[str, Any]:
    return {
        "stemcells": [{"alias": "default", "name": paths.STEMCELL[0], "version": paths.STEMCELL[1]}],
        "update": {
            "canaries": 1,
            "max_in_flight": 1,
            "canary_watch_time": "1000-120000",
            "update_watch_time": "1000-120000",
        },
    }


def _release(release: tuple[str, str], tarball: Path) -> dict[str, Any]:
    return {"name": release[0], "version": release[1], "url": _file(tarball), "sha1": _sha1(tarball)}


def create_env_manifest(name: str, public_key: str, form: str = "group") -> dict[str, Any]:
    """A director for `bosh create-env`, its properties in one of the forms of `_jobs`."""
    address = paths.ADDRESSES[name]
    mbus = {
        "ca": "((mbus_bootstrap_ssl.ca))",
        "certificate": "((mbus_bootstrap_ssl.certificate))",
        "private_key": "((mbus_bootstrap_ssl.private_key))",
    }
    return {
        "name": name,
        "releases": [_release(paths.RELEASE, paths.ARTIFACTS / "release.tgz")],
        "resource_pools": [
            {
                "name": "vms",
                "network": "default",
                "env": {"bosh": {"mbus": {"cert": mbus}}},
                "stemcell": {
                    "url": _file(paths.ARTIFACTS / "stemcell.tgz"),
                    "sha1": _sha1(paths.ARTIFACTS / "stemcell.tgz"),
                },
                "cloud_properties": {"iaas_access": True},
            }
        ],
        "disk_pools": [{"name": "disks", "disk_size": 65536}],
        "networks": [
            {
                "name": "default",
                "type": "manual",
                "subnets": [
                    {"range": paths.SUBNET, "gateway": paths.GATEWAY, "dns": [paths.GATEWAY], "static": [address]}
                ],
            }
        ],
        "jobs" if form == "global" else "instance_groups": [
            {
                "name": GROUP,
                "instances": 1,
                "resource_pool": "vms",
                "persistent_disk_pool": "disks",
                "networks": [{"name": "default", "static_ips": [address]}],
                **_jobs(name, public_key, form),
            }
        ],
        **({"properties": shared_properties(name)} if form == "global" else {}),
        "cloud_provider": {
            "template": {"name": "podman_cpi", "release": paths.RELEASE[0]},
            "mbus": f"https://mbus:((mbus_bootstrap_password))@{address}:6868",
            "cert": mbus,
            "properties": {
                "agent": {
                    "mbus": "https://mbus:((mbus_bootstrap_password))@0.0.0.0:6868",
                    "blobstore": {
                        "provider": "local",
                        "options": {"blobstore_path": "/var/vcap/micro_bosh/data/cache"},
                    },
                }
            },
        },
        "variables": definitions(address),
    }


def cloud_config(*static: str) -> dict[str, Any]:
    return {
        "azs": [{"name": "z1", "cloud_properties": {}}],
        "vm_types": [
            {"name": "director", "cloud_properties": {"iaas_access": True}},
            {"name": "default", "cloud_properties": {}},
        ],
        "disk_types": [{"name": "default", "disk_size": 65536, "cloud_properties": {}}],
        "networks": [
            {
                "name": "default",
                "type": "manual",
                "subnets": [
                    {
                        "az": "z1",
                        "range": paths.SUBNET,
                        "gateway": paths.GATEWAY,
                        "dns": [paths.GATEWAY],
                        "reserved": ["10.10.0.1-10.10.0.3", "10.10.0.6-10.10.0.31", "10.10.0.64-10.10.0.254"],
                        "static": list(static),
                    }
                ],
            }
        ],
        "compilation": {
            "az": "z1",
            "network": "default",
            "vm_type": "default",
            "workers": 1,
            "reuse_compilation_vms": True,
        },
    }


def _file(path: Path) -> str:
    return f"file://{path}"


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


class _Dumper(yaml.SafeDumper):
    """No anchors: an operator's manifest has none."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _write(path: Path, data: dict[str, Any], mode: int = 0o644) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        yaml.dump(data, stream, Dumper=_Dumper, sort_keys=False, default_flow_style=False)
