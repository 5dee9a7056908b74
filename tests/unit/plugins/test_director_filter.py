# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a director is reached, and what the filters say of what they cannot use."""

from __future__ import annotations

import importlib
import itertools
import re
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.filter import director
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NEXT, PHASES

SECRET = "not-for-eyes"
STORE = f"admin_password: {SECRET}\ndirector_ssl:\n  ca: a PEM text\n"


@pytest.fixture
def site(tmp_path):
    """Writes a vars store, and gives the directors of whom Micro has it, and its path."""

    def write(content):
        path = tmp_path / "micro-store.yml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return {"micro": {"address": "10.10.0.3", "vars_store": str(path)}}, str(path)

    return write


def refused(directors, *more):
    """The sentence of a refusal that neither shows a secret nor has a cause that does."""
    with pytest.raises(AnsibleFilterError) as caught:
        director.director_args(directors, "micro", *more)
    told = str(caught.value)
    assert "\n" not in told and SECRET not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return told


# director_args


def test_secret_and_ca_come_from_the_vars_store(site):
    assert director.director_args(site(STORE)[0], "micro") == {
        "environment": "10.10.0.3",
        "client": "admin",
        "client_secret": SECRET,
        "ca_cert": "a PEM text",
    }


def test_what_is_given_comes_before_the_vars_store(site):
    directors, _path = site(STORE)
    directors["micro"] |= {"client": "ops", "client_secret": "given", "ca_cert": "~/ca.pem"}
    found = director.director_args(directors, "micro", {"cli": "bosh7", "all_proxy": ""})
    assert found == {
        "environment": "10.10.0.3",
        "client": "ops",
        "client_secret": "given",
        "ca_cert": "~/ca.pem",
        "cli": "bosh7",
    }


def test_a_vars_store_in_the_home_directory(site, monkeypatch):
    directors, path = site(STORE)
    monkeypatch.setenv("HOME", str(Path(path).parent))
    directors["micro"]["vars_store"] = "~/micro-store.yml"
    assert director.director_args(directors, "micro")["client_secret"] == SECRET


def test_a_secret_of_digits_is_a_text(site):
    assert director.director_args(site(STORE.replace(SECRET, "12345"))[0], "micro")["client_secret"] == "12345"


@pytest.mark.parametrize(
    ("store", "option", "key"),
    [
        ("admin_password:\ndirector_ssl: {ca: PEM}\n", "client_secret", "admin_password"),
        ("admin_password: ''\ndirector_ssl: {ca: PEM}\n", "client_secret", "admin_password"),
        ("admin_password: ~\ndirector_ssl: {ca: PEM}\n", "client_secret", "admin_password"),
        (f"admin_password: {{{SECRET}: 1}}\n", "client_secret", "admin_password"),
        (f"admin_password: [{SECRET}]\n", "client_secret", "admin_password"),
        ("admin_password: yes\n", "client_secret", "admin_password"),
        (f"other: {SECRET}\n", "client_secret", "admin_password"),
        ("", "client_secret", "admin_password"),
        (f"- {SECRET}\n", "client_secret", "admin_password"),
        (f"{SECRET}\n", "client_secret", "admin_password"),
        (f"admin_password: {SECRET}\n", "ca_cert", "director_ssl.ca"),
        (f"admin_password: {SECRET}\ndirector_ssl:\n", "ca_cert", "director_ssl.ca"),
        (f"admin_password: {SECRET}\ndirector_ssl: {{ca: }}\n", "ca_cert", "director_ssl.ca"),
        (f"admin_password: {SECRET}\ndirector_ssl: {SECRET}\n", "ca_cert", "director_ssl.ca"),
        (f"admin_password: {SECRET}\ndirector_ssl: [{SECRET}]\n", "ca_cert", "director_ssl.ca"),
    ],
)
def test_what_the_vars_store_has_not_is_named(site, store, option, key):
    directors, path = site(store)
    told = refused(directors)
    assert told == f"bosh_ha_directors.micro.{option} is not set, and the vars store {path} has no {key}"


@pytest.mark.parametrize(
    "store",
    [
        STORE.encode() + b"other: \xff\n",
        b"admin_password: \x00" + SECRET.encode(),
        f"admin_password: '{SECRET}\n",
        # The parser quotes an alias and a tag.
        f"admin_password: *{SECRET}\n",
        f"admin_password: !{SECRET}! x\n",
        f"admin_password: {{{SECRET}\n",
    ],
)
def test_a_vars_store_that_cannot_be_read_is_named_and_not_shown(site, store):
    directors, path = site(store)
    told = f"bosh_ha_directors.micro.client_secret is not set, and the vars store {path} is no YAML in UTF-8"
    assert refused(directors) == told


def test_a_vars_store_that_is_not_there_is_named(site, tmp_path):
    directors, path = site(STORE)
    Path(path).unlink()
    told = f"bosh_ha_directors.micro.client_secret is not set, and the vars store {path} does not exist; "
    assert refused(directors) == told + "create-env writes it where it is new"
    directors["micro"]["vars_store"] = str(tmp_path)
    assert refused(directors).endswith(f"the vars store {tmp_path} cannot be read: Is a directory")


def test_a_director_that_cannot_be_reached_is_named(site):
    directors, _path = site(STORE)
    assert refused({}) == "bosh_ha_directors has no micro"
    for nothing in (None, ""):
        assert refused({"micro": nothing}) == "bosh_ha_directors.micro is not set"
    for other in ([], "10.10.0.3", 5):
        assert refused({"micro": other}) == "bosh_ha_directors.micro is no mapping"
        assert refused(other) == "bosh_ha_directors is no mapping with the keys micro, primary and meta"
    assert refused({"micro": {}}) == "bosh_ha_directors.micro.address is not set"
    directors["micro"]["vars_store"] = ""
    assert refused(directors) == "bosh_ha_directors.micro has neither client_secret nor vars_store"
    directors["micro"]["client_secret"] = SECRET
    assert refused(directors) == "bosh_ha_directors.micro has neither ca_cert nor vars_store"


@pytest.mark.parametrize(
    ("address", "port", "environment"),
    [
        ("10.10.0.3", None, "10.10.0.3"),
        ("10.10.0.3", "", "10.10.0.3"),
        ("10.10.0.3", 25555, "10.10.0.3"),
        ("10.10.0.3", "25555", "10.10.0.3"),
        ("10.10.0.3", 8443, "https://10.10.0.3:8443"),
        ("10.10.0.3", "8443", "https://10.10.0.3:8443"),
        # The CLI takes the colons of a bare one for a port.
        ("fd00::3", None, "https://[fd00::3]:25555"),
        ("fd00::3", 8443, "https://[fd00::3]:8443"),
    ],
)
def test_the_port_reaches_the_cli(site, address, port, environment):
    directors, _path = site(STORE)
    directors["micro"] |= {"address": address, "port": port}
    assert director.director_args(directors, "micro")["environment"] == environment


@pytest.mark.parametrize("port", [0, -1, 65536, 123456, "https", "8443/", 84.5, True, [8443], {}, "٣"])
def test_what_is_no_port_is_named(site, port):
    directors, _path = site(STORE)
    directors["micro"]["port"] = port
    assert refused(directors) == "bosh_ha_directors.micro.port is no port: a number from 1 to 65535"


# has_credentials


def test_one_whose_vars_store_is_still_to_be_written_cannot_be_asked(site):
    directors, path = site(STORE)
    assert director.has_credentials(directors, "micro")
    Path(path).unlink()
    assert not director.has_credentials(directors, "micro")
    directors["micro"]["client_secret"] = SECRET
    assert not director.has_credentials(directors, "micro")
    directors["micro"]["ca_cert"] = "a PEM text"
    assert director.has_credentials(directors, "micro")


def test_what_else_is_wrong_with_credentials_is_for_director_args_to_say(site, monkeypatch):
    directors, path = site("")
    assert director.has_credentials(directors, "micro")
    monkeypatch.setenv("HOME", str(Path(path).parent))
    assert director.has_credentials({"micro": {"vars_store": "~/micro-store.yml"}}, "micro")
    assert not director.has_credentials({"micro": {"vars_store": "~/none.yml"}}, "micro")
    assert director.has_credentials({"micro": {}}, "micro")
    with pytest.raises(AnsibleFilterError, match=r"^bosh_ha_directors\.micro is not set$"):
        director.has_credentials({"micro": None}, "micro")


# next_step, phase_before


def test_every_phase_has_its_place_and_a_next_step():
    assert [director.next_step(phase) for phase in PHASES] == [NEXT[phase] for phase in PHASES]
    for (left, phase), (right, other) in itertools.product(enumerate(PHASES), repeat=2):
        assert director.phase_before(phase, other) is (left < right)


@pytest.mark.parametrize("phase", ["", "Frozen", "gone", None, 3, ["frozen"]])
def test_a_phase_that_there_is_not_is_named(phase):
    told = re.escape(f"there is no phase {phase!r}; the phases are {', '.join(PHASES)}")
    for ask in (
        lambda: director.next_step(phase),
        lambda: director.phase_before(phase, "frozen"),
        lambda: director.phase_before("frozen", phase),
        lambda: director.pair_summary_lines({}, phase, {}, {}),
    ):
        with pytest.raises(AnsibleFilterError, match=f"^{told}$"):
            ask()


# their documentation


def test_every_filter_has_its_documentation():
    here = Path(director.__file__).parent
    package = director.__name__.rpartition(".")[0]
    modules = [
        importlib.import_module(f"{package}.{path.stem}") for path in here.glob("*.py") if path.stem != "__init__"
    ]
    exported = {name for module in modules for name in module.FilterModule().filters()}
    assert {path.stem for path in here.glob("*.yml")} == exported
    for name in exported:
        assert yaml.safe_load((here / f"{name}.yml").read_text(encoding="utf-8"))["DOCUMENTATION"]["name"] == name
