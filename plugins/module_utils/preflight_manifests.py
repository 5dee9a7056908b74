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

from ansible_collections.bosh.ha.plugins.module_utils import addresses, cloud_config, director_manifest
from ansible_collections.bosh.ha.plugins.module_utils.director_manifest import job_names, setting, value
from ansible_collections.bosh.ha.plugins.module_utils.manifests import address_mentions, strip_dns_recursor_ops
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import (
    ERROR,
    NOT_KNOWN,
    OK,
    UNCOMPARED,
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
    r"^(alicloud\.region|aws\.(region|ec2_endpoint)|azure\.(environment|subscription_id|tenant_id)"
    r"|cloudstack\.(endpoint|default_zone)|(docker_cpi\.)?docker\.host|google\.project"
    r"|openstack\.(auth_url|domain|project|project_id|region|tenant)|(virtualbox_cpi\.)?host|vcd\.(url|entities\..*)"
    r"|vcenter\.(address|host|datacenters\.\d+\.name))$"
)
_DOCKER_HOSTS = ("docker.host", "docker_cpi.docker.host")
_DAEMON_OF_ITS_OWN = re.compile(r"^(unix:|tcp://(127\.|localhost|\[?::1\]?[:/]|\[?@))")
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
    texts: list[str] = []
    outside: list[str] = []
    unfilled: list[str] = []
    for name, manifest in (("micro", micro), ("meta", meta)):
        adapter = setting(manifest, "director", "director.db.adapter", "postgres")
        host = setting(manifest, "director", "director.db.host", _LOCAL[0])
        if adapter is None or host is None:
            unfilled.append(name)
            texts.append(NOT_KNOWN)
            continue
        local = host == "localhost" or addresses.among(host, (*_LOCAL, seen["directors"][name]["address"]))
        outside += [] if local and adapter == "postgres" else [name]
        texts.append(f"{adapter} at {host}" if name in outside else "postgres in its own store")
    if outside:
        do = "what is copied is the persistent disk: a database elsewhere does not come along"
        yield finding("database", *texts, ERROR, do)
    elif unfilled:
        do = f"director.db of {' and '.join(unfilled)} has variables without a value: see that it is in the own store"
        yield finding("database", *texts, UNKNOWN, do)
    else:
        yield finding("database", *texts)
    for what, path in (("user", "user"), ("name", "database")):
        found = [_of_database(manifest, path) for manifest in (micro, meta)]
        do = f"set postgres.{path} and director.db.{path} of Meta to Micro's: it is never set again at a start"
        yield compared(f"database's {what}", *found, ERROR, do)


def _of_database(manifest: dict[str, Any], path: str) -> str | None:
    """A setting of the database, BOSH's default if it has none, None for a variable without a value."""
    for job, prefix in (("postgres", "postgres"), ("director", "director.db")):
        found = setting(manifest, job, f"{prefix}.{path}", "")
        if found is None or found:
            return found
    return "bosh"


def _keys(micro: dict[str, Any], meta: dict[str, Any]) -> Iterator[Finding]:
    both = [job_names(micro), job_names(meta)]
    for job, keys in _KEYS.items():
        has = [job in names for names in both]
        # A manifest that names no job at all does not tell.
        told = [None if not names else "there" if there else "none" for names, there in zip(both, has, strict=True)]
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
        known = not any(name is None for name in names)
        told = [name or NOT_KNOWN for name in names]
        yield finding("director's name", *told, OK if known else UNKNOWN, "" if known else "director.name is not set")


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
    both = list(zip((micro, meta), map(str, jobs), strict=True))
    keys = {key for manifest, job in both for key in director_manifest.account_keys(manifest, job)}
    accounts = [
        director_manifest.account(manifest, job, str(seen["directors"][name]["address"]), keys)
        for (manifest, job), name in zip(both, ("micro", "meta"), strict=True)
    ]
    variables = sorted(
        key
        for key in accounts[0].keys() | accounts[1]
        if director_manifest.has_variable([each.get(key) for each in accounts])
    )
    differ = sorted(key for key in accounts[0].keys() | accounts[1] if accounts[0].get(key) != accounts[1].get(key))
    places = [key for key in differ if _PLACES.match(key)]
    own = [key for key in differ if key not in places]
    told = [f"{len(each)} properties" for each in accounts]
    if not any(accounts):
        do = (
            f"no manifest has properties of {jobs[0]}, in its job, its group or cloud_provider.properties: {UNCOMPARED}"
        )
        yield finding("CPI's account", *told, UNKNOWN, do)
    elif variables:
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
    if any(_DAEMON_OF_ITS_OWN.match(each.get(key, "")) for each in accounts for key in _DOCKER_HOSTS):
        yield finding(
            "Docker's daemon",
            *("" for _each in accounts),
            WARNING,
            "docker.host is local: both need the one daemon that they share",
        )


def _blobstore(micro: dict[str, Any], meta: dict[str, Any]) -> Iterator[Finding]:
    providers = [setting(manifest, "director", "blobstore.provider", "dav") for manifest in (micro, meta)]
    yield compared(
        "blobstore", *providers, ERROR, "the blobs stay where Micro's provider has them: give Meta the same one"
    )
    if providers[0] != providers[1] or providers[0] in (None, "dav", "local", "simple"):
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
    what, names = "Micro's address in configs", ("micro", "primary", "meta")
    asked = any(configs_of(seen, name) or (seen["said"].get(name) or {}).get("mentions") is not None for name in names)
    if places or asked:
        where = ", ".join(dict.fromkeys(places)) or "nowhere"
        yield finding(what, "", where, WARNING if places else OK, do if places else "")
    else:
        yield finding(what, "", NOT_KNOWN, UNKNOWN, "no config is known: name the cloud configs in bosh_ha_directors")


def _static(seen: dict[str, Any]) -> Finding:
    what, held = "own address static", []
    unclear = []
    for by, whose in (("micro", "micro"), ("micro", "meta"), ("primary", "primary"), ("meta", "meta")):
        address = str(seen["directors"][whose]["address"])
        answers = [cloud_config.static_holds(config, address) for config in configs_of(seen, by)]
        if True in answers:
            held.append(f"{address} ({whose}'s) in the cloud config of {by}")
        elif None in answers:
            unclear.append(by)
    if held:
        do = "take it out of static: a director refuses its own address there, and Meta takes Micro's cloud config over"
        return finding(what, "", ", ".join(held), ERROR, do)
    if unclear:
        do = (
            f"the cloud config of {' and '.join(dict.fromkeys(unclear))} has no subnet, or ranges that are no addresses"
        )
        return finding(what, NOT_KNOWN, NOT_KNOWN, UNKNOWN, do)
    if not configs_of(seen, "micro"):
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
