# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the inputs by the words of the CLI and of the directors, a sentence each.

`entries` has for each director the keys of bosh_ha_directors that are looked at, with their defaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import OLDEST_CLI, BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.interpolation import interpolated_text
from ansible_collections.bosh.ha.plugins.module_utils.pair_facts import Answers, together

Entries = Mapping[str, Mapping[str, Any]]


def cli_problems(cli: BoshCli) -> list[str]:
    """A sentence if the CLI cannot be used."""
    at, command = "bosh_ha_cli_options.cli", cli.director.cli
    try:
        cli.require_version()
    except BoshFailure as failure:
        if failure.cause == "cli_too_old":
            oldest = ".".join(map(str, OLDEST_CLI))
            return [f"{at}: {command}: {failure.words}, and bosh.ha needs version {oldest} or newer"]
        told = f"the command {command} cannot be run ({failure.words})"
        return [f"{at}: {told}; install the bosh CLI, version {OLDEST_CLI[0]}, or name its path"]
    return []


def manifest_problems(cli: BoshCli, entries: Entries, scratch: str) -> list[str]:
    """Manifests that the CLI cannot put together, or that name another deployment. scratch: see interpolated_text."""
    found = together({name: partial(_manifest_problem, cli, name, one, scratch) for name, one in entries.items()})
    return [problem for problem in found.values() if problem]


def _manifest_problem(cli: BoshCli, name: str, entry: Mapping[str, Any], scratch: str) -> str:
    at = f"bosh_ha_directors.{name}"
    words = {key: entry[key] for key in ("manifest", "ops_files", "vars_files")} | {"path": "/name"}
    try:
        named = interpolated_text(cli, words, scratch).strip()
    except BoshFailure as failure:
        return f"{at}: the CLI cannot put its manifest together: {failure.words}"
    except ValueError as error:
        return f"{at}: the CLI cannot put its manifest together: {error}"
    wanted = entry.get("deployment") or named
    # A name that is a variable is in the vars store, perhaps only later.
    if "((" in named or named == wanted:
        return ""
    return f"{at}.manifest: the file {entry['manifest']} names the deployment {named}, but {at}.deployment is {wanted}"


def answer_problems(entries: Entries, answers: Answers) -> Iterator[str]:
    """Directors that are there and do not let us in, and a Micro that nobody could name again."""
    for name, answer in answers.items():
        if not answer["reachable"] or answer["logged_in"]:
            continue
        at, entry = f"bosh_ha_directors.{name}", entries[name]
        if answer["cause"] == "wrong_credentials":
            given = "it" if entry["client_secret"] else f"admin_password of the vars store {entry['vars_store']}"
            who = f"the director at {entry['address']} refuses the client {entry['client']}"
            yield f"{at}.client_secret: {who} with {given}"
        elif answer["cause"] == "wrong_ca":
            given = "this CA" if entry["ca_cert"] else f"director_ssl.ca of the vars store {entry['vars_store']}"
            yield f"{at}.ca_cert: the certificate of the director at {entry['address']} is not of {given}"
        else:
            yield f"{at}: {answer['reason']}"
    micro = entries["micro"]
    if micro_is_there(answers) and not os.path.exists(os.path.expanduser(micro["state_file"])):
        yield (
            f"bosh_ha_directors.micro.state_file: there is no file {micro['state_file']}, although Micro answers at "
            f"{micro['address']}: create-env would make a second Micro"
        )


def micro_is_there(answers: Answers) -> bool:
    """Whether there is a Micro: its nginx is enough."""
    answer = answers.get("micro", {})
    return bool(answer.get("reachable")) or answer.get("cause") == "not_ready"
