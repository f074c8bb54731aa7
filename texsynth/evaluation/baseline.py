"""An earlier table of `evaluate stylize`, compared pair by pair."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import AliasPath, BaseModel, Field

from texsynth.config.validation import validate
from texsynth.errors import InputError, UsageError
from texsynth.evaluation.results import SECONDS, Comparison, Difference, Estimate, Evaluation
from texsynth.images import read_bytes

LESS_IS_BETTER = {
    "gram": True,
    "wasserstein": True,
    "ssim": False,
    "edges": False,
    "identity": False,
    SECONDS: True,
}
"""All figures that are compared, in the order in which they are shown."""

Key = tuple[str, str, str]
"""Hash of the content, hash of the style, method."""

Figures = Mapping[str, float]
"""Figures of one result, by name."""


class _Result(BaseModel):
    method: str
    seconds: float | None
    measures: dict[str, Any] | None


class _Pair(BaseModel):
    content: str | None = Field(validation_alias=AliasPath("content", "sha256"))
    style: str | None = Field(validation_alias=AliasPath("style", "sha256"))
    results: list[_Result]


class _File(BaseModel):
    """The parts of a table.json that are compared."""

    command: Literal["evaluate stylize"]
    version: str = Field(validation_alias=AliasPath("versions", "texsynth"))
    features: str = Field(validation_alias=AliasPath("features", "sha256"))
    max_side: int | None
    pairs: list[_Pair]


@dataclass(frozen=True)
class Baseline:
    """An earlier table. version: of texsynth. features: hash of the network that measured."""

    path: Path
    version: str
    features: str
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


def read_baseline(path: Path) -> Baseline:
    """The table in the file `path`. Raises InputError for anything but the table of such an evaluation."""
    try:
        data = json.loads(read_bytes(path).decode())
        table = validate(_File, data, "")
    except (ValueError, RecursionError) as error:
        raise InputError(f"the baseline {path} is not JSON ({error}); give a table.json") from None
    except UsageError as error:
        raise InputError(f"the baseline {path} is no table of `texsynth evaluate stylize`: {error}") from None
    figures = {
        (pair.content, pair.style, result.method): _figures({**result.measures, SECONDS: result.seconds})
        for pair in table.pairs
        if pair.content and pair.style
        for result in pair.results
        if result.measures is not None
    }
    return Baseline(path, table.version, table.features, table.max_side, figures)


def compared(evaluation: Evaluation, baseline: Baseline) -> Comparison:
    """Compare pair by pair, for every method and figure that both have."""
    now: dict[Key, Figures] = {}
    for row in evaluation.rows:
        if not row.error:
            sides: Any = row.subject.facts
            key = (sides["content"]["sha256"], sides["style"]["sha256"], row.method)
            now[key] = _figures({**row.measures, SECONDS: row.seconds})
    return differences(now, baseline, evaluation.run.seed)


def differences(now: Mapping[Key, Figures], baseline: Baseline, seed: int) -> Comparison:
    """The differences of `now` to the baseline. seed: of the bootstrap."""
    then = baseline.figures
    both = [key for key in now if key in then]
    methods = dict.fromkeys(key[2] for key in both)
    pairs = {method: [(now[key], then[key]) for key in both if key[2] == method] for method in methods}
    return Comparison(
        str(baseline.path),
        baseline.version,
        tuple(d for method in methods for d in _differences(method, pairs[method], seed)),
        matched=len(both),
        only_here=len(now) - len(both),
        only_there=len(then.keys() - now.keys()),
    )


def _differences(method: str, pairs: Sequence[tuple[Figures, Figures]], seed: int) -> Iterable[Difference]:
    for name, less in LESS_IS_BETTER.items():
        changes = [a[name] - b[name] for a, b in pairs if name in a and name in b]
        estimate = Estimate.of(changes, seed)
        if estimate:
            better = fmean((change < 0) if less else (change > 0) for change in changes)
            yield Difference(method, name, estimate, better)


def _figures(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if name in LESS_IS_BETTER and isinstance(value, int | float) and math.isfinite(value)
    }
