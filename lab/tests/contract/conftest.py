# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA, a certificate and a home directory for the contract tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAB), str(Path(__file__).parent)]

from boshlab.bosh_cli import generate  # noqa: E402 - the path comes first


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``ca``: PEM of the CA, ``other``: of a CA that signed nothing, ``server``: key and certificate in one file."""
    directory = tmp_path_factory.mktemp("tls")
    authority = generate.certificate({"is_ca": True, "common_name": "ca"}, lambda _name: None)
    other = generate.certificate({"is_ca": True, "common_name": "ca"}, lambda _name: None)
    names = {"common_name": "director", "ca": "ca", "alternative_names": ["127.0.0.1"]}
    server = generate.certificate(names, lambda _name: authority)
    files = {
        "ca": authority["certificate"],
        "other": other["certificate"],
        "server": server["private_key"] + server["certificate"],
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    return {name: directory / name for name in files}
