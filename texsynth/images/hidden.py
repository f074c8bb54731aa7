"""Colours for pixels of which nothing is seen, made of those around them: none leaks from below alpha 0.

Convolutions and resizing look at whatever is stored there. What is filled in depends on visible pixels alone
and continues them softly (pull-push; Gortler et al. 1996, "The Lumigraph", section 3.4).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from texsynth.images.picture import Picture

CELLS = 1 << 20
"""Larger pictures are reduced to this many cells, or fewer, before their colours are spread."""

STRIP_ROWS = 256  # Rows of a picture in memory that are worked on at a time


@dataclass(frozen=True)
class HiddenFill:
    """A colour for every pixel of a picture, at the middles of square cells."""

    colours: NDArray[np.float32]  # (rows, columns, 3), in the units of the picture
    cell_px: int

    def apply(self, strip: Picture, first: int = 0) -> Picture:
        """Fill the hidden pixels of some rows of the picture, from row `first` on."""
        if strip.alpha is None or strip.alpha.all():
            return strip
        rows, columns = np.nonzero(strip.alpha == 0)
        (top, bottom, down), (left, right, across) = (
            _neighbours((places + 0.5) / self.cell_px - 0.5, count)
            for places, count in zip((rows + first, columns), self.colours.shape, strict=False)
        )
        upper, lower = (
            (1 - across) * self.colours[row, left] + across * self.colours[row, right]
            for row in (top, bottom)
        )
        rgb = strip.rgb.copy()
        rgb[rows, columns] = ((1 - down) * upper + down * lower).round()
        return replace(strip, rgb=rgb)


def fill_hidden(picture: Picture) -> Picture:
    """Return `picture` with other colours where its alpha is 0; it must be above 0 somewhere."""
    if picture.alpha is None or picture.alpha.all():
        return picture

    def strips() -> Iterator[Picture]:
        return picture.strips(STRIP_ROWS)

    fill = fit_fill(strips(), (picture.height, picture.width))
    parts = [fill.apply(strip, number * STRIP_ROWS).rgb for number, strip in enumerate(strips())]
    return replace(picture, rgb=np.concatenate(parts))


def fit_fill(strips: Iterable[Picture], size: tuple[int, int]) -> HiddenFill:
    """Spread the visible colours over a picture of `size` (height, width), given by strips that have alpha.

    However the strips are cut, the result is the same.
    """
    cell_px = 1
    while -(-size[0] // cell_px) * -(-size[1] // cell_px) > CELLS:
        cell_px *= 2
    # Whole numbers add up to the same in any order. (rows, columns, 4): colours times alpha, and alpha.
    total = np.zeros((-(-size[0] // cell_px), -(-size[1] // cell_px), 4), np.int64)
    first, top = 0, 1
    for strip in strips:
        assert strip.alpha is not None, "only pictures with alpha have hidden pixels"
        top = np.iinfo(strip.alpha.dtype).max
        alpha = strip.alpha[..., None].astype(np.int64)
        weighted = np.concatenate([strip.rgb * alpha, alpha], 2)
        cells = np.add.reduceat(weighted, np.arange(0, size[1], cell_px), 1)
        np.add.at(total, (first + np.arange(strip.height)) // cell_px, cells)
        first += strip.height
    colours = (total[..., :3] / np.maximum(total[..., 3:], 1)).astype(np.float32)
    weight = np.minimum(total[..., 3:] / top, 1).astype(np.float32)
    return HiddenFill(_spread(colours, weight), cell_px)


def _spread(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill (h, w, 3) where `weight` (h, w, 1) is below 1 with what the next coarser level has there."""
    height, width, _ = colours.shape
    if height == width == 1 or weight.min() == 1:
        return colours
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    both = np.pad(np.concatenate([colours * weight, weight], 2), padding)
    both = both[::2] + both[1::2]
    both = both[:, ::2] + both[:, 1::2]
    count = both[..., 3:]
    mean = np.divide(both[..., :3], count, out=np.zeros_like(both[..., :3]), where=count > 0)
    coarse = _spread(mean, np.minimum(count, 1))
    far = _doubled(_doubled(coarse)[:height].swapaxes(0, 1))[:width].swapaxes(0, 1)
    return weight * colours + (1 - weight) * far


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate twice as many rows linearly."""
    before, after = (values[np.clip(np.arange(len(values)) + step, 0, len(values) - 1)] for step in (-1, 1))
    both = np.stack([0.75 * values + 0.25 * near for near in (before, after)], 1)
    return both.reshape(-1, *values.shape[1:])


def _neighbours(
    places: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the two of `count` cells that every place lies between, and how far it is from the first one."""
    places = places.clip(0, count - 1)
    near = places.astype(np.int64)
    return near, np.minimum(near + 1, count - 1), (places - near).astype(np.float32)[:, None]
