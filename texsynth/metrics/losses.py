"""Differences between textures as losses: Gram matrices, sliced Wasserstein, Frechet distance.

All are differentiable and compute in float32 at least, whatever autocast is on. All but the Frechet distance
compare every picture of a batch with its own target.
"""

import torch
from torch import Tensor

from texsynth.ops.linalg import psd_powers


def random_directions(count: int, channels: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """Draw directions evenly over the unit sphere, (count, channels) float32. like: on the device wanted."""
    rows = torch.randn(count, channels, generator=rng)
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit.to(like.device)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: Tensor, tags: Tensor | None = None) -> Tensor:
    """Mean over directions of the squared one-dimensional Wasserstein distance (paper 004, equations 3, 4).

    a: (N, C, n) and b: (N, C, m), samples of pictures and of their targets; directions: (K, C) unit rows.
    Unequal numbers of samples are matched by their quantile functions, exactly.
    tags: (n,) integers where n = m, the region that samples of both belong to (Heitz et al. 2021, section 5):
    regions are compared one by one, weighted by their share. Returns a scalar, the mean over pictures.
    """
    with torch.autocast(a.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
        rows = directions.to(dtype)
        a, b = rows @ a.to(dtype), rows @ b.to(dtype)
        if tags is None:
            return _wasserstein_1d(a, b)
        total = a.new_zeros(())
        for tag in tags.unique():
            inside = tags == tag
            share = inside.sum().to(dtype) / len(tags)
            total = total + share * _wasserstein_1d(a[..., inside], b[..., inside])
        return total


def gram(features: Tensor) -> Tensor:
    """Gram matrices f f^T / (C h w) of features (N, C, h, w). Returns (N, C, C), float32 at least.

    Paper 004, equation 2, corrected in its dimensions, is the mean absolute difference of two of them.
    """
    with torch.autocast(features.device.type, enabled=False):
        f = features.to(torch.promote_types(features.dtype, torch.float32)).flatten(2)
        return f @ f.transpose(1, 2) / (f.shape[1] * f.shape[2])


def frechet_distance(samples: Tensor, mean: Tensor, covariance: Tensor, ridge: float = 1e-3) -> Tensor:
    """Squared Wasserstein-2 distance of the Gaussian of `samples` to a fixed one (Heusel et al. 2017).

    samples: (n, C); mean: (C,) and covariance: (C, C) of the fixed one. ridge: added to both covariances, as
    a share of the fixed one's mean variance, so that the root has a gradient where directions are empty.
    Returns a scalar, float64. Of n independent samples of the fixed Gaussian itself it is not 0, but about
    C (C + 5) / (4 n) times their variance.
    """
    with torch.autocast(samples.device.type, enabled=False):
        # Apple's MPS has no float64.
        x = samples.to("cpu" if samples.device.type == "mps" else samples.device).double()
        if not bool(x.isfinite().all()):
            return x.sum()  # nor is this; eigensolvers would warn, or fail
        mean, fixed = mean.detach().to(x), covariance.detach().to(x)
        centred = x - x.mean(0)
        least = ridge * fixed.diagonal().mean() * torch.eye(len(fixed), dtype=x.dtype, device=x.device)
        own, fixed = centred.mT @ centred / len(x) + least, fixed + least
        (root,) = psd_powers(fixed, 0.5)
        root = root.to(x)
        middle, inverse = psd_powers(root @ own.detach() @ root, 0.5, -0.5)
        # The derivative of tr (R S R)^1/2 by S is R (R S R)^-1/2 R / 2. That of eigenvectors, which it does
        # without, divides by differences of eigenvalues.
        slope = (root @ inverse.to(x) @ root) / 2
        cross = middle.to(x).trace() + (slope * (own - own.detach())).sum()
        return (x.mean(0) - mean).square().sum() + own.trace() + fixed.trace() - 2 * cross


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
