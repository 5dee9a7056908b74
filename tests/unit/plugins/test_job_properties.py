# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job keeps all properties that it gets, in every form of a manifest, after go-patch applied our operations."""

from __future__ import annotations

import copy
import importlib
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.module_utils import director_manifest, job_properties, manifests

LAB = Path(__file__).resolve().parents[3] / "lab"
HM = {"director_account": {"user": "hm", "password": "secret"}, "resurrector_enabled": False}
SHARED = {"nats": {"address": "10.0.0.7"}, "director": {"address": "10.0.0.7", "cpi_job": "aws_cpi"}}


def manifest(**more):
    """In the shape of bosh-deployment's bosh.yml: all properties at the instance group."""
    group = {
        "name": "bosh",
        "jobs": [{"name": name, "release": "bosh"} for name in ("nats", "director", "health_monitor")],
        "properties": copy.deepcopy(SHARED | {"hm": HM}),
    }
    return {"name": "bosh-primary", "instance_groups": [group | more]}


def in_jobs():
    made = manifest()
    (group,) = made["instance_groups"]
    properties = group.pop("properties")
    for job in group["jobs"]:
        job["properties"] = copy.deepcopy(properties)
    return made


def partly_own(own):
    made = manifest()
    made["instance_groups"][0]["jobs"][2]["properties"] = own
    return made


def v1(inner="templates"):
    (group,) = manifest()["instance_groups"]
    return {"name": "b", "properties": group.pop("properties"), "jobs": [{"name": "bosh", inner: group.pop("jobs")}]}


def both_levels():
    made = manifest(properties={"hm": {"intervals": {"poll_director": 10}}})
    return made | {"properties": copy.deepcopy(SHARED | {"hm": HM})}


def two_groups():
    made = manifest()
    made["instance_groups"].append(copy.deepcopy(made["instance_groups"][0]) | {"name": "other"})
    return made


def with_null(*path):
    made = manifest()
    at = made["instance_groups"][0]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = None
    return made


GROUP = "/instance_groups/name=bosh"
FORMS = {
    "at the group": (manifest(), [f"{GROUP}/properties"]),
    "at the job": (in_jobs(), [f"{GROUP}/jobs/name=health_monitor/properties"]),
    "an own empty mapping": (partly_own({}), [f"{GROUP}/jobs/name=health_monitor/properties"]),
    "an own null, which create-env takes for absent": (partly_own(None), [f"{GROUP}/properties"]),
    "global, templates": (v1(), ["/properties"]),
    "global, jobs": (v1("jobs"), ["/properties"]),
    "global and at the group": (both_levels(), [f"{GROUP}/properties"]),
    "nowhere": (manifest(properties={}), [f"{GROUP}/properties"]),
    "in two groups": (two_groups(), [f"{GROUP}/properties", "/instance_groups/name=other/properties"]),
    "in a group with signs in its name": (
        manifest(name="a/b~c:d=e"),
        ["/instance_groups/name=a~1b~0c~7d=e/properties"],
    ),
    "in a group whose name is a variable": (manifest(name="((group))"), ["/instance_groups/0/properties"]),
    "in a group whose name ends with ?": (manifest(name="bosh?"), ["/instance_groups/0/properties"]),
    "properties: null": (with_null("properties"), [f"{GROUP}/properties"]),
    "hm: null": (with_null("properties", "hm"), [f"{GROUP}/properties"]),
    "resurrector: null": (with_null("properties", "hm", "resurrector"), [f"{GROUP}/properties"]),
}


def effective(data):
    """Properties of each job as BOSH has them; written down once more, not ours."""

    def over(below, above):
        both = isinstance(below, dict) and isinstance(above, dict)
        return below | {key: over(below.get(key), value) for key, value in above.items()} if both else above

    return [
        job["properties"]
        if job.get("properties") is not None
        else over(data.get("properties") or {}, group.get("properties") or {})
        for group in data.get("instance_groups") or data["jobs"]
        for job in group.get("jobs") or group["templates"]
    ]


@pytest.fixture(scope="module")
def apply():
    """The lab's implementation of go-patch, which the contract tests hold against the real CLI."""
    sys.path.insert(0, str(LAB))
    try:
        gopatch = importlib.import_module("boshlab.bosh_cli.gopatch")
    finally:
        sys.path.remove(str(LAB))

    def applied(data, operations):
        return gopatch.apply(copy.deepcopy(data), gopatch.operations(copy.deepcopy(operations), "ops.yml"))

    return applied


@pytest.mark.parametrize("form", FORMS)
def test_the_resurrector_is_enabled_and_nothing_is_lost(form, apply):
    data, places = FORMS[form]
    operations = manifests.enable_resurrector_ops(data, time_threshold=60)
    assert list(dict.fromkeys(one["path"].replace("?", "").partition("/hm")[0] for one in operations)) == places
    after = apply(data, operations)
    names = [job.name for job in job_properties.jobs(data)]
    thresholds = {"minimum_down_jobs": 5, "percent_threshold": 0.2, "time_threshold": 60}
    for name, old, new in zip(names, effective(data), effective(after), strict=True):
        if name == "health_monitor":
            hm = (old.get("hm") or {}) | {"resurrector_enabled": True, "resurrector": thresholds}
            assert new == old | {"hm": hm}
        else:
            assert {**new, "hm": None} == {**old, "hm": None}
    assert manifests.resurrector_enabled(after)
    assert apply(after, manifests.enable_resurrector_ops(after, time_threshold=60)) == after


@pytest.mark.parametrize("form", FORMS)
def test_the_structure_without_values_has_the_same_operations(form):
    data = FORMS[form][0]
    assert manifests.enable_resurrector_ops(manifests.without_values(data)) == manifests.enable_resurrector_ops(data)


@pytest.mark.parametrize("form", [form for form in FORMS if "null" not in form])
def test_what_a_job_gets(form):
    data = FORMS[form][0]
    assert [job.properties for job in job_properties.jobs(data)] == effective(data)


@pytest.mark.parametrize("form", FORMS)
def test_every_recursor_is_removed_by_a_path_that_the_cli_finds(form, apply):
    data = copy.deepcopy(FORMS[form][0])
    before = copy.deepcopy(data)
    for home in job_properties.homes(data):
        home.properties["dns"] = {"recursor": "10.0.0.6"}
    stripped = apply(data, manifests.strip_dns_recursor_ops(data))
    for home in job_properties.homes(stripped):
        assert home.properties.pop("dns") == {}
    assert stripped == before


@pytest.mark.parametrize("held", ["((hm))", "text", ["a"], 5])
def test_what_no_operation_can_enter_is_refused_by_its_path(held):
    for data, path in (
        (manifest(properties={"hm": held}), f"{GROUP}/properties/hm"),
        (manifest(properties=held), f"{GROUP}/properties"),
        (partly_own(held), f"{GROUP}/jobs/name=health_monitor/properties"),
    ):
        with pytest.raises(ValueError, match="which is no mapping") as refused:
            manifests.enable_resurrector_ops(data)
        assert str(refused.value).startswith(path)
        assert ("((hm))" in str(refused.value)) == (held == "((hm))"), "another value may be a secret"


def test_a_job_whose_name_is_a_variable():
    data, resolved = manifest(), manifest()
    data["instance_groups"][0]["jobs"][2] |= {"name": "((monitor))", "properties": {}}
    resolved["instance_groups"][0]["jobs"][2]["properties"] = {}
    with pytest.raises(ValueError, match="neither a job health_monitor"):
        manifests.enable_resurrector_ops(data)
    operations = manifests.enable_resurrector_ops(data, resolved=resolved)
    assert {one["path"].partition("/hm")[0] for one in operations} == {f"{GROUP}/jobs/2/properties"}


def test_a_name_that_yaml_reads_as_a_number_or_that_two_have():
    items = [{"name": "a"}, {"name": 5}, {"name": "b"}, {"name": "b"}, "b", {}]
    assert [job_properties.item_token(items, number) for number in range(6)] == ["name=a", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("own", "switched"),
    [
        (None, True),
        ({}, False),
        ({"hm": {"resurrector_enabled": False}}, False),
        ({"hm": {"resurrector_enabled": True}}, True),
    ],
)
def test_whether_the_resurrector_is_on_is_what_the_job_gets(own, switched):
    data = partly_own(own)
    data["instance_groups"][0]["properties"]["hm"]["resurrector_enabled"] = True
    assert manifests.resurrector_enabled(data) is switched


def test_a_value_is_the_job_s_own_or_the_group_s_and_never_a_mixture():
    data = partly_own({"hm": {"interval": 1}})
    assert director_manifest.value(data, "health_monitor", "nats.address") is None
    assert director_manifest.value(data, "director", "nats.address") == "10.0.0.7"
    assert director_manifest.value(data, "postgres", "nats.address") == "10.0.0.7", "as the director's group has it"
    assert director_manifest.value(yaml.safe_load("properties: {nats: {address: a}}"), "nats", "nats.address") == "a"
