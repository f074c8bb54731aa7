"""JPEG XL: size and depth by ourselves, since the packages that decode it begin with all pixels."""

import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from texsynth.images import jpeg2000
from texsynth.images.formats import EXTRA
from texsynth.images.light import Samples, Unpacked
from texsynth.images.picture import NotReadError, split_alpha

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
HEAD = 1 << 16
RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, by the number in the header (ISO/IEC 18181-1, SizeHeader)."""

LYING = 5  # Orientations from here on turn rows into columns


@dataclass(frozen=True)
class _Header:
    """size: width and height in pixels, upright. bits: per channel. is_float: they are floats."""

    size: tuple[int, int]
    bits: int
    is_float: bool


def parse(file: BinaryIO) -> Unpacked | None:
    """Read the header; None for a file of another format. ValueError: damage; NotReadError: no package."""
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if not head.startswith((CODESTREAM, CONTAINER)):
        return None
    try:
        import pillow_jxl  # noqa: F401 (adds itself to Pillow)
    except ImportError:
        raise NotReadError(f"is JPEG XL, which needs another package: {EXTRA}") from None
    header = _header(_codestream(head))
    # Pillow holds neither colours of more than 8 bits nor floats in them.
    codec = jpeg2000.library() if header.bits > 8 or header.is_float else None

    def decode(data: bytes) -> Samples | Image.Image:
        with Image.open(io.BytesIO(data), formats=("JXL",)) as image:
            if sorted(image.size) != sorted(header.size):
                raise ValueError("its size is told in two ways")
            if codec is None:
                image.load()
                return image
            icc = image.info.get("icc_profile")
        try:
            samples = codec.jpegxl_decode(data, index=0, numthreads=1)
        except codec.JpegxlError as error:
            raise OSError(str(error)) from error
        samples = samples.reshape(*samples.shape[:2], -1)
        told = samples.dtype.kind == ("f" if header.is_float else "u") and samples.dtype.itemsize > 1
        if not told or sorted(samples.shape[:2]) != sorted(header.size) or samples.shape[2] > 4:
            raise ValueError("its size or depth is told in two ways")
        if header.is_float:
            return Samples(*split_alpha(samples.astype(np.float32)), icc)
        return Samples(*split_alpha(jpeg2000.to_16_bits(samples, header.bits)), icc)

    return Unpacked("JXL", header.size, decode, is_float=header.is_float and codec is not None)


def _codestream(head: bytes) -> bytes:
    """Return the beginning of what the pixels are decoded from."""
    if head.startswith(CODESTREAM):
        return head
    place = 0
    while place + 8 <= len(head):
        size, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        start = place + (16 if size == 1 else 8)
        if kind in (b"jxlc", b"jxlp"):
            return head[start + (4 if kind == b"jxlp" else 0) :]
        size = int.from_bytes(head[place + 8 : place + 16], "big") if size == 1 else size
        if size < 8:
            break
        place += size
    raise ValueError("its size is missing or damaged")


def _header(stream: bytes) -> _Header:
    """Read size, orientation and depth (ISO/IEC 18181-1, SizeHeader and ImageMetadata)."""
    if not stream.startswith(CODESTREAM) or len(stream) < 14:
        raise ValueError("its size is missing or damaged")
    bits, place = int.from_bytes(stream[2:66], "little"), 0

    def take(count: int) -> int:
        nonlocal place
        value = bits >> place & ((1 << count) - 1)
        place += count
        return value

    def choice(*options: int | tuple[int, int]) -> int:
        """Read one of four: a number, or (the least, how many bits are added to it)."""
        option = options[take(2)]
        return option if isinstance(option, int) else option[0] + take(option[1])

    def size() -> tuple[int, int]:
        small = take(1)

        def side() -> int:
            return (1 + take(5)) * 8 if small else 1 + take((9, 13, 18, 30)[take(2)])

        height = side()
        ratio = RATIOS[take(3)]
        return (height * ratio[0] // ratio[1] if ratio else side()), height

    def preview() -> None:
        eighths = take(1)

        def side() -> int:
            return (
                choice(16, 32, (1, 5), (33, 9)) if eighths else choice((1, 6), (65, 8), (321, 10), (1345, 12))
            )

        side()
        if not take(3):
            side()

    upright, depth, is_float = size(), 8, False
    if not take(1):
        if take(1):
            upright = upright[::-1] if take(3) + 1 >= LYING else upright
            if take(1):
                size()
            if take(1):
                preview()
            if take(1):
                choice(100, 1000, (1, 10), (1, 30))
                choice(1, 1001, (1, 8), (1, 10))
                choice(0, (0, 3), (0, 16), (0, 32))
                take(1)
        is_float = bool(take(1))
        depth = choice(32, 16, 24, (1, 6)) if is_float else choice(8, 10, 12, (1, 6))
    return _Header(upright, depth, is_float)
