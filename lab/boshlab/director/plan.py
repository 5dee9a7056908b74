# SPDX-License-Identifier: GPL-3.0-or-later

"""From a manifest to what each instance shall be; and the difference between two manifests."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Any

import sqlalchemy as sa
import yaml
from sqlalchemy.orm import Session

from boshlab.director.clients import Blobstore
from boshlab.director.db import Config, Deployment, Instance, Release, ReleaseVersion, Stemcell, Template
from boshlab.director.tasks import Failure
from boshlab.properties import of_job
from boshlab.render import Unrendered, load_job, render_job, rendered_archive

REDACTED = "<redacted>"
#: Mappings whose values are not shown (manifest/redactor.rb).
REDACTED_KEYS = ("properties", "bosh")


def cloud_config(session: Session) -> tuple[int, dict[str, Any]]:
    """The active cloud config with its id."""
    row = session.scalars(
        sa.select(Config)
        .where(Config.type == "cloud", Config.name == "default", ~Config.deleted)
        .order_by(Config.id.desc())
    ).first()
    if row is None:
        raise Failure("No cloud config found, but it's required by the manifest", 440006)
    return row.id, yaml.safe_load(row.content)


def _named(items: list[dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    found = next((item for item in items if item.get("name") == name), None)
    if found is None:
        raise Failure(f"{what} references an unknown name '{name}'", 140003)
    return found


def check_static_ips(group: dict[str, Any], network: dict[str, Any], own_address: str) -> list[str]:
    """The static addresses of a group in a network.

    As BOSH, a director refuses a static range that holds its own address: it reserves that one for itself.
    """
    wanted = [ip for item in group["networks"] if item["name"] == network["name"] for ip in item.get("static_ips", [])]
    static: set[str] = set()
    for subnet in network["subnets"]:
        subnet_range = ipaddress.ip_network(subnet["range"])
        reserved = _addresses(subnet.get("reserved", [])) | (
            {own_address} if ipaddress.ip_address(own_address) in subnet_range else set()
        )
        for ip in _addresses(subnet.get("static", [])):
            if ip in reserved:
                raise Failure(f"Static IP '{ip}' is in network '{network['name']}' reserved range", 130007)
            static.add(ip)
    for ip in wanted:
        if ip not in static:
            raise Failure(
                f"Instance group '{group['name']}' with network '{network['name']}' declares static ip '{ip}', "
                f"which belongs to no subnet's static range",
                130006,
            )
    return wanted


def _addresses(ranges: list[str]) -> set[str]:
    found: set[str] = set()
    for item in ranges:
        first, _dash, last = item.replace(" ", "").partition("-")
        if "/" in first:
            found |= {str(ip) for ip in ipaddress.ip_network(first)}
            continue
        start, end = int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last or first))
        found |= {str(ipaddress.ip_address(number)) for number in range(start, end + 1)}
    return found


def release_versions(session: Session, manifest: dict[str, Any]) -> dict[str, ReleaseVersion]:
    found = {}
    for wanted in manifest.get("releases") or []:
        query = sa.select(ReleaseVersion).join(Release).where(Release.name == wanted["name"])
        if str(wanted["version"]) != "latest":
            query = query.where(ReleaseVersion.version == str(wanted["version"]))
        version = session.scalars(query.order_by(ReleaseVersion.id.desc())).first()
        if version is None:
            raise Failure(f"Release '{wanted['name']}/{wanted['version']}' doesn't exist", 30006)
        found[wanted["name"]] = version
    return found


def stemcells(session: Session, manifest: dict[str, Any]) -> dict[str, Stemcell]:
    found = {}
    for wanted in manifest.get("stemcells") or []:
        query = sa.select(Stemcell)
        query = (
            query.where(Stemcell.name == wanted["name"])
            if wanted.get("name")
            else query.where(Stemcell.operating_system == wanted["os"])
        )
        if str(wanted["version"]) != "latest":
            query = query.where(Stemcell.version == str(wanted["version"]))
        stemcell = session.scalars(query.order_by(Stemcell.id.desc())).first()
        if stemcell is None:
            raise Failure(
                f"Stemcell '{wanted.get('name') or wanted.get('os')}/{wanted['version']}' doesn't exist", 50003
            )
        found[wanted["alias"]] = stemcell
    return found


class Wanted:
    """What one instance shall be: its spec, its rendered templates, and the parts that need a new VM."""

    def __init__(
        self, group: dict[str, Any], index: int, spec: dict[str, Any], archive: bytes, digest: str, disk_mb: int
    ) -> None:
        self.group, self.index, self.spec, self.archive, self.digest, self.disk_mb = (
            group,
            index,
            spec,
            archive,
            digest,
            disk_mb,
        )

    def needs_vm(self, instance: Instance) -> bool:
        keys = ("stemcell", "cloud_properties", "networks", "env")
        return any(instance.spec_json.get(key) != self.spec.get(key) for key in keys)

    def needs_update(self, instance: Instance) -> bool:
        return instance.spec_json.get("digest") != self.digest or self.needs_vm(instance)

    def apply_to(self, instance: Instance) -> None:
        """Make the wanted spec the instance's own; its templates are brought to the agent later (templates.py)."""
        spec = json.loads(json.dumps(self.spec))
        spec["apply"]["id"] = instance.uuid
        spec["digest"] = self.digest
        instance.spec_json = spec
        instance.rendered = self.archive


def plan(session: Session, blobstore: Blobstore, manifest: dict[str, Any], own_address: str) -> list[Wanted]:
    """Every instance that the manifest wants. Raises Failure in BOSH's words."""
    _cloud_id, cloud = cloud_config(session)
    versions, bodies = release_versions(session, manifest), stemcells(session, manifest)
    wanted = []
    unrendered: dict[str, dict[str, str]] = {}
    for group in manifest.get("instance_groups") or []:
        networks: dict[str, Any] = {}
        addresses: list[str] = []
        for item in group["networks"]:
            network = _named(cloud["networks"], item["name"], f"Instance group '{group['name']}'")
            addresses = check_static_ips(group, network, own_address)
            subnet = network["subnets"][0]
            networks[item["name"]] = {
                "type": "manual",
                "netmask": str(ipaddress.ip_network(subnet["range"]).netmask),
                "gateway": subnet.get("gateway"),
                "dns": item.get("dns") or subnet.get("dns") or [],
                "default": ["dns", "gateway"],
                "cloud_properties": {},
            }
        if len(addresses) < group["instances"]:
            raise Failure(
                f"Instance group '{group['name']}' has {group['instances']} instances and {len(addresses)} static IPs",
                130008,
            )
        vm_type = _named(cloud["vm_types"], group["vm_type"], f"Instance group '{group['name']}'")
        stemcell = bodies.get(group["stemcell"])
        if stemcell is None:
            raise Failure(
                f"Instance group '{group['name']}' references a stemcell '{group['stemcell']}' that doesn't exist",
                140003,
            )
        disk_mb = group.get("persistent_disk", 0)
        if group.get("persistent_disk_type"):
            disk_mb = _named(cloud["disk_types"], group["persistent_disk_type"], f"Instance group '{group['name']}'")[
                "disk_size"
            ]
        for index in range(group["instances"]):
            of_instance = {name: of | {"ip": addresses[index]} for name, of in networks.items()}
            address = addresses[index]
            spec = {
                "name": group["name"],
                "index": index,
                "address": address,
                "ip": address,
                "deployment": manifest["name"],
            }
            rendered = []
            for job in group["jobs"]:
                version = versions.get(job["release"])
                template = (
                    version
                    and session.scalars(
                        sa.select(Template).where(
                            Template.release_version_id == version.id, Template.name == job["name"]
                        )
                    ).first()
                )
                if not template:
                    raise Failure(f"Job '{job['name']}' of release '{job['release']}' doesn't exist", 60003)
                for holder in (manifest, group, job):
                    check_properties(holder)
                properties = of_job(manifest, group, job)
                try:
                    rendered.append(
                        (job["name"], render_job(load_job(blobstore.get(template.blobstore_id)), properties, spec))
                    )
                except Unrendered as error:
                    unrendered.setdefault(group["name"], {})[job["name"]] = str(error)
            if unrendered:
                # All errors of all groups are told at once.
                continue
            archive, digest = rendered_archive(rendered)
            apply = {
                "deployment": manifest["name"],
                "name": group["name"],
                "index": index,
                "az": group["azs"][0],
                "networks": of_instance,
                "persistent_disk": disk_mb,
                "configuration_hash": digest,
                "packages": {},
                "job": {
                    "name": group["name"],
                    "template": group["jobs"][0]["name"],
                    "templates": [
                        {"name": job["name"], "version": digest, "sha1": "", "blobstore_id": ""}
                        for job in group["jobs"]
                    ],
                },
            }
            full = {
                "apply": apply,
                "networks": of_instance,
                "cloud_properties": vm_type.get("cloud_properties") or {},
                "vm_type": vm_type["name"],
                "stemcell": {"name": stemcell.name, "version": stemcell.version},
                "env": group.get("env") or {},
            }
            wanted.append(Wanted(group, index, full, archive, digest, disk_mb))
    if unrendered:
        raise Failure(_render_errors(unrendered), 100)
    return wanted


def check_properties(data: dict[str, Any]) -> None:
    """Raises Failure for properties that are no mapping; a director takes no null. Source: validation_helper.rb."""
    held = data.get("properties", {})
    if not isinstance(held, dict):
        value = "nil" if held is None else json.dumps(held)
        raise Failure(f"Property 'properties' value ({value}) did not match the required type 'Hash'", 40000)


def _render_errors(unrendered: dict[str, dict[str, str]]) -> str:
    """As the real director words it. Sources: jobs/update_deployment.rb, core/templates/job_instance_renderer.rb."""
    lines = ["Unable to render instance groups for deployment. Errors are:"]
    for group, jobs in unrendered.items():
        lines.append(f"  - Unable to render jobs for instance group '{group}'. Errors are:")
        for text in jobs.values():
            first, *rest = text.splitlines()
            lines += [f"    - {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines)


def find_instance(session: Session, deployment: Deployment, wanted: Wanted) -> Instance | None:
    return session.scalars(
        sa.select(Instance).where(
            Instance.deployment_id == deployment.id,
            Instance.job == wanted.group["name"],
            Instance.index == wanted.index,
        )
    ).first()


def fingerprint(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


# The diff (bosh-director changeset.rb): lines of YAML, each with `added`, `removed` or nothing.

Line = list[Any]


def diff(old: Any, new: Any, redact: bool = True) -> list[Line]:
    """What changed from one manifest to another, in the manifest's own shape; properties redacted."""
    if redact:
        old, new = _redacted(old, new)
    return _diff(old or {}, new or {}, 0)


def _redacted(old: Any, new: Any) -> tuple[Any, Any]:
    # Values that changed must stay different from each other, or the diff would hide the change.
    return _mark(old, "old"), _mark(new, "new")


class _Hidden(str):
    """A redacted value that still knows whether it is the same as another."""

    __slots__ = ("of",)

    def __new__(cls, value: Any) -> _Hidden:
        hidden = super().__new__(cls, REDACTED)
        hidden.of = fingerprint(value)
        return hidden

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hidden) and other.of == self.of

    def __ne__(self, other: object) -> bool:
        # str has one of its own, to which all redacted values are the same.
        return not self == other

    def __hash__(self) -> int:
        return hash(self.of)


def _mark(data: Any, _which: str, inside: bool = False) -> Any:
    if isinstance(data, dict):
        return {
            key: _mark(value, _which, inside or (key in REDACTED_KEYS and isinstance(value, dict)))
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [_mark(value, _which, inside) for value in data]
    return _Hidden(data) if inside else data


def _diff(old: Any, new: Any, depth: int) -> list[Line]:
    pad = "  " * depth
    lines: list[Line] = []
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *[key for key in new if key not in old]]:
            if key not in new:
                lines += _whole({key: old[key]}, "removed", pad)
            elif key not in old:
                lines += _whole({key: new[key]}, "added", pad)
            elif isinstance(old[key], (dict, list)) and type(old[key]) is type(new[key]):
                # Items of a list stand at the depth of its key, as BOSH writes them.
                inner = _diff(old[key], new[key], depth + (0 if isinstance(old[key], list) else 1))
                if inner:
                    lines += [[f"{pad}{key}:", None], *inner]
            elif old[key] != new[key]:
                lines += _whole({key: old[key]}, "removed", pad) + _whole({key: new[key]}, "added", pad)
    elif isinstance(old, list) and isinstance(new, list):
        named = all(isinstance(item, dict) and "name" in item for item in [*old, *new])
        if named:
            before, after = {item["name"]: item for item in old}, {item["name"]: item for item in new}
            for name in [*before, *[name for name in after if name not in before]]:
                if name not in after:
                    lines += _whole([before[name]], "removed", pad)
                elif name not in before:
                    lines += _whole([after[name]], "added", pad)
                elif inner := _diff(before[name], after[name], depth + 1):
                    lines += [[f"{pad}- name: {name}", None], *inner]
        else:
            lines += [line for item in old if item not in new for line in _whole([item], "removed", pad)]
            lines += [line for item in new if item not in old for line in _whole([item], "added", pad)]
    return lines


def _whole(data: Any, state: str, pad: str) -> list[Line]:
    text = yaml.safe_dump(_plain(data), sort_keys=False, default_flow_style=False).rstrip("\n")
    return [[pad + line.replace(f": {REDACTED}", f': "{REDACTED}"'), state] for line in text.splitlines()]


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return str(data) if isinstance(data, _Hidden) else data
