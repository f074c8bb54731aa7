"""Means over pictures and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, None where there is one value only; and the median."""

    count: int
    mean: float
    low: float | None
    high: float | None
    median: float

    @classmethod
    def of(cls, values: Sequence[float], seed: int) -> Estimate | None:
        """None without values. seed: of the bootstrap."""
        if not values:
            return None
        low, high = (None, None) if len(values) < 2 else bootstrap(values, seed)
        return cls(len(values), fmean(values), low, high, median(values))


def bootstrap(values: Sequence[float], seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95% percentile interval of the mean of `values`, at least one (Efron 1979).

    Values are drawn with replacement `resamples` times, the same ones whenever seed and number agree. It
    takes the values as independent, which pairs that share a picture are not, so it is rather too narrow.
    """
    rng = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(values), (resamples, len(values)), generator=rng)
    means = torch.tensor(values, dtype=torch.float64)[picked].mean(1)
    tail = (1 - CONFIDENCE) / 2
    low, high = means.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high
