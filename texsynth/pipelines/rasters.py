"""Pictures of any size, read and written in rectangles, wherever they are kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.noise import soft_noise
from texsynth.ops.resample import resize, soft_mean
from texsynth.pipelines.progress import OnStep, Step, silent

STRIP_PIXELS = 1 << 20
"""Pixels of a strip, about: what works pixel by pixel takes as many at a time."""

EVERYTHING = slice(None)


class Raster(Protocol):
    """A picture to read from."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a rectangle, (1, C, h, w) float32, which must not be changed."""


class Canvas(Raster, Protocol):
    """A picture to write to."""

    def write(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Fill a rectangle with `values` (1, C, h, w), which must not be changed afterwards."""


MakeCanvas = Callable[[tuple[int, int]], Canvas]
"""Allocates an empty canvas of a size, for three channels."""


@dataclass
class TensorRaster:
    """A canvas in memory."""

    tensor: Tensor  # (1, C, H, W)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.tensor.shape[2]), int(self.tensor.shape[3])

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a view of a rectangle."""
        return self.tensor[:, :, rows, columns]

    def write(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Fill a rectangle; values for all of the canvas also decide its device."""
        if values.shape == self.tensor.shape:
            self.tensor = values
        else:
            self.read(rows, columns).copy_(values)


def memory_canvas(size: tuple[int, int]) -> TensorRaster:
    """Allocate a canvas in memory."""
    return TensorRaster(torch.empty(1, 3, *size))


GRAIN_RADIUS = 6  # Pixels around a place whose contrast and brightness decide on its grain

FULLY_LIT = 0.5
"""Lightness from which on areas get all of the grain; darker ones get less, in proportion."""


@dataclass(frozen=True)
class GrainyRaster:
    """A picture with noise where it is flat, up to the given deviation.

    The noise brings the local deviation of lightness up to `deviation`, times how light the place is, and
    leaves what has more of its own as it is. So contours stay clean, and the dark does not drown.
    """

    content: Raster
    deviation: float
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.content.size

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a rectangle and add the noise of its place."""
        wide, inner = zip(
            *(_widened(part, n, GRAIN_RADIUS) for part, n in zip((rows, columns), self.size, strict=True)),
            strict=True,
        )
        image = self.content.read(*wide)
        light = luma(image.float())
        mean = soft_mean(light, GRAIN_RADIUS)
        own = (soft_mean(light.square(), GRAIN_RADIUS) - mean.square()).clamp_min(0)
        target = self.deviation * (mean / FULLY_LIT).clamp(0, 1)
        missing = (target.square() - own).clamp_min(0).sqrt()[:, :, inner[0], inner[1]]
        image = image[:, :, inner[0], inner[1]]
        (top, _, _), (left, _, _) = rows.indices(self.size[0]), columns.indices(self.size[1])
        noise = soft_noise((top, left), (image.shape[2], image.shape[3]), self.seed)
        return image + missing.to(image) * noise.to(image)


def _widened(part: slice, size: int, margin: int) -> tuple[slice, slice]:
    """Widen a slice of 0..`size` by `margin` on both sides. Returns it, and the part in it."""
    first, last, _ = part.indices(size)
    start = max(first - margin, 0)
    return slice(start, min(last + margin, size)), slice(first - start, last - start)


def read_all(raster: Raster) -> Tensor:
    """Read all of a picture, (1, C, H, W)."""
    return raster.read(EVERYTHING, EVERYTHING)


def strips(size: tuple[int, int]) -> Iterator[slice]:
    """Yield all rows of a picture of `size` in turn, several at a time."""
    height, step = size[0], strip_rows(size)
    yield from (slice(top, min(top + step, height)) for top in range(0, height, step))


def strip_rows(size: tuple[int, int]) -> int:
    """Count the rows that each of the `strips` has, but for the last."""
    return max(1, STRIP_PIXELS // size[1])


def map_strips(
    make_canvas: MakeCanvas,
    function: Callable[..., Tensor],
    *rasters: Raster,
    margin: int = 0,
    on_step: OnStep = silent,
) -> Raster:
    """Apply `function` to the same rows of several pictures of one size, for all rows.

    margin: rows above and below that each row of the result depends on; 0 for what works pixel by pixel.
    on_step: told of each strip, under the name of what is done to a level.
    """
    result = make_canvas(rasters[0].size)
    for rows in strips(result.size):
        wide, inner = _widened(rows, result.size[0], margin)
        values = function(*(raster.read(wide, EVERYTHING) for raster in rasters))
        result.write(rows, EVERYTHING, values[:, :, inner])
        on_step(Step("level", rows.stop, result.size[0]))
    return result


def read_resized(raster: Raster, height: int, width: int) -> Tensor:
    """Read a whole picture in [0, 1] as `resize` makes it, up to rounding, (1, C, height, width)."""
    rows = (raster.read(part, EVERYTHING) for part in strips(raster.size))
    # Reducing is separable, and a strip of little width is little.
    return resize(torch.cat([resize(part, part.shape[2], width) for part in rows], 2), height, width)
