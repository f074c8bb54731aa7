"""Keys, ranges and defaults of settings, as the tables of presets.md show them."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

BOUNDS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


def settings_rows(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, range and default of all fields, those of inner settings among them.

    `transform` and its `name`, which choose between classes, are left out.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, field in kind.model_fields.items():
        if name in ("transform", "name"):
            continue
        if isinstance(field.default, BaseModel):
            yield from settings_rows(type(field.default), f"{prefix}{name}.")
        else:
            yield prefix + name, allowed(hints[name]), shown(field.default)


def shown(value: object) -> str:
    """Return a default as YAML has it."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def allowed(kind: Any, bounds: Sequence[tuple[str, float]] = ()) -> str:  # noqa: ANN401 (types as values)
    """Return in words which values a type takes."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return allowed(inner[0], [*_bounds(inner[1:]), *bounds])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("`null`" if part is type(None) else allowed(part, bounds) for part in inner)
    if origin is tuple:
        count = "" if inner[-1] is Ellipsis else f" {len(inner)}:"
        return f"list of{count} {allowed(inner[0])}"
    if origin is dict:
        return f"{allowed(inner[0])} → {allowed(inner[1])}"
    return {bool: "`true`, `false`", str: "text", float: _range(bounds), int: f"whole, {_range(bounds)}"}[
        kind
    ]


def _bounds(metadata: Sequence[Any]) -> Iterator[tuple[str, float]]:
    for item in metadata:
        yield from _bounds(getattr(item, "metadata", ()))
        yield from ((words, getattr(item, name)) for name, words in BOUNDS if hasattr(item, name))


def _range(bounds: Sequence[tuple[str, float]]) -> str:
    limits = {words: f"{value:g}" for words, value in bounds}
    if set(limits) == {"at least", "at most"}:
        return f"{limits['at least']} to {limits['at most']}"
    return " and ".join(f"{words} {value}" for words, value in limits.items())
