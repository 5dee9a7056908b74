# SPDX-License-Identifier: GPL-3.0-or-later
"""Ops files: the operations and paths of go-patch, as the CLI's ``-o`` takes them.

Paths: ``/key``, ``/key?`` (made when missing, and all that follows), ``/0``, ``/-1``, ``/-`` (after the last),
``/name=value``, with ``:before :after :prev :next`` and the escapes ``~0 ~1 ~7``.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from boshlab.bosh_cli.errors import BoshError, FlagError

KINDS = ("replace", "remove", "test")
# ops files are read while the command line is
FLAG = ("-o, --ops-file", "[]opts.OpsFileArg")
GO_MODIFIER = {m: f"patch.{m.capitalize()}Modifier" for m in ("prev", "next", "before", "after")}


@dataclass(frozen=True)
class Token:
    """One part of a path: kind ``index``, ``last``, ``match`` or ``key``."""

    kind: str
    key: str = ""
    value: str = ""
    index: int = 0
    optional: bool = False
    modifiers: tuple[str, ...] = ()


def _encode(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1").replace(":", "~7")


def _decode(text: str) -> str:
    return re.sub("~[017]", lambda match: {"~0": "~", "~1": "/", "~7": ":"}[match.group()], text)


def parse(path: str) -> list[Token]:
    """Tokens of a path; the empty path is the whole document. Raises BoshError for a malformed one."""
    if not path:
        return []
    if not path.startswith("/"):
        raise BoshError("Expected to start with '/'")
    tokens: list[Token] = []
    optional = False
    parts = path.split("/")[1:]
    for place, part in enumerate(parts):
        name, *modifiers = part.split(":")
        for modifier in modifiers:
            if modifier not in GO_MODIFIER:
                raise BoshError(
                    "Expected to find one of the following modifiers: 'prev', 'next', 'before', or 'after' "
                    f"but found '{modifiers[0]}'"
                )
        name = _decode(name)
        if place == len(parts) - 1 and name == "-":
            if modifiers:
                raise BoshError("Expected not to find any modifiers with after last index token")
            tokens.append(Token("last"))
            continue
        if re.fullmatch(r"[+-]?\d+", name):
            tokens.append(Token("index", index=int(name), modifiers=tuple(modifiers)))
            continue
        # once a part is optional, all parts after it are
        optional = optional or name.endswith("?")
        if "=" in name:
            key, value = name.split("=", 1)
            tokens.append(Token("match", key, value.removesuffix("?"), 0, optional, tuple(modifiers)))
            continue
        if modifiers:
            raise BoshError("Expected not to find any modifiers with key token")
        tokens.append(Token("key", name.removesuffix("?"), optional=optional))
    return tokens


def text(tokens: list[Token]) -> str:
    """The path as the error messages show it."""
    parts = [""]
    marked = False
    for token in tokens:
        mods = "".join(f":{m}" for m in token.modifiers)
        mark = "?" if token.optional and not marked else ""
        marked = marked or bool(mark)
        if token.kind == "index":
            parts.append(f"{token.index}{mods}")
        elif token.kind == "last":
            parts.append("-")
        elif token.kind == "match":
            parts.append(f"{_encode(token.key)}={_encode(token.value)}{mark}{mods}")
        else:
            parts.append(f"{_encode(token.key)}{mark}")
    return "/".join(parts)


def _go_type(value: Any) -> str:
    if value is None:
        return "<nil>"
    names = {dict: "map[interface {}]interface {}", list: "[]interface {}", str: "string", bool: "bool"}
    return names.get(type(value), {int: "int", float: "float64"}.get(type(value), type(value).__name__))


def _array(obj: Any, path: list[Token]) -> list[Any]:
    if not isinstance(obj, list):
        raise BoshError(f"Expected to find an array at path '{text(path)}' but found '{_go_type(obj)}'")
    return obj


def _map(obj: Any, path: list[Token]) -> dict[Any, Any]:
    if not isinstance(obj, dict):
        raise BoshError(f"Expected to find a map at path '{text(path)}' but found '{_go_type(obj)}'")
    return obj


def _missing_key(token: Token, path: list[Token], obj: dict[Any, Any]) -> BoshError:
    keys = sorted(key for key in obj if isinstance(key, str))
    around = "found map keys: '" + "', '".join(keys) + "'" if obj else "found no other map keys"
    return BoshError(f"Expected to find a map key '{token.key}' for path '{text(path)}' ({around})")


def _index(index: int, modifiers: tuple[str, ...], array: list[Any], path: list[Token]) -> int:
    for modifier in modifiers:
        if modifier not in ("prev", "next"):
            raise BoshError(
                "Expected to find one of the following modifiers: 'prev', 'next', "
                f"but found modifier '{GO_MODIFIER[modifier]}'"
            )
        index += 1 if modifier == "next" else -1
    if index >= len(array) or -index - 1 >= len(array):
        raise BoshError(
            f"Expected to find array index '{index}' but found array of length '{len(array)}' for path '{text(path)}'"
        )
    return index + len(array) if index < 0 else index


def _insert(index: int, token: Token, array: list[Any], path: list[Token], value: Any) -> list[Any]:
    """The array with the value at, before or after the index."""
    moves: list[str] = []
    side = ""
    for modifier in token.modifiers:
        if side:
            raise BoshError(
                f"Expected to not find any modifiers after '{side}' modifier, "
                f"but found modifier '{GO_MODIFIER[modifier]}'"
            )
        if modifier in ("before", "after"):
            side = modifier
        else:
            moves.append(modifier)
    place = _index(index, tuple(moves), array, path)
    if not side:
        array[place] = value
        return array
    place += side == "after"
    return [*array[:place], value, *array[place:]]


def _matches(token: Token, array: list[Any]) -> list[int]:
    # as in go-patch the value must be a string that is equal: a number never matches
    return [i for i, item in enumerate(array) if isinstance(item, dict) and _equal(item.get(token.key), token.value)]


def _equal(found: Any, wanted: str) -> bool:
    return isinstance(found, str) and found == wanted


def _one_match(token: Token, array: list[Any], path: list[Token]) -> int:
    found = _matches(token, array)
    if len(found) != 1:
        raise BoshError(
            f"Expected to find exactly one matching array item for path '{text(path)}' but found {len(found)}"
        )
    return found[0]


def replace(doc: Any, tokens: list[Token], value: Any) -> Any:
    """The document with the value at the path."""
    value = copy.deepcopy(value)
    if not tokens:
        return value
    holder = [doc]
    update: Callable[[Any], None] = _setter(holder, 0)
    obj = doc
    for place, token in enumerate(tokens):
        last = place == len(tokens) - 1
        path = tokens[: place + 1]
        if token.kind == "index":
            array = _array(obj, path)
            if last:
                update(_insert(token.index, token, array, path, value))
            else:
                at = _index(token.index, token.modifiers, array, path)
                obj, update = array[at], _setter(array, at)
        elif token.kind == "last":
            update([*_array(obj, path), value])
        elif token.kind == "match":
            array = _array(obj, path)
            if token.optional and not _matches(token, array):
                if last:
                    update([*array, value])
                else:
                    obj = {token.key: token.value}
                    grown = [*array, obj]
                    update(grown)
                    update = _setter(grown, len(grown) - 1)
            elif last:
                update(_insert(_one_match(token, array, path), token, array, path, value))
            else:
                at = _index(_one_match(token, array, path), token.modifiers, array, path)
                obj, update = array[at], _setter(array, at)
        else:
            mapping = _map(obj, path)
            if token.key not in mapping and not token.optional:
                raise _missing_key(token, path, mapping)
            if last:
                mapping[token.key] = value
                continue
            if token.key not in mapping:
                following = tokens[place + 1].kind
                if following == "index":
                    raise BoshError(
                        "Expected to find key, matching index or after last index token at path "
                        f"'{text(tokens[: place + 2])}'"
                    )
                mapping[token.key] = {} if following == "key" else []
            obj, update = mapping[token.key], _setter(mapping, token.key)
    return holder[0]


def _setter(container: Any, key: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        container[key] = value

    return put


def remove(doc: Any, tokens: list[Token]) -> Any:
    """The document without what is at the path."""
    if not tokens:
        raise BoshError("Cannot remove entire document")
    obj = doc
    for place, token in enumerate(tokens):
        last = place == len(tokens) - 1
        path = tokens[: place + 1]
        if token.kind == "last":
            raise BoshError(f"Expected to not find token 'patch.AfterLastIndexToken' at path '{text(path)}'")
        if token.kind == "key":
            mapping = _map(obj, path)
            if token.key not in mapping:
                if token.optional:
                    return doc
                raise _missing_key(token, path, mapping)
            if last:
                del mapping[token.key]
            else:
                obj = mapping[token.key]
            continue
        array = _array(obj, path)
        if token.kind == "match":
            if token.optional and not _matches(token, array):
                return doc
            at = _index(_one_match(token, array, path), token.modifiers, array, path)
        else:
            at = _index(token.index, token.modifiers, array, path)
        if last:
            del array[at]
        else:
            obj = array[at]
    return doc


def find(doc: Any, tokens: list[Token]) -> Any:
    """What is at the path; an optional part that is missing yields None. Raises BoshError when not found."""
    obj = doc
    for place, token in enumerate(tokens):
        last = place == len(tokens) - 1
        path = tokens[: place + 1]
        if token.kind == "last":
            raise BoshError(f"Expected to not find token 'patch.AfterLastIndexToken' at path '{text(path)}'")
        if token.kind == "key":
            mapping = _map(obj, path)
            if token.key not in mapping:
                if not token.optional:
                    raise _missing_key(token, path, mapping)
                # what would be made there is what is found
                if last:
                    return None
                if tokens[place + 1].kind == "index":
                    raise BoshError(
                        "Expected to find key, matching index or after last index token at path "
                        f"'{text(tokens[: place + 2])}'"
                    )
                obj = {} if tokens[place + 1].kind == "key" else []
            else:
                obj = mapping[token.key]
            continue
        array = _array(obj, path)
        if token.kind == "index":
            obj = array[_index(token.index, token.modifiers, array, path)]
        elif token.optional and not _matches(token, array):
            obj = {token.key: token.value}
        else:
            obj = array[_index(_one_match(token, array, path), token.modifiers, array, path)]
    return obj


def test(doc: Any, tokens: list[Token], value: Any, *, absent: bool) -> Any:
    """The document as it is, if it holds (or lacks) what the operation expects."""
    if absent:
        if tokens:
            try:
                find(doc, tokens)
            except BoshError:
                return doc
        raise BoshError(f"Expected to not find '{text(tokens)}'")
    if find(doc, tokens) != value:
        raise BoshError("Found value does not match expected value")
    return doc


@dataclass(frozen=True)
class Operation:
    """One operation of an ops file; ``failed`` is what is said when it cannot be done."""

    kind: str
    tokens: tuple[Token, ...]
    value: Any
    absent: bool
    failed: str


def operations(definitions: Any, source: str) -> list[Operation]:
    """The operations of one ops file, which ``source`` names. Raises FlagError for malformed ones."""
    found = []
    if definitions is not None and not isinstance(definitions, list):
        kind = "!!map" if isinstance(definitions, dict) else f"!!str `{str(definitions)[:10]}`"
        why = f"yaml: unmarshal errors:\n  line 1: cannot unmarshal {kind} into []patch.OpDefinition"
        raise FlagError(*FLAG, f"Deserializing ops file '{source}': {why}")
    for number, definition in enumerate(definitions or []):
        failed = f"operation [{number}] in {source} failed"
        definition = definition if isinstance(definition, dict) else {}
        try:
            found.append(_operation(definition, failed))
        except BoshError as error:
            kind = str(definition.get("type", ""))
            label = f"{kind.capitalize()} operation [{number}]: {error}"
            if kind not in KINDS:
                label = f"Unknown operation [{number}] with type '{kind}'"
            shown = {**definition, "error": failed}
            if shown.get("value") is not None:
                shown["value"] = "<redacted>"
            keys = [key for key in ("type", "path", "value", "absent", "error") if shown.get(key) is not None]
            within = json.dumps({key.capitalize(): shown[key] for key in keys}, indent=2)
            raise FlagError(*FLAG, f"Building ops: {label} within\n{within}") from error
    return found


def apply(doc: Any, found: list[Operation]) -> Any:
    """The document after all operations. Raises BoshError in the CLI's words."""
    for operation in found:
        tokens = list(operation.tokens)
        try:
            if operation.kind == "replace":
                doc = replace(doc, tokens, operation.value)
            elif operation.kind == "remove":
                doc = remove(doc, tokens)
            else:
                doc = test(doc, tokens, operation.value, absent=operation.absent)
        except BoshError as error:
            raise BoshError(f"Error '{operation.failed}': {error}") from error
    return doc


def _operation(definition: dict[str, Any], failed: str) -> Operation:
    kind, value = str(definition.get("type", "")), definition.get("value")
    if kind not in KINDS:
        raise BoshError(kind)
    if definition.get("path") is None:
        raise BoshError("Missing path")
    if kind == "replace" and value is None:
        raise BoshError("Missing value")
    if kind == "remove" and value is not None:
        raise BoshError("Cannot specify value")
    if kind == "test" and value is None and definition.get("absent") is None:
        raise BoshError("Missing value or absent")
    try:
        tokens = tuple(parse(str(definition["path"])))
    except BoshError as error:
        raise BoshError(f"Invalid path: {error}") from error
    return Operation(kind, tokens, value, bool(definition.get("absent")), failed)
