"""Moments of features: all that a transform needs to know of a picture.

Moments add up, so tiles, masks, soft regions and sets of pictures need no code of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK_VALUES = 2**17  # shifted features of a block: 512 KiB in float32 stay in the cache
_BLOCK_PIXELS = 8192  # in one block; blocks are added up in float64
_FLAT = 1e-12  # variance below this share of the second moment is the rounding of float32 features


@dataclass(frozen=True)
class Moments:
    """Weighted sums over the pixels of features, in float64; on the CPU but for the fit of a map."""

    n: float  # Total weight; the number of pixels where nothing is weighted
    sum: Tensor  # (C,) sum of w f
    outer: Tensor  # (C, C) sum of w f f^T

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> Moments:
        """Return the moments of no pixels, the neutral element of `+`."""
        zeros = torch.zeros(channels, channels, dtype=torch.float64, device=device)
        return cls(0.0, zeros[0].clone(), zeros)

    @classmethod
    @torch.no_grad()
    def of(cls, features: Tensor, weight: Tensor | None = None) -> Moments:
        """Sum over batch and space.

        features: (N, C, h, w), any floating type and layout. weight: (N, 1, h, w), non-negative; a pixel of
        weight 2 counts as two pixels, one of weight 0 not at all.
        """
        # A bfloat16 covariance is not positive, so autocast must not reach the products below.
        with torch.autocast(features.device.type, enabled=False):
            total = cls.empty(features.shape[1])
            for i, image in enumerate(features):
                # A view for both memory layouts; only a cropped picture is copied here.
                rows = image.flatten(1).T
                total = total + _sums(rows, None if weight is None else weight[i].to(rows.device).flatten())
        return total

    @classmethod
    def of_gaussian(cls, n: float, mean: Tensor, covariance: Tensor) -> Moments:
        """Return the moments of `n` pixels with this mean (C,) and covariance (C, C), both float64."""
        return cls(n, n * mean, n * (covariance + torch.outer(mean, mean)))

    @classmethod
    def average(cls, moments: Sequence[Moments], weights: Sequence[float]) -> Moments:
        """Average the means, and the covariances, so that a large picture counts no more.

        weights: one for each item, non-negative, not all zero. `n` is the weighted mean of the pixel counts.
        Items without pixels are left out. What lies between the means is no spread of any of the items, so
        it is not added to the covariance.
        """
        shares = normalised(moments, weights)
        if not shares:
            return cls.empty(len(moments[0].sum), moments[0].sum.device)
        return cls.of_gaussian(
            sum(s * m.n for m, s in shares),
            torch.stack([s * m.mean for m, s in shares]).sum(0),
            torch.stack([s * m.covariance for m, s in shares]).sum(0),
        )

    @classmethod
    def blend(cls, moments: Sequence[Moments], weights: Sequence[float]) -> Moments:
        """Average as `average` does, but the raw second moments, the Gram matrices."""
        shares = normalised(moments, weights)
        n = sum(s * m.n for m, s in shares)
        none = cls.empty(len(moments[0].sum), moments[0].sum.device)
        return sum((m.scaled(s * n / m.n) for m, s in shares), none)

    def __add__(self, other: Moments) -> Moments:
        """Add up the moments of both sets of pixels."""
        return Moments(self.n + other.n, self.sum + other.sum, self.outer + other.outer)

    def scaled(self, weight: float) -> Moments:
        """Multiply every pixel's weight by `weight`."""
        return Moments(self.n * weight, self.sum * weight, self.outer * weight)

    def to(self, device: torch.device) -> Moments:
        """Copy to `device`, which must know float64."""
        return Moments(self.n, self.sum.to(device), self.outer.to(device))

    @property
    def mean(self) -> Tensor:
        """(C,) mean feature; zero for no pixels."""
        return self.sum / self.n if self.n > 0 else torch.zeros_like(self.sum)

    @property
    def second(self) -> Tensor:
        """(C, C) raw second moment E[f f^T], the paper's Gram matrix of IFT; zero for no pixels."""
        return self.outer / self.n if self.n > 0 else torch.zeros_like(self.outer)

    @property
    def covariance(self) -> Tensor:
        """(C, C) E[(f - mean)(f - mean)^T], divided by n, not n - 1: one pixel gives zero, not NaN."""
        mean = self.mean
        covariance = self.second - torch.outer(mean, mean)
        # The diagonal can fall below zero by rounding only.
        covariance.diagonal().clamp_(min=0)
        return covariance

    @property
    def is_finite(self) -> bool:
        """Tell whether all sums are finite: none has overflowed or met a NaN."""
        return bool(self.sum.isfinite().all() and self.outer.isfinite().all())

    @property
    def has_spread(self) -> bool:
        """Tell whether there is more than one pixel and they differ by more than rounding."""
        return self.n > 1 and float(self.covariance.trace()) > _FLAT * float(self.second.trace())

    def regular_covariance(self, ridge: float) -> Tensor:
        """Add `ridge` times the mean variance to the covariance (C, C), so that its inverse is bounded.

        With fewer pixels than channels it is first shrunk towards the mean variance by the oracle
        approximating shrinkage of Chen et al. 2010, eq. 23, which needs nothing but these moments.
        """
        covariance, p = self.covariance, len(self.sum)
        level = covariance.trace() / p
        eye = torch.eye(p, dtype=covariance.dtype, device=covariance.device)
        if 0 < self.n < p and level > 0:
            square, trace = float(covariance.square().sum()), float(covariance.trace())
            above = (self.n + 1 - 2 / p) * (square - trace**2 / p)
            below = (1 - 2 / p) * square + trace**2
            shrink = below / max(above, below)
            covariance = (1 - shrink) * covariance + shrink * level * eye
        return covariance + ridge * level * eye


def normalised(moments: Sequence[Moments], weights: Sequence[float]) -> list[tuple[Moments, float]]:
    """Keep items that have pixels and weight, with weights that add up to 1."""
    pairs = [(m, w) for m, w in zip(moments, weights, strict=True) if m.n > 0 and w > 0]
    total = sum(w for _, w in pairs)
    return [(m, w / total) for m, w in pairs]


def _sums(rows: Tensor, weight: Tensor | None) -> Moments:
    """Sum moments of rows (pixels, C), at the speed of float32 and close to the precision of float64.

    float32 products alone lose the covariance where the mean is large. So the rows are shifted by a rough
    mean, which float32 does without error for such features, summed in blocks, and shifted back in float64.
    """
    dtype = _sum_type(rows)
    weight = None if weight is None else weight.to(rows.device, dtype)
    shift = _shift(rows, weight)
    # MPS has no float64; elsewhere sums stay where they are, as a copy for every block would make it wait.
    home = torch.device("cpu") if rows.device.type == "mps" else rows.device
    channels = rows.shape[1]
    total = torch.zeros(channels, dtype=torch.float64, device=home)
    outer = torch.zeros(channels, channels, dtype=torch.float64, device=home)
    size = min(max(_BLOCK_VALUES // channels, 1), _BLOCK_PIXELS, max(len(rows) // 16, 256))
    # One buffer that stays in the cache: fresh memory for every block would cost more than the sums.
    buffer = torch.empty(size, channels, dtype=dtype, device=rows.device)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        shifted = torch.sub(block, shift, out=buffer[: len(block)])
        weighted = shifted if weight is None else shifted * weight[start : start + size, None]
        total += weighted.sum(0).to(home)
        outer += (weighted.T @ shifted).to(home)
    n = float(len(rows)) if weight is None else float(weight.to(home).sum(dtype=torch.float64))
    total, outer, back = total.cpu(), outer.cpu(), shift.cpu().double()
    cross = torch.outer(total, back)
    outer = outer + cross + cross.T + n * torch.outer(back, back)
    return Moments(n, total + n * back, (outer + outer.T) / 2)


def _sum_type(rows: Tensor) -> torch.dtype:
    """Choose the type that products of `rows` are added up in.

    Maps for half-precision networks are rounded to that precision. Sums in float64 hardly depend on how a
    picture is cut, so they round alike; those in float32 would let tiles show as other roundings.
    """
    halves = (torch.bfloat16, torch.float16)
    exact = rows.dtype == torch.float64 or (rows.dtype in halves and rows.device.type != "mps")
    return torch.float64 if exact else torch.float32


def _shift(rows: Tensor, weight: Tensor | None) -> Tensor:
    """Estimate the mean (C,) from about 4,096 rows, of channels whose mean is large against their deviation.

    It is zero for the others: there the zeros behind a ReLU stay zeros. Shifted, they would be many equal
    terms, and equal terms round alike, to an error of 1e-6 of the sum.
    """
    dtype = _sum_type(rows)
    every = max(1, len(rows) // 4096)
    if weight is not None and not float(weight[::every].sum()) > 0:
        every = 1
    thin = rows[::every].to(dtype)
    w = torch.ones_like(thin[:, :1]) if weight is None else weight[::every, None]
    total = w.sum().clamp(min=torch.finfo(dtype).tiny)
    mean = (thin * w).sum(0) / total
    variance = ((thin - mean).square() * w).sum(0) / total
    return mean.where(mean.square() > 4 * variance, torch.zeros_like(mean))
