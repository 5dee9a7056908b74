# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the probe: who answers, who does not, and that nobody waits for another."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from boshlab import certs, probe

GOOD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"name": "micro", "uuid": "u-1"}'


def _tls(directory: Path) -> ssl.SSLContext:
    issued = certs.issue(certs.authority("ca"), "127.0.0.1", ("127.0.0.1",))
    (directory / "pair.pem").write_text(f"{issued.private_key}\n{issued.certificate}\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "pair.pem")
    return context


async def _asked(directory: Path, answer: bytes | None, tls: bool = True, timeout: float = 0.5) -> dict[str, Any]:
    """What the probe says of a server with this answer; None is silence."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read()
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=_tls(directory) if tls else None)
    port = server.sockets[0].getsockname()[1]
    try:
        return await probe.ask("127.0.0.1", probe.context(), port, timeout)
    finally:
        server.close()


def test_who_answers_is_told_with_its_uuid(tmp_path: Path) -> None:
    found = asyncio.run(_asked(tmp_path, GOOD, timeout=10))
    assert found.pop("ms") > 0
    assert found == {"ok": True, "status": 200, "uuid": "u-1", "director": "micro", "error": None}


@pytest.mark.parametrize(
    ("answer", "tls", "status", "error"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", True, 502, "HTTP 502"),
        (b"HTTP/1.1 200 OK\r\n\r\n{", True, None, "JSONDecodeError"),
        (b"", True, 0, "HTTP 0"),
        (None, True, None, "timeout"),
        (None, False, None, "timeout"),
    ],
)
def test_who_does_not_answer_well_is_told(
    answer: bytes | None, tls: bool, status: int | None, error: str, tmp_path: Path
) -> None:
    found = asyncio.run(_asked(tmp_path, answer, tls, 0.5 if answer is None else 10))
    assert (found["ok"], found["status"], found["error"], found["uuid"]) == (False, status, error, None)


def test_a_closed_port_is_told_at_once() -> None:
    found = asyncio.run(probe.ask("127.0.0.1", probe.context(), 1))
    assert (found["ok"], found["error"]) == (False, "ConnectionRefusedError")


def test_a_silent_director_holds_up_neither_the_others_nor_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(address: str, _tls: Any, _port: int, timeout: float) -> dict[str, Any]:
        if address == "silent":
            await asyncio.sleep(timeout)
        return {"ok": address != "silent"}

    monkeypatch.setattr(probe, "ask", ask)
    out = io.StringIO()

    async def sample() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(1.05, stop.set)
        await probe.sample({"a": "silent", "b": "b"}, out, 10, stop, timeout=0.5)

    asyncio.run(sample())
    names = [json.loads(line)["name"] for line in out.getvalue().splitlines()]
    # Some fewer on a machine that is busy.
    assert 5 <= names.count("b") <= 12
    assert names.count("a") == names.count("b")


def _line(time: float, ok: bool = True, name: str = "micro", uuid: str | None = "u-1", ms: float = 3.0) -> str:
    return json.dumps(
        {"time": time, "name": name, "ok": ok, "uuid": uuid if ok else None, "error": "timeout", "ms": ms}
    )


def test_outages_last_from_the_first_failure_to_the_next_answer() -> None:
    lines = [
        _line(1.0),
        # An answer that took long comes later in the file than what was asked after it.
        _line(1.4, ok=False),
        _line(1.2, ok=False),
        _line(1.6, uuid="u-2", ms=9.0),
        _line(1.8, ok=False),
        _line(2.0, ok=False),
        _line(1.0, name="meta"),
        '{"time": 2.2, "na',
    ]
    found = probe.summary(lines)
    assert found["micro"] == {
        "samples": 6,
        "failed": 4,
        "uuids": ["u-1", "u-2"],
        "longest_outage": 0.4,
        "outages": [
            {"from": 1.2, "until": 1.6, "seconds": 0.4, "error": "timeout"},
            {"from": 1.8, "until": None, "seconds": 0.2, "error": "timeout"},
        ],
        "slowest_ms": 9.0,
    }
    assert (found["meta"]["failed"], found["meta"]["outages"], found["meta"]["longest_outage"]) == (0, [], 0)
