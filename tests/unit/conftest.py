# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the unit tests share: the real CLI's recorded answers, and a CLI that replays them."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from .role_runner import Roles

RECORDED = Path(__file__).parent / "fixtures" / "recorded"

# How long an example takes is the machine's business, which may have other work.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def recorded(name: str) -> tuple[int, str]:
    """Exit code and stdout of one recorded call."""
    case = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    out = case["stdout"]
    return case["exit"], out if isinstance(out, str) else json.dumps(out)


class Replay:
    """Stands for run_command: answers each command with a recorded case, and keeps it, but for the version.

    `answers` maps the words of a command that tell it apart to the case's name, or to (rc, stdout).
    """

    def __init__(self, answers: dict[str, str | tuple[int, str]]) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []
        self.environs: list[dict[str, str]] = []

    def __call__(self, command: list[str], environ_update: dict[str, str], **_kwargs: Any) -> tuple[int, str, str]:
        if command[1:] == ["--version"]:
            return 0, "version 7.10.9-abcdef-2026-06-01T00:00:00Z\n\nSucceeded\n", ""
        self.calls.append(command)
        self.environs.append(environ_update)
        told = " ".join(command)
        for words, answer in self.answers.items():
            if words in told:
                rc, out = recorded(answer) if isinstance(answer, str) else answer
                return rc, out, ""
        raise AssertionError(f"nothing was recorded for: {told}")


@pytest.fixture
def replay() -> type[Replay]:
    """The class itself: each test names its own answers."""
    return Replay


class Left(Exception):
    """A module left with this result."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        super().__init__(result.get("msg", "it left without a message"))


class Failed(Left):
    """A module left in failure."""


@pytest.fixture(autouse=True)
def somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directors of the recorded answers are not there; no test knocks at their addresses."""
    module = importlib.import_module("ansible_collections.bosh.ha.plugins.module_utils.director_probe")
    monkeypatch.setattr(module, "silence", lambda _environment: "")


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a whole module, its arguments validated by Ansible, over recorded answers.

    Returns the module's result and the Replay; raises Failed where the module fails.
    """
    from ansible.module_utils.basic import AnsibleModule
    from ansible.module_utils.testing import patch_module_args

    def run(
        name: str,
        args: dict[str, Any],
        answers: dict[str, str | tuple[int, str]] | None = None,
        check: bool = False,
        runner: Callable[..., tuple[int, str, str]] | None = None,
    ) -> tuple[dict[str, Any], Replay]:
        replay = Replay(answers or {})
        answer = runner or replay
        for variable in ("BOSH_ENVIRONMENT", "BOSH_CLIENT", "BOSH_CLIENT_SECRET", "BOSH_CA_CERT", "BOSH_ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setattr(AnsibleModule, "run_command", lambda _self, *words, **options: answer(*words, **options))
        module = importlib.import_module(f"ansible_collections.bosh.ha.plugins.modules.{name}")
        capsys.readouterr()
        with patch_module_args(args | {"_ansible_check_mode": check}), pytest.raises(SystemExit) as left:
            module.main()
        result = json.loads(capsys.readouterr().out)
        if left.value.code:
            raise Failed(result)
        return result, replay

    return run


@pytest.fixture
def said() -> Callable[..., tuple[int, str]]:
    """Makes an answer of the CLI that was not recorded: exit code 0 and the given blocks."""
    return lambda *blocks, rc=0, lines=(): (
        rc,
        json.dumps({"Tables": None, "Blocks": list(blocks), "Lines": list(lines)}),
    )


@pytest.fixture
def cli() -> Any:
    """Makes a BoshCli over recorded answers."""

    # Not at the top: pytest reads this file before pytest-ansible makes the collection importable.
    from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli, Director

    def make(answers: dict[str, str | tuple[int, str]]) -> tuple[BoshCli, Replay]:
        runner = Replay(answers)
        director = Director(environment="10.10.0.3", client="admin", client_secret="not-for-eyes", ca_cert="PEM")
        return BoshCli(director, runner), runner

    return make


@pytest.fixture(scope="module")
def roles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """Plays roles, with the module's MODULES (name to text) instead of the collection's own of those names."""
    base = tmp_path_factory.getbasetemp()
    # With xdist that of all workers is one above.
    compiled = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    process = Roles(tmp_path_factory.mktemp("roles"), getattr(request.module, "MODULES", {}), compiled)
    yield process
    process.close()
