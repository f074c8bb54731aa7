"""Files of pictures as libraries are to see them: sound, of one page, and without what is of no use."""

import io
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from texsynth.images import exr, float_tiff, jpeg, jpeg2000, jxl, kinds, png, psd, radiance, tiff, vips
from texsynth.images.jpeg import Jpeg
from texsynth.images.light import Unpacked
from texsynth.images.picture import NotReadError
from texsynth.images.png import Png
from texsynth.images.tiff import Tiff

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

OTHERS = (radiance, exr, psd, jpeg2000, jxl)

STREAMED_PAGES = 1000  # libvips looks at all pages of a file that it streams


@dataclass(frozen=True)
class Stored:
    """A file, and what it says about itself. One of `png`, `tiff`, `jpeg` for these formats.

    unpacked: what reads pixels that Pillow does not.
    """

    source: Path | bytes
    png: Png | None = None
    tiff: Tiff | None = None
    jpeg: Jpeg | None = None
    unpacked: Unpacked | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out of account."""
        return tuple(self.png.warnings) if self.png else ()

    @property
    def data(self) -> Path | bytes:
        """What a library can decode."""
        if self.png and not (isinstance(self.source, Path) and self.png.is_plain):
            with _file(self.source) as file:
                return png.sound(file, self.png)
        if self.tiff and len(self.tiff.pages) > 1 and not self._streams_pages:
            return tiff.with_patches(_content(self.source), tiff.patches(self.tiff))
        if self.jpeg and self.jpeg.patches:
            return tiff.with_patches(_content(self.source), self.jpeg.patches)
        return self.source

    @property
    def page(self) -> int:
        """The page of `data` that is meant."""
        return self.tiff.page if self.tiff and self._streams_pages else 0

    @property
    def _streams_pages(self) -> bool:
        pages = len(self.tiff.pages) if self.tiff else 0
        return isinstance(self.source, Path) and pages <= STREAMED_PAGES

    @property
    def fault(self) -> str:
        """What is wrong with the pixels; '' for nothing that is known before they are decoded."""
        try:
            with _file(self.source) as file:
                if self.png:
                    png.check(file, self.png)
                elif self.tiff:
                    tiff.check(file, self.tiff)
                elif self.jpeg:
                    return self.jpeg.fault or vips.jpeg_fault(self._for_check)
        except NotReadError:
            raise
        except ValueError as error:
            return str(error)
        return ""

    @property
    def _for_check(self) -> Path | bytes:
        assert self.jpeg
        if self.jpeg.progressive:
            return self.data
        return jpeg.for_check(_content(self.data), self.jpeg)

    def repaired(self) -> bytes:
        """The file with what can be read of it. ValueError for nothing."""
        with _file(self.source) as file:
            if self.png:
                return png.repaired(file, self.png)
            if self.tiff:
                return tiff.repaired(file, self.tiff)
        return _content(self.source)


@contextmanager
def stored(source: Path | bytes, page: int | None) -> Iterator[tuple[Stored, BinaryIO]]:
    """A file, and what Pillow is to open: of a path no pixels need follow. Raises ValueError, OSError."""
    with _file(source) as file:
        if kind := kinds.unread(file):
            raise NotReadError(kinds.sentence(kind))
        start = file.read(8)
        if not start:
            raise NotReadError("is empty")
        if start == png.SIGNATURE:
            chunks = png.parse(file)
            whole = isinstance(source, bytes)
            yield (
                Stored(source, png=chunks),
                io.BytesIO(png.sound(file, chunks) if whole else png.head(chunks)),
            )
        elif start[:4] in TIFF_STARTS:
            directory = tiff.parse(file, page)
            changes = tiff.patches(directory) if len(directory.pages) > 1 else {}
            is_unpacked = directory.is_float or directory.is_grey_with_alpha
            unpacked = float_tiff.unpacked(directory) if is_unpacked else None
            if isinstance(source, bytes):
                yield (
                    Stored(source, tiff=directory, unpacked=unpacked),
                    io.BytesIO(tiff.with_patches(source, changes)),
                )
            else:
                yield (
                    Stored(source, tiff=directory, unpacked=unpacked),
                    io.BufferedReader(_Patched(file, changes)),
                )
        elif start[:3] == b"\xff\xd8\xff":
            with _searchable(source) as data:
                markers = jpeg.parse(data, to_pixels=isinstance(source, Path))
            file.seek(0)
            yield Stored(source, jpeg=markers), file
        else:
            unpacked = next(filter(None, (one.parse(file) for one in OTHERS)), None)
            file.seek(0)
            yield Stored(source, unpacked=unpacked), file


def complete(one: Stored) -> Stored:
    """`one` with what its pixels say about themselves, where only the header was looked at."""
    if one.jpeg and isinstance(one.source, Path):
        with _searchable(one.source) as data:
            return Stored(one.source, jpeg=jpeg.parse(data))
    return one


class _Patched(io.RawIOBase):
    """A file of which some bytes are others. It is no file of the system: libraries must go through it."""

    def __init__(self, file: BinaryIO, changes: dict[int, bytes]) -> None:
        self._file, self._changes, self._place = file, changes, 0

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 (a buffer)
        self._file.seek(self._place)
        data = bytearray(self._file.read(len(buffer)))
        for start, part in self._changes.items():
            for offset, byte in enumerate(part):
                if 0 <= start + offset - self._place < len(data):
                    data[start + offset - self._place] = byte
        self._place += len(data)
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._place = self._file.seek(offset, whence) if whence != 1 else self._place + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@contextmanager
def _file(source: Path | bytes) -> Iterator[BinaryIO]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        yield file


@contextmanager
def _searchable(source: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()
