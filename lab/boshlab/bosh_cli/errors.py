# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that read like the CLI's own: each cause stands indented under what was being done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class BoshError(Exception):
    """What the CLI prints before ``Exit code 1``.

    ``message`` says what was being done, ``causes`` why it failed; several causes stand at the same depth.
    """

    def __init__(self, message: str, causes: Sequence[BoshError] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.causes = tuple(causes)

    def __str__(self) -> str:
        return "\n".join(self._lines(0))

    def _lines(self, depth: int) -> list[str]:
        pad = "  " * depth
        # bytes of a response may hold newlines: the CLI leaves them as they are
        lines = [f"{pad}{self.message}{':' if self.causes else ''}"]
        for cause in self.causes:
            lines += cause._lines(depth + 1)
        return lines


class FlagError(BoshError):
    """A flag's value cannot be used: the CLI says so in plain text on stderr, even with ``--json``."""

    def __init__(self, flag: str, kind: str, why: str) -> None:
        super().__init__(f"invalid argument for flag `{flag}' (expected {kind}): {why}")


class MultiError(BoshError):
    """Several errors without a heading of their own."""

    def __init__(self, causes: Sequence[BoshError]) -> None:
        super().__init__("", causes)

    def _lines(self, depth: int) -> list[str]:
        lines: list[str] = []
        for cause in self.causes:
            # siblings are bulleted, what belongs to one of them stands under its text
            first, *rest = cause._lines(0)
            lines += [f"{'  ' * depth}- {first}", *(f"{'  ' * depth}  {line}" for line in rest)]
        return lines


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what was being done when a BoshError comes out of the block."""
    try:
        yield
    except BoshError as error:
        raise BoshError(what, [error]) from error
