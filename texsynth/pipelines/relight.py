"""Completion of a picture in even light: what stays keeps its own light, and what is laid gets it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from texsynth.config.base import EvenLight
from texsynth.pipelines.even_light import take_light
from texsynth.pipelines.expand import Expanded
from texsynth.synthesis.exemplar import Exemplar


def in_even_light(
    picture: Exemplar,
    share: EvenLight,
    complete: Callable[[Exemplar], Expanded],
    *,
    hole: Tensor | None = None,
) -> Expanded:
    """Complete a picture without its slow changes of light, and give them back to the result.

    hole: (1, 1, h, w), above 0.5 what `complete` fills, which does not count; None where it lays the borders
    anew, whose light then becomes periodic.
    """
    free = torch.zeros_like(picture.image[:, :1]) if hole is None else hole
    counted = (free <= 0.5) if picture.mask is None else (free <= 0.5) & (picture.mask > 0.5)
    even, light = take_light(replace(picture, mask=counted.float()), share)
    if light is None:
        return complete(picture)
    even = replace(even, mask=picture.mask)
    made = complete(even)
    if hole is not None:
        return replace(made, image=torch.where(hole > 0.5, light.restore(made.image), picture.image))
    kept = (made.image == even.image).all(1, keepdim=True)
    return replace(made, image=torch.where(kept, picture.image, light.restore(made.image, _band(kept))))


def _band(kept: Tensor) -> int:
    """Return the least distance in pixels, at least 1, of the rectangle around `kept` from the borders."""
    rows, columns = kept[0, 0].any(1).nonzero().flatten(), kept[0, 0].any(0).nonzero().flatten()
    if not len(rows):
        return max(min(kept.shape[2:]) // 4, 1)
    ends = (rows[0], kept.shape[2] - 1 - rows[-1], columns[0], kept.shape[3] - 1 - columns[-1])
    return max(int(min(ends)), 1)
