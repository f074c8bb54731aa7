"""Contents of a stylization: from files to what the pipelines take, and results to what is written."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texsynth import images
from texsynth.config.records import Source
from texsynth.config.settings import RunSettings
from texsynth.images.gamut import WideSpace, wide_space
from texsynth.images.hidden import fit_fill
from texsynth.images.picture import Picture, Pixels
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.jobs.blend_inputs import StyledJob
from texsynth.jobs.files import LargePicture, make_folder, refuse_transparent
from texsynth.jobs.inputs import Job
from texsynth.jobs.memory import TilePlan
from texsynth.jobs.scratch import FileRaster
from texsynth.pipelines.rasters import (
    EVERYTHING,
    MakeCanvas,
    Raster,
    TensorRaster,
    memory_canvas,
    strip_rows,
    strips,
)

HIGHLIGHTS_LEFT = "light stronger than 1 is painted as 1; --photo keeps it"


def keeps_highlights(job: StyledJob) -> bool:
    """Return True where pixels stay where they are, so that strong light can be put back."""
    return job.settings.mode == "photo"


Plane = NDArray[np.float32]

LARGE_PIXELS = 1 << 24
"""Results of so many pixels are written by strips, even from memory: files shall not tell which it was."""


@dataclass(frozen=True)
class LoadedContent:
    """A picture to work on, and its path and hash for a record."""

    source: Source
    picture: Picture | None  # None for one that is read by strips, into scratch files
    tiles: TilePlan | None = None  # The way to work on that one


@dataclass(frozen=True)
class PreparedContent:
    """A content as the pipelines take it."""

    raster: Raster
    weight: Tensor | None  # (1, 1, H, W), its opacity in [0, 1]
    alpha: Pixels | None
    bit_depth: int
    is_half: bool  # Floats have 16 bits
    warnings: tuple[str, ...]
    make_canvas: MakeCanvas = memory_canvas
    highlights: Plane | None = None  # (H, W), how many times stronger than 1 the light is
    space: WideSpace | None = None  # Wider than sRGB, of the content and the result
    saturation: Plane | None = None  # (H, W), how many times stronger than in sRGB colours are


def can_spill(job: StyledJob, size: tuple[int, int], run: RunSettings) -> bool:
    """Return True when the picture of `job` may be worked on in scratch files: large ones, file to file."""
    large = size[0] * size[1] >= LARGE_PIXELS
    if job.settings.finish.steps:
        return False  # Its optimizer keeps whole pictures in memory
    return large and max(size) <= (run.max_side or max(size)) and job.picture.is_file and not job.to_pipe


def prepare_content(
    job: Job, content: LoadedContent, run: RunSettings, *, keep: bool = True
) -> PreparedContent:
    """Make tensors or scratch files of `content`. Raises InputError, OutputError for a full disk.

    keep: what is beyond sRGB comes beside it, instead of being cut.
    """
    if content.picture is None:
        return _spilled(job, run, keep=keep)
    picture = fit_within(content.picture, run.max_side)
    size = picture.height, picture.width
    space, beyond = wide_space(picture.profile) if picture.profile else None, Beyond(size)
    if space is None:
        image = to_image(picture)
    else:
        image = torch.empty(1, 3, *size)
        for rows, strip in zip(strips(size), picture.strips(strip_rows(size)), strict=True):
            values, saturation = space.to_srgb(strip.rgb, keep=keep)
            image[0, :, rows] = torch.from_numpy(values).permute(2, 0, 1)
            beyond.add(rows, None, saturation)
    return PreparedContent(
        TensorRaster(image), to_weight(picture), picture.alpha, run.bit_depth or picture.bit_depth,
        picture.is_half and run.bit_depth is None, picture.warnings,
        highlights=picture.highlights, space=space, saturation=beyond.saturation,
    )  # fmt: skip


def _spilled(job: Job, run: RunSettings, *, keep: bool) -> PreparedContent:
    """Read a content by strips, into scratch files."""
    item, folder = job.picture, Path(os.environ.get("TMPDIR") or job.output.parent)
    # Without TMPDIR scratch files lie beside the output, where there is room.
    if folder == job.output.parent:
        make_folder(folder)
    reader = images.open_strips(
        item.path, name=str(item), max_pixels=run.max_pixels, frame=run.frame, lenient=run.lenient,
        own_space=not run.srgb,
    )  # fmt: skip
    size = reader.height, reader.width
    space = wide_space(reader.kind.profile) if reader.kind.profile else None
    dtype = str(reader.kind.rgb.dtype)
    pixels = FileRaster(size, folder, dtype="uint16" if space else dtype)
    alpha, weight, fill, beyond = None, None, None, Beyond(size)
    warnings = dict.fromkeys(reader.kind.warnings)
    if reader.kind.alpha is not None:
        alpha = np.empty(size, dtype)
        # Nothing can be filled before all of it has been looked at.
        fill = fit_fill(reader.rows(strip_rows(size)), size)
    for rows, strip in zip(strips(size), reader.rows(strip_rows(size)), strict=True):
        if fill is not None:
            strip = fill.apply(strip, rows.start)
        rgb, saturation = strip.rgb, None
        if space is not None:
            values, saturation = space.to_srgb(rgb, keep=keep)
            rgb = (values * 65535 + 0.5).astype(np.uint16)
        pixels.write_raw(rows, EVERYTHING, rgb.transpose(2, 0, 1))
        beyond.add(rows, strip.highlights, saturation)
        warnings |= dict.fromkeys(strip.warnings)
        if alpha is not None and strip.alpha is not None:
            alpha[rows] = strip.alpha
    if alpha is not None:
        shown = Picture(alpha[..., None], alpha)
        refuse_transparent(item, shown)
        weight = to_weight(shown)
    depth, is_half = run.bit_depth or reader.kind.bit_depth, reader.kind.is_half and run.bit_depth is None
    return PreparedContent(
        pixels, weight, alpha, depth, is_half, tuple(warnings), lambda size: FileRaster(size, folder),
        highlights=beyond.highlights, space=space, saturation=beyond.saturation,
    )  # fmt: skip


@dataclass
class Beyond:
    """What sRGB has no room for, collected by strips; None where no strip has any. size: height, width."""

    size: tuple[int, int]
    highlights: Plane | None = field(default=None, init=False)
    saturation: Plane | None = field(default=None, init=False)

    def add(self, rows: slice, highlights: Plane | None, saturation: Plane | None) -> None:
        """Take planes of at least 1 for some rows."""
        self.highlights = self._with(self.highlights, rows, highlights)
        self.saturation = self._with(self.saturation, rows, saturation)

    def _with(self, whole: Plane | None, rows: slice, part: Plane | None) -> Plane | None:
        if part is None or not bool((part > 1).any()):
            return whole
        whole = np.ones(self.size, np.float32) if whole is None else whole
        whole[rows] = part
        return whole


def to_output(job: StyledJob, result: Raster, prepared: PreparedContent) -> Picture | LargePicture:
    """Turn the result into the picture to write; that of a photograph has what is beyond sRGB again."""
    kept = keeps_highlights(job)
    light, saturation = (prepared.highlights, prepared.saturation) if kept else (None, None)
    space, depth = prepared.space, prepared.bit_depth
    icc = space.icc if space else None
    height, width = result.size
    is_half, has_alpha = prepared.is_half, prepared.alpha is not None
    large = partial(LargePicture, width, height, depth, has_alpha, profile=icc, is_half=is_half)

    def part(rows: slice) -> Picture:
        alpha = None if prepared.alpha is None else prepared.alpha[rows]
        values = result.read(rows, EVERYTHING)
        if space is not None:
            srgb = values[0].float().permute(1, 2, 0).cpu().numpy()
            own = space.from_srgb(srgb, None if saturation is None else saturation[rows])
            values = torch.from_numpy(own).permute(2, 0, 1)[None]
        picture = replace(to_picture(values, alpha, depth), profile=icc, is_half=is_half)
        return picture if light is None else replace(picture, highlights=light[rows])

    if isinstance(result, FileRaster):
        return large(lambda: map(part, strips(result.size)))
    # Bytes wait for their turn to be written, instead of numbers four times as large.
    parts = [part(rows) for rows in strips(result.size)]
    alphas = [strip.alpha for strip in parts if strip.alpha is not None]
    whole = replace(
        parts[0], rgb=np.concatenate([strip.rgb for strip in parts]),
        alpha=np.concatenate(alphas) if alphas else None, highlights=light,
    )  # fmt: skip
    if height * width < LARGE_PIXELS or job.to_pipe:
        return whole
    return large(lambda: whole.strips(strip_rows(result.size)))
