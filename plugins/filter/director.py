# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each director is reached, from bosh_ha_directors."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import inputs, pair_phase, pair_summary

#: Options that are read from the vars store where they are not given, with bosh-deployment's names.
_STORED = {"client_secret": ("admin_password",), "ca_cert": ("director_ssl", "ca")}


def director_args(directors: dict[str, Any], name: str, cli: dict[str, str] | None = None) -> dict[str, str]:
    """Options of the action group bosh.ha.director for one director.

    A secret or CA that is not given is read from the director's vars store, under bosh-deployment's names.
    """
    director = _director(directors, name)
    if not director.get("address"):
        raise AnsibleFilterError(f"bosh_ha_directors.{name}.address is not set")
    stored = {
        option: director.get(option) or _stored(director, name, option, *keys) for option, keys in _STORED.items()
    }
    known = {"environment": _environment(director, name), "client": director.get("client") or "admin", **stored}
    return known | {key: value for key, value in (cli or {}).items() if value}


def has_credentials(directors: dict[str, Any], name: str) -> bool:
    """Whether a director can be asked: no, where its secret or CA is in a vars store that the CLI has yet to write."""
    director = _director(directors, name)
    store = director.get("vars_store") or ""
    return all(director.get(option) for option in _STORED) or not store or os.path.exists(os.path.expanduser(store))


def _director(directors: Any, name: str) -> dict[str, Any]:
    if not isinstance(directors, dict):
        raise AnsibleFilterError("bosh_ha_directors is no mapping with the keys micro, primary and meta")
    if name not in directors:
        raise AnsibleFilterError(f"bosh_ha_directors has no {name}")
    if not isinstance(directors[name], dict):
        what = "is not set" if directors[name] in (None, "") else "is no mapping"
        raise AnsibleFilterError(f"bosh_ha_directors.{name} {what}")
    return directors[name]


def _environment(director: dict[str, Any], name: str) -> str:
    """What `bosh -e` takes: the address, or a URL where the port is not BOSH's own or the address has colons.

    Source: bosh-cli director/factory_config.go (NewConfigFromURL).
    """
    address, port = str(director["address"]), director.get("port")
    if port in (None, ""):
        port = inputs.PORT
    if not inputs.is_port(port):
        raise AnsibleFilterError(f"bosh_ha_directors.{name}.port is no port: a number from 1 to 65535")
    v6 = ":" in address
    if int(port) == inputs.PORT and not v6:
        return address
    return f"https://[{address}]:{port}" if v6 else f"https://{address}:{port}"


def _stored(director: dict[str, Any], name: str, option: str, *keys: str) -> str:
    path = director.get("vars_store") or ""
    if not path:
        raise AnsibleFilterError(f"bosh_ha_directors.{name} has neither {option} nor vars_store")
    told = f"bosh_ha_directors.{name}.{option} is not set, and the vars store {path}"
    # Neither the parser's words nor the decoder's are told, not even as the cause: they may quote a secret.
    try:
        found = inputs.load(path)
    except FileNotFoundError:
        writes = "create-env" if name == "micro" else f"the deploy of {name}"
        raise AnsibleFilterError(f"{told} does not exist; {writes} writes it where it is new") from None
    except OSError as error:
        raise AnsibleFilterError(f"{told} cannot be read: {error.strerror}") from None
    except ValueError:
        raise AnsibleFilterError(f"{told} is no YAML in UTF-8") from None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found in (None, "") or isinstance(found, (dict, list, bool)):
        raise AnsibleFilterError(f"{told} has no {'.'.join(keys)}")
    # The CLI writes the number 12e03 as 12000.
    return str(int(found) if isinstance(found, float) and found.is_integer() else found)


def next_step(phase: str) -> str:
    """What comes after a phase, in words."""
    return pair_phase.NEXT[_known(phase)]


def phase_before(phase: str, other: str) -> bool:
    """Whether a phase comes before another in the procedure."""
    return pair_phase.before(_known(phase), _known(other))


def pair_summary_lines(
    seen: dict[str, Any],
    phase: str,
    directors: dict[str, Any],
    proofs: dict[str, list[dict[str, Any]]],
    backups: dict[str, list[dict[str, Any]]] | None = None,
) -> list[str]:
    """Who deploys and watches whom, what was proved, what became of Micro, and where the last backups are."""
    return pair_summary.pair_summary(seen, _known(phase), directors, proofs, backups)


def _known(phase: Any) -> str:
    try:
        return pair_phase.known_phase(phase)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {
            "director_args": director_args,
            "has_credentials": has_credentials,
            "step_seconds": pair_summary.step_seconds,
            "pair_summary": pair_summary_lines,
            "next_step": next_step,
            "phase_before": phase_before,
        }
