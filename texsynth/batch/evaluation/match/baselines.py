"""Vectors that textures have been compared by without training: pooled statistics of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(1),
    "mean+std": lambda x: torch.cat([x.mean(1), x.std(1, correction=0)]),
    "gram": lambda x: (x @ x.T / x.shape[1]).flatten(),
    "covariance": lambda x: x.cov(correction=0).flatten(),
}
"""Of the features of a level, (C, n) at all positions, to a vector."""

LEVELS = {"1-5": (1, 2, 3, 4, 5), "3-5": (3, 4, 5)}
"""Which levels are joined; without the fine ones, light and size matter less."""


def pooled(features: Sequence[Tensor]) -> dict[str, Tensor]:
    """Every baseline of one picture, by name, of unit length.

    features: levels 1 to 5, each (1, C_l, h_l, w_l). Levels are joined with equal weight after the signed
    square root, without which a few channels decide everything.
    """
    found = {}
    for name, statistic in STATISTICS.items():
        levels = [_flattened(statistic(f[0].float().flatten(1))) for f in features]
        for title, chosen in LEVELS.items():
            joined = torch.cat([levels[level - 1] for level in chosen if level <= len(levels)])
            found[f"{name} {title}"] = F.normalize(joined, dim=0)
    return found


def _flattened(vector: Tensor) -> Tensor:
    return F.normalize(vector.sign() * vector.abs().sqrt(), dim=0)
