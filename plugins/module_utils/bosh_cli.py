# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that builds and runs a command of the BOSH CLI."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import BoshOutput, parse_output

#: run_command(argv, environ_update=...) -> (rc, stdout, stderr), as AnsibleModule.run_command has it.
Runner = Callable[..., tuple[int, str, str]]

OLDEST_CLI = (7, 0)
_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")

#: Options of every module that talks to a director; the fragment bosh.ha.director describes them.
DIRECTOR_ARGS: dict[str, dict[str, Any]] = {
    "environment": {"type": "str"},
    "client": {"type": "str"},
    "client_secret": {"type": "str", "no_log": True},
    "ca_cert": {"type": "str"},
    "cli": {"type": "str", "default": "bosh"},
    "config_path": {"type": "path"},
    "all_proxy": {"type": "str"},
}

#: Options of every module that takes a manifest; the fragment bosh.ha.manifest describes them.
MANIFEST_ARGS: dict[str, dict[str, Any]] = {
    "manifest": {"type": "path"},
    "ops_files": {"type": "list", "elements": "path", "default": []},
    "vars_files": {"type": "list", "elements": "path", "default": []},
    "vars_store": {"type": "path"},
}


@dataclass(frozen=True)
class Director:
    """How to reach one director. The secret is kept out of the representation."""

    environment: str = ""
    client: str = ""
    client_secret: str = field(default="", repr=False)
    ca_cert: str = field(default="", repr=False)
    cli: str = "bosh"
    config_path: str = ""
    all_proxy: str = ""

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Director:
        """From a module's parameters; absent ones become empty."""
        return cls(**{name: params[name] for name in DIRECTOR_ARGS if params.get(name)})

    def environ(self) -> dict[str, str]:
        """What the CLI reads from its environment: credentials are never on a command line that `ps` shows."""
        known = {
            "BOSH_ENVIRONMENT": self.environment,
            "BOSH_CLIENT": self.client,
            "BOSH_CLIENT_SECRET": self.client_secret,
            "BOSH_CA_CERT": self.ca_cert,
            "BOSH_CONFIG": os.path.expanduser(self.config_path),
            "BOSH_ALL_PROXY": self.all_proxy,
        }
        # A BOSH_DEPLOYMENT left in a person's shell must not choose the deployment for us.
        fixed = {"BOSH_NON_INTERACTIVE": "true", "BOSH_DEPLOYMENT": "", "LC_ALL": "C.UTF-8"}
        return {name: value for name, value in known.items() if value} | fixed


class BoshCli:
    """Runs the CLI for one director.

    run_command is passed in, so that tests need no Ansible module.
    """

    def __init__(self, director: Director, run_command: Runner) -> None:
        self.director = director
        self._run_command = run_command

    def argv(self, *words: str, deployment: str = "") -> list[str]:
        """The command as a list; the same for check mode and the deed."""
        scope = ["-d", deployment] if deployment else []
        return [self.director.cli, "--json", "-n", *scope, *words]

    def try_run(self, *words: str, deployment: str = "") -> tuple[int, BoshOutput, list[str]]:
        """Run and return exit code, output and command; a failure is the caller's to judge.

        `cck --report` exits with 1 when it found problems, so not every 1 is an error.
        """
        command = self.argv(*words, deployment=deployment)
        try:
            rc, out, err = self._run_command(command, environ_update=self.director.environ(), handle_exceptions=False)
        except OSError as error:
            raise BoshFailure(command, 127, str(error), cause="cli_missing") from error
        output = parse_output(out)
        if not output.lines and err:
            output = BoshOutput(lines=err.splitlines(), plain=err)
        return rc, output, command

    def run(self, *words: str, deployment: str = "") -> BoshOutput:
        """Run and return the output; raises BoshFailure when BOSH did not succeed."""
        rc, output, command = self.try_run(*words, deployment=deployment)
        if rc != 0:
            raise BoshFailure(command, rc, output.message())
        return output

    def require_version(self, oldest: tuple[int, int] = OLDEST_CLI) -> str:
        """The CLI's version; raises BoshFailure when it is missing or older than `oldest`."""
        command = [self.director.cli, "--version"]
        try:
            rc, out, err = self._run_command(command, environ_update={}, handle_exceptions=False)
        except OSError as error:
            raise BoshFailure(command, 127, str(error), cause="cli_missing") from error
        found = _VERSION.search(out)
        if rc != 0 or not found:
            raise BoshFailure(command, rc, (out or err).strip() or "no version was printed")
        if tuple(int(part) for part in found.groups()[:2]) < oldest:
            wanted = ".".join(str(part) for part in oldest)
            raise BoshFailure(
                command,
                rc,
                f"the CLI is version {'.'.join(found.groups())}",
                cause="cli_too_old",
                hint=f"bosh.ha needs bosh CLI {wanted} or newer",
            )
        return ".".join(found.groups())


def manifest_words(params: dict[str, Any]) -> list[str]:
    """The manifest and what is laid over it: ops files, vars files, vars store.

    Raises ValueError naming the file that cannot be read, before the CLI is run.
    """
    if not params.get("manifest"):
        raise ValueError("`manifest` is needed: the path of the manifest")
    for path in [params["manifest"], *(params.get("ops_files") or []), *(params.get("vars_files") or [])]:
        if not os.access(os.path.expanduser(path), os.R_OK):
            raise ValueError(f"the file {path} cannot be read")
    words = [os.path.expanduser(params["manifest"])]
    for name, flag in (("ops_files", "-o"), ("vars_files", "-l")):
        for path in params.get(name) or []:
            words += [flag, os.path.expanduser(path)]
    if params.get("vars_store"):
        words += ["--vars-store", os.path.expanduser(params["vars_store"])]
    return words
