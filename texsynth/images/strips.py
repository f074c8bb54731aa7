"""Pictures read by strips of rows, so that large ones never lie in memory as a whole."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from texsynth.images.decode import (
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
)
from texsynth.images.picture import Picture, Pixels
from texsynth.images.png import COLOUR_TYPES, has_late_meaning
from texsynth.images.tiff import Bands, is_streamable, split_samples
from texsynth.images.vips import vips_rows
from texsynth.settings import MAX_PIXELS

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
