"""Pictures read and written by strips of rows, so that large ones never lie in memory as a whole."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from PIL import Image

from texsynth.config.settings import MAX_PIXELS, QUALITY
from texsynth.config.validation import as_ascii
from texsynth.errors import OutputError
from texsynth.images import vips
from texsynth.images.files import placed, taken, writing
from texsynth.images.picture import ALPHA_FORMATS, DEEP_FORMATS, Picture, Pixels, output_format
from texsynth.images.reader import (
    ORIENTATION_TAG,
    Header,
    checked,
    decoding,
    from_deep,
    from_pil,
    is_deep,
    opened,
    read,
    source_name,
    split_alpha,
    split_tiff,
    srgb_profile,
)
from texsynth.images.writer import FLATTENED, encode, flattened, holds_grey, samples, settings_beside, sidecar


@dataclass(frozen=True)
class Stored:
    """Samples as they stand in a file, and how they become a picture.

    rows: yields (count, W, channels) arrays of `dtype` from the top down. picture: takes such an array.
    """

    channels: int
    dtype: type
    rows: Callable[[int], Iterator[Pixels]]
    picture: Callable[[Pixels], Picture]


class Strips:
    """An opened picture whose rows are decoded when they are asked for.

    One that is `whole` is decoded when anything else is first asked for. All of it may raise InputError.
    """

    def __init__(
        self, header: Header, name: str, stored: Stored | None, decode: Callable[[], Picture]
    ) -> None:
        """name: for messages. stored: how to read it by rows, or None to read it by `decode`."""
        self._header = header
        self._name = name
        self._stored = stored
        self._decode = decode

    @property
    def whole(self) -> bool:
        """The file cannot be read by strips, and all of it will be in memory."""
        return self._stored is None

    @property
    def width(self) -> int:
        """In pixels, upright."""
        return self._header.width if self._stored else self._sample.width

    @property
    def height(self) -> int:
        """In pixels, upright."""
        return self._header.height if self._stored else self._sample.height

    @property
    def bit_depth(self) -> int:
        """8 or 16."""
        return self._sample.bit_depth

    @property
    def grey(self) -> bool:
        """The three channels of every strip are equal."""
        return self._sample.grey

    @property
    def has_alpha(self) -> bool:
        """Every strip has an alpha channel."""
        return self._sample.alpha is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of every strip."""
        return self._sample.warnings

    @property
    def source_format(self) -> str:
        """PNG, JPEG and so on."""
        return self._header.format

    def rows(self, count: int) -> Iterator[Picture]:
        """Strips of `count` rows, at least 1, from the top down, the last one shorter.

        Every call starts at the top again.
        """
        if self._stored is None:
            yield from _slices(self._sample, count)
            return
        with decoding(self._name):
            for samples in self._stored.rows(count):
                yield self._stored.picture(samples)

    @cached_property
    def _sample(self) -> Picture:
        """A picture of the same kind: a single pixel, or all of it."""
        if self._stored is None:
            return self._decode()
        with decoding(self._name):
            return self._stored.picture(np.zeros((1, 1, self._stored.channels), self._stored.dtype))


@contextmanager
def open_strips(
    source: Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, frame: int | None = None
) -> Iterator[Strips]:
    """Open a picture to be read by strips, which together equal what `read` returns for the same arguments.

    PNG without interlacing, baseline JPEG and the usual kinds of TIFF are streamed: only a few strips are in
    memory at a time. Everything else is read as a whole; `whole` says so. Raises InputError.
    """
    name = name or source_name(source)
    with opened(source, name) as image:
        header = checked(image, name, max_pixels, frame)
        if header.frames > 1:
            image.seek(frame or 0)
            header = checked(image, name, max_pixels, frame)  # pages differ in size
        stored = _stored(image, source, name, frame or 0)
    decode = partial(read, source, name=name, max_pixels=max_pixels, frame=frame)
    yield Strips(header, name, stored, decode)


def _stored(image: Image.Image, source: Path | bytes, name: str, page: int) -> Stored | None:
    """Find out how to read an opened picture by rows; None when it cannot be."""
    source_format = str(image.format)
    rows = partial(vips.read_rows, source, source_format, page=page)
    channels = len(image.getbands())
    icc = image.info.get("icc_profile")
    shallow = partial(_from_8_bits, icc=icc, name=name, source_format=source_format)
    deep = partial(from_deep, icc=icc, source_format=source_format)
    # The method of Image itself: that of PNG decodes the picture to see what follows the pixels.
    if Image.Image.getexif(image).get(ORIENTATION_TAG, 1) != 1:
        return None
    if source_format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        channels, extra = tags.get(277, 1), tuple(tags.get(338, ()))
        if not (vips.reads_tiff(tags) and vips.has_small_segments(tags) and set(tags.get(339, (1,))) == {1}):
            return None
        if is_deep(image, b""):
            return Stored(channels, np.uint16, rows, lambda stored: deep(*split_tiff(stored, extra)))
        bits = set(tags.get(258, (1,)))
        streamed = bits == {8} and extra in ((), (2,)) and image.mode in ("L", "LA", "RGB", "RGBA")
        return Stored(channels, np.uint8, rows, shallow) if streamed else None
    if source_format == "PNG":
        keyed = "transparency" in image.info
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            head = file.read(33)
            if image.info.get("interlace") or (keyed and image.mode != "P") or has_late_meaning(file):
                return None
        if getattr(image, "n_frames", 1) > 1:
            return None
        channels = PNG_CHANNELS.get(head[25], 4 if keyed else 3)
        if is_deep(image, head):
            return Stored(channels, np.uint16, rows, lambda stored: deep(*split_alpha(stored)))
        return Stored(channels, np.uint8, rows, shallow)
    if source_format == "JPEG" and image.mode in ("L", "RGB") and "progressive" not in image.info:
        return Stored(channels, np.uint8, rows, shallow)
    return None


PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Colour type in the header -> number of channels; type 3 has a palette."""

PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
PNG_MEANING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Keywords of texts that can say how a picture is turned."""


def has_late_meaning(file: BinaryIO) -> bool:
    """Look in a PNG for chunks after the pixels that say how they are to be turned or coloured."""
    position, after_pixels = 8, False
    while file.seek(position) and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            after_pixels = True
        elif after_pixels and (
            kind in (b"eXIf", b"iCCP") or (kind in PNG_TEXT and file.read(32).startswith(PNG_MEANING))
        ):
            return True
        position += 12 + length
    return False


def _from_8_bits(stored: Pixels, *, icc: bytes | None, name: str, source_format: str) -> Picture:
    image = Image.fromarray(stored[..., 0] if stored.shape[2] == 1 else stored)
    if icc:
        image.info["icc_profile"] = icc
    return from_pil(image, name, source_format)


def _slices(picture: Picture, count: int) -> Iterator[Picture]:
    for top in range(0, picture.height, count):
        yield picture.rows(slice(top, top + count))


LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
"""Pixels that the side of a picture of the format can have, where that is few."""


class StripWriter:
    """Writes a picture, whole or not at all, from the strips given to `write` inside a `with` block.

    PNG and TIFF keep a few strips in memory; JPEG and WebP collect the picture and encode it at the end.
    warnings: what the format cannot keep. Raises OutputError, for a file that exists before the first strip,
    and ValueError for strips that do not make up the picture.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        *,
        grey: bool = False,
        alpha: bool = False,
        bit_depth: int = 8,
        settings: str = "",
        quality: int = QUALITY,
        force: bool = False,
    ) -> None:
        """Plan the file that `images.write` makes with `settings`, `quality` and `force`.

        path: its suffix says the format. width, height: in pixels. grey: the channels are equal, and one is
        written where the format can. alpha: every strip has alpha; laid over white where the format has
        none. bit_depth: 8 or 16; 8 where the format holds no more.
        """
        self._path = path
        self._format = output_format(path)
        self._has_alpha = alpha
        self._keeps_alpha = alpha and self._format in ALPHA_FORMATS
        self._grey = grey and holds_grey(self._format, alpha=self._keeps_alpha)
        self._bit_depth = bit_depth if self._format in DEEP_FORMATS else 8
        self._shape = (height, width, (1 if self._grey else 3) + self._keeps_alpha)
        self._settings = settings
        self._quality = quality
        self._force = force
        self._placed = placed(path, force=force)
        self._sink: vips.RowEncoder | Collector | None = None
        self._rows = 0
        self.warnings = (FLATTENED.format(self._format),) if alpha and not self._keeps_alpha else ()

    def __enter__(self) -> Self:
        """Create the temporary file. Raises OutputError when the picture cannot be put at its place."""
        height, width, _ = self._shape
        beside = sidecar(self._path) if self._settings else None
        for path in filter(None, (self._path, beside)):
            if path.exists() and not self._force:
                raise taken(path)
        longest = LONGEST_SIDE.get(self._format)
        if longest and max(width, height) > longest:
            raise OutputError(
                f"a {width} x {height} picture cannot be written as {self._format}, "
                f"whose sides have at most {longest} pixels; use .png or .tif"
            )
        file = self._placed.__enter__()
        try:
            with writing(self._path):
                self._sink = self._new_sink(file)
        except BaseException:
            self._abandon()
            raise
        return self

    def write(self, picture: Picture) -> None:
        """Append a strip of any number of rows, 8 or 16 bits deep."""
        height, width, _ = self._shape
        if self._sink is None:
            raise ValueError("the writer is not open; use it in a with block")
        if picture.width != width or (picture.alpha is not None) != self._has_alpha:
            raise ValueError(f"a strip {picture.width} wide or its alpha does not fit {self._path}")
        self._rows += picture.height
        if self._rows > height:
            raise ValueError(f"{self._rows} rows were given for the {height} of {self._path}")
        strip = picture if self._keeps_alpha else flattened(picture)
        with writing(self._path):
            self._sink.add(samples(strip, self._bit_depth, grey=self._grey))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and give it its name, or remove it after an error."""
        if kind is not None:
            self._abandon()
            return
        try:
            if self._sink is None or self._rows < self._shape[0]:
                raise ValueError(f"{self._rows} rows were given for the {self._shape[0]} of {self._path}")
            with writing(self._path):
                self._sink.finish()
            with settings_beside(self._path, self._settings, force=self._force):
                self._placed.__exit__(None, None, None)
        except BaseException:
            self._abandon()
            raise

    def _new_sink(self, file: BinaryIO) -> vips.RowEncoder | Collector:
        if self._format not in vips.SAVERS:
            return Collector(file, self._shape, self._format, self._quality)
        dtype = np.dtype(np.uint16 if self._bit_depth == 16 else np.uint8)
        profile = None if self._grey else srgb_profile()
        return vips.RowEncoder(
            Path(file.name), self._shape, dtype, self._format, as_ascii(self._settings), profile
        )

    def _abandon(self) -> None:
        """Remove the temporary file. The error that is the reason goes on unchanged."""
        if self._sink:
            self._sink.close()
        with suppress(OutputError):  # a full disk refuses the last buffer once more
            self._placed.__exit__(GeneratorExit, GeneratorExit(), None)


@dataclass
class Collector:
    """Collects the (H, W, C) samples of a picture for an encoder of JPEG or WEBP, which wants all of them."""

    file: BinaryIO
    shape: tuple[int, int, int]
    format: str
    quality: int

    def __post_init__(self) -> None:
        """Make room."""
        self.pixels = np.empty(self.shape, np.uint8)
        self.rows = 0

    def add(self, pixels: Pixels) -> None:
        """Append (n, W, C) uint8 rows."""
        self.pixels[self.rows : self.rows + len(pixels)] = pixels
        self.rows += len(pixels)

    def finish(self) -> None:
        """Encode and write the picture. Raises OutputError."""
        colours, alpha = split_alpha(self.pixels)
        rgb = np.broadcast_to(colours, (*colours.shape[:2], 3))
        picture = Picture(rgb, alpha, grey=colours.shape[2] == 1)
        self.file.write(encode(picture, self.format, quality=self.quality)[0])

    def close(self) -> None:
        """Keep nothing open."""
