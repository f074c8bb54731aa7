"""JPEG XL: the size by ourselves, since the package that decodes it begins with all pixels."""

import io
from typing import BinaryIO

from PIL import Image

from texsynth.images.formats import EXTRA
from texsynth.images.light import Unpacked
from texsynth.images.picture import NotReadError

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
HEAD = 1 << 16
RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, by the number in the header (ISO/IEC 18181-1, SizeHeader)."""


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
    width, height = _size(_codestream(head))

    def decode(data: bytes) -> Image.Image:
        with Image.open(io.BytesIO(data), formats=("JXL",)) as image:
            if sorted(image.size) != sorted((width, height)):
                raise ValueError("its size is told in two ways")
            image.load()
            return image

    return Unpacked("JXL", (width, height), decode, is_float=False)


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


def _size(stream: bytes) -> tuple[int, int]:
    if not stream.startswith(CODESTREAM) or len(stream) < 14:
        raise ValueError("its size is missing or damaged")
    bits, place = int.from_bytes(stream[2:14], "little"), 0

    def take(count: int) -> int:
        nonlocal place
        value = bits >> place & ((1 << count) - 1)
        place += count
        return value

    small = take(1)

    def side() -> int:
        return (1 + take(5)) * 8 if small else 1 + take((9, 13, 18, 30)[take(2)])

    height = side()
    ratio = RATIOS[take(3)]
    return (height * ratio[0] // ratio[1] if ratio else side()), height
