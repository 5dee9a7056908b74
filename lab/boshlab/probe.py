# SPDX-License-Identifier: GPL-3.0-or-later

"""Who answers: each director's /info, asked several times a second with a new connection each time."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import time
from contextlib import suppress
from typing import Any, TextIO

PORT, TIMEOUT = 25555, 0.5  # seconds, for connection, handshake and answer together


def context() -> ssl.SSLContext:
    """It is asked who answers, not whether it may: the CA differs from director to director, and moves."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


async def ask(address: str, tls: ssl.SSLContext, port: int = PORT, timeout: float = TIMEOUT) -> dict[str, Any]:
    """One question: `ok`, `ms`, `status`, `uuid`, `director` and, where it failed, `error`."""
    began = time.monotonic()
    found: dict[str, Any] = {"ok": False, "status": None, "uuid": None, "director": None, "error": None}
    try:
        async with asyncio.timeout(timeout):
            found |= await _info(address, tls, port)
    except TimeoutError:
        found["error"] = "timeout"
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        found["error"] = type(error).__name__
    return found | {"ms": round((time.monotonic() - began) * 1000, 1)}


async def _info(address: str, tls: ssl.SSLContext, port: int) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(address, port, ssl=tls)
    try:
        writer.write(f"GET /info HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        head, _empty, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        # No goodbye: a VM that was cut off would not answer it.
        writer.transport.abort()
    status = int(head.split(maxsplit=2)[1]) if head.startswith(b"HTTP/") else 0
    if status != 200:
        return {"status": status, "error": f"HTTP {status}"}
    info = json.loads(body)
    return {"ok": True, "status": status, "uuid": info.get("uuid"), "director": info.get("name")}


async def sample(
    addresses: dict[str, str], out: TextIO, rate: float, stop: asyncio.Event, port: int = PORT, timeout: float = TIMEOUT
) -> None:
    """A line of JSON for each director and moment, until `stop`. One that is slow holds up nobody, itself neither."""
    tls, running = context(), set()
    loop = asyncio.get_running_loop()

    async def one(name: str, address: str) -> None:
        at = time.time()
        found = await ask(address, tls, port, timeout)
        out.write(json.dumps({"time": round(at, 3), "name": name} | found) + "\n")
        out.flush()

    due = loop.time()
    while not stop.is_set():
        for name, address in addresses.items():
            task = asyncio.create_task(one(name, address))
            running.add(task)
            task.add_done_callback(running.discard)
        # A machine that was too busy for some moments does not catch up on them.
        due = max(due + 1 / rate, loop.time())
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), due - loop.time())
    if running:
        await asyncio.wait(running, timeout=2 * timeout)


def run(addresses: dict[str, str], out: TextIO, rate: float, seconds: float | None) -> None:
    """Until SIGTERM or SIGINT, or for so many seconds."""

    async def until_told() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if seconds:
            loop.call_later(seconds, stop.set)
        await sample(addresses, out, rate, stop)

    asyncio.run(until_told())


def summary(lines: list[str]) -> dict[str, Any]:
    """Of each director: samples, failed ones, which UUIDs answered, and its outages in seconds.

    An outage is from the first question without an answer to the next with one; one at the end has no `until`.
    """
    samples: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        # The last line of one that was killed may be cut off.
        with suppress(ValueError):
            found = json.loads(line)
            samples.setdefault(found["name"], []).append(found)
    return {name: _summary(sorted(found, key=lambda one: one["time"])) for name, found in samples.items()}


def _summary(samples: list[dict[str, Any]]) -> dict[str, Any]:
    outages: list[dict[str, Any]] = []
    for one in samples:
        down = bool(outages) and outages[-1]["until"] is None
        if one["ok"] and down:
            outages[-1] |= {"until": one["time"], "seconds": round(one["time"] - outages[-1]["from"], 3)}
        elif not one["ok"] and not down:
            outages.append({"from": one["time"], "until": None, "seconds": None, "error": one["error"]})
    if outages and outages[-1]["until"] is None:
        outages[-1]["seconds"] = round(samples[-1]["time"] - outages[-1]["from"], 3)
    answered = [one for one in samples if one["ok"]]
    return {
        "samples": len(samples),
        "failed": len(samples) - len(answered),
        "uuids": list(dict.fromkeys(one["uuid"] for one in answered)),
        "longest_outage": max((one["seconds"] for one in outages), default=0),
        "outages": outages,
        "slowest_ms": max((one["ms"] for one in answered), default=None),
    }
