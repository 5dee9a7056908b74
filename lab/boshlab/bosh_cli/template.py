# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests: ``((variables))``, vars files, the vars store with its generated values, and YAML as the CLI writes it."""

from __future__ import annotations

import os
import re
import secrets
import string
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from boshlab.bosh_cli import gopatch
from boshlab.bosh_cli.errors import BoshError, FlagError, MultiError, doing

VARIABLE = re.compile(r"\(\((!?[-/.\w]+)\)\)")


class _Dumper(yaml.SafeDumper):
    """Go's YAML style: sequences not indented under their key, literal blocks for several lines, double quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_str(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    if "\n" in data:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|")
    # what would be read as another type is double quoted by Go, single quoted by PyYAML
    plain = dumper.resolve(yaml.ScalarNode, data, (True, False)) == "tag:yaml.org,2002:str"
    looks_bool = data.lower() in ("y", "n", "yes", "no", "on", "off")
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style='"' if not plain or looks_bool else None)


_Dumper.add_representer(str, _represent_str)
_Dumper.add_representer(type(None), lambda dumper, _data: dumper.represent_scalar("tag:yaml.org,2002:null", "null"))


class _Loader(yaml.SafeLoader):
    """Reads as gopkg.in/yaml.v2 v2.4.0 does, with which CLI v7.10.6 reads its files (resolve.go, scannerc.go).

    No dates, no base 60, but numbers with an exponent only; y and n are booleans; `=` is text; an unknown tag is
    ignored; a surrogate as an escape, an unknown directive and YAML 1.2 are refused.
    """

    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}

    def scan_flow_scalar_non_spaces(self, double: bool, start_mark: Any) -> list[str]:
        chunks: list[str] = super().scan_flow_scalar_non_spaces(double, start_mark)
        if any("\ud800" <= char <= "\udfff" for chunk in chunks for char in chunk):
            raise yaml.scanner.ScannerError(None, None, "found invalid Unicode character escape code", start_mark)
        return chunks

    def process_directives(self) -> Any:
        token = self.peek_token()
        if isinstance(token, yaml.DirectiveToken) and token.name not in ("YAML", "TAG"):
            raise yaml.scanner.ScannerError(None, None, "found unknown directive name", token.start_mark)
        found = super().process_directives()
        if self.yaml_version not in (None, (1, 1)):
            raise yaml.parser.ParserError(None, None, "found incompatible YAML document", token.start_mark)
        return found

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        digits = self.construct_scalar(node).replace("_", "").lower()
        return int(digits, 8) if "0o" in digits else super().construct_yaml_int(node)

    def construct_unknown(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self.construct_scalar(node)
        return self.construct_yaml_map(node) if isinstance(node, yaml.MappingNode) else self.construct_yaml_seq(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor(None, _Loader.construct_unknown)

_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in resolvers
        if tag.rpartition(":")[2] not in ("timestamp", "int", "float", "value")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"^(?:y|Y|n|N)$", "yYnN"),
    ("int", r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[oO]?[0-7_]*|[1-9][0-9_]*)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def load(text: str | bytes) -> Any:
    """YAML as plain data. Raises BoshError for what is no YAML."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        raise BoshError(f"yaml: line {where.line + 1}: {what}" if where else f"yaml: {what}") from error


def _sort_key(key: Any) -> list[tuple[int, int, str]]:
    """Digits count as numbers: ``a9`` comes before ``a10``."""
    parts = re.split(r"(\d+)", str(key))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=_sort_key)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def dump(value: Any) -> str:
    """Data as YAML, keys sorted, long lines folded."""
    out = yaml.dump(
        _sorted(value), Dumper=_Dumper, default_flow_style=False, sort_keys=False, width=80, allow_unicode=True
    )
    return out.removesuffix("...\n")


def read(path: str, what: str = "") -> str:
    """The text of a file, ``-`` being stdin; ``what`` begins the error."""
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BoshError(f"{what}Opening file {path}: open {path}: {reason}") from error


@dataclass
class VarsStore:
    """A vars store: a YAML file that is filled with generated values."""

    path: Path

    def load(self) -> dict[str, Any]:
        """All values; a missing file is an empty store."""
        if not self.path.exists():
            return {}
        with doing(f"Deserializing variables file store '{self.path}'"):
            return load(self.path.read_text("utf-8")) or {}

    def save(self, values: Mapping[str, Any]) -> None:
        """Write all values at once; only the owner may read them."""
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(dump(dict(values)))
            if self.path.exists():
                os.chmod(temporary, self.path.stat().st_mode & 0o7777)
            os.replace(temporary, self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@dataclass
class Variables:
    """Values given on the command line and in files first, then the store."""

    static: dict[str, Any] = field(default_factory=dict)
    store: VarsStore | None = None

    def get(self, name: str, definition: Mapping[str, Any]) -> tuple[Any, bool]:
        """The value and whether there is one; makes it in the store when the manifest defines its type."""
        if name in self.static:
            return self.static[name], True
        if self.store is None:
            return None, False
        values = self.store.load()
        if name in values:
            return values[name], True
        kind = definition.get("type")
        if not kind:
            return None, False
        with doing(f"Generating variable '{name}'"):
            value = self._generate(kind, definition.get("options") or {})
        values[name] = value
        self.store.save(values)
        return value, True

    def _generate(self, kind: str, options: Mapping[str, Any]) -> Any:
        if kind == "password":
            length = int(options.get("length", 20))
            return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))
        # Most commands generate nothing, and cryptography takes long to load.
        from boshlab.bosh_cli import generate

        if kind == "certificate":
            return generate.certificate(options, lambda name: self.get(name, {})[0])
        if kind == "rsa":
            return generate.rsa_pair()
        if kind == "ssh":
            return generate.ssh_pair()
        raise BoshError(f"Unsupported value type: {kind}")

    def names(self) -> set[str]:
        """Names of all values there are."""
        return set(self.static) | set(self.store.load() if self.store else {})


class _Lookup:
    """Finds variables for one manifest and remembers which were missing and used."""

    def __init__(self, variables: Variables, definitions: Sequence[Mapping[str, Any]]) -> None:
        self.variables = variables
        self.definitions = {str(d.get("name")): d for d in reversed(list(definitions))}
        self.missing: set[str] = set()
        self.used: set[str] = set()

    def top(self, name: str, visited: frozenset[str] = frozenset()) -> tuple[Any, bool]:
        self.used.add(name)
        if name in visited:
            raise BoshError("Detected recursion")
        definition = dict(self.definitions.get(name, {"name": name}))
        if "options" in definition:
            inner = _Lookup(self.variables, list(self.definitions.values()))
            with doing(f"Interpolating variable '{name}' definition options"):
                definition["options"] = _interpolate(definition["options"], inner, visited | {name})
            self.used |= inner.used
            if inner.missing:
                return None, False
        value, found = self.variables.get(name, definition)
        if not found:
            self.missing.add(name)
        return value, found

    def get(self, name: str, visited: frozenset[str] = frozenset()) -> tuple[Any, bool]:
        first, *rest = name.split(".")
        value, found = self.top(first, visited)
        if not found or not rest:
            return value, found
        path = "/" + "/".join(rest)
        try:
            return gopatch.find(value, gopatch.parse(path)), True
        except BoshError:
            # a key may look like an index
            return gopatch.find(value, [gopatch.Token("key", part) for part in rest]), True


def _interpolate(node: Any, lookup: _Lookup, visited: frozenset[str] = frozenset()) -> Any:
    if isinstance(node, dict):
        return {_interpolate(k, lookup, visited): _interpolate(v, lookup, visited) for k, v in node.items()}
    if isinstance(node, list):
        return [_interpolate(item, lookup, visited) for item in node]
    if not isinstance(node, str):
        return node
    whole = VARIABLE.fullmatch(node)
    for match in VARIABLE.findall(node):
        name = match.lstrip("!")
        with doing(f"Finding variable '{name}'"):
            value, found = lookup.get(name, visited)
        if not found:
            continue
        if whole:
            return value
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BoshError(
                f"Invalid type '{gopatch._go_type(value)}' for value '{_go_value(value)}' and variable '{name}'. "
                "Supported types for interpolation within a string are integers and strings."
            )
        node = node.replace(f"(({name}))", str(value)).replace(f"((!{name}))", str(value))
    return node


def _go_value(value: Any) -> str:
    """A value as Go's %v prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_go_value(v)}" for k, v in sorted(value.items(), key=str)) + "]"
    return "[" + " ".join(map(_go_value, value)) + "]" if isinstance(value, list) else str(value)


@dataclass
class TemplateFlags:
    """The flags ``-v -l --var-file --vars-env --vars-store -o`` of one command line."""

    vars: Sequence[str] = ()
    var_files: Sequence[str] = ()
    vars_files: Sequence[str] = ()
    vars_envs: Sequence[str] = ()
    vars_store: str | None = None
    ops_files: Sequence[str] = ()

    def variables(self) -> Variables:
        """All values the flags give. Raises FlagError for unreadable files and malformed flags."""
        static: dict[str, Any] = {}
        for prefix in self.vars_envs:
            for name, value in os.environ.items():
                if name.startswith(prefix + "_"):
                    static[name.removeprefix(prefix + "_")] = load(value)
        for path in self.vars_files:
            try:
                values = load(read(path, f"Reading variables file '{path}': "))
                if values is not None and not isinstance(values, dict):
                    raise BoshError(f"Deserializing variables file '{path}': Expected a map")
            except BoshError as error:
                raise FlagError("-l, --vars-file", "[]template.VarsFileArg", str(error)) from error
            static.update(values or {})
        for pair in self.var_files:
            try:
                name, path = _pair(pair)
                static[name] = read(path, f"Reading variable from file '{path}': ")
            except BoshError as error:
                raise FlagError("--var-file", "[]template.VarFileArg", str(error)) from error
        for pair in self.vars:
            try:
                name, value = _pair(pair)
                static[name] = load(value)
            except BoshError as error:
                raise FlagError("-v, --var", "[]template.VarKV", str(error)) from error
        store = VarsStore(Path(self.vars_store).expanduser().absolute()) if self.vars_store else None
        return Variables(static, store)

    def operations(self) -> list[gopatch.Operation]:
        """The operations of all ops files in order. Raises FlagError for unreadable and malformed ones."""
        found: list[gopatch.Operation] = []
        for path in self.ops_files:
            try:
                definitions = load(read(path, f"Reading ops file '{path}': "))
            except BoshError as error:
                raise FlagError(*gopatch.FLAG, str(error)) from error
            found += gopatch.operations(definitions, path)
        return found


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise BoshError(f"Expected var '{text}' to be in format 'name=value'")
    if not name:
        raise BoshError(f"Expected var '{text}' to specify non-empty name")
    if not value:
        raise BoshError(f"Expected var '{text}' to specify non-empty value")
    return name, value


def evaluate(
    text: str,
    flags: TemplateFlags,
    *,
    expect_found: bool = False,
    expect_used: bool = False,
) -> Any:
    """The manifest as data: operations first, then variables.

    Raises BoshError when an operation does not fit, or when variables are missing or unused and that was asked for.
    """
    variables = flags.variables()
    document = load(text)
    document = gopatch.apply(document, flags.operations())
    definitions = document.get("variables") if isinstance(document, dict) else None
    lookup = _Lookup(variables, definitions or [])
    for definition in definitions or []:
        if definition.get("type"):
            with doing("Getting all variables from variable definitions sections"):
                lookup.top(str(definition["name"]))
    document = _interpolate(document, lookup)
    errors: list[BoshError] = []
    if expect_found and lookup.missing:
        errors.append(BoshError("Expected to find variables", [_names(lookup.missing)]))
    unused = variables.names() - lookup.used
    if expect_used and unused:
        errors.append(BoshError("Expected to use variables", [_names(unused)]))
    if errors:
        raise MultiError(errors)
    return document


def _names(names: Iterable[str]) -> BoshError:
    return MultiError([BoshError(name) for name in sorted(names)])


def render(text: str, flags: TemplateFlags) -> str:
    """The manifest as the director gets it."""
    return dump(evaluate(text, flags))
