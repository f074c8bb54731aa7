"""The pictures of `texsynth tileset`, and where tiles, layout and index go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from texsynth.config.map_kinds import Declared
from texsynth.config.map_settings import TilesetSettings
from texsynth.errors import UsageError
from texsynth.images.formats import ResultFormat
from texsynth.images.picture import DEEP_FORMATS, output_format
from texsynth.jobs.inputs import Input, Job, destinations, file_seed
from texsynth.jobs.materials import MapName, sibling_stem

LAYOUT = -1  # The part of a record that is the sample of a layout


@dataclass(frozen=True)
class TilesetJob(Job):
    """An exemplar with its maps, and the files that its tiles go to."""

    settings: TilesetSettings
    siblings: tuple[Input, ...] = ()
    declared: tuple[Declared | None, ...] = ()  # What their values are; None has the maps looked at
    beside: tuple[Path, ...] = ()  # Files of their tiles
    names: tuple[str, ...] = ()  # What a record calls these files
    layout: Path | None = None
    index: Path | None = None
    part: int = 0  # What `output` is: 0 for the tiles, k for those of the k-th sibling, or LAYOUT
    key: str = ""  # Seeds the tiles

    role: ClassVar[str] = "exemplar"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files that are read."""
        return (self.picture, *self.siblings)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All pictures that are written."""
        return (self.output, *self.beside, *([self.layout] if self.layout else []))

    @property
    def tables(self) -> tuple[Path, ...]:
        """The index."""
        return (self.index,) if self.index else ()

    @property
    def parts(self) -> list[tuple[int, Path]]:
        """The pictures by part."""
        layout = [(LAYOUT, self.layout)] if self.layout else []
        return [(self.part, self.output), *enumerate(self.beside, 1), *layout]

    def seed(self, seed: int) -> int:
        """Return the seed of the tiles: the same alone or among others."""
        return file_seed(seed, self.key)


def tileset_jobs(
    exemplars: Sequence[Input],
    siblings: Sequence[tuple[Input, ...]],
    declared: Sequence[tuple[Declared | None, ...]],
    settings: TilesetSettings,
    output: str | None,
    result_format: ResultFormat,
) -> list[TilesetJob]:
    """Return a job for every exemplar, whose tiles are called like `NAME.tileset.png`. Raises UsageError.

    siblings, declared: of every exemplar, its further maps and what is known of their values.
    """
    if output == "-":
        raise UsageError("tiles, layout and index cannot share standard output; use -o FOLDER")
    names = [f"{item.stem}.tileset{tileset_suffix(item, result_format)}" for item in exemplars]
    paths = destinations(exemplars, names, output, role="exemplars")
    every = zip(exemplars, paths, siblings, declared, strict=True)
    return [tileset_job(item, path, maps, kinds, settings) for item, path, maps, kinds in every]


def tileset_suffix(exemplar: Input, result_format: ResultFormat) -> str:
    """Return how the name of tiles ends: they must meet, and values of maps survive the file."""
    return exemplar.result_suffix(result_format, exact=True)


def tileset_job(
    item: Input,
    path: Path,
    maps: tuple[Input, ...],
    kinds: tuple[Declared | None, ...],
    settings: TilesetSettings,
) -> TilesetJob:
    """Return the job of an exemplar whose tiles are `path`. maps, kinds: see `tileset_jobs`."""
    if maps and output_format(path) not in DEEP_FORMATS:
        raise UsageError(f"{path}: values of maps do not survive {path.suffix}; use .png or .tif")
    stems = [sibling_stem(path.stem, item.stem, other.stem) for other in maps]
    if path.stem == f"{item.stem}.tileset":
        stems = [f"{other.stem}.tileset" for other in maps]
    beside = tuple(path.with_name(f"{stem}{path.suffix}") for stem in stems)
    shared = MapName.of(path.stem).stem or path.stem
    return TilesetJob(
        item, path, settings, maps, kinds, beside, tuple(file.name for file in beside),
        layout=path.with_name(f"{shared}.layout{path.suffix}"),
        index=path.with_name(f"{shared}.json"),
        key=item.key,
    )  # fmt: skip
