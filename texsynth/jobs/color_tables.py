"""Looks of stylizations as tables of colours, in .cube files for programs that edit video and photographs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from texsynth.errors import UsageError
from texsynth.jobs.blend_inputs import StylizeJob
from texsynth.jobs.checks import check_outputs
from texsynth.jobs.files import OutputFile
from texsynth.ops.color_table import ColorPairs, fit_table, to_cube
from texsynth.paths import is_folder
from texsynth.pipelines.rasters import EVERYTHING, Raster, strips

SUFFIX = ".cube"


def with_tables(jobs: Sequence[StylizeJob], lut: str) -> list[StylizeJob]:
    """Return `jobs` with the file of each one's table, called as its result.

    lut: a .cube file, or a folder when it exists, ends with a slash or when there are several jobs. Raises
    UsageError, also for looks that are more than colours.
    """
    path, names = Path(lut), [_stem(job) + SUFFIX for job in jobs]
    as_file = path.suffix.lower() == SUFFIX and not is_folder(path) and not lut.endswith("/")
    if as_file and len(jobs) > 1:
        raise UsageError(f"{len(jobs)} results cannot share the table {path}; use --lut FOLDER")
    if not as_file and (len(jobs) == 1 and not is_folder(path) and not lut.endswith("/")):
        raise UsageError(f"--lut is {lut!r} but must end with {SUFFIX}, or be a folder")
    if any(job.settings.regions == "auto" for job in jobs):
        raise UsageError(
            "--lut exports one map of colours, and regions have a map each; leave one of them out"
        )
    if any(job.settings.mode != "photo" for job in jobs):
        raise UsageError(
            "--lut exports a map of colours, and artistic mode paints; add --photo or leave it out"
        )
    files = (
        [path]
        if as_file
        else [path / Path(job.picture.key).parent / name for job, name in zip(jobs, names, strict=True)]
    )
    return [replace(job, lut=file) for job, file in zip(jobs, files, strict=True)]


def with_new_table(job: StylizeJob, lut: str) -> StylizeJob:
    """Return `job` with the file of its table, which must be new. Raises UsageError, OutputError."""
    (job,) = with_tables([job], lut)
    check_outputs([job], force=False)
    return job


def table_file(job: StylizeJob, content: Raster, result: Raster, weight: Tensor | None) -> OutputFile:
    """Fit the table of a job that has made `result` of `content`. weight: (1, 1, H, W) opacity."""
    assert job.lut, "only jobs with a file for it have a table"
    pairs = ColorPairs.empty()
    for rows in strips(content.size):
        part = None if weight is None else weight[:, :, rows]
        pairs.add(content.read(rows, EVERYTHING), result.read(rows, EVERYTHING), part)
    return OutputFile(to_cube(fit_table(pairs), _stem(job)).encode(), job.lut, "")


def _stem(job: StylizeJob) -> str:
    return f"{job.picture.stem}.{job.style.stem}" if job.to_pipe else job.output.stem
