"""Pictures in files, and how two readers of them are compared."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from PIL import Image

from texsynth.images import Picture, open_strips, read
from texsynth.images.picture import Pixels
from texsynth.images.profiles import srgb_profile


def linear_profile() -> bytes:
    """sRGB primaries with a straight tone curve, so that conversion must brighten."""
    profile = bytearray(srgb_profile())
    curve = profile.index(b"para")
    profile[curve + 8 : curve + 16] = struct.pack(">HHI", 0, 0, 1 << 16)  # x to the power of 1.0
    return bytes(profile)


def grey_profile() -> bytes:
    """A straight tone curve for a single channel."""
    return linear_profile().replace(b"RGB ", b"GRAY", 1).replace(b"rTRC", b"kTRC", 1)


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def saved(pixels: Pixels, kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:  # noqa: ANN401
    """File made by Pillow. pixels: (H, W, C) uint8."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    (image.convert(mode) if mode else image).save(buffer, format=kind, **options)
    return buffer.getvalue()


def deep_png(pixels: Pixels, *more: tuple[bytes, bytes], interlace: bool = False) -> bytes:
    """File made by libvips. pixels: (H, W, C) uint16. more: kinds and bodies of chunks after the header."""
    height, width, channels = pixels.shape
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels), width, height, channels, "ushort")
    image = image.copy(interpretation="rgb16" if channels > 2 else "grey16")
    data = bytes(image.pngsave_buffer(keep="none", interlace=interlace))
    return data[:33] + b"".join(chunk(*one) for one in more) + data[33:]


PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, bytes),
    "deflate": (8, zlib.compress),
    "lzma": (34925, lzma.compress),
}


def tiff(*pages: Pixels, order: str = "<", big: bool = False, **options: Any) -> bytes:  # noqa: ANN401
    """TIFF of (H, W, C) pages. order: of bytes, < or >. big: 64-bit offsets. options: see `tiff_page`."""
    data = bytearray(b"II" if order == "<" else b"MM")
    data += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    word, link = ("Q", 8) if big else ("I", 4)
    for pixels in pages:
        tags = tiff_page(data, pixels, order, **options)
        start, room = len(data), struct.calcsize(word)
        struct.pack_into(order + word, data, link, start)
        entries, tail = bytearray(), b""
        after = start + struct.calcsize("<Q" if big else "<H") + len(tags) * (4 + 2 * room) + room
        for number, (kind, values) in sorted(tags.items()):
            raw = struct.pack(f"{order}{len(values)}{kind}", *values)
            entries += struct.pack(f"{order}HH{word}", number, {"B": 7, "H": 3, "I": 4}[kind], len(values))
            entries += (
                raw.ljust(room, b"\0") if len(raw) <= room else struct.pack(order + word, after + len(tail))
            )
            tail += raw if len(raw) > room else b""
        data += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
        link = len(data)
        data += bytes(room) + tail
    return bytes(data)


def tiff_page(
    data: bytearray, pixels: Pixels, order: str, *, compression: str = "none", rows: int | None = None,
    tile: tuple[int, int] | None = None, planar: bool = False, predictor: bool = False,
    photometric: int | None = None, extra: Sequence[int] | None = None, icc: bytes = b"",
) -> dict[int, tuple[str, Sequence[int]]]:  # fmt: skip
    """Append the segments of a page to `data` and return its tags, each a struct letter and values.

    rows: of a strip. tile: height and width. photometric, extra: numbers of the format.
    """
    height, width, channels = pixels.shape
    code, packed = PACKERS[compression]
    photometric = (2 if channels > 2 else 1) if photometric is None else photometric
    down, across = tile or (rows or height, width)
    offsets, sizes = [], []
    for plane in [pixels[..., c : c + 1] for c in range(channels)] if planar else [pixels]:
        for top in range(0, height, down):
            for left in range(0, width, across):
                part = plane[top : top + down, left : left + across]
                if tile:
                    part = np.pad(part, ((0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)))
                if predictor:
                    part = np.diff(part, axis=1, prepend=np.zeros_like(part[:, :1]))
                segment = packed(part.astype(f"{order}u{part.dtype.itemsize}").tobytes())
                offsets.append(len(data))
                sizes.append(len(segment))
                data += segment
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("H", [width]), 257: ("H", [height]), 258: ("H", [pixels.dtype.itemsize * 8] * channels),
        259: ("H", [code]), 262: ("H", [photometric]),
        277: ("H", [channels]), 284: ("H", [1 + planar]), 317: ("H", [1 + predictor]),
        338: ("H", (2,) * (channels in (2, 4)) if extra is None else extra), 34675: ("B", icc),
    }  # fmt: skip
    if tile:
        tags |= {322: ("H", [across]), 323: ("H", [down]), 324: ("I", offsets), 325: ("I", sizes)}
    else:
        tags |= {273: ("I", offsets), 278: ("H", [down]), 279: ("I", sizes)}
    return {number: tag for number, tag in tags.items() if tag[1]}


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
    strips = open_strips(source, frame=frame)
    assert strips.whole == whole
    assert (strips.width, strips.height) == (picture.width, picture.height)
    assert same(replace(strips.kind, rgb=picture.rgb, alpha=picture.alpha), picture)
    assert (strips.kind.bit_depth, strips.kind.alpha is None) == (picture.bit_depth, picture.alpha is None)
    for count in (1, 7, 5000):
        for strip, expected in zip(strips.rows(count), picture.strips(count), strict=True):
            assert same(strip, expected)


def fail(error: Exception, *_: object) -> None:
    raise error


PRIMARIES = {
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "Adobe RGB": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "ProPhoto": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
}
"""XYZ of red, green and blue under D50, as profiles have them."""


def wide_profile(name: str = "Display P3") -> bytes:
    """The curve of sRGB, and primaries of a wider space."""
    profile = bytearray(srgb_profile())
    (count,) = struct.unpack_from(">I", profile, 128)
    for number in range(count):
        tag, start, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if tag in (b"rXYZ", b"gXYZ", b"bXYZ"):
            colour = PRIMARIES[name]["rgb".index(chr(tag[0]))]
            struct.pack_into(">3i", profile, start + 8, *(round(value * 65536) for value in colour))
    return bytes(profile)
