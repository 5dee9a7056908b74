# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the agent's settings: whose word counts, and what a director's new ones make of the old ones."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from boshlab.agent import actions, settings

MICRO, META = "nats://10.10.0.3:4222", "nats://10.10.0.5:4222"
CERT = {"ca": "a CA", "private_key": "a key", "certificate": "a certificate"}
NEW_CERT = {"ca": "another CA", "private_key": "another key", "certificate": "another certificate"}
BLOBSTORES = [{"provider": "dav", "options": {"endpoint": "https://10.10.0.5:25250"}}]
#: What bosh.ha.agent_bus writes where there was nothing.
MOVED = {"mbus": {"urls": [META]}}
ENV = {"mbus": MICRO, "env": {"bosh": {"mbus": {"cert": CERT}}}}


def test_new_settings_without_a_bus_leave_the_old_one() -> None:
    update, again = settings.merged(MOVED, {"trusted_certs": "t", "disk_associations": []})
    assert settings.mbus_urls(ENV, update) == [META] and not again
    assert settings.mbus_cert(ENV, update) == CERT
    assert (update["trusted_certs"], update["disk_associations"], update["blobstores"]) == ("t", [], None)


def test_new_blobstores_leave_the_bus_and_start_the_agent_again() -> None:
    update, again = settings.merged(MOVED, {"blobstores": BLOBSTORES})
    assert settings.mbus_urls(ENV, update) == [META] and again
    assert settings.blobstore({}, update) == BLOBSTORES[0]
    assert settings.merged(update, {"blobstores": BLOBSTORES}) == (update, False)
    # Not sent is not taken away.
    assert settings.merged(update, {}) == (update, False)


def test_a_new_certificate_without_urls_takes_the_old_urls_away() -> None:
    update, again = settings.merged(MOVED, {"mbus": {"cert": NEW_CERT}})
    assert settings.mbus_urls(ENV, update) == [MICRO] and again
    assert settings.mbus_cert(ENV, update) == NEW_CERT
    assert settings.merged(update, {"mbus": {"cert": NEW_CERT}})[1] is False
    assert settings.merged(update, {"mbus": {}}) == (update, False)


def test_the_agent_reads_what_others_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SETTINGS", "UPDATE"):
        monkeypatch.setattr(settings, name, tmp_path / f"{name}.json")
    agent = actions.Actions()
    settings.write(settings.UPDATE, MOVED)
    assert agent.update_settings({"trusted_certs": ""}) == "ok" and not agent.reconnect
    written: dict[str, Any] = settings.read(settings.UPDATE)
    assert settings.mbus_urls(ENV, written) == [META] and agent.update == written
    agent.update_settings({"blobstores": BLOBSTORES})
    assert agent.reconnect and settings.read(settings.UPDATE)["blobstores"] == BLOBSTORES
    # The restart is still due.
    agent.update_settings({"blobstores": BLOBSTORES})
    assert agent.reconnect


def test_the_image_tells_a_version_in_the_agents_form() -> None:
    root = Path(settings.__file__).parent.parent / "image" / "rootfs"
    said = subprocess.run(
        [str(root / "var/vcap/bosh/bin/bosh-agent"), "-v"], capture_output=True, text=True, check=True, timeout=10
    )
    major, minor = said.stdout.split(".")[:2]
    assert (int(major), int(minor)) >= (2, 874)
    # A restart by `sv` reaches the agent itself, not a shell before it.
    run = (root / "etc/service/agent/run").read_text(encoding="utf-8").splitlines()[-1]
    assert run.startswith("exec ") and (root / "usr/local/bin/boshlab").read_text().splitlines()[-1].startswith("exec ")
