"""YAML that is only data: small, shallow, without aliases or repeated keys, numbers read as in YAML 1.2."""

from __future__ import annotations

import re
from collections.abc import Hashable

import yaml
from yaml.nodes import MappingNode, Node

from texsynth.errors import UsageError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 12

SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
)
"""Tag, pattern and first characters of plain scalars; PyYAML alone takes 1e-5 for text and `on` for true."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

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

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise UsageError(f"the key {key!r} is given twice")
        return super().construct_mapping(node, deep)


for tag, pattern, first in SCALARS:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}",
        re.compile(rf"^(?:{pattern})$"),
        [*first, ""] if tag == "null" else list(first),
    )


def parse(text: str, *, source: str) -> object:
    """The data in `text`. source: what messages call it. Raises UsageError."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UsageError(f"{source} is larger than {MAX_BYTES // 1024} KiB")
    try:
        return yaml.load(text, _Loader)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(f"{source} is not valid YAML{where}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise UsageError(f"{source} is not valid YAML: {str(error).splitlines()[0]}") from None


def dump(data: object) -> str:
    """`data` as YAML, keys in the given order."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
