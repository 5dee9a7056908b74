# SPDX-License-Identifier: GPL-3.0-or-later
"""The CLI's YAML is go-yaml's; answers recorded of the real CLI v7.10.6 (`bosh int`)."""

from __future__ import annotations

import pytest
from boshlab.bosh_cli import template
from boshlab.bosh_cli.errors import BoshError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=", "="),
        ("!secret abc", "abc"),
        ("!secret [a]", ["a"]),
        ("0o17", 15),
        ("017", 15),
        ("12e03", 12000.0),
        ("y", True),
        ("13:17", "13:17"),
        ("2026-12-01", "2026-12-01"),
        ("!!str 15", "15"),
        ('"\\U0001F600"', "\U0001f600"),
    ],
)
def test_scalar_is_read_as_by_the_real_cli(text, expected):
    found = template.load(f"k: {text}\n")["k"]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "text", ['a: "\\uD83D\\uDE00"\n', "%YAML 1.2\n---\na: 1\n", "%FOO\n---\na: 1\n", "a: @x\n", "a: *x\n"]
)
def test_what_the_real_cli_refuses_is_refused(text):
    with pytest.raises(BoshError):
        template.load(text)
