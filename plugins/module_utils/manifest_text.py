# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A director manifest as the operator wrote it: lines are cut out of the text, and nothing else changes."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils import bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.go_yaml import Events
from ansible_collections.bosh.ha.plugins.module_utils.manifests import property_homes, strip_dns_recursor_ops

YAML_IMPORT_ERROR: str | None
try:
    import yaml
    from yaml.composer import Composer
    from yaml.constructor import SafeConstructor
    from yaml.resolver import Resolver
except ImportError:
    YAML_IMPORT_ERROR = traceback.format_exc()
    Composer, SafeConstructor, Resolver = (type(name, (), {}) for name in ("C", "S", "R"))  # type: ignore
else:
    YAML_IMPORT_ERROR = None

#: What YAML takes for the end of a line.
_BREAKS = "\n\r\x85\u2028\u2029"
_COLON = re.compile(r"[ \t]*:")
#: What may follow on a line that is cut out: a comment, and the line's end.
_REST = re.compile(rf"[ \t]*(?:(?<=[ \t])#[^{_BREAKS}]*)?(?:\r\n|[{_BREAKS}]|\Z)")

#: A node, and whether only an alias or a merge key leads to it.
Reached = tuple[Any, bool]


def without_dns_recursor(text: str) -> tuple[str, list[str]]:
    """The text without the lines of every `dns.recursor`, global and per job, and the ops paths of those.

    A `dns:` that had nothing else is left as `dns: {}`, which is what an ops file leaves. Raises ValueError with
    the line where the lines cannot be cut out without a change to anything else; none of the text is told.
    """
    root, data = _parsed(text)
    paths = [operation["path"] for operation in _operations(data)]
    if not paths:
        return text, []
    edits: dict[tuple[int, int], str] = {}
    line = 0
    for key, dns in _dns_mappings(root):
        entries = list(_values(dns, "recursor"))
        for entry, value in entries:
            line = line or _line(entry)
            edits[_entry_lines(text, dns[0], entry, value)] = ""
        if entries and len(entries) == len(dns[0].value):
            at = _after_colon(text, key)
            edits[at, at] = " {}"
    changed = text
    for (begin, end), instead in sorted(edits.items(), reverse=True):
        changed = changed[:begin] + instead + changed[end:]
    _prove(data, changed, line)
    return changed, paths


def _prove(data: Any, changed: str, line: int) -> None:
    """Raises ValueError unless the changed text holds the same data but for every `dns.recursor`."""
    try:
        left = _parsed(changed)[1]
    except ValueError as error:
        raise ValueError(f"line {line}: something else depends on this dns.recursor ({error})") from error
    wanted = _unshared(data)
    for _path, properties, _job in property_homes(wanted):
        if isinstance(properties.get("dns"), dict):
            properties["dns"].pop("recursor", None)
    # As text: it tells 1, 1.0 and True apart and minds the order, and .nan is like itself.
    if repr(_unshared(left)) != repr(wanted):
        raise ValueError(f"line {line}: without this dns.recursor something else would change too")


def _parsed(text: str) -> tuple[Any, Any]:
    """The first document of a text, as nodes, in which merge keys are resolved, and as data."""
    try:
        data = bosh_yaml.load(text)
    except bosh_yaml.BadYaml as error:
        raise ValueError(f"line {error.line or 1}: this is no YAML: {error.problem}") from None
    if not isinstance(data, dict):
        raise ValueError("line 1: this is no manifest, as it holds no mapping")
    return _Nodes(text).first(), data


class _Nodes(Events, Composer, SafeConstructor, Resolver):
    """The nodes of a text with their marks, as PyYAML's loader has them, from the events of go-yaml."""

    def __init__(self, text: str) -> None:
        Events.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

    def first(self) -> Any:
        """The root of the first document, with the mappings of merge keys in place of those."""
        self.get_event()  # the stream's start
        root = self.compose_document()
        self._merge(root, set())
        return root

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; an anchor that was there before is another one from here on, which PyYAML refuses."""
        if not self.check_event(yaml.AliasEvent):
            self.anchors.pop(self.peek_event().anchor, None)
        return super().compose_node(parent, index)

    def _merge(self, node: Any, seen: set[int]) -> None:
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
        for one in node.value:
            for part in one if isinstance(one, tuple) else (one,):
                self._merge(part, seen)


def _operations(data: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        # Without what aliases share, which also ends an alias that holds itself.
        return strip_dns_recursor_ops(_unshared(data))
    except (KeyError, TypeError, AttributeError):
        raise ValueError("line 1: this is no manifest, as an instance group or a job in it has no name") from None
    except RecursionError:
        raise ValueError("line 1: an alias in it holds itself") from None


def _unshared(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _unshared(value) for key, value in data.items()}
    return [_unshared(item) for item in data] if isinstance(data, list) else data


def _dns_mappings(root: Any) -> Iterator[tuple[Any, Reached]]:
    """The key and the value of every mapping `dns`, in the homes that module_utils/manifests.py knows."""
    for _key, properties in _property_mappings((root, False)):
        for key, dns in _values(properties, "dns"):
            if isinstance(dns[0], yaml.MappingNode):
                yield key, dns


def _property_mappings(root: Reached) -> Iterator[tuple[Any, Reached]]:
    yield from _values(root, "properties")
    for _key, groups in _values(root, "instance_groups", "jobs"):
        for group in _items(groups):
            yield from _values(group, "properties")
            for _kind, jobs in _values(group, "jobs", "templates"):
                for job in _items(jobs):
                    yield from _values(job, "properties")


def _values(at: Reached, *names: str) -> Iterator[tuple[Any, Reached]]:
    """Key and value of every entry of that name. What is written before its place came by an alias."""
    node, foreign = at
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in names:
            yield key, (value, foreign or key.start_mark.index < node.start_mark.index or _before(value, key))


def _items(at: Reached) -> Iterator[Reached]:
    node, foreign = at
    if not isinstance(node, yaml.SequenceNode):
        return
    end = node.start_mark.index
    for item in node.value:
        aliased = item.start_mark.index < end
        end = end if aliased else item.end_mark.index
        yield item, foreign or aliased


def _before(node: Any, key: Any) -> bool:
    return bool(node.start_mark.index < key.start_mark.index)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _entry_lines(text: str, dns: Any, key: Any, value: Reached) -> tuple[int, int]:
    """Where the lines of an entry begin and end in the text."""
    line = _line(key)
    if value[1]:
        raise ValueError(f"line {line}: this dns.recursor is part of an alias or a merge key")
    if dns.flow_style:
        raise ValueError(f"line {line}: this dns.recursor is in a mapping in flow style, {{...}}")
    start = key.start_mark.index
    begin = max(text.rfind(mark, 0, start) for mark in _BREAKS) + 1
    rest = _REST.match(text, _end(text, value[0], key))
    if text[begin:start].strip(" ") or not rest:
        raise ValueError(f"line {line}: this dns.recursor shares its line with something else")
    return begin, rest.end()


def _end(text: str, node: Any, key: Any) -> int:
    """Where what is written of a node ends; its own mark may be as far as the next token."""
    if _before(node, key):
        raise ValueError(f"line {_line(key)}: the value of this dns.recursor has an alias in it")
    end = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode):
        # A block scalar has the breaks after it.
        return len(text[:end].rstrip(_BREAKS + " ")) if node.style in ("|", ">") else end
    if node.flow_style:
        return end
    last = node.value[-1]
    return max(_end(text, part, key) for part in (last if isinstance(last, tuple) else (last,)))


def _after_colon(text: str, key: Any) -> int:
    """Where the value of a key would begin that has it on the lines below."""
    colon = _COLON.match(text, key.end_mark.index)
    if not colon or not _REST.match(text, colon.end()):
        raise ValueError(f"line {_line(key)}: this dns has nothing but a recursor, and an anchor or a tag")
    return colon.end()
