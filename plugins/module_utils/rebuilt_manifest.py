# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A create-env manifest of a director that goes on with another one's data, and the state file that names its disk.

The VM is Micro's: IaaS, network, stemcell, CPI and the way to its agent. The director is Primary's: jobs, properties,
names, keys and the address that its agents dial.
"""

from __future__ import annotations

import copy
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.compat.version import LooseVersion
from ansible_collections.bosh.ha.plugins.module_utils import addresses as ip
from ansible_collections.bosh.ha.plugins.module_utils import artifacts
from ansible_collections.bosh.ha.plugins.module_utils.manifests import address_mentions, property_homes

Data = dict[str, Any]

#: Variables that the CLI makes for the new VM, as Micro's certificate is for Micro's address.
TLS, CA = "rebuilt_mbus_tls", "rebuilt_mbus_ca"
_VARIABLE = re.compile(r"\(\(\s*!?([-/.\w]+)\s*\)\)")


@dataclass
class Rebuilt:
    """The manifest, the disk's record for the state file, and what a person should know."""

    manifest: Data
    disk: Data
    releases: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rebuilt(
    micro: Data,
    primary: Data,
    addresses: dict[str, str],
    disk_cid: str,
    given: list[Data] | None = None,
    wanted: dict[str, str] | None = None,
    group: str = "",
) -> Rebuilt:
    """Both manifests are interpolated. Raises ValueError with a sentence for what cannot be.

    `addresses` has micro and primary. `given` are releases with url and sha1 that no manifest has. `wanted` is the
    version of each release with which Primary's data were last used: an older one may not know its database.
    """
    notes: list[str] = []
    base, director = _group(micro, "Micro's manifest"), _group(primary, "Primary's manifest", group)
    jobs = director.get("jobs") or director.get("templates") or []
    if not jobs or not all(isinstance(job, dict) and job.get("name") for job in jobs):
        raise ValueError("Primary's manifest: its instance group has no jobs with names, which create-env needs")
    jobs = [dict(job) for job in jobs]
    pool = next((one for one in micro.get("resource_pools") or [] if one["name"] == base.get("resource_pool")), None)
    if pool is None:
        raise ValueError(f"Micro's manifest has no resource pool {base.get('resource_pool')}")
    disk, home = _disk(micro, base, disk_cid)
    releases, notes_of_releases = _releases(micro, primary, jobs, given or [], wanted or {})
    provider = _moved(micro.get("cloud_provider") or {}, addresses)
    if not provider.get("mbus"):
        raise ValueError("Micro's manifest has no cloud_provider.mbus")
    old = (provider.get("cert") or {}).get("certificate")
    tls = f"(({TLS}))"
    manifest = {
        "name": micro.get("name"),
        "releases": releases,
        "resource_pools": [_with_tls(one, old, tls) for one in micro["resource_pools"]],
        **({"disk_pools": micro["disk_pools"]} if micro.get("disk_pools") else {}),
        "networks": [_with_static(network, addresses) for network in micro.get("networks") or []],
        "instance_groups": [
            {
                "name": director["name"],
                "instances": 1,
                "resource_pool": base["resource_pool"],
                **home,
                "networks": _networks(micro, base, addresses),
                "jobs": jobs,
                **({"properties": director["properties"]} if director.get("properties") else {}),
            }
        ],
        "cloud_provider": _with_tls(provider, old, tls) | {"cert": tls},
        **({"properties": primary["properties"]} if primary.get("properties") else {}),
        **{key: micro[key] for key in ("update", "tags") if micro.get(key)},
    }
    manifest = copy.deepcopy(manifest)
    for one in manifest["resource_pools"]:
        # The agent of the new VM shows what the CLI is to trust.
        env = one["env"] = one.get("env") or {}
        bosh = env["bosh"] = env.get("bosh") or {}
        bosh["mbus"] = (bosh.get("mbus") or {}) | {"cert": tls}
    for _path, properties, _job in property_homes(manifest):
        if isinstance(properties.get("hm"), dict) and properties["hm"].get("resurrector_enabled"):
            properties["hm"]["resurrector_enabled"] = False
            notes.append("the resurrector is off, so that nothing is recreated before you say so")
        dns = properties.get("dns")
        if isinstance(dns, dict) and ip.same(dns.get("recursor"), addresses["micro"]):
            del dns["recursor"]
            notes.append(f"dns.recursor is left out: {addresses['micro']} is Micro's")
    unknown = sorted(_variables(manifest) - {TLS})
    if unknown:
        raise ValueError(
            f"no value is known of {', '.join(unknown)}: a director's own config server had it, or a vars file "
            "is not in the kit"
        )
    manifest["variables"] = [
        {"name": CA, "type": "certificate", "options": {"is_ca": True, "common_name": "rebuilt-mbus-ca"}},
        {
            "name": TLS,
            "type": "certificate",
            "options": {
                "ca": CA,
                "common_name": addresses["primary"],
                "alternative_names": _agent_names(provider["mbus"], addresses["primary"]),
            },
        },
    ]
    notes += [
        f"{path} names Micro's address {addresses['micro']}" for path in address_mentions(manifest, addresses["micro"])
    ]
    names = [f"{one['name']}/{_version(one) or 'of unknown version'}" for one in releases]
    return Rebuilt(manifest, disk, names, list(dict.fromkeys(notes)) + notes_of_releases)


def state(disk: Data) -> Data:
    """What the state file holds before create-env: no VM, and the disk, which is taken and not made.

    With the same size and properties as the manifest has, nothing is migrated to another disk; one that is not the
    current one would be deleted as unused. Source: bosh-cli deployment/vm/disk_deployer.go, deployment/disk/.
    """
    return {
        "director_id": str(uuid.uuid4()),
        "installation_id": "",
        "current_vm_cid": "",
        "current_stemcell_id": "",
        "current_disk_id": disk["id"],
        "current_release_ids": [],
        "current_manifest_sha": "",
        "disks": [disk],
        "stemcells": [],
        "releases": [],
    }


def undefined(manifest: Data, known: set[str]) -> list[str]:
    """Variables that the manifest would have made anew, as no file has them: what Primary had is lost then."""
    return sorted(
        one["name"]
        for one in manifest.get("variables") or []
        if isinstance(one, dict) and one.get("type") and one.get("name") not in known
    )


def _group(manifest: Data, whose: str, name: str = "") -> Data:
    groups = manifest.get("instance_groups") or manifest.get("jobs") or []
    named = [one for one in groups if one.get("name") == name] or groups
    if len(named) != 1:
        raise ValueError(f"{whose} has {len(groups)} instance groups, and create-env makes one")
    return dict(named[0])


def _disk(micro: Data, group: Data, cid: str) -> tuple[Data, Data]:
    """The record of the disk, and how the group names it. Source: bosh-cli deployment/manifest (DiskPool)."""
    name = group.get("persistent_disk_pool")
    if name:
        pool = next((one for one in micro.get("disk_pools") or [] if one.get("name") == name), None) or {}
        size, properties, home = pool.get("disk_size"), pool.get("cloud_properties"), {"persistent_disk_pool": name}
    else:
        size, properties = group.get("persistent_disk"), None
        home = {"persistent_disk": size}
    if not size:
        raise ValueError("Micro's manifest has no persistent disk, so create-env would attach none")
    if not cid:
        raise ValueError("the CID of Primary's disk is not known")
    return {"id": str(uuid.uuid4()), "cid": cid, "size": int(size), "cloud_properties": properties or {}}, home


def _networks(micro: Data, group: Data, addresses: dict[str, str]) -> list[Data]:
    """The group's networks with Primary's address in the place of Micro's; its subnets must hold that one."""
    own, other = addresses["micro"], addresses["primary"]
    networks, moved = [], False
    for one in group.get("networks") or []:
        ips = [str(held) for held in one.get("static_ips") or []]
        if ip.among(own, ips):
            moved = True
            definition: Data = next((n for n in micro.get("networks") or [] if n.get("name") == one.get("name")), {})
            ranges = [str(subnet.get("range")) for subnet in definition.get("subnets") or []]
            if definition.get("type", "manual") == "manual" and not any(ip.holds(held, other) for held in ranges):
                raise ValueError(
                    f"Micro's network {one.get('name')} ({', '.join(ranges)}) does not hold Primary's address {other}, "
                    "at which its agents look for it: give Micro's network in an ops file"
                )
            one = one | {"static_ips": [other if ip.same(held, own) else held for held in ips]}
        networks.append(one)
    if not moved:
        raise ValueError(f"Micro's manifest does not have its address {own} among its static IPs")
    return networks


def _agent_names(mbus: str, address: str) -> list[str]:
    """Names for the certificate of the agent's endpoint: the CLI checks the host of `cloud_provider.mbus`.

    That may be an external address or a host name (bosh-deployment external-ip-not-recommended.yml). Source: bosh-cli
    v7.10.6 agentclient's HTTP client (httpclient.CreateDefaultClient, which verifies the host).
    """
    try:
        host = ip.host_of(mbus)
    except ValueError:
        host = ""
    if not host:
        raise ValueError("Micro's manifest: cloud_provider.mbus has no host, at which create-env would reach the agent")
    known = [address, "127.0.0.1"]
    return known if ip.among(host, known) else [*known, host]


def _with_static(network: Data, addresses: dict[str, str]) -> Data:
    """A network whose static addresses have Primary's in the place of Micro's."""
    if not network.get("subnets"):
        return network
    subnets = [
        one | ({"static": _moved(one["static"], addresses)} if one.get("static") else {}) for one in network["subnets"]
    ]
    return network | {"subnets": subnets}


def _moved(data: Any, addresses: dict[str, str]) -> Any:
    """The same with Primary's address wherever a value names Micro's."""
    if isinstance(data, dict):
        return {key: _moved(value, addresses) for key, value in data.items()}
    if isinstance(data, list):
        return [_moved(item, addresses) for item in data]
    if not isinstance(data, str):
        return data
    return ip.replaced(data, addresses["micro"], addresses["primary"])


def _with_tls(data: Any, old: str | None, tls: str) -> Any:
    """The same with the new certificate wherever the old one is."""
    if isinstance(data, dict):
        if old and data.get("certificate") == old:
            return tls
        return {key: _with_tls(value, old, tls) for key, value in data.items()}
    return [_with_tls(item, old, tls) for item in data] if isinstance(data, list) else data


def _variables(data: Any) -> set[str]:
    if isinstance(data, dict):
        return {name for key, value in data.items() for name in _variables(key) | _variables(value)}
    if isinstance(data, list):
        return {name for item in data for name in _variables(item)}
    return set(_VARIABLE.findall(data)) if isinstance(data, str) else set()


def _releases(
    micro: Data, primary: Data, jobs: list[Data], given: list[Data], wanted: dict[str, str]
) -> tuple[list[Data], list[str]]:
    """All that Micro's manifest has and Primary's jobs need, each with a URL, best in the version that Primary had."""
    listed = [one for one in primary.get("releases") or [] if isinstance(one, dict)]
    for job in jobs:
        if not job.get("release"):
            if len(listed) != 1:
                raise ValueError(f"Primary's manifest: the job {job['name']} does not say which release it is of")
            job["release"] = listed[0]["name"]
    offers = [one for one in [*listed, *given, *(micro.get("releases") or [])] if one.get("url")]
    needed = dict.fromkeys([*(one["name"] for one in micro.get("releases") or []), *(job["release"] for job in jobs)])
    chosen, notes = [], []
    for name in needed:
        fitting = [one for one in offers if _names(one, name)]
        exact = [one for one in fitting if wanted.get(name) and _version(one, name) == wanted[name]]
        if not fitting:
            raise ValueError(f"no manifest of the kit has a URL of the release {name}")
        # Micro's is the last, and was used with create-env.
        one = (exact or fitting)[-1]
        found = _version(one, name)
        if wanted.get(name) and found != wanted[name]:
            if found and _older(found, wanted[name]):
                raise ValueError(
                    f"Primary's data were last used with {name} {wanted[name]}, and the kit has a URL of {found} only: "
                    "give the newer one in an ops file"
                )
            notes.append(
                f"Primary's data were last used with {name} {wanted[name]}; this one is {found or 'of unknown version'}"
            )
        chosen.append({key: one[key] for key in ("version", "url", "sha1") if one.get(key)} | {"name": name})
    return [{"name": one.pop("name"), **one} for one in chosen], notes


def _names(release: Data, name: str) -> bool:
    if release.get("name"):
        return bool(release["name"] == name)
    return name in [of for of, _version_ in artifacts.guesses("release", release["url"])]


def _version(release: Data, name: str = "") -> str:
    if release.get("version") and str(release["version"]) not in ("latest", "create"):
        return str(release["version"])
    name = name or release["name"]
    return next((version for of, version in artifacts.guesses("release", release["url"]) if of == name), "")


def _older(one: str, other: str) -> bool:
    try:
        return bool(LooseVersion(one) < LooseVersion(other))
    except TypeError:
        return False
