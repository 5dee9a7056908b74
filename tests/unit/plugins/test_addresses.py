# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses are compared as addresses, wherever they stand."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import addresses, agent_settings, manifests
from ansible_collections.bosh.ha.plugins.module_utils.cli_config import Aliases
from hypothesis import given
from hypothesis import strategies as st

V4, V6 = "10.0.0.6", "fd00::6"
NAMED = {
    V6: [
        "fd00::6",
        "FD00:0:0::6",
        "https://[fd00::6]:25555",
        "nats://nats:pw@[FD00::0:6]:4222,nats://[fd00::9]:4222",
        "host:fd00::6",
        "base:fd00::6",
        "fd00::6: connection refused",
        "ask fd00::6.",
        "127.0.0.1,fd00::6,::1",
        "fd00::5-fd00::6",
        "fd00::6/64",
        "fd00::6%eth0",
    ],
    V4: [
        "10.0.0.6",
        "10.0.0.6:25555",
        "https://mbus:pw@10.0.0.6:6868",
        "user:10.0.0.6:22:x",
        "10.0.0.31,10.0.0.6",
        "10.0.0.1-10.0.0.6",
        "10.0.0.6/32",
        "::ffff:10.0.0.6",
        "[::ffff:a00:6]:22",
        "10.0.0.6.nip.io",
        "app.10.0.0.6.nip.io",
        "ask 10.0.0.6.",
    ],
}
OTHERS = {
    V6: [
        "fd00::6a",
        "fd00::600",
        "afd00::6",
        "interfd00::6",
        "fd00::6:4222",
        "fd00::60-fd00::6f",
        "00:11:22:33:44:06",
        "12:30:06",
        "[::]:6868",
        "",
    ],
    V4: [
        "10.0.0.60",
        "110.0.0.6",
        "1.10.0.0.6",
        "10.0.0.6.7",
        "10.0.0.0/24",
        "10.0.0.5-10.0.0.7",
        "v10.0.0.6",
        "::6",
        "",
    ],
}


@pytest.mark.parametrize(("address", "text"), [(address, text) for address, texts in NAMED.items() for text in texts])
def test_a_text_that_names_the_address(address, text):
    assert manifests.address_mentions({"x": [text]}, address) == ["/x/0"]
    new = {V4: "10.0.0.7", V6: "fd00::7"}[address]
    moved = addresses.replaced(text, address, new)
    assert addresses.mentions(moved, new) and not addresses.mentions(moved, address)


@pytest.mark.parametrize(("address", "text"), [(address, text) for address, texts in OTHERS.items() for text in texts])
def test_a_text_that_names_another_one(address, text):
    assert manifests.address_mentions({"x": text}, address) == []
    assert addresses.replaced(text, address, "moved") == text


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda one: one.ipv4_mapped is None))


@given(ADDRESSES, ADDRESSES)
def test_one_address_names_another_only_if_it_is_the_same(one, other):
    for text in (
        str(one),
        one.exploded.upper(),
        f"x,{one},y",
        f"https://{addresses.replaced('[::1]', '::1', str(one))}:1/",
    ):
        assert addresses.mentions(text, str(one))
        assert addresses.mentions(text, str(other)) == (one == other)


def test_brackets_are_there_if_the_address_needs_them():
    assert addresses.replaced("https://10.0.0.6:6868 10.0.0.6", V4, "fd00::7") == "https://[fd00::7]:6868 fd00::7"
    assert addresses.replaced("https://[fd00::6]:6868/", V6, "10.0.0.7") == "https://10.0.0.7:6868/"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("FD00:0:0::6", "fd00::6", True),
        ("[fd00::6]", "fd00::6", True),
        ("::ffff:10.0.0.6", "10.0.0.6", True),
        ("10.0.0.6", "10.0.0.60", False),
        ("Bosh.example.com.", "bosh.example.com", True),
        ("10.0.0.6", "bosh.example.com", False),
        ("", "", False),
        (None, None, False),
        (167772166, "10.0.0.6", False),
    ],
)
def test_same_host(one, other, equal):
    assert addresses.same(one, other) is equal


@pytest.mark.parametrize(
    ("text", "address", "held"),
    [
        ("10.0.0.4-10.0.0.9", "10.0.0.6", True),
        ("10.0.0.4 - 10.0.0.9", "10.0.0.60", False),
        ("fd00::-fd00::ff", "FD00::6", True),
        ("10.0.0.0/24", "::ffff:10.0.0.6", True),
        ("fd00::/64", "10.0.0.6", False),
        ("10.0.0.6", "10.0.0.6", True),
        ("((static))", "10.0.0.6", None),
        ("10.0.0.4-", "10.0.0.4", None),
        ("10.0.0.6/33", "10.0.0.6", None),
        ("", "10.0.0.6", None),
    ],
)
def test_ranges(text, address, held):
    assert addresses.holds(text, address) is held


def test_a_number_is_no_address():
    assert addresses.parse(6) is None
    assert addresses.parse(ipaddress.ip_address(V4)) == ipaddress.ip_address(V4)


def test_an_alias_in_another_form_of_the_address_is_the_same():
    aliases = Aliases({"meta": "https://[FD00:0::6]:25555"}, {"meta": ""})
    assert aliases.same("meta", "https://[fd00::6]:25555", "")
    assert aliases.same("meta", "fd00::6", "")
    assert not aliases.same("meta", "fd00::6a", "")
    assert Aliases({"meta": "https://bosh.example.com:25555"}, {}).same("meta", "bosh.example.com", "")


def test_a_blobstore_is_moved_by_its_address():
    endpoint = "https://[FD00:0::6]:25250"
    store = {"provider": "dav", "options": {"endpoint": endpoint}}
    settings = agent_settings.Settings({"env": {"bosh": {"blobstores": [store]}}}, {}, "/x", "/y", False)
    moved = agent_settings.with_blobstore_host(settings, {V6: "fd00::7"})
    assert moved["blobstores"][0]["options"]["endpoint"] == "https://[fd00::7]:25250"
    assert agent_settings.with_blobstore_host(settings, {"fd00::6a": "fd00::7"}) == {}
