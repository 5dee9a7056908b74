# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The YAML of BOSH's documents: manifests, configs, ops files, variables, BBR's metadata. Read and written only here.

Reading gives what the BOSH CLI and BBR make of a text. Both use gopkg.in/yaml.v2 v2.4.0 for these (bosh-cli v7.10.6
director/template/template.go, cmd/opts/vars_fs_store.go, deployment/manifest/parser.go; bosh-backup-and-restore
instance/metadata.go, backup/metadata.go). Among what differs from PyYAML: `y` and `n` are booleans, `0o17` and `12e03`
are numbers, `=`, `12:30` and dates are texts, an unknown tag is ignored, a merge key overrides what stands above it,
and of several documents the first one counts.

Writing uses only forms that go-yaml, Psych (with which the director reads) and PyYAML read as the same data. A manifest
reaches the director as the CLI writes it again; see docs/yaml.md for what then differs between go-yaml and Psych.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.go_yaml import BadYaml, Node, parse

__all__ = ["BadYaml", "decode", "dump", "load", "load_file"]

_TAG = "tag:yaml.org,2002:"
_STR, _BOOL, _INT, _FLOAT, _NULL, _TIMESTAMP, _BINARY, _MERGE = (
    f"{_TAG}{name}" for name in ("str", "bool", "int", "float", "null", "timestamp", "binary", "merge")
)
_WORDS: dict[str, tuple[str, Any]] = (
    dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], (_BOOL, True))
    | dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], (_BOOL, False))
    | dict.fromkeys(("", "~", "null", "Null", "NULL"), (_NULL, None))
    | dict.fromkeys((".nan", ".NaN", ".NAN"), (_FLOAT, math.nan))
    | {sign + word: (_FLOAT, math.inf) for sign in ("", "+") for word in (".inf", ".Inf", ".INF")}
    | {f"-{word}": (_FLOAT, -math.inf) for word in (".inf", ".Inf", ".INF")}
    | {"<<": (_MERGE, "<<")}
)
# strconv.ParseInt with base 0, and ParseFloat of what begins with a point; underscores are gone from the former.
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_POINT_FLOAT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_STYLE_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# go-yaml's own way to read 0b, which takes a sign after it.
_SIGNED_BINARY = re.compile(r"(?:0b([-+]?[01]+)|-0b([01]+))")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?)?"
)
# From how many values on, and up to how many, fewer and fewer may come from aliases (decode.go, allowedAliasRatio).
_ALIASES_FROM, _ALIASES_TO = 400_000, 4_000_000
_INTEGERS = range(-(2**63), 2**64)

#: A text that no reader takes for anything else, in any place of a block collection.
_PLAIN = re.compile(r"[A-Za-z_/](?:[\w./+-]|[ :](?=[\w/]))*", re.ASCII)
_NOT_PLAIN = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
#: A longer key is written as `? key`; go-yaml looks for the colon within 1024 characters.
_LONGEST_KEY = 128


def load(text: str | bytes) -> Any:
    """A text as the data that go-yaml makes of it without a type: None, bool, int, float, str, list and dict.

    Aliased values are copies. Bytes that are no UTF-8 (`!!binary`) are lone surrogates, as in os.fsdecode.
    Raises BadYaml.
    """
    return _decoded(text, None)


def load_file(path: str) -> Any:
    """load() of a file. Raises OSError, and BadYaml, whose message does not name the file."""
    with open(path, "rb") as stream:
        return load(stream.read())


def decode(text: str | bytes, shape: Any) -> Any:
    """A text as go-yaml decodes it into a Go type.

    shape: `str` and `bool`; `[shape]` for a slice; `{str: shape}` for a map; `{"key": shape, ...}` for a struct, of
    which every key is in the result, and other keys of the text are left out. What is absent or null is empty. A number
    is a text as it is written; a text in quotes is no bool. Raises BadYaml, which names every value of another type by
    its line.
    """
    return _decoded(text, shape)


def dump(data: Any) -> str:
    """Data as YAML that BOSH, the director and Ansible read as the same data, in the order of the dicts.

    data: as load() returns it. Raises ValueError for an integer of more than 64 bits, text that is no text (a surrogate
    that stands for no byte), data of another type, and data that contain themselves.
    """
    try:
        lines = [_quoted(data)] if isinstance(data, str) else _lines(data)
    except RecursionError:
        raise ValueError("the data are nested too deeply, or contain themselves") from None
    return "\n".join(lines) + "\n"


def _decoded(text: str | bytes, shape: Any) -> Any:
    root = parse(text)
    decoder = _Decoder()
    try:
        found = decoder.value(root, shape, _empty(shape))[1] if root else _empty(shape)
    except RecursionError:
        raise BadYaml("nested too deeply") from None
    if decoder.mismatches:
        raise BadYaml("; ".join(decoder.mismatches))
    return found


def _empty(shape: Any) -> Any:
    """The zero value of a shape; None is the shape of anything."""
    if shape is None:
        return None
    if isinstance(shape, list):
        return []
    return (
        {key: _empty(inner) for key, inner in shape.items() if key is not str} if isinstance(shape, dict) else shape()
    )


class _Decoder:
    """Nodes as data. Source: decode.go."""

    def __init__(self) -> None:
        self.mismatches: list[str] = []
        self.open: set[int] = set()
        self.count = self.aliased = 0

    def value(self, node: Node, shape: Any, into: Any = None) -> tuple[bool, Any]:
        """Whether a node is of a shape, and its value. into: the dict that a mapping adds to."""
        self._limit_aliases(node)
        if node.kind == "alias":
            if id(node) in self.open:
                raise BadYaml("the value of an anchor contains itself", node.line)
            self.open.add(id(node))
            found = self.value(node.children[0], shape, into)
            self.open.remove(id(node))
            return found
        if node.kind == "scalar":
            return self._scalar(node, shape)
        if node.kind == "sequence":
            if shape is not None and not isinstance(shape, list):
                return self._mismatch(node, "!!seq", shape)
            items = [self.value(item, shape[0] if shape else None) for item in node.children]
            return True, [item for good, item in items if good]
        if shape is not None and not isinstance(shape, dict):
            return self._mismatch(node, "!!map", shape)
        return True, self._mapping(node, shape, (_empty(shape) or {}) if into is None else into)

    def _limit_aliases(self, node: Node) -> None:
        self.count += 1
        self.aliased += bool(self.open)
        if self.aliased > 100 and self.count > 1000:
            over = min(max(self.count - _ALIASES_FROM, 0) / (_ALIASES_TO - _ALIASES_FROM), 1)
            if self.aliased / self.count > 0.99 - 0.89 * over:
                raise BadYaml("document contains excessive aliasing", node.line)

    def _scalar(self, node: Node, shape: Any) -> tuple[bool, Any]:
        tag, value = _resolve(node)
        if value is None:
            return True, _empty(shape)
        if shape is None:
            return True, value
        if shape is str:
            return True, value if tag == _BINARY else node.value
        if shape is bool and isinstance(value, bool):
            return True, value
        return self._mismatch(node, tag, shape)

    def _mapping(self, node: Node, shape: Any, out: dict[Any, Any]) -> dict[Any, Any]:
        is_map = shape is None or str in shape
        for key, value in zip(node.children[::2], node.children[1::2], strict=True):
            if _is_merge(key):
                self._merge(value, shape, out)
                continue
            good, name = self.value(key, None if shape is None else str)
            if isinstance(name, dict | list):
                raise BadYaml("invalid map key", key.line)
            if not good or not (is_map or name in shape):
                continue
            inner = shape and shape[str if is_map else name]
            good, found = self.value(value, inner, None if is_map else out[name])
            if good:
                _refuse_like_key(out, name, key.line)
                out[name] = found
        return out

    def _merge(self, node: Node, shape: Any, out: dict[Any, Any]) -> None:
        # Backwards: of several mappings the first one has the last word.
        for one in reversed(node.children) if node.kind == "sequence" else (node,):
            target = one.children[0] if one.kind == "alias" else one
            if target.kind != "mapping":
                raise BadYaml("map merge requires map or sequence of maps as the value", one.line)
            self.value(one, shape, out)

    def _mismatch(self, node: Node, tag: str, shape: Any) -> tuple[bool, Any]:
        kind = "a list" if isinstance(shape, list) else "a mapping" if isinstance(shape, dict) else _GO_NAMES[shape]
        short = (node.tag or tag).replace(_TAG, "!!")
        self.mismatches.append(f"line {node.line}: cannot unmarshal {short} into {kind}")
        return False, None


_GO_NAMES = {str: "string", bool: "bool"}


def _is_merge(key: Node) -> bool:
    return key.kind == "scalar" and key.value == "<<" and (key.implicit or key.tag == _MERGE)


def _refuse_like_key(out: dict[Any, Any], name: Any, line: int) -> None:
    """1, 1.0 and true are three keys in Go, and one in Python."""
    if isinstance(name, bool | int | float) and any(one == name and type(one) is not type(name) for one in out):
        raise BadYaml("keys of one mapping differ only by their types", line)


def _resolve(node: Node) -> tuple[str, Any]:
    """Tag and value of a scalar. Source: resolve.go, and decode.go, which leaves a timestamp a text."""
    tag, text = node.tag, node.value
    if tag == _STR or (not tag and not node.implicit):
        return _STR, text
    if tag == _BINARY:
        return tag, _binary(node)
    if tag not in ("", _BOOL, _INT, _FLOAT, _NULL, _TIMESTAMP):
        return tag, text
    found, value = _WORDS.get(text) or _number(text, tag)
    if tag == _FLOAT and found == _INT and value < 2**63:
        found, value = _FLOAT, float(value)
    if tag not in ("", found):
        raise BadYaml(f"cannot decode {found.replace(_TAG, '!!')} as a {tag.replace(_TAG, '!!')}", node.line)
    return found, value


def _number(text: str, tag: str) -> tuple[str, Any]:
    """Tag and value of a scalar that is no word of its own: a number, or a text."""
    if text.startswith("."):
        if _POINT_FLOAT.fullmatch(text) and math.isfinite(value := float(text)):
            return _FLOAT, value
    elif text[:1] in "+-0123456789":
        if tag in ("", _TIMESTAMP) and _DATE.fullmatch(text):
            return _TIMESTAMP, text
        plain = text.replace("_", "")
        if (integer := _integer(plain)) is not None:
            return _INT, integer
        if _STYLE_FLOAT.fullmatch(plain) and math.isfinite(value := float(plain)):
            return _FLOAT, value
    return _STR, text


def _integer(plain: str) -> int | None:
    value = None
    if match := _INTEGER.fullmatch(plain):
        sign, *digits = match.groups()
        value = next(int(one, base) for one, base in zip(digits, (16, 2, 8, 10), strict=True) if one)
        if sign:
            value = -value if sign == "-" else value
            return value if -(2**63) <= value < 2**63 else None
    elif match := _SIGNED_BINARY.fullmatch(plain):
        value = int(match[1] or f"-{match[2]}", 2)
    return value if value is not None and value in _INTEGERS else None


def _binary(node: Node) -> str:
    try:
        raw = binascii.a2b_base64(re.sub("[\r\n]", "", node.value), strict_mode=True)
    except ValueError:
        raise BadYaml("!!binary value contains invalid base64 data", node.line) from None
    return raw.decode("utf-8", "surrogateescape")


def _lines(value: Any) -> list[str]:
    """A value as lines that stand below its key, or after the `- ` of its item."""
    if isinstance(value, Mapping) and value:
        return [line for key, inner in value.items() for line in _entry(key, inner)]
    if isinstance(value, list | tuple) and value:
        return [line for item in value for line in _indented("- ", _lines(item))]
    if isinstance(value, str) and _fits_literal(value):
        return ["|" if value.endswith("\n") else "|-", *value.removesuffix("\n").split("\n")]
    return [_word(value)]


def _entry(key: Any, value: Any) -> list[str]:
    name, lines = _word(key), _lines(value)
    long = len(name) > _LONGEST_KEY
    above, head = ([f"? {name}"], ":") if long else ([], f"{name}:")
    if not isinstance(value, Mapping | list | tuple) or not value:
        return above + _indented(f"{head} ", lines)
    if isinstance(value, Mapping) or long:
        lines = _indented("  ", lines)
    return [*above, head, *lines]


def _indented(first: str, lines: list[str]) -> list[str]:
    return [first + lines[0], *(f"  {line}" if line else "" for line in lines[1:])]


def _word(value: Any) -> str:
    """A scalar or an empty collection on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN
        return str(value) if plain else _quoted(value)
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise ValueError(f"the integer {value} has more than 64 bits, which BOSH does not read as an integer")
        return str(int(value))
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping | list | tuple) and not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    raise ValueError(f"{type(value).__name__} has no form in the YAML of BOSH")


def _float(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, sign, exponent = repr(float(value)).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{sign}{exponent}"


def _quoted(text: str) -> str:
    """Text in double quotes, or in base64 if it has bytes that are no UTF-8, as go-yaml writes it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            raw = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError("a text has a surrogate in it, which stands for no character") from None
        return f'!!binary "{base64.b64encode(raw).decode()}"'
    return f'"{"".join(_ESCAPED.get(char) or (char if char.isprintable() else _escape(char)) for char in text)}"'


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _fits_literal(text: str) -> bool:
    """Whether a text of several lines is readable as it is, with nothing in it that needs an escape."""
    if "\n" not in text or text.startswith((" ", "\n")) or text.endswith("\n\n"):
        return False
    return all(line.isprintable() and not line.endswith(" ") for line in text.split("\n"))
