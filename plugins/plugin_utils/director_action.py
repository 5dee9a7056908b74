# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions of the group bosh.ha.director: the option `director` names a director of bosh_ha_directors."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.bosh.ha.plugins.module_utils.pair_phase import NAMES

Result = dict[str, Any]

_OPTIONS = "bosh_ha_cli_options | default({}, true)"
_ENTRY = "bosh_ha_directors | bosh.ha.director(_bosh_ha_director)"
_HAS_CREDENTIALS = "bosh_ha_directors | bosh.ha.has_credentials(_bosh_ha_director)"
_OF_HOST = "(hostvars[_bosh_ha_director] | default({{}})).{} | default('', true)"
_DIRECTOR = f"bosh_ha_directors | bosh.ha.director_args(_bosh_ha_director, {_OPTIONS})"


class DirectorOptions(ActionBase):
    """An action whose options on how to reach the director come from bosh_ha_directors and bosh_ha_cli_options.

    An option that the task itself has wins. Secrets reach the module only.
    """

    def prepare(self) -> None:
        """Replace the option `director` by the options that reach it. Raises AnsibleError naming the variable."""
        given = {key: value for key, value in self._task.args.items() if key != "director"}
        name = self._task.args.get("director")
        known = self.options_of(name) if name else self.cli_options()
        self._task.args = {key: value for key, value in known.items() if value} | given

    def options_of(self, name: str) -> Result:
        """The options that reach a director, with its secret. Raises AnsibleError naming the variable."""
        found: Result = self._evaluate(_DIRECTOR, _bosh_ha_director=name)
        return found

    def has_credentials(self, name: str) -> bool:
        """Whether a director can be asked: not if the CLI has still to write its vars store."""
        return bool(self._evaluate(_HAS_CREDENTIALS, _bosh_ha_director=name))

    def cli_options(self) -> Result:
        """What bosh_ha_cli_options has."""
        found: Result = self._evaluate(_OPTIONS)
        return found

    def directors(self) -> list[Result]:
        """The options that reach each director that can be asked, with its `name`."""
        return [{"name": name} | self.options_of(name) for name in NAMES if self.has_credentials(name)]

    def entry(self, name: str) -> Result:
        """A director of bosh_ha_directors with its defaults."""
        found: Result = self._evaluate(_ENTRY, _bosh_ha_director=name)
        return found

    def of_host(self, name: str, variable: str, default: Any = "") -> Any:
        """A variable of a director's host, which may be a template of the host's own; `default` if it is empty."""
        return self._evaluate(_OF_HOST.format(variable), _bosh_ha_director=name) or default

    def _evaluate(self, expression: str, **local: Any) -> Any:
        # Only what the expression needs is templated: a lookup of another director's may fail still.
        try:
            return self._templar.evaluate_expression(trust_as_template(expression), local_variables=local)
        except AnsibleError as error:
            raise AnsibleError(_first_cause(error)) from None


class DirectorAction(DirectorOptions):
    """Runs the module of the task's name with the options of its director."""

    def run(self, tmp: Any = None, task_vars: Result | None = None) -> Result:
        """Run the module; the result is the module's own."""
        self._supports_check_mode = True
        self._supports_async = True
        result: Result = super().run(tmp, task_vars)
        self.prepare()
        return result | self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val))


class PairAction(DirectorOptions):
    """Runs the module of the task's name with the options of all directors that can be asked."""

    def run(self, tmp: Any = None, task_vars: Result | None = None) -> Result:
        """Run the module; the result is the module's own."""
        self._supports_check_mode = True
        result: Result = super().run(tmp, task_vars)
        args = {"directors": self.directors()} | self.pair_args() | self._task.args
        return result | self._execute_module(module_args=args, task_vars=task_vars)

    def pair_args(self) -> Result:
        """What the module needs besides of bosh_ha_directors and the inventory. An option of the task wins."""
        raise NotImplementedError


def _first_cause(error: BaseException) -> str:
    """The words of the innermost error: templating wraps the sentence of the filter into its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
