# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's ``bosh`` prints what the real CLI printed: same calls, recorded outputs, a director that answers as then.

With ``BOSH_REAL_CLI=/path/to/bosh`` the real CLI runs the same cases, which proves the fake director.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_director import CLIENT, SECRET, FakeDirector

HERE = Path(__file__).parent
LAB = HERE.parents[1]
CASES = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "recorded").glob("*.json"))}
REAL = os.environ.get("BOSH_REAL_CLI", "")
INTERPOLATIONS = json.loads((HERE / "recorded" / "interpolate.list").read_text())
CLIS = ["lab", *(["real"] if REAL else [])]

# cases that need something else than an answering director
UNREACHED = {"fail_port_closed", "fail_unknown_alias", "fail_wrong_ca", "environments", "fail_no_ca"}


def run(cli: str, words: list[str], home: Path, **environ: str) -> tuple[int, dict[str, Any]]:
    """Run one CLI; returns its exit status and the JSON document it printed."""
    command = [REAL] if cli == "real" else [sys.executable, "-m", "boshlab.bosh_cli"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BOSH_")}
    clean |= {"HOME": str(home), "PYTHONPATH": str(LAB), "BOSH_CONFIG": str(home / "config"), **environ}
    done = subprocess.run(
        [*command, *words], env=clean, capture_output=True, text=True, timeout=60, cwd=home, stdin=subprocess.DEVNULL
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def words_of(case: dict[str, Any], url: str, ca: Path) -> list[str]:
    """The recorded command line, with our address, CA and secret in place of those of that day."""
    words = shlex.split(case["command"])
    words = words[words.index("bosh") + 1 :]
    for flag, value in (("-e", url), ("--ca-cert", str(ca)), ("--client-secret", SECRET)):
        if flag in words:
            words[words.index(flag) + 1] = value
    return words


def expected(case: dict[str, Any], url: str) -> dict[str, Any]:
    """The recorded document with our address in it."""
    address = re.search(r"-e (\S+)", case["command"])
    text = json.dumps(case["stdout"])
    return json.loads(text.replace(f"'{address[1]}'", f"'{url}'") if address else text)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with the manifests that the recorded deploys name."""
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (tmp_path / "creds").mkdir()
    group = "[{name: bosh, jobs: [{name: health_monitor, properties: {hm: {resurrector_enabled: false}}}]}]"
    (manifests / "bosh-primary.yml").write_text(f"name: bosh-primary\ninstance_groups: {group}\n")
    (manifests / "cloud-config-micro.yml").write_text("azs: []\n")
    path = "/instance_groups/name=bosh/jobs/name=health_monitor/properties/hm/resurrector_enabled"
    (manifests / "op-hm.yml").write_text(f"- {{type: replace, path: {path}, value: true}}\n")
    return tmp_path


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize("name", [name for name in CASES if name not in UNREACHED])
def test_prints_what_was_recorded(name: str, cli: str, home: Path, tls: dict[str, Path]) -> None:
    case = CASES[name]
    with FakeDirector(case["stdout"], tls["server"]) as director:
        words = words_of(case, director.url, tls["ca"])
        if name.startswith("fail_wrong_creds"):
            words[words.index("--client-secret") + 1] = "wrong"
        status, document = run(cli, words, home)
        wanted = expected(case, director.url)
    assert (status, document) == (case["exit"], wanted)


@pytest.mark.parametrize("cli", CLIS)
def test_deploy_sends_the_manifest_after_ops_files(cli: str, home: Path, tls: dict[str, Path]) -> None:
    case = CASES["deploy_change"]
    with FakeDirector(case["stdout"], tls["server"]) as director:
        run(cli, words_of(case, director.url, tls["ca"]), home)
        sent = director.bodies["POST /deployments"].decode()
        assert "resurrector_enabled: true" in sent
        assert director.bodies["POST /deployments/bosh-primary/diff"].decode() == sent


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize(("name", "sent"), [("update_resurrection_off", True), ("update_resurrection_on", False)])
def test_resurrection_sends_whether_it_is_paused(
    cli: str, name: str, sent: bool, home: Path, tls: dict[str, Path]
) -> None:
    with FakeDirector(CASES[name]["stdout"], tls["server"]) as director:
        run(cli, words_of(CASES[name], director.url, tls["ca"]), home)
        assert json.loads(director.bodies["PUT /resurrection"]) == {"resurrection_paused": sent}


@pytest.mark.parametrize("cli", CLIS)
def test_cck_sends_the_resolution(cli: str, home: Path, tls: dict[str, Path]) -> None:
    case = CASES["cck_recreate"]
    with FakeDirector(case["stdout"], tls["server"]) as director:
        words = words_of(case, director.url, tls["ca"])
        run(cli, words, home)
        body = json.loads(director.bodies["PUT /deployments/bosh-primary/problems"])
        assert body["resolutions"] == {"4": "recreate_vm"}
    with FakeDirector(case["stdout"], tls["server"]) as director:
        words = words_of(case, director.url, tls["ca"])
        run(cli, [*words[:-1], "--auto"], home)
        body = json.loads(director.bodies["PUT /deployments/bosh-primary/problems"])
        assert body["resolutions"] == {"4": None}


@pytest.mark.parametrize("cli", CLIS)
def test_environment_variables_are_as_good_as_flags(cli: str, home: Path, tls: dict[str, Path]) -> None:
    case = CASES["deployments"]
    with FakeDirector(case["stdout"], tls["server"]) as director:
        status, document = run(
            cli,
            ["deployments", "--json"],
            home,
            BOSH_ENVIRONMENT=director.url,
            BOSH_CLIENT=CLIENT,
            BOSH_CLIENT_SECRET=SECRET,
            BOSH_CA_CERT=tls["ca"].read_text(),
            BOSH_NON_INTERACTIVE="true",
        )
        assert (status, document) == (0, expected(case, director.url))


@pytest.mark.parametrize("cli", CLIS)
def test_an_alias_is_kept_used_and_forgotten(cli: str, home: Path, tls: dict[str, Path]) -> None:
    with FakeDirector(CASES["deployments"]["stdout"], tls["server"]) as director:
        words = ["-e", director.url, "--ca-cert", str(tls["ca"]), "alias-env", "micro", "--json"]
        assert run(cli, words, home)[0] == 0
        rows = run(cli, ["environments", "--json"], home)[1]["Tables"][0]["Rows"]
        assert rows == [{"alias": "micro", "url": director.url}]
        words = ["-e", "micro", "--client", CLIENT, "--client-secret", SECRET, "-n", "deployments", "--json"]
        status, document = run(cli, words, home)
        assert (status, document) == (0, expected(CASES["deployments"], director.url))
        assert run(cli, ["unalias-env", "micro", "--json"], home) == (
            0,
            {"Tables": None, "Blocks": None, "Lines": ["Succeeded"]},
        )
        assert run(cli, ["environments", "--json"], home)[1] == CASES["environments"]["stdout"]


@pytest.mark.parametrize("cli", CLIS)
def test_a_closed_port_is_told_as_recorded(cli: str, home: Path, tls: dict[str, Path]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    case = CASES["fail_port_closed"]
    words = words_of(case, f"https://127.0.0.1:{port}", tls["ca"])
    text = json.dumps(case["stdout"]).replace("10.245.0.1:25555", f"127.0.0.1:{port}")
    assert run(cli, words, home) == (1, json.loads(text))


@pytest.mark.parametrize("cli", CLIS)
def test_an_unknown_name_is_told_as_recorded(cli: str, home: Path) -> None:
    status, document = run(cli, ["-e", "nosuchalias", "--json", "env"], home)
    # the real CLI may add which name server it asked
    line = re.sub(r"lookup nosuchalias( on \S+)?:.*", "lookup nosuchalias: no such host", document["Lines"][0])
    assert [line, *document["Lines"][1:]] == CASES["fail_unknown_alias"]["stdout"]["Lines"]
    assert status == 1


@pytest.mark.parametrize("cli", CLIS)
def test_a_wrong_ca_is_told_as_recorded(cli: str, home: Path, tls: dict[str, Path]) -> None:
    case = CASES["fail_wrong_ca"]
    with FakeDirector(case["stdout"], tls["server"]) as director:
        status, document = run(cli, words_of(case, director.url, tls["other"]), home)
    # what Go suspects in parentheses depends on the certificates
    first = document["Lines"][0].split(" (possibly")[0]
    recorded = case["stdout"]["Lines"][0].split(" (possibly")[0]
    assert first == recorded.replace("https://10.245.0.3:25555", director.url)
    assert (status, document["Lines"][1:]) == (1, case["stdout"]["Lines"][1:])


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize("number", range(len(INTERPOLATIONS)))
def test_interpolate_prints_what_the_real_one_did(number: int, cli: str, tmp_path: Path) -> None:
    case = INTERPOLATIONS[number]
    (tmp_path / "m.yml").write_text(case["manifest"])
    for name, text in case.get("files", {}).items():
        (tmp_path / name).write_text(text)
    words = ["int", "m.yml", "--json"]
    for index, text in enumerate(case["ops"]):
        (tmp_path / f"o{index}.yml").write_text(text)
        words += ["-o", f"o{index}.yml"]
    command = [REAL] if cli == "real" else [sys.executable, "-m", "boshlab.bosh_cli"]
    environ = {**os.environ, "PYTHONPATH": str(LAB), "HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, *words, *case["args"]], env=environ, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    wanted = case["stdout"]
    printed = json.loads(done.stdout) if isinstance(wanted, dict) else done.stdout
    assert (done.returncode, printed) == (case["exit"], wanted)
    assert done.stderr.replace(str(tmp_path), ".") == case["stderr"]


@pytest.mark.parametrize("cli", CLIS)
def test_the_version_reads_as_the_real_ones(cli: str, home: Path) -> None:
    command = [REAL] if cli == "real" else [sys.executable, "-m", "boshlab.bosh_cli"]
    done = subprocess.run(
        [*command, "--version"], env={**os.environ, "PYTHONPATH": str(LAB)}, capture_output=True, text=True, timeout=30
    )
    assert re.match(r"version (\d+\.\d+\.\d+|\[DEV BUILD\])", done.stdout)
    assert done.returncode == 0
