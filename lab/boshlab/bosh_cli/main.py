# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab's ``bosh``: flags of the CLI v7, before or after the command's name."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boshlab.bosh_cli import VERSION, commands, template
from boshlab.bosh_cli.client import Config, Options, Session
from boshlab.bosh_cli.errors import BoshError, FlagError
from boshlab.bosh_cli.ui import UI


def _of_env(name: str) -> Callable[[Session, argparse.Namespace], None]:
    """What they need is loaded for them alone: Jinja and cryptography take a third of any other command's time."""

    def run(session: Session, args: argparse.Namespace) -> None:
        from boshlab.bosh_cli import env

        getattr(env, name)(session, args)

    return run


ENV_COMMANDS = {f"{verb}-env": _of_env(f"{verb}_env") for verb in ("create", "delete", "stop", "start")}
# commands that need no director, or set up what is needed to find it
OWN_START = (
    commands.environments,
    commands.alias_env,
    commands.unalias_env,
    commands.interpolate,
    *ENV_COMMANDS.values(),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        # the real CLI prints a wrong command line as plain text, even with --json
        sys.stdout.write(f"{message}\n\nExit code 1\n")
        sys.exit(1)


def _global_flags(parser: argparse.ArgumentParser) -> None:
    def add(*names: str, **options: Any) -> None:
        parser.add_argument(*names, default=argparse.SUPPRESS, **options)

    add("-e", "--environment")
    add("--client")
    add("--client-secret")
    add("--ca-cert")
    add("-d", "--deployment")
    add("--config")
    add("-n", "--non-interactive", action="store_true")
    add("--json", action="store_true")
    add("--tty", action="store_true")
    add("--no-color", action="store_true")
    add("--column", action="append")
    add("--parallel", type=int)
    add("--sha2", action="store_true")


def _template_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--var", action="append", default=[], dest="vars")
    parser.add_argument("--var-file", action="append", default=[], dest="var_files")
    parser.add_argument("-l", "--vars-file", action="append", default=[], dest="vars_files")
    parser.add_argument("--vars-env", action="append", default=[], dest="vars_envs")
    parser.add_argument("--vars-store", default=None)
    parser.add_argument("-o", "--ops-file", action="append", default=[], dest="ops_files")


def _build() -> argparse.ArgumentParser:
    parser = _Parser(prog="bosh", allow_abbrev=False)
    _global_flags(parser)
    parser.add_argument("-v", "--version", action="store_true", dest="show_version")
    subs = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, run: Callable[..., Any], *aliases: str, tpl: bool = False) -> argparse.ArgumentParser:
        sub = subs.add_parser(name, aliases=list(aliases), allow_abbrev=False)
        _global_flags(sub)
        if tpl:
            _template_flags(sub)
        sub.set_defaults(run=run)
        return sub

    def flag(sub: argparse.ArgumentParser, *names: str) -> None:
        for name in names:
            sub.add_argument(name, action="store_true")

    command("environment", commands.environment, "env")
    command("environments", commands.environments, "envs")
    command("alias-env", commands.alias_env).add_argument("alias")
    command("unalias-env", commands.unalias_env).add_argument("alias")

    command("stemcells", commands.stemcells, "ss")
    sub = command("upload-stemcell", commands.upload_stemcell, "us")
    sub.add_argument("url")
    for option in ("--sha1", "--name", "--version"):
        sub.add_argument(option, default="")
    flag(sub, "--fix")
    command("releases", commands.releases, "rs")
    sub = command("upload-release", commands.upload_release, "ur")
    sub.add_argument("url")
    for option in ("--sha1", "--name", "--version"):
        sub.add_argument(option, default="")
    flag(sub, "--fix", "--rebase")

    command("cloud-config", commands.cloud_config, "cc").add_argument("--name", default="")
    sub = command("update-cloud-config", commands.update_cloud_config, "ucc", tpl=True)
    sub.add_argument("--name", default="")
    sub.add_argument("path")
    command("runtime-config", commands.runtime_config, "rc").add_argument("--name", default="")
    sub = command("update-runtime-config", commands.update_runtime_config, "urc", tpl=True)
    sub.add_argument("--name", default="")
    flag(sub, "--no-redact")
    sub.add_argument("path")
    sub = command("configs", commands.configs, "cs")
    sub.add_argument("--name", default="")
    sub.add_argument("--type", default="")
    sub.add_argument("-r", "--recent", type=int, default=1)
    for name, run in (("config", commands.config), ("delete-config", commands.delete_config)):
        sub = command(name, run, *(["c"] if name == "config" else ["dc"]))
        sub.add_argument("--name", default="")
        sub.add_argument("--type", default="")
        sub.add_argument("id", nargs="?", default="")
    sub = command("update-config", commands.update_config, "uc", tpl=True)
    sub.add_argument("--name", required=True)
    sub.add_argument("--type", required=True)
    sub.add_argument("--expected-latest-id", default="")
    sub.add_argument("path")

    command("deployments", commands.deployments, "ds", "deps")
    command("deployment", commands.deployment, "dep")
    command("manifest", commands.manifest, "man")
    sub = command("deploy", commands.deploy, "d", tpl=True)
    flag(sub, "--dry-run", "--no-redact", "--recreate", "--fix", "--recreate-persistent-disks", "--fix-releases")
    flag(sub, "--skip-upload-releases", "--force-latest-variables")
    sub.add_argument("--skip-drain", nargs="?", const="*", action="append", default=[])
    sub.add_argument("--canaries", default="")
    sub.add_argument("--max-in-flight", default="")
    sub.add_argument("path")
    flag(command("delete-deployment", commands.delete_deployment, "deld"), "--force")

    sub = command("vms", commands.vms)
    flag(sub, "--vitals", "--cloud-properties")
    sub = command("instances", commands.instances, "is")
    flag(sub, "--vitals")
    sub.add_argument("-i", "--details", action="store_true")
    sub.add_argument("-p", "--ps", action="store_true")
    sub.add_argument("-f", "--failing", action="store_true")
    command("delete-vm", commands.delete_vm, "delv").add_argument("cid")
    command("delete-disk", commands.delete_disk).add_argument("cid")
    sub = command("cloud-check", commands.cloud_check, "cck")
    sub.add_argument("-r", "--report", action="store_true")
    sub.add_argument("-a", "--auto", action="store_true")
    sub.add_argument("--resolution", action="append", default=[])
    for name in ("start", "stop", "restart", "recreate"):
        sub = command(name, commands.change_state)
        sub.set_defaults(action=name)
        flag(sub, "--skip-drain", "--force", "--hard", "--fix", "--converge", "--no-converge", "--dry-run")
        sub.add_argument("--canaries", default="")
        sub.add_argument("--max-in-flight", default="")
        sub.add_argument("slug", nargs="?", default="")

    sub = command("tasks", commands.tasks, "ts")
    sub.add_argument("-r", "--recent", type=int, default=None)
    sub.add_argument("-a", "--all", action="store_true")
    sub = command("task", commands.task, "t")
    flag(sub, "--event", "--cpi", "--debug", "--result")
    sub.add_argument("-a", "--all", action="store_true")
    sub.add_argument("id", nargs="?", type=int, default=0)
    command("cancel-task", commands.cancel_task, "ct").add_argument("id", type=int)
    command("locks", commands.locks)
    command("update-resurrection", commands.update_resurrection).add_argument("enabled", choices=["on", "off"])
    sub = command("disks", commands.disks)
    sub.add_argument("-o", "--orphaned", action="store_true")
    sub = command("events", commands.events)
    for option in ("before-id", "before", "after", "task", "instance", "event-user", "action", "object-type"):
        sub.add_argument(f"--{option}", default="")
    sub.add_argument("--object-name", default="")
    sub = command("curl", commands.curl)
    sub.add_argument("-X", "--method", default="GET")
    sub.add_argument("-H", "--header", action="append", default=[])
    sub.add_argument("--body", default="")
    sub.add_argument("-i", "--show-headers", action="store_true")
    sub.add_argument("path")
    sub = command("ssh", commands.ssh)
    sub.add_argument("-c", "--command", action="append", default=[], dest="remote_command")
    sub.add_argument("-r", "--results", action="store_true")
    sub.add_argument("--opts", action="append", default=[])
    flag(sub, "--gw-disable")
    sub.add_argument("--gw-user", default=os.environ.get("BOSH_GW_USER", ""))
    sub.add_argument("--gw-host", default=os.environ.get("BOSH_GW_HOST", ""))
    sub.add_argument("--gw-private-key", default=os.environ.get("BOSH_GW_PRIVATE_KEY", ""))
    sub.add_argument("slug", nargs="?", default="")

    sub = command("interpolate", commands.interpolate, "int", tpl=True)
    sub.add_argument("--path", default=None, dest="find")
    flag(sub, "--var-errs", "--var-errs-unused")
    sub.add_argument("path")

    for name, run in ENV_COMMANDS.items():
        sub = command(name, run, tpl=True)
        flag(sub, "--skip-drain")
        if name == "create-env":
            flag(sub, "--recreate", "--recreate-persistent-disks")
        sub.add_argument("--state", default="")
        sub.add_argument("--package-dir", default="")
        sub.add_argument("path")
    return parser


def _ca_cert(value: str) -> str:
    """A CA given as PEM text or as the path of a file."""
    if not value or "BEGIN" in value:
        return value
    return template.read(value)


def main(argv: list[str]) -> int:
    """Run one command line; returns the exit status, 0 or 1."""
    # go-flags takes the value of an optional one only after "="
    argv = [{"--recent": "--recent=30", "-r": "--recent=30"}.get(a, a) if _wants_recent(argv) else a for a in argv]
    argv = [re.sub(r"^(-[a-zA-Z])=(.*)$", r"\1\2", a) for a in argv]
    args = _build().parse_args(argv)
    if args.show_version if hasattr(args, "show_version") else False:
        sys.stdout.write(f"version {VERSION}\n\nSucceeded\n")
        return 0
    environ = os.environ
    ui = UI(
        json_mode=getattr(args, "json", False),
        interactive=not getattr(args, "non_interactive", bool(environ.get("BOSH_NON_INTERACTIVE"))),
        columns=getattr(args, "column", None) or [],
        tty=True if getattr(args, "tty", False) else None,
    )
    session: Session | None = None
    try:
        if not args.command:
            raise BoshError("Please specify one command; the README of the lab lists them")
        options = Options(
            environment=getattr(args, "environment", environ.get("BOSH_ENVIRONMENT", "")),
            client=getattr(args, "client", environ.get("BOSH_CLIENT", "")),
            client_secret=getattr(args, "client_secret", environ.get("BOSH_CLIENT_SECRET", "")),
            ca_cert=_ca_cert(getattr(args, "ca_cert", environ.get("BOSH_CA_CERT", ""))),
            deployment=getattr(args, "deployment", environ.get("BOSH_DEPLOYMENT", "")),
            config=getattr(args, "config", environ.get("BOSH_CONFIG") or str(Path.home() / ".bosh" / "config")),
            all_proxy=environ.get("BOSH_ALL_PROXY", ""),
        )
        session = Session(options, Config(options.config), ui)
        if hasattr(args, "ops_files"):
            flags = commands.flags_of(args)
            flags.variables()
            flags.operations()
        if args.run not in OWN_START:
            _ = session.http
        args.run(session, args)
    except FlagError as error:
        sys.stdout.write("\n")
        sys.stderr.write(f"{error}\nExit code 1\n")
        return 1
    except BoshError as error:
        ui.error_line(str(error))
        ui.error_line("Exit code 1")
        ui.flush()
        return 1
    except (OSError, subprocess.TimeoutExpired) as error:
        # A full disk, a file that may not be read: a sentence, not a traceback.
        ui.error_line(str(error))
        ui.error_line("Exit code 1")
        ui.flush()
        return 1
    except KeyboardInterrupt:
        ui.flush()
        return 1
    finally:
        if session:
            session.close()
    ui.line("Succeeded")
    ui.flush()
    return 0


def _wants_recent(argv: list[str]) -> bool:
    return any(a in ("tasks", "ts", "configs", "cs") for a in argv)
