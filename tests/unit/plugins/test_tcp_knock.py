# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import director_probe
from ansible_collections.bosh.ha.plugins.module_utils.tcp_knock import endpoint, silence


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ("10.10.0.3", ("10.10.0.3", 25555)),
        ("https://10.10.0.3", ("10.10.0.3", 25555)),
        ("https://10.10.0.3:8443", ("10.10.0.3", 8443)),
        ("fd00::3", ("fd00::3", 25555)),
        ("https://[fd00::3]:8443", ("fd00::3", 8443)),
        ("micro", None),
        ("https://bosh.example.com:25555", None),
        ("https://10.10.0.3:port", None),
        ("", None),
    ],
)
def test_only_an_address_is_an_endpoint(environment: str, where: tuple[str, int] | None) -> None:
    assert endpoint(environment) == where


def test_somebody_who_listens_is_not_silent_and_nobody_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert silence(f"https://127.0.0.1:{port}") == ""
    assert silence(f"https://127.0.0.1:{port}").startswith(f"127.0.0.1 port {port}: ")


def test_who_has_no_address_may_be_there() -> None:
    assert silence("micro") == ""


def test_the_cli_is_not_asked_for_a_director_where_nobody_listens(
    monkeypatch: pytest.MonkeyPatch, run_module: Callable[..., Any]
) -> None:
    monkeypatch.setattr(director_probe, "silence", lambda environment: f"{environment} port 25555: no route")
    wanted = {"environment": "10.10.0.3", "client": "admin", "client_secret": "s3cret", "fail_when_unreachable": False}
    result, replay = run_module("director_info", wanted)
    assert (result["reachable"], result["logged_in"], result["cause"]) == (False, False, "unreachable")
    assert result["reason"] == "10.10.0.3 port 25555: no route"
    assert not [call for call in replay.calls if "env" in call]
