# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules that talk to all directors of a pair share: how these are reached, and how the modules end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import DIRECTOR_ARGS, BoshCli, Director
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NAMES

Deed = Callable[[AnsibleModule, dict[str, BoshCli]], dict[str, Any]]

#: The fragment bosh.ha.pair describes it. The action plugins fill it in from bosh_ha_directors.
_DIRECTORS = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"name": {"type": "str", "required": True, "choices": list(NAMES)}} | DIRECTOR_ARGS,
}


def run_pair_module(argument_spec: dict[str, Any], deed: Deed, **settings: Any) -> None:
    """Run `deed` with a BoshCli for each director by its name, and exit as a module does."""
    module = AnsibleModule({"directors": _DIRECTORS} | argument_spec, supports_check_mode=True, **settings)
    clis = {one["name"]: BoshCli(Director.from_params(one), module.run_command) for one in module.params["directors"]}
    try:
        result = deed(module, clis)
    except BoshFailure as failure:
        module.fail_json(**failure.as_result())
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)
