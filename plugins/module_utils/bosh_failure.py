# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A failed call of the BOSH CLI: the command, the exit code, BOSH's own words, and what may help."""

from __future__ import annotations

import re

# Wording as the real CLI v7.10 and director 283 print it (tests/unit/fixtures/recorded/fail_*.json).
# The first that fits counts: what a failed task or a CPI says is not about the way to the director.
_HINTS: tuple[tuple[str, str, str], ...] = (
    (
        "lock_held",
        r"Unable to get deployment lock|Failed to acquire lock",
        "another task holds the lock: wait for it, or look at `bosh locks` and `bosh tasks`",
    ),
    (
        "task_failed",
        r"Expected task '\d+' to succeed but state is",
        "the task failed: `bosh task N --debug` has the whole story",
    ),
    (
        # bosh-cli cloud/errors.go
        "cpi_failed",
        r"CPI '\w+' method responded with error",
        "the CPI failed, not the director: it speaks of the IaaS or of the CPI's properties",
    ),
    (
        "timed_out",
        r"there was no end after \d+ s",
        "the command was ended after `timeout`; a task that it had started goes on: look at `bosh tasks`",
    ),
    (
        # bosh-cli director/client_request.go, uaa/client_request.go; the page is nginx's.
        "not_ready",
        r"responded with non-successful status code '50[234]'",
        "nginx answers, but the director behind it does not: see `monit summary` on its host",
    ),
    (
        "wrong_ca",
        r"failed to verify certificate|certificate signed by unknown authority|x509:",
        "the director's certificate does not match `ca_cert`: is it this director's CA, with this address?",
    ),
    (
        "unreachable",
        r"no route to host|connection refused|i/o timeout|no such host|network is unreachable|EOF$|connection reset",
        "nothing answers there: is the VM up, the director started, and the route (all_proxy, jump host) open?",
    ),
    (
        "wrong_credentials",
        r"status code '401'|Not authorized|\(not logged in\)|as anonymous user",
        "the director refuses the client: check `client` and `client_secret` of this director",
    ),
    (
        "unknown_deployment",
        r'"code":\s*70000|Deployment \'[^\']*\' doesn\'t exist',
        "this director does not know the deployment",
    ),
    ("unknown_task", r'"code":\s*10000|Task \d+ not found', "this director does not know the task"),
    (
        "wrong_deployment",
        r"Expected manifest to specify deployment name",
        "the manifest is not the one of this deployment: check `manifest`",
    ),
)
#: A command that could not be run at all; BOSH itself has no words for it.
_CLI_MISSING = "the bosh CLI cannot be run: install version 7, or set bosh_ha_cli_options.cli (`cli`) to its path"
_PAGE = re.compile(r" response '\s*<html>.*?</html>\s*'", re.DOTALL)
_FAILED_TASK = re.compile(r"Expected task '(\d+)' to succeed but state is '(\w+)'")


class BoshFailure(Exception):
    """A call of the CLI that did not succeed.

    Attributes: ``command`` (no secret is ever in it), ``rc``, ``words`` (BOSH's own), ``cause`` (a key of
    the table above, what only the caller knows such as cli_missing, or empty), ``hint``, ``task_id`` and ``task_state``
    where a task failed.
    """

    def __init__(self, command: list[str], rc: int, words: str, cause: str = "", hint: str = "") -> None:
        self.command = command
        self.rc = rc
        # The page that nginx makes for browsers says no more than its code.
        self.words = words = _PAGE.sub("", words)
        self.cause = cause or explain(words)[0]
        self.hint = hint or _hint_of(self.cause)
        failed = _FAILED_TASK.search(words)
        self.task_id = int(failed.group(1)) if failed else None
        self.task_state = failed.group(2) if failed else ""
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """One sentence for a person."""
        told = f"`{' '.join(self.command)}` failed with exit code {self.rc}: {self.words}"
        return f"{told} ({self.hint})" if self.hint else told

    def as_result(self) -> dict[str, object]:
        """The keys that a failing module returns."""
        result: dict[str, object] = {
            "msg": self.sentence(),
            "command": self.command,
            "rc": self.rc,
            "bosh_message": self.words,
            "cause": self.cause,
            "hint": self.hint,
        }
        if self.task_id is not None:
            result["task"] = {"id": self.task_id, "state": self.task_state}
        return result


def _hint_of(cause: str) -> str:
    hints = {name: hint for name, _pattern, hint in _HINTS} | {"cli_missing": _CLI_MISSING}
    return hints.get(cause, "")


def explain(words: str) -> tuple[str, str]:
    """The cause's name and a hint for BOSH's words, or two empty strings where the cause is unknown."""
    for cause, pattern, hint in _HINTS:
        if re.search(pattern, words):
            return cause, hint
    return "", ""
