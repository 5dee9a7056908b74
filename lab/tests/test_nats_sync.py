# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for nats_sync: whom NATS lets in, and when it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from boshlab import certs, nats_sync
from boshlab.bosh_cli import generate
from hypothesis import given
from hypothesis import strategies as st

AGENTS = st.lists(
    st.fixed_dictionaries({"agent_id": st.uuids().map(str)}, optional={"permanent_nats_credentials": st.booleans()}),
    unique_by=lambda agent: agent["agent_id"],
    max_size=6,
)

SUBJECTS = ("C=US, O=Cloud Foundry, CN=director", "C=US, O=Cloud Foundry, CN=hm")


@given(AGENTS)
def test_an_agent_hears_and_speaks_of_itself_only(agents: list[dict[str, Any]]) -> None:
    ids = [agent["agent_id"] for agent in agents]
    director, monitor, *others = nats_sync.users(agents, *SUBJECTS)
    assert (director["user"], monitor["user"]) == SUBJECTS
    assert director["permissions"] == {"publish": ["agent.*", "hm.director.alert"], "subscribe": ["director.>"]}
    assert monitor["permissions"]["publish"] == []
    for user in others:
        own = [agent_id for agent_id in ids if f"CN={agent_id}." in user["user"]]
        assert len(own) == 1
        assert user["permissions"]["subscribe"] == [f"agent.{own[0]}"]
        assert all(own[0] in subject for subject in user["permissions"]["publish"])
    # What is not in the list is not let in: that is the lock-out after a recreated director.
    assert (
        len({user["user"] for user in others})
        == len(others)
        == sum(1 if agent.get("permanent_nats_credentials") else 2 for agent in agents)
    )


def test_director_and_monitor_are_let_in_by_what_their_certificates_say(tmp_path: Path) -> None:
    """The lab's own certificates say USA as a director's for its agents; the CLI's say US."""
    ca = certs.authority("nats")
    issued = {
        "USA": certs.issue(ca, "default.director.bosh-internal").certificate,
        "US": generate.certificate(
            {"ca": "nats", "common_name": "default.director.bosh-internal"}, lambda _name: ca.as_variable()
        )["certificate"],
    }
    for country, certificate in issued.items():
        (tmp_path / "client.pem").write_text(certificate)
        # The order is the certificate's, which NATS compares.
        wanted = f"C={country}, O=Cloud Foundry, CN=default.director.bosh-internal"
        assert nats_sync.subject(tmp_path / "client.pem") == wanted


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the API refuses before it answers; what is left of it."""
    refusals, pauses = [0], []

    def get(url: str, **_options: Any) -> httpx.Response:
        if refusals[0]:
            refusals[0] -= 1
            raise httpx.ConnectError("refused")
        return httpx.Response(200, request=httpx.Request("GET", url))

    monkeypatch.setattr(nats_sync.httpx, "get", get)
    monkeypatch.setattr(nats_sync.time, "sleep", pauses.append)
    return refusals


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    calls: list[Path] = []
    monkeypatch.setattr(nats_sync, "reload", calls.append)
    return calls


def _config(tmp_path: Path) -> dict[str, Any]:
    files = {"auth_file": str(tmp_path / "auth.json"), "nats_pid_file": str(tmp_path / "nats.pid")}
    return files | {"director": "https://10.10.0.5:25555", "ca": False}


def test_nats_is_told_of_a_new_list_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Path]) -> None:
    monkeypatch.setattr(nats_sync, "agents", lambda _config: [{"agent_id": "a"}])
    assert not nats_sync.sync(_config(tmp_path), SUBJECTS, False)
    assert not nats_sync.sync(_config(tmp_path), SUBJECTS, False)
    assert len(told) == 1


def test_a_list_stays_while_the_director_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Path]
) -> None:
    nats_sync.write(tmp_path / "auth.json", nats_sync.users([{"agent_id": "a"}], *SUBJECTS))
    before = (tmp_path / "auth.json").read_text()

    def refuse(_config: dict[str, Any]) -> list[dict[str, Any]]:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(nats_sync, "agents", refuse)
    assert not nats_sync.sync(_config(tmp_path), SUBJECTS, False)
    assert (tmp_path / "auth.json").read_text() == before
    assert not told


def test_a_reload_that_failed_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def fail_once(pid_file: Path) -> None:
        calls.append(pid_file)
        if len(calls) == 1:
            raise FileNotFoundError(pid_file)

    monkeypatch.setattr(nats_sync, "agents", lambda _config: [{"agent_id": "a"}])
    monkeypatch.setattr(nats_sync, "reload", fail_once)
    owed = nats_sync.sync(_config(tmp_path), SUBJECTS, False)
    assert owed
    assert not nats_sync.sync(_config(tmp_path), SUBJECTS, owed)
    assert len(calls) == 2


@pytest.mark.parametrize(("refusals", "written"), [(5, True), (59, True), (60, False)])
def test_a_round_waits_a_minute_for_the_director(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Path], api: list[int], refusals: int, written: bool
) -> None:
    monkeypatch.setattr(nats_sync, "agents", lambda _config: [{"agent_id": "a"}])
    api[0] = refusals
    assert not nats_sync.sync(_config(tmp_path), SUBJECTS, False)
    assert (tmp_path / "auth.json").exists() is written
    assert api == [0]
