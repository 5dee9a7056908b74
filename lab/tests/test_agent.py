# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the agent: its dispatcher, what it reads from monit, its way in for create-env."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from boshlab import agent, certs
from boshlab.agent import Dispatcher, actions
from boshlab.agent.actions import ASYNCHRONOUS, ActionFailed, Actions, blob_path
from hypothesis import given
from hypothesis import strategies as st


class Fake:
    """Actions that only write down what they were told."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.settings: dict[str, Any] = {}
        self.update: dict[str, Any] = {}

    def ping(self) -> str:
        return "pong"

    def start(self) -> str:
        raise ActionFailed("monit is away")

    def stop(self, *_arguments: Any) -> str:
        self.seen.append("stop begins")
        self.go_on.wait(10)
        self.seen.append("stop ends")
        return "stopped"

    def apply(self, *arguments: Any) -> str:
        self.seen.append("apply")
        if arguments == ("bad",):
            raise ActionFailed("no spec")
        return "applied"

    def _private(self) -> str:
        return "secret"


def _ended(dispatcher: Dispatcher, task_id: str) -> dict[str, Any]:
    until = time.monotonic() + 10
    while True:
        answer = dispatcher.answer({"method": "get_task", "arguments": [task_id]})
        value = answer.get("value")
        if not (isinstance(value, dict) and value.get("state") == "running"):
            return answer
        assert time.monotonic() < until
        time.sleep(0.01)


def test_short_actions_are_answered_at_once() -> None:
    dispatcher = Dispatcher(Fake())  # type: ignore[arg-type]
    assert dispatcher.answer({"method": "ping", "arguments": []}) == {"value": "pong"}
    assert dispatcher.answer({"method": "start"}) == {"exception": {"message": "Action Failed start: monit is away"}}


@pytest.mark.parametrize("method", ["", "dance", "_private", "__init__", "settings", "seen"])
def test_an_unknown_message_is_told_in_boshs_words(method: str) -> None:
    answer = Dispatcher(Fake()).answer({"method": method, "arguments": []})  # type: ignore[arg-type]
    assert answer == {"exception": {"message": f"unknown message {method}"}}


def test_long_actions_become_tasks_that_tell_their_end() -> None:
    fake = Fake()
    dispatcher = Dispatcher(fake)  # type: ignore[arg-type]
    fake.go_on.clear()
    started = dispatcher.answer({"method": "stop", "arguments": []})["value"]
    assert started["state"] == "running"
    task = started["agent_task_id"]
    assert dispatcher.answer({"method": "get_task", "arguments": [task]}) == {"value": started}
    # Meanwhile short ones are answered.
    assert dispatcher.answer({"method": "ping"}) == {"value": "pong"}
    fake.go_on.set()
    assert _ended(dispatcher, task) == {"value": "stopped"}


def test_long_actions_come_one_after_the_other() -> None:
    fake = Fake()
    dispatcher = Dispatcher(fake)  # type: ignore[arg-type]
    fake.go_on.clear()
    first = dispatcher.answer({"method": "stop", "arguments": []})["value"]["agent_task_id"]
    until = time.monotonic() + 10
    while not fake.seen and time.monotonic() < until:
        time.sleep(0.01)
    second = dispatcher.answer({"method": "apply", "arguments": [{}]})["value"]["agent_task_id"]
    fake.go_on.set()
    assert _ended(dispatcher, first) == {"value": "stopped"}
    assert _ended(dispatcher, second) == {"value": "applied"}
    assert fake.seen == ["stop begins", "stop ends", "apply"]


def test_a_task_that_failed_or_is_unknown_is_an_exception() -> None:
    dispatcher = Dispatcher(Fake())  # type: ignore[arg-type]
    task = dispatcher.answer({"method": "apply", "arguments": ["bad"]})["value"]["agent_task_id"]
    assert "Action Failed apply: no spec" in _ended(dispatcher, task)["exception"]["message"]
    answer = dispatcher.answer({"method": "get_task", "arguments": ["none"]})
    assert answer == {"exception": {"message": "Action Failed get_task: Task with id none could not be found"}}


@given(
    st.one_of(st.sampled_from([*sorted(ASYNCHRONOUS), "ping", "get_task", "cancel_task"]), st.text(max_size=8)),
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=4)), max_size=3)),
)
def test_every_request_gets_a_value_or_an_exception(method: str, arguments: list[Any] | None) -> None:
    answer = Dispatcher(Fake()).answer({"method": method, "arguments": arguments})  # type: ignore[arg-type]
    assert set(answer) in ({"value"}, {"exception"})


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["running", "running"], "running"),
        ([], "running"),
        (["running", "initializing"], "starting"),
        (["Does not exist", "initializing - start pending"], "starting"),
        (["running", "running - stop pending"], "running"),
        (["running", "not monitored - start pending"], "failing"),
        (["running", "not monitored"], "failing"),
        (["running", "Does not exist"], "failing"),
        (["running", "Connection failed"], "failing"),
    ],
)
def test_the_state_of_jobs_is_monits(
    states: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = "\n".join(f"Process 'p{n}'                        {state}" for n, state in enumerate(states))
    summary = f"The Monit daemon 5.2.5 uptime: 1m \n\n{rows}\nSystem 'system_vm'    running\n\n"
    monkeypatch.setattr(actions.monit, "answer", lambda: summary)
    monkeypatch.setattr(actions, "STOPPED", tmp_path / "stopped")
    assert len(actions.monit_states()) == len(states)
    assert Actions().job_state() == said
    # What the agent itself stopped is stopped, whatever monit says.
    (tmp_path / "stopped").touch()
    assert Actions().job_state() == "stopped"


@given(st.uuids().map(str))
def test_a_blobs_place_is_its_sha1s(blob_id: str) -> None:
    folder, _slash, name = blob_path(blob_id).partition("/")
    assert name == blob_id and len(folder) == 2 and set(folder) <= set("0123456789abcdef")


@pytest.fixture
def doorway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """Port of an agent that waits for create-env, and what trusts it."""
    authority = certs.authority("ca")
    issued = certs.issue(authority, "127.0.0.1", ("127.0.0.1",))
    fake = Fake()
    pair = {"certificate": issued.certificate, "private_key": issued.private_key, "ca": issued.ca}
    fake.settings = {"env": {"bosh": {"mbus": {"cert": pair}}}}
    monkeypatch.setattr(agent, "LOCAL_BLOBS", tmp_path / "blobs")
    server = agent.https_server(fake, "https://mbus:secret@0.0.0.0:0")  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, ssl.create_default_context(cadata=issued.ca)
    server.shutdown()
    server.server_close()


def test_create_env_comes_in_with_its_password_only(doorway: tuple[int, ssl.SSLContext]) -> None:
    port, trust = doorway
    url = f"https://127.0.0.1:{port}"
    with httpx.Client(verify=trust, timeout=10) as client:
        ask = {"method": "ping", "arguments": []}
        assert client.post(f"{url}/agent", json=ask, auth=("mbus", "wrong")).status_code == 401
        assert client.post(f"{url}/agent", json=ask, auth=("mbus", "secret")).json() == {"value": "pong"}
        assert client.put(f"{url}/blobs/b", content=b"x", auth=("mbus", "secret")).status_code == 201
        assert client.get(f"{url}/blobs/b", auth=("mbus", "secret")).content == b"x"
        assert client.get(f"{url}/blobs/none", auth=("mbus", "secret")).status_code == 404


def test_one_who_only_holds_the_port_open_keeps_nobody_waiting(doorway: tuple[int, ssl.SSLContext]) -> None:
    port, trust = doorway
    with socket.create_connection(("127.0.0.1", port)), httpx.Client(verify=trust, timeout=10) as client:
        answer = client.post(f"https://127.0.0.1:{port}/agent", json={"method": "ping"}, auth=("mbus", "secret"))
        assert answer.json() == {"value": "pong"}


def test_a_reload_is_over_when_another_incarnation_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one goes on to answer for a moment, then nobody does; what it is told to start is forgotten."""
    answers = ["1", "1", "1", "", "2"]
    told: list[str] = []
    monkeypatch.setattr(actions, "monit_incarnation", lambda: answers.pop(0))
    monkeypatch.setattr(actions, "run", lambda *words, **_options: told.append(words[-1]) or "")
    Actions.__new__(Actions)._reload_monit()
    assert (answers, told) == ([], ["reload"])


def test_a_monit_that_began_in_this_second_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(actions, "MONIT_RELOAD_PATIENCE", 0.05)
    monkeypatch.setattr(actions, "monit_incarnation", lambda: "1" if len(told) < 3 else "2")
    monkeypatch.setattr(actions, "run", lambda *words, **_options: told.append(words[-1]) or "")
    Actions.__new__(Actions)._reload_monit()
    assert told == ["reload"] * 3
    monkeypatch.setattr(actions, "MONIT_TIMEOUT", 0.2)
    monkeypatch.setattr(actions, "monit_incarnation", lambda: "1")
    with pytest.raises(ActionFailed, match="monit was not reloaded"):
        Actions.__new__(Actions)._reload_monit()
