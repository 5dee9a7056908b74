# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the preflight judges by manifests, cloud configs and variables alone.

What two directors must share before one can take the other's data: docs/preflight.md says why for each row.
Secrets are compared, and never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import cloud_config, director_manifest
from ansible_collections.bosh.ha.plugins.module_utils.director_manifest import job_names, value
from ansible_collections.bosh.ha.plugins.module_utils.manifests import address_mentions, strip_dns_recursor_ops
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import (
    ERROR,
    NOT_KNOWN,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    Side,
    compared,
    finding,
    secret,
    sides,
)

Manifests = dict[str, dict[str, Any]]

#: Keys of an account that say where it is; the others are credentials, or differ with good reason.
_PLACES = re.compile(
    r"^(aws\.region|aws\.ec2_endpoint|azure\.(environment|subscription_id|tenant_id)|docker\.host|google\.project"
    r"|openstack\.(auth_url|domain|project|project_id|region|tenant)|vcd\.(url|entities\..*)"
    r"|vcenter\.(address|host|datacenters\.\d+\.name))$"
)
_DAEMON_OF_ITS_OWN = re.compile(r"^(unix:|tcp://(127\.|localhost|@))")
#: What names the place of the blobs, and what opens it. Source: bosh jobs/director/spec.
_BLOB_PLACES = ("bucket_name", "folder_name", "host", "account_name", "container_name", "s3_region")
_BLOB_KEYS = ("access_key_id", "secret_access_key", "json_key", "account_key", "encryption_key")
_LOCAL = ("127.0.0.1", "localhost", "::1")
#: What decrypts and signs: the data are of no use without it.
_KEYS = {
    "credhub": {"CredHub's encryption keys": ("credhub.encryption.keys",)},
    "uaa": {
        "UAA's signing keys": ("uaa.jwt.policy.keys",),
        "UAA's encryption keys": ("encryption.encryption_keys",),
    },
}


def manifest_findings(seen: dict[str, Any], manifests: Manifests) -> Iterator[Finding]:
    """Rows for the manifests that could be read; `seen` as in preflight.findings."""
    yield from _readable(manifests)
    if {"micro", "meta"} <= set(manifests):
        micro, meta = manifests["micro"], manifests["meta"]
        yield from _database(seen, micro, meta)
        yield from _keys(micro, meta)
        yield from _cpi(seen, micro, meta)
        yield from _blobstore(micro, meta)
    yield from _disks(seen, manifests)
    yield from _mentions(seen, manifests)
    yield _static(seen)


def _readable(manifests: Manifests) -> Iterator[Finding]:
    told: dict[str, Side] = {}
    for name in ("micro", "primary", "meta"):
        # Not why: what the CLI's parser quotes may be a secret.
        do = f"see what `bosh interpolate` says of the manifest, ops files and vars files of bosh_ha_directors.{name}"
        told[name] = ("read", OK, "") if name in manifests else ("no director in it, or cannot be read", ERROR, do)
    yield from sides("manifest", told)


def _database(seen: dict[str, Any], micro: dict[str, Any], meta: dict[str, Any]) -> Iterator[Finding]:
    texts, outside = [], []
    for name, manifest in (("micro", micro), ("meta", meta)):
        adapter = value(manifest, "director", "director.db.adapter") or "postgres"
        host = str(value(manifest, "director", "director.db.host") or _LOCAL[0])
        elsewhere = host not in (*_LOCAL, seen["directors"][name]["address"]) or adapter != "postgres"
        outside += [name] if elsewhere else []
        texts.append(f"{adapter} at {host}" if elsewhere else "postgres in its own store")
    yield finding(
        "database",
        *texts,
        ERROR if outside else OK,
        "what is copied is the persistent disk: a database elsewhere does not come along" if outside else "",
    )
    for what, path in (("user", "user"), ("name", "database")):
        found = [
            value(manifest, "postgres", f"postgres.{path}")
            or value(manifest, "director", f"director.db.{path}")
            or "bosh"
            for manifest in (micro, meta)
        ]
        do = f"set postgres.{path} and director.db.{path} of Meta to Micro's: it is never set again at a start"
        yield compared(f"database's {what}", *found, ERROR, do)


def _keys(micro: dict[str, Any], meta: dict[str, Any]) -> Iterator[Finding]:
    both = [job_names(micro), job_names(meta)]
    for job, keys in _KEYS.items():
        has = [job in names for names in both]
        told = ["there" if there else "none" for there in has]
        yield compared(
            f"job {job}",
            *told,
            ERROR,
            f"give Meta {'the' if has[0] else 'no'} job {job}: its data are in Micro's database",
        )
        for what, (path,) in keys.items() if all(has) else ():
            found = [value(manifest, job, path) for manifest in (micro, meta)]
            yield secret(what, *found, ERROR, "give Meta Micro's, in its vars store, before it is deployed")
    names = [value(manifest, "director", "director.name") for manifest in (micro, meta)]
    if all("credhub" in jobs for jobs in both):
        yield compared("director's name", *names, ERROR, "give Meta Micro's name: CredHub's paths begin with it")
    else:
        # Its data do not have it: docs/preflight.md.
        yield finding("director's name", *(name or NOT_KNOWN for name in names))


def _cpi(seen: dict[str, Any], micro: dict[str, Any], meta: dict[str, Any]) -> Iterator[Finding]:
    jobs = [value(manifest, "director", "director.cpi_job") for manifest in (micro, meta)]
    if any("warden" in str(job) for job in jobs):
        yield finding(
            "CPI",
            *(job or NOT_KNOWN for job in jobs),
            ERROR,
            "the Warden CPI keeps its VMs in the director's own VM: no pair",
        )
        return
    yield compared(
        "CPI", *jobs, ERROR, "VMs, disks and stemcells are known by what this CPI calls them: give Meta Micro's CPI"
    )
    if None in jobs:
        return
    accounts = [
        director_manifest.account(manifest, str(job), str(seen["directors"][name]["address"]))
        for manifest, job, name in zip((micro, meta), jobs, ("micro", "meta"), strict=True)
    ]
    variables = [key for key in accounts[0] if director_manifest.has_variable([each.get(key) for each in accounts])]
    differ = sorted(key for key in accounts[0].keys() | accounts[1] if accounts[0].get(key) != accounts[1].get(key))
    places = [key for key in differ if _PLACES.match(key)]
    own = [key for key in differ if key not in places]
    told = [f"{len(each)} properties" for each in accounts]
    if variables:
        yield finding("CPI's account", *told, UNKNOWN, f"variables without a value: {', '.join(variables)}")
    elif places:
        yield finding(
            "CPI's account",
            told[0],
            f"differs: {', '.join(differ)}",
            ERROR,
            "Meta must work where Micro does, or it finds none of its VMs",
        )
    elif own:
        yield finding(
            "CPI's account", told[0], f"differs: {', '.join(own)}", WARNING, "fine where both open the same account"
        )
    else:
        yield finding("CPI's account", told[0], "the same")
    if any(_DAEMON_OF_ITS_OWN.match(each.get("docker.host", "")) for each in accounts):
        yield finding(
            "Docker's daemon",
            *("" for _each in accounts),
            WARNING,
            "docker.host is local: both need the one daemon that they share",
        )


def _blobstore(micro: dict[str, Any], meta: dict[str, Any]) -> Iterator[Finding]:
    providers = [str(value(manifest, "director", "blobstore.provider") or "dav") for manifest in (micro, meta)]
    yield compared(
        "blobstore", *providers, ERROR, "the blobs stay where Micro's provider has them: give Meta the same one"
    )
    if providers[0] != providers[1] or providers[0] in ("dav", "local", "simple"):
        # These keep the blobs in the store, which is copied.
        return
    for what, keys, verdict, do in (
        ("blobstore's place", _BLOB_PLACES, ERROR, "give Meta Micro's bucket"),
        ("blobstore's credentials", _BLOB_KEYS, WARNING, "fine where both open the same bucket"),
    ):
        found = [[value(manifest, "director", f"blobstore.{key}") for key in keys] for manifest in (micro, meta)]
        yield secret(what, *(each if any(each) else None for each in found), verdict, do)


def _disks(seen: dict[str, Any], manifests: Manifests) -> Iterator[Finding]:
    # Who deploys whom, and with whose cloud config.
    configs = {"micro": [], "primary": configs_of(seen, "micro"), "meta": configs_of(seen, "primary")}
    found = {
        name: director_manifest.persistent_disk(manifest, next(iter(configs[name]), None))
        for name, manifest in manifests.items()
    }
    told: dict[str, Side] = {}
    for name, size in found.items():
        if size is None:
            told[name] = (
                "none",
                ERROR,
                f"give {name} a persistent disk in its manifest: its data are lost with its VM",
            )
        else:
            told[name] = (f"{size} MiB" if isinstance(size, int) else f"there {size}".strip(), OK, "")
    source, target = found.get("micro"), found.get("meta")
    if isinstance(source, int) and isinstance(target, int) and target < source:
        told["meta"] = (
            f"{target} MiB",
            WARNING,
            "it is smaller: it needs room for all that Micro's holds, beside Meta's own",
        )
    yield from sides("persistent disk", told)


def _mentions(seen: dict[str, Any], manifests: Manifests) -> Iterator[Finding]:
    address = str(seen["directors"]["micro"]["address"])
    told: dict[str, Side] = {}
    for name in ("primary", "meta"):
        if name in manifests:
            stripped = {operation["path"] for operation in strip_dns_recursor_ops(manifests[name])}
            paths = address_mentions(manifests[name], address)
            left = [path for path in paths if path not in stripped]
            text = ", ".join(left) or ("dns.recursor, which step 7 removes" if paths else "nowhere")
            told[name] = (
                text,
                WARNING if left else OK,
                "Micro will be gone: name another address there" if left else "",
            )
    yield from sides("Micro's address in it", told)
    # Its own config, by which it deploys; static and reserved ranges may name it.
    places = [
        f"cloud config of {name}: {path}"
        for name in ("micro", "primary", "meta")
        for config in configs_of(seen, name)
        for path in address_mentions(config, address)
        if "/dns/" in path
    ]
    places += [
        f"{row['type']} config {row['name']} of {name}: {row['path']}"
        for name in ("micro", "primary", "meta")
        for row in (seen["said"].get(name) or {}).get("mentions") or []
        if row["type"] == "runtime"
    ]
    do = "Meta takes Micro's configs over, and Micro will be gone"
    yield finding(
        "Micro's address in configs",
        "",
        ", ".join(dict.fromkeys(places)) or "nowhere",
        WARNING if places else OK,
        do if places else "",
    )


def _static(seen: dict[str, Any]) -> Finding:
    what, held = "own address static", []
    known = [name for name in ("micro", "primary", "meta") if configs_of(seen, name)]
    for by, whose in (("micro", "micro"), ("micro", "meta"), ("primary", "primary"), ("meta", "meta")):
        address = str(seen["directors"][whose]["address"])
        if any(cloud_config.static_holds(config, address) for config in configs_of(seen, by)):
            held.append(f"{address} ({whose}'s) in the cloud config of {by}")
    if held:
        do = "take it out of static: a director refuses its own address there, and Meta takes Micro's cloud config over"
        return finding(what, "", ", ".join(held), ERROR, do)
    if "micro" not in known:
        return finding(
            what, NOT_KNOWN, NOT_KNOWN, UNKNOWN, "name bosh_ha_directors.micro.cloud_config to have it looked at"
        )
    return finding(what, "no", "no")


def configs_of(seen: dict[str, Any], name: str) -> list[Any]:
    """Cloud configs of a director: the file that it gets, and those that it has."""
    given = (seen["cloud_configs"].get(name) or {}).get("content")
    has = (seen["traits"].get(name) or {}).get("cloud_configs") or []
    return ([given] if isinstance(given, dict) else []) + [
        row["content"] for row in has if isinstance(row["content"], dict)
    ]
