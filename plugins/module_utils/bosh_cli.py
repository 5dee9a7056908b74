# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that builds and runs a command of the BOSH CLI."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.module_utils.basic import env_fallback
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import BoshOutput, parse_output, unreadable
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN_UTF8

#: run_command(argv, environ_update=...) -> (rc, stdout, stderr), as AnsibleModule.run_command has it.
Runner = Callable[..., tuple[int, str, str]]

OLDEST_CLI = (7, 0)
_DEV_BUILD = "[DEV BUILD]"
_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")

#: Options of every module that talks to a director; the fragment bosh.ha.director describes them.
DIRECTOR_ARGS: dict[str, dict[str, Any]] = {
    "environment": {"type": "str", "fallback": (env_fallback, ["BOSH_ENVIRONMENT"])},
    "client": {"type": "str", "fallback": (env_fallback, ["BOSH_CLIENT"])},
    # The fallback also makes Ansible hide a secret that came by the shell's environment.
    "client_secret": {"type": "str", "no_log": True, "fallback": (env_fallback, ["BOSH_CLIENT_SECRET"])},
    "ca_cert": {"type": "str", "fallback": (env_fallback, ["BOSH_CA_CERT"])},
    "cli": {"type": "str", "default": "bosh"},
    "config_path": {"type": "path", "fallback": (env_fallback, ["BOSH_CONFIG"])},
    # A proxy's URL may hold a password.
    "all_proxy": {"type": "str", "no_log": True, "fallback": (env_fallback, ["BOSH_ALL_PROXY"])},
    "timeout": {"type": "int", "default": 0},
}

#: Options of every module that takes a manifest; the fragment bosh.ha.manifest describes them.
MANIFEST_ARGS: dict[str, dict[str, Any]] = {
    "manifest": {"type": "path"},
    "ops_files": {"type": "list", "elements": "path", "default": []},
    "vars_files": {"type": "list", "elements": "path", "default": []},
    "vars": {"type": "dict", "default": {}, "no_log": True},
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
    all_proxy: str = field(default="", repr=False)
    timeout: int = 0

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
        fixed = {"BOSH_NON_INTERACTIVE": "true", "BOSH_DEPLOYMENT": ""} | PLAIN_UTF8
        return {name: value for name, value in known.items() if value} | fixed


class Deadline:
    """Ends a process that ran for too long. `seconds` of 0 or less never end it."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.passed = False
        self._timer: threading.Timer | None = None

    def watch(self, process: Any) -> None:
        """Start the clock for a process, a subprocess.Popen."""
        if self.seconds > 0:
            self._timer = threading.Timer(self.seconds, self._end, [process])
            self._timer.daemon = True
            self._timer.start()

    def _end(self, process: Any) -> None:
        self.passed = True
        process.terminate()

    def stop(self) -> None:
        """The process ended by itself."""
        if self._timer:
            self._timer.cancel()


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
        rc, out, err = self._call(command, self.director.environ())
        output = replace(parse_output(out), command=command)
        if rc != 0 and not output.message():
            # What it cannot read of its flags it tells on stderr only, beside an empty line on stdout (cmd/factory.go).
            output = replace(output, plain=_reason(err))
        return rc, output, command

    def run_streamed(self, progress_file: str, *words: str, inherited: tuple[int, ...] = ()) -> str:
        """Run a long command whose output can be read in a file (for its owner only) while it runs; returns it all.

        It inherits the descriptors `inherited`. With `--json` the CLI would print everything at the end.
        Raises BoshFailure with what it told on stderr.
        """
        command = [self.director.cli, "-n", "--tty", "--no-color", *words]
        os.close(os.open(progress_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        # run_command itself tells nothing before the end.
        redirected = ["/bin/sh", "-c", 'exec "$@" >"$0"', progress_file, *command]
        rc, _out, err = self._call(redirected, self.director.environ(), told_as=command, pass_fds=inherited)
        with open(progress_file, encoding="utf-8", errors="replace") as stream:
            out = stream.read()
        if rc != 0:
            # The reason is on stderr; the last lines on stdout say how far it came.
            raise BoshFailure(command, rc, _reason(err) or "\n".join(out.splitlines()[-20:]))
        return out

    def _call(
        self, command: list[str], environ: dict[str, str], told_as: list[str] | None = None, **options: Any
    ) -> tuple[int, str, str]:
        shown = told_as or command
        deadline = Deadline(self.director.timeout)
        try:
            rc, out, err = self._run_command(
                command,
                environ_update=environ,
                handle_exceptions=False,
                before_communicate_callback=deadline.watch,
                **options,
            )
        except OSError as error:
            raise BoshFailure(shown, 127, str(error), cause="cli_missing") from error
        finally:
            deadline.stop()
        if deadline.passed:
            raise BoshFailure(shown, rc, f"there was no end after {deadline.seconds} s", cause="timed_out")
        return rc, out, err

    def run(self, *words: str, deployment: str = "") -> BoshOutput:
        """Run and return the output; raises BoshFailure when BOSH did not succeed, or printed no JSON of its own."""
        rc, output, command = self.try_run(*words, deployment=deployment)
        if rc != 0:
            raise BoshFailure(command, rc, output.message())
        if not output.parsed:
            # A success ends in JSON with the line "Succeeded" at least (bosh-cli main.go). The output itself is not
            # quoted: it may be a manifest.
            printed = f"{len(output.plain)} characters that are" if output.plain.strip() else "nothing, which is"
            raise unreadable(command, f"it printed {printed} not the CLI's JSON")
        return output

    def curl(self, path: str) -> dict[str, Any]:
        """The JSON object at a path of the director's API. Raises BoshFailure."""
        return self.run("curl", path).data()

    def require_version(self, oldest: tuple[int, int] = OLDEST_CLI) -> str:
        """The CLI's version; raises BoshFailure when it is missing or older than `oldest`."""
        command = [self.director.cli, "--version"]
        rc, out, err = self._call(command, PLAIN_UTF8)
        if rc == 0 and _DEV_BUILD in out:
            # Built from source without a version: there is nothing to compare.
            return _DEV_BUILD
        found = _VERSION.search(out)
        if rc != 0 or not found:
            raise BoshFailure(command, rc, out.strip() or err.strip() or "no version was printed")
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


def _reason(err: str) -> str:
    """What the CLI wrote to stderr, without its last words on the exit code."""
    return "\n".join(line for line in err.splitlines() if not line.startswith("Exit code")).strip()


def manifest_words(params: dict[str, Any], scratch: str = "") -> list[str]:
    """The manifest and what is laid over it: ops files, vars files, variables, vars store.

    Variables given as data go by a file for the owner only in the directory `scratch`, never by argv. Raises ValueError
    naming the file that cannot be read, before the CLI is run.
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
    if params.get("vars"):
        words += ["-l", _vars_file(params["vars"], scratch)]
    if params.get("vars_store"):
        words += ["--vars-store", os.path.expanduser(params["vars_store"])]
    return words


def _vars_file(variables: dict[str, Any], scratch: str) -> str:
    path = os.path.join(scratch, "bosh_ha_vars.yml")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        # JSON is YAML, too.
        json.dump(variables, stream)
    return path
