"""Targets and exemplars for the Transposer: an exemplar is a crop of its target, never a resized copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.training.data import Picture
from texsynth.training.procedural import texture

FARTHEST = 3.0
"""Targets are cut at up to this many times their side and reduced, as if seen from farther away."""


@dataclass(frozen=True)
class Batch:
    """What one step trains on."""

    target: Tensor
    """(N, 3, 2 c, 2 c) in [0, 1]."""
    exemplar: Tensor
    """(N, 3, c, c), target[:, :, y : y + c, x : x + c] of each."""
    origins: list[tuple[int, int]]
    """(y, x) of each exemplar in its target."""


def draw(
    pictures: Sequence[Picture], count: int, crop: int, procedural: float, rng: torch.Generator
) -> Batch:
    """A random batch of `count` targets of side 2 * crop; the share `procedural` of them is made, not cut."""
    targets = [
        texture(2 * crop, rng) if float(torch.rand((), generator=rng)) < procedural or not pictures
        else _cut(pictures[_below(len(pictures), rng)], 2 * crop, rng)
        for _ in range(count)
    ]  # fmt: skip
    flips = torch.rand(count, 3, generator=rng) < 0.5
    turned = [_flipped(t, *f) for t, f in zip(targets, flips.tolist(), strict=True)]
    return crops_of(torch.stack(turned), crop, rng)


def crops_of(target: Tensor, crop: int, rng: torch.Generator) -> Batch:
    """A random crop of every target (N, 3, H, W) as its exemplar."""
    limits = [side - crop + 1 for side in target.shape[2:]]
    origins = [(_below(limits[0], rng), _below(limits[1], rng)) for _ in range(len(target))]
    parts = [t[:, y : y + crop, x : x + crop] for t, (y, x) in zip(target, origins, strict=True)]
    return Batch(target, torch.stack(parts), origins)


def _cut(picture: Picture, side: int, rng: torch.Generator) -> Tensor:
    """A random square of a picture, seen from a random distance. Returns (3, side, side)."""
    longest = min(picture.shape[0], picture.shape[1])
    far = 1 + float(torch.rand((), generator=rng)) * (min(FARTHEST, longest / side) - 1)
    span = min(longest, round(side * far))
    top, left = _below(picture.shape[0] - span + 1, rng), _below(picture.shape[1] - span + 1, rng)
    cut = torch.from_numpy(picture[top : top + span, left : left + span]).permute(2, 0, 1).float() / 255
    if span == side:
        return cut
    return F.interpolate(cut[None], (side, side), mode="bilinear", antialias=True)[0]


def _flipped(image: Tensor, across: bool, down: bool, turn: bool) -> Tensor:
    if across:
        image = image.flip(2)
    if down:
        image = image.flip(1)
    return image.transpose(1, 2) if turn else image


def _below(limit: int, rng: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=rng))
