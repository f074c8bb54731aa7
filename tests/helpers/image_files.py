"""Pictures in files, and how two readers of them are compared."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np

from texsynth.images import Picture, open_strips, read
from texsynth.images.picture import Pixels


def linear_profile() -> bytes:
    """sRGB primaries with a straight tone curve, so that conversion must brighten."""
    primaries = (0.64, 0.33, 1, 0.3, 0.6, 1, 0.15, 0.06, 1)
    return bytes(
        imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.329, 1), primaries=primaries, gamma=1.0)
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


SIZES = [(1, 1), (1, 4000), (4000, 1), (5, 3), (60, 47)]


def smooth(height: int, width: int, channels: int, dtype: type = np.uint8) -> Pixels:
    """Waves and noise, so that every PNG filter is the best somewhere."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 9, (height, width, channels))
    wave = 110 + 90 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] + noise + 5 * np.arange(channels)
    values = wave if dtype == np.uint8 else wave * 256 + noise * 29
    return np.asarray(values, dtype)


def same(one: Picture, other: Picture) -> bool:
    """Equal in everything, bit for bit."""
    assert replace(one, rgb=0, alpha=None) == replace(other, rgb=0, alpha=None)  # type: ignore[arg-type]
    assert (one.rgb.dtype, one.alpha is None) == (other.rgb.dtype, other.alpha is None)
    no_alpha = one.alpha is None or other.alpha is None
    return np.array_equal(one.rgb, other.rgb) and (no_alpha or np.array_equal(one.alpha, other.alpha))  # type: ignore[arg-type]


def check(source: Path | bytes, *, whole: bool = False, frame: int | None = None) -> None:
    """Strips of any height are the rows of the whole picture."""
    picture = read(source, frame=frame)
    with open_strips(source, frame=frame) as strips:
        assert strips.whole == whole
        assert (strips.width, strips.height) == (picture.width, picture.height)
        assert (strips.bit_depth, strips.grey) == (picture.bit_depth, picture.grey)
        assert strips.has_alpha == (picture.alpha is not None)
        assert (strips.warnings, strips.source_format) == (picture.warnings, picture.source_format)
        for count in (1, 7, 5000):
            top = 0
            for strip in strips.rows(count):
                part = slice(top, top + count)
                alpha = None if picture.alpha is None else picture.alpha[part]
                assert same(strip, replace(picture, rgb=picture.rgb[part], alpha=alpha))
                top += strip.height
            assert top == picture.height


def fail(error: Exception, *_: object) -> None:
    raise error
