# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules that work on a repository of restic's have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import restic

Work = Callable[[dict[str, Any], bool], dict[str, Any]]


def run_restic_module(argument_spec: dict[str, Any], work: Work, **settings: Any) -> None:
    """Do one piece of work on a repository, and leave as a module does.

    work: takes the parameters and whether this is check mode, returns the result. Raises restic.Refused, OSError.
    """
    module = AnsibleModule(argument_spec=restic.OPTIONS | argument_spec, supports_check_mode=True, **settings)
    try:
        result = work(module.params, module.check_mode)
    except (restic.Refused, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)
