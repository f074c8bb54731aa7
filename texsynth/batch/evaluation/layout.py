"""What the page of an evaluation says above its pictures, before it is HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Marked:
    """A figure that is held against a limit. passed: None without one. limit: in words."""

    value: float | None
    passed: bool | None
    limit: str


@dataclass(frozen=True)
class Spread:
    """A figure and the interval it may lie in, where that is known."""

    value: float
    low: float | None
    high: float | None


Value = str | float | Marked | Spread | None
"""What a cell of a table holds; None is unknown."""


@dataclass(frozen=True)
class Table:
    """A table of the page. name: its anchor."""

    name: str
    title: str
    note: str
    head: Sequence[str]
    """Of all columns but the first, which is the method."""
    rows: Sequence[tuple[str, Sequence[Value]]]
    """Method and values."""


@dataclass(frozen=True)
class Layout:
    """All that the kinds of evaluations do not share."""

    facts: Sequence[str]
    tables: Sequence[Table]
    columns: Sequence[str]
    """Measures of single results; the seconds follow them."""
    hints: Mapping[str, str]
    """By the name of a column: what it means and which way is better."""
