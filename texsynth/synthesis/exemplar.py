"""One field of source positions for one exemplar or several, with masks, guides and sibling maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import InputError
from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean, box_sum

MIN_SIDE = 16
"""Pixels of the smallest exemplar, and of the smallest free square that a mask must leave."""


@dataclass(frozen=True)
class Atlas:
    """Exemplars side by side; a source position is a row and a column of it."""

    image: Tensor
    """(3, h, w) in [0, 1]."""
    guide: Tensor
    """(g, h, w), g = 0 without a guide."""
    siblings: Tensor
    """(s, h, w), the channels of all sibling maps."""
    valid: Tensor
    """(h, w) bool, where the texture may be taken from."""
    share: Tensor
    """(h, w), how often a position is wanted, 1 on average over the valid ones."""
    side: int
    """Shorter side in pixels of the smallest exemplar."""

    def positions(self, size: int) -> Tensor:
        """(h - size + 1, w - size + 1) bool: top left corners of squares of `size` that are valid inside."""
        return free_squares(self.valid, size)

    def largest_square(self) -> int:
        """Side of the largest valid square, up to `side`. Raises InputError below MIN_SIDE."""
        side = largest_square(self.valid, self.side)
        if side < MIN_SIDE:
            raise InputError(
                f"the largest free square that the mask leaves has {side} px; it needs at least {MIN_SIDE}"
            )
        return side


def build_atlas(exemplars: Sequence[Exemplar], *, guided: bool = False) -> Atlas:
    """Put exemplars into one row. Raises InputError when there is not enough to take from.

    guided: keep what each exemplar says about a guide map, or its blurred lightness if it says nothing.
    """
    height = max(e.image.shape[2] for e in exemplars)
    columns: list[tuple[Tensor, ...]] = []
    total = sum(e.weight for e in exemplars)
    for e in exemplars:
        rows, width = e.image.shape[2:]
        if min(rows, width) < MIN_SIDE:
            raise InputError(
                f"an exemplar has {width} x {rows} pixels; it needs at least {MIN_SIDE} each way"
            )
        valid = torch.ones(1, rows, width) if e.mask is None else (e.mask[0] > 0.5).float()
        valid = valid * float(e.weight > 0)
        share = valid * (e.weight / total / valid.sum().clamp_min(1))
        guide = guide_of(e) if guided else e.image[0, :0]
        siblings = torch.cat([e.image[0, :0], *(s[0] for s in e.siblings)])
        parts = (e.image[0], guide, siblings, valid, share)
        columns.append(tuple(F.pad(part, (0, 0, 0, height - rows)) for part in parts))
    image, guide, siblings, valid, share = (torch.cat(part, 2) for part in zip(*columns, strict=True))
    share = share[0] * valid.sum()
    side = min(min(e.image.shape[2:]) for e in exemplars)
    return Atlas(image, guide, siblings, valid[0] > 0.5, share, side)


def guide_of(exemplar: Exemplar) -> Tensor:
    """(g, h, w): the exemplar's own guide, or its lightness, blurred so that it follows large shapes."""
    if exemplar.guide is not None:
        return exemplar.guide[0]
    return box_mean(luma(exemplar.image), max(1, min(exemplar.image.shape[2:]) // 16))[0]


def largest_square(valid: Tensor, limit: int) -> int:
    """Side of the largest square inside `valid` (h, w) bool, up to `limit`."""
    low, high = 0, min(limit, *valid.shape)
    while low < high:  # squares inside a square are valid too, so bisection finds the largest
        middle = (low + high + 1) // 2
        low, high = (middle, high) if bool(free_squares(valid, middle).any()) else (low, middle - 1)
    return low


def free_squares(valid: Tensor, size: int) -> Tensor:
    """(h - size + 1, w - size + 1) bool: top left corners of squares that lie in `valid` (h, w)."""
    return box_sum(~valid, size) < 0.5


def gather(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """planes (C, h, w) at integer positions of any shape (...). Returns (C, ...)."""
    return planes[:, rows, columns]


@dataclass(frozen=True)
class Exemplar:
    """An input texture and what belongs to it pixel by pixel."""

    image: Tensor
    """(1, 3, h, w) in [0, 1]."""
    siblings: tuple[Tensor, ...] = ()
    """Further maps of the same surface, each (1, c, h, w): normals, roughness."""
    mask: Tensor | None = None
    """(1, 1, h, w), above 0.5 where the texture may be taken from; None for everywhere."""
    guide: Tensor | None = None
    """(1, g, h, w) in [0, 1], what a guide map's values look like here; None stands for blurred lightness."""
    weight: float = 1.0
    """Share of the output among several exemplars, relative to the others."""
