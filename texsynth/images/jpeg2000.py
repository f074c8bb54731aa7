"""JPEG 2000 of more than 8 bits, of which Pillow gives 8 in colours, and white as black."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import BinaryIO

import numpy as np

from texsynth.images.formats import EXTRA
from texsynth.images.light import Samples, Unpacked
from texsynth.images.picture import NotReadError, Pixels, split_alpha

BOXES, CODESTREAM = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
HEAD = 1 << 20

COLOURS = {16: "RGB", 17: "grey"}
"""Numbers of colour spaces (ISO/IEC 15444-1, I.5.3.3) that need no conversion."""

ICC = 2  # Of a colour specification: it holds a profile


@dataclass(frozen=True)
class _Size:
    """What the codestream says of itself (ISO/IEC 15444-1, A.5.1)."""

    width: int
    height: int
    bits: tuple[int, ...]  # Per channel, negative where it is signed
    is_plain: bool  # Every channel has a sample for every pixel


def parse(file: BinaryIO) -> Unpacked | None:
    """Read the header; None for a file of another format, or of 8 bits, which Pillow reads.

    ValueError: damage; NotReadError: a rare kind, or no package.
    """
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    stream = _codestream(head)
    if not stream.startswith(CODESTREAM):
        return None
    size = _size(stream)
    if max(map(abs, size.bits)) <= 8:
        return None
    bits = size.bits[0]
    if not size.is_plain or set(size.bits) != {bits} or not 8 < bits <= 16 or len(size.bits) > 4:
        raise NotReadError(
            "is JPEG 2000 of a rare kind; save it with 8 or 16 bits per channel, as RGB or grey"
        )
    icc = _profile(head)
    codec = library()
    if codec is None:
        raise NotReadError(f"is JPEG 2000 of {bits} bits, which needs another package: {EXTRA}")

    def decode(data: bytes) -> Samples:
        try:
            # The codestream alone: of a whole file the package converts the colours, after its own mind.
            samples = codec.jpeg2k_decode(_codestream(data), numthreads=1)
        except codec.Jpeg2kError as error:
            raise OSError(str(error)) from error
        samples = samples.reshape(*samples.shape[:2], -1)
        if samples.shape != (size.height, size.width, len(size.bits)) or samples.dtype != np.uint16:
            raise ValueError("its size is told in two ways")
        return Samples(*split_alpha(to_16_bits(samples, bits)), icc)

    return Unpacked("JPEG2000", (size.width, size.height), decode, is_float=False)


def library() -> ModuleType | None:
    """Return the package that gives more than 8 bits, of JPEG XL, too; None where it is not there."""
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs  # type: ignore[no-any-return]


def to_16_bits(samples: Pixels, bits: int) -> Pixels:
    """Spread whole numbers of so many bits over 16, such that white is white."""
    top = (1 << bits) - 1
    values = np.minimum(samples, top).astype(np.uint32)
    return ((values * 65535 + top // 2) // top).astype(np.uint16)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box, the last one as far as it goes."""
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        start = place + (16 if length == 1 else 8)
        if length == 1:
            length = int.from_bytes(data[place + 8 : place + 16], "big")
        end = place + length if length else len(data)
        if end < start:
            return
        yield kind, data[start:end]
        place = end


def _size(stream: bytes) -> _Size:
    try:
        right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
        (count,) = struct.unpack_from(">H", stream, 40)
        parts = [struct.unpack_from(">3B", stream, 42 + 3 * number) for number in range(count)]
    except struct.error:
        raise ValueError("its header is cut off") from None
    width, height = right - left, bottom - top
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31 and parts):
        raise ValueError("its size is missing or damaged")
    bits = tuple(((depth & 127) + 1) * (-1 if depth & 128 else 1) for depth, _, _ in parts)
    return _Size(width, height, bits, all(part[1:] == (1, 1) for part in parts))


def _codestream(data: bytes) -> bytes:
    """Return what the pixels are decoded from; empty where there is none."""
    return dict(_boxes(data)).get(b"jp2c", b"") if data.startswith(BOXES) else data


def _profile(data: bytes) -> bytes | None:
    """Return the profile in a file. NotReadError for other colours than RGB and grey."""
    boxes = dict(_boxes(data)) if data.startswith(BOXES) else {}
    header = dict(_boxes(boxes.get(b"jp2h", b"")))
    if b"pclr" in header:
        raise NotReadError("is JPEG 2000 with a palette of more than 8 bits; save it as RGB")
    colours = header.get(b"colr", b"")
    if colours[:1] == bytes([ICC]):
        return colours[3:]
    if colours[:1] == b"\1" and int.from_bytes(colours[3:7], "big") not in COLOURS:
        raise NotReadError("is JPEG 2000 whose colours are neither RGB nor grey; save it as RGB")
    return None
