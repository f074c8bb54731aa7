"""The extreme values that each key of the settings may have by its type."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

LARGEST = {float: math.nextafter(math.inf, 0), int: 2**63}
"""Where no bound is set: the largest number of its type, for whole numbers that of a word and one more."""


def extreme_values(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield pairs of a key and a value that is legal for it, inner settings and all variants included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, field in kind.model_fields.items():
        if name == "name":  # chooses between classes
            continue
        inner = _classes(hints[name])
        for each in inner:
            yield from extreme_values(each, f"{prefix}{name}.")
        if not inner:
            values = list(_extremes(hints[name], field.metadata))
            yield from ((prefix + name, v) for i, v in enumerate(values) if v not in values[:i])


def variants(kind: type[BaseModel], name: str) -> dict[str, list[str]]:
    """Return the names of the variants that `name` of `kind` has, each with its keys."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {each.model_fields["name"].default: list(each.model_fields) for each in _classes(hints[name])}


def _classes(kind: Any) -> list[type[BaseModel]]:  # noqa: ANN401 (types as values)
    if isinstance(kind, type):
        return [kind] if issubclass(kind, BaseModel) else []
    return [each for part in get_args(kind) for each in _classes(part)]


def _extremes(kind: Any, metadata: Sequence[Any] = ()) -> Iterator[Any]:  # noqa: ANN401 (as above)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        yield from _extremes(inner[0], [*inner[1:], *metadata])
    elif origin is typing.Literal:
        yield from inner
    elif origin in (typing.Union, types.UnionType):
        for part in inner:
            yield from _extremes(part, metadata)
    elif kind is type(None):
        yield None
    elif kind is bool:
        yield from (False, True)
    elif kind in (int, float):
        yield from _numbers(kind, dict(_bounds(metadata)))
    elif origin is dict:
        yield {}
        keys = list(_extremes(inner[0]))
        for value in _extremes(inner[1]):
            yield from ({key: value} for key in (min(keys), max(keys)))
    elif origin is tuple and inner[-1] is Ellipsis:
        least = dict(_bounds(metadata)).get("min_length", 0)
        for value in _extremes(inner[0]):
            yield from ([value] * count for count in (least, least + 1))
    elif origin is tuple:
        values = [list(_extremes(part)) for part in inner]
        for one in values[0]:
            yield [one] * len(inner)
        for place in range(len(inner)):
            yield [max(v) if i == place else min(v) for i, v in enumerate(values)]


def _numbers(kind: type, bounds: dict[str, Any]) -> Iterator[Any]:
    """Both bounds, and where one is not legal the next number inside of it and one a person would write."""
    low: Any = bounds.get("ge", bounds.get("gt"))
    high: Any = bounds.get("le", bounds.get("lt"))
    if "gt" in bounds:
        span = (1 if high is None else high) - low
        yield from (math.nextafter(low, math.inf), low + span * 1e-6)
    else:
        yield kind(low)
    if "lt" in bounds:
        yield math.nextafter(high, -math.inf) if kind is float else high - 1
    else:
        yield LARGEST[kind] if high is None else kind(high)


def _bounds(metadata: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for item in metadata:
        yield from _bounds(getattr(item, "metadata", ()))
        yield from ((n, getattr(item, n)) for n in ("ge", "gt", "le", "lt", "min_length") if hasattr(item, n))
