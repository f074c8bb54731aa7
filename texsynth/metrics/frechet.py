"""Frechet distance of two sets of features."""

from __future__ import annotations

from texsynth.ops.linalg import psd_powers, symmetric_eigh
from texsynth.transforms.moments import Moments


def frechet(a: Moments, b: Moments) -> float:
    """Squared Wasserstein-2 of two Gaussians: |m1 - m2|^2 + tr(S1 + S2) - 2 tr (S1^1/2 S2 S1^1/2)^1/2.

    The use on features is of Heusel et al. 2017. Only symmetric eigenproblems are solved: a general matrix
    root turns complex on singular ones.
    """
    first, second = a.covariance, b.covariance
    (root,) = psd_powers(first, 0.5)
    cross = symmetric_eigh(root @ second @ root).values.clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + first.trace() + second.trace()
    return max(0.0, float(distance - 2 * cross))
