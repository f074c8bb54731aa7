"""Settings from people: what is wrong becomes one sentence with the key, its value, and the cure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from texsynth.errors import UsageError
from texsynth.strict_json import shown

M = TypeVar("M", bound=BaseModel)

LONGEST_NAME = 64  # Letters of a name that others are suggested for

Schema = Mapping[str, Any]

TYPES = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "text",
         "array": "a list", "object": "a mapping"}  # fmt: skip

BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most",
          "exclusiveMaximum": "less than", "minItems": "not shorter than", "maxItems": "not longer than",
          "minLength": "not shorter than", "maxLength": "not longer than",
          "maxProperties": "with no more entries than"}  # fmt: skip


def validate(kind: type[M], data: object, source: str | Callable[[tuple[str | int, ...]], str]) -> M:
    """Return `data` as `kind`. Raises UsageError for the first fault.

    source: how the message starts, or what tells it from the keys that lead to the fault.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # A misspelt key is also a missing one; what was written says more.
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        schema = kind.model_json_schema()
        sentence = _sentence(schema, first)
        if not isinstance(source, str):
            source = source(tuple(_walk(schema, [part for part in first["loc"] if part != "[key]"])[0]))
        raise UsageError(f"{source}: {sentence}" if source else sentence) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown `name`: the closest known one, or all."""
    known = sorted(known)
    # Comparing takes the product of both lengths.
    close = get_close_matches(name[:LONGEST_NAME], known, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _variants_with(root: Schema, key: str) -> list[str]:
    """Return the names of the kinds of settings, like those of transforms, that have the setting `key`."""
    kinds = [kind.get("properties", {}) for kind in root.get("$defs", {}).values()]
    return [kind["name"]["const"] for kind in kinds if key in kind and "const" in kind.get("name", {})]


def _sentence(root: Schema, error: Any) -> str:  # noqa: ANN401 (pydantic's error details)
    """Explain one error of pydantic by the JSON schema `root` of the settings."""
    where, kind, value, context = error["loc"], error["type"], error["input"], error.get("ctx", {})
    if where and where[-1] == "[key]":
        *path, wrong = _walk(root, where[:-1])[0]
        return f"the key {shown(wrong)} of {_dotted(path)} is refused: {error['msg'].lower()}"
    path, schema = _walk(root, where)
    key = _dotted(path)
    if kind == "extra_forbidden":
        properties = _walk(root, where[:-1])[1].get("properties", {})
        variant = properties.get("name", {}).get("const")
        inside = " of " + " ".join(filter(None, [_dotted(path[:-1]), variant])) if path[:-1] else ""
        owners = _variants_with(root, str(path[-1])) if variant else []
        cure = f"; set {_dotted(path[:-1])}.name={owners[0]} as well" if owners else None
        return f"unknown setting {shown(str(path[-1]))}{inside}{cure or nearest(str(path[-1]), properties)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = context["discriminator"].strip("'")
        name = value.get(tag) if isinstance(value, dict) else value
        known = context.get("expected_tags", "the known names")
        return f"{key or tag} {shown(name)} is unknown; use one of {known}"
    if kind == "value_error":
        return str(context["error"])
    return f"{key or 'the settings'} is {shown(value)} but must be {_allowed(schema)}"


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


def _walk(root: Schema, where: Sequence[str | int]) -> tuple[list[str | int], Schema]:
    """Follow a pydantic location through a JSON schema; union tags are no part of the path."""
    schema, path = _resolved(root, root), []
    for part in where:
        mapping = schema.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            schema = _resolved(root, {"$ref": mapping[part]})
            continue
        branch = next((one for one in schema.get("oneOf", ()) if one.get("title") == part), None)
        if branch:
            schema = _resolved(root, branch)
            continue
        path.append(part)
        places: dict[str | int, Schema] = dict(enumerate(schema.get("prefixItems", ())))
        inner = schema.get("properties", {}).get(part) or places.get(part) or schema.get("items")
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
    bounds = [f"{word} {schema[name]}" for name, word in BOUNDS.items() if name in schema]
    return " ".join([TYPES.get(schema.get("type", ""), "of another kind"), " and ".join(bounds)]).strip()
