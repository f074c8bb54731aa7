"""What a picture says beside its pixels that its results say too: whose it is, when and how it was taken.

Places (GPS), thumbnails, the orientation, which is applied, and whatever else a file says are left out.
"""

import io
import math
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from texsynth.errors import InputError
from texsynth.images.png import add_chunk
from texsynth.images.reader import opened, source_name

TAGS = (
    ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime,
    ExifTags.Base.Artist, ExifTags.Base.Copyright,
)  # fmt: skip
"""Tags that are kept, all of them text."""

TAKEN = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.LensModel)
"""The same of the part for photographs."""

X_RESOLUTION = 282  # Tag of a TIFF

LONGEST_TEXT = 4096
LARGEST_DPI = 1e5
ASCII = 2  # Type of a TIFF's tag


@dataclass(frozen=True)
class Metadata:
    """Tag -> text in the bytes of the file, and pixels per inch across and down."""

    tags: tuple[tuple[int, bytes], ...] = ()
    taken: tuple[tuple[int, bytes], ...] = ()
    dpi: tuple[float, float] | None = None

    @property
    def exif(self) -> bytes:
        """As an EXIF block; empty for no tags."""
        if not (self.tags or self.taken):
            return b""
        exif = Image.Exif()
        exif.update(dict(self.tags))
        taken = {tag: text.decode("ascii", "replace") for tag, text in self.taken}
        exif.get_ifd(ExifTags.IFD.Exif).update(taken)
        return exif.tobytes()

    @property
    def info(self) -> dict[str, Any]:
        """As Pillow has it in pictures: what `save` takes as `exif` and `dpi`."""
        return ({"exif": self.exif} if self.exif else {}) | ({"dpi": self.dpi} if self.dpi else {})

    def options(self, name: str) -> dict[str, object]:
        """What Pillow is told when it saves the format `name`."""
        exif = {"exif": self.exif} if self.exif and name in ("JPEG", "WEBP", "AVIF") else {}
        dots = {"dpi": self.dpi} if self.dpi and name == "JPEG" else {}
        return {**exif, **dots}

    def add_to(self, file: BinaryIO, name: str) -> None:
        """Put the tags into a PNG or TIFF that libvips has written."""
        if name == "PNG" and self.exif:
            add_chunk(file, b"eXIf", self.exif.removeprefix(b"Exif\0\0"))
        if name == "TIFF" and self.tags:
            add_tags(file, {tag: (ASCII, text + b"\0") for tag, text in self.tags})


def metadata(source: Path | bytes) -> Metadata | None:
    """Read what is kept of a picture; None for nothing, also where it cannot be read."""
    with suppress(InputError), opened(source, source_name(source), 0) as (image, _):
        return metadata_of(image)
    return None


def metadata_of(image: Image.Image) -> Metadata | None:
    """Return what is kept of an opened picture; None for nothing."""
    tags: tuple[tuple[int, bytes], ...] = ()
    taken = tags
    with suppress(Exception):  # damaged metadata raises errors of every kind, and is no pixel
        exif = Image.Image.getexif(image)
        tags = _texts(exif, TAGS)
        taken = _texts(exif.get_ifd(ExifTags.IFD.Exif), TAKEN)
    # Pillow says 1 where a TIFF says nothing.
    is_told = X_RESOLUTION in getattr(image, "tag_v2", (X_RESOLUTION,))
    dpi = _dpi(image.info.get("dpi")) if is_told else None
    return Metadata(tags, taken, dpi) if tags or taken or dpi else None


def _texts(values: object, tags: tuple[int, ...]) -> tuple[tuple[int, bytes], ...]:
    get = values.get  # type: ignore[attr-defined]
    texts = ((int(tag), get(tag)) for tag in tags)
    texts = ((tag, text.decode("latin-1") if isinstance(text, bytes) else text) for tag, text in texts)
    # Pillow reads each byte as a letter of Latin-1.
    found = (
        (tag, text.strip("\0 ").encode("latin-1", "replace")) for tag, text in texts if isinstance(text, str)
    )
    return tuple((tag, text) for tag, text in found if 0 < len(text) <= LONGEST_TEXT)


def _dpi(value: object) -> tuple[float, float] | None:
    if not (isinstance(value, tuple) and len(value) == 2):
        return None
    try:
        across, down = float(value[0]), float(value[1])
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    valid = all(math.isfinite(one) and 1 <= one <= LARGEST_DPI for one in (across, down))
    return (across, down) if valid else None


def with_tags(data: bytes, name: str, kept: Metadata) -> bytes:
    """The bytes of a file with the tags in it."""
    with io.BytesIO(data) as file:
        kept.add_to(file, name)
        return file.getvalue()


def add_tags(file: BinaryIO, tags: Mapping[int, tuple[int, bytes]]) -> None:
    """Give a TIFF of one page a new directory at its end, with tags besides the old ones.

    tags: tag -> type, of one byte a value, and values.
    """
    file.seek(0)
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    # With more than 4 GiB, places and counts are of 8 bytes.
    is_big = struct.unpack_from(f"{order}H", start, 2)[0] == 43
    word, count_letter, size, place_at = ("Q", "Q", 8, 8) if is_big else ("I", "H", 4, 4)
    (place,) = struct.unpack_from(order + word, start, place_at)
    file.seek(place)
    counter, length = struct.Struct(order + count_letter), 4 + 2 * size
    (count,) = counter.unpack(file.read(counter.size))
    directory = file.read(count * length)
    entries = {struct.unpack_from(f"{order}H", directory, at)[0]: directory[at : at + length]
               for at in range(0, len(directory), length)}  # fmt: skip
    end = file.seek(0, io.SEEK_END)
    for tag, (kind, body) in tags.items():
        value = body.ljust(size, b"\0")
        if len(body) > size:
            end += file.write(bytes(end % 2))
            value = struct.pack(order + word, end)
            end += file.write(body)
        entries[tag] = struct.pack(f"{order}HH{word}", tag, kind, len(body)) + value
    pad = end % 2
    file.write(bytes(pad) + counter.pack(len(entries)))
    file.write(b"".join(entries[tag] for tag in sorted(entries)) + bytes(size))
    file.seek(place_at)
    file.write(struct.pack(order + word, end + pad))
    file.seek(0, io.SEEK_END)
