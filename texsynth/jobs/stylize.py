"""Stylization of files: contents of any size, styles that are fitted once, and the operation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import texsynth
from texsynth import images
from texsynth.config import presets
from texsynth.config.records import Record, Source, StylizeRecord, Versions
from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.config.validation import dump
from texsynth.errors import InputError
from texsynth.images.files import as_text
from texsynth.images.picture import Pixels
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.jobs import cards
from texsynth.jobs.files import (
    JobResult,
    LargePicture,
    OutputFile,
    make_folder,
    memory_guard,
    probe_input,
    read_input,
    recorded_path,
    refuse_transparent,
    source_of,
)
from texsynth.jobs.inputs import Input, Job, StylizeJob, file_seed
from texsynth.jobs.memory import (
    MemoryEstimate,
    MemoryForecast,
    TilePlan,
    plan_tiles,
    retry_with_smaller_tiles,
    style_tile,
)
from texsynth.jobs.operation import Operation, other_weights, resolve_run_and_model
from texsynth.jobs.scratch import FileRaster
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, silent, sub_progress
from texsynth.pipelines.rasters import (
    EVERYTHING,
    MakeCanvas,
    Raster,
    TensorRaster,
    memory_canvas,
    strip_rows,
    strips,
)
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style, resize_mask, stylize_raster

StyleLayers = Callable[[tuple[int, int]], Sequence[FittedStyle | Sequence[StyledRegion]]]
"""Gives the styles that are laid over a content of a size (height, width), one after the other."""


class Stylize(Operation[StylizeJob]):
    """Gives pictures the style of another one; every job has its own style and settings."""

    def __init__(
        self,
        run: RunSettings,
        shared: StylizeJob | None = None,
        recorded_sha256: str | None = None,
        model: Model | None = None,
    ) -> None:
        """run: with `auto` still open.

        shared: any of the jobs when all have one style and its settings; what is wrong with them then stops
        the run. recorded_sha256: hash of the weights in the record of a result that is made again.
        model: one that is loaded already.
        """
        self.run, self._shared, self._recorded_sha256, self._given = run, shared, recorded_sha256, model
        self._style: tuple[tuple[Input, str], LoadedStyle] | None = None
        self._sources: dict[Input, Source] = {}
        """Hashes of styles; contents come and go, a style serves many jobs in turn."""

    def prepare(self, note: Callable[[str], None]) -> None:
        """Load the model, and fit the style that all jobs share."""
        self.run, self.model = resolve_run_and_model(self.run, self._given)
        self._note = note
        if self._shared:
            self._fit(self._shared)
        for remark in other_weights(self._recorded_sha256, self.model.sha256, self.run.model):
            note(remark)

    def records(self, job: StylizeJob) -> list[tuple[Path, Record]]:
        """Say what the output of `job` will carry."""
        if job.style not in self._sources:
            self._sources[job.style] = source_of(job.style)
        record = self._record(job, source_of(job.picture), self._sources[job.style], self.run)
        return [(job.output, record)]

    def load(self, job: StylizeJob) -> LoadedContent:
        """Read the content."""
        return load_content(job, self.model, job.settings, self.run)

    def compute(self, job: StylizeJob, loaded: LoadedContent, on_step: OnStep) -> JobResult:
        """Stylize one picture."""
        style = self._fit(job)
        stylized = transfer(
            job, loaded, lambda _: [style.fitted], self.model, job.settings, self.run, on_step=on_step
        )
        run = self.run.model_copy(update={"tile": stylized.tile})
        record = self._record(job, loaded.source, style.source, run)
        file = OutputFile(stylized.picture, job.output, dump(presets.as_tree(record)))
        return JobResult((file,), stylized.warnings)

    def forecaster(self) -> Callable[[StylizeJob], MemoryEstimate]:
        """Load the model, which decides on the memory."""
        run, model = resolve_run_and_model(self.run)
        return lambda job: estimate_memory(job, model, job.settings, run)

    def _fit(self, job: StylizeJob) -> LoadedStyle:
        key = job.style, job.settings.model_dump_json()
        if self._style is None or self._style[0] != key:
            style = load_style(job.style, self.model, job.settings, self.run)
            for warning in style.warnings:
                self._note(warning)
            self._style = key, style
        return self._style[1]

    def _record(self, job: StylizeJob, content: Source, style: Source, run: RunSettings) -> StylizeRecord:
        return StylizeRecord(
            content=content,
            style=style,
            key=as_text(job.picture.key),
            stylize=job.settings,
            run=run.model_copy(update={"memory_limit": None}),
            model_sha256=self.model.sha256,
            versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
        )


@dataclass(frozen=True)
class LoadedStyle:
    """A style fitted to a model, and the file it is from."""

    fitted: FittedStyle
    source: Source
    warnings: tuple[str, ...] = ()


def load_style(
    item: Input,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    mask: Tensor | None = None,
) -> LoadedStyle:
    """Measure the style in a picture, or take it from a card, at the levels of `settings`.

    mask: (1, 1, h, w), the part of a picture that counts. Raises InputError, also for a card of other weights
    or without one of the levels.
    """
    if item.is_card:
        return _from_card(item, model, settings, mask)
    picture, source = read_input(item, run)
    refuse_transparent(item, picture)
    with memory_guard(item):
        weight = to_weight(picture)
        if mask is not None:
            mask = resize_mask(mask, picture.height, picture.width, smooth=False)
            weight = mask if weight is None else weight * mask
        tile = style_tile(picture.height, picture.width, settings.style_scale)
        style = fit_style(to_image(picture), model, settings, weight=weight, tile=tile)
    return LoadedStyle(style, source, tuple(f"{item}: {warning}" for warning in picture.warnings))


def _from_card(item: Input, model: Model, settings: StylizeSettings, mask: Tensor | None) -> LoadedStyle:
    data = item.read()
    card = cards.read_card(data, str(item))
    cards.check_model(card, model, str(item))
    if mask is not None:
        raise InputError(f"{item} is a card, which has no pixels to label; give the picture itself")
    missing = set(settings.levels) - set(card.moments)
    if missing:
        raise InputError(f"{item} has no level {max(missing)}; make it again with `texsynth card make`")
    source = Source(path=recorded_path(item), sha256=hashlib.sha256(data).hexdigest())
    note: tuple[str, ...] = ()
    if settings.style_scale not in (1.0, card.style_scale):
        note = (f"{item}: a card keeps its own style scale, {card.style_scale:g}",)
    return LoadedStyle(FittedStyle(card.moments).only(settings.levels), source, note)


LARGE_PIXELS = 1 << 24
"""Results of so many pixels are written by strips, even from memory: files shall not tell which it was."""


@dataclass(frozen=True)
class LoadedContent:
    """A picture to work on, and its path and hash for a record."""

    source: Source
    picture: images.Picture | None
    """None for one that is read by strips, into scratch files."""
    tiles: TilePlan | None = None
    """The way to work on that one."""


@dataclass(frozen=True)
class PreparedContent:
    """A content as the pipelines take it."""

    raster: Raster
    weight: Tensor | None
    """(1, 1, H, W), its opacity in [0, 1]."""
    alpha: Pixels | None
    bit_depth: int
    warnings: tuple[str, ...]
    make_canvas: MakeCanvas = memory_canvas


def load_content(
    job: Job, model: Model, settings: StylizeSettings, run: RunSettings, masks: int = 0
) -> LoadedContent:
    """Read the picture of `job`, unless it is so large that only strips of it fit. Raises InputError."""
    item = job.picture
    size = _size(job, run)
    if can_spill(job, size, run):
        tiles = plan_tiles(item, size, model, settings, run, masks=masks, can_spill=True)
        if tiles.spilled:
            digest = images.file_sha256(item.path)
            return LoadedContent(Source(path=recorded_path(item), sha256=digest), None, tiles)
    picture, source = read_input(item, run)
    refuse_transparent(item, picture)
    return LoadedContent(source, picture)


def estimate_memory(
    job: Job, model: Model, settings: StylizeSettings, run: RunSettings, masks: int = 0
) -> MemoryEstimate:
    """Estimate the memory of `job` from its image header. Raises InputError, MemoryExhaustedError."""
    size = _size(job, run)
    spills = can_spill(job, size, run)
    longest = min(max(size), run.max_side or max(size))
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    tiles = plan_tiles(job.picture, (height, width), model, settings, run, masks=masks, can_spill=spills)
    return MemoryEstimate(tiles, MemoryForecast.of(height, width, model, settings, masks).bytes(tiles))


def can_spill(job: Job, size: tuple[int, int], run: RunSettings) -> bool:
    """Return True when the picture of `job` may be worked on in scratch files: large ones, file to file."""
    large = size[0] * size[1] >= LARGE_PIXELS
    return large and max(size) <= (run.max_side or max(size)) and job.picture.is_file and not job.to_pipe


def _size(job: Job, run: RunSettings) -> tuple[int, int]:
    width, height = probe_input(job.picture, run)
    return height, width


def prepare_content(job: Job, content: LoadedContent, run: RunSettings) -> PreparedContent:
    """Make tensors or scratch files of `content`. Raises InputError, OutputError for a full disk."""
    if content.picture is None:
        return _spilled(job, run)
    picture = fit_within(content.picture, run.max_side)
    return PreparedContent(
        TensorRaster(to_image(picture)),
        to_weight(picture),
        picture.alpha,
        run.bit_depth or picture.bit_depth,
        picture.warnings,
    )


def to_output(job: Job, result: Raster, prepared: PreparedContent) -> images.Picture | LargePicture:
    """Turn the result into the picture to write."""
    height, width = result.size

    def part(rows: slice) -> images.Picture:
        alpha = None if prepared.alpha is None else prepared.alpha[rows]
        return to_picture(result.read(rows, EVERYTHING), alpha, prepared.bit_depth)

    if isinstance(result, FileRaster):
        return LargePicture(
            width, height, prepared.bit_depth, prepared.alpha is not None,
            lambda: map(part, strips(result.size)),
        )  # fmt: skip
    # Bytes wait for their turn to be written, instead of numbers four times as large.
    whole = _joined([part(rows) for rows in strips(result.size)])
    if height * width < LARGE_PIXELS or job.to_pipe:
        return whole
    return LargePicture(
        width, height, prepared.bit_depth, prepared.alpha is not None,
        lambda: whole.strips(strip_rows(result.size)),
    )  # fmt: skip


@dataclass(frozen=True)
class Stylized:
    """A finished picture, the side of the tiles it was made in, and remarks on its content."""

    picture: images.Picture | LargePicture
    tile: int | None
    warnings: tuple[str, ...]


def transfer(
    job: Job,
    content: LoadedContent,
    layers: StyleLayers,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    *,
    masks: int = 0,
    on_step: OnStep = silent,
) -> Stylized:
    """Give `content` its styles. run: with every `auto` decided. masks: number of parts that have one."""
    with memory_guard(job.picture):
        prepared = prepare_content(job, content, run)
        size = prepared.raster.size
        tiles = content.tiles or plan_tiles(job.picture, size, model, settings, run, masks=masks)
        styles = layers(size)

        def attempt(tiles: TilePlan) -> Raster:
            raster = prepared.raster
            for number, style in enumerate(styles):
                raster = stylize_raster(
                    raster,
                    style,
                    model,
                    settings,
                    weight=prepared.weight,
                    seed=file_seed(run.seed, job.picture.key),
                    tile=tiles.tile,
                    make_canvas=prepared.make_canvas,
                    on_step=sub_progress(on_step, number, len(styles)),
                )
            return raster

        raster, tiles = retry_with_smaller_tiles(attempt, tiles, size, automatic=run.tile is None)
        return Stylized(to_output(job, raster, prepared), tiles.tile, prepared.warnings)


def _spilled(job: Job, run: RunSettings) -> PreparedContent:
    item, folder = job.picture, scratch_folder(job)
    reader = images.open_strips(item.path, name=str(item), max_pixels=run.max_pixels, frame=run.frame)
    size = reader.height, reader.width
    dtype = f"uint{reader.kind.bit_depth}"
    pixels = FileRaster(size, folder, dtype=dtype)
    alpha, weight = None, None
    if reader.kind.alpha is not None:
        alpha = np.empty(size, dtype)
    for rows, strip in zip(strips(size), reader.rows(strip_rows(size)), strict=True):
        pixels.write_raw(rows, EVERYTHING, strip.rgb.transpose(2, 0, 1))
        if alpha is not None and strip.alpha is not None:
            alpha[rows] = strip.alpha
    if alpha is not None:
        shown = images.Picture(alpha[..., None], alpha)
        refuse_transparent(item, shown)
        weight = to_weight(shown)
    depth = run.bit_depth or reader.kind.bit_depth
    return PreparedContent(
        pixels, weight, alpha, depth, reader.kind.warnings, lambda size: FileRaster(size, folder)
    )


def _joined(parts: list[images.Picture]) -> images.Picture:
    if len(parts) == 1:
        return parts[0]
    alphas = [part.alpha for part in parts if part.alpha is not None]
    return images.Picture(
        np.concatenate([part.rgb for part in parts]), np.concatenate(alphas) if alphas else None
    )


def scratch_folder(job: Job) -> Path:
    """Return the folder for scratch files: TMPDIR, or that of the output, where there is room."""
    chosen = os.environ.get("TMPDIR")
    if chosen:
        return Path(chosen)
    make_folder(job.output.parent)
    return job.output.parent
