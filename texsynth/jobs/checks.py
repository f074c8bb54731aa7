"""What can be known to be wrong before any model is loaded."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, OutputError, TexsynthError, UsageError
from texsynth.images.files import taken
from texsynth.images.picture import DEEP_FORMATS, FLOAT_FORMATS
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import PIPE, Input, J, Job
from texsynth.jobs.outcomes import Failed
from texsynth.paths import is_folder, is_taken, real, unwritable

ASPECT = 0.02  # Relative difference of two proportions that is still the same, as rounding makes it


def check_outputs(
    jobs: Sequence[Job],
    inputs: Iterable[Input] = (),
    *,
    force: bool,
    also: Sequence[Path] = (),
    cure: str = "rename one of them",
    policy: OutputPolicy | None = None,
) -> None:
    """Find collisions (UsageError), then outputs that exist or cannot be written (OutputError).

    inputs: files that are read besides those of the jobs. also: files that are written besides theirs. cure:
    for two results with one name. policy: says which have their records beside them.
    """
    files = {item for job in jobs for item in job.inputs} | set(inputs)
    read = {real(item.path) for item in files if item.is_file}
    owners: dict[str, str] = {}
    beside = (policy or OutputPolicy()).sidecar
    also = [*also, *(path for job in jobs for path in job.tables)]
    outputs = [(str(job.picture), path) for job in jobs for path in job.outputs if path != PIPE]
    written = [(owner, file) for owner, path in outputs for file in (path, beside(path)) if file]
    written += [(str(path), path) for path in also]
    for owner, path in written:
        place = real(path)
        if place in read:
            raise UsageError(f"the output {path} is also an input; choose another name{_with(path, also)}")
        if owners.get(place) == owner:
            raise UsageError(f"two results of {owner} would both be written to {path}; {cure}")
        if place in owners:
            raise UsageError(f"{owners[place]} and {owner} would both be written to {path}; {cure}")
        owners[place] = owner
    for _, path in written:
        if is_folder(path):
            raise OutputError(f"{path} is a folder; choose another name{_with(path, also)}")
        check_writable(path, force=force)
    # Python has no stream where a shell has closed it, and what stands in for it keeps nothing.
    if sys.__stdout__ is None and any(job.to_pipe for job in jobs):
        raise OutputError("standard output is closed; name a file with -o")


def _with(path: Path, also: Sequence[Path]) -> str:
    """Name the option for `path`; files besides those of the jobs have options of their own."""
    return "" if path in also else " with -o"


def check_writable(path: Path, *, force: bool = False) -> None:
    """OutputError when no file can be put at `path`, whose folder need not exist yet."""
    if is_taken(path) and not force:
        raise taken(path)
    if reason := unwritable(path):
        raise OutputError(reason)


def check_depth(jobs: Sequence[Job], run: RunSettings, suffix: str) -> None:
    """UsageError when more bits are asked of a format than it has. suffix: format of standard output."""
    for job in jobs:
        path = Path(f"-{suffix}") if job.to_pipe else job.output
        kind = images.output_format(path)
        if run.bit_depth == 16 and kind not in DEEP_FORMATS:
            raise UsageError(f"{path}: --bit-depth 16 needs .png or .tif")
        if run.bit_depth == 32 and kind not in FLOAT_FORMATS:
            raise UsageError(f"{path}: --bit-depth 32 needs .tif or .exr")
        images.check_package(kind)


def check_sides(job: Job, width: int, height: int) -> None:
    """OutputError for a result, in pixels, that the format of a file of `job` cannot count."""
    for path in job.outputs:
        if path != PIPE:
            images.check_sides(width, height, images.output_format(path))


def check_headers(
    jobs: Sequence[J], needed: Iterable[Input], run: RunSettings
) -> tuple[list[J], list[Failed]]:
    """Return the jobs whose inputs all have sound headers, and the others. Every file is opened once.

    needed: inputs of all jobs, whose faults stop the run. Raises InputError.
    """
    errors: dict[Input, InputError | None] = {}
    sizes: dict[Input, tuple[int, int] | None] = {}
    for item in needed:
        sizes[item] = probe_header(item, run)
        errors[item] = None

    def check(job: J) -> None:
        for item in job.inputs:
            if item not in errors:
                errors[item] = None
                try:
                    sizes[item] = probe_header(item, run)
                except InputError as error:
                    errors[item] = error
            if known := errors[item]:
                raise known
        for mask in job.overlays:
            if (size := sizes[mask]) and (of := sizes[job.picture]):
                check_proportions(mask, size, job.picture, of)

    return divide(jobs, check)


def check_proportions(item: Input, size: tuple[int, int], picture: Input, of: tuple[int, int]) -> None:
    """Raise InputError for a mask `item` whose proportions are not those of `picture`; (width, height)."""
    (width, height), (columns, rows) = size, of
    if abs(height * columns / (width * rows) - 1) > ASPECT:
        raise InputError(
            f"{item} has {width} x {height} pixels, which does not fit the {columns} x {rows} of {picture}; "
            f"give it the same proportions"
        )


def divide(jobs: Sequence[J], check: Callable[[J], None]) -> tuple[list[J], list[Failed]]:
    """Return the jobs that pass `check`, and those of which it raises a TexsynthError."""
    good: list[J] = []
    failed: list[Failed] = []
    for job in jobs:
        try:
            check(job)
            good.append(job)
        except TexsynthError as error:
            failed.append(Failed(job, error))
    return good, failed


def probe_header(item: Input, run: RunSettings) -> tuple[int, int] | None:
    """Return width and height of a picture, None of a card.

    Raises InputError when a picture's header is not sound, or a card cannot be read.
    """
    if item.is_card:
        item.read()
        return None
    if item.picture is not None:
        return item.picture.width, item.picture.height
    header = images.probe(item.source, name=str(item), max_pixels=run.max_pixels, frame=run.frame)
    return header.width, header.height
