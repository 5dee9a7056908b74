# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever the manifest, strip removes nothing but dns.recursor, and twice is once."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import manifests
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["director", "health_monitor", "nats", "a/b", "c~d"])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "dns": st.fixed_dictionaries({}, optional={"recursor": st.just("10.10.0.3"), "domain_name": st.just("bosh")}),
        "hm": st.fixed_dictionaries({}, optional={"resurrector_enabled": st.booleans()}),
        "director": st.just({"name": "x"}),
    },
)
JOBS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"properties": PROPERTIES}), unique_by=lambda job: job["name"]
)
GROUPS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "jobs": JOBS}, optional={"properties": PROPERTIES}),
    unique_by=lambda group: group["name"],
    max_size=3,
)
MANIFESTS = st.fixed_dictionaries(
    {"name": st.just("bosh")}, optional={"instance_groups": GROUPS, "properties": PROPERTIES}
)


def remove(manifest, operation):
    """What `bosh interpolate` does with a remove, for the paths that we write."""
    manifest = copy.deepcopy(manifest)
    *way, last = [
        part.replace("~7", ":").replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
    ]
    at = manifest
    for part in way:
        at = next(item for item in at if item["name"] == part.partition("=")[2]) if isinstance(at, list) else at[part]
    del at[last]
    return manifest


def recursors(data):
    if isinstance(data, dict):
        own = ["dns" in data and isinstance(data["dns"], dict) and "recursor" in data["dns"]]
        return sum(own) + sum(recursors(value) for value in data.values())
    return sum(recursors(item) for item in data) if isinstance(data, list) else 0


def without_recursors(data):
    if isinstance(data, dict):
        kept = {key: without_recursors(value) for key, value in data.items()}
        if isinstance(kept.get("dns"), dict):
            kept["dns"].pop("recursor", None)
        return kept
    return [without_recursors(item) for item in data] if isinstance(data, list) else data


@given(MANIFESTS)
def test_strip_removes_every_recursor_and_nothing_else(manifest):
    operations = manifests.strip_dns_recursor_ops(manifest)
    assert len(operations) == recursors(manifest)
    stripped = manifest
    for operation in operations:
        stripped = remove(stripped, operation)
    assert stripped == without_recursors(manifest)
    assert manifests.strip_dns_recursor_ops(stripped) == []


@given(MANIFESTS)
def test_the_manifest_given_is_left_as_it_was(manifest):
    before = copy.deepcopy(manifest)
    manifests.strip_dns_recursor_ops(manifest)
    manifests.address_mentions(manifest, "10.10.0.3")
    assert manifest == before


def test_the_resurrector_of_a_v2_manifest():
    manifest = {
        "name": "b",
        "instance_groups": [{"name": "bosh", "jobs": [{"name": "nats"}, {"name": "health_monitor"}]}],
    }
    operations = manifests.enable_resurrector_ops(manifest)
    home = "/instance_groups/name=bosh/properties?/hm?"
    assert {operation["path"]: operation["value"] for operation in operations} == {
        f"{home}/resurrector_enabled?": True,
        f"{home}/resurrector?/minimum_down_jobs?": 5,
        f"{home}/resurrector?/percent_threshold?": 0.2,
        f"{home}/resurrector?/time_threshold?": 600,
    }


def test_the_resurrector_of_a_v1_manifest():
    operations = manifests.enable_resurrector_ops({"name": "b", "properties": {"hm": {}}})
    assert operations[0]["path"] == "/properties/hm?/resurrector_enabled?"


def test_a_manifest_without_health_monitor_is_refused_by_name():
    with pytest.raises(ValueError, match="the manifest of bosh-x has neither"):
        manifests.enable_resurrector_ops({"name": "bosh-x", "instance_groups": []})


def test_the_address_is_found_as_a_whole_word():
    data = {"a": [{"name": "n", "dns": ["10.10.0.3", "10.10.0.31"]}], "url": "nats://10.10.0.3:4222", "b": "110.10.0.3"}
    assert manifests.address_mentions(data, "10.10.0.3") == ["/a/name=n/dns/0", "/url"]


def test_an_address_after_a_longer_one_is_found():
    assert manifests.address_mentions({"dns": "10.10.0.31,10.10.0.3"}, "10.10.0.3") == ["/dns"]


def test_what_bosh_reads_no_more_is_told():
    dns = {"recursor": "10.10.0.3", "domain_name": "bosh", "address": "10.10.0.4", "db": {"user": "p"}}
    director = {"name": "director", "properties": {"dns": dns}}
    v2 = {"instance_groups": [{"name": "a/b", "jobs": [{"name": "powerdns"}, director]}]}
    home = "/instance_groups/name=a~1b/jobs/name="
    assert manifests.dead_dns_keys(v2) == [
        f"{home}director/properties/dns/address",
        f"{home}director/properties/dns/db",
        f"{home}powerdns",
    ]
    v1 = {"properties": {"dns": dns}, "jobs": [{"name": "b", "templates": [{"name": "powerdns"}]}]}
    assert manifests.dead_dns_keys(v1)[1:] == ["/properties/dns/db", "/jobs/name=b/templates/name=powerdns"]
    assert manifests.dead_dns_keys({"jobs": [{"name": "b", "template": ["nats", "powerdns"]}]})
    assert manifests.dead_dns_keys({"jobs": [{"name": "b", "template": "powerdns"}]})
    kept = {"properties": {"dns": {"domain_name": "bosh"}}, "jobs": [{"name": "b", "template": "nats"}]}
    assert manifests.dead_dns_keys(kept) == []


def test_a_structure_has_names_and_no_other_value():
    manifest = {
        "name": "bosh",
        "jobs": [{"name": "x", "template": ["powerdns"], "properties": {"a": {"name": "s", "templates": ["s"]}}}],
        "cloud_provider": {"mbus": "s", "template": {"name": "cpi", "release": "s"}, "ntp": ["s"]},
        "instance_groups": [{"name": "g", "templates": [{"name": "t", "properties": {"b": "s"}}], "instances": 1}],
    }
    assert manifests.without_values(manifest) == {
        "name": "bosh",
        "jobs": [{"name": "x", "template": ["powerdns"], "properties": {"a": {"name": None, "templates": [None]}}}],
        "cloud_provider": {"mbus": None, "template": {"name": "cpi", "release": None}, "ntp": [None]},
        "instance_groups": [{"name": "g", "templates": [{"name": "t", "properties": {"b": None}}], "instances": None}],
    }


MONITORED = {"instance_groups": [{"name": "bosh", "jobs": [{"name": "health_monitor"}]}]}


def test_thresholds_may_come_as_texts():
    values = [operation["value"] for operation in manifests.enable_resurrector_ops(MONITORED, "3", "0.5", "60")]
    assert values == [True, 3, 0.5, 60]
    assert [type(value) for value in values] == [bool, int, float, int]


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ((1,), "minimum_down_jobs is 1, but needs 2 or more"),
        (("0",), "minimum_down_jobs is 0"),
        ((5, 0), "percent_threshold is 0.0, but is a share"),
        ((5, "1.5"), "percent_threshold is 1.5"),
        ((5, "nan"), "percent_threshold is nan"),
        ((5, 0.2, "0"), "time_threshold is 0"),
        (("many",), "are whole numbers"),
        ((5.5,), "are whole numbers"),
    ],
)
def test_thresholds_with_which_no_director_would_be_resurrected(thresholds, said):
    with pytest.raises(ValueError, match=said) as caught:
        manifests.enable_resurrector_ops(MONITORED, *thresholds)
    assert "\n" not in str(caught.value)
