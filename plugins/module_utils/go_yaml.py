# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML text as nodes, by the rules of go-yaml v2.4.0, with which the BOSH CLI and BBR read.

PyYAML's scanner and parser in Python do the work; the methods here are the ones in which go-yaml differs. libyaml is
not used: it has rules of its own for flow collections, and results must not depend on how PyYAML was built.
Sources: gopkg.in/yaml.v2 v2.4.0 (go.mod of bosh-cli v7.10.6 and bosh-backup-and-restore v1.9) readerc.go, scannerc.go,
decode.go.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import Any

try:
    from yaml import YAMLError
    from yaml.events import (
        AliasEvent,
        MappingEndEvent,
        MappingStartEvent,
        ScalarEvent,
        SequenceEndEvent,
        StreamEndEvent,
    )
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner, ScannerError
    from yaml.tokens import ScalarToken
except ImportError:  # reported by parse(), in one sentence; a VM has no PyYAML, and its modules read no YAML
    HAS_YAML = False
    Parser, Reader, Scanner = (type(name, (), {}) for name in ("Parser", "Reader", "Scanner"))  # type: ignore
else:
    HAS_YAML = True

_BREAKS = "\n\r\x85\u2028\u2029"
_PLAIN = {
    False: re.compile(rf"(?:[^\0 \t:{_BREAKS}]|:(?![\0 \t{_BREAKS}]))+"),
    True: re.compile(rf"(?:[^\0 \t:,?\[\]{{}}{_BREAKS}]|:(?![\0 \t{_BREAKS}]))+"),
}
_BLANKS = re.compile(r"[ \t]*")
_SPACES = re.compile(r" *")
_COMMENT = re.compile(rf"[^\0{_BREAKS}]*")
_DOCUMENT_MARK = re.compile(rf"(?:---|\.\.\.)[\0 \t{_BREAKS}]")
_QUOTED = {
    "'": re.compile(rf"(?:[^\0 \t'{_BREAKS}]|'')+"),
    '"': re.compile(rf'[^\0 \t"\\{_BREAKS}]+'),
}
_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "'": "'",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_HEX = {
    "x": re.compile("[0-9A-Fa-f]{2}"),
    "u": re.compile("[0-9A-Fa-f]{4}"),
    "U": re.compile("[0-9A-Fa-f]{8}"),
}
#: Quoted parts of PyYAML's messages are text of the document, which may be a secret.
_QUOTED_WORDS = re.compile(r"""(?<!\S)(?:'(?![^\w'\s]'|<)|").*['"]""", re.DOTALL)


class BadYaml(ValueError):
    """Text that go-yaml refuses. The message has the reason and its place, and none of the text.

    line and column count from 1; they are 0 if the place is unknown.
    """

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        where = f", line {line}" if line else ""
        super().__init__(f"{problem}{where}{f', column {column}' if line and column else ''}")
        self.problem, self.line, self.column = problem, line, column


@dataclass(eq=False)
class Node:
    """A node of a document. kind: scalar, mapping, sequence or alias.

    line and column count from 1. tag: the long form, empty if the node has none. implicit: a plain scalar without a
    tag, or a scalar tagged `!`. children: items of a sequence; keys and values of a mapping in turn; the target of an
    alias.
    """

    kind: str
    line: int
    column: int
    tag: str = ""
    value: str = ""
    implicit: bool = False
    children: list[Node] = field(default_factory=list)


def parse(text: str | bytes) -> Node | None:
    """The first document of a text; None if there is none. go-yaml does not look at the ones after it.

    text: bytes are UTF-8, or UTF-16 with a byte order mark. Raises BadYaml.
    """
    if not HAS_YAML:
        raise BadYaml("PyYAML is absent from the Python that runs this module; install it")
    try:
        events = Events(_decoded(text))
        events.get_event()  # the stream's start
        if events.check_event(StreamEndEvent):
            return None
        events.get_event()  # the document's start
        root = _node(events, {})
        events.get_event()  # the document's end
        return root
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        problem = _QUOTED_WORDS.sub("(not shown)", str(problem))
        raise BadYaml(problem, *((mark.line + 1, mark.column + 1) if mark else ())) from None
    except RecursionError:
        raise BadYaml("nested too deeply") from None


def _decoded(text: str | bytes) -> str:
    try:
        if isinstance(text, str):
            # A byte that is no UTF-8 is a lone surrogate here.
            text = text.encode("utf-8")
        if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return text.decode("utf-16")
        return text.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeError:
        raise BadYaml("neither UTF-8 nor UTF-16") from None


def _node(events: Any, anchors: dict[str, Node]) -> Node:
    event = events.get_event()
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, AliasEvent):
        if event.anchor not in anchors:
            raise BadYaml("found undefined alias", line)
        return Node("alias", line, column, children=[anchors[event.anchor]])
    tag = event.tag or ""
    if isinstance(event, ScalarEvent):
        node = Node("scalar", line, column, tag, event.value, event.implicit[0])
    else:
        node = Node("mapping" if isinstance(event, MappingStartEvent) else "sequence", line, column, tag)
    if event.anchor is not None:
        # Another node may have had this anchor before; go-yaml keeps the last.
        anchors[event.anchor] = node
    if node.kind != "scalar":
        while not events.check_event(MappingEndEvent, SequenceEndEvent):
            node.children.append(_node(events, anchors))
        events.get_event()
    return node


class Events(Reader, Scanner, Parser):
    """Events of a text as go-yaml's scanner and parser make them."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def _take(self, pattern: re.Pattern[str]) -> str:
        """Consume what a pattern without line breaks matches here."""
        match = pattern.match(self.buffer, self.pointer)
        length = match.end() - self.pointer if match else 0
        taken = self.buffer[self.pointer : self.pointer + length]
        self.pointer += length
        self.index += length
        self.column += length
        return str(taken)

    def _fail(self, start: Any, problem: str) -> Any:
        raise ScannerError("while scanning", start, problem, self.get_mark())

    def scan_to_next_token(self) -> None:
        """Skip blanks and comments. A tab is a blank except where it could be taken for indentation."""
        while True:
            self._take(_BLANKS if self.flow_level or not self.allow_simple_key else _SPACES)
            if self.peek() == "#":
                self._take(_COMMENT)
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_plain(self) -> Any:
        """A plain scalar; tabs in it are blanks, and in a flow collection `:` ends it only before a blank."""
        start = end = self.get_mark()
        indent = self.indent + 1
        text = pending = ""
        broken = False
        while not (self.column == 0 and _DOCUMENT_MARK.match(self.buffer, self.pointer)) and self.peek() != "#":
            taken = self._take(_PLAIN[bool(self.flow_level)])
            if not taken:
                break
            text += pending + taken
            end = self.get_mark()
            pending, broken = self._blanks_and_breaks(start, indent)
            if not pending or (not self.flow_level and self.column < indent):
                break
        if broken:
            self.allow_simple_key = True
        return ScalarToken(text, True, start, end)

    def _blanks_and_breaks(self, start: Any, indent: int | None) -> tuple[str, bool]:
        """What blanks between two words stand for, and whether there is a line break in them.

        indent: a tab left of this column is an error.
        """
        blanks = self._take(_BLANKS)
        first = self.scan_line_break()
        if not first:
            return blanks, False
        more = ""
        while True:
            while self.peek() in " \t":
                if indent is not None and self.peek() == "\t" and self.column < indent:
                    self._fail(start, "found a tab character that violates indentation")
                self.forward()
            if not (one := self.scan_line_break()):
                break
            more += one
        return (more or " ") if first == "\n" else first + more, True

    def scan_flow_scalar(self, style: str) -> Any:
        """A quoted scalar. `\\'` is an escape and `\\/` is none, unlike in PyYAML; surrogates are refused."""
        start = self.get_mark()
        self.forward()
        text = ""
        while True:
            if self.column == 0 and _DOCUMENT_MARK.match(self.buffer, self.pointer):
                self._fail(start, "found unexpected document indicator")
            if self.peek() == "\0":
                self._fail(start, "found unexpected end of stream")
            joined = False
            while not joined:
                taken = self._take(_QUOTED[style])
                text += taken.replace("''", "'") if style == "'" else taken
                if style == "'" or self.peek() != "\\":
                    break
                escaped = self._escape(start)
                joined = escaped is None
                text += escaped or ""
            if not joined and self.peek() == style:
                break
            if joined:
                # After an escaped line break, blanks and further breaks count as between lines.
                more = ""
                while True:
                    self._take(_BLANKS)
                    if not (one := self.scan_line_break()):
                        break
                    more += one
                text += more
            else:
                text += self._blanks_and_breaks(start, None)[0]
        self.forward()
        return ScalarToken(text, False, start, self.get_mark(), style)

    def _escape(self, start: Any) -> str | None:
        """The character of an escape sequence; None for an escaped line break."""
        self.forward()
        kind = self.peek()
        if kind in _BREAKS:
            self.scan_line_break()
            return None
        if kind in _ESCAPES:
            self.forward()
            return _ESCAPES[kind]
        if kind not in _HEX:
            self._fail(start, "found unknown escape character")
        self.forward()
        digits = self._take(_HEX[kind])
        if not digits:
            self._fail(start, "did not find expected hexdecimal number")
        value = int(digits, 16)
        if 0xD800 <= value <= 0xDFFF or value > 0x10FFFF:
            self._fail(start, "found invalid Unicode character escape code")
        return chr(value)

    def scan_directive(self) -> Any:
        """A directive, of which go-yaml knows two."""
        token = super().scan_directive()
        if token.name not in ("YAML", "TAG"):
            self._fail(token.start_mark, "found unknown directive name")
        return token

    def process_directives(self) -> Any:
        """Directives of a document; only version 1.1 is known."""
        mark = self.peek_token().start_mark
        found = super().process_directives()
        if self.yaml_version not in (None, (1, 1)):
            self._fail(mark, "found incompatible YAML document")
        return found

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> None:
        """The rest of a block scalar's first line, in which a tab is a blank."""
        self._take(_BLANKS)
        super().scan_block_scalar_ignored_line(start_mark)

    def scan_block_scalar_indentation(self) -> Any:
        """The blank lines before a block scalar's first line, which may not begin with a tab."""
        found = super().scan_block_scalar_indentation()
        if self.peek() == "\t":
            self._fail(found[2], "found a tab character where an indentation space is expected")
        return found

    def scan_block_scalar_breaks(self, indent: int) -> Any:
        """The indentation of a block scalar's next line, which has no tab in it."""
        found = super().scan_block_scalar_breaks(indent)
        if self.peek() == "\t" and self.column < indent:
            self._fail(found[1], "found a tab character where an indentation space is expected")
        return found
