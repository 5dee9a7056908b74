# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each mistake in the inputs is one sentence that names the variable, and the file where there is one."""

from __future__ import annotations

import copy
import json
import string
import tempfile
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from .test_create_env_state import GOOD

ABSENT = object()
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n"
CLOUD = """
networks:
- name: default
  type: manual
  subnets:
  - range: 10.10.0.0/24
    gateway: 10.10.0.1
    reserved: [10.10.0.1 - 10.10.0.2, 10.10.0.128/25]
    static: [{static}]
- name: public
  type: vip
"""
STORE = "admin_password: not-for-eyes\ndirector_ssl:\n  ca: a PEM text\n"
FILES = {
    "micro.yml": "name: micro\n",
    "bosh-primary.yml": "name: bosh-primary\n",
    "bosh-meta.yml": "name: bosh-meta\n",
    "ops.yml": "- {type: remove, path: /x}\n",
    "vars.yml": "internal_ip: 10.10.0.3\n",
    "micro-state.json": json.dumps(GOOD),
    "micro-store.yml": STORE,
    "primary-store.yml": STORE,
    "meta-store.yml": STORE,
    # Primary's address may be static in Micro's cloud config, and Meta's in Primary's.
    "cloud-micro.yml": CLOUD.format(static="10.10.0.4"),
    "cloud-primary.yml": CLOUD.format(static="10.10.0.5-10.10.0.9"),
    "stemcell.tgz": "a stemcell",
    "release.tgz": "a release",
    "id_ed25519": KEY,
}


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path)


def make_site(at):
    """Inputs without a mistake: the directors, and what SSH needs."""
    for name, text in FILES.items():
        (at / name).write_text(text, encoding="utf-8")
    micro = {
        "address": "10.10.0.3",
        "manifest": f"{at}/micro.yml",
        "state_file": f"{at}/micro-state.json",
        "ops_files": [f"{at}/ops.yml"],
        "vars_files": [f"{at}/vars.yml"],
        "vars_store": f"{at}/micro-store.yml",
        "cloud_config": f"{at}/cloud-micro.yml",
    }
    primary = {
        "address": "10.10.0.4",
        "manifest": f"{at}/bosh-primary.yml",
        "vars_store": f"{at}/primary-store.yml",
        "cloud_config": f"{at}/cloud-primary.yml",
        "stemcell": {"url": f"file://{at}/stemcell.tgz"},
        "release": f"{at}/release.tgz",
    }
    meta = {"address": "10.10.0.5", "manifest": f"{at}/bosh-meta.yml", "vars_store": f"{at}/meta-store.yml"}
    directors = {"micro": micro, "primary": primary, "meta": meta}
    common = {"ansible_user": "jumpbox", "ansible_ssh_private_key_file": f"{at}/id_ed25519"}
    hosts = {name: common | {"ansible_host": values["address"]} for name, values in directors.items()}
    return directors, {"bosh_ha_known_hosts": f"{at}/known_hosts", "hosts": hosts}


def changed(directors, path, value):
    """The directors with one value replaced, or left out; {at} in a text is the directory."""
    directors = copy.deepcopy(directors)
    *way, last = path.split(".")
    place = directors
    for key in way:
        place = place[key]
    place.pop(last, None)
    if value is not ABSENT:
        place[last] = value
    return directors


def following(ssh, directors):
    """The hosts at the directors' addresses, as the inventory templates them."""
    hosts = {name: host | {"ansible_host": directors[name].get("address")} for name, host in ssh["hosts"].items()}
    return ssh | {"hosts": hosts}


def filled_in(value, at):
    if isinstance(value, list):
        return [filled_in(item, at) for item in value]
    if isinstance(value, dict):
        return {key: filled_in(item, at) for key, item in value.items()}
    return value.replace("{at}", str(at)) if isinstance(value, str) else value


def test_nothing_is_wrong_with_good_inputs(site):
    assert inputs.problems(*site) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("micro.ops_files", ABSENT),
        ("micro.vars_files", None),
        ("micro.state_file", "{at}/none-yet.json"),
        ("micro.vars_store", "{at}/none-yet.yml"),
        ("micro.cloud_config", ""),
        ("primary.stemcell", ABSENT),
        ("primary.release", ""),
        ("primary.release", {"url": None, "sha1": None}),
        ("primary.release", {"url": "https://example.org/it.tgz", "sha1": "sha256:00"}),
        ("meta.ca_cert", "-----BEGIN CERTIFICATE-----\n"),
        ("meta.ca_cert", "{at}/vars.yml"),
        ("meta.alias", "the-last-one"),
    ],
)
def test_what_may_be_left_out_or_come_in_another_form(site, tmp_path, path, value):
    directors, ssh = site
    assert inputs.problems(changed(directors, path, filled_in(value, tmp_path)), ssh) == []


def test_secret_and_ca_stand_for_the_vars_store(site):
    directors, ssh = site
    meta = directors["meta"] | {"vars_store": "", "client_secret": "not-for-eyes", "ca_cert": "-----BEGIN CERT"}
    assert inputs.problems(directors | {"meta": meta}, ssh) == []


def test_without_a_key_file_the_agent_has_the_key(site):
    directors, ssh = site
    for host in ssh["hosts"].values():
        host["ansible_ssh_private_key_file"] = ""
    assert inputs.problems(directors, ssh) == []


def test_a_control_node_without_netaddr_is_told(site, monkeypatch):
    monkeypatch.setattr(inputs, "netaddr", None)
    [told] = inputs.problems(*site)
    assert told.endswith("has no netaddr: install it there")


@pytest.mark.parametrize(
    ("address", "ranges", "inside"),
    [
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", ["10.0.0.1 - 10.0.0.4", "10.0.0.5-10.0.0.9"], True),
        ("10.0.0.10", "10.0.0.5-10.0.0.9", False),
        ("10.0.0.5", "10.0.0.9/29", False),
        ("10.0.0.12", "10.0.0.9/29", True),
        ("2001:db8::5", "2001:db8::/64", True),
        ("2001:db8::5", "2001:db8::1 - 2001:db8::9", True),
        ("2001:db8::5", ["0.0.0.0/0", "10.0.0.1-10.0.0.9"], False),
        ("10.0.0.5", ["((static))", "10.0.0.9-10.0.0.1", "10.0.0.1-2001:db8::1", None, 10], False),
    ],
)
def test_ranges_as_bosh_has_them(address, ranges, inside):
    assert inputs._within(inputs._address(address), ranges) is inside


@pytest.mark.parametrize("given", ["10.1", "010.0.0.1", "10.0.0.1/24", "fe80::1%eth0", " 10.0.0.1", "", None, 7, True])
def test_what_is_no_address(given):
    assert inputs._address(given) is None


def test_a_whole_variable_may_be_missing():
    assert inputs.problems(None, {}) == ["bosh_ha_directors is no mapping with the keys micro, primary and meta"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        # which directors there are
        ("meta", ABSENT, "bosh_ha_directors.meta is not set"),
        ("meta", "10.10.0.5", "bosh_ha_directors.meta is not set"),
        ("mega", {}, "bosh_ha_directors has the unknown key mega"),
        ("micro.adress", "10.10.0.3", "bosh_ha_directors.micro has the unknown key adress"),
        ("micro.deployment", "bosh", "bosh_ha_directors.micro has the unknown key deployment"),
        ("meta.state_file", "{at}/s.json", "bosh_ha_directors.meta has the unknown key state_file"),
        # addresses
        ("micro.address", ABSENT, "bosh_ha_directors.micro.address is not set"),
        ("micro.address", "", "bosh_ha_directors.micro.address is not set"),
        (
            "meta.address",
            "10.10.0.4",
            "bosh_ha_directors.primary.address and bosh_ha_directors.meta.address are both 10.10.0.4",
        ),
        ("meta.address", "10.10.0.500", "bosh_ha_directors.meta.address 10.10.0.500 is no IP address"),
        ("meta.address", "meta.example.org", "bosh_ha_directors.meta.address meta.example.org is no IP address"),
        ("meta.address", 168427525, "bosh_ha_directors.meta.address 168427525 is no IP address"),
        ("meta.address", ["10.10.0.5"], "bosh_ha_directors.meta.address ['10.10.0.5'] is no IP address"),
        # networks
        (
            "primary.address",
            "10.10.1.4",
            "bosh_ha_directors.primary.address 10.10.1.4 is outside the network of the cloud config "
            "{at}/cloud-micro.yml (10.10.0.0/24)",
        ),
        (
            "meta.address",
            "fd00::5",
            "bosh_ha_directors.meta.address fd00::5 is outside the network of the cloud config "
            "{at}/cloud-primary.yml (10.10.0.0/24)",
        ),
        (
            "meta.address",
            "10.10.0.2",
            "bosh_ha_directors.meta.address 10.10.0.2 is reserved in the cloud config {at}/cloud-primary.yml, "
            "so primary cannot deploy meta there",
        ),
        (
            "meta.address",
            "10.10.0.130",
            "bosh_ha_directors.meta.address 10.10.0.130 is reserved in the cloud config {at}/cloud-primary.yml, "
            "so primary cannot deploy meta there",
        ),
        # files
        (
            "micro.manifest",
            "{at}/none.yml",
            "bosh_ha_directors.micro.manifest: the file {at}/none.yml cannot be read: No such file or directory",
        ),
        ("meta.manifest", "{at}", "bosh_ha_directors.meta.manifest: the file {at} cannot be read: Is a directory"),
        ("meta.manifest", "{at}/ops.yml", "bosh_ha_directors.meta.manifest: the file {at}/ops.yml holds no mapping"),
        ("meta.manifest", 5, "bosh_ha_directors.meta.manifest is no path"),
        (
            "micro.ops_files",
            ["{at}/ops.yml", "{at}/vars.yml"],
            "bosh_ha_directors.micro.ops_files[1]: the file {at}/vars.yml holds no list",
        ),
        ("micro.ops_files", "{at}/ops.yml", "bosh_ha_directors.micro.ops_files is no list of paths"),
        (
            "micro.vars_files",
            ["{at}/ops.yml"],
            "bosh_ha_directors.micro.vars_files[0]: the file {at}/ops.yml holds no mapping",
        ),
        ("micro.vars_files", [{"password": "not-for-eyes"}], "bosh_ha_directors.micro.vars_files is no list of paths"),
        ("micro.port", "https", "bosh_ha_directors.micro.port is no port: a number from 1 to 65535"),
        ("meta.port", 65536, "bosh_ha_directors.meta.port is no port: a number from 1 to 65535"),
        ("meta.port", True, "bosh_ha_directors.meta.port is no port: a number from 1 to 65535"),
        ("micro.state_file", ["{at}"], "bosh_ha_directors.micro.state_file is no path"),
        ("meta.vars_store", STORE, "bosh_ha_directors.meta.vars_store is no path"),
        (
            "meta.vars_store",
            "{at}/ops.yml",
            "bosh_ha_directors.meta.vars_store: the file {at}/ops.yml holds no mapping",
        ),
        (
            "micro.cloud_config",
            "{at}/none.yml",
            "bosh_ha_directors.micro.cloud_config: the file {at}/none.yml cannot be read: No such file or directory",
        ),
        (
            "primary.release",
            "{at}/none.tgz",
            "bosh_ha_directors.primary.release.url: the file {at}/none.tgz cannot be read",
        ),
        ("primary.release", "{at}", "bosh_ha_directors.primary.release.url: the file {at} cannot be read"),
        (
            "primary.stemcell",
            {"url": "file://{at}/none.tgz"},
            "bosh_ha_directors.primary.stemcell.url: the file file://{at}/none.tgz cannot be read",
        ),
        (
            "primary.stemcell",
            "https://example.org/it.tgz",
            "bosh_ha_directors.primary.stemcell.url is https://example.org/it.tgz, so "
            "bosh_ha_directors.primary.stemcell.sha1 is needed: nothing else tells that the right file came",
        ),
        (
            "primary.release",
            {"url": "https://me:not-for-eyes@example.org/it.tgz?signature=not-for-eyes", "sha1": ""},
            "bosh_ha_directors.primary.release.url is https://example.org/it.tgz, so "
            "bosh_ha_directors.primary.release.sha1 is needed: nothing else tells that the right file came",
        ),
        (
            "primary.release",
            ["{at}/release.tgz"],
            "bosh_ha_directors.primary.release is neither a path or URL nor a mapping with url and sha1",
        ),
        (
            "primary.release",
            {"url": 283},
            "bosh_ha_directors.primary.release is neither a path or URL nor a mapping with url and sha1",
        ),
        # secrets
        (
            "meta.vars_store",
            ABSENT,
            "bosh_ha_directors.meta has neither client_secret and ca_cert nor vars_store, from which it would be read",
        ),
        (
            "meta.vars_store",
            "{at}/vars.yml",
            [
                "bosh_ha_directors.meta.client_secret is not set, "
                "and the vars store {at}/vars.yml has no admin_password",
                "bosh_ha_directors.meta.ca_cert is not set, and the vars store {at}/vars.yml has no director_ssl.ca",
            ],
        ),
        (
            "meta.ca_cert",
            "{at}/none.pem",
            "bosh_ha_directors.meta.ca_cert is neither a PEM text nor the path of a file that can be read",
        ),
        ("meta.ca_cert", {"ca": "not-for-eyes"}, "bosh_ha_directors.meta.ca_cert is neither a PEM text nor a path"),
    ],
)
def test_a_mistake_in_a_variable_is_one_sentence(site, tmp_path, path, value, said):
    directors, ssh = site
    expected = filled_in(said if isinstance(said, list) else [said], tmp_path)
    directors = changed(directors, path, filled_in(value, tmp_path))
    if path.endswith(".address") and value is not ABSENT:
        ssh = following(ssh, directors)
    assert inputs.problems(directors, ssh) == expected


def test_a_director_to_throw_away_may_be_there_and_is_looked_at_like_the_others(site):
    directors, ssh = site
    spare = {key: value for key, value in directors["meta"].items() if key != "deployment"} | {"address": "10.10.0.9"}
    assert inputs.problems(directors | {"rehearsal": spare}, ssh) == []
    assert inputs.director({"rehearsal": {}}, "rehearsal")["deployment"] == "bosh-rehearsal"
    for change, said in (
        ("x", "bosh_ha_directors.rehearsal is no mapping"),
        (spare | {"address": directors["meta"]["address"]}, "bosh_ha_directors.rehearsal.address are both"),
        (spare | {"adress": "x"}, "bosh_ha_directors.rehearsal has the unknown key adress"),
        (
            spare | {"manifest": "/not/there"},
            "bosh_ha_directors.rehearsal.manifest: the file /not/there cannot be read",
        ),
    ):
        found = inputs.problems(directors | {"rehearsal": change}, ssh)
        assert len(found) == 1 and said in found[0]


def test_keys_that_are_no_words_are_named_too(site):
    directors, ssh = site
    assert inputs.problems(directors | {1: {}, "x": {}}, ssh) == [
        "bosh_ha_directors has the unknown key 1",
        "bosh_ha_directors has the unknown key x",
    ]
    assert inputs.problems(directors | {"meta": directors["meta"] | {1: 2, "x": 3}}, ssh) == [
        "bosh_ha_directors.meta has the unknown key 1",
        "bosh_ha_directors.meta has the unknown key x",
    ]


def test_one_ipv6_address_in_two_spellings(site):
    directors, ssh = site
    directors = changed(changed(directors, "micro.address", "fd00::3"), "meta.address", "fd00:0::3")
    assert inputs.problems(directors, following(ssh, directors)) == [
        "bosh_ha_directors.micro.address and bosh_ha_directors.meta.address are both fd00::3"
    ]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "bosh-meta.yml",
            "name: [a\n",
            "bosh_ha_directors.meta.manifest: the file {at}/bosh-meta.yml is no YAML: ",
        ),
        (
            "bosh-meta.yml",
            "- name: a\n",
            "bosh_ha_directors.meta.manifest: the file {at}/bosh-meta.yml holds no mapping",
        ),
        ("bosh-meta.yml", "", "bosh_ha_directors.meta.manifest: the file {at}/bosh-meta.yml holds no mapping"),
        (
            "bosh-meta.yml",
            b"name: \xff\n",
            "bosh_ha_directors.meta.manifest: the file {at}/bosh-meta.yml is no YAML: ",
        ),
        ("ops.yml", "{type: remove}", "bosh_ha_directors.micro.ops_files[0]: the file {at}/ops.yml holds no list"),
        (
            "cloud-micro.yml",
            "[]",
            "bosh_ha_directors.micro.cloud_config: the file {at}/cloud-micro.yml holds no mapping",
        ),
        (
            "micro-state.json",
            "{",
            "bosh_ha_directors.micro.state_file: the state file {at}/micro-state.json cannot be read as JSON: ",
        ),
        (
            "micro-state.json",
            json.dumps(GOOD | {"disks": []}),
            "bosh_ha_directors.micro.state_file: the state file {at}/micro-state.json is damaged: "
            "current_disk_id k1 is not among its disks",
        ),
        (
            "meta-store.yml",
            "director_ssl: {ca: x}\n",
            "bosh_ha_directors.meta.client_secret is not set, and the vars store {at}/meta-store.yml "
            "has no admin_password",
        ),
        (
            "meta-store.yml",
            "admin_password: not-for-eyes\ndirector_ssl: not-for-eyes\n",
            "bosh_ha_directors.meta.ca_cert is not set, and the vars store {at}/meta-store.yml has no director_ssl.ca",
        ),
        (
            "meta-store.yml",
            "admin_password: *not-for-eyes\n",
            "bosh_ha_directors.meta.vars_store: the file {at}/meta-store.yml is no YAML: found undefined alias",
        ),
        (
            "meta-store.yml",
            "admin_password: !not!for-eyes x\n",
            "bosh_ha_directors.meta.vars_store: the file {at}/meta-store.yml is no YAML: "
            "found undefined tag handle (not shown), line 1, column 17",
        ),
        (
            "id_ed25519",
            "ssh-ed25519 AAAA me@here\n",
            "ansible_ssh_private_key_file: the file {at}/id_ed25519 is no private key",
        ),
        (
            "cloud-micro.yml",
            CLOUD.format(static="10.10.0.2 - 10.10.0.3"),
            "bosh_ha_directors.micro.cloud_config: a static range of {at}/cloud-micro.yml holds 10.10.0.3, its own: "
            "a director refuses that",
        ),
        (
            "cloud-micro.yml",
            CLOUD.format(static="10.10.0.5"),
            "bosh_ha_directors.micro.cloud_config: a static range of {at}/cloud-micro.yml holds 10.10.0.5, "
            "Meta's own, and Meta takes it over with Micro's data: a director refuses that",
        ),
        (
            "cloud-primary.yml",
            CLOUD.format(static="10.10.0.4/31"),
            "bosh_ha_directors.primary.cloud_config: a static range of {at}/cloud-primary.yml holds 10.10.0.4, "
            "its own: a director refuses that",
        ),
        (
            "cloud-primary.yml",
            "networks: {name: default}\n",
            "bosh_ha_directors.primary.cloud_config: the file {at}/cloud-primary.yml is no cloud config: "
            "networks is no list",
        ),
        (
            "cloud-primary.yml",
            "networks: [default]\n",
            "bosh_ha_directors.primary.cloud_config: the file {at}/cloud-primary.yml is no cloud config: "
            "an entry of networks is no mapping",
        ),
        (
            "cloud-primary.yml",
            "networks: [{name: default, subnets: 10.10.0.0/24}]\n",
            "bosh_ha_directors.primary.cloud_config: the file {at}/cloud-primary.yml is no cloud config: "
            "subnets is no list",
        ),
        (
            "cloud-primary.yml",
            "networks: [{name: default, subnets: [10.10.0.0/24]}]\n",
            "bosh_ha_directors.primary.cloud_config: the file {at}/cloud-primary.yml is no cloud config: "
            "an entry of subnets is no mapping",
        ),
        (
            "cloud-primary.yml",
            "networks: [{name: default, subnets: [{range: 10.10.0.0/33}]}]\n",
            "bosh_ha_directors.primary.cloud_config: the file {at}/cloud-primary.yml is no cloud config: "
            "the range 10.10.0.0/33 is no network",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(site, tmp_path, file, text, said):
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = inputs.problems(*site)
    assert len(found) == 1
    # What a parser says itself differs from one to the other.
    assert found[0].startswith(filled_in(said, tmp_path))
    assert said.endswith((": ", "alias")) or found[0] == filled_in(said, tmp_path)
    assert "not-for-eyes" not in found[0]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("bosh_ha_known_hosts", "", "bosh_ha_known_hosts is not set"),
        *(
            (
                f"hosts.{name}.ansible_ssh_private_key_file",
                "{at}/none",
                "ansible_ssh_private_key_file: the file {at}/none cannot be read: No such file or directory",
            )
            for name in inputs.NAMES
        ),
        (
            "hosts.meta.ansible_ssh_private_key_file",
            "{at}/ops.yml",
            "ansible_ssh_private_key_file: the file {at}/ops.yml is no private key",
        ),
        ("hosts.primary", ABSENT, "the inventory has no host primary"),
        ("hosts.micro.ansible_user", "", "ansible_user of the host micro is not set"),
        ("hosts.meta.ansible_host", ABSENT, "ansible_host of the host meta is not set"),
        (
            "hosts.meta.ansible_host",
            "10.10.0.4",
            "ansible_host of the host meta is 10.10.0.4, but bosh_ha_directors.meta.address is 10.10.0.5",
        ),
        (
            "hosts.meta.ansible_host",
            "meta.example.com",
            "ansible_host of the host meta is meta.example.com, but bosh_ha_directors.meta.address is 10.10.0.5",
        ),
    ],
)
def test_a_mistake_in_what_ssh_needs_is_one_sentence(site, tmp_path, path, value, said):
    directors, ssh = site
    assert inputs.problems(directors, changed(ssh, path, filled_in(value, tmp_path))) == [filled_in(said, tmp_path)]


def test_one_key_for_all_is_told_once(site):
    directors, ssh = site
    for host in ssh["hosts"].values():
        host["ansible_ssh_private_key_file"] = "/none"
    assert len(inputs.problems(directors, ssh)) == 1


def test_a_backup_before_the_freeze_needs_a_directory(site, tmp_path):
    directors, ssh = site
    (tmp_path / "file").touch()
    for backup, path, words in (
        (True, "", ["bosh_ha_backup_dir is not set, and bosh_ha_backup wants a backup of Micro and Primary in it"]),
        (True, str(tmp_path / "file"), [f"bosh_ha_backup_dir: {tmp_path}/file is no directory"]),
        (True, str(tmp_path / "nowhere"), []),
        (False, "", []),
    ):
        assert inputs.problems(directors, ssh | {"backup": backup, "backup_dir": path}) == words


def test_known_hosts_that_is_not_set_at_all(site):
    assert inputs.problems(site[0], {}) == ["bosh_ha_known_hosts is not set"]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "networks:\n",
        "networks: ((networks))\n",
        "networks: [((network))]\n",
        "networks: [{name: a, subnets: ((subnets))}]\n",
        "networks: [{name: a, subnets: [((subnet))]}]\n",
        "networks: [{name: a, subnets: [{range: ((range))}]}]\n",
        "networks: [{name: a, subnets: [{range: ((net)).0/24}]}]\n",
        "networks: [{name: a, type: dynamic, subnets: [{cloud_properties: {}}]}]\n",
        "networks: [{name: a, subnets: [{range: 10.10.0.0/24, static: ((static)), reserved: [((reserved))]}]}]\n",
        # What BOSH refuses in its own words.
        "networks: [{name: a, subnets: [{range: 10.10.0.0/24, static: 5, reserved: {x-y: z}}]}]\n",
        "networks: [{name: a, subnets: [{range: 10.10.0.0/24, static: [10.10.0.9-10.10.0.1, 'fd00::1-fd00::9']}]}]\n",
    ],
)
def test_what_a_cloud_config_leaves_open_is_for_bosh_to_judge(site, tmp_path, text):
    for name in ("cloud-micro.yml", "cloud-primary.yml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert inputs.problems(*site) == []


YAML = st.recursive(
    st.none() | st.integers() | st.sampled_from(["((x))", "default", "10.10.0.0/24", "10.10.0.3-10.10.0.9", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["networks", "subnets", "range", "static", "reserved"]),
            inner,
            max_size=3,
        )
    ),
)


# Each example writes a site of its own, so no deadline.
@settings(deadline=None)
@given(YAML, YAML)
def test_whatever_a_cloud_config_holds_is_told_in_sentences(networks, subnets):
    with tempfile.TemporaryDirectory() as at:
        directors, ssh = make_site(Path(at))
        for config in ({"networks": networks}, {"networks": [{"subnets": subnets}]}):
            (Path(at) / "cloud-primary.yml").write_text(json.dumps(config), encoding="utf-8")
            assert all("cloud-primary.yml" in problem for problem in inputs.problems(directors, ssh))


@settings(deadline=None)
@given(YAML, st.sampled_from(sorted({"address", "manifest", "ops_files", "vars_store", "cloud_config", "release"})))
def test_whatever_a_variable_holds_is_told_in_sentences(value, key):
    with tempfile.TemporaryDirectory() as at:
        directors, ssh = make_site(Path(at))
        for name in inputs.NAMES:
            found = inputs.problems(changed(directors, f"{name}.{key}", value), ssh)
            assert all(problem.startswith("bosh_ha_directors.") for problem in found)


# Not `password`, which is in the name of the key: only letters and digits that nothing else has.
SECRETS = st.text(string.ascii_uppercase + string.digits, min_size=8, max_size=24).map(lambda text: f"Q{text}")
BROKEN = st.sampled_from(
    [
        "admin_password: *{}\n",
        "admin_password: !{}\n",
        "admin_password: !{}!x y\n",
        "admin_password: &{0} a\nother: &{0} *x\n",
        "admin_password: %{}\n",
        "admin_password: @{}\n",
        "admin_password: `{}\n",
        'admin_password: "\\{}\n',
        'admin_password: "{}\n',
        "admin_password: '{}\n",
        "admin_password: [{}\n",
        "admin_password: {{{}: }}}}\n",
        "admin_password: a: {}\n",
        "admin_password: {}\n\tother: x\n",
        "? [{}]\n: {{}}\n? {{{}: 1}}\n",
        "%{} 1\n---\n",
        "%TAG !{} x\n---\n",
        "--- {}\n--- {}\n",
        "[admin_password, {}]\n",
        "{}\n",
        "admin_passwd: {}\n",
        "admin_password: {}\x00\n",
    ]
)


@settings(deadline=None)
@given(BROKEN, SECRETS)
def test_a_secret_of_a_broken_vars_store_is_in_no_sentence(broken, secret):
    with tempfile.TemporaryDirectory() as at:
        directors, ssh = make_site(Path(at))
        (Path(at) / "meta-store.yml").write_text(broken.format(secret, secret), encoding="utf-8")
        found = inputs.problems(directors, ssh)
        assert found
        assert all("bosh_ha_directors.meta" in problem and "meta-store.yml" in problem for problem in found)
        assert not any(secret in problem for problem in found)


@pytest.mark.parametrize("port", [1, 65535, "8443", "", None])
def test_a_port_may_be_a_text(site, port):
    directors, ssh = site
    assert inputs.problems(changed(directors, "meta.port", port), ssh) == []


# director


def test_the_defaults_are_in_the_seeds_layout():
    directors = {"micro": {"address": "10.10.0.3"}, "primary": {"address": "10.10.0.4", "release": "/r.tgz"}}
    micro, primary = (inputs.director(directors, name) for name in ("micro", "primary"))
    workspace = "~/workspace/deployments"
    assert micro["manifest"] == f"{workspace}/microbosh/micro_bosh.yml"
    assert micro["state_file"] == f"{workspace}/microbosh/micro_bosh-state.json"
    assert (micro["port"], micro["client"], micro["alias"]) == (25555, "admin", "micro")
    assert "deployment" not in micro
    assert (primary["deployment"], primary["instance_group"]) == ("bosh-primary", "bosh")
    assert primary["release"] == {"url": "/r.tgz", "sha1": ""}
    assert primary["stemcell"] == {"url": "", "sha1": ""}


def test_what_is_given_stays_and_what_is_empty_does_not():
    given_values = {"address": "10.10.0.5", "client": "bosh_ha", "alias": "", "deployment": None}
    release = {"url": "/r.tgz", "sha1": None, "name": "bosh"}
    meta = inputs.director({"meta": given_values | {"release": release}}, "meta")
    assert (meta["client"], meta["alias"], meta["deployment"]) == ("bosh_ha", "meta", "bosh-meta")
    assert meta["release"] == {"url": "/r.tgz", "sha1": "", "name": "bosh"}


def test_the_state_file_lies_beside_the_manifest():
    given_values = {"address": "10.10.0.3", "manifest": "/srv/it.yaml"}
    assert inputs.director({"micro": given_values}, "micro")["state_file"] == "/srv/it-state.json"


def test_a_director_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"^bosh_ha_directors\.meta is not set$"):
        inputs.director({"micro": {}}, "meta")


# Texts that ansible-core has taken for something else, as in answers to AWX


@pytest.mark.parametrize("key", ["client", "client_secret", "alias", "deployment", "instance_group"])
@pytest.mark.parametrize(
    ("value", "text"), [(12345, "12345"), (0, "0"), (None, ""), (1.1, None), (True, None), (False, None), ([1], None)]
)
def test_text_of_digits_stays_and_one_that_is_lost_is_refused(key, value, text):
    given = {"primary": {"address": "10.10.0.4", key: value}}
    found = list(inputs._kinds("primary", inputs._given(given["primary"])))
    if text is None:
        [sentence] = found
        assert sentence.startswith(f"bosh_ha_directors.primary.{key}: Ansible has read a {type(value).__name__}")
    else:
        assert found == []
        default = inputs.director({"primary": {"address": "10.10.0.4"}}, "primary")[key]
        assert inputs.director(given, "primary")[key] == (text or default)
