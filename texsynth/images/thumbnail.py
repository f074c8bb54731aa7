"""Small versions of pictures, to look at."""

from __future__ import annotations

import numpy as np
from PIL import Image

from texsynth.images.encode import encode, flattened
from texsynth.images.picture import Picture, Pixels, as_depth

QUALITY = 85


def reduced(picture: Picture, scale: float) -> Pixels:
    """`picture` over white at `scale`, at most 1. Returns (H, W, 3) uint8, at least 1x1."""
    rgb = as_depth(flattened(picture).rgb, 8)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return rgb if scale == 1 else np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def jpeg_thumbnail(picture: Picture, scale: float) -> tuple[bytes, int, int]:
    """`picture` over white at `scale`, at most 1, as JPEG, with its width and height in pixels."""
    small = Picture(reduced(picture, scale))
    data, _ = encode(small, "JPEG", quality=QUALITY)
    return data, small.width, small.height
