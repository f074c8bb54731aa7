"""The pictures of `texsynth maps`, and where their maps go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, get_args

from texsynth.config.map_settings import MapsSettings
from texsynth.config.records import MapRole
from texsynth.errors import UsageError
from texsynth.images.formats import ResultFormat
from texsynth.images.picture import DEEP_FORMATS, output_format
from texsynth.jobs.inputs import Input, Job, destinations
from texsynth.jobs.materials import COLOUR, MapName

ROLES: tuple[MapRole, ...] = get_args(MapRole)


@dataclass(frozen=True)
class MapsJob(Job):
    """A photograph and the files of its maps; `output` is the first of these."""

    settings: MapsSettings
    parts: tuple[tuple[MapRole, Path], ...]

    role: ClassVar[str] = "picture"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written."""
        return tuple(path for _, path in self.parts)


def maps_jobs(
    pictures: Sequence[Input], settings: MapsSettings, output: str | None, result_format: ResultFormat
) -> list[MapsJob]:
    """Return a job for every picture; maps are called like `NAME_height.png`. Raises UsageError.

    output: None for the current folder, a folder, or a file whose name they get.
    """
    if output == "-":
        raise UsageError(f"{len(ROLES)} maps cannot share standard output; use -o FOLDER")
    names = [f"{_shared(item.stem, COLOUR)}_{ROLES[0]}{result_format.asked or '.png'}" for item in pictures]
    jobs = []
    for item, path in zip(pictures, destinations(pictures, names, output, role="pictures"), strict=True):
        jobs.append(maps_job(item, path, settings))
    return jobs


def maps_job(item: Input, path: Path, settings: MapsSettings) -> MapsJob:
    """Return the job of a picture whose maps are called after `path`. Raises UsageError."""
    if output_format(path) not in DEEP_FORMATS:
        raise UsageError(f"{path}: values of maps do not survive {path.suffix}; use .png or .tif")
    stem = _shared(_shared(path.stem, ROLES), COLOUR)
    parts = tuple((role, path.with_name(f"{stem}_{role}{path.suffix}")) for role in ROLES)
    return MapsJob(item, parts[0][1], settings, parts)


def _shared(stem: str, roles: Sequence[str]) -> str:
    """Return the name of a file without an ending that is one of `roles`."""
    name = MapName.of(stem)
    return name.stem if name.stem and name.role in roles else stem
