"""PNG files piece by piece: their chunks, and an encoder that is fed rows."""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np

from texsynth.images.picture import Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"

KEYWORD = "texsynth"
"""Keyword of the text chunk with the settings."""

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Number of channels -> colour type in the header."""

FILTERED_BYTES = 1 << 18
"""Rows are filtered so many bytes at a time, which stay in the processor's cache."""

TEXT = (b"tEXt", b"zTXt", b"iTXt")
MEANING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Keywords of texts that can say how a picture is turned."""


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def leading_chunks(settings: str, profile: bytes | None) -> bytes:
    """Colour profile and settings, to stand right after the header chunk."""
    icc = chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profile)) if profile else b""
    text = chunk(b"iTXt", KEYWORD.encode() + b"\0\0\0\0\0" + settings.encode()) if settings else b""
    return icc + text


def has_late_meaning(file: BinaryIO) -> bool:
    """True when something after the pixels says how they are to be turned or coloured."""
    position, after_pixels = len(SIGNATURE), False
    while len(head := _at(file, position, 8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            after_pixels = True
        elif after_pixels and (
            kind in (b"eXIf", b"iCCP") or (kind in TEXT and file.read(32).startswith(MEANING))
        ):
            return True
        position += 12 + length
    return False


class PngSink:
    """Writes a PNG as its rows come in."""

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        settings: str,
        profile: bytes | None,
    ) -> None:
        """shape: (H, W, 1 to 4). dtype: uint8 or uint16. settings, profile: see `leading_chunks`."""
        height, width, channels = shape
        self.file = file
        self.pixel_bytes = channels * dtype.itemsize
        self.above = np.zeros(width * self.pixel_bytes, np.uint8)
        # For photographs Z_FILTERED at 4 gives the size of the usual level 6 in half of its time.
        self.packer = zlib.compressobj(4, strategy=zlib.Z_FILTERED)
        header = struct.pack(">IIBBBBB", width, height, dtype.itemsize * 8, COLOUR_TYPES[channels], 0, 0, 0)
        file.write(SIGNATURE + chunk(b"IHDR", header) + leading_chunks(settings, profile))

    def add(self, pixels: Pixels) -> None:
        """Append rows. pixels: (n, W, C)."""
        rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8)
        rows = rows.reshape(len(pixels), -1)
        step = max(1, FILTERED_BYTES // rows.shape[1])
        for top in range(0, len(rows), step):
            part = rows[top : top + step]
            self._write(self.packer.compress(filtered(part, self.above, self.pixel_bytes).data))
            self.above = part[-1]
        self.above = self.above.copy()

    def finish(self) -> None:
        """Write what is left."""
        self._write(self.packer.flush())
        self.file.write(chunk(b"IEND", b""))

    def _write(self, packed: bytes) -> None:
        if packed:
            self.file.write(chunk(b"IDAT", packed))


def filtered(rows: Pixels, above: Pixels, pixel_bytes: int) -> Pixels:
    """Rows each under the filter that makes it smallest (sum of absolute differences).

    rows: (n, B) bytes; above: (B,), the row before them. Returns (n, 1 + B): filter number and bytes.
    """
    up = np.concatenate([above[None], rows[:-1]])
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    corner[:, pixel_bytes:] = up[:, :-pixel_bytes]
    mean = (left >> 1) + (up >> 1) + (left & up & 1)
    guesses = (np.zeros_like(rows), left, up, mean, _paeth(left, up, corner))
    candidates = np.stack([rows - guess for guess in guesses])
    costs = np.abs(candidates.view(np.int8)).view(np.uint8).sum(2, dtype=np.int64)
    best = costs.argmin(0)
    return np.hstack([best[:, None].astype(np.uint8), candidates[best, np.arange(len(rows))]])


def _paeth(left: Pixels, up: Pixels, corner: Pixels) -> Pixels:
    """Of the three neighbours the nearest to left + up - corner; at a tie the first."""
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest_of_two = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest_of_two)


def _at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)
