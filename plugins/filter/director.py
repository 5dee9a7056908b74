# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each director is reached, from bosh_ha_directors."""

from __future__ import annotations

import os
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import manifests, pair_phase, pair_summary, proofs


def director_args(directors: dict[str, Any], name: str, cli: dict[str, str] | None = None) -> dict[str, str]:
    """Options of the action group bosh.ha.director for one director.

    A secret or CA that is not given is read from the director's vars store, under bosh-deployment's names.
    """
    if name not in directors:
        raise AnsibleFilterError(f"bosh_ha_directors has no {name}")
    director = directors[name]
    if not director.get("address"):
        raise AnsibleFilterError(f"bosh_ha_directors.{name}.address is not set")
    secret = director.get("client_secret") or _stored(director, name, "client_secret", "admin_password")
    ca_cert = director.get("ca_cert") or _stored(director, name, "ca_cert", "director_ssl", "ca")
    known = {
        "environment": director["address"],
        "client": director.get("client") or "admin",
        "client_secret": secret,
        "ca_cert": ca_cert,
    }
    return known | {key: value for key, value in (cli or {}).items() if value}


def _stored(director: dict[str, Any], name: str, option: str, *keys: str) -> str:
    path = director.get("vars_store") or ""
    if not path:
        raise AnsibleFilterError(f"bosh_ha_directors.{name} has neither {option} nor vars_store")
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as stream:
            found: Any = yaml.safe_load(stream)
        for key in keys:
            found = found[key]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        told = f"bosh_ha_directors.{name}.{option} is not set, and the vars store {path} has no {'.'.join(keys)}"
        raise AnsibleFilterError(f"{told}: {type(error).__name__}") from error
    return str(found)


class FilterModule:
    """Filters of bosh.ha."""

    def filters(self) -> dict[str, Any]:
        return {
            "director_args": director_args,
            "strip_dns_recursor_ops": manifests.strip_dns_recursor_ops,
            "enable_resurrector_ops": manifests.enable_resurrector_ops,
            "resurrector_enabled": manifests.resurrector_enabled,
            "address_mentions": manifests.address_mentions,
            "step_seconds": pair_summary.step_seconds,
            "pair_summary": pair_summary.pair_summary,
            "adopted": proofs.adopted,
            "resurrections": proofs.resurrections,
            "pair_phase": pair_phase.pair_phase,
            "next_step": pair_phase.NEXT.__getitem__,
            "phase_before": lambda phase, other: pair_phase.PHASES.index(phase) < pair_phase.PHASES.index(other),
        }
