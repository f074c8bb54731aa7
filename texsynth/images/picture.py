"""What a picture is once it has left its file, and the formats that are accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from texsynth.errors import OutputError, UsageError

Pixels = NDArray[Any]  # uint8 or uint16

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are read; anything else is refused before its decoder runs."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
"""File names that a folder is searched for, in lower case."""

OUTPUT_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File names that can be written."""

LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
"""Pixels that the side of a picture of the format can have, where that is few."""

DEEP_FORMATS = frozenset({"PNG", "TIFF"})  # Formats that hold 16 bits per channel

GREY_FORMATS = frozenset({"PNG", "JPEG", "TIFF"})  # Formats that hold a single channel

ALPHA_FORMATS = frozenset({"PNG", "WEBP", "TIFF"})  # Formats that hold an alpha channel


class NotReadError(ValueError):
    """A sound file of a kind that is not read. The message goes on after the name of the file."""


@dataclass(frozen=True)
class Picture:
    """sRGB pixels, upright, with what is needed to write a picture of the same kind.

    rgb: (H, W, 3) uint8 or uint16. alpha: (H, W) of the same type, or None. grey: the three channels are
    equal, and one is written. is_data: the values are no colours, so no colour profile is written. one_bit:
    data of a bit for each pixel, which are written so.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    source_format: str = "PNG"
    grey: bool = False
    warnings: tuple[str, ...] = ()
    is_data: bool = False
    one_bit: bool = False

    def strips(self, count: int) -> Iterator[Picture]:
        """Strips of `count` rows from the top down, the last one shorter."""
        for top in range(0, self.height, count):
            rows = slice(top, top + count)
            yield replace(self, rgb=self.rgb[rows], alpha=None if self.alpha is None else self.alpha[rows])

    @property
    def bit_depth(self) -> int:
        """8 or 16."""
        return self.rgb.dtype.itemsize * 8

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.rgb.shape[0])


def as_depth(values: Pixels, bit_depth: int) -> Pixels:
    """Full-range uint8 or uint16 `values` at `bit_depth` 8 or 16, rounded to the nearest."""
    if values.dtype.itemsize * 8 == bit_depth:
        return values
    if bit_depth == 16:
        return values.astype(np.uint16) * np.uint16(257)
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


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
    longest = LONGEST_SIDE.get(name)
    if longest and max(width, height) > longest:
        raise OutputError(
            f"a {width} x {height} picture cannot be written as {name}, "
            f"whose sides have at most {longest} pixels; use .png or .tif"
        )
