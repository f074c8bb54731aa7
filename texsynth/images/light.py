"""Pictures of linear light: floats of any size, which become sRGB for the work, and light again in a result.

The work happens in [0, 1]. Where light is stronger than 1, the pixel is divided by its strongest channel, so
that its hue stays, and the divisor is kept beside the picture as `highlights`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from texsynth.images.gamut import wide_space
from texsynth.images.picture import Picture, Pixels
from texsynth.images.profiles import decoded, encoded, linear_shaper

Floats = NDArray[np.float32]

BLOCK_PIXELS = 1 << 20  # Converted at a time, in double precision

LARGEST = 65504.0
"""The largest number of 16-bit floats, in place of infinite ones."""

NOT_FINITE = "numbers that are infinite or none were replaced"


@dataclass(frozen=True)
class Samples:
    """The pixels of a file as they are stored. colours: (H, W, 1 or 3) uint16, or float32 of linear light.

    alpha: (H, W) of the same type, not multiplied into the colours. icc: profile of the colours. is_half: the
    file has floats of 16 bits.
    """

    colours: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    is_half: bool = False


@dataclass(frozen=True)
class Unpacked:
    """A file whose samples Pillow cannot give, as its header says. size: width and height in pixels."""

    format: str
    size: tuple[int, int]
    decode: Callable[[bytes], Samples | Image.Image] = field(repr=False)
    """Decodes the file, at 8 bits to an image of Pillow. Raises OSError, ValueError for damage."""
    is_float: bool = True
    rows: Callable[[Path | bytes, int], Iterator[Samples]] | None = field(default=None, repr=False)
    """Decodes a file by so many rows at a time, which together are what `decode` gives; None: it cannot."""
    frames: int = 1
    orientation: int = 1

    @property
    def header(self) -> Image.Image:
        """What Pillow would make of the header, without pixels."""
        image = Image.Image()
        image._size, image._mode, image.format = self.size, "RGB", self.format
        return image


def from_light(samples: Samples, source_format: str, *, as_data: bool = False) -> Picture:
    """Linear light as a picture. as_data: the values are no light and stay what they are."""
    light: Floats = samples.colours.astype(np.float32, copy=False)
    warnings: tuple[str, ...] = ()
    if not np.isfinite(light).all():
        light = np.nan_to_num(light, nan=0.0, posinf=LARGEST, neginf=0.0)
        warnings = (NOT_FINITE,)
    grey = light.shape[2] == 1
    shaper = None if as_data or not samples.icc else linear_shaper(samples.icc, grey=grey)
    height, width = light.shape[:2]
    rgb = np.empty((height, width, 3), np.uint16)
    strongest = np.ones((height, width), np.float32)
    step = max(1, BLOCK_PIXELS // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        part = light[rows] if shaper is None else shaper(light[rows])
        strongest[rows] = np.maximum(part.max(2), 1)
        values = np.maximum(part, 0).astype(np.float64) / strongest[rows][..., None]
        rgb[rows] = (values if as_data else encoded(values)) * 65535 + 0.5
    alpha = None
    if samples.alpha is not None:
        opacity = np.nan_to_num(samples.alpha, nan=1.0).clip(0, 1)
        alpha = (opacity * 65535 + 0.5).astype(np.uint16)
    return Picture(
        rgb, alpha, source_format, grey, warnings, is_float=True, is_half=samples.is_half,
        highlights=strongest if bool((strongest > 1).any()) else None,
    )  # fmt: skip


def to_light(picture: Picture, *, grey: bool = False) -> Floats:
    """Return the linear light of a picture, with alpha last if it has any: (H, W, 1 to 4) float32.

    Values of a picture that is data are not changed. Colours outside of sRGB have channels below 0.
    """
    colours = picture.rgb[..., :1] if grey else picture.rgb
    channels = colours.shape[2]
    out = np.empty((*colours.shape[:2], channels + (picture.alpha is not None)), np.float32)
    levels = np.linspace(0, 1, np.iinfo(colours.dtype).max + 1)
    table = (levels if picture.is_data else decoded(levels)).astype(np.float32)
    space = picture.profile and wide_space(picture.profile)
    if space:
        for top in range(0, picture.height, step := max(1, BLOCK_PIXELS // picture.width)):
            out[top : top + step, :, :channels] = space.linear(colours[top : top + step])
    else:
        out[..., :channels] = table[colours]
    if picture.highlights is not None:
        out[..., :channels] *= picture.highlights[..., None]
    if picture.alpha is not None:
        out[..., -1] = picture.alpha / np.float32(np.iinfo(picture.alpha.dtype).max)
    return out
