"""An earlier table, compared pair by pair."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel

from texsynth.config.validation import validated
from texsynth.errors import InputError, UsageError
from texsynth.evaluation.bootstrap import Estimate
from texsynth.evaluation.stylize_scores import LESS_IS_BETTER
from texsynth.images import read_bytes

Key = tuple[str, str, str]
"""Hash of the content, hash of the style, method."""

Figures = Mapping[str, float]
"""Of one result, by name."""


class _Picture(BaseModel):
    sha256: str | None


class _Result(BaseModel):
    method: str
    seconds: float | None
    measures: dict[str, Any] | None


class _Pair(BaseModel):
    content: _Picture
    style: _Picture
    results: list[_Result]


class _Features(BaseModel):
    model: str
    sha256: str


class _Versions(BaseModel):
    texsynth: str


class _Table(BaseModel):
    command: Literal["evaluate stylize"]
    versions: _Versions
    features: _Features
    max_side: int | None
    pairs: list[_Pair]


@dataclass(frozen=True)
class Baseline:
    """What an earlier evaluation measured, and how."""

    path: Path
    version: str
    """Of texsynth."""
    features: str
    """Hash of the network that measured."""
    max_side: int | None
    figures: Mapping[Key, Figures]

    def check(self, features: str, max_side: int | None) -> None:
        """UsageError when figures measured now would mean something else."""
        if self.max_side != max_side:
            raise UsageError(
                f"the baseline {self.path} was made with --max-side {self.max_side}, not {max_side}; "
                f"give the same"
            )
        if self.features != features:
            raise UsageError(
                f"the baseline {self.path} was measured by another network; give the same --features"
            )


@dataclass(frozen=True)
class Difference:
    """A figure of a method now minus then, over the pairs that both tables have."""

    method: str
    measure: str
    estimate: Estimate
    better: float
    """Share of the pairs where it is better now."""


@dataclass(frozen=True)
class Compared:
    """Two tables side by side; results without a partner are counted."""

    differences: tuple[Difference, ...]
    matched: int
    only_here: int
    only_there: int


def read_baseline(path: Path) -> Baseline:
    """The table in the file `path`. Raises InputError for anything but the table of such an evaluation."""
    try:
        data = json.loads(read_bytes(path).decode())
        table = validated(_Table, data, "")
    except (ValueError, RecursionError) as error:
        raise InputError(f"the baseline {path} is not JSON ({error}); give a table.json") from None
    except UsageError as error:
        raise InputError(f"the baseline {path} is no table of `texsynth evaluate stylize`: {error}") from None
    figures = {
        (pair.content.sha256, pair.style.sha256, result.method): _figures(result)
        for pair in table.pairs
        if pair.content.sha256 and pair.style.sha256
        for result in pair.results
        if result.measures is not None
    }
    return Baseline(path, table.versions.texsynth, table.features.sha256, table.max_side, figures)


def compared(now: Mapping[Key, Figures], then: Mapping[Key, Figures], seed: int) -> Compared:
    """Pair by pair, for every method and figure that both have. seed: of the bootstrap."""
    both = [key for key in now if key in then]
    methods = dict.fromkeys(method for *_, method in both)
    differences = [
        difference
        for method in methods
        for difference in _differences(
            method, [(now[key], then[key]) for key in both if key[2] == method], seed
        )
    ]
    return Compared(tuple(differences), len(both), len(now) - len(both), len(then.keys() - now.keys()))


def _differences(method: str, pairs: Sequence[tuple[Figures, Figures]], seed: int) -> Iterable[Difference]:
    for name, less in LESS_IS_BETTER.items():
        found = [a[name] - b[name] for a, b in pairs if name in a and name in b]
        estimate = Estimate.of(found, seed)
        if estimate:
            better = fmean((d < 0) if less else (d > 0) for d in found)
            yield Difference(method, name, estimate, better)


def _figures(result: _Result) -> dict[str, float]:
    values = {**(result.measures or {}), "seconds": result.seconds}
    return {
        name: float(value)
        for name, value in values.items()
        if name in LESS_IS_BETTER and isinstance(value, int | float) and math.isfinite(value)
    }
