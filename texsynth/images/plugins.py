"""The decoders of Pillow that may run on a file, and what they do not tell."""

from typing import BinaryIO

from PIL import Image

from texsynth.images.formats import EXTRA, TABLE
from texsynth.images.picture import NotReadError

OWN = ("EXR", "HDR", "PFM", "HEIF", "JXL")
"""Formats that Pillow does not know, or not without a package."""

PILLOW = tuple(one.name for one in TABLE if one.name not in OWN)

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def pillow_formats(file: BinaryIO) -> tuple[str, ...]:
    """Return the formats of Pillow that may open a file. NotReadError where a package is missing."""
    head = file.read(64)
    file.seek(0)
    if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS and b"avif" not in head[8:]:
        try:
            import pillow_heif
        except ImportError:
            raise NotReadError(f"is HEIC, which needs another package: {EXTRA}") from None
        pillow_heif.register_heif_opener()
        return ("HEIF",)
    return PILLOW


def fault_of(image: Image.Image, data: bytes) -> str:
    """Say what is wrong with the pixels of a JPEG 2000, which its decoder shows as far as they go; or ''."""
    if image.format == "JPEG2000" and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return "the file ends early"
    return ""
