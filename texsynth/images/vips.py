"""libvips: 16 bits per channel, and files that are read or written row by row.

Every operation is named after one format, so libvips never guesses from a name or content which to run.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from texsynth.errors import check_room, check_room_for_threads
from texsynth.images.files import locked_file
from texsynth.images.picture import Pixels

if TYPE_CHECKING:
    import pyvips

KEYWORD = "texsynth"  # Keyword of the PNG text with the settings

DTYPES = {
    "uchar": np.uint8,
    "ushort": np.uint16,
    "uint": np.uint32,
    "float": np.float32,
    "double": np.float64,
}
Dpi = tuple[float, float] | None  # Pixels per inch across and down

MM_PER_INCH = 25.4
USUAL_DPI = 72.0  # Resolution that programs assume where a file gives none

SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("pngsave", {"filter": "all", "compression": 5, "keep": "icc|other"}),
    "TIFF": (
        "tiffsave",
        {"compression": "deflate", "predictor": "horizontal", "level": 5, "resunit": "inch", "keep": "icc"},
    ),
}
"""Format -> operation that writes it, and its options."""

CLASSIC_TIFF_BYTES = (1 << 32) - (1 << 25)
"""Bytes of pixels that fit in a TIFF with 32-bit offsets, with room for its tags."""

TIFF_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946})
"""None, LZW, deflate (two numbers) and PackBits; the others are lossy or not in every build of libvips."""

PIPED_BYTES = 1 << 20

ROOM_BYTES = 1 << 28  # For the library, its threads and what it decodes

LARGEST_TILE = 2048
SMALL_PX = 64  # Sides of pictures that are not worth decoding at a smaller size
BAND_BYTES = 1 << 26  # A row of segments that is larger is no small part of the picture any more


@cache
def library() -> Any:  # noqa: ANN401 (a module)
    """Load pyvips, once, such that no Python runs inside libvips. Raises MemoryError where there is no room.

    It has warnings of libvips logged in Python, in the middle of its work: the process was aborted where the
    garbage collector ran then, which may free pictures of libvips.
    """
    os.environ.setdefault("VIPS_WARNING", "0")  # and none goes to standard error instead
    if "pyvips" not in sys.modules:
        check_room(ROOM_BYTES)
    import pyvips

    getattr(pyvips, "_remove_log_handler", bool)()
    # libvips would keep the lines it read last, a hundred megabytes for each large picture.
    pyvips.cache_set_max(0)
    return pyvips


def has(operation: str) -> bool:
    """Return whether this build of libvips has an operation."""
    return bool(library().type_find("VipsOperation", operation))


def read_samples(
    source: Path | bytes, source_format: str, page: int = 0, *, fail_on: str = "error"
) -> Pixels:
    """Decode all of a picture. Returns (H, W, C) uint8 or uint16; damage raises OSError.

    fail_on: error; warning, with which a JPEG that ends early is damaged; or none.
    """
    with _failures():
        image = _opened(source, source_format, page, fail_on)
        return _array(image.write_to_memory(), image.height, image)


def read_rows(
    source: Path | bytes, source_format: str, count: int, page: int = 0, *, fail_on: str = "error"
) -> Iterator[Pixels]:
    """Decode `count` rows at a time from the top down, the last time fewer.

    source_format: PNG, JPEG or TIFF. fail_on: as for `read_samples`.
    Yields (count, W, C) uint8 or uint16; palettes come as colours,
    fewer than 8 bits as 8, and zero is black. Damage raises OSError.
    """
    with _failures():
        image = _opened(source, source_format, page, fail_on)
        region = library().Region.new(image)
        for top in range(0, image.height, count):
            rows = min(count, image.height - top)
            yield _array(region.fetch(0, top, image.width, rows), rows, image)


def jpeg_fault(data: Path | bytes) -> str:
    """What a decoder finds wrong with the pixels of a JPEG, also what it could go on with; '' for nothing."""
    try:
        with _failures():
            image = _opened(data, "JPEG", 0, "warning")
            if min(image.width, image.height) >= SMALL_PX:
                image = _opened(data, "JPEG", 0, "warning", shrink=8)  # the least work after unpacking
            image.write_to_memory()
    except OSError as error:
        return str(error)
    return ""


def reads_tiff(tags: Mapping[int, Any]) -> bool:
    """Tell from its tags whether the samples of a TIFF page arrive exactly as they are stored."""
    width, height, tile_width, tile_height = (_number(tags, tag, 0) for tag in (256, 257, 322, 323))
    longest_side, tile_side = max(width, height), max(tile_width, tile_height)
    return (
        tags.get(259, 1) in TIFF_COMPRESSIONS
        and tags.get(262, 0) in (0, 1, 2)
        and tile_side <= max(256, min(longest_side, LARGEST_TILE))
        # Colours that are multiplied by alpha would be divided and cut, not rounded.
        and tuple(tags.get(338, ())) in ((), (0,), (2,))
    )


def has_small_segments(tags: Mapping[int, Any]) -> bool:
    """Tell from its tags whether a TIFF page can be decoded in small parts."""
    if tags.get(259, 1) == 1 and 322 not in tags:
        return True
    width, height = _number(tags, 256, 0), _number(tags, 257, 0)
    rows = _number(tags, 323, height) if 322 in tags else min(_number(tags, 278, height), height)
    bits: int = max(tags.get(258, (1,)))
    return rows * width * _number(tags, 277, 1) * bits <= 8 * BAND_BYTES


def _number(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """Return a number of a TIFF page. Pillow gives those that are stored in one byte as bytes."""
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, bytes | tuple) else value)


def to_srgb(pixels: Pixels, profile: bytes, srgb: Path) -> Pixels:
    """Convert colours at full depth. pixels: (H, W, 1 or 3) uint16 in `profile`. Returns (H, W, 3) uint16."""
    with _failures():
        image = _described(_from_array(pixels), np.dtype(np.uint16), "", profile)
        image = image.icc_transform(os.fsencode(srgb), embedded=True, intent="perceptual", depth=16)
        return _array(image.write_to_memory(), image.height, image)


def encode(
    pixels: Pixels,
    name: str,
    text: str,
    profile: bytes | None,
    *,
    one_bit: bool = False,
    dpi: Dpi = None,
) -> bytes:
    """Encode (H, W, 1 to 4) uint8, uint16, or float32 as PNG or TIFF. Raises OSError.

    text: ASCII, kept by PNG. one_bit: (H, W, 1) uint8 of 0 and 255 are written with a bit each.
    """
    operation, options = _saver(name, pixels.nbytes)
    if one_bit:
        # TIFF predicts only whole bytes.
        options |= {"bitdepth": 1} | ({"predictor": "none"} if name == "TIFF" else {})
    with _failures():
        image = _described(_from_array(pixels), pixels.dtype, text, profile, dpi)
        return bytes(getattr(image, f"{operation}_buffer")(**options))


class RowEncoder:
    """Writes the bytes of `encode` to a file while its rows come in, with a few of them in memory.

    They go through a pipe, as a PNG without compression, to libvips in a thread of its own.
    """

    def __init__(
        self, target: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], name: str, text: str,
        profile: bytes | None, dpi: Dpi = None,
    ) -> None:  # fmt: skip
        """target: existing file. shape: (H, W, C). dtype: uint8 or uint16. The rest is as for `encode`."""
        height, width, channels = shape
        header = struct.pack(">IIBB3x", width, height, dtype.itemsize * 8, (0, 4, 2, 6)[channels - 1])
        start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
        self._dtype = dtype
        self._packer = zlib.compressobj(0)
        self._failure: OSError | MemoryError | None = None
        operation, options = _saver(name, height * width * channels * dtype.itemsize)

        def save(image: pyvips.Image) -> None:
            getattr(_described(image, dtype, text, profile, dpi), operation)(os.fsencode(target), **options)

        reading, writing = os.pipe()
        self._pipe = open(writing, "wb")  # noqa: SIM115 (until `close`)
        self._thread = Thread(target=self._follow, args=(reading, save), daemon=True)
        check_room_for_threads(1)
        self._thread.start()
        self._pipe.write(start)

    def add(self, pixels: Pixels) -> None:
        """Append (n, W, C) rows. Raises OSError where those before them could not be written."""
        rows = pixels.astype(self._dtype.newbyteorder(">")).view(np.uint8).reshape(len(pixels), -1)
        step = max(1, PIPED_BYTES // rows.shape[1])
        for top in range(0, len(rows), step):
            lines = np.pad(rows[top : top + step], ((0, 0), (1, 0)))  # each begins with its filter, none
            self._send(_chunk(b"IDAT", self._packer.compress(lines.data)))

    def finish(self) -> None:
        """Write what is left. Raises OSError."""
        self._send(_chunk(b"IDAT", self._packer.flush()) + _chunk(b"IEND", b""))
        self.close()
        self._check()

    def close(self) -> None:
        """Stop, in the middle or at the end."""
        self._pipe.close()
        self._thread.join()

    def _send(self, data: bytes) -> None:
        self._check()
        self._pipe.write(data)

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _follow(self, reading: int, save: Callable[[pyvips.Image], None]) -> None:
        """Save what arrives. After a failure the rest is thrown away, so that nobody waits for a reader."""
        with open(reading, "rb", buffering=0) as pipe:
            try:
                pyvips = library()
                with _failures():
                    source = pyvips.Source.new_from_descriptor(reading)
                    save(pyvips.Image.pngload_source(source, access="sequential", fail_on="error"))
            except (OSError, MemoryError) as error:
                self._failure = error
            while pipe.read(PIPED_BYTES):
                pass


class FloatEncoder:
    """Writes the bytes of `encode` for floats while their rows come in, by way of a scratch file beside."""

    def __init__(self, target: Path, shape: tuple[int, int, int], name: str, dpi: Dpi = None) -> None:
        """target: existing file. shape: (H, W, C). The rest is as for `encode`. Raises OSError."""
        self._target, self._shape, self._name, self._dpi = target, shape, name, dpi
        self._scratch, self._rows = locked_file(target.parent)

    def add(self, pixels: Pixels) -> None:
        """Append (n, W, C) float32 rows. Raises OSError."""
        self._rows.write(np.ascontiguousarray(pixels, np.float32).data)

    def finish(self) -> None:
        """Write the file. Raises OSError."""
        self._rows.flush()
        height, width, channels = self._shape
        operation, options = _saver(self._name, height * width * channels * 4)
        with _failures():
            load = library().Image.rawload
            image = load(
                os.fsencode(self._scratch), width, height, channels, format="float", access="sequential"
            )
            image = _described(image, np.dtype(np.float32), "", None, self._dpi)
            getattr(image, operation)(os.fsencode(self._target), **options)
        self.close()

    def close(self) -> None:
        """Stop, in the middle or at the end, and remove the scratch file."""
        if not self._rows.closed:
            self._rows.close()
            self._scratch.unlink()


def _chunk(kind: bytes, body: bytes) -> bytes:
    """Make a chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _opened(source: Path | bytes, source_format: str, page: int, fail_on: str, **more: int) -> pyvips.Image:
    pyvips = library()
    operation = source_format.lower() + ("load_buffer" if isinstance(source, bytes) else "load")
    if source_format == "TIFF" and fail_on == "error":
        fail_on = "warning"  # it goes on with what is left of a damaged tile otherwise
    # Its limit of memory for a TIFF counts whole strips; --max-pixels and `has_small_segments` guard that.
    options = {"TIFF": {"page": page, "unlimited": True}, "GIF": {"page": page}}.get(source_format, {})
    load = getattr(pyvips.Image, operation)
    data = source if isinstance(source, bytes) else os.fsencode(source)
    return load(data, access="sequential", fail_on=fail_on, **options, **more)


def _from_array(pixels: Pixels) -> pyvips.Image:
    height, width, channels = pixels.shape
    format_ = {2: "ushort", 4: "float"}.get(pixels.dtype.itemsize, "uchar")
    return library().Image.new_from_memory(np.ascontiguousarray(pixels), width, height, channels, format_)


def _array(data: Any, rows: int, image: pyvips.Image) -> Pixels:  # noqa: ANN401 (a buffer)
    return np.frombuffer(data, DTYPES[image.format]).reshape(rows, image.width, image.bands)


def _described(
    image: pyvips.Image, dtype: np.dtype[Any], text: str, profile: bytes | None, dpi: Dpi = None
) -> pyvips.Image:
    """`image` with what its file says about it."""
    pyvips = library()
    grey = image.bands < 3
    spaces = {2: ("grey16", "rgb16"), 4: ("b-w", "scrgb")}
    space = spaces.get(dtype.itemsize, ("b-w", "srgb"))[not grey]
    across, down = (value / MM_PER_INCH for value in dpi or (USUAL_DPI, USUAL_DPI))
    image = image.copy(interpretation=space, xres=across, yres=down)
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    if text:
        image.set_type(pyvips.GValue.gstr_type, f"png-comment-0-{KEYWORD}", text)
    return image


def _saver(name: str, size: int) -> tuple[str, dict[str, Any]]:
    operation, options = SAVERS[name]
    return operation, options | ({"bigtiff": size > CLASSIC_TIFF_BYTES} if name == "TIFF" else {})


@contextmanager
def _failures() -> Iterator[None]:
    """Turn errors of libvips into OSErrors of one line."""
    pyvips = library()
    try:
        yield
    except pyvips.Error as error:
        lines = (error.detail or error.message).strip().split("\n")
        refusals = [line for line in lines if line.startswith("system error: ")]
        raise OSError((refusals or lines)[0].split(": ", 1)[-1]) from None
