"""What a picture says beside its pixels that its results say too: whose it is, when and how it was taken.

Places (GPS), thumbnails, the orientation, which is applied, and whatever else a file says are left out.
"""

import io
import math
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
            _add_tags(file, dict(self.tags))


def metadata(source: Path | bytes) -> Metadata | None:
    """Read what is kept of a picture; None for nothing, also where it cannot be read."""
    with suppress(InputError), opened(source, source_name(source), 0) as (image, _):
        tags: tuple[tuple[int, bytes], ...] = ()
        taken = tags
        with suppress(Exception):  # damaged metadata raises errors of every kind, and is no pixel
            exif = Image.Image.getexif(image)
            tags = _texts(exif, TAGS)
            taken = _texts(exif.get_ifd(ExifTags.IFD.Exif), TAKEN)
        dpi = _dpi(image.info.get("dpi"))
        if tags or taken or dpi:
            return Metadata(tags, taken, dpi)
    return None


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


def _add_tags(file: BinaryIO, tags: dict[int, bytes]) -> None:
    """Give a classic TIFF of one page a new directory at its end, with tags of text besides the old ones."""
    file.seek(0)
    start = file.read(8)
    order = "<" if start[:2] == b"II" else ">"
    version, place = struct.unpack(f"{order}HI", start[2:])
    if version != 42:
        return  # More than 4 GiB
    file.seek(place)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    directory = file.read(count * 12)
    entries = {struct.unpack_from(f"{order}H", directory, at)[0]: directory[at : at + 12]
               for at in range(0, len(directory), 12)}  # fmt: skip
    end = file.seek(0, io.SEEK_END)
    for tag, text in tags.items():
        body = text + b"\0"
        value = body.ljust(4, b"\0")
        if len(body) > 4:
            value = struct.pack(f"{order}I", end)
            end += file.write(body + b"\0" * (len(body) % 2))
        entries[tag] = struct.pack(f"{order}HHI", tag, ASCII, len(body)) + value
    pad = end % 2
    file.write(b"\0" * pad + struct.pack(f"{order}H", len(entries)))
    file.write(b"".join(entries[tag] for tag in sorted(entries)) + bytes(4))
    file.seek(4)
    file.write(struct.pack(f"{order}I", end + pad))
    file.seek(0, io.SEEK_END)
