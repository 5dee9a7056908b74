# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused by the words of the CLI and of the directors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..conftest import Failed
from .test_pair_facts import NAMES, World, micro

VERSION = "version 7.10.6-abcdef-2026-06-01T00:00:00Z"
REFUSED = "Fetching info: Director responded with non-successful status code '401'"
STRANGE = "Fetching info: tls: failed to verify certificate: x509: certificate signed by unknown authority"

CLIENT = "the director at address-of-meta refuses the client admin with"
CERTIFICATE = "the certificate of the director at address-of-meta is not of"


class Inputs:
    """The variables and the answers of one call; `names` are those that the CLI finds in the manifests."""

    def __init__(self, top: Any) -> None:
        self.top = top
        self.world = World(**{name: micro("x") for name in NAMES})
        self.version = (0, VERSION, "")
        self.is_there = True
        self.names = {"micro": "bosh", "primary": "bosh-primary", "meta": "bosh-meta"}
        self.entries: dict[str, dict[str, Any]] = {}
        for name in NAMES:
            (top / f"{name}.yml").write_text(f"name: {name}", encoding="utf-8")
            self.entries[name] = {
                "address": f"address-of-{name}",
                "client": "admin",
                "client_secret": False,
                "ca_cert": True,
                "vars_store": "creds.yml",
                "manifest": str(top / f"{name}.yml"),
                "ops_files": [],
                "vars_files": [],
            } | ({"state_file": str(top / "state.json")} if name == "micro" else {"deployment": f"bosh-{name}"})
        (top / "state.json").write_text("{}", encoding="utf-8")

    def answer(self, command: list[str], **options: Any) -> tuple[int, str, str]:
        if command[1:] == ["--version"]:
            if not self.is_there:
                raise OSError(2, "No such file or directory")
            return self.version
        if "interpolate" in command:
            path = next(word for word in command if word.endswith(".yml"))
            assert command[-1] == "--path=/name"
            name = self.names[path.rpartition("/")[2].removesuffix(".yml")]
            blocks, lines = ([f"{name}\n"], []) if "Expected" not in name else (None, [name, "Exit code 1"])
            return int(blocks is None), json.dumps({"Tables": None, "Blocks": blocks, "Lines": lines}), ""
        return self.world.answer(command, **options)


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path)


@pytest.fixture
def ask(run_module, inputs):
    def call() -> dict[str, Any]:
        directors = [{"name": name, "environment": name, "all_proxy": "socks5://x"} for name in NAMES]
        args = {"entries": inputs.entries, "directors": directors, "cli": "bosh"}
        return run_module("inputs_info", args, runner=inputs.answer)[0]

    return call


def test_good_inputs_bring_what_the_directors_answered(ask, inputs):
    del inputs.world.directors["meta"]
    found = ask()
    assert (found["answering"], found["micro_is_there"], found["changed"]) == (["micro", "primary"], True, False)
    assert found["answers"]["primary"]["deployments"] == ["x"]
    assert not found["answers"]["meta"]["reachable"]


def test_directors_that_are_all_still_to_come_are_no_problem(ask, inputs):
    inputs.world.directors.clear()
    (inputs.top / "state.json").unlink()
    assert (ask()["answering"], ask()["micro_is_there"]) == ([], False)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (None, "the command bosh cannot be run .*No such file.*; install the bosh CLI"),
        ((1, "", "Exec format error"), "the command bosh cannot be run .*Exec format error"),
        ((0, "nothing of the kind", ""), "the command bosh cannot be run .*nothing of the kind"),
        ((0, "version 6.4.17-cafd6d5", ""), "bosh: the CLI is version 6.4.17, and bosh.ha needs version 7.0 or newer"),
    ],
)
def test_a_cli_that_cannot_be_used_is_named_before_a_director_is_asked(ask, inputs, version, told):
    inputs.version, inputs.is_there = version, version is not None
    with pytest.raises(Failed, match=f"^bosh_ha_cli_options.cli: {told}"):
        ask()
    assert inputs.world.calls == []


def test_each_manifest_that_cannot_be_used_is_named_before_a_director_is_asked(ask, inputs):
    inputs.names = {"micro": "Expected to find a map", "primary": "bosh-meta", "meta": "((deployment))"}
    with pytest.raises(Failed) as failed:
        ask()
    path = inputs.top / "primary.yml"
    assert failed.value.result["msg"] == (
        "bosh_ha_directors.micro: the CLI cannot put its manifest together: Expected to find a map; "
        f"bosh_ha_directors.primary.manifest: the file {path} names the deployment bosh-meta, "
        "but bosh_ha_directors.primary.deployment is bosh-primary"
    )
    assert inputs.world.calls == []


def test_a_file_that_is_laid_over_it_is_named(ask, inputs):
    inputs.entries["meta"]["ops_files"] = ["/nowhere/ops.yml"]
    with pytest.raises(Failed, match=r"bosh_ha_directors.meta: .* the file /nowhere/ops.yml cannot be read"):
        ask()


@pytest.mark.parametrize(
    ("says", "entry", "told"),
    [
        (REFUSED, {}, f"client_secret: {CLIENT} admin_password of the vars store creds.yml"),
        (REFUSED, {"client_secret": True}, f"client_secret: {CLIENT} it"),
        (STRANGE, {}, f"ca_cert: {CERTIFICATE} this CA"),
        (STRANGE, {"ca_cert": False}, f"ca_cert: {CERTIFICATE} director_ssl.ca of the vars store creds.yml"),
    ],
)
def test_a_director_that_does_not_let_us_in_is_named(ask, inputs, says, entry, told):
    inputs.world.directors["meta"]["fails"] = says
    inputs.entries["meta"] |= entry
    with pytest.raises(Failed) as failed:
        ask()
    assert failed.value.result["msg"] == f"bosh_ha_directors.meta.{told}"


@pytest.mark.parametrize("says", [None, "Fetching info: Director responded with non-successful status code '502'"])
def test_a_micro_that_nobody_could_name_again_is_refused(ask, inputs, says):
    (inputs.top / "state.json").unlink()
    if says:
        inputs.world.directors["micro"]["fails"] = says
    with pytest.raises(
        Failed, match=r"^bosh_ha_directors.micro.state_file: there is no file .*create-env would make a second"
    ):
        ask()
