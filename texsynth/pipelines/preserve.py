"""What of the content goes around the networks: its fine detail, and where it is light and dark."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from texsynth.ops.color import LUMA, luma
from texsynth.ops.detail import with_detail_of, with_light_of
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.rasters import EVERYTHING, MakeCanvas, Raster, map_strips, strips
from texsynth.transforms.moments import Moments

LIGHT = 0  # In place of a level, where moments are those of lightness

LIGHT_RADIUS = 16  # Pixels; what is finer are strokes, which may be as light or dark as they like

MOST_CONTRAST = 4.0  # Times the content's own; more would show the noise of a nearly flat one


@dataclass(frozen=True)
class LightMap:
    """A straight line from the content's lightness to that of its painted picture."""

    gain: float
    offset: float

    @classmethod
    def between(cls, content: Moments, target: Moments) -> "LightMap | None":
        """Fit mean and contrast of lightness, moments of one channel; None where there are no pixels."""
        if min(content.n, target.n) <= 0:
            return None
        old, new = (float(m.covariance[0, 0].clamp_min(0).sqrt()) for m in (content, target))
        gain = min(new / old, MOST_CONTRAST) if old > 0 else 0.0
        return cls(gain, float(target.mean[0]) - gain * float(content.mean[0]))


def light_of(picture: Raster, weight: Tensor | None = None) -> Moments:
    """Sum the moments of lightness of a picture, one channel. weight: (1, 1, H, W), how much pixels count."""
    total = Moments.empty(1)
    for rows in strips(picture.size):
        part = None if weight is None else weight[:, :, rows]
        total = total + Moments.of(luma(picture.read(rows, EVERYTHING).float()), part)
    return total


def light_of_colours(colours: Moments) -> Moments:
    """Project the moments of RGB colours on lightness, one channel."""
    weights = torch.tensor([LUMA], dtype=torch.float64)
    return Moments(colours.n, weights @ colours.sum, weights @ colours.outer @ weights.T)


def keep_detail(
    make_canvas: MakeCanvas, content: Raster, image: Raster, share: float, radius: int, on_step: OnStep
) -> Raster:
    """Bring the fine detail of `image` towards that of `content`, see `with_detail_of`."""
    keep = partial(with_detail_of, share=share, radius=radius)
    return map_strips(make_canvas, keep, content, image, margin=2 * radius, on_step=on_step)


def keep_light(
    make_canvas: MakeCanvas, content: Raster, image: Raster, share: float, light: LightMap, on_step: OnStep
) -> Raster:
    """Bring light and dark of `image` towards where `content` has them, see `with_light_of`."""
    keep = partial(with_light_of, share=share, radius=LIGHT_RADIUS, gain=light.gain, offset=light.offset)
    return map_strips(make_canvas, keep, content, image, margin=LIGHT_RADIUS, on_step=on_step)
