# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The preflight's judgement: each row has a test in which it is not ok."""

from __future__ import annotations

import copy
import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.filter import preflight as filters
from ansible_collections.bosh.ha.plugins.module_utils import cloud_config, director_manifest
from ansible_collections.bosh.ha.plugins.module_utils.preflight import findings
from ansible_collections.bosh.ha.plugins.module_utils.preflight_finding import newer
from ansible_collections.bosh.ha.plugins.module_utils.preflight_table import table

SECRET = "not-for-eyes"
ADDRESSES = {"micro": "10.10.0.3", "primary": "10.10.0.4", "meta": "10.10.0.5"}
GIB = 1024**3


def manifest(name):
    """As bosh-deployment has it: properties of the group, and jobs with properties of their own."""
    address = ADDRESSES[name]
    group = {
        "name": "bosh",
        "azs": ["z2" if name == "meta" else "z1"],
        "persistent_disk_pool": "disks",
        "properties": {
            "agent": {"mbus": f"nats://{address}:4222"},
            "aws": {
                "region": "eu-1",
                "access_key_id": "AK",
                "secret_access_key": SECRET,
                "endpoint": f"http://{address}",
            },
            "blobstore": {
                "provider": "dav",
                "address": address,
                "agent": {"user": "agent", "password": SECRET},
                "director": {"user": "director", "password": SECRET},
                "tls": {"cert": {"ca": "a CA", "private_key": SECRET + name}},
            },
            "director": {"name": name, "cpi_job": "aws_cpi", "db": {"host": "127.0.0.1", "user": "postgres"}},
            "nats": {"address": address, "tls": {"client_ca": {"certificate": "a CA", "private_key": SECRET}}},
            "postgres": {"user": "postgres", "database": "bosh", "password": SECRET + name},
        },
        "jobs": [
            {"name": job, "release": "bosh"} for job in ("nats", "postgres", "blobstore", "director", "health_monitor")
        ]
        + [{"name": "aws_cpi", "release": "bosh-aws-cpi"}],
    }
    return {
        "name": f"bosh-{name}",
        "releases": [{"name": "bosh", "version": "283.1.0"}],
        "disk_pools": [{"name": "disks", "disk_size": 65536}],
        "instance_groups": [group],
    }


def group(seen, name):
    return seen["manifests"][name]["content"]["instance_groups"][0]


def properties(seen, name):
    return group(seen, name)["properties"]


def host(clock=1000.0):
    return {
        "clock": clock,
        "asked": 999.0,
        "answered": 1000.0,
        "boot_id": f"boot {clock}",
        "vcap_uid": 1000,
        "postgres": ["postgres-15"],
        "monit": {"processes": {"director": "running", "nats": "running"}, "reason": ""},
        "rsync": "3.2.7",
        "rrsync": "/usr/bin/rrsync",
        "agent_version": "2.874.0",
        "backup_jobs": ["blobstore", "director"],
        "settings_on_tmpfs": False,
        "store": {
            "path": "/var/vcap/store",
            "mounted": True,
            "device": "/dev/sdb1",
            "total": 64 * GIB,
            "used": 10 * GIB,
            "available": 50 * GIB,
            "staged": 0,
        },
    }


def instance(name):
    row = {
        "vm_cid": f"vm-{name}",
        "disk_cids": [f"disk-{name}"],
        "ips": [ADDRESSES[name]],
        "az": "",
        "instance": "bosh/1",
    }
    return {"instances": [row]}


def vm(name, cid=""):
    return {"vm_cid": cid or f"vm-{name}", "instance": "bosh/1", "ips": [ADDRESSES[name]], "az": ""}


def said(*deploys):
    return {
        "logged_in": True,
        "director": {"version": "283.1.0 (00000000)", "cpi": "aws_cpi"},
        "deployments": [{"name": f"bosh-{name}"} for name in deploys],
        "configs": [{"type": "cloud", "name": "default"}],
        "tasks": [],
        "locks": [],
        "mentions": [],
        "vms": [vm(name) for name in deploys],
    }


def config(*static):
    zones = [{"name": name, "cloud_properties": {"availability_zone": f"eu-1{name}"}} for name in ("z1", "z2")]
    return {"content": {"azs": zones, "networks": [{"name": "default", "subnets": [{"static": list(static)}]}]}}


@pytest.fixture
def seen():
    """Three that go together."""
    names = list(ADDRESSES)
    return {
        "directors": {name: {"address": ADDRESSES[name], "deployment": f"bosh-{name}"} for name in names},
        "phase": "deployed",
        "handover": "adopt",
        "cli": {"rc": 0, "stdout": "version 7.10.0-abc-2026-06-01T00:00:00Z"},
        "state": {"vm_cid": "vm-micro", "disk_cid": "disk-micro", "disk_cids": ["disk-micro"]},
        "manifests": {name: {"content": manifest(name)} for name in names},
        "cloud_configs": {"micro": config("10.10.0.4"), "primary": config("10.10.0.5 - 10.10.0.9"), "meta": {}},
        "said": {"micro": said("primary"), "primary": said("meta"), "meta": said()},
        "traits": {name: {"cloud_configs": [], "orphaned_disks": [], "orphaned_vms": []} for name in names},
        "deployed": {"primary": {"content": manifest("primary")}, "meta": {"content": manifest("meta")}},
        "instances": {"primary": instance("primary"), "meta": instance("meta")},
        "logins": {name: {"elapsed": 0} for name in names},
        "hosts": {name: host(1000.0 + number / 10) for number, name in enumerate(names)},
        "rehearsed": {name: {"refused_by": "nobody", "manifest_changes": ["+ a"]} for name in ("primary", "meta")},
    }


def judged(seen):
    """Rows that are not ok, by what they are of; no secret is in any."""
    rows = findings(seen)
    assert SECRET not in json.dumps(rows)
    assert len({row["what"] for row in rows}) == len(rows), "a row twice"
    for row in rows:
        assert (row["verdict"] in ("error", "warning")) <= bool(row["do"]), row
    return {row["what"]: row for row in rows if row["verdict"] != "ok"}


def the(seen, what, verdict="error"):
    """The only row that is not ok."""
    rows = judged(seen)
    assert {name: row["verdict"] for name, row in rows.items()} == {what: verdict}, rows
    return rows[what]


def test_three_that_go_together(seen):
    assert judged(seen) == {}
    assert len(findings(seen)) > 30


@pytest.mark.parametrize("given", [{}, {"rc": 127, "stdout": ""}, {"rc": 0, "stdout": "version 6.4.17-x"}])
def test_the_cli(seen, given):
    seen["cli"] = given
    the(seen, "bosh CLI, here")


def test_a_cli_that_was_built_from_source_is_not_known(seen):
    seen["cli"]["stdout"] = "version [DEV BUILD]"
    the(seen, "bosh CLI, here", "unknown")


# the release


def test_an_older_meta_is_refused(seen):
    seen["said"]["meta"]["director"]["version"] = "282.1.9 (00000000)"
    row = the(seen, "BOSH")
    assert (row["source"], row["target"]) == ("283.1.0, runs", "282.1.9, runs")


def test_where_nobody_answers_the_manifests_tell(seen):
    seen["offline"] = True
    seen["manifests"]["meta"]["content"]["releases"][0]["version"] = "283.0.3"
    row = judged(seen)["BOSH"]
    assert (row["verdict"], row["source"], row["target"]) == (
        "error",
        "283.1.0, in the manifest",
        "283.0.3, in the manifest",
    )
    seen["manifests"]["meta"]["content"]["releases"][0]["version"] = "latest"
    assert judged(seen)["BOSH"]["verdict"] == "unknown"


def test_a_release_is_not_held_against_what_a_director_says_of_itself(seen):
    """The director of release 283.1.6 says 283.1.0 (recorded/alias_env.json); Micro is stopped, and Meta runs."""
    for name in ("micro", "meta"):
        seen["manifests"][name]["content"]["releases"][0]["version"] = "283.1.6"
    seen["said"]["micro"] = {"reachable": False, "logged_in": False, "reason": "connection refused"}
    assert "BOSH" not in judged(seen)
    seen["said"]["meta"]["director"]["version"] = "283.0.9"
    row = judged(seen)["BOSH"]
    assert (row["verdict"], row["source"], row["target"]) == ("error", "283.1.6, in the manifest", "283.0.9, runs")


def test_before_the_deploy_what_will_run_counts(seen):
    seen["phase"] = "only_micro"
    seen["said"]["meta"]["director"]["version"] = "282.1.9"
    assert judged(seen) == {}
    seen["said"]["micro"]["director"]["version"] = "284.0.0"
    assert the(seen, "BOSH")["source"] == "284.0.0, runs"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("283.1.0", "283.1.0", True),
        ("283.1.0+dev.3", "283.1", True),
        ("283.10.0", "283.9.0", True),
        ("283", "283.0.1", False),
        ("latest", "283", None),
    ],
)
def test_versions(one, other, told):
    assert newer(one, other) is told


# manifests


def test_a_manifest_that_cannot_be_read(seen):
    seen["manifests"]["meta"] = {"msg": "bosh failed", "bosh_message": f"cannot unmarshal `{SECRET}`"}
    row = judged(seen)["manifest"]
    assert (row["verdict"], row["source"]) == ("error", "read")
    seen["manifests"]["meta"] = {"content": {"instance_groups": [{"jobs": []}]}}
    assert judged(seen)["manifest"]["target"] == "no director in it, or cannot be read"


@pytest.mark.parametrize("name", ["micro", "meta"])
@pytest.mark.parametrize("db", [{"host": "rds.example.com"}, {"adapter": "mysql2"}])
def test_a_database_elsewhere_does_not_come_along(seen, name, db):
    properties(seen, name)["director"]["db"] |= db
    the(seen, "database")


@pytest.mark.parametrize(("key", "what"), [("user", "database's user"), ("database", "database's name")])
def test_user_and_name_of_the_database(seen, key, what):
    properties(seen, "meta")["postgres"][key] = "else"
    assert the(seen, what)["target"] == "else"


def give(seen, name, job, values):
    group(seen, name)["jobs"].append({"name": job, "release": job, "properties": copy.deepcopy(values)})


CREDHUB = {"credhub": {"encryption": {"keys": [{"active": True, "key_properties": {"encryption_password": SECRET}}]}}}
UAA = {
    "encryption": {"encryption_keys": [{"label": "k", "passphrase": SECRET}]},
    "uaa": {"jwt": {"policy": {"keys": {"k": {"signingKey": SECRET}}}}},
}


@pytest.mark.parametrize("job", ["credhub", "uaa"])
@pytest.mark.parametrize("name", ["micro", "meta"])
def test_a_job_that_only_one_has(seen, name, job):
    give(seen, name, job, {})
    the(seen, f"job {job}")


def test_credhub_needs_the_name_and_the_key(seen):
    for name in ("micro", "meta"):
        give(seen, name, "credhub", CREDHUB)
    the(seen, "director's name")
    properties(seen, "meta")["director"]["name"] = "micro"
    assert judged(seen) == {}
    other = group(seen, "meta")["jobs"][-1]["properties"]["credhub"]["encryption"]["keys"][0]["key_properties"]
    other["encryption_password"] = SECRET + "-else"
    assert the(seen, "CredHub's encryption keys")["target"] == "differs"
    other["encryption_password"] = "((credhub_encryption_password))"
    the(seen, "CredHub's encryption keys", "unknown")


@pytest.mark.parametrize(
    ("what", "path"),
    [("UAA's signing keys", "uaa.jwt.policy.keys"), ("UAA's encryption keys", "encryption.encryption_keys")],
)
def test_uaas_keys(seen, what, path):
    for name in ("micro", "meta"):
        give(seen, name, "uaa", UAA)
    assert judged(seen) == {}
    *above, last = path.split(".")
    found = group(seen, "meta")["jobs"][-1]["properties"]
    for key in above:
        found = found[key]
    found[last] = {"else": SECRET}
    the(seen, what)


def test_another_cpi(seen):
    for part in ("micro", "meta"):
        properties(seen, part)["director"]["cpi_job"] = {"micro": "aws_cpi", "meta": "google_cpi"}[part]
    the(seen, "CPI")
    properties(seen, "meta")["director"]["cpi_job"] = properties(seen, "micro")["director"]["cpi_job"] = "warden_cpi"
    assert "Warden" in the(seen, "CPI")["do"]


def test_another_account(seen):
    properties(seen, "meta")["aws"]["secret_access_key"] = SECRET + "-else"
    assert the(seen, "CPI's account", "warning")["target"] == "differs: aws.secret_access_key"
    properties(seen, "meta")["aws"]["region"] = "us-1"
    assert the(seen, "CPI's account")["target"] == "differs: aws.region, aws.secret_access_key"
    properties(seen, "meta")["aws"]["region"] = "((region))"
    assert "aws.region" in the(seen, "CPI's account", "unknown")["do"]


def test_an_account_in_the_cpis_own_job(seen):
    for name, region in (("micro", "eu-1"), ("meta", "us-1")):
        del properties(seen, name)["aws"]
        group(seen, name)["jobs"][-1]["properties"] = {"aws": {"region": region}, "agent": {"mbus": f"nats://{name}"}}
    assert the(seen, "CPI's account")["target"] == "differs: aws.region"


def test_a_docker_daemon_of_its_own(seen):
    for name in ("micro", "meta"):
        properties(seen, name)["docker"] = {"host": "unix:///var/run/docker.sock"}
    the(seen, "Docker's daemon", "warning")


#: Each IaaS of bosh-deployment: its CPI's job, and a property that says where the account is.
PLACES = {
    "alicloud_cpi": {"alicloud": {"region": "one"}},
    "aws_cpi": {"aws": {"region": "one"}},
    "azure_cpi": {"azure": {"subscription_id": "one"}},
    "cloudstack_cpi": {"cloudstack": {"endpoint": "one"}},
    "docker_cpi": {"docker_cpi": {"docker": {"host": "tcp://one:2376"}}},
    "google_cpi": {"google": {"project": "one"}},
    "openstack_cpi": {"openstack": {"auth_url": "one"}},
    "vcloud_cpi": {"vcd": {"url": "one"}},
    "virtualbox_cpi": {"virtualbox_cpi": {"host": "one"}},
    "vsphere_cpi": {"vcenter": {"datacenters": [{"name": "one", "clusters": [{"c": {}}]}]}},
}


def give_cpi(seen, name, job, account, where="group"):
    properties(seen, name)["director"]["cpi_job"] = job
    group(seen, name)["jobs"][-1] = {"name": job, "release": job}
    del properties(seen, name)["aws"]
    if where == "group":
        properties(seen, name).update(copy.deepcopy(account))
    elif where == "job":
        group(seen, name)["jobs"][-1]["properties"] = copy.deepcopy(account) | {"agent": {"mbus": name}, "ntp": [name]}
    else:
        seen["manifests"][name]["content"]["cloud_provider"] = {"properties": copy.deepcopy(account) | {"ntp": [name]}}
    for said_by in seen["said"].values():
        said_by["director"]["cpi"] = job


@pytest.mark.parametrize("where", ["group", "job", "cloud_provider"])
@pytest.mark.parametrize("job", PLACES)
def test_the_account_of_every_cpi(seen, job, where):
    def differing(data):
        return json.loads(json.dumps(data).replace("one", "other"))

    for name in ("micro", "meta"):
        give_cpi(seen, name, job, PLACES[job], where)
    assert judged(seen) == {}
    (key, _value) = next(iter(director_manifest.account(manifest_of(seen, "micro"), job, "10.10.0.3").items()))
    if where == "cloud_provider":
        seen["manifests"]["meta"]["content"]["cloud_provider"]["properties"] = differing(PLACES[job])
    elif where == "job":
        group(seen, "meta")["jobs"][-1]["properties"] = differing(PLACES[job])
    else:
        properties(seen, "meta").update(differing(PLACES[job]))
    assert key in the(seen, "CPI's account")["target"]


def manifest_of(seen, name):
    return seen["manifests"][name]["content"]


def test_clusters_of_vsphere_are_keys_without_a_value(seen):
    for name in ("micro", "meta"):
        give_cpi(seen, name, "vsphere_cpi", {"vcenter": {"datacenters": [{"name": "dc", "clusters": [{name: {}}]}]}})
    assert "clusters.0.meta" in the(seen, "CPI's account", "warning")["target"]


def test_a_cpi_that_nobody_here_knows_is_known_by_create_envs_properties(seen):
    """Meta's manifest has no cloud_provider, so its keys are those of Micro's."""
    for name in ("micro", "meta"):
        give_cpi(seen, name, "strange_cpi", {"iaas": {"endpoint": name}})
    assert the(seen, "CPI's account", "unknown")["source"] == "0 properties"
    manifest_of(seen, "micro")["cloud_provider"] = {"properties": {"iaas": {"endpoint": "micro"}}}
    assert the(seen, "CPI's account", "warning")["target"] == "differs: iaas.endpoint"


@pytest.mark.parametrize("job", ["docker_cpi", "virtualbox_cpi", "softlayer_cpi", "aws_cpi", "strange_cpi"])
def test_no_account_on_either_side_is_not_known(seen, job):
    for name in ("micro", "meta"):
        give_cpi(seen, name, job, {"docker_cpi": {"agent": {"mbus": name}}} if job == "docker_cpi" else {})
    assert the(seen, "CPI's account", "unknown")["do"]


def test_the_address_of_a_director_is_not_part_of_the_account(seen):
    for name in ("micro", "meta"):
        properties(seen, name)["aws"]["endpoint"] = f"http://[::ffff:{ADDRESSES[name]}]:80/{ADDRESSES[name]}"
    assert judged(seen) == {}
    properties(seen, "meta")["aws"]["endpoint"] = "http://10.10.0.50"
    the(seen, "CPI's account", "warning")


def give_keys(seen, credhub, uaa):
    for name in ("micro", "meta"):
        properties(seen, name)["director"]["name"] = "one"
        give(seen, name, "credhub", {"credhub": {"encryption": {"keys": credhub}}})
        give(seen, name, "uaa", {"encryption": {"encryption_keys": uaa}, "uaa": {"jwt": {"policy": {"keys": uaa}}}})


@pytest.mark.parametrize("nothing", [None, [], {}, "", [None], [{"key": None}], {"a": {}}])
def test_nothing_is_never_equal_to_nothing(seen, nothing):
    give_keys(seen, nothing, nothing)
    assert {what: row["verdict"] for what, row in judged(seen).items()} == dict.fromkeys(
        ("CredHub's encryption keys", "UAA's signing keys", "UAA's encryption keys"), "unknown"
    )
    assert all(row["do"] for row in judged(seen).values())


def test_a_name_that_neither_has_is_not_known(seen):
    for name in ("micro", "meta"):
        del properties(seen, name)["director"]["name"]
    the(seen, "director's name", "unknown")


@pytest.mark.parametrize("key", ["host", "adapter"])
def test_a_database_that_is_a_variable_is_not_known(seen, key):
    properties(seen, "micro")["director"]["db"][key] = "((external_db))"
    the(seen, "database", "unknown")
    properties(seen, "meta")["director"]["db"]["host"] = "rds.example.com"
    the(seen, "database")


def test_a_user_or_a_provider_that_is_a_variable_is_not_known(seen):
    for name in ("micro", "meta"):
        properties(seen, name)["postgres"]["user"] = "((user))"
        properties(seen, name)["blobstore"]["provider"] = "((provider))"
    assert {what: row["verdict"] for what, row in judged(seen).items()} == {
        "database's user": "unknown",
        "blobstore": "unknown",
    }


@pytest.mark.parametrize(("part", "what"), [("configs", "CPI configs"), ("tasks", "tasks and locks")])
def test_what_a_director_was_not_asked_is_not_known(seen, part, what):
    for name in ("micro", "meta"):
        del seen["said"][name][part]
    the(seen, what, "unknown")


def test_no_config_of_anybody_names_nothing(seen):
    seen["cloud_configs"], seen["offline"] = {}, True
    assert judged(seen)["Micro's address in configs"]["verdict"] == "unknown"


@pytest.mark.parametrize("content", [{}, {"networks": []}, {"networks": [{"subnets": [{"static": ["((static))"]}]}]}])
def test_static_ranges_that_cannot_be_read_are_not_known(seen, content):
    seen["cloud_configs"]["micro"]["content"].update({"networks": []} | content)
    the(seen, "own address static", "unknown")


def test_a_store_with_nothing_in_use_is_not_known(seen):
    seen["hosts"]["micro"]["store"]["used"] = 0
    the(seen, "room for the copy", "unknown")


def test_a_second_vm_is_found_by_its_address_not_by_its_text(seen):
    directors = seen["directors"]
    directors["primary"]["address"] = "FD00:0::4"
    seen["said"]["meta"]["vms"] = [{"vm_cid": "vm-9", "instance": "x/1", "ips": ["fd00::4"], "az": ""}]
    assert "vm-9" in judged(seen)["second VM at an address"]["target"]


def test_another_blobstore(seen):
    properties(seen, "micro")["blobstore"] = {"provider": "s3", "bucket_name": "a", "secret_access_key": SECRET}
    assert judged(seen)["blobstore"]["verdict"] == "error"
    theirs = properties(seen, "meta")["blobstore"]
    theirs |= {"provider": "s3", "bucket_name": "a", "secret_access_key": SECRET}
    seen["handover"] = "recreate"
    assert judged(seen) == {}
    theirs["secret_access_key"] = SECRET + "-else"
    the(seen, "blobstore's credentials", "warning")
    theirs |= {"bucket_name": "b", "secret_access_key": SECRET}
    the(seen, "blobstore's place")


def test_a_director_without_a_persistent_disk(seen):
    del group(seen, "primary")["persistent_disk_pool"]
    the(seen, "persistent disk, Primary")
    del group(seen, "meta")["persistent_disk_pool"]
    assert {"persistent disk", "persistent disk, Primary"} == set(judged(seen))


def test_a_smaller_disk_is_a_warning(seen):
    del group(seen, "meta")["persistent_disk_pool"]
    group(seen, "meta")["persistent_disk_type"] = "small"
    lacks = "Primary's cloud config for bosh-meta"
    assert the(seen, lacks)["target"] == "persistent_disk_type small", "of a size that is not known"
    seen["cloud_configs"]["primary"]["content"]["disk_types"] = [{"name": "small", "disk_size": 1024}]
    assert the(seen, "persistent disk", "warning")["target"] == "1024 MiB"


def test_micros_address_in_a_manifest(seen):
    properties(seen, "primary")["dns"] = {"recursor": "10.10.0.3"}
    assert judged(seen) == {}, "step 7 removes it"
    properties(seen, "meta")["ntp"] = ["10.10.0.3", "10.10.0.31"]
    row = the(seen, "Micro's address in it", "warning")
    assert row["target"] == "/instance_groups/name=bosh/properties/ntp/0"


def test_micros_address_in_configs(seen):
    subnet = seen["cloud_configs"]["micro"]["content"]["networks"][0]["subnets"][0]
    subnet["reserved"] = ["10.10.0.3"]
    assert judged(seen) == {}
    subnet["dns"] = ["10.10.0.3"]
    the(seen, "Micro's address in configs", "warning")
    del subnet["dns"]
    row = {"type": "runtime", "name": "dns", "path": "/addons/name=bosh-dns/properties/recursors/0"}
    seen["said"]["micro"]["mentions"] = [row]
    assert "runtime config dns of micro" in the(seen, "Micro's address in configs", "warning")["target"]


@pytest.mark.parametrize("static", ["10.10.0.5", "10.10.0.4-10.10.0.9", "10.10.0.4/31", "10.10.0.3"])
def test_metas_own_address_static_in_micros_cloud_config(seen, static):
    seen["cloud_configs"]["micro"] = config(static)
    the(seen, "own address static")
    seen["cloud_configs"]["micro"] = config("((static))")
    seen["traits"]["micro"]["cloud_configs"] = [{"name": "default", **config(static)}]
    the(seen, "own address static")


def test_no_cloud_config_is_not_known(seen):
    seen["cloud_configs"] = {}
    assert {name: row["verdict"] for name, row in judged(seen).items()} == {
        "own address static": "unknown",
        "Primary and Meta apart": "unknown",
    }


def test_ranges_that_are_none():
    assert not any(cloud_config.static_holds(config(text)["content"], "10.10.0.5") for text in ("", "::1", "a-b"))
    assert not cloud_config.static_holds({"networks": "((networks))"}, "10.10.0.5")
    assert cloud_config.static_holds({"networks": [{"subnets": [{"static": "10.10.0.5"}]}]}, "10.10.0.5")


# apart


@pytest.mark.parametrize("verdict", ["warning", "error"])
def test_one_availability_zone(seen, verdict):
    group(seen, "meta")["azs"] = ["z1"]
    seen["same_az"] = verdict
    the(seen, "Primary and Meta apart", verdict)
    seen["cloud_configs"]["primary"]["content"]["azs"] = []
    lacks = "Primary's cloud config for bosh-meta"
    assert {what: row["verdict"] for what, row in judged(seen).items()} == {
        "Primary and Meta apart": verdict,
        lacks: "error",
    }


def test_one_zone_by_two_names(seen):
    for row in seen["cloud_configs"]["primary"]["content"]["azs"]:
        row["cloud_properties"] = {"availability_zone": "eu-1z1"}
    the(seen, "Primary and Meta apart", "warning")


def test_one_name_for_two_zones(seen):
    group(seen, "meta")["azs"] = ["z1"]
    seen["cloud_configs"]["primary"]["content"]["azs"][0]["cloud_properties"] = {"availability_zone": "eu-1z9"}
    assert judged(seen) == {}


def test_where_the_instance_is_counts(seen):
    seen["instances"]["meta"]["instances"][0]["az"] = "z1"
    the(seen, "Primary and Meta apart", "warning")


def test_containers_on_one_host(seen):
    seen["hosts"]["primary"]["boot_id"] = seen["hosts"]["meta"]["boot_id"]
    seen["same_az"] = "error"
    the(seen, "Primary and Meta apart")


# directors


@pytest.mark.parametrize(
    ("cause", "verdict"), [("unreachable", "unknown"), ("wrong_ca", "error"), ("wrong_credentials", "error")]
)
def test_a_director_that_does_not_answer(seen, cause, verdict):
    seen["said"]["micro"] = {"logged_in": False, "cause": cause, "reason": "why"}
    rows = judged(seen)
    assert {row["verdict"] for row in rows.values()} <= {"unknown", verdict}
    assert (rows["director"]["verdict"], "why" in rows["director"]["source"]) == (verdict, True)


def test_a_busy_director(seen):
    seen["said"]["primary"]["tasks"] = [{"id": 7}]
    assert the(seen, "tasks and locks, Primary", "warning")["target"] == "task 7"
    seen["said"]["micro"]["locks"] = [{"resource": "bosh-primary"}]
    assert judged(seen)["tasks and locks"]["source"] == "lock on bosh-primary"


def test_another_cpi_that_runs(seen):
    seen["said"]["meta"]["director"]["cpi"] = "google_cpi"
    the(seen, "CPI, as it runs")


def test_a_cpi_config_that_goes(seen):
    seen["said"]["micro"]["configs"].append({"type": "cpi", "name": "b"})
    assert judged(seen) == {}
    seen["said"]["meta"]["configs"].append({"type": "cpi", "name": "a"})
    assert "a goes with" in the(seen, "CPI configs", "warning")["do"]


def test_disks_in_use(seen):
    seen["instances"]["primary"]["instances"][0]["disk_cids"] = []
    the(seen, "disk in use, Primary")
    seen["instances"]["primary"]["instances"][0]["disk_cids"] = ["a", "b"]
    the(seen, "disk in use, Primary", "warning")
    seen["instances"]["primary"] = instance("primary")
    seen["state"] |= {"disk_cids": ["disk-micro", "disk-old"]}
    assert "disk-old" in the(seen, "disk in use", "warning")["source"]
    seen["state"] |= {"disk_cid": "", "disk_cids": []}
    the(seen, "disk in use")


def test_orphaned_disks(seen):
    orphans = seen["traits"]["micro"]["orphaned_disks"]
    orphans.append({"disk_cid": "disk-1", "deployment": "zookeeper"})
    assert judged(seen) == {}
    orphans.append({"disk_cid": "disk-2", "deployment": "bosh-primary"})
    assert the(seen, "orphaned disks", "warning")["source"] == "disk-2 of bosh-primary"
    orphans[-1]["disk_cid"] = "disk-primary"
    the(seen, "orphaned disks")


def test_orphaned_vms(seen):
    orphans = seen["traits"]["primary"]["orphaned_vms"]
    orphans.append({"vm_cid": "vm-9", "deployment": "bosh-meta", "ips": ["10.10.0.9"]})
    the(seen, "orphaned VMs, Primary", "warning")
    orphans[-1]["ips"] = ["10.10.0.5"]
    the(seen, "orphaned VMs, Primary")
    del seen["traits"]["primary"]["orphaned_vms"]
    the(seen, "orphaned VMs, Primary", "unknown")


@pytest.mark.parametrize(
    ("by", "name"),
    [("micro", "meta"), ("micro", "micro"), ("primary", "meta"), ("primary", "primary"), ("meta", "primary")],
)
def test_a_second_vm_at_an_address(seen, by, name):
    seen["said"][by]["vms"].append(vm(name, "vm-stranger"))
    assert f"vm-stranger (bosh/1) of {by} at {name}'s" in the(seen, "second VM at an address")["target"]


# hosts


@pytest.mark.parametrize(
    ("message", "phase", "verdict"),
    [
        ("Permission denied (publickey)", "", "error"),
        ("Host key verification failed.", "", "error"),
        ("timed out", "", "unknown"),
        ("timed out", "only_micro", "unknown"),
        ("timed out", "deployed", "error"),
    ],
)
def test_a_host_that_cannot_be_reached(seen, message, phase, verdict):
    seen["logins"]["meta"] = {"elapsed": 0, "msg": message}
    del seen["hosts"]["meta"]
    seen["phase"] = phase
    rows = judged(seen)
    assert rows.pop("SSH")["verdict"] == verdict
    assert {row["verdict"] for row in rows.values()} == {"unknown"}
    assert {"sudo", "monit", "rsync", "store", "room for the copy", "clock", "vcap's numeric ID"} <= set(rows)


def test_a_host_without_sudo(seen):
    seen["hosts"]["primary"] = {"msg": "MODULE FAILURE", "module_stderr": "x\nsudo: a password is required\n"}
    rows = judged(seen)
    assert rows["sudo, Primary"]["verdict"] == "error"
    assert "a password is required" in rows["sudo, Primary"]["target"]


def test_monit(seen):
    monit = seen["hosts"]["meta"]["monit"]
    monit["processes"]["nats"] = "does not exist"
    the(seen, "monit", "warning")
    monit |= {"processes": {}, "reason": "monit: No such file or directory"}
    assert "No such file" in the(seen, "monit")["target"]
    # As a fenced host is once it was restarted.
    monit["fenced"] = True
    assert "monit" not in judged(seen)


def test_workers_that_stand_still_beside_a_director_are_an_error_unless_a_run_stopped_them(seen):
    processes = seen["hosts"]["primary"]["monit"]["processes"]
    processes |= {"worker_1": "running", "worker_2": "not monitored"}
    row = the(seen, "monit, Primary", "error")
    assert "worker_2" in str(row) and "worker_1" not in str(row)
    seen["backup"] = True
    the(seen, "monit, Primary", "warning")
    seen["backup"] = False
    seen["hosts"]["primary"]["monit"]["held"] = ["worker_1", "worker_2"]
    the(seen, "monit, Primary", "warning")
    # A note of other workers says nothing of this one.
    seen["hosts"]["primary"]["monit"]["held"] = ["worker_1"]
    the(seen, "monit, Primary", "error")
    # A director that is stopped, too, was stopped as a whole.
    processes["director"] = "not monitored"
    assert "monit, Primary" not in judged(seen)


@pytest.mark.parametrize(("name", "row"), [("micro", "backup scripts"), ("primary", "backup scripts, Primary")])
def test_a_backup_needs_scripts(seen, name, row):
    seen["hosts"][name]["backup_jobs"] = []
    assert judged(seen) == {}
    seen["backup"] = True
    assert f"{name}: deploy it with BBR's jobs" in the(seen, row)["do"]
    # It is over then, or was not asked for.
    seen["phase"] = "frozen"
    assert row not in judged(seen)


def test_meta_is_not_backed_up_before_the_freeze(seen):
    seen["backup"] = True
    seen["hosts"]["meta"]["backup_jobs"] = []
    assert judged(seen) == {}


@pytest.mark.parametrize(("name", "tool"), [("micro", "rsync"), ("micro", "rrsync"), ("meta", "rsync")])
def test_rsync(seen, name, tool):
    seen["hosts"][name][tool] = ""
    the(seen, "rsync")


def test_rrsync_is_needed_on_micro_only(seen):
    seen["hosts"]["meta"]["rrsync"] = ""
    seen["hosts"]["primary"]["rsync"] = ""
    assert judged(seen) == {}


def test_another_vcap_and_another_postgres(seen):
    seen["hosts"]["meta"]["vcap_uid"] = 1001
    the(seen, "vcap's numeric ID")
    seen["hosts"]["meta"] |= {"vcap_uid": 1000, "postgres": ["postgres-13"]}
    the(seen, "PostgreSQL in the store")
    seen["hosts"]["meta"]["postgres"] = []
    the(seen, "PostgreSQL in the store")
    seen["hosts"]["micro"]["postgres"] = []
    the(seen, "PostgreSQL in the store", "unknown")


def test_a_store_that_is_no_mount(seen):
    seen["hosts"]["primary"]["store"]["mounted"] = False
    the(seen, "store, Primary")


def test_room_for_the_copy(seen):
    store = seen["hosts"]["meta"]["store"]
    store["available"] = int(10.5 * GIB)
    row = the(seen, "room for the copy")
    assert (row["source"], row["target"]) == ("10.0 GiB used", "10.5 GiB free")
    seen["room_factor"] = "1.0"
    assert judged(seen) == {}
    seen["room_factor"] = 1.1
    store |= {"available": 3 * GIB, "staged": 8 * GIB}
    assert judged(seen) == {}, "what is staged is part of the copy"
    store["total"] = 0
    the(seen, "room for the copy", "unknown")


def test_clocks(seen):
    seen["hosts"]["meta"]["clock"] += 2.7
    assert judged(seen) == {}, "within what the answer took"
    seen["hosts"]["meta"]["clock"] += 3
    assert "apart" in the(seen, "clock")["do"]
    seen["clock_skew"] = "60"
    assert judged(seen) == {}
    seen["hosts"]["meta"]["asked"] -= 30
    the(seen, "clock", "unknown")


# adopt


def test_other_cas_fall_back_to_a_recreate(seen):
    theirs = seen["deployed"]["meta"]["content"]["instance_groups"][0]["properties"]
    theirs["nats"]["tls"]["client_ca"]["certificate"] = "another CA"
    the(seen, "adopt: NATS' CA", "warning")
    theirs["blobstore"]["tls"]["cert"]["ca"] = "another CA"
    theirs["blobstore"]["agent"]["password"] = "another"
    assert len(judged(seen)) == 3
    seen["handover"] = "recreate"
    assert judged(seen) == {}


def test_a_meta_that_is_not_deployed_gets_micros_cas(seen):
    seen["deployed"] = seen["instances"] = {}
    seen["said"]["primary"] |= {"deployments": [], "vms": []}
    seen["said"]["micro"]["vms"] = []
    assert judged(seen) == {}
    seen["offline"] = True
    assert {row["verdict"] for name, row in judged(seen).items() if name.startswith("adopt")} == {"unknown"}


def test_an_agent_that_cannot_be_adopted(seen):
    seen["hosts"]["primary"]["agent_version"] = "2.847.0"
    the(seen, "adopt: Primary's agent", "warning")
    seen["hosts"]["primary"]["agent_version"] = ""
    the(seen, "adopt: Primary's agent", "unknown")
    seen["hosts"]["primary"] |= {"agent_version": "2.848.0", "settings_on_tmpfs": True}
    the(seen, "adopt: agent's settings", "warning")


# all


def test_offline_judges_manifests_alone(seen):
    seen |= {"offline": True, "handover": "recreate"}
    rows = findings(seen)
    assert not {"SSH", "director", "store"} & {row["what"] for row in rows}
    assert {row["verdict"] for row in rows} == {"ok"}
    assert {row["target"] for row in rows if row["what"] == "BOSH"} == {"283.1.0, in the manifest"}


def test_nothing_at_all_is_unknown(seen):
    rows = findings({"directors": seen["directors"]})
    assert {row["what"] for row in rows if row["verdict"] == "error"} == {
        "bosh CLI, here",
        "manifest",
        "manifest, Primary",
    }
    assert rows[1]["what"] == "BOSH" and rows[1]["verdict"] == "unknown"


def test_v1_manifests():
    v1 = {
        "name": "bosh",
        "jobs": [
            {
                "name": "bosh",
                "release": "bosh",
                "templates": [{"name": "director", "release": "bosh"}, {"name": "postgres"}],
            }
        ],
        "properties": {
            "postgres": {"user": "bosh"},
            "director": {"cpi_job": "aws_cpi"},
            "aws": {"region": "eu"},
            "hm": {},
        },
    }
    assert director_manifest.is_director(v1)
    assert director_manifest.job_names(v1) == {"director", "postgres"}
    assert director_manifest.value(v1, "postgres", "postgres.user") == "bosh"
    assert director_manifest.account(v1, "aws_cpi", "10.10.0.3") == {"aws.region": "eu"}
    plain = {"jobs": [{"name": "bosh", "template": ["director"], "persistent_disk": 1024}]}
    assert director_manifest.job_names(plain) == {"director"}
    assert director_manifest.persistent_disk(plain) == 1024


@pytest.mark.parametrize("data", [None, "", [], {}, {"instance_groups": [{}]}, {"instance_groups": "x"}])
def test_what_is_no_manifest(data):
    assert not director_manifest.is_director(data)


def test_a_form_that_is_not_known_is_a_sentence_without_a_value(seen):
    properties(seen, "meta")["nats"] = SECRET
    seen["hosts"]["meta"]["store"] = SECRET
    with pytest.raises(AnsibleFilterError) as caught:
        filters.preflight_findings(seen)
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None


def test_the_table(seen):
    group(seen, "meta")["azs"] = ["z1"]
    seen["said"]["meta"]["director"]["version"] = "282.1.9"
    lines = table(findings(seen))
    assert max(len(line) for line in lines) <= 120
    assert lines[0].split() == ["what", "source", "(Micro)", "target", "(Meta)", "verdict", "what", "to", "do"]
    assert lines[-1] == f"1 error, 1 warning, {len(findings(seen)) - 2} ok"
    assert table([])[-1] == "nothing was compared"
    long = {"what": "x" * 200, "source": "", "target": "", "verdict": "ok", "do": ""}
    assert max(len(line) for line in table([long])) <= 120


# what step 7 deploys


@pytest.mark.parametrize(("name", "by"), [("primary", "micro"), ("meta", "primary")])
@pytest.mark.parametrize("refused_by", ["manifest", "director"])
def test_a_deploy_that_bosh_refuses_is_known_before_the_freeze(seen, name, by, refused_by):
    seen["rehearsed"][name] = {"refused_by": refused_by, "refusal": "Can't find property 'director.address'"}
    row = the(seen, f"step 7's deploy of bosh-{name}")
    assert "Can't find property 'director.address'" in row["target"]
    assert f"dry run at {by}" in row["target"]
    assert f"bosh_ha_directors.{name}" in row["do"]
    # Before they are deployed, steps 1 to 3 may bring a release that is lacking.
    seen["phase"] = "only_micro"
    the(seen, f"step 7's deploy of bosh-{name}", "warning")


@pytest.mark.parametrize(
    "answer", [{}, {"skipped": True}, {"msg": "no route to host", "cause": "unreachable"}, {"msg": "lock is held"}]
)
def test_a_deploy_that_was_not_rehearsed_stops_the_freeze(seen, answer):
    seen["rehearsed"]["primary"] = answer
    row = the(seen, "step 7's deploy of bosh-primary")
    assert answer.get("msg", "not deployed yet") in row["target"]
    seen["phase"] = "only_micro"
    the(seen, "step 7's deploy of bosh-primary", "unknown")


def test_micro_that_is_frozen_cannot_rehearse(seen):
    seen["phase"], seen["said"]["micro"] = "frozen", {"reachable": False, "logged_in": False, "reason": "refused"}
    seen["rehearsed"]["primary"] = {}
    assert judged(seen)["step 7's deploy of bosh-primary"]["verdict"] == "unknown"


@pytest.mark.parametrize("stopped", [True, False])
def test_a_primary_that_an_interrupted_freeze_stopped_rehearsed_before(seen, stopped):
    seen["said"]["primary"] = {"reachable": False, "logged_in": False, "reason": "refused"}
    seen["rehearsed"]["meta"] = {"skipped": True}
    seen["stopped"] = ["primary"] if stopped else []
    row = judged(seen)["step 7's deploy of bosh-meta"]
    assert row["verdict"] == ("unknown" if stopped else "error")


def test_an_edit_in_place_that_cannot_be_made_is_known_before_the_freeze(seen):
    seen["edits"] = {"meta": {"msg": "m.yml: dns.recursor is in a merge key"}}
    assert "merge key" in the(seen, "step 7's edit of meta's manifest")["target"]


CLOUD = {
    "azs": [{"name": "z1"}],
    "vm_types": [{"name": "small"}],
    "vm_extensions": [{"name": "lb"}],
    "disk_types": [{"name": "10GB"}],
    "networks": [
        {"name": "default", "subnets": [{"static": ["10.10.0.4"]}, {"static": ["10.11.0.4 - 10.11.0.9"]}]},
        {"name": "vip", "type": "vip"},
    ],
}
GROUP = {
    "name": "bosh",
    "azs": ["z1"],
    "vm_type": "small",
    "vm_extensions": ["lb"],
    "persistent_disk_type": "10GB",
    "networks": [
        {"name": "default", "static_ips": ["10.10.0.4", "10.11.0.5-10.11.0.6"]},
        {"name": "vip", "static_ips": ["1.2.3.4"]},
    ],
}


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({}, []),
        ({"azs": ["z1", "z9"]}, ["az z9"]),
        ({"vm_type": "large"}, ["vm_type large"]),
        ({"vm_type": "((type))"}, []),
        ({"vm_extensions": ["lb", "fast"]}, ["vm_extension fast"]),
        ({"persistent_disk_type": "64GB"}, ["persistent_disk_type 64GB"]),
        ({"networks": [{"name": "other"}]}, ["network other"]),
        ({"networks": [{"name": "default", "static_ips": ["10.10.0.5"]}]}, ["static IP 10.10.0.5 of network default"]),
        (
            {"networks": [{"name": "default", "static_ips": ["10.11.0.8 - 10.11.0.12"]}]},
            ["static IP 10.11.0.8 - 10.11.0.12 of network default"],
        ),
        ({"networks": [{"name": "default"}]}, []),
    ],
)
def test_what_a_cloud_config_lacks_for_a_manifest(change, lacking):
    of_another_name = {"vm_types": [{"name": "elsewhere"}]}
    assert cloud_config.lacking({"instance_groups": [GROUP | change]}, [CLOUD, of_another_name]) == lacking
    assert cloud_config.lacking({"instance_groups": [GROUP | {"vm_type": "elsewhere"}]}, [CLOUD, of_another_name]) == []
    assert cloud_config.lacking({"instance_groups": [GROUP | change], "networks": [{"name": "default"}]}, [{}]) == []


def test_metas_own_cloud_config_must_do_for_primary(seen):
    """No dry run shows it: Micro rehearses with its own, and Meta gets another file before it deploys Primary."""
    group(seen, "primary")["vm_type"] = "large"
    seen["cloud_configs"]["meta"] = config("10.10.0.4")
    row = the(seen, "Meta's cloud config for bosh-primary")
    assert row["target"] == "vm_type large"
    assert "bosh_ha_directors.meta.cloud_config" in row["do"]
    # Of Micro's other configs, which Meta gets with its data, nothing is lacking.
    types = config("10.10.0.4")["content"] | {"vm_types": [{"name": "large"}]}
    seen["traits"]["micro"]["cloud_configs"] = [{"name": "types", "content": types}]
    assert judged(seen) == {}
    seen["traits"]["micro"]["cloud_configs"][0]["name"] = "default"
    the(seen, "Meta's cloud config for bosh-primary")
