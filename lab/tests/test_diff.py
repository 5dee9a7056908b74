# SPDX-License-Identifier: GPL-3.0-or-later

"""Units for the difference of two manifests: as recorded, nothing hidden, nothing told."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from boshlab.director import plan
from boshlab.director.tasks import Failure
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "c", "properties", "bosh", "env"])
SCALARS = st.one_of(st.integers(0, 3), st.booleans(), st.sampled_from(["x", "y"]))
TREES = st.dictionaries(KEYS, st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, min_size=1)), max_size=4)


def _manifest(enabled: bool) -> dict[str, Any]:
    job = {"name": "health_monitor", "properties": {"hm": {"resurrector_enabled": enabled, "password": "hush"}}}
    return {"name": "d", "instance_groups": [{"name": "bosh", "jobs": [{"name": "nats"}, job]}]}


def test_as_the_real_director_told() -> None:
    """Recorded in deploy_dryrun_change; the CLI puts two more characters before each line."""
    assert plan.diff(_manifest(False), _manifest(True)) == [
        ["instance_groups:", None],
        ["- name: bosh", None],
        ["  jobs:", None],
        ["  - name: health_monitor", None],
        ["    properties:", None],
        ["      hm:", None],
        ['        resurrector_enabled: "<redacted>"', "removed"],
        ['        resurrector_enabled: "<redacted>"', "added"],
    ]


def test_without_redaction_the_values_are_shown() -> None:
    lines = plan.diff(_manifest(False), _manifest(True), redact=False)
    assert lines[-2:] == [
        ["        resurrector_enabled: false", "removed"],
        ["        resurrector_enabled: true", "added"],
    ]


@given(TREES, TREES)
def test_there_is_a_difference_exactly_where_something_changed(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert plan.diff(old, copy.deepcopy(old)) == []
    # 1 and True are the same to Python, but not in YAML: both ways count as equal here.
    for redact in (True, False):
        assert bool(plan.diff(old, new, redact)) is (old != new)
        assert bool(plan.diff({"properties": old}, {"properties": new}, redact)) is (old != new)


@given(SCALARS, SCALARS)
def test_a_redacted_value_that_changed_is_a_difference(old: Any, new: Any) -> None:
    lines = plan.diff({"properties": {"a": {"b": old}}}, {"properties": {"a": {"b": new}}})
    assert [state for _line, state in lines if state] == (
        ["removed", "added"] if plan.fingerprint(old) != plan.fingerprint(new) else []
    )


@given(st.recursive(st.just("hush"), lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner)), TREES)
def test_no_value_of_properties_is_told(secret: Any, tree: dict[str, Any]) -> None:
    manifest = tree | {"groups": [{"name": "g", "properties": {"deep": secret}, "env": {"bosh": {"password": secret}}}]}
    for old, new in (({}, manifest), (manifest, {}), (manifest, tree | {"groups": [{"name": "g"}]})):
        text = "\n".join(line for line, _state in plan.diff(old, new))
        assert "hush" not in text


def _group(*ips: str) -> dict[str, Any]:
    return {"name": "bosh", "networks": [{"name": "default", "static_ips": list(ips)}]}


def _network(static: list[str], reserved: list[str] | None = None) -> dict[str, Any]:
    return {
        "name": "default",
        "subnets": [{"range": "10.10.0.0/24", "static": static, "reserved": reserved or []}],
    }


def test_a_director_refuses_a_static_range_with_its_own_address() -> None:
    """The trap that Meta falls into with Micro's cloud config."""
    network = _network(["10.10.0.4-10.10.0.5"])
    assert plan.check_static_ips(_group("10.10.0.4"), network, "10.10.0.3") == ["10.10.0.4"]
    with pytest.raises(Failure, match=r"Static IP '10\.10\.0\.5' is in network 'default' reserved range") as refused:
        plan.check_static_ips(_group("10.10.0.4"), network, "10.10.0.5")
    assert refused.value.code == 130007


def test_a_static_address_must_be_in_the_static_range() -> None:
    with pytest.raises(Failure, match="belongs to no subnet's static range"):
        plan.check_static_ips(_group("10.10.0.9"), _network(["10.10.0.4"]), "10.10.0.3")
    with pytest.raises(Failure, match="reserved range"):
        plan.check_static_ips(_group("10.10.0.4"), _network(["10.10.0.4"], ["10.10.0.0/29"]), "10.10.1.3")
