"""Refused settings in one sentence: the key, its value, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node

from texsynth.errors import UsageError

M = TypeVar("M", bound=BaseModel)

Schema = Mapping[str, Any]

TYPES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}

BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "more than"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
    ("minItems", "not shorter than"),
)


def validate(kind: type[M], data: object, source: str) -> M:
    """`data` as `kind`; the first thing wrong with it becomes a UsageError that starts with `source`."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # A misspelt key is also a missing one; what was written says more.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        sentence = _sentence(kind, first)
        raise UsageError(f"{source}: {sentence}" if source else sentence) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """How a message about an unknown `name` ends: with the closest known one, or with all."""
    known = sorted(known)
    close = get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _sentence(kind: type[BaseModel], error: Any) -> str:  # noqa: ANN401 (pydantic's error details)
    where: Sequence[str | int] = error["loc"]
    if where and where[-1] == "[key]":
        inside = ".".join(map(str, where[:-2]))
        return f"the key {where[-2]!r} of {inside} is refused: {error['msg'].lower()}"
    path, schema = _walk(kind.model_json_schema(), where)
    key, value = ".".join(map(str, path)) or "the settings", error["input"]
    if error["type"] == "extra_forbidden":
        parent = ".".join(map(str, path[:-1]))
        _, owner = _walk(kind.model_json_schema(), where[:-1])
        variant = owner.get("properties", {}).get("name", {}).get("const")
        inside = f" of {parent}{f' {variant}' if variant else ''}" if parent else ""
        return (
            f"unknown setting {str(path[-1])!r}{inside}{nearest(str(path[-1]), owner.get('properties', {}))}"
        )
    if error["type"] == "missing":
        return f"{key} is missing"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag = error["ctx"]["discriminator"].strip("'")
        name = value.get(tag) if isinstance(value, dict) else value
        what = key if path else tag
        return (
            f"{what} {name!r} is unknown; use one of {error['ctx'].get('expected_tags', 'the known names')}"
        )
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{key} is {value!r} but must be {_allowed(schema)}"


def _walk(root: Schema, where: Sequence[str | int]) -> tuple[list[str | int], Schema]:
    """Follow a pydantic location through a JSON schema; union tags are no part of the path."""
    schema, path = _resolved(root, root), []
    for part in where:
        mapping = schema.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            schema = _resolved(root, {"$ref": mapping[part]})
            continue
        path.append(part)
        inner = schema.get("properties", {}).get(part) or schema.get("items")
        if inner is None:
            patterns = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            inner = next((p for p in patterns if isinstance(p, dict)), {})
        schema = _resolved(root, inner)
    return path, schema


def _resolved(root: Schema, schema: Schema) -> Schema:
    optional = [other for other in schema.get("anyOf", ()) if other.get("type") != "null"]
    if len(optional) == 1:
        schema = optional[0]
    reference = schema.get("$ref")
    if not reference:
        return schema
    return {**root["$defs"][reference.rsplit("/", 1)[1]], **{k: v for k, v in schema.items() if k != "$ref"}}


def _allowed(schema: Schema) -> str:
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "discriminator" in schema:
        return f"a mapping with a name, one of {', '.join(schema['discriminator']['mapping'])}"
    if "minimum" in schema and "maximum" in schema:
        return f"{TYPES[schema['type']]} from {schema['minimum']} to {schema['maximum']}"
    bounds = [f"{word} {schema[name]}" for name, word in BOUNDS if name in schema]
    return " ".join([TYPES.get(schema.get("type", ""), "of another kind"), " and ".join(bounds)]).strip()


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


def as_ascii(text: str) -> str:
    """The YAML of `text` with escapes for all that is not ASCII."""
    return text if text.isascii() else yaml.safe_dump(yaml.safe_load(text), sort_keys=False)
