"""Completion of a picture in even light: what stays keeps its own light, and what is laid gets it."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.base import EvenLight
from texsynth.pipelines.complete import ALREADY_SEAMLESS
from texsynth.pipelines.even_light import take_light
from texsynth.pipelines.expand import Expanded
from texsynth.synthesis.exemplar import Exemplar

LIGHT_ALONE = "the texture is seamless already, so only its light was changed along the borders"

BAND = 0.14  # Share of the shorter side over which light passes over to the other side, if all pixels stay


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
    height, width = made.image.shape[2:]
    original, laid = (_centred(image, (height, width)) for image in (picture.image, even.image))
    kept = (made.image == laid).all(1, keepdim=True)
    band = _band(kept)
    # A texture that was found to close already still has to get light that does.
    kept &= F.pad(torch.ones(1, 1, height - 2 * band, width - 2 * band, dtype=torch.bool), (band,) * 4)
    image = torch.where(kept, original, light.restore(made.image, band))
    return replace(
        made, image=image, notes=tuple(LIGHT_ALONE if n == ALREADY_SEAMLESS else n for n in made.notes)
    )


def _centred(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut off or add NaN at the borders of (1, 3, h, w) until it has `size`, around the same middle."""
    height, width = image.shape[2:]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return F.pad(image, (-left, size[1] - width + left, -top, size[0] - height + top), value=torch.nan)


def _band(kept: Tensor) -> int:
    """Return the least distance in pixels of the rectangle around `kept` from the borders.

    With nothing kept, or all, it is a share of the shorter side.
    """
    usual = max(round(BAND * min(kept.shape[2:])), 1)
    rows, columns = kept[0, 0].any(1).nonzero().flatten(), kept[0, 0].any(0).nonzero().flatten()
    if not len(rows):
        return usual
    ends = (rows[0], kept.shape[2] - 1 - rows[-1], columns[0], kept.shape[3] - 1 - columns[-1])
    return int(min(ends)) or usual
