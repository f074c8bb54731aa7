"""Frechet distance of two sets of features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.ops.linalg import psd_powers, symmetric_eigh


@dataclass
class FeatureSet:
    """Mean and covariance of feature vectors, collected batch by batch in float64."""

    count: int = 0
    total: Tensor | None = None
    second: Tensor | None = None

    def add(self, features: Tensor) -> None:
        """Add every position of (N, C, h, w) as one vector."""
        x = features.detach().transpose(0, 1).flatten(1).cpu().double()
        self.count += x.shape[1]
        self.total = x.sum(1) + (0 if self.total is None else self.total)
        self.second = x @ x.T + (0 if self.second is None else self.second)

    def gaussian(self) -> tuple[Tensor, Tensor]:
        """Return mean (C,) and covariance (C, C). Raises ValueError for fewer than two vectors."""
        if self.total is None or self.second is None or self.count < 2:
            raise ValueError(f"a covariance needs at least two vectors, not {self.count}")
        mean = self.total / self.count
        return mean, self.second / self.count - torch.outer(mean, mean)


def frechet(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> float:
    """Squared Wasserstein-2 of two Gaussians: |m1 - m2|^2 + tr(S1 + S2) - 2 tr (S1^1/2 S2 S1^1/2)^1/2.

    means: (C,), covariances: (C, C) symmetric, positive semi-definite. The use on features is of Heusel et
    al. 2017. Only symmetric eigenproblems are solved: a general matrix root turns complex on singular ones.
    """
    (root,) = psd_powers(covariance_a.cpu(), 0.5)
    inner = symmetric_eigh(root @ covariance_b.cpu().double() @ root)
    cross = inner.values.clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).cpu().double().square().sum()
    trace = covariance_a.cpu().double().trace() + covariance_b.cpu().double().trace()
    return max(0.0, float(distance + trace - 2 * cross))
