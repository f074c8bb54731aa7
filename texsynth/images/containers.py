"""PNG files piece by piece: their chunks, and an encoder that is fed rows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import imagecodecs
import numpy as np

from texsynth.images.picture import Pixels

if TYPE_CHECKING:
    from tifffile import TiffPage


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


LOSSLESS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compression tags that every decoder reads alike: none, LZW, deflate, PackBits, LZMA, Zstandard."""

BAND_BYTES = 1 << 26
"""A row of segments that is larger is no small part of the picture any more."""

SEGMENT_BYTES = 1 << 18
"""Size before compression of the strips that are written, the same as tifffile's own."""

CLASSIC_LIMIT = (1 << 32) - (1 << 25)
"""Bytes that fit in a TIFF with 32-bit offsets, with room for its tags."""


def split_samples(samples: Pixels, page: TiffPage) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, 1 or 3), zero black, and alpha (H, W) of the stored (H, W, C) 16-bit samples."""
    count = 3 if page.photometric == 2 else 1
    extra = tuple(int(kind) for kind in page.extrasamples)
    colours = samples[..., :count] if page.photometric else np.iinfo(samples.dtype).max - samples[..., :count]
    if not extra or extra[0] not in (1, 2):
        return colours, None
    alpha = samples[..., count]
    if extra[0] == 1:
        divisor = np.maximum(alpha, 1)[..., None].astype(np.float64)
        colours = np.minimum(colours * (65535 / divisor) + 0.5, 65535).astype(np.uint16)
    return colours, alpha


def is_streamable(page: TiffPage) -> bool:
    """True when `Bands` can read the page, and small parts of it at a time."""
    colours = 3 if page.photometric == 2 else 1
    extra = tuple(int(kind) for kind in page.extrasamples)
    # At 8 bits Pillow has its own rounding for colours that are multiplied by alpha.
    known = [(), (2,)] if page.bitspersample == 8 else [(), (1,), (2,)]
    return (
        page.bitspersample in (8, 16)
        and page.sampleformat == 1
        and page.photometric in ((1, 2) if extra else (0, 1, 2))
        and page.planarconfig == 1
        and page.fillorder == 1
        and page.imagedepth == 1
        and page.compression in LOSSLESS
        and page.predictor in (1, 2)
        and extra in known
        and page.samplesperpixel == colours + len(extra)
        and all(page.databytecounts)
        and (_is_plain(page) or _segment_rows(page) * _row_bytes(page) <= BAND_BYTES)
    )


@dataclass(frozen=True)
class Bands:
    """The stored samples of a page for which `is_streamable` holds."""

    page: TiffPage

    def rows(self, count: int) -> Iterator[Pixels]:
        """(count, W, C) uint8 or uint16 from the top down, the last one shorter; damage raises errors."""
        waiting: list[Pixels] = []
        for band in self._plain(count) if _is_plain(self.page) else self._segments():
            waiting.append(band)
            if sum(map(len, waiting)) < count:
                continue
            rows = np.concatenate(waiting)
            whole = len(rows) - len(rows) % count
            for top in range(0, whole, count):
                yield rows[top : top + count]
            waiting = [rows[whole:].copy()]
        if sum(map(len, waiting)):
            yield np.concatenate(waiting)

    def _plain(self, count: int) -> Iterator[Pixels]:
        """Rows of an uncompressed page whose segments follow each other as one block."""
        page, row_bytes = self.page, _row_bytes(self.page)
        for top in range(0, page.imagelength, count):
            rows = min(count, page.imagelength - top)
            data = self._data(page.dataoffsets[0] + top * row_bytes, rows * row_bytes)
            stored = np.frombuffer(data, self._dtype().newbyteorder(page.parent.byteorder))
            shape = (rows, page.imagewidth, page.samplesperpixel)
            yield stored.reshape(shape).astype(self._dtype(), copy=False)

    def _segments(self) -> Iterator[Pixels]:
        page, height = self.page, _segment_rows(self.page)
        across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
        for first, top in zip(
            range(0, len(page.dataoffsets), across), range(0, page.imagelength, height), strict=True
        ):
            rows = min(height, page.imagelength - top)
            band = np.empty((rows, page.imagewidth, page.samplesperpixel), self._dtype())
            for index in range(first, first + across):
                data = self._data(page.dataoffsets[index], page.databytecounts[index])
                samples, (_, _, _, left, _), _ = page.decode(data, index)
                if samples is None:
                    raise ValueError(f"segment {index} is empty")
                inside = samples[0, :rows, : page.imagewidth - left]
                band[:, left : left + inside.shape[1]] = inside
            yield band

    def _data(self, offset: int, count: int) -> bytes:
        file = self.page.parent.filehandle
        file.seek(offset)
        data = bytes(file.read(count))
        if len(data) < count:
            raise ValueError("the file is cut off")
        return data

    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint16 if self.page.bitspersample == 16 else np.uint8)


def _segment_rows(page: TiffPage) -> int:
    return int(page.tilelength if page.is_tiled else page.rowsperstrip)


def _row_bytes(page: TiffPage) -> int:
    return int(page.imagewidth * page.samplesperpixel * page.bitspersample // 8)


def _is_plain(page: TiffPage) -> bool:
    return bool(page.compression == 1 and page.predictor == 1 and not page.is_tiled and page.is_contiguous)


class TiffSink:
    """Writes a TIFF as its rows come in."""

    def __init__(
        self,
        file: BinaryIO,
        spool: BinaryIO,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        profile: bytes | None,
    ) -> None:
        """shape: (H, W, C). dtype: uint8 or uint16. profile: ICC profile or None.

        spool: an empty temporary file where the compressed strips wait, because only their total says
        whether offsets need 64 bits.
        """
        self.file = file
        self.spool = spool
        self.shape = shape
        self.dtype = dtype
        self.profile = profile
        self.rows = max(1, SEGMENT_BYTES // (shape[1] * shape[2] * dtype.itemsize))
        self.waiting = np.empty((0, *shape[1:]), dtype)
        self.sizes: list[int] = []

    def add(self, pixels: Pixels) -> None:
        """Append rows. pixels: (n, W, C)."""
        pixels = np.concatenate([self.waiting, pixels])
        whole = len(pixels) - len(pixels) % self.rows
        for top in range(0, whole, self.rows):
            self._pack(pixels[top : top + self.rows])
        self.waiting = pixels[whole:].copy()

    def finish(self) -> None:
        """Write the file from what was collected."""
        import tifffile

        if len(self.waiting):
            self._pack(self.waiting)
        self.spool.seek(0)
        channels = self.shape[2]
        with tifffile.TiffWriter(self.file, bigtiff=sum(self.sizes) > CLASSIC_LIMIT) as writer:
            writer.write(
                (self.spool.read(size) for size in self.sizes),
                shape=self.shape if channels > 1 else self.shape[:2],
                dtype=self.dtype,
                rowsperstrip=self.rows,
                **tiff_tags(channels, self.profile),
            )

    def _pack(self, pixels: Pixels) -> None:
        packed = imagecodecs.deflate_encode(imagecodecs.delta_encode(pixels, axis=1).tobytes())
        self.spool.write(packed)
        self.sizes.append(len(packed))


def tiff_tags(channels: int, profile: bytes | None) -> dict[str, Any]:
    """What tifffile is told about every TIFF: colours, compression, where it comes from."""
    return {
        "photometric": "rgb" if channels >= 3 else "minisblack",
        "extrasamples": ["unassalpha"] if channels == 4 else None,
        "compression": "zlib",
        "predictor": True,
        "iccprofile": profile,
        "metadata": None,
        "software": "texsynth",
    }
