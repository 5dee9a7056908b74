# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets Ansible compile each template once for all plays of a test module.

Ansible compiles a template each time that it needs it, mostly in a worker that ends with its task, and that is most
of what a play of fakes costs. The code is the same whatever the variables are, so it is kept in files.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import CodeType
from typing import Any

from ansible._internal._templating._jinja_bits import (
    _TEMPLATE_OVERRIDE_FIELD_NAMES,
    AnsibleEnvironment,
    _TemplateCompileContext,
)
from jinja2.environment import TemplateExpression

compile_anew = AnsibleEnvironment.compile
compile_expression_anew = AnsibleEnvironment.compile_expression


class Kept:
    """Compiled code in files of `directory`, by what it was compiled from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        #: What was compiled last, as an expression does not hand out its code.
        self.last: CodeType | None = None

    def get(self, environment: AnsibleEnvironment, kind: str, source: str, make: Callable[[], CodeType]) -> CodeType:
        """All that Ansible's lexer and parser look at is in the name."""
        context = _TemplateCompileContext.current(optional=True)
        options = [getattr(environment, name) for name in _TEMPLATE_OVERRIDE_FIELD_NAMES]
        asked = repr((kind, str(source), options, context and context.escape_backslashes))
        path = self.directory / sha256(asked.encode()).hexdigest()
        try:
            return marshal.loads(path.read_bytes())
        except FileNotFoundError:
            code = make()
        half = path.with_suffix(f".{os.getpid()}")
        half.write_bytes(marshal.dumps(code))
        half.rename(path)
        return code

    def compile(self, environment: AnsibleEnvironment, source: Any, *args: Any, **kwargs: Any) -> CodeType:
        """Instead of Environment.compile: a string's code is kept, a tree's only until the next."""
        if isinstance(source, str) and not (args or kwargs):
            return self.get(environment, "template", source, lambda: compile_anew(environment, source))
        self.last = compile_anew(environment, source, *args, **kwargs)
        return self.last

    def compile_expression(self, environment: AnsibleEnvironment, source: str, *args: Any) -> TemplateExpression:
        """Instead of Environment.compile_expression, which parses a string and compiles the tree."""

        def make() -> CodeType:
            compile_expression_anew(environment, source, *args)
            assert self.last
            return self.last

        code = self.get(environment, "expression", source, make)
        template = environment.template_class.from_code(environment, code, environment.make_globals(None))
        return TemplateExpression(template, *args)


def keep_templates(directory: Path) -> None:
    """From now on, in this process and those that it forks."""
    kept = Kept(directory)

    # Functions, as a bound method would get no environment.
    def compile_kept(environment: AnsibleEnvironment, *args: Any, **kwargs: Any) -> Any:
        return kept.compile(environment, *args, **kwargs)

    def compile_expression_kept(environment: AnsibleEnvironment, *args: Any) -> Any:
        return kept.compile_expression(environment, *args)

    AnsibleEnvironment.compile = compile_kept
    AnsibleEnvironment.compile_expression = compile_expression_kept
