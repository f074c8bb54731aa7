"""Pictures written by strips of rows, so that large ones never lie in memory as a whole."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import numpy as np

from texsynth.errors import OutputError
from texsynth.images.colour import srgb_profile
from texsynth.images.decode import split_alpha
from texsynth.images.encode import FLATTENED, encode, flattened, holds_grey, samples, settings_beside, sidecar
from texsynth.images.picture import ALPHA_FORMATS, DEEP_FORMATS, Picture, Pixels, output_format
from texsynth.images.png import PngSink
from texsynth.images.store import placed, taken, writing
from texsynth.images.tiff import TiffSink

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
