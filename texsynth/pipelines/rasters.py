"""Pictures of any size, read and written in rectangles, wherever they are kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from texsynth.ops.noise import soft_noise
from texsynth.ops.resample import resize

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


@dataclass(frozen=True)
class NoisyRaster:
    """A picture with noise on it, of the given deviation."""

    content: Raster
    deviation: float
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.content.size

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a rectangle and add the noise of its place."""
        image = self.content.read(rows, columns)
        (top, _, _), (left, _, _) = rows.indices(self.size[0]), columns.indices(self.size[1])
        noise = soft_noise((top, left), (image.shape[2], image.shape[3]), self.seed)
        return image + self.deviation * noise.to(image)


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


def map_strips(make_canvas: MakeCanvas, pixelwise: Callable[..., Tensor], *rasters: Raster) -> Raster:
    """Apply `pixelwise` to the same rows of several pictures of one size, for all rows."""
    result = make_canvas(rasters[0].size)
    for rows in strips(result.size):
        result.write(rows, EVERYTHING, pixelwise(*(raster.read(rows, EVERYTHING) for raster in rasters)))
    return result


def read_resized(raster: Raster, height: int, width: int) -> Tensor:
    """Read a whole picture in [0, 1] as `resize` makes it, up to rounding, (1, C, height, width)."""
    rows = (raster.read(part, EVERYTHING) for part in strips(raster.size))
    # Reducing is separable, and a strip of little width is little.
    return resize(torch.cat([resize(part, part.shape[2], width) for part in rows], 2), height, width)
