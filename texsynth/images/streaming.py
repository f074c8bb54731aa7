"""Pictures read by strips of rows, so that large ones never lie in memory as a whole."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

import numpy as np
from PIL import Image

from texsynth.config.settings import MAX_PIXELS
from texsynth.errors import OutputError
from texsynth.images.containers import (
    COLOUR_TYPES,
    Bands,
    PngSink,
    TiffSink,
    has_late_meaning,
    is_streamable,
    split_samples,
)
from texsynth.images.files import placed, taken, writing
from texsynth.images.picture import ALPHA_FORMATS, DEEP_FORMATS, Picture, Pixels, output_format
from texsynth.images.reader import (
    ORIENTATION_TAG,
    Header,
    checked,
    decoding,
    from_deep,
    from_pil,
    opened,
    read,
    source_name,
    split_alpha,
    srgb_profile,
)
from texsynth.images.writer import FLATTENED, encode, flattened, holds_grey, samples, settings_beside, sidecar

if TYPE_CHECKING:
    import pyvips


TIFF_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Samples per pixel -> mode in which Pillow reads the 8-bit TIFFs that are streamed."""


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
    """A picture to be read by strips, which together equal what `read` returns for the same arguments.

    PNG without interlacing, baseline JPEG and the usual kinds of TIFF are streamed: only a few strips are in
    memory at a time. Everything else is read as a whole; `whole` says so. Raises InputError.
    """
    name = name or source_name(source)
    with ExitStack() as stack:
        with opened(source, name) as image:
            header = checked(image, name, max_pixels, frame)
            if header.frames > 1:
                image.seek(frame or 0)
                header = checked(image, name, max_pixels, frame)  # pages differ in size
            stored = _stored(image, source, header.format, frame or 0, name, stack)
        decode = partial(read, source, name=name, max_pixels=max_pixels, frame=frame)
        yield Strips(header, name, stored, decode)


def _stored(
    image: Image.Image, source: Path | bytes, source_format: str, page: int, name: str, stack: ExitStack
) -> Stored | None:
    """How to read an opened picture by rows; None when it cannot be."""
    # The method of Image itself: that of PNG decodes the picture to see what follows the pixels.
    if Image.Image.getexif(image).get(ORIENTATION_TAG, 1) != 1:
        return None
    if source_format == "TIFF":
        return _stored_tiff(image, source, page, name, stack)
    if source_format == "PNG":
        return _stored_png(image, source, name)
    if source_format == "JPEG" and image.mode in ("L", "RGB") and "progressive" not in image.info:
        return Stored(
            len(image.getbands()),
            np.uint8,
            partial(vips_rows, source, "JPEG"),
            partial(_from_8_bits, icc=image.info.get("icc_profile"), name=name, source_format="JPEG"),
        )
    return None


def _stored_png(image: Image.Image, source: Path | bytes, name: str) -> Stored | None:
    keyed = "transparency" in image.info
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head = file.read(33)
        if image.info.get("interlace") or (keyed and image.mode != "P") or has_late_meaning(file):
            return None
    channels = {kind: count for count, kind in COLOUR_TYPES.items()} | {3: 4 if keyed else 3}
    icc = image.info.get("icc_profile")
    rows = partial(vips_rows, source, "PNG")
    if head[24] == 16:
        deep = partial(_from_16_bits, split=split_alpha, icc=icc, source_format="PNG")
        return Stored(channels[head[25]], np.uint16, rows, deep)
    shallow = partial(_from_8_bits, icc=icc, name=name, source_format="PNG")
    return Stored(channels[head[25]], np.uint8, rows, shallow)


def _stored_tiff(
    image: Image.Image, source: Path | bytes, number: int, name: str, stack: ExitStack
) -> Stored | None:
    import tifffile  # a quarter of a second that only TIFF pays

    file = stack.enter_context(tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source))
    page = file.pages[number].aspage()
    if not is_streamable(page):
        return None
    channels, rows, icc = page.samplesperpixel, Bands(page).rows, image.info.get("icc_profile")
    if page.bitspersample == 16:
        deep = partial(_from_16_bits, split=partial(split_samples, page=page), icc=icc, source_format="TIFF")
        return Stored(channels, np.uint16, rows, deep)
    if image.mode != TIFF_MODES[channels]:
        return None
    inverted = page.photometric == 0
    shallow = partial(_from_8_bits, icc=icc, name=name, source_format="TIFF", inverted=inverted)
    return Stored(channels, np.uint8, rows, shallow)


def _from_8_bits(
    samples: Pixels, *, icc: bytes | None, name: str, source_format: str, inverted: bool = False
) -> Picture:
    samples = 255 - samples if inverted else samples
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    if icc:
        image.info["icc_profile"] = icc
    return from_pil(image, name, source_format)


def _from_16_bits(
    samples: Pixels,
    *,
    split: Callable[[Pixels], tuple[Pixels, Pixels | None]],
    icc: bytes | None,
    source_format: str,
) -> Picture:
    return from_deep(*split(samples), icc, source_format=source_format)


def _slices(picture: Picture, count: int) -> Iterator[Picture]:
    for top in range(0, picture.height, count):
        part = slice(top, top + count)
        yield replace(
            picture, rgb=picture.rgb[part], alpha=None if picture.alpha is None else picture.alpha[part]
        )


DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


def vips_rows(source: Path | bytes, source_format: str, count: int) -> Iterator[Pixels]:
    """(count, W, C) uint8 or uint16 from the top down, the last one shorter.

    source_format: PNG or JPEG. Palettes come as colours, fewer than 8 bits as 8. Damage raises OSError.
    """
    import pyvips  # not part of a start: only pictures read by strips pay for it

    try:
        image = _opened(source, source_format)
        region = pyvips.Region.new(image)
        for top in range(0, image.height, count):
            rows = min(count, image.height - top)
            data = region.fetch(0, top, image.width, rows)
            yield np.frombuffer(data, DTYPES[image.format]).reshape(rows, image.width, image.bands)
    except pyvips.Error as error:
        reason = (error.detail or error.message).strip().split("\n")[0]
        raise OSError(reason.split(": ", 1)[-1]) from None


def _opened(source: Path | bytes, source_format: str) -> pyvips.Image:
    import pyvips

    # libvips would keep the lines it read last, a hundred megabytes for each large picture.
    pyvips.cache_set_max(0)
    # Named loaders: the general one would look for options in square brackets in a file's name.
    load = getattr(
        pyvips.Image, source_format.lower() + ("load_buffer" if isinstance(source, bytes) else "load")
    )
    image: pyvips.Image = load(
        source if isinstance(source, bytes) else str(source), access="sequential", fail_on="error"
    )
    return image


LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
"""Pixels that the side of a picture of the format can have, where that is few."""


class Sink(Protocol):
    """What makes a file from rows of stored samples."""

    def add(self, pixels: Pixels) -> None:
        """Append rows. pixels: (n, W, C)."""

    def finish(self) -> None:
        """Write what is left."""


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
        quality: int = 95,
        force: bool = False,
    ) -> None:
        """The file is the one that `images.write` makes with `settings`, `quality` and `force`.

        path: its suffix says the format. width, height: in pixels. grey: the channels are equal, and one is
        written where the format can. alpha: every strip has alpha; laid over white where the format has
        none. bit_depth: 8 or 16; 8 where the format holds no more.
        """
        self._path = path
        self._format = output_format(path)
        self._size = (width, height)
        self._has_alpha = alpha
        self._keeps_alpha = alpha and self._format in ALPHA_FORMATS
        self._grey = grey and holds_grey(self._format, alpha=self._keeps_alpha)
        self._bit_depth = bit_depth if self._format in DEEP_FORMATS else 8
        self._settings = settings
        self._quality = quality
        self._force = force
        self._placed = placed(path, force=force)
        self._open = ExitStack()
        self._sink: Sink | None = None
        self._rows = 0
        self.warnings = (FLATTENED.format(self._format),) if alpha and not self._keeps_alpha else ()

    def __enter__(self) -> Self:
        """Create the temporary file. Raises OutputError when the picture cannot be put at its place."""
        beside = sidecar(self._path) if self._settings else None
        for path in filter(None, (self._path, beside)):
            if path.exists() and not self._force:
                raise taken(path)
        longest = LONGEST_SIDE.get(self._format)
        if longest and max(self._size) > longest:
            size = f"{self._size[0]} x {self._size[1]}"
            raise OutputError(
                f"a {size} picture cannot be written as {self._format}, "
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
        if self._sink is None:
            raise ValueError("the writer is not open; use it in a with block")
        if picture.width != self._size[0] or (picture.alpha is not None) != self._has_alpha:
            raise ValueError(f"a strip {picture.width} wide or its alpha does not fit {self._path}")
        self._rows += picture.height
        if self._rows > self._size[1]:
            raise ValueError(f"{self._rows} rows were given for the {self._size[1]} of {self._path}")
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
            if self._sink is None or self._rows < self._size[1]:
                raise ValueError(f"{self._rows} rows were given for the {self._size[1]} of {self._path}")
            with writing(self._path):
                self._sink.finish()
            with settings_beside(self._path, self._settings, force=self._force):
                self._placed.__exit__(None, None, None)
        except BaseException:
            self._abandon()
            raise
        self._open.close()

    def _abandon(self) -> None:
        """Remove the temporary files. The error that is the reason goes on unchanged."""
        self._open.close()
        with suppress(OutputError):  # a full disk refuses the last buffer once more
            self._placed.__exit__(GeneratorExit, GeneratorExit(), None)

    def _new_sink(self, file: BinaryIO) -> Sink:
        shape = (self._size[1], self._size[0], (1 if self._grey else 3) + self._keeps_alpha)
        dtype = np.dtype(np.uint16 if self._bit_depth == 16 else np.uint8)
        profile = None if self._grey else srgb_profile()
        if self._format == "PNG":
            return PngSink(file, shape, dtype, self._settings, profile)
        if self._format == "TIFF":
            spool = self._open.enter_context(tempfile.TemporaryFile(dir=self._path.parent))  # noqa: SIM115
            return TiffSink(file, spool, shape, dtype, profile)
        return EncoderSink(file, shape, self._format, self._quality)


class EncoderSink:
    """Collects the (H, W, C) samples of a picture for an encoder that wants all of them."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int, int], name: str, quality: int) -> None:
        """name: JPEG or WEBP. quality: 1 to 100."""
        self.file = file
        self.name = name
        self.quality = quality
        self.pixels = np.empty(shape, np.uint8)
        self.rows = 0

    def add(self, pixels: Pixels) -> None:
        """Append rows. pixels: (n, W, C) uint8."""
        self.pixels[self.rows : self.rows + len(pixels)] = pixels
        self.rows += len(pixels)

    def finish(self) -> None:
        """Encode and write the picture. Raises OutputError."""
        colours, alpha = split_alpha(self.pixels)
        grey = colours.shape[2] == 1
        rgb = np.broadcast_to(colours, (*colours.shape[:2], 3))
        self.file.write(encode(Picture(rgb, alpha, grey=grey), self.name, quality=self.quality)[0])
