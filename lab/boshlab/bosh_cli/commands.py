# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that talk to a director, and ``interpolate``. Each takes the session and its parsed flags."""

from __future__ import annotations

import argparse
import io
import json
import re
import tarfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boshlab.bosh_cli import gopatch, template
from boshlab.bosh_cli.client import JSON_TYPE, YAML_TYPE, Session, StatusError, body
from boshlab.bosh_cli.errors import BoshError, MultiError, doing
from boshlab.bosh_cli.ui import Reporter, Table, full_time, human_size

Args = argparse.Namespace


def flags_of(args: Args) -> template.TemplateFlags:
    """The template flags of a command line."""
    return template.TemplateFlags(
        args.vars, args.var_files, args.vars_files, args.vars_envs, args.vars_store, args.ops_files
    )


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _query(**values: str) -> str:
    return urllib.parse.urlencode({key: value for key, value in values.items() if value})


def parse_time(text: Any) -> float | None:
    """Unix seconds of a time as directors write it (numbers, ISO 8601, ``2016-01-09 06:23:25 +0000``)."""
    if not text:
        return None
    if isinstance(text, int | float) or re.fullmatch(r"\d+(\.\d+)?", str(text)):
        return float(text)
    fixed = re.sub(r" UTC$", "+00:00", str(text)).replace("Z", "+00:00")
    fixed = re.sub(r" ([+-]\d\d):?(\d\d)$", r"\1:\2", fixed)
    try:
        moment = datetime.fromisoformat(fixed)
    except ValueError as error:
        raise BoshError(f"Converting '{text}' to time", [BoshError(str(error))]) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# --- environments ---------------------------------------------------------------------------------------------


def _info_table(session: Session) -> None:
    with doing("Fetching info"):
        info = session.http.json("GET", "/info")
    header = ["Name", "UUID", "Version"]
    row = [str(info.get("name", "")), str(info.get("uuid", "")), str(info.get("version", ""))]
    if info.get("stemcell_os"):
        header.append("Director Stemcell")
        row.append(f"{info['stemcell_os']}/{info.get('stemcell_version', '')}")
    if info.get("cpi"):
        header.append("CPI")
        row.append(str(info["cpi"]))
    if info.get("features"):
        header.append("Features")
        states = {name: bool((feature or {}).get("status")) for name, feature in info["features"].items()}
        row.append("\n".join(f"{name}: {'enabled' if states[name] else 'disabled'}" for name in sorted(states)))
    header.append("User")
    row.append(str(info.get("user") or "(not logged in)"))
    session.ui.table(Table("", header, [row], transpose=True))


def environment(session: Session, args: Args) -> None:
    """``env``: who answers, and whether we are logged in."""
    _info_table(session)


def environments(session: Session, args: Args) -> None:
    """``environments``: what the config file knows."""
    rows = [[str(e.get("url", "")), str(e.get("alias") or "")] for e in session.config.environments]
    session.ui.table(Table("environments", ["URL", "Alias"], sorted(rows)))


def alias_env(session: Session, args: Args) -> None:
    """``alias-env``: the alias is kept only when the director answers."""
    session.config.alias(session.options.environment, args.alias, session.options.ca_cert)
    _ = session.http
    session.config.save()
    _info_table(session)


def unalias_env(session: Session, args: Args) -> None:
    """``unalias-env``."""
    session.config.unalias(args.alias)
    session.config.save()


# --- stemcells and releases -----------------------------------------------------------------------------------


def stemcells(session: Session, args: Args) -> None:
    """``stemcells``."""
    with doing("Finding stemcells"):
        found = session.http.json("GET", "/stemcells")
    rows = [
        [
            str(s["name"]),
            str(s["version"]) + ("*" if s.get("deployments") else ""),
            str(s.get("operating_system") or ""),
            str(s.get("cpi") or ""),
            str(s.get("cid") or ""),
        ]
        for s in found
    ]
    rows.sort(key=lambda row: row[0])
    session.ui.table(Table("stemcells", ["Name", "Version", "OS", "CPI", "CID"], rows, ["(*) Currently deployed"]))


def tar_member(path: str, name: str, what: str) -> dict[str, Any]:
    """The YAML file of this name in a tarball. Raises BoshError when it cannot be had."""
    try:
        with tarfile.open(Path(path).expanduser()) as archive:
            for member in archive:
                if member.name.removeprefix("./") == name:
                    file = archive.extractfile(member) or io.BytesIO()
                    return dict(template.load(file.read()) or {})
    except (OSError, tarfile.TarError) as error:
        raise BoshError(f"Retrieving {what} info", [BoshError(f"Reading archive '{path}'", [_os(error)])]) from error
    raise BoshError(f"Retrieving {what} info", [BoshError(f"Missing {what.capitalize()} Manifest")])


def _os(error: BaseException) -> BoshError:
    return BoshError(str(getattr(error, "strerror", None) or error))


def _is_remote(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _local(url: str) -> str:
    return url.removeprefix("file://")


def _needed(session: Session, name: str, version: str) -> bool:
    with doing("Finding stemcells"):
        answer = session.http.json(
            "POST",
            "/stemcell_uploads",
            content=body({"stemcell": {"name": name, "version": version}}),
            headers=JSON_TYPE,
        )
    if not answer.get("needed"):
        session.ui.line(f"Stemcell '{name}/{version}' already exists.")
    return bool(answer.get("needed"))


@contextmanager
def _archive(path: str) -> Iterator[dict[str, Any]]:
    """Request options that send a file; it is opened anew for each attempt."""
    file = Path(path).expanduser()
    handles: list[Any] = []

    def again() -> Any:
        handle = file.open("rb")
        handles.append(handle)
        return iter(lambda: handle.read(1 << 20), b"")

    headers = {"Content-Type": "application/x-compressed", "Content-Length": str(file.stat().st_size)}
    try:
        yield {"content": again, "headers": headers}
    finally:
        for handle in handles:
            handle.close()


def upload_stemcell(session: Session, args: Args) -> None:
    """``upload-stemcell``: nothing is sent when the director has it."""
    fix = _query(fix="true" if args.fix else "")
    if _is_remote(args.url):
        _ = session.http
        if not args.fix and not _needed(session, args.name, args.version):
            return
        location = {"location": args.url, **({"sha1": args.sha1} if args.sha1 else {})}
        with doing(f"Uploading remote stemcell '{args.url}'"):
            session.task("POST", f"/stemcells?{fix}", content=body(location), headers=JSON_TYPE)
        return
    _ = session.http
    path = _local(args.url)
    metadata = tar_member(path, "stemcell.MF", "stemcell")
    if not args.fix and not _needed(session, str(metadata.get("name")), str(metadata.get("version"))):
        return
    with doing("Uploading stemcell file"), _archive(path) as options:
        session.task("POST", f"/stemcells?{fix}", **options)


def releases(session: Session, args: Args) -> None:
    """``releases``."""
    with doing("Finding releases"):
        found = session.http.json("GET", "/releases")
    rows = [
        [
            str(release["name"]),
            str(version["version"]) + ("*" if version.get("currently_deployed") else ""),
            str(version.get("commit_hash") or "") + ("+" if version.get("uncommitted_changes") else ""),
        ]
        for release in found
        for version in release.get("release_versions") or []
    ]
    rows.sort(key=lambda row: template._sort_key(row[1]), reverse=True)
    rows.sort(key=lambda row: row[0])
    notes = ["(*) Currently deployed", "(+) Uncommitted changes"]
    session.ui.table(Table("releases", ["Name", "Version", "Commit Hash"], rows, notes))


def upload_release(session: Session, args: Args) -> None:
    """``upload-release``: with ``--name`` and ``--version`` nothing is sent when the director has it."""
    _upload_release(session, args.url, args.name, args.version, args.sha1, fix=args.fix, rebase=args.rebase)


def _upload_release(
    session: Session, url: str, name: str, version: str, sha1: str, *, fix: bool, rebase: bool = False
) -> None:
    http = session.http
    if not fix and name:
        with doing("Finding releases"):
            found = http.json("GET", "/releases")
        versions = {str(v["version"]) for r in found if r["name"] == name for v in r.get("release_versions") or []}
        if version in versions:
            session.ui.line(f"Release '{name}/{version}' already exists.")
            return
    query = _query(rebase="true" if rebase else "", fix="true" if fix else "")
    if _is_remote(url):
        location = {"location": url, **({"sha1": sha1} if sha1 else {})}
        with doing(f"Uploading remote release '{url}'"):
            session.task("POST", f"/releases?{query}", content=body(location), headers=JSON_TYPE)
        return
    tar_member(_local(url), "release.MF", "release")
    with doing("Uploading release file"), _archive(_local(url)) as options:
        session.task("POST", f"/releases?{query}", **options)


# --- configs --------------------------------------------------------------------------------------------------


def _diff(session: Session, lines: list[list[Any]]) -> None:
    for text, change in ((line[0], line[1] if len(line) > 1 else None) for line in lines):
        session.ui.begin({"added": "+ ", "removed": "- "}.get(change or "", "  ") + f"{text}\n")


def _config_diff(session: Session, path: str, content: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """The director's diff; empty from one that cannot tell."""
    try:
        return dict(session.http.json("POST", path, content=content, headers=headers))
    except StatusError as error:
        if error.status == 404:
            return {}
        raise BoshError("Fetching diff result", [error]) from error


def cloud_config(session: Session, args: Args) -> None:
    """``cloud-config``."""
    _old_config(session, "cloud", args.name)


def runtime_config(session: Session, args: Args) -> None:
    """``runtime-config``."""
    _old_config(session, "runtime", args.name)


def _old_config(session: Session, kind: str, name: str) -> None:
    with doing(f"Finding {kind} configs"):
        query = urllib.parse.urlencode({"limit": "1", "name": name})
        found = session.http.json("GET", f"/{kind}_configs?{query}")
    if not found:
        raise BoshError(f"No {kind} config")
    session.ui.block(str(found[0]["properties"]))


def _update_old_config(session: Session, args: Args, kind: str) -> None:
    http = session.http
    with doing(f"Evaluating {kind} config"):
        content = template.render(template.read(args.path), flags_of(args)).encode()
    name = urllib.parse.urlencode({"name": args.name})
    _diff(session, _config_diff(session, f"/{kind}_configs/diff?{name}", content, YAML_TYPE).get("diff") or [])
    session.ui.confirm()
    with doing(f"Updating {kind} config"):
        http.raw("POST", f"/{kind}_configs?{name}", content=content, headers=YAML_TYPE)


def update_cloud_config(session: Session, args: Args) -> None:
    """``update-cloud-config``."""
    _update_old_config(session, args, "cloud")


def update_runtime_config(session: Session, args: Args) -> None:
    """``update-runtime-config``."""
    _update_old_config(session, args, "runtime")


def configs(session: Session, args: Args) -> None:
    """``configs``: the active ones, or with ``--recent=N`` older ones too."""
    query = _query(type=args.type, name=args.name, limit=str(args.recent))
    with doing("Listing configs"):
        found = session.http.json("GET", f"/configs?{query}&latest={'true' if args.recent == 1 else 'false'}")
    rows = [
        [
            f"{c['id']}{'*' if c.get('current') else ''}",
            str(c["type"]),
            str(c["name"]),
            str(c.get("team") or ""),
            str(c.get("created_at") or ""),
        ]
        for c in found
    ]
    notes = ["(*) Currently active"] if any(c.get("current") for c in found) else []
    if args.recent <= 1:
        notes.append("Only showing active configs. To see older versions use the --recent=10 option.")
    session.ui.table(Table("configs", ["ID", "Type", "Name", "Team", "Created At"], rows, notes))


def _config_table(session: Session, config: dict[str, Any]) -> None:
    row = [str(config.get(key) or "") for key in ("id", "type", "name", "created_at", "content")]
    header = ["ID", "Type", "Name", "Created At", "Content"]
    session.ui.table(Table("config", header, [row], [], transpose=True))


def _config_key(args: Args, flags: str) -> None:
    if not (args.id or args.type or args.name):
        raise BoshError(f"Either <ID> or parameters {flags} must be provided")
    if args.id and (args.type or args.name):
        raise BoshError("Can only specify one of ID or parameters '--type' and '--name'")
    if not args.id and bool(args.type) != bool(args.name):
        raise BoshError("Need to specify both parameters '--type' and '--name'")


def config(session: Session, args: Args) -> None:
    """``config ID`` or ``config --type T --name N``."""
    http = session.http
    _config_key(args, "--type and --name")
    if args.id:
        try:
            found = [http.json("GET", f"/configs/{_quote(args.id)}")]
        except StatusError as error:
            if error.status == 404:
                raise BoshError("No config") from error
            raise BoshError("Finding config", [error]) from error
    else:
        query = urllib.parse.urlencode({"type": args.type, "name": args.name, "limit": "1", "latest": "true"})
        with doing("Finding config"):
            found = http.json("GET", f"/configs?{query}")
    if not found:
        raise BoshError("No config")
    _config_table(session, found[0])


def update_config(session: Session, args: Args) -> None:
    """``update-config``."""
    http = session.http
    with doing("Evaluating config"):
        content = template.render(template.read(args.path), flags_of(args))
    asked: dict[str, Any] = {"type": args.type, "name": args.name, "content": content}
    difference = _config_diff(session, "/configs/diff", body(asked), JSON_TYPE)
    _diff(session, difference.get("diff") or [])
    session.ui.confirm()
    expected = args.expected_latest_id or str((difference.get("from") or {}).get("id") or "")
    if expected:
        asked["expected_latest_id"] = expected
    with doing("Updating config"):
        made = http.json("POST", "/configs", content=body(asked), headers=JSON_TYPE)
    _config_table(session, made)


def delete_config(session: Session, args: Args) -> None:
    """``delete-config ID`` or by type and name; says so when there was nothing to delete."""
    http = session.http
    _config_key(args, "--type and --name")
    session.ui.confirm()
    if args.id:
        path, missing = f"/configs/{_quote(args.id)}", f"no matches for id '{args.id}' found."
    else:
        path = "/configs?" + urllib.parse.urlencode({"type": args.type, "name": args.name})
        missing = f"no matches for type '{args.type}' and name '{args.name}' found."
    try:
        http.raw("DELETE", path)
    except StatusError as error:
        if error.status != 404:
            raise BoshError("Deleting config", [error]) from error
        session.ui.line(f"No configs to delete: {missing}")


# --- deployments ----------------------------------------------------------------------------------------------


def _names(items: list[dict[str, Any]] | None) -> str:
    return "\n".join(f"{item['name']}/{item['version']}" for item in items or [])


def deployments(session: Session, args: Args) -> None:
    """``deployments``."""
    with doing("Finding deployments"):
        found = session.http.json("GET", "/deployments")
    rows = [
        [str(d["name"]), _names(d.get("releases")), _names(d.get("stemcells")), "\n".join(d.get("teams") or [])]
        for d in sorted(found, key=lambda d: str(d["name"]))
    ]
    session.ui.table(Table("deployments", ["Name", "Release(s)", "Stemcell(s)", "Team(s)"], rows))


def deployment(session: Session, args: Args) -> None:
    """``deployment``: one, with the configs it uses."""
    http = session.http
    name = session.options.deployment
    if not name:
        raise BoshError("Expected non-empty deployment name")
    with doing("Finding deployments"):
        found = next((d for d in http.json("GET", "/deployments") if d["name"] == name), None)
    if found is None:
        raise BoshError(f"Expected to find deployment '{name}'")
    with doing("Finding deployment configs"):
        used = http.json("GET", f"/deployment_configs?deployment[]={_quote(name)}")
    configs_used = [f"{c['config']['id']} {c['config']['type']}/{c['config']['name']}" for c in used]
    row = [name, _names(found.get("releases")), _names(found.get("stemcells")), "\n".join(configs_used)]
    row.append("\n".join(found.get("teams") or []))
    session.ui.table(Table("deployments", ["Name", "Release(s)", "Stemcell(s)", "Config(s)", "Team(s)"], [row]))


def manifest(session: Session, args: Args) -> None:
    """``manifest``: as the director has it."""
    name = session.deployment()
    with doing("Fetching manifest"):
        session.ui.block(str(session.http.json("GET", f"/deployments/{_quote(name)}").get("manifest") or ""))


def deploy(session: Session, args: Args) -> None:
    """``deploy``: shows the difference, asks, deploys."""
    name = session.deployment()
    http = session.http
    source = template.read(args.path)
    with doing("Evaluating manifest"):
        content = template.evaluate(source, flags_of(args))
    found = content.get("name") if isinstance(content, dict) else None
    if found != name:
        raise BoshError(f"Expected manifest to specify deployment name '{name}' but was '{found or ''}'")
    if args.skip_upload_releases:
        session.ui.line("Release-Check skipped.")
    else:
        for release in content.get("releases") or []:
            if release.get("url"):
                version, sha1 = str(release.get("version", "")), str(release.get("sha1", ""))
                with doing(f"Processing release '{release['name']}/{version}'"):
                    _upload_release(session, release["url"], release["name"], version, sha1, fix=args.fix_releases)
    text = template.dump(content).encode()
    redact = "false" if args.no_redact else "true"
    with doing("Fetching diff result"):
        difference = http.json(
            "POST", f"/deployments/{_quote(name)}/diff?redact={redact}", content=text, headers=YAML_TYPE
        )
    _diff(session, difference.get("diff") or [])
    session.ui.confirm()
    query = _query(
        recreate="true" if args.recreate else "",
        recreate_persistent_disks="true" if args.recreate_persistent_disks else "",
        fix="true" if args.fix else "",
        skip_drain=",".join(args.skip_drain),
        canaries=args.canaries,
        max_in_flight=args.max_in_flight,
        dry_run="true" if args.dry_run else "",
        force_latest_variables="true" if args.force_latest_variables else "",
        context=json.dumps(difference["context"]) if difference.get("context") else "",
    )
    with doing("Updating deployment"):
        session.task("POST", f"/deployments?{query}", content=text, headers=YAML_TYPE)


def delete_deployment(session: Session, args: Args) -> None:
    """``delete-deployment``: one that does not exist is as good as deleted."""
    name = session.deployment()
    session.ui.confirm()
    query = _query(force="true" if args.force else "")
    try:
        with doing(f"Deleting deployment '{name}'"):
            session.task("DELETE", f"/deployments/{_quote(name)}?{query}")
    except BoshError:
        with doing("Finding deployments"):
            left = session.http.json("GET", "/deployments")
        if any(d["name"] == name for d in left):
            raise


# --- VMs and instances ----------------------------------------------------------------------------------------

_VITALS = [
    "VM Created At",
    "Uptime",
    "Load\n(1m, 5m, 15m)",
    "CPU\nTotal",
    "CPU\nUser",
    "CPU\nSys",
    "CPU\nWait",
    "Memory\nUsage",
    "Swap\nUsage",
    "System\nDisk Usage",
    "Ephemeral\nDisk Usage",
    "Persistent\nDisk Usage",
]


def _uptime(seconds: Any) -> str:
    if seconds is None:
        return ""
    total = int(seconds)
    return f"{total // 86400}d {total // 3600 % 24}h {total // 60 % 60}m {total % 60}s"


def _percent(value: Any) -> str:
    return "" if value is None else f"{float(value):.1f}%"


def _memory(vitals: dict[str, Any]) -> str:
    percent, kilobytes = vitals.get("percent"), vitals.get("kb")
    if percent in (None, "") or kilobytes in (None, ""):
        return ""
    shown = percent if isinstance(percent, str) else f"{float(percent):.1f}"
    return f"{shown}% ({human_size(int(kilobytes) * 1000)})"


def _disk(vitals: dict[str, Any] | None) -> str:
    vitals = vitals or {}
    if not vitals.get("percent") or not vitals.get("inode_percent"):
        return ""
    return f"{vitals['percent']}% ({vitals['inode_percent']}i%)"


def _suffix(value: Any) -> str:
    return f"{value}%" if value not in (None, "") else ""


def _vitals_cells(info: dict[str, Any], *, process: bool) -> list[str]:
    if process:
        total = _percent((info.get("cpu") or {}).get("total"))
        memory = _memory(info.get("mem") or {})
        return ["", _uptime((info.get("uptime") or {}).get("secs")), "", total, "", "", "", memory, "", "", "", ""]
    vitals = info.get("vitals") or {}
    cpu, disk = vitals.get("cpu") or {}, vitals.get("disk") or {}
    return [
        full_time(parse_time(info.get("vm_created_at"))),
        _uptime((vitals.get("uptime") or {}).get("secs")),
        ", ".join(str(load) for load in vitals.get("load") or []),
        _percent(cpu.get("total")),
        *(_suffix(cpu.get(key)) for key in ("user", "sys", "wait")),
        _memory(vitals.get("mem") or {}),
        _memory(vitals.get("swap") or {}),
        *(_disk(disk.get(key)) for key in ("system", "ephemeral", "persistent")),
    ]


def _name(info: dict[str, Any]) -> str:
    name = str(info.get("job_name") or "?")
    return f"{name}/{info['id']}" if info.get("id") else name


def _process_state(info: dict[str, Any]) -> str:
    state = str(info.get("job_state") or "")
    # a VM without any process that says "running" runs nothing
    return state if state != "running" or info.get("processes") else ""


def _infos(session: Session, name: str, kind: str) -> list[dict[str, Any]]:
    with doing(f"Listing deployment '{name}' {kind} infos"):
        text = session.task("GET", f"/deployments/{_quote(name)}/{kind}?format=full")
    infos = []
    for line in text.splitlines():
        if line:
            info = json.loads(line)
            info["disk_cids"] = info.get("disk_cids") or ([info["disk_cid"]] if info.get("disk_cid") else [])
            infos.append(info)
    return infos


def _each_deployment(session: Session, kind: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    http = session.http
    if session.options.deployment:
        yield session.options.deployment, _infos(session, session.options.deployment, kind)
        return
    with doing("Finding deployments"):
        names = [str(d["name"]) for d in http.json("GET", "/deployments")]
    errors: list[BoshError] = []
    for name in names:
        try:
            infos = _infos(session, name, kind)
        except BoshError as error:
            errors.append(error)
            continue
        yield name, infos
    if errors:
        raise MultiError(errors)


def vms(session: Session, args: Args) -> None:
    """``vms``, of one deployment or of all."""
    header = ["Instance", "Process State", "AZ", "IPs", "VM CID", "VM Type", "Active", "Stemcell"]
    header += ["Cloud Properties"] if args.cloud_properties else []
    header += _VITALS if args.vitals else []
    for name, infos in _each_deployment(session, "vms"):
        rows = []
        for info in infos:
            stemcell = info.get("stemcell") or {}
            active = info.get("active")
            row = [
                _name(info),
                _process_state(info),
                str(info.get("az") or ""),
                "\n".join(info.get("ips") or []),
                str(info.get("vm_cid") or ""),
                str(info.get("vm_type") or info.get("resource_pool") or ""),
                "-" if active is None else str(bool(active)).lower(),
                f"{stemcell['name']}/{stemcell.get('version', '')}" if stemcell.get("name") else "-",
            ]
            if args.cloud_properties:
                row.append(template.dump(info["cloud_properties"]) if info.get("cloud_properties") else "")
            rows.append(row + (_vitals_cells(info, process=False) if args.vitals else []))
        rows.sort(key=lambda row: row[0])
        session.ui.table(Table("vms", header, rows, title=f"Deployment '{name}'"))


def instances(session: Session, args: Args) -> None:
    """``instances``, with ``--details``, ``--ps`` and ``--vitals``."""
    details = ["State", "VM CID", "VM Type", "Disk CIDs", "Agent ID", "Index", "Bootstrap", "Ignore"]
    header = ["Instance", *(["Process"] if args.ps else []), "Process State", "AZ", "IPs", "Deployment"]
    header += (details if args.details else []) + (_VITALS if args.vitals else [])
    for name, infos in _each_deployment(session, "instances"):
        rows = []
        for info in sorted(infos, key=_name):
            processes = info.get("processes") or []
            good = _process_state(info) == "running" and all(p.get("state") == "running" for p in processes)
            if args.failing and good:
                continue
            row = [_name(info), *([""] if args.ps else []), _process_state(info), str(info.get("az") or "")]
            row += ["\n".join(info.get("ips") or []), name]
            if args.details:
                row += [
                    str(info.get("state") or ""),
                    str(info.get("vm_cid") or ""),
                    str(info.get("vm_type") or info.get("resource_pool") or ""),
                    "\n".join(info["disk_cids"]),
                    str(info.get("agent_id") or ""),
                    str(info.get("index") or 0),
                    str(bool(info.get("bootstrap"))).lower(),
                    str(bool(info.get("ignore"))).lower(),
                ]
            rows.append(row + (_vitals_cells(info, process=False) if args.vitals else []))
            for process in sorted(processes, key=lambda p: str(p.get("name"))) if args.ps else []:
                if args.failing and process.get("state") == "running":
                    continue
                row = [_name(info), str(process.get("name") or ""), str(process.get("state") or ""), "", "", ""]
                row += [""] * len(details) if args.details else []
                rows.append(row + (_vitals_cells(process, process=True) if args.vitals else []))
        session.ui.table(Table("instances", header, rows, title=f"Deployment '{name}'"))


def delete_vm(session: Session, args: Args) -> None:
    """``delete-vm CID``: terminates a VM; its persistent disk stays."""
    session.deployment()
    session.ui.confirm()
    with doing(f"Deleting VM '{args.cid}'"):
        session.task("DELETE", f"/vms/{_quote(args.cid)}")


def delete_disk(session: Session, args: Args) -> None:
    """``delete-disk CID``: of an orphan; an error only where it is one still (director/orphan_disks.go)."""
    session.ui.confirm()
    try:
        with doing(f"Deleting orphaned disk '{args.cid}'"):
            session.task("DELETE", f"/disks/{_quote(args.cid)}")
    except BoshError:
        if args.cid in (disk["disk_cid"] for disk in session.http.json("GET", "/disks")):
            raise


def change_state(session: Session, args: Args) -> None:
    """``start``, ``stop``, ``restart``, ``recreate`` of all or of ``GROUP[/ID]``."""
    name = session.deployment()
    session.ui.confirm()
    states = {"start": "started", "stop": "detached" if args.hard else "stopped"}
    query = _query(
        state=states.get(args.action, args.action),
        skip_drain="true" if args.skip_drain else "",
        force="true" if args.force else "",
        fix="true" if args.fix else "",
        dry_run="true" if args.dry_run else "",
        canaries=args.canaries,
        max_in_flight=args.max_in_flight,
    )
    path = f"/deployments/{_quote(name)}/jobs/{args.slug or '*'}?{query}"
    with doing("Changing state"):
        session.task("PUT", path, content=b"", headers=YAML_TYPE)


# --- cloud check ----------------------------------------------------------------------------------------------


def cloud_check(session: Session, args: Args) -> None:
    """``cck``: scan, show, and resolve with ``--auto`` or ``--resolution``; ``--report`` fails on problems."""
    name = session.deployment()
    http = session.http
    path = f"/deployments/{_quote(name)}"
    with doing(f"Performing a scan on deployment '{name}'"):
        session.task("POST", f"{path}/scans", headers=JSON_TYPE)
    with doing(f"Listing problems for deployment '{name}'"):
        problems = sorted(http.json("GET", f"{path}/problems"), key=lambda p: int(p["id"]))
    rows = [[str(p["id"]), str(p["type"]), str(p["description"])] for p in problems]
    session.ui.table(Table("problems", ["#", "Type", "Description"], rows))
    if not problems:
        return
    if args.report:
        raise BoshError(f"{len(problems)} problem(s) found")
    answers: dict[str, str | None] = {}
    for problem in problems:
        offered = [r.get("name") for r in problem.get("resolutions") or []]
        if args.auto:
            # null lets the director take its default
            answers[str(problem["id"])] = None
        elif args.resolution:
            wanted = next((r for r in args.resolution if r in offered), "ignore")
            answers[str(problem["id"])] = wanted
        else:
            answers[str(problem["id"])] = _ask(session, problem)
    session.ui.confirm()
    with doing(f"Resolving problems for deployment '{name}'"):
        session.task("PUT", f"{path}/problems", content=body({"resolutions": answers}), headers=JSON_TYPE)


def _ask(session: Session, problem: dict[str, Any]) -> str:
    offered = problem.get("resolutions") or []
    if session.ui.json_mode or not session.ui.interactive:
        raise BoshError("Cannot ask for a choice in non-interactive UI")
    print(f"{problem['description']}\n" + "\n".join(f"{i}: {r['plan']}" for i, r in enumerate(offered, 1)))
    try:
        return str(offered[int(input(": ")) - 1]["name"])
    except (ValueError, IndexError, EOFError) as error:
        raise BoshError("Expected the number of one of the choices") from error


# --- tasks and the rest ---------------------------------------------------------------------------------------


def tasks(session: Session, args: Args) -> None:
    """``tasks``: running ones, or the recent ones."""
    deployment_name = session.options.deployment
    if args.recent is not None:
        query = _query(limit=str(args.recent), verbose="2" if args.all else "1", deployment=deployment_name)
        what = "recent"
    else:
        query = _query(state="processing,cancelling,queued", verbose="2", deployment=deployment_name)
        what = "current"
    with doing(f"Finding {what} tasks"):
        found = session.http.json("GET", f"/tasks?{query}")
    rows = [
        [
            str(t["id"]),
            str(t.get("state") or ""),
            full_time(t.get("started_at")),
            full_time(t.get("timestamp")) if what == "recent" and _ended(t) else _finished(t),
            str(t.get("user") or ""),
            str(t.get("deployment") or ""),
            str(t.get("description") or ""),
            str(t.get("result") or ""),
        ]
        for t in sorted(found, key=lambda t: int(t["id"]), reverse=True)
    ]
    header = ["ID", "State", "Started At", "Finished At", "User", "Deployment", "Description", "Result"]
    session.ui.table(Table("tasks", header, rows))


def _ended(task: dict[str, Any]) -> bool:
    return bool(task.get("timestamp"))


def _finished(task: dict[str, Any]) -> str:
    return full_time(task.get("timestamp")) or "-"


def task(session: Session, args: Args) -> None:
    """``task [ID]``: its events, or with a flag another of its outputs."""
    http = session.http
    number = args.id
    if not number:
        query = _query(
            state="processing,cancelling,queued",
            verbose="2" if args.all else "1",
            deployment=session.options.deployment,
        )
        with doing("Finding current tasks"):
            current = http.json("GET", f"/tasks?{query}")
        if not current:
            raise BoshError("No task found")
        number = int(current[0]["id"])
    else:
        with doing(f"Finding task '{number}'"):
            http.json("GET", f"/tasks/{number}")
    kind = next((k for k in ("event", "cpi", "debug", "result") if getattr(args, k)), "")
    with doing(f"Capturing task '{number}' output"):
        session.follow(number, kind or "event", Reporter(session.ui, events=not kind))


def cancel_task(session: Session, args: Args) -> None:
    """``cancel-task ID``."""
    http = session.http
    with doing(f"Finding task '{args.id}'"):
        http.json("GET", f"/tasks/{args.id}")
    with doing(f"Cancelling task '{args.id}'"):
        http.raw("DELETE", f"/task/{args.id}")


def locks(session: Session, args: Args) -> None:
    """``locks``."""
    with doing("Finding locks"):
        found = session.http.json("GET", "/locks")
    rows = [
        [
            str(lock["type"]),
            ":".join(lock.get("resource") or []),
            str(lock.get("task_id") or ""),
            full_time(parse_time(lock.get("timeout"))),
        ]
        for lock in found
    ]
    rows.sort(key=lambda row: row[2])
    session.ui.table(Table("locks", ["Type", "Resource", "Task ID", "Expires at"], rows))


def update_resurrection(session: Session, args: Args) -> None:
    """``update-resurrection on|off``."""
    http = session.http
    paused = {"resurrection_paused": args.enabled == "off"}
    with doing("Changing VM resurrection state for all"):
        http.raw("PUT", "/resurrection", content=body(paused), headers=JSON_TYPE)


def disks(session: Session, args: Args) -> None:
    """``disks --orphaned``."""
    http = session.http
    if not args.orphaned:
        raise BoshError("Only --orphaned is supported")
    with doing("Finding orphaned disks"):
        found = http.json("GET", "/disks")
    found.sort(key=lambda d: parse_time(d.get("orphaned_at")) or 0, reverse=True)
    rows = [
        [
            str(d["disk_cid"]),
            human_size(int(d.get("size") or 0) << 20, binary=True),
            str(d.get("deployment_name") or ""),
            str(d.get("instance_name") or ""),
            str(d.get("az") or ""),
            full_time(parse_time(d.get("orphaned_at"))),
        ]
        for d in found
    ]
    session.ui.table(Table("disks", ["Disk CID", "Size", "Deployment", "Instance", "AZ", "Orphaned At"], rows))


def events(session: Session, args: Args) -> None:
    """``events``, newest first, as the director lists them."""
    query = _query(
        before_id=args.before_id,
        before_time=args.before,
        after_time=args.after,
        deployment=session.options.deployment,
        task=args.task,
        instance=args.instance,
        user=args.event_user,
        action=args.action,
        object_type=args.object_type,
        object_name=args.object_name,
    )
    with doing("Finding events"):
        found = session.http.json("GET", f"/events?{query}" if query else "/events")
    rows = [
        [
            f"{e['id']} <- {e['parent_id']}" if e.get("parent_id") else str(e["id"]),
            full_time(e.get("timestamp")),
            *(str(e.get(key) or "") for key in ("user", "action", "object_type", "object_name", "task")),
            str(e.get("deployment") or ""),
            str(e.get("instance") or ""),
            template.dump(e["context"]).rstrip("\n") if e.get("context") else "",
            str(e.get("error") or ""),
        ]
        for e in found
    ]
    header = ["ID", "Time", "User", "Action", "Object Type", "Object Name", "Task ID", "Deployment", "Instance"]
    session.ui.table(Table("events", [*header, "Context", "Error"], rows))


def curl(session: Session, args: Args) -> None:
    """``curl PATH``: a request as it is."""
    headers = {}
    for pair in args.header:
        key, sign, value = pair.partition(":")
        if not sign:
            raise BoshError(f"Expected header '{pair}' to be in format 'name: value'")
        headers[key.strip()] = value.strip()
    http = session.http
    if args.method not in ("GET", "POST", "PUT", "DELETE"):
        raise BoshError(f"Unknown method '{args.method}'")
    content = template.read(args.body).encode() if args.body else b""
    with doing("Executing HTTP request"):
        response = http.raw(
            args.method, args.path, content=content if args.method in ("POST", "PUT") else None, headers=headers
        )
    if args.show_headers:
        lines = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}"]
        lines += [f"{key.title()}: {value}" for key, value in response.headers.items()]
        session.ui.block("\r\n".join(lines) + "\r\n\r\n")
    session.ui.block(response.text)


def ssh(session: Session, args: Args) -> None:
    """``ssh``: with a key made for this call and the host key that the agent told the director."""
    # It makes a key, and cryptography takes long to load.
    from boshlab.bosh_cli import remote

    remote.run(session, args)


def interpolate(session: Session, args: Args) -> None:
    """``interpolate``: the manifest after ops files and variables, or one value of it with ``--path``."""
    document = template.evaluate(
        template.read(args.path),
        flags_of(args),
        expect_found=args.var_errs,
        expect_used=args.var_errs_unused,
    )
    if args.find is not None:
        document = gopatch.find(document, gopatch.parse(args.find))
        if isinstance(document, str):
            session.ui.block(document + "\n")
            return
    session.ui.block(template.dump(document))
