"""Targets and exemplars for the Transposer: an exemplar is a crop of its target, never a resized copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.training.data import Picture, cut, random_index
from texsynth.training.procedural import texture

FARTHEST = 3.0
"""Targets are cut at up to this many times their side and reduced, as if seen from farther away."""


@dataclass(frozen=True)
class Batch:
    """Targets and exemplars of one step."""

    target: Tensor
    """(N, 3, 2 c, 2 c) in [0, 1]."""
    exemplar: Tensor
    """(N, 3, c, c), target[:, :, y : y + c, x : x + c] of each."""
    origins: list[tuple[int, int]]
    """(y, x) of each exemplar in its target."""


def draw(
    pictures: Sequence[Picture], count: int, crop: int, procedural: float, rng: torch.Generator
) -> Batch:
    """Draw `count` targets of side 2 * crop; the share `procedural` of them is synthetic, not cut out."""
    targets = [
        texture(2 * crop, rng) if float(torch.rand((), generator=rng)) < procedural or not pictures
        else _distant_square(pictures[random_index(len(pictures), rng)], 2 * crop, rng)
        for _ in range(count)
    ]  # fmt: skip
    flips = torch.rand(count, 3, generator=rng) < 0.5
    turned = [_flipped(t, *f) for t, f in zip(targets, flips.tolist(), strict=True)]
    return crops_of(torch.stack(turned), crop, rng)


def crops_of(target: Tensor, crop: int, rng: torch.Generator) -> Batch:
    """Cut an exemplar out of every target (N, 3, H, W) at random."""
    height, width = (side - crop + 1 for side in target.shape[2:])
    origins = [(random_index(height, rng), random_index(width, rng)) for _ in target]
    exemplars = [t[:, y : y + crop, x : x + crop] for t, (y, x) in zip(target, origins, strict=True)]
    return Batch(target, torch.stack(exemplars), origins)


def _distant_square(picture: Picture, side: int, rng: torch.Generator) -> Tensor:
    """Cut a random square, seen from a random distance. Returns (3, side, side) in [0, 1]."""
    longest = min(picture.shape[:2])
    distance = 1 + float(torch.rand((), generator=rng)) * (min(FARTHEST, longest / side) - 1)
    span = min(longest, round(side * distance))
    top, left = (random_index(length - span + 1, rng) for length in picture.shape[:2])
    square = torch.from_numpy(cut(picture, top, left, span)).float() / 255
    if span == side:
        return square
    return F.interpolate(square[None], (side, side), mode="bilinear", antialias=True)[0]


def _flipped(image: Tensor, across: bool, down: bool, turn: bool) -> Tensor:
    if across:
        image = image.flip(2)
    if down:
        image = image.flip(1)
    return image.transpose(1, 2) if turn else image
