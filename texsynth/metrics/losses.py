"""Differences between textures as losses: Gram matrices and sliced Wasserstein.

All are differentiable, compare every picture of a batch with its own target, and compute in float32 at
least, whatever autocast is on.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_directions(count: int, channels: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """Draw directions evenly over the unit sphere.

    rng: on the CPU. like: its device is the result's. Returns (count, channels) float32 rows of length 1.
    """
    rows = torch.randn(count, channels, generator=rng)
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit.to(like.device)


def sliced_wasserstein(
    a: Tensor, b: Tensor, directions: Tensor, tags_a: Tensor | None = None, tags_b: Tensor | None = None
) -> Tensor:
    """Mean over directions of the squared one-dimensional Wasserstein distance (paper 004, equations 3, 4).

    a: (N, C, n) and b: (N, C, m), samples of pictures and of their targets; directions: (K, C) unit rows.
    Unequal numbers of samples are matched by their quantile functions, exactly.
    tags_a: (n,) and tags_b: (m,) integers, the region each sample belongs to (Heitz et al. 2021, section 5):
    regions are compared one by one, weighted by their share of `a`.
    Returns a scalar, the mean over pictures. Raises ValueError for a tag of `a` that `b` lacks, or for one
    list of tags without the other.
    """
    if (tags_a is None) != (tags_b is None):
        raise ValueError("spatial tags are needed for both sets of samples or for neither")
    with torch.autocast(a.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
        rows = directions.to(dtype)
        a, b = rows @ a.to(dtype), rows @ b.to(dtype)
        if tags_a is None or tags_b is None:
            return _wasserstein_1d(a, b)
        total = a.new_zeros(())
        for tag in tags_a.unique():
            of_a, of_b = tags_a == tag, tags_b == tag
            if not of_b.any():
                raise ValueError(f"tag {int(tag)} has no samples in the target")
            share = of_a.sum() / len(tags_a)
            total = total + share.to(dtype) * _wasserstein_1d(a[..., of_a], b[..., of_b])
        return total


def gram(features: Tensor) -> Tensor:
    """Gram matrices f f^T / (C h w). features: (N, C, h, w). Returns (N, C, C), float32 at least."""
    with torch.autocast(features.device.type, enabled=False):
        f = features.to(torch.promote_types(features.dtype, torch.float32)).flatten(2)
        return f @ f.transpose(1, 2) / (f.shape[1] * f.shape[2])


def gram_l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of Gram matrices (paper 004, equation 2, as corrected in its dimensions).

    output: (N, C, h, w), target: (N, C, h', w'); each is divided by its own number of pixels.
    Returns a scalar, the mean over pictures.
    """
    return (gram(output) - gram(target)).abs().mean()


def _wasserstein_1d(a: Tensor, b: Tensor) -> Tensor:
    """Average the squared distances of all pairs of sorted rows of (N, K, n) and (N, K, m)."""
    a, b = a.sort(-1).values, b.sort(-1).values
    n, m = a.shape[-1], b.shape[-1]
    if n == m:
        return (a - b).square().mean()
    # Quantile functions are constant between the breakpoints i / n and j / m; times n m these are integers.
    edges = torch.cat([torch.arange(n) * m, torch.arange(m) * n]).unique()
    lengths = torch.diff(edges, append=edges.new_tensor([n * m])).to(a) / (n * m)
    edges = edges.to(a.device)
    difference = a[..., edges // m] - b[..., edges // n]
    return (difference.square() @ lengths).mean()
