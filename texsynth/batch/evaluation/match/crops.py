"""Crops that are to find those of their own texture: as they are, in other size and light, and turned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.ops.resample import resize

GRID = 3
"""Crops along each side of a picture; they do not overlap, so no two show the same pixels."""


@dataclass(frozen=True)
class Condition:
    """What is done to crops, each on its own. Changes are drawn evenly up to these."""

    name: str
    octaves: float = 0
    """Of size, brightness and gamma."""
    tint: float = 0
    """Share by which a colour channel changes."""
    turned: bool = False
    """Turned by multiples of 90 degrees, and described for all turns at once."""


CONDITIONS = (
    Condition("as is"),
    Condition("varied", 0.5, 0.1),
    Condition("turned", turned=True),
    Condition("varied, turned", 0.5, 0.1, turned=True),
)


def crops(image: Tensor, condition: Condition, rng: torch.Generator) -> list[Tensor]:
    """GRID x GRID squares of the middle of a picture (1, 3, H, W), changed as `condition` says."""
    side = min(image.shape[2:]) // GRID
    top, left = ((length - GRID * side) // 2 for length in image.shape[2:])
    places = [(top + r * side, left + c * side) for r in range(GRID) for c in range(GRID)]
    return [_changed(image[:, :, y : y + side, x : x + side], condition, rng) for y, x in places]


def _changed(crop: Tensor, condition: Condition, rng: torch.Generator) -> Tensor:
    size, gain, gamma, *tints = (2 * torch.rand(6, generator=rng) - 1).tolist()
    turns = int(torch.randint(4, (), generator=rng))
    if condition.octaves:
        side = max(1, round(crop.shape[2] * 2 ** (condition.octaves * size)))
        crop = resize(crop, side, side)
        crop = crop**2 ** (condition.octaves * gamma) * 2 ** (condition.octaves * gain)
    if condition.tint:
        crop = crop * (1 + condition.tint * torch.tensor(tints)).view(1, 3, 1, 1)
    crop = crop.clamp(0, 1)
    return crop.rot90(turns, (2, 3)) if condition.turned else crop
