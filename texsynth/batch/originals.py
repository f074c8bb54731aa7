"""Contents on their way to results: in memory, or in scratch files when they are too large for that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from texsynth import images
from texsynth.batch.files import LargePicture, make_folder, read_input, recorded_path, refuse_transparent
from texsynth.batch.plan import Job
from texsynth.batch.scratch import FileRaster
from texsynth.batch.tiles import Forecast, Prospect, Room, chosen_room
from texsynth.images.picture import Pixels
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.models.registry import Model
from texsynth.pipelines.rasters import EVERYTHING, Blank, Raster, TensorRaster, in_memory, strip_rows, strips
from texsynth.records import Source
from texsynth.settings import RunSettings, StylizeSettings

LARGE_PIXELS = 1 << 24
"""Results of so many pixels are written by strips, even from memory: files shall not tell which it was."""


@dataclass(frozen=True)
class Content:
    """A picture to work on, and what a record says about it."""

    source: Source
    picture: images.Picture | None
    """None for one that is read by strips, into scratch files."""
    room: Room | None = None
    """How to work on that one."""


@dataclass(frozen=True)
class Original:
    """The same, ready for the pipelines."""

    raster: Raster
    weight: Tensor | None
    """(1, 1, H, W), its opacity."""
    alpha: Pixels | None
    bit_depth: int
    warnings: tuple[str, ...]
    blank: Blank = in_memory


def load_content(
    job: Job, model: Model, settings: StylizeSettings, run: RunSettings, masks: int = 0
) -> Content:
    """Read the picture of `job`, unless it is so large that only strips of it fit. Raises InputError."""
    item = job.picture
    size = _size(job, run)
    if can_spill(job, size, run):
        room = chosen_room(item, size, model, settings, run, masks=masks, can_spill=True)
        if room.spilled:
            digest = images.file_sha256(item.path)
            return Content(Source(path=recorded_path(item), sha256=digest), None, room)
    picture, source = read_input(item, run)
    refuse_transparent(item, picture)
    return Content(source, picture)


def foreseen(job: Job, model: Model, settings: StylizeSettings, run: RunSettings, masks: int = 0) -> Prospect:
    """What the work on `job` will take, going by its header. Raises InputError, MemoryExhaustedError."""
    size = _size(job, run)
    spills = can_spill(job, size, run)
    longest = min(max(size), run.max_side or max(size))
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    room = chosen_room(job.picture, (height, width), model, settings, run, masks=masks, can_spill=spills)
    return Prospect(room, Forecast.of(height, width, model, settings, masks).bytes(room))


def can_spill(job: Job, size: tuple[int, int], run: RunSettings) -> bool:
    """Whether the picture of `job` may be worked on in scratch files: large ones, from file to file."""
    large = size[0] * size[1] >= LARGE_PIXELS
    return (
        large and max(size) <= (run.max_side or max(size)) and job.picture.piped is None and not job.to_pipe
    )


def _size(job: Job, run: RunSettings) -> tuple[int, int]:
    item = job.picture
    header = images.probe(item.source, name=str(item), max_pixels=run.max_pixels, frame=run.frame)
    return header.height, header.width


def opened(job: Job, content: Content, run: RunSettings) -> Original:
    """Make tensors or scratch files of `content`. Raises InputError, OutputError for a full disk."""
    if content.picture is None:
        return _spilled(job, run)
    picture = fit_within(content.picture, run.max_side)
    return Original(
        TensorRaster(to_image(picture)),
        to_weight(picture),
        picture.alpha,
        run.bit_depth or picture.bit_depth,
        picture.warnings,
    )


def finished(job: Job, result: Raster, original: Original) -> images.Picture | LargePicture:
    """The picture to write."""
    height, width = result.size

    def part(rows: slice) -> images.Picture:
        alpha = None if original.alpha is None else original.alpha[rows]
        return to_picture(result.read(rows, EVERYTHING), alpha, original.bit_depth)

    if isinstance(result, FileRaster):
        return LargePicture(
            width, height, original.bit_depth, original.alpha is not None,
            lambda: map(part, strips(result.size)),
        )  # fmt: skip
    # Bytes wait for their turn to be written, instead of numbers four times as large.
    whole = _joined([part(rows) for rows in strips(result.size)])
    if height * width < LARGE_PIXELS or job.to_pipe:
        return whole
    return LargePicture(
        width, height, original.bit_depth, original.alpha is not None,
        lambda: (whole.rows(rows) for rows in strips(result.size)),
    )  # fmt: skip


def _spilled(job: Job, run: RunSettings) -> Original:
    item, folder = job.picture, scratch_folder(job)
    with images.open_strips(item.path, name=str(item), max_pixels=run.max_pixels, frame=run.frame) as found:
        size = found.height, found.width
        dtype = f"uint{found.bit_depth}"
        pixels = FileRaster(size, folder, dtype=dtype)
        alpha, weight = None, None
        if found.has_alpha:
            alpha = np.empty(size, dtype)
        for rows, strip in zip(strips(size), found.rows(strip_rows(size)), strict=True):
            pixels.write_raw(rows, EVERYTHING, strip.rgb.transpose(2, 0, 1))
            if alpha is not None and strip.alpha is not None:
                alpha[rows] = strip.alpha
        if alpha is not None:
            shown = images.Picture(alpha[..., None], alpha)
            refuse_transparent(item, shown)
            weight = to_weight(shown)
        depth = run.bit_depth or found.bit_depth
        return Original(pixels, weight, alpha, depth, found.warnings, lambda size: FileRaster(size, folder))


def _joined(parts: list[images.Picture]) -> images.Picture:
    if len(parts) == 1:
        return parts[0]
    alphas = [part.alpha for part in parts if part.alpha is not None]
    return images.Picture(
        np.concatenate([part.rgb for part in parts]), np.concatenate(alphas) if alphas else None
    )


def scratch_folder(job: Job) -> Path:
    """Where files go that are gone after the run: TMPDIR, or where there is room for the output."""
    chosen = os.environ.get("TMPDIR")
    if chosen:
        return Path(chosen)
    make_folder(job.output.parent)
    return job.output.parent
