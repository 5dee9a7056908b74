# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""BOSH's YAML: read as the real CLI reads it, and written so that go-yaml, Psych and PyYAML read the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml, go_yaml, inputs, manifest_text
from hypothesis import example, given
from hypothesis import strategies as st

RECORDED = json.loads((Path(__file__).parent.parent / "fixtures/bosh_int.json").read_text(encoding="utf-8"))
#: Texts that at least one of go-yaml, Psych and PyYAML takes for something else if they stand without quotes.
AWKWARD = [
    *(one["scalar"] for one in RECORDED["scalars"]),
    *(
        "",
        " ",
        "a ",
        " a",
        "- a",
        "? a",
        "a: b",
        "a:",
        "&a",
        "*a",
        "%a",
        "@a",
        "`a",
        "a #b",
        "#a",
        "[a",
        "{a",
        "|",
        ">",
    ),
    *("---", "...", "--- a", "<<", "!", "'", '"', "\\", "\t", "a\tb", "\n", "a\n", "a\n\n", "\na", " a\nb", "a\n b\n"),
    *(
        "a \nb",
        "a\r\nb",
        "\x00",
        "\x1b",
        "\x7f",
        "\x80",
        "\x85",
        "a\x85b",
        "\xa0",
        "\u2028",
        "a\u2029b",
        "\ufeff",
        "\uffff",
    ),
    *("\uffff", "\U0001f600", "\u202e", "1,000", ":a", "1:20", "2026-12-01", "x" * 2000, "a " * 200, "nan", "inf"),
]


def same(one, other):
    """Whether two values are the same data of the same types, in which .nan is like itself."""
    return repr(one) == repr(other)


TEXTS = st.one_of(st.text(st.characters(codec="utf-8")), st.sampled_from(AWKWARD))
KEYS = TEXTS | st.integers(2, 9)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


KINDS = {"str": str, "bool": bool, "null": type(None), "number": (int, float)}


@pytest.mark.parametrize("one", RECORDED["scalars"], ids=lambda one: one["scalar"])
def test_scalar_is_read_as_by_the_cli(one):
    found = bosh_yaml.load(f"k: {one['scalar']}\n")["k"]
    assert isinstance(found, KINDS[one["kind"]]) and isinstance(found, bool) == (one["kind"] == "bool")
    if one["kind"] == "number":
        # The CLI writes 5.0 as 5.
        assert same(float(found), float(str(one["value"]).replace(".inf", "inf").replace(".nan", "nan")))
    else:
        assert found == one["value"]


@pytest.mark.parametrize("one", RECORDED["documents"], ids=lambda one: one["text"][:30])
def test_document_is_read_or_refused_as_by_the_cli(one):
    if one["exit"]:
        with pytest.raises(bosh_yaml.BadYaml):
            bosh_yaml.load(one["text"])
    else:
        assert bosh_yaml.load(one["text"]) == bosh_yaml.load(one["stdout"]) == yaml.safe_load(one["stdout"])
        assert bosh_yaml.load(one["text"].encode()) == bosh_yaml.load(one["text"])


@given(DATA)
@example({text: text for text in AWKWARD})
@example(list(AWKWARD))
@example({"a": [[[{"b": "x\ny\n"}], []], {}], "l" * 200: [1], "m" * 2000: {"a": "x\ny"}})
def test_what_is_written_is_read_as_the_same_data(data):
    text = bosh_yaml.dump(data)
    assert same(bosh_yaml.load(text), data)
    assert same(yaml.safe_load(text), data)
    if yaml.__with_libyaml__:
        # Psych reads with libyaml, too.
        assert same(yaml.load(text, yaml.CSafeLoader), data)


@given(st.binary(max_size=20))
@example(b"\xff")
@example(b"smile-\xf0\x9f\x98\x80-\xff")
def test_bytes_that_are_no_utf8_come_back(raw):
    name = raw.decode("utf-8", "surrogateescape")
    assert bosh_yaml.load(bosh_yaml.dump({name: name})) == {name: name}


@pytest.mark.parametrize("data", [2**64, -(2**63) - 1, "\ud83d", b"a", {1, 2}])
def test_data_without_a_form_are_refused(data):
    with pytest.raises(ValueError):
        bosh_yaml.dump({"a": [data]})


def test_data_that_contain_themselves_are_refused():
    data: list[object] = []
    data.append(data)
    with pytest.raises(ValueError):
        bosh_yaml.dump(data)


def test_certificate_stays_readable():
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    text = bosh_yaml.dump({"ca": {"certificate": pem, "name": "bosh-ca"}})
    assert text.splitlines()[1:4] == ["  certificate: |", "    -----BEGIN CERTIFICATE-----", "    MIIB"]
    assert text.splitlines()[-1] == "  name: bosh-ca"


SHAPE = {"on": bool, "name": str, "jobs": [{"name": str}], "sums": {str: str}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("~", {}),
        ("{on: y, name: 0017, other: 1}", {"on": True, "name": "0017"}),
        ("{on: ~, name: y}", {"name": "y"}),
        ("{on: Off, name: 2026-12-01}", {"name": "2026-12-01"}),
        ("{name: !!binary YWJj}", {"name": "abc"}),
        ("jobs: [{name: 1.10}, ~, {}]", {"jobs": [{"name": "1.10"}, {"name": ""}, {"name": ""}]}),
        ("sums: {1: 2, ~: 12e3, y: ~}", {"sums": {"1": "2", "": "12e3", "y": ""}}),
        ("<<: {on: true, name: a}\nname: b", {"on": True, "name": "b"}),
    ],
)
def test_types_are_those_of_the_struct(text, expected):
    assert bosh_yaml.decode(text, SHAPE) == {"on": False, "name": "", "jobs": [], "sums": {}} | expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('on: "true"', "line 1: cannot unmarshal !!str into bool"),
        ("on: 1", "line 1: cannot unmarshal !!int into bool"),
        ("on: [true]", "line 1: cannot unmarshal !!seq into bool"),
        ("name: {a: 1}", "line 1: cannot unmarshal !!map into string"),
        (
            "jobs: a\nsums: []",
            "line 1: cannot unmarshal !!str into a list; line 2: cannot unmarshal !!seq into a mapping",
        ),
        ("words", "line 1: cannot unmarshal !!str into a mapping"),
        ("a: [", ""),
    ],
)
def test_value_of_another_type_is_refused(text, words):
    with pytest.raises(bosh_yaml.BadYaml) as refusal:
        bosh_yaml.decode(text, SHAPE)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["name: b\nseparator: =\n", "name: b\nkey: !secret abc\n", "name: b\nwhen: 2026-99-99\n"]
)
def test_step_0_and_the_edit_of_a_manifest_read_what_the_cli_reads(tmp_path, text):
    path = tmp_path / "manifest.yml"
    path.write_text(text, encoding="utf-8")
    assert list(inputs._yaml_problem("manifest", str(path), dict)) == []
    recursor = "properties:\n  dns:\n    recursor: 10.0.0.1\n    key: !x =\n"
    edited, _paths = manifest_text.without_dns_recursor(text + recursor)
    assert edited == text + "properties:\n  dns:\n    key: !x =\n"


@pytest.mark.parametrize("text", ["password: !!int s3cret", "password: 's3cret", "a: @s3cret", "*s3cret"])
def test_refusal_quotes_nothing_of_the_text(text):
    with pytest.raises(bosh_yaml.BadYaml) as refusal:
        bosh_yaml.load(text)
    assert "s3cret" not in str(refusal.value)
    assert refusal.value.line


def test_keys_that_python_takes_for_one_are_refused():
    with pytest.raises(bosh_yaml.BadYaml, match="differ only by their types, line 2"):
        bosh_yaml.load("1: a\ntrue: b\n")


def test_aliases_that_multiply_are_refused():
    rows = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))
    with pytest.raises(bosh_yaml.BadYaml, match="excessive aliasing"):
        bosh_yaml.load(f"a0: &a0 [x]\n{rows}\n")


def test_depth_without_end_is_refused():
    with pytest.raises(bosh_yaml.BadYaml, match="nested too deeply"):
        bosh_yaml.load("[" * 5000)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("could not find expected ':'", "could not find expected ':'"),
        ("did not find expected ',' or ']'", "did not find expected ',' or ']'"),
        ("expected ',' or ']', but got '<scalar>'", "expected ',' or ']', but got '<scalar>'"),
        ("expected '!', but found 'x'", "expected '!', but found (not shown)"),
        ("found undefined alias 'x'", "found undefined alias (not shown)"),
        (
            'could not determine a constructor for the tag "!x\'y"',
            "could not determine a constructor for the tag (not shown)",
        ),
    ],
)
def test_only_the_words_from_the_text_are_left_out_of_a_problem(said, shown):
    assert go_yaml._QUOTED_WORDS.sub("(not shown)", said) == shown
