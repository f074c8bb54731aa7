"""Strokes of another size: coarse levels paint the content small, or large, and what it lost comes back."""

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import StylizeSettings
from texsynth.ops.detail import detail_gain, with_lost_detail
from texsynth.ops.resample import resize_rows, rows_for_resize
from texsynth.pipelines.rasters import EVERYTHING, MakeCanvas, Raster, map_strips, strip_rows

STROKES = 3
"""Level from which on the size of cells, 4 px and more, is that of strokes; finer ones only finish them."""

GAIN_RADIUS = 2  # Pixels, of the size at which strokes are painted, that decide what is kept of the content


@dataclass(frozen=True)
class ResizedRaster:
    """A picture in [0, 1] at another size, as `resize` makes it up to rounding; best read in whole rows."""

    picture: Raster
    size: tuple[int, int]

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a rectangle."""
        (height, width), length = self.size, self.picture.size[0]
        top, bottom, _ = rows.indices(height)
        part = slice(top, bottom)
        image = self.picture.read(rows_for_resize(length, height, part), EVERYTHING).float()
        # What is reduced most comes first.
        image = F.interpolate(image, (image.shape[2], width), mode="bicubic", antialias=True)
        return resize_rows(image[:, :, :, columns], length, height, part).clamp(0, 1)


def stroke_levels(settings: StylizeSettings) -> tuple[int, ...]:
    """Return the levels that paint at another size; a descent does so as a whole. None at scale 1."""
    if settings.style_scale == 1:
        return ()
    descends = settings.transform.name == "optimize"
    return tuple(level for level in settings.levels if descends or level >= STROKES)


def size_for_strokes(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the size to paint a picture of `size` (height, width) at, for strokes `scale` times as large."""
    return max(1, round(size[0] / scale)), max(1, round(size[1] / scale))


def resized(make_canvas: MakeCanvas, picture: Raster, size: tuple[int, int]) -> Raster:
    """Resize a picture in [0, 1] of any size to `size` (height, width)."""
    result, source = make_canvas(size), ResizedRaster(picture, size)
    # Of a picture that is much reduced, a strip has many rows.
    step = max(1, min(strip_rows(size), strip_rows(picture.size) * size[0] // picture.size[0]))
    for top in range(0, size[0], step):
        rows = slice(top, min(top + step, size[0]))
        result.write(rows, EVERYTHING, source.read(rows, EVERYTHING))
    return result


def brought_back(make_canvas: MakeCanvas, content: Raster, small: Raster, painted: Raster) -> Raster:
    """Bring `painted`, made of `small`, to the size of `content`, of which `small` is a resized copy.

    What resizing took from the content comes back as far as the painting follows the content there: contours
    are crisp, and strokes show no grain of a photograph. An unchanged `small` gives the content, but for the
    faintest detail.
    """
    measure = partial(detail_gain, radius=GAIN_RADIUS)
    gain = map_strips(make_canvas, measure, small, painted, margin=GAIN_RADIUS)
    parts = (ResizedRaster(part, content.size) for part in (painted, small, gain))
    return map_strips(make_canvas, with_lost_detail, content, *parts)
