"""The pictures that were given to the server: files in its folder, and small copies in memory."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np

from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.errors import MemoryExhaustedError, TexsynthError
from texsynth.images.picture import Picture, Pixels, as_depth
from texsynth.jobs.files import memory_guard
from texsynth.jobs.inputs import CARD_SUFFIX, Input
from texsynth.jobs.memory import allowed_bytes, available_bytes, return_freed_memory, size_text
from texsynth.paths import why
from texsynth.serve.asking import MAX_SIDE
from texsynth.serve.memos import Memo
from texsynth.serve.names import plain_name

MOST_PICTURES = 5000

SMALL_BYTES = 96 << 20  # Of small copies in memory

BYTES_PER_PIXEL = 10  # While a picture is decoded, one of 16 bits with opacity

VIEW_SIDE = 4096  # Largest side of a view in pixels

STRIP_ROWS = 256  # Rows of a large picture that are decoded at once

MOST_FLOATS = 1 << 25  # Pixels that are resampled as floats


class NoRoomError(Exception):
    """The disk takes no more."""


class UnknownPictureError(Exception):
    """A picture that was never given, or has been dropped."""


@dataclass(frozen=True)
class Kept:
    """A picture in the folder of the server."""

    id: str
    name: str
    path: Path
    bytes: int
    kind: str  # picture or card
    width: int
    height: int
    warnings: tuple[str, ...] = ()
    lenient: bool = False
    """Whether it is read though it is damaged."""

    @property
    def facts(self) -> dict[str, object]:
        """What the page is told."""
        return {
            "id": self.id, "name": self.name, "width": self.width, "height": self.height,
            "bytes": self.bytes, "kind": self.kind, "lenient": self.lenient, "warnings": list(self.warnings),
        }  # fmt: skip


class Pictures:
    """Keeps pictures up to a number of bytes; the one that was used longest ago goes first.

    Every method may be called by any thread.
    """

    def __init__(self, folder: Path, run: RunSettings, most_bytes: int) -> None:
        """folder: for the files. run: says how pictures are read."""
        self._folder, self._run, self._most = folder, run, most_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._used: dict[str, int] = {}
        self._lock, self._reading = Lock(), Lock()
        self.small: Memo[tuple[str, bool], Picture] = Memo(SMALL_BYTES)

    def add(self, data: Path, name: str, *, lenient: bool = False) -> Kept:
        """Take over a file that was given under a name. Raises InputError for one that cannot be read.

        lenient: take a damaged one, too, for what is left of it.
        """
        name = plain_name(name)
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(b"\0" + name.encode() + b"\0lenient" * lenient)
        number = digest.hexdigest()[:24]
        with self._lock:
            if number in self._kept:
                data.unlink()
                self._kept.move_to_end(number)
                return self._kept[number]
        kept = self._read(data, name, number, lenient=lenient)
        with self._lock:
            if number not in self._kept:
                os.replace(data, kept.path)
                self._kept[number] = kept
            self._drop()
            return self._kept.get(number, kept)

    def _read(self, data: Path, name: str, number: str, *, lenient: bool) -> Kept:
        is_card, size = name.lower().endswith(CARD_SUFFIX), data.stat().st_size
        path = self._folder / (f"{number}{CARD_SUFFIX}" if is_card else number)
        if is_card:
            card = thumbnail(data, name)
            return Kept(number, name, path, size, "card", card.width, card.height)
        # One large picture at a time is decoded.
        with self._reading:
            check_room(data, name, self._run)
            small, width, height = reduced_file(data, name, self._run_of(lenient), MAX_SIDE)
            self.small.put((number, False), small)
            # Of each thread that has read a large one the C library would keep as much.
            return_freed_memory()
        return Kept(number, name, path, size, "picture", width, height, small.warnings, lenient)

    def get(self, number: str) -> Kept:
        """Return a picture. Raises UnknownPictureError."""
        with self._lock:
            if number not in self._kept:
                raise UnknownPictureError("the picture is not here any more; give it again")
            self._kept.move_to_end(number)
            return self._kept[number]

    @contextmanager
    def holding(self, numbers: Collection[str]) -> Iterator[list[Kept]]:
        """Return pictures that stay for the length of the block. Raises UnknownPictureError."""
        kept = [self.get(number) for number in numbers]
        self.hold(numbers)
        try:
            yield kept
        finally:
            self.release(numbers)

    def hold(self, numbers: Collection[str]) -> None:
        """Let pictures stay, whatever comes, until they are released."""
        with self._lock:
            for number in numbers:
                self._used[number] = self._used.get(number, 0) + 1

    def release(self, numbers: Collection[str]) -> None:
        """Let pictures go when there are many newer ones."""
        with self._lock:
            for number in numbers:
                self._used[number] -= 1
                if not self._used[number]:
                    del self._used[number]
            self._drop()

    def _drop(self) -> None:
        total, count = sum(kept.bytes for kept in self._kept.values()), len(self._kept)
        newest = next(reversed(self._kept), None)
        for number, kept in list(self._kept.items()):
            if total <= self._most and count <= MOST_PICTURES:
                return
            if number not in self._used and number != newest:
                del self._kept[number]
                kept.path.unlink(missing_ok=True)
                total, count = total - kept.bytes, count - 1

    def reduced(self, number: str, *, as_data: bool = False) -> Picture:
        """Return a copy of at most MAX_SIDE pixels on the longer side.

        as_data: of values that are no colours, like masks. Raises InputError, UnknownPictureError.
        """
        if copy := self.small.get((number, as_data)):
            return copy
        kept = self.get(number)
        with self.holding([number]), self._reading:
            run = self._run_of(kept.lenient)
            copy, _, _ = reduced_file(kept.path, kept.name, run, MAX_SIDE, as_data=as_data)
        self.small.put((number, as_data), copy)
        return copy

    def _run_of(self, lenient: bool) -> RunSettings:
        return self._run.model_copy(update={"lenient": True}) if lenient else self._run

    def run_for(self, numbers: Collection[str]) -> RunSettings:
        """Return the settings of a run that reads pictures as they were taken."""
        with self._lock:
            return self._run_of(any(self._kept[number].lenient for number in numbers if number in self._kept))

    def view(self, number: str, side: int | None) -> bytes:
        """Return a PNG for browsers, reduced to `side` pixels. Raises InputError, UnknownPictureError."""
        kept = self.get(number)
        if kept.kind == "card":
            return view_png(thumbnail(kept.path, kept.name), side)
        if side is not None and side <= MAX_SIDE:
            return view_png(self.reduced(number), side)
        with self.holding([number]):
            return self._view(kept.path, kept.name, side, lenient=kept.lenient)

    def view_file(self, path: Path, side: int | None) -> bytes:
        """Return a PNG of a result that browsers show, reduced to `side` pixels. Raises InputError."""
        return self._view(path, path.name, side, lenient=False)

    def _view(self, path: Path, name: str, side: int | None, *, lenient: bool) -> bytes:
        with self._reading:
            small, _, _ = reduced_file(path, name, self._run_of(lenient), side or VIEW_SIDE)
        return view_png(small, None)

    def link(self, number: str, path: Path) -> None:
        """Put a picture's file at `path`. Raises UnknownPictureError."""
        link(self.get(number).path, path)


def link(source: Path, path: Path) -> None:
    """Put a file at another `path`, too, without taking room where the file system can."""
    try:
        os.link(source, path)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, path)


def no_room(error: OSError) -> NoRoomError:
    """Return the error for a picture that cannot be put on the disk."""
    return NoRoomError(f"the server cannot keep the picture: {why(error)}")


def reduced_file(
    path: Path, name: str, run: RunSettings, side: int, *, as_data: bool = False
) -> tuple[Picture, int, int]:
    """Decode a file as the commands do, by strips where that can be, and reduce it to `side` pixels.

    name: for messages. as_data: of values that are no colours. Returns the picture, and the width and height
    that it had. Raises InputError, MemoryExhaustedError.
    """
    with memory_guard(name, "give a smaller picture"), named(path, name):
        strips = images.open_strips(
            Input(path, name).read(images.file_limit(run.max_pixels)), name=name, max_pixels=run.max_pixels,
            frame=run.frame, as_data=as_data, lenient=run.lenient,
        )  # fmt: skip
        return fit_strips(strips, side), strips.width, strips.height


@contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Raise errors that tell of a file's name instead of its path: where the server keeps it says nothing."""
    try:
        yield
    except TexsynthError as error:
        raise type(error)(str(error).replace(str(path), name)) from error


def thumbnail(path: Path, name: str) -> Picture:
    """Return the small picture in a card. Raises InputError."""
    from texsynth.jobs.cards import read_card

    with named(path, name):
        return Picture(read_card(images.read_bytes(path), name).thumbnail)


def check_room(path: Path, name: str, run: RunSettings) -> None:
    """Refuse a picture whose pixels would take too much memory. Raises InputError, MemoryExhaustedError."""
    header = images.probe(path, name=name, max_pixels=run.max_pixels, frame=run.frame)
    needed = header.width * header.height * BYTES_PER_PIXEL
    limit = allowed_bytes(run.memory_limit, available_bytes())
    if limit is not None and needed > limit:
        raise MemoryExhaustedError(
            f"{name}: {header.width} x {header.height} pixels need {size_text(needed)} of memory, and "
            f"{size_text(limit)} are allowed; give a smaller picture"
        )


def small_copy(picture: Picture, side: int = MAX_SIDE) -> Picture:
    """Return a picture reduced to `side` pixels on its longer side, to fewer where it has very many."""
    return fit_strips(images.Strips(picture.width, picture.height, picture, True, picture.strips), side)


def fit_strips(strips: images.Strips, side: int) -> Picture:
    """Return the same of a picture that is read by strips. Raises InputError."""
    from texsynth.images.tensors import fit_within

    width, height = strips.width, strips.height
    step = max(1, max(width, height) // (2 * side))
    # Floats of many pixels would take the most memory.
    if (width // step) * (height // step) > MOST_FLOATS:
        step = -(-max(width, height) // side)
    down, right = min(step, height), min(step, width)
    parts = [_means(part, down, right) for part in strips.rows(down * -(-STRIP_ROWS // down))]
    planes = ([getattr(part, name) for part in parts] for name in ("rgb", "alpha", "highlights"))
    rgb, alpha, highlights = (None if plane[0] is None else np.concatenate(plane) for plane in planes)
    assert rgb is not None
    return fit_within(replace(parts[0], rgb=rgb, alpha=alpha, highlights=highlights), side)


def _means(part: Picture, down: int, right: int) -> Picture:
    """Return the means of squares of `down` x `right` pixels; what is left over at the end is left out."""
    height, width = part.height // down, part.width // right

    def means(plane: Pixels) -> Pixels:
        if down == right == 1:
            return plane
        bands = plane.shape[2:]
        cells = plane[: height * down, : width * right].reshape(height, down, width * right, *bands)
        sums = cells.sum(1, dtype=np.float32).reshape(height, width, right, *bands).sum(2)
        values: Pixels = sums / (down * right)
        return (values if plane.dtype == np.float32 else np.rint(values)).astype(plane.dtype)

    planes = (part.rgb, part.alpha, part.highlights)
    rgb, alpha, highlights = (None if plane is None else means(plane) for plane in planes)
    assert rgb is not None
    return replace(part, rgb=rgb, alpha=alpha, highlights=highlights)


def by_name(text: str, kept: Sequence[Kept]) -> str:
    """Return a sentence about files with the names that they were given."""
    for one in kept:
        text = text.replace(str(one.path), one.name)
    return text


def view_png(picture: Picture, side: int | None) -> bytes:
    """Return a PNG of 8 bits that every browser shows."""
    small = picture if side is None else small_copy(picture, side)
    alpha = None if small.alpha is None else as_depth(small.alpha, 8)
    plain = replace(
        small, rgb=as_depth(small.rgb, 8), alpha=alpha, is_float=False, highlights=None, one_bit=False
    )
    return images.encode(plain, "PNG", settings="", quality=95)[0]
