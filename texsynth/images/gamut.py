"""Colours beyond sRGB: pictures keep the space of their file, and are sRGB only for the work.

The work happens in [0, 1] of sRGB. A colour that lies outside is brought towards grey of its own luminance
until it fits, and how many times stronger it was is carried beside the picture, as `saturation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from texsynth.images.picture import Picture, Pixels, as_depth
from texsynth.images.profiles import LEVELS, Curve, decoded, encoded, shaper_of

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCK_PIXELS = 1 << 19  # Converted at a time, in double precision

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Shares of linear red, green and blue of sRGB."""

MOST = 4.0
"""Largest `saturation`. P3, Adobe RGB and Rec. 2020 need less; ProPhoto has colours that no eye sees."""

OUTSIDE = 0.02
"""Linear light by which a space must differ from sRGB to be another, and may lack some of sRGB."""

NEARLY_WHITE = 1e-4  # Light within which rounding of white would look like a colour


@dataclass(frozen=True)
class WideSpace:
    """An RGB space of a profile that has all of sRGB, and more."""

    icc: bytes
    curves: tuple[Curve, Curve, Curve]  # Linear light at each of the 65536 levels
    matrix: Doubles  # (3, 3), to linear sRGB

    def linear(self, pixels: Pixels) -> Doubles:
        """Return linear light of sRGB, also outside of [0, 1], of (h, W, 3) uint8 or uint16."""
        levels = as_depth(pixels, 16)
        light = np.stack([curve[levels[..., c]] for c, curve in enumerate(self.curves)], -1)
        return np.asarray(light @ self.matrix.T)

    def to_srgb(self, pixels: Pixels, *, keep: bool) -> tuple[Floats, Floats | None]:
        """Return (h, W, 3) in [0, 1] of (h, W, 3) uint8 or uint16, and the saturation (h, W) of at least 1.

        keep: False cuts colours outside to the nearest inside, channel by channel, and returns no saturation.
        """
        light = self.linear(pixels)
        if not keep:
            return encoded(light).astype(np.float32), None
        grey = (light @ LUMINANCE)[..., None]
        away = light - grey
        room = np.where(away > 0, 1 - grey + NEARLY_WHITE, np.maximum(grey, 1e-9))
        saturation = (np.abs(away) / np.maximum(room, 1e-9)).max(-1).clip(1, MOST)
        inside = encoded(grey + away / saturation[..., None])
        return inside.astype(np.float32), saturation.astype(np.float32)

    def from_srgb(self, values: Floats, saturation: Floats | None = None) -> Floats:
        """Return (h, W, 3) of this space, cut to [0, 1], of such sRGB, with its saturation again."""
        light = decoded(values.astype(np.float64).clip(0, 1))
        if saturation is not None:
            grey = (light @ LUMINANCE)[..., None]
            light = grey + (light - grey) * saturation[..., None]
        own = (light @ np.linalg.inv(self.matrix).T).clip(0, 1)
        levels = np.linspace(0, 1, LEVELS)
        planes = [np.interp(own[..., c], curve, levels) for c, curve in enumerate(self.curves)]
        return np.stack(planes, -1).astype(np.float32)


@lru_cache(maxsize=8)
def wide_space(icc: bytes) -> WideSpace | None:
    """Return the space of a profile of curves and a matrix; None unless it has all of sRGB, and more."""
    shaper = shaper_of(icc)
    if shaper is None or len(shaper.curves) != 3:
        return None
    matrix = np.asarray(shaper.matrix, np.float64)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-3:
        return None
    has_srgb = np.linalg.inv(matrix).min() > -OUTSIDE and np.abs(matrix.sum(1) - 1).max() < OUTSIDE
    rises = all(bool((np.diff(curve) >= 0).all()) and curve[0] < curve[-1] for curve in shaper.curves)
    if not (has_srgb and rises and np.abs(matrix - np.eye(3)).max() > OUTSIDE):
        return None
    first, second, third = shaper.curves
    return WideSpace(icc, (first, second, third), matrix)


def in_srgb(picture: Picture) -> Picture:
    """Return the picture with colours of sRGB, those outside cut to the nearest."""
    space = picture.profile and wide_space(picture.profile)
    if not space:
        return picture
    rgb = np.empty_like(picture.rgb)
    top = np.iinfo(rgb.dtype).max
    step = max(1, BLOCK_PIXELS // picture.width)
    for first in range(0, picture.height, step):
        values, _ = space.to_srgb(picture.rgb[first : first + step], keep=False)
        rgb[first : first + step] = values * top + 0.5
    return replace(picture, rgb=rgb, profile=None)
