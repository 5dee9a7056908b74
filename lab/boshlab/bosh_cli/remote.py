# SPDX-License-Identifier: GPL-3.0-or-later
"""``bosh ssh``: runs the ssh program with a key made for this call and the host key the director answers with."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import tempfile
import urllib.parse
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from boshlab.bosh_cli.client import JSON_TYPE, Session, body
from boshlab.bosh_cli.errors import BoshError, doing
from boshlab.bosh_cli.ui import Table


def _target(name: str, slug: str) -> dict[str, Any]:
    group, _, ident = slug.partition("/")
    target: dict[str, Any] = {"indexes": [ident] if ident else [], "ids": [ident] if ident else []}
    if group:
        target["job"] = group
    return {"deployment_name": name, "target": target}


def _options(args: argparse.Namespace, host: dict[str, Any], key: Path, known: Path) -> list[str]:
    options = ["-o", "ServerAliveInterval=30", "-o", "ForwardAgent=no", "-o", "PasswordAuthentication=no"]
    options += ["-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={key}", "-o", f"UserKnownHostsFile={known}"]
    user, gateway = args.gw_user or host.get("gateway_user") or "", args.gw_host or host.get("gateway_host") or ""
    if gateway and not args.gw_disable:
        hop = ["ssh", "-W", "%h:%p", "-l", shlex.quote(user), shlex.quote(gateway), "-o", "ForwardAgent=no"]
        # the hop only carries TCP: the host key that counts is the instance's
        hop += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        hop += ["-o", "IdentitiesOnly=yes", "-i", shlex.quote(args.gw_private_key)] if args.gw_private_key else []
        options += ["-o", f"ProxyCommand={' '.join(hop)}"]
    return [*options, *args.opts, "-o", "StrictHostKeyChecking=yes"]


def run(session: Session, args: argparse.Namespace) -> None:
    """Run a command on instances, or open a shell on one.

    Raises BoshError when no session can be set up or the command fails on an instance.
    """
    command = args.remote_command
    if (args.results or not session.ui.interactive) and not command:
        raise BoshError("Non-interactive SSH requires non-empty command")
    name = session.deployment()
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    user = "bosh_" + uuid.uuid4().hex[:15]
    path = f"/deployments/{urllib.parse.quote(name, safe='')}/ssh"
    request = _target(name, args.slug)
    setup = {**request, "command": "setup", "params": {"user": user, "public_key": public.decode() + "\n"}}
    with doing(f"Setting up SSH in deployment '{name}'"):
        hosts = json.loads(session.task("POST", path, content=body(setup), headers=JSON_TYPE))
    try:
        if not hosts:
            raise BoshError("Did not create any SSH sessions for the instances '[]'")
        for host in hosts:
            if host.get("status") != "success":
                raise BoshError(f"Failed to set up SSH session for one of the instances '{host}'")
        with tempfile.TemporaryDirectory(prefix="bosh-ssh.") as directory:
            key, known = Path(directory, "key"), Path(directory, "known_hosts")
            handle = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(
                    private.private_bytes(
                        serialization.Encoding.PEM,
                        serialization.PrivateFormat.TraditionalOpenSSL,
                        serialization.NoEncryption(),
                    )
                )
            known.write_text("".join(f"{h['ip']} {h['host_public_key']}\n" for h in hosts if h.get("host_public_key")))
            with doing("Running SSH"):
                _run_all(session, args, hosts, user, key, known)
    finally:
        # the account on the instances is taken back whatever happened; nobody waits for it
        cleanup = {**request, "command": "cleanup", "params": {"user_regex": f"^{user}"}}
        with suppress(BoshError):
            session.http.raw("POST", path, content=body(cleanup), headers=JSON_TYPE)


def _run_all(
    session: Session, args: argparse.Namespace, hosts: list[dict[str, Any]], user: str, key: Path, known: Path
) -> None:
    ui, rows, errors = session.ui, [], []
    shell = not args.remote_command
    for host in hosts:
        ident = host.get("id") or str(host.get("index", ""))
        label = f"{host.get('job') or '?'}/{ident}"
        # as the real CLI always asks for a terminal, a command's lines end in CR LF
        line = ["ssh", "-tt", *_options(args, host, key, known), "-l", user]
        line += ["--", str(host["ip"]), *args.remote_command]
        if shell:
            status, out, err = subprocess.run(line, check=False).returncode, "", ""
        else:
            done = subprocess.run(line, check=False, capture_output=True, stdin=subprocess.DEVNULL)
            status = done.returncode
            out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        error = "" if status == 0 else f"Running command on '{label}': exit status {status}"
        if error:
            errors.append(BoshError(error, [BoshError(err.strip())] if err.strip() else []))
        rows.append([label, out, err, str(status), error])
        if not args.results and not shell:
            for stream, text in (("stdout", out), ("stderr", err)):
                for part in text.splitlines():
                    ui.block(f"{label}: {stream} | {part}\n")
    if args.results:
        header = ["Instance", "Stdout", "Stderr", "Exit Code", "Error"]
        ui.table(Table("results", header, sorted(rows), transpose=True))
    if errors:
        raise BoshError(f"{len(errors)} error{'s' * (len(errors) > 1)} occurred", errors)
