"""What every job does around its work: read its pictures, note where they came from, write its files."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from texsynth import images
from texsynth.batch.memory import is_exhaustion
from texsynth.batch.plan import PIPE, Input
from texsynth.batch.run import Written
from texsynth.errors import InputError, MemoryExhaustedError, OutputError
from texsynth.records import Source
from texsynth.settings import RunSettings


@dataclass(frozen=True)
class LargePicture:
    """A finished picture that is made, and written, by strips from the top down; not to PIPE."""

    width: int
    height: int
    bit_depth: int
    has_alpha: bool
    strips: Callable[[], Iterator[images.Picture]]


@dataclass(frozen=True)
class Delivery:
    """A finished picture, the file it goes to (or PIPE), and the settings that it carries."""

    picture: images.Picture | LargePicture
    path: Path
    settings: str

    def shown(self) -> images.Picture:
        """The picture in memory, for a sheet of thumbnails; a large one is read from its finished file."""
        return self.picture if isinstance(self.picture, images.Picture) else images.read(self.path)


@dataclass(frozen=True)
class Made:
    """What the work on a job made: files, the one that counts first, and what to say about its inputs."""

    deliveries: tuple[Delivery, ...]
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was decided during the work, by name."""


@contextmanager
def memory_guard(what: object, cure: str = "reduce it with --max-side") -> Iterator[None]:
    """Turn every way of running out of memory into one error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_exhaustion(error):
            raise
        raise MemoryExhaustedError(f"{what} does not fit in memory; {cure}") from error


def read_input(item: Input, run: RunSettings, *, as_data: bool = False) -> tuple[images.Picture, Source]:
    """Decode a picture, and what a record says about it. as_data: values that are no colours."""
    data = item.read()
    with memory_guard(item):
        picture = images.read(
            data, name=str(item), max_pixels=run.max_pixels, frame=run.frame, as_data=as_data
        )
    return picture, Source(path=recorded_path(item), sha256=hashlib.sha256(data).hexdigest())


def source_of(item: Input) -> Source:
    """What a record says about a file, without decoding it. Raises InputError."""
    return Source(path=recorded_path(item), sha256=images.file_sha256(item.source))


def refuse_transparent(item: Input, picture: images.Picture) -> None:
    """InputError when nothing of `picture` can be seen."""
    if picture.alpha is not None and not picture.alpha.any():
        raise InputError(f"{item} is fully transparent, so there is nothing to measure")


def recorded_path(item: Input) -> str:
    """The path of `item` as text: names of files need not be text, settings must be."""
    return item.recorded or as_text(str(item.path))


def as_text(name: str) -> str:
    """A file name with what is not text replaced."""
    return os.fsencode(name).decode(errors="replace")


def written(made: Made, *, quality: int, force: bool, suffix: str = ".png") -> Written:
    """Write what was made, and report it; arguments as for `deliver`."""
    # The file that counts comes last: when it is there, all are.
    warnings = deliver(made.deliveries[::-1], quality=quality, force=force, suffix=suffix)
    picture = made.deliveries[0].picture
    return Written(picture.width, picture.height, made.warnings + warnings, made.facts)


def make_folder(folder: Path) -> None:
    """Make `folder` and those it is in when they are missing. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {(error.strerror or '').lower()}") from error


def deliver(
    deliveries: Sequence[Delivery], *, quality: int, force: bool, suffix: str = ".png"
) -> tuple[str, ...]:
    """Write files, all or none of the new ones. suffix: format of standard output. Returns warnings."""
    warnings: tuple[str, ...] = ()
    made: list[Path] = []
    try:
        for delivery in deliveries:
            fresh = [] if delivery.path == PIPE else [p for p in _files(delivery.path) if not p.exists()]
            warnings += _write(delivery, quality=quality, force=force, suffix=suffix)
            made += fresh
    except BaseException:
        # Siblings without their texture are of no use to anyone.
        for path in made:
            with suppress(OSError):
                path.unlink()
        raise
    return warnings


def _files(path: Path) -> list[Path]:
    beside = images.sidecar(path)
    return [path, beside] if beside else [path]


def _write(delivery: Delivery, *, quality: int, force: bool, suffix: str) -> tuple[str, ...]:
    picture, path, text = delivery.picture, delivery.path, delivery.settings
    if path != PIPE:
        make_folder(path.parent)
        if isinstance(picture, LargePicture):
            return _write_strips(picture, delivery, quality=quality, force=force)
        return images.write(picture, path, settings=text, quality=quality, force=force)
    assert isinstance(picture, images.Picture), "strips are for files"
    name = images.output_format(Path(f"-{suffix}"))
    data, warnings = images.encode(picture, name, settings=text, quality=quality)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {(error.strerror or '').lower()}") from error
    return warnings


def _write_strips(picture: LargePicture, delivery: Delivery, *, quality: int, force: bool) -> tuple[str, ...]:
    with images.StripWriter(
        delivery.path, picture.width, picture.height, alpha=picture.has_alpha, bit_depth=picture.bit_depth,
        settings=delivery.settings, quality=quality, force=force,
    ) as out:  # fmt: skip
        for strip in picture.strips():
            out.write(strip)
    return out.warnings
