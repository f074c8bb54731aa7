"""Transforms of the C x n features themselves, centred and by singular values, as their inventors state them.

Huang and Belongie 2017, eq. 8 (`adain`); Li et al. 2017, eq. 2 and 3 (`wct`); Lu et al. 2019 (`ot`). What
`texsynth.transforms` makes of moments. Content (C, n) and style (C, m) give new features (C, n). ridge: the
program's, which adds that share of the mean variance to the covariances of both.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Transform = Callable[[Tensor, Tensor, float], Tensor]


def centred(features: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return features without their mean, the mean (C, 1), and the covariance (C, C). weight: (n,), or 1."""
    share = torch.ones_like(features[0]) if weight is None else weight
    share = share / share.sum()
    mean = (features * share).sum(1, keepdim=True)
    away = features - mean
    return away, mean, (away * share) @ away.T


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Raise a symmetric positive matrix to a power."""
    vectors, values, _ = torch.linalg.svd(matrix)
    raised: Tensor = vectors @ torch.diag(values**exponent) @ vectors.T
    return raised


def regular(covariance: Tensor, n: int, ridge: float) -> Tensor:
    """Add the ridge, after the shrinkage of Chen et al. 2010, eq. 23, where n pixels are below C channels."""
    p = len(covariance)
    mean_variance = covariance.trace() / p * torch.eye(p).to(covariance)
    if n < p:
        square, trace = (covariance @ covariance).trace(), covariance.trace()
        shrink = ((1 - 2 / p) * square + trace**2) / ((n + 1 - 2 / p) * (square - trace**2 / p))
        covariance = torch.lerp(covariance, mean_variance, shrink.clamp(max=1))
    return covariance + ridge * mean_variance


def adain(content: Tensor, style: Tensor, ridge: float) -> Tensor:
    """Divide each channel by its deviation, multiply it by the style's."""
    (away, _, _), (other, mean, _) = centred(content), centred(style)
    own, goal = (x.square().mean(1, keepdim=True) for x in (away, other))
    return mean + away * ((goal + ridge * goal.mean()) / (own + ridge * own.mean())).sqrt()


def wct(content: Tensor, style: Tensor, ridge: float) -> Tensor:
    """Whiten by Sigma^-1/2, colour by S^1/2."""
    (away, _, own), (_, mean, goal) = centred(content), centred(style)
    white = power(regular(own, content.shape[1], ridge), -0.5) @ away
    return mean + power(regular(goal, style.shape[1], ridge), 0.5) @ white


def ot(content: Tensor, style: Tensor, ridge: float) -> Tensor:
    """Move by the Monge map of Gaussians, in the form that takes roots of the style.

    S^1/2 (S^1/2 Sigma S^1/2)^-1/2 S^1/2 equals Sigma^-1/2 (Sigma^1/2 S Sigma^1/2)^1/2 Sigma^-1/2.
    """
    (away, _, own), (_, mean, goal) = centred(content), centred(style)
    root = power(regular(goal, style.shape[1], ridge), 0.5)
    middle = power(root @ regular(own, content.shape[1], ridge) @ root, -0.5)
    return mean + root @ middle @ root @ away


def frechet(a: Tensor, b: Tensor) -> Tensor:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of two sets of features (C, n), by a general eigenproblem."""
    (_, mean, first), (_, other, second) = centred(a), centred(b)
    root: Tensor = torch.linalg.eigvals(first @ second).sqrt().real.sum()
    return (mean - other).square().sum() + first.trace() + second.trace() - 2 * root
