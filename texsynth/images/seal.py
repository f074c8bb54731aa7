"""A hash beside the settings of a result, so that another picture with the same settings is told from it.

Of PNG and TIFF it is that of the pixels, so that a file may be packed better; of JPEG, WebP and AVIF, which
other versions of a library decode otherwise, that of what they are decoded from. Texts and profiles may
change.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator

import numpy as np

from texsynth.images import avif, jpeg
from texsynth.images.picture import Pixels

KEY = "pixels_sha256"

PIXEL_FORMATS = frozenset({"PNG", "TIFF"})  # Formats whose pixels count, not how they are stored


class PixelHash:
    """SHA-256 of a picture whose rows come in from the top down, however many at a time."""

    def __init__(self, width: int, height: int) -> None:
        """width, height: in pixels."""
        self._hash, self._start = hashlib.sha256(), struct.pack("<2Q", width, height)

    def add(self, rows: Pixels) -> None:
        """Add (n, W, 1 to 4) uint8 or uint16; 2 and 4 channels end with alpha, and 1 and 2 are grey."""
        if rows.shape[2] < 3:
            rows = np.dstack([rows[..., :1]] * 3 + [rows[..., 1:]])
        if self._start:
            self._hash.update(self._start + struct.pack("<2Q", rows.shape[2], rows.dtype.itemsize))
            self._start = b""
        self._hash.update(np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")).data)

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()


def coded_hash(data: bytes) -> str:
    """SHA-256 in hexadecimal of what pixels of JPEG, WebP and AVIF are decoded from; of others, of all."""
    parts: Iterable[bytes] = (data,)
    if data[:4] == b"RIFF":
        parts = _riff_parts(data)
    elif data[:2] == b"\xff\xd8":
        parts = jpeg.coded_parts(data)
    elif data[4:8] == b"ftyp":
        parts = avif.coded_parts(data)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _riff_parts(data: bytes) -> Iterator[bytes]:
    """Yield the chunks of a WebP with pixels, their alpha, and the frames of an animation."""
    place = 12
    while place + 8 <= len(data):
        kind, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            yield data[place : place + 8 + length]
        place += 8 + length + length % 2


def sealed(settings: str, digest: str) -> str:
    """Return the settings with a hash below them; no settings stay none."""
    return f"{settings}{KEY}: '{digest}'\n" if settings else ""


def unsealed(text: str) -> tuple[str, str]:
    """Return the settings and the hash below them; '' for a file of a version before there was one."""
    settings, mark, rest = text.rpartition(f"\n{KEY}: ")
    return (settings + "\n", rest.strip().strip("'")) if mark else (text, "")
