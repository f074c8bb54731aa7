"""What a picture is once it has left its file, and the formats that are accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from texsynth.errors import OutputError, UsageError
from texsynth.images import formats

Pixels = NDArray[Any]  # uint8 or uint16

FORMATS = tuple(one.name for one in formats.TABLE)
"""Formats that are read; anything else is refused before its decoder runs."""

SUFFIXES = frozenset(formats.BY_SUFFIX)
"""File names that a folder is searched for, in lower case."""

OUTPUT_SUFFIXES = {suffix: one.name for suffix, one in formats.BY_SUFFIX.items() if one.writes}
"""File names that can be written."""

DEEP_FORMATS = frozenset(one.name for one in formats.TABLE if one.writes and 16 in one.depths)
"""Formats that hold 16 bits per channel."""

FLOAT_FORMATS = frozenset(one.name for one in formats.TABLE if one.writes and 32 in one.depths)
"""Formats that hold floats of linear light, also above 1."""

GREY_FORMATS = frozenset(one.name for one in formats.TABLE if one.writes and one.grey)
"""Formats that hold a single channel."""

ALPHA_FORMATS = frozenset(one.name for one in formats.TABLE if one.writes and one.alpha)
"""Formats that hold an alpha channel."""


class NotReadError(ValueError):
    """A sound file of a kind that is not read. The message goes on after the name of the file."""


@dataclass(frozen=True)
class Picture:
    """sRGB pixels, upright, with what is needed to write a picture of the same kind.

    rgb: (H, W, 3) uint8 or uint16. alpha: (H, W) of the same type, or None. grey: the three channels are
    equal, and one is written. is_data: the values are no colours, so no colour profile is written.
    one_bit: data of a bit for each pixel, which are written so. is_float: the file holds floats of linear
    light. is_half: of 16 bits, where they are written as floats. highlights: (H, W) float32 of at least 1
    by which that light is stronger, or None for 1 everywhere. profile: of a space wider than sRGB in
    which `rgb` then is, or None for sRGB.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    source_format: str = "PNG"
    grey: bool = False
    warnings: tuple[str, ...] = ()
    is_data: bool = False
    one_bit: bool = False
    is_float: bool = False
    is_half: bool = False
    highlights: Pixels | None = None
    profile: bytes | None = field(default=None, repr=False)

    def strips(self, count: int) -> Iterator[Picture]:
        """Strips of `count` rows from the top down, the last one shorter."""
        for top in range(0, self.height, count):
            rows = slice(top, top + count)
            alpha, highlights = (None if a is None else a[rows] for a in (self.alpha, self.highlights))
            yield replace(self, rgb=self.rgb[rows], alpha=alpha, highlights=highlights)

    @property
    def bit_depth(self) -> int:
        """8, 16, or 32 for floats."""
        return 32 if self.is_float else self.rgb.dtype.itemsize * 8

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.rgb.shape[0])


def as_depth(values: Pixels, bit_depth: int) -> Pixels:
    """Full-range uint8 or uint16 `values` at `bit_depth` 8 or 16, rounded to the nearest.

    Floats, 32, are held at 16 bits of sRGB.
    """
    bit_depth = min(bit_depth, 16)
    if values.dtype.itemsize * 8 == bit_depth:
        return values
    if bit_depth == 16:
        return values.astype(np.uint16) * np.uint16(257)
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def split_alpha(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, 1 or 3) and alpha (H, W) of (H, W, 1 to 4) samples with alpha last."""
    count = 3 if samples.shape[2] >= 3 else 1
    return samples[..., :count], samples[..., -1] if samples.shape[2] > count else None


def output_format(path: Path) -> str:
    """The format that the name of `path` asks for; UsageError when it cannot be written."""
    try:
        return OUTPUT_SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(OUTPUT_SUFFIXES)
        raise UsageError(
            f"{path}: cannot write {path.suffix or 'a name without suffix'}; use {known}"
        ) from None


def check_sides(width: int, height: int, name: str) -> None:
    """OutputError for a picture, in pixels, that the format `name` cannot count."""
    longest = formats.BY_NAME[name].longest
    if longest and max(width, height) > longest:
        raise OutputError(
            f"a {width} x {height} picture cannot be written as {name}, "
            f"whose sides have at most {longest} pixels; use .png or .tif"
        )
