"""An earlier table of `evaluate stylize`, compared pair by pair."""

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import AliasPath, BaseModel, Field

from texsynth import strict_json
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


class _Result(BaseModel):
    method: str
    seconds: float | None
    measures: dict[str, Any] | None


class _Pair(BaseModel):
    content: str | None = Field(validation_alias=AliasPath("content", "sha256"))
    style: str | None = Field(validation_alias=AliasPath("style", "sha256"))
    results: list[_Result]


class Baseline(BaseModel):
    """What is compared of a table.json. version: of texsynth. features: hash of the network that measured."""

    command: Literal["evaluate stylize"]
    version: str = Field(validation_alias=AliasPath("versions", "texsynth"))
    features: str = Field(validation_alias=AliasPath("features", "sha256"))
    max_side: int | None
    pairs: list[_Pair]
    path: Path = Path("table.json")

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
        return validate(Baseline, strict_json.parse(read_bytes(path)), "").model_copy(update={"path": path})
    except ValueError as error:
        raise InputError(f"the baseline {path} cannot be read ({error}); give a table.json") from None
    except UsageError as error:
        raise InputError(f"the baseline {path} is no table of `texsynth evaluate stylize`: {error}") from None


def compared(evaluation: Evaluation, baseline: Baseline) -> Comparison:
    """Compare pair by pair, for every method and figure that both have."""
    then = {
        (pair.content, pair.style, result.method): _figures(result.measures, result.seconds)
        for pair in baseline.pairs
        if pair.content and pair.style
        for result in pair.results
        if result.measures is not None
    }
    now = {
        (row.subject.facts["content"]["sha256"], row.subject.facts["style"]["sha256"], row.method):
        _figures(row.measures, row.seconds)
        for row in evaluation.rows
        if not row.error
    }  # fmt: skip
    both = [key for key in now if key in then]
    differences = []
    for method in dict.fromkeys(key[2] for key in both):
        pairs = [(now[key], then[key]) for key in both if key[2] == method]
        for name, less in LESS_IS_BETTER.items():
            changes = [a[name] - b[name] for a, b in pairs if name in a and name in b]
            estimate = Estimate.of(changes, evaluation.run.seed)
            if estimate:
                better = fmean((change < 0) if less else (change > 0) for change in changes)
                differences.append(Difference(method, name, estimate, better))
    return Comparison(
        str(baseline.path),
        baseline.version,
        tuple(differences),
        matched=len(both),
        only_here=len(now) - len(both),
        only_there=len(then.keys() - now.keys()),
    )


def _figures(measures: Mapping[str, Any], seconds: float | None) -> dict[str, float]:
    """The figures that are compared, of one result."""
    return {
        name: float(value)
        for name, value in {**measures, SECONDS: seconds}.items()
        if name in LESS_IS_BETTER and isinstance(value, int | float) and math.isfinite(value)
    }
