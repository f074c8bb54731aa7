"""YAML from people and from results: plain data of a few kinds, or one sentence that says what is wrong.

PyYAML alone takes 1e-5 for text and `on` for true, and its constructors of tags like !!bool raise errors of
every kind for values that they do not fit.
"""

import math
import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

from texsynth.errors import UsageError
from texsynth.strict_json import fault_of_text, shown

MAX_BYTES = 64 * 1024
MAX_DEPTH = 12

SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
)
"""Tag, pattern and first characters of plain scalars; a value with such a tag has to fit the pattern too."""

TAG = "tag:yaml.org,2002:"


Keys = tuple[str | int, ...]


def parse(text: str, *, source: str, lines: dict[Keys, int] | None = None) -> object:
    """Return the data in the YAML `text`. source: its name in messages. Raises UsageError.

    lines: gets the line, from 1, of every key of its mappings, by the keys that lead there.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UsageError(f"{source} is larger than {MAX_BYTES // 1024} KiB")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if lines is not None and node is not None:
            loader.number(node, (), lines)
        return None if node is None else loader.construct_document(node)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(f"{source} is not valid YAML{where}: {error.problem}") from None
    # What else the library raises for bytes and escapes that are no text.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise UsageError(f"{source} is not valid YAML: {str(error).split(chr(10))[0]}") from None


def dump(data: object) -> str:
    """Return `data` as YAML that `parse` reads as the same, keys in the given order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def inline(data: object) -> str:
    """Return `data` as YAML on one line."""
    text = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6
    )
    return text.removesuffix("\n").removesuffix("\n...")


def as_ascii(text: str) -> str:
    """Write the YAML of `text` again, with escapes for all that is not ASCII."""
    return text if text.isascii() else yaml.dump(yaml.safe_load(text), Dumper=_Dumper, sort_keys=False)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that the loader would take for numbers."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}  # None of the many that PyYAML has

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            raise UsageError("aliases (*name) are not allowed")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UsageError(f"more than {MAX_DEPTH} levels are nested")
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def number(self, node: Node, path: Keys, lines: dict[Keys, int]) -> None:
        """Put the lines of all keys below `node`, which is at `path`, into `lines`."""
        for key_node, value in node.value if isinstance(node, MappingNode) else ():
            if isinstance(key_node, ScalarNode):
                key: Any = self.construct_object(key_node, deep=True)
                lines[(*path, key)] = key_node.start_mark.line + 1
                self.number(value, (*path, key), lines)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, object]:
        keys: set[Hashable] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, ScalarNode):
                raise _refusal(key_node, "a key is a list or a mapping")
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise UsageError(f"the key {shown(key)} is given twice")
            keys.add(key)
        # Not that of SafeLoader, which has keys of its own that merge other mappings.
        return yaml.constructor.BaseConstructor.construct_mapping(self, node, deep)

    def construct_value(self, node: Node) -> object:
        """Return the value of a scalar, which fits the pattern of its tag."""
        if not isinstance(node, ScalarNode):
            raise _refusal(node, f"a list or a mapping is no {_name(node)}")
        text, kind = node.value, node.tag.removeprefix(TAG)
        if kind == "str":
            if fault := fault_of_text(text):
                raise _refusal(node, fault)
            return text
        if not any(tag == kind and re.fullmatch(pattern, text) for tag, pattern, _ in SCALARS):
            raise _refusal(node, f"{shown(text)} is no {_name(node)}")
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            value = int(text) if len(text) <= 21 else 1 << 64
            if abs(value) >= 1 << 64:
                raise _refusal(node, f"the number {shown(text)} is too large")
            return value
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if math.isinf(number) and "inf" not in text.lower():
            raise _refusal(node, f"the number {shown(text)} is too large")
        return number

    def refuse(self, node: Node) -> object:
        """Raise for a tag that no setting and no record has."""
        raise _refusal(node, f"the tag {shown(_name(node))} is not known here")


def _name(node: Node) -> str:
    return node.tag.replace(TAG, "!!")


def _refusal(node: Node, problem: str) -> ConstructorError:
    return ConstructorError(None, None, problem, node.start_mark)


for tag in ("null", "bool", "int", "float", "str"):
    _Loader.add_constructor(TAG + tag, _Loader.construct_value)
_Loader.add_constructor(f"{TAG}seq", _Loader.construct_yaml_seq)  # type: ignore[type-var]
_Loader.add_constructor(f"{TAG}map", _Loader.construct_yaml_map)  # type: ignore[type-var]
_Loader.add_constructor(None, _Loader.refuse)
for tag, pattern, first in SCALARS:
    for kind in (_Loader, _Dumper):
        kind.add_implicit_resolver(TAG + tag, re.compile(rf"^(?:{pattern})$"), first)
