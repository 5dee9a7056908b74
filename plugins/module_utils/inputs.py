# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inputs: each director with its defaults filled in, and what is wrong, said before anything is touched."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.create_env_state import DamagedState, read_state
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NAMES
from ansible_collections.bosh.ha.plugins.module_utils.tcp_knock import PORT

try:
    import netaddr
except ImportError:  # the control node has it; told in a sentence like every other problem
    netaddr = None

#: Keys that need not be there: a director that is thrown away again.
OPTIONAL = ("rehearsal",)
#: Who uploads its cloud config and deploys with it: Micro first, and Meta after it took Micro's data over.
DEPLOYS = {"micro": "primary", "primary": "meta", "meta": "primary"}
_WORKSPACE = "~/workspace/deployments"
_MANIFESTS = {
    "micro": f"{_WORKSPACE}/microbosh/micro_bosh.yml",
    "primary": f"{_WORKSPACE}/boshes/bosh-primary.yml",
    "meta": f"{_WORKSPACE}/boshes/bosh-meta.yml",
    "rehearsal": f"{_WORKSPACE}/boshes/bosh-rehearsal.yml",
}
_COMMON = {
    "address": "",
    "port": PORT,
    "client": "admin",
    "client_secret": "",
    "ca_cert": "",
    "ops_files": [],
    "vars_files": [],
    "vars_store": "",
    "cloud_config": "",
}
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_VARIABLE = "(("

#: What is text and may be of digits only.
_TEXTS = ("client", "client_secret", "alias", "deployment", "instance_group")

Address = Any  # netaddr.IPAddress, which need not be there to be named


def director(directors: dict[str, Any], name: str) -> dict[str, Any]:
    """One director of bosh_ha_directors with every default filled in; paths are in the seed's layout by default.

    Raises ValueError where there is no such director.
    """
    given = directors.get(name)
    if not isinstance(given, dict):
        raise ValueError(f"bosh_ha_directors.{name} is not set")
    filled: dict[str, Any] = {**_COMMON, "alias": name, "manifest": _MANIFESTS[name]} | _given(given)
    if name == "micro":
        filled.setdefault("state_file", re.sub(r"\.ya?ml$", "", filled["manifest"]) + "-state.json")
    else:
        filled.setdefault("deployment", f"bosh-{name}")
        filled.setdefault("instance_group", "bosh")
        for kind in ("stemcell", "release"):
            filled[kind] = _artifact(filled.get(kind))
    return filled


def _given(given: dict[str, Any]) -> dict[str, Any]:
    # An empty value, as a lookup gives for what is not there, means the default.
    filled = {key: value for key, value in given.items() if value not in (None, "")}
    # ansible-core takes digits for a number, in answers to AWX, too.
    return {key: str(value) if key in _TEXTS and _is_number(value) else value for key, value in filled.items()}


def _is_number(value: Any) -> bool:
    # Ansible's own are of a class below int.
    return isinstance(value, int) and not isinstance(value, bool)


def _artifact(given: Any) -> dict[str, str]:
    wanted = {"url": given} if isinstance(given, str) else _given(given or {})
    return {"url": "", "sha1": ""} | wanted


def problems(directors: Any, ssh: dict[str, Any]) -> list[str]:
    """Everything that is wrong with the inputs and can be seen on the control node alone, a sentence each.

    `ssh` has bosh_ha_known_hosts and `hosts`: by their names those that the inventory has, each with ansible_host,
    ansible_user and, where a file holds the key, ansible_ssh_private_key_file. Without `hosts` none is looked at.
    `backup` is whether there is one before the freeze, `backup_dir` where it goes.
    """
    if netaddr is None:
        return [f"the Python of the control node, {sys.executable}, has no netaddr: install it there"]
    if not isinstance(directors, dict):
        return ["bosh_ha_directors is no mapping with the keys micro, primary and meta"]
    found: list[str] = [
        f"bosh_ha_directors.{name} is not set" for name in NAMES if not isinstance(directors.get(name), dict)
    ]
    unknown = sorted(set(directors) - {*NAMES, *OPTIONAL}, key=str)
    found += [f"bosh_ha_directors has the unknown key {name}" for name in unknown]
    found += [
        f"bosh_ha_directors.{name} is no mapping" for name in OPTIONAL if not isinstance(directors.get(name, {}), dict)
    ]
    names = [name for name in (*NAMES, *OPTIONAL) if name in directors]
    if not found:
        found += [problem for name in names for problem in _kinds(name, _given(directors[name]))]
    if found:
        return found
    filled = {name: director(directors, name) for name in names}
    for name, values in filled.items():
        unknown = sorted(set(values) - _known(name), key=str)
        found += [f"bosh_ha_directors.{name} has the unknown key {key}" for key in unknown]
        found += _files(name, values)
        found += _secrets(name, values)
    found += _addresses(filled)
    if not found:
        found += _networks(filled)
    return [*found, *_ssh(ssh, filled), *_backup(ssh)]


def _kinds(name: str, given: dict[str, Any]) -> Iterator[str]:
    """Values of another kind than is asked for. They stay out of the sentence: they may be a file's content."""
    at = f"bosh_ha_directors.{name}"
    for key in ("manifest", "state_file", "vars_store", "cloud_config"):
        if key in given and not _is_path(given[key]):
            yield f"{at}.{key} is no path"
    for key in _TEXTS:
        if key in given and not isinstance(given[key], str):
            kind = next((one.__name__ for one in (bool, float, list, dict) if isinstance(given[key], one)), "date")
            yield f"{at}.{key}: Ansible has read a {kind}, whose text is lost; set it in quotes"
    for key in ("ops_files", "vars_files"):
        paths = given.get(key, [])
        if not isinstance(paths, (list, tuple)) or not all(_is_path(path) for path in paths):
            yield f"{at}.{key} is no list of paths"
    if "port" in given and not is_port(given["port"]):
        yield f"{at}.port is no port: a number from 1 to 65535"
    if not isinstance(given.get("ca_cert", ""), str):
        yield f"{at}.ca_cert is neither a PEM text nor a path"
    for key in ("stemcell", "release"):
        artifact = given.get(key, "")
        url = artifact.get("url") or "" if isinstance(artifact, dict) else artifact
        if not isinstance(url, str):
            yield f"{at}.{key} is neither a path or URL nor a mapping with url and sha1"


def is_port(value: Any) -> bool:
    """Whether a value, a number or its text, is a TCP port."""
    # A text of six digits is none, and int() takes more than digits.
    return not isinstance(value, bool) and bool(re.fullmatch(r"[1-9][0-9]{0,4}", str(value))) and int(value) <= 65535


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "\n" not in value


def _known(name: str) -> set[str]:
    own = {"state_file"} if name == "micro" else {"deployment", "instance_group", "stemcell", "release"}
    return {*_COMMON, "alias", "manifest"} | own


def _addresses(directors: dict[str, dict[str, Any]]) -> list[str]:
    found = []
    names = list(directors)
    for name in names:
        address = directors[name]["address"]
        if not address:
            found.append(f"bosh_ha_directors.{name}.address is not set")
        elif _address(address) is None:
            found.append(f"bosh_ha_directors.{name}.address {address} is no IP address")
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            address = directors[name]["address"]
            place = _address(address)
            if place is not None and place == _address(directors[other]["address"]):
                found.append(
                    f"bosh_ha_directors.{name}.address and bosh_ha_directors.{other}.address are both {address}"
                )
    return found


def _files(name: str, values: dict[str, Any]) -> Iterator[str]:
    at = f"bosh_ha_directors.{name}"
    yield from _yaml_problem(f"{at}.manifest", values["manifest"], dict)
    for key, holds in {"ops_files": list, "vars_files": dict}.items():
        for number, path in enumerate(values[key]):
            yield from _yaml_problem(f"{at}.{key}[{number}]", path, holds)
    if values["cloud_config"]:
        yield from _yaml_problem(f"{at}.cloud_config", values["cloud_config"], dict)
    # BOSH writes the vars store itself where there is none yet.
    if values["vars_store"] and os.path.exists(_path(values["vars_store"])):
        yield from _yaml_problem(f"{at}.vars_store", values["vars_store"], dict)
    if name == "micro":
        try:
            # What create-env would delete is judged by bosh.ha.create_env, which knows the stemcell to deploy.
            read_state(values["state_file"], to_deploy=False)
        except DamagedState as error:
            yield f"{at}.state_file: {error}"
        return
    for artifact in ("stemcell", "release"):
        yield from _artifact_problem(f"{at}.{artifact}", values[artifact])


def _artifact_problem(at: str, artifact: dict[str, str]) -> Iterator[str]:
    url = artifact["url"]
    if "://" in url and not url.startswith("file://"):
        if not artifact["sha1"]:
            # Neither the login nor the signature that a URL may have.
            shown = re.sub("://[^/]*@", "://", url).partition("?")[0]
            yield f"{at}.url is {shown}, so {at}.sha1 is needed: nothing else tells that the right file came"
    elif url and not _readable(url.removeprefix("file://")):
        yield f"{at}.url: the file {url} cannot be read"


def _yaml_problem(at: str, path: str, holds: type) -> Iterator[str]:
    """At most one sentence about a YAML file."""
    try:
        data = load(path)
    except OSError as error:
        yield f"{at}: the file {path} cannot be read: {error.strerror}"
    except ValueError as error:
        yield f"{at}: the file {path} is no YAML: {error}"
    else:
        if not isinstance(data, holds):
            yield f"{at}: the file {path} holds no {'mapping' if holds is dict else 'list'}"


def load(path: str) -> Any:
    """A YAML file as data. Raises OSError, and ValueError with the place of the mistake but none of the text."""
    return bosh_yaml.load_file(_path(path))


def _secrets(name: str, values: dict[str, Any]) -> Iterator[str]:
    at, store, ca_cert = f"bosh_ha_directors.{name}", values["vars_store"], values["ca_cert"]
    if ca_cert and "-----BEGIN" not in ca_cert and not _readable(ca_cert):
        yield f"{at}.ca_cert is neither a PEM text nor the path of a file that can be read"
    wanted = {"client_secret": ("admin_password",), "ca_cert": ("director_ssl", "ca")}
    missing = {option: keys for option, keys in wanted.items() if not values[option]}
    if missing and not store:
        yield f"{at} has neither {' and '.join(missing)} nor vars_store, from which it would be read"
    elif missing and os.path.exists(_path(store)):
        try:
            data = load(store)
        except (OSError, ValueError):
            data = None
        if not isinstance(data, dict):
            # Told already, as a file that cannot be read or holds no mapping.
            return
        for option, keys in missing.items():
            if not _deep(data, keys):
                yield f"{at}.{option} is not set, and the vars store {store} has no {'.'.join(keys)}"


def _deep(data: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _networks(directors: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What a director refuses only at the deploy, after Micro is up: addresses that its cloud config cannot give."""
    for by, of in DEPLOYS.items():
        path = directors[by]["cloud_config"]
        try:
            subnets = list(_subnets(load(path))) if path else []
        except ValueError as error:
            yield f"bosh_ha_directors.{by}.cloud_config: the file {path} is no cloud config: {error}"
            continue
        # Ranges may be left to variables: then BOSH has the word.
        if not subnets or any(subnet["range"] is None for subnet in subnets):
            continue
        yield from _place(by, of, directors, subnets)
        yield from _own_static(by, directors, subnets)


def _place(by: str, of: str, directors: dict[str, dict[str, Any]], subnets: list[dict[str, Any]]) -> Iterator[str]:
    at, address, path = f"bosh_ha_directors.{of}.address", directors[of]["address"], directors[by]["cloud_config"]
    place = _address(address)
    homes = [subnet for subnet in subnets if place in subnet["range"]]
    if not homes:
        ranges = ", ".join(str(subnet["range"]) for subnet in subnets)
        yield f"{at} {address} is outside the network of the cloud config {path} ({ranges})"
    elif all(_within(place, subnet["reserved"]) for subnet in homes):
        yield f"{at} {address} is reserved in the cloud config {path}, so {by} cannot deploy {of} there"


def _own_static(by: str, directors: dict[str, dict[str, Any]], subnets: list[dict[str, Any]]) -> Iterator[str]:
    # A director keeps its own address from every VM and refuses a static range that holds it;
    # Meta gets Micro's cloud config along with its data.
    for name in (by, "meta") if by == "micro" else (by,):
        place = _address(directors[name]["address"])
        if any(_within(place, subnet["static"]) for subnet in subnets):
            why = "its own" if name == by else "Meta's own, and Meta takes it over with Micro's data"
            yield (
                f"bosh_ha_directors.{by}.cloud_config: a static range of {directors[by]['cloud_config']} holds "
                f"{directors[name]['address']}, {why}: a director refuses that"
            )


def _subnets(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each subnet, its range None where it has none or a variable holds it. Raises ValueError."""
    for network in _rows("networks", config.get("networks")):
        for subnet in _rows("subnets", network.get("subnets")):
            wide, text = None, str(subnet.get("range") or _VARIABLE)
            if _VARIABLE not in text:
                try:
                    wide = netaddr.IPNetwork(text).cidr
                except (netaddr.AddrFormatError, ValueError):
                    raise ValueError(f"the range {text} is no network") from None
            yield {"range": wide, "static": subnet.get("static"), "reserved": subnet.get("reserved")}


def _rows(key: str, given: Any) -> Iterator[dict[str, Any]]:
    """The mappings of a list; where a variable stands for one or for all, a row of which nothing more is known."""
    rows = [given] if _is_variable(given) else given or []
    if not isinstance(rows, list):
        raise ValueError(f"{key} is no list")
    for row in rows:
        if not isinstance(row, dict) and not _is_variable(row):
            raise ValueError(f"an entry of {key} is no mapping")
        yield row if isinstance(row, dict) else {"subnets": row}


def _is_variable(given: Any) -> bool:
    return isinstance(given, str) and given.startswith(_VARIABLE)


def _within(place: Address, ranges: Any) -> bool:
    """Whether an address is in any of BOSH's ranges: one address, `first-last`, or CIDR."""
    for text in ranges if isinstance(ranges, list) else [ranges]:
        first, _dash, last = (part.strip() for part in str(text).partition("-"))
        try:
            if place in (netaddr.IPRange(first, last) if last else netaddr.IPNetwork(first)):
                return True
        except (netaddr.AddrFormatError, ValueError):
            # A variable, or something that BOSH will refuse in its own words.
            continue
    return False


def _address(given: Any) -> Address | None:
    try:
        # A number would be taken for an address too.
        return netaddr.IPAddress(str(given))
    except (netaddr.AddrFormatError, ValueError):
        return None


def _ssh(ssh: dict[str, Any], directors: dict[str, dict[str, Any]]) -> Iterator[str]:
    if not ssh.get("bosh_ha_known_hosts"):
        yield "bosh_ha_known_hosts is not set"
    hosts = ssh.get("hosts")
    if hosts is None:
        return
    for name in NAMES:
        if isinstance(hosts.get(name), dict):
            yield from _host(name, hosts[name], directors[name]["address"])
        else:
            yield f"the inventory has no host {name}"
    paths = [(hosts.get(name) or {}).get("ansible_ssh_private_key_file") for name in NAMES]
    # Without a path the SSH agent has the key.
    for path in dict.fromkeys(path for path in paths if path):
        yield from _private_key(path)


def _host(name: str, host: dict[str, Any], address: str) -> Iterator[str]:
    if not host.get("ansible_user"):
        yield f"ansible_user of the host {name} is not set"
    given, place = host.get("ansible_host"), _address(address)
    if place is None:
        # Told already; mostly it is what ansible_host is made of.
        return
    if not given:
        yield f"ansible_host of the host {name} is not set"
    elif place != _address(given):
        # What is meant for one VM would be done to another: Micro's store copied into Primary.
        yield f"ansible_host of the host {name} is {given}, but bosh_ha_directors.{name}.address is {address}"


def _private_key(path: str) -> Iterator[str]:
    try:
        with open(_path(path), encoding="utf-8", errors="replace") as stream:
            if not _PEM.search(stream.read()):
                yield f"ansible_ssh_private_key_file: the file {path} is no private key"
    except OSError as error:
        yield f"ansible_ssh_private_key_file: the file {path} cannot be read: {error.strerror}"


def _backup(ssh: dict[str, Any]) -> Iterator[str]:
    path = ssh.get("backup_dir")
    if ssh.get("backup") and not path:
        yield "bosh_ha_backup_dir is not set, and bosh_ha_backup wants a backup of Micro and Primary in it"
    elif path and os.path.exists(_path(path)) and not os.path.isdir(_path(path)):
        yield f"bosh_ha_backup_dir: {path} is no directory"


def _readable(path: str) -> bool:
    path = _path(path)
    return os.path.isfile(path) and os.access(path, os.R_OK)


def _path(path: str) -> str:
    return os.path.expanduser(str(path))
