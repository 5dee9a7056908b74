# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each director is reached, from bosh_ha_directors."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.module_utils import inputs, manifests, pair_phase, pair_summary, proofs


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
    told = f"bosh_ha_directors.{name}.{option} is not set, and the vars store {path}"
    # Neither the parser's words nor the decoder's are told, not even as the cause: they may quote a secret.
    try:
        found = inputs.load(path)
    except OSError as error:
        raise AnsibleFilterError(f"{told} cannot be read: {error.strerror}") from None
    except ValueError:
        raise AnsibleFilterError(f"{told} is no YAML in UTF-8") from None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found in (None, "") or isinstance(found, (dict, list, bool)):
        raise AnsibleFilterError(f"{told} has no {'.'.join(keys)}")
    return str(found)


def next_step(phase: str) -> str:
    """What comes after a phase, in words."""
    return pair_phase.NEXT[_known(phase)]


def phase_before(phase: str, other: str) -> bool:
    """Whether a phase comes before another in the procedure."""
    return pair_phase.PHASES.index(_known(phase)) < pair_phase.PHASES.index(_known(other))


def _known(phase: str) -> str:
    if phase not in pair_phase.PHASES:
        raise AnsibleFilterError(f"there is no phase {phase!r}; the phases are {', '.join(pair_phase.PHASES)}")
    return phase


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
            "next_step": next_step,
            "phase_before": phase_before,
        }
