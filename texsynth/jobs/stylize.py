"""Stylization of files, as an operation: contents of any size, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import texsynth
from texsynth import images
from texsynth.analysis.clusters import MOST as MOST_REGIONS
from texsynth.config.records import (
    BlendRecord,
    BlendStyle,
    Record,
    Source,
    StylizeRecord,
    TweenRecord,
    Versions,
)
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError
from texsynth.images.files import as_text
from texsynth.images.hidden import fit_fill
from texsynth.images.picture import Pixels
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.jobs.blend import FitStyle, MeasuredStyles
from texsynth.jobs.blend_inputs import BlendSpec, StyledJob, StylizeJob
from texsynth.jobs.checks import check_sides
from texsynth.jobs.color_tables import table_file
from texsynth.jobs.files import (
    JobResult,
    LargePicture,
    OutputFile,
    make_folder,
    memory_guard,
    probe_input,
    read_visible,
    refuse_transparent,
    source_of,
)
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.labels import read_labels
from texsynth.jobs.memory import (
    MemoryEstimate,
    MemoryForecast,
    TilePlan,
    check_style,
    plan_tiles,
    retry_with_smaller_tiles,
)
from texsynth.jobs.operation import Operation, refuse_other_weights, resolve_run_and_model
from texsynth.jobs.recorded import record_text
from texsynth.jobs.scratch import FileRaster
from texsynth.jobs.take import LayerStatistics, TakeMeasurer
from texsynth.models.openvino import left_to_torch
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, parts, sub_progress
from texsynth.pipelines.rasters import (
    EVERYTHING,
    MakeCanvas,
    Raster,
    TensorRaster,
    memory_canvas,
    strip_rows,
    strips,
)
from texsynth.pipelines.stylize import fit_style, stylize_raster


class Stylize(Operation[StyledJob]):
    """Gives pictures a style or a blend of several; every job has its own styles and settings."""

    def __init__(
        self,
        run: RunSettings,
        shared: StyledJob | None = None,
        recorded_sha256: str | None = None,
        model: Model | None = None,
        recorded_version: str | None = None,
        fit: FitStyle = fit_style,
    ) -> None:
        """run: with `auto` still open.

        shared: any of the jobs when all have the same styles and settings; what is wrong with them then stops
        the run. recorded_sha256: hash of the weights in the record of a result that is made again.
        model: one that is loaded already. recorded_version: of the texsynth that made that result.
        fit: measures a style.
        """
        self._recorded_version, self._fit = recorded_version, fit
        self.run, self._shared, self._recorded_sha256, self._given = run, shared, recorded_sha256, model
        self._measured: tuple[tuple[BlendSpec, str], MeasuredStyles] | None = None
        self._takes: dict[object, LayerStatistics] = {}

    def load_networks(self) -> None:
        """Load the model. Raises InputError when a record is of other weights."""
        self.run, self.model = resolve_run_and_model(self.run, self._given)
        refuse_other_weights(self._recorded_sha256, self.model.sha256, self.run.model)

    def prepare(self, note: Callable[[str], None]) -> None:
        """Load the model, and measure the styles that all jobs share."""
        self.load_networks()
        self._note = note
        if self.run.backend != "torch" and self._shared and (left := left_to_torch(self._shared.settings)):
            note(f"--backend {self.run.backend}: {left}")
        if self._shared and self._recorded_version not in (None, texsynth.__version__):
            settings = self._shared.settings
            if settings.mode == "artistic" and settings.style_scale != 1:
                note(
                    f"the result was made by texsynth {self._recorded_version}, which resized the style "
                    f"instead of its strokes; expect strokes of another size"
                )
        # Contents come and go, styles and label maps serve many jobs in turn.
        self._source_of = cache(source_of)
        self._labels = lru_cache(maxsize=2)(read_labels)
        if self._shared:
            self._styles(self._shared)

    def records(self, job: StyledJob) -> list[tuple[Path, Record]]:
        """Say what the output of `job` will carry."""
        return [(job.output, self._record(job, source_of(job.picture), self._source_of, self.run))]

    def load(self, job: StyledJob) -> LoadedContent:
        """Read the content, unless it is so large that only strips of it fit."""
        item, run = job.picture, self.run
        size = probe_input(item, run)[::-1]
        if can_spill(job, size, run):
            masks = self._masks(job)
            tiles = plan_tiles(
                item, size, self.model, job.settings, run, masks=masks, frames=job.held, can_spill=True
            )
            if tiles.spilled:
                return LoadedContent(source_of(item), None, tiles)
        picture, source = read_visible(item, run)
        return LoadedContent(source, picture)

    def compute(self, job: StyledJob, loaded: LoadedContent, on_step: OnStep) -> JobResult:
        """Stylize one picture."""
        styles, settings, run = self._styles(job), job.settings, self.run
        # Of several regions, layers and attempts the first is told of at each level.
        notes: dict[int, str] = {}
        with memory_guard(job.picture):
            prepared = prepare_content(job, loaded, run)
            size, masks = prepared.raster.size, self._masks(job)
            check_sides(job, *size[::-1])
            tiles = loaded.tiles or plan_tiles(
                job.picture, size, self.model, settings, run, masks=masks, frames=job.held
            )
            layers, facts = styles.layers(job, size), {}
            if styles.regional:
                layers, facts["regions"] = styles.regional.layers(
                    job, prepared.raster, prepared.weight, layers
                )
            seed = job.seed(run.seed)
            read = partial(self._read_frame, job)

            def attempt(tiles: TilePlan) -> Raster:
                raster = prepared.raster
                held = len(job.tween.before) + len(job.tween.after) if job.tween else 0
                measuring, painting = parts(on_step, held, 1)
                take = TakeMeasurer(job, styles, self.model, read, seed, tiles.tile, measuring)
                statistics = take.statistics(self._takes)
                for number, regions in enumerate(layers):
                    raster = stylize_raster(
                        raster,
                        regions,
                        self.model,
                        settings,
                        weight=prepared.weight,
                        seed=seed,
                        tile=tiles.tile,
                        moments=None if statistics is None else statistics[number],
                        make_canvas=prepared.make_canvas,
                        on_step=sub_progress(painting, number, len(layers)),
                        on_note=notes.setdefault,
                    )
                return raster

            raster, tiles = retry_with_smaller_tiles(attempt, tiles, size, automatic=run.tile is None)
            picture = to_output(job, raster, prepared)
        in_tiles = run.model_copy(update={"tile": tiles.tile})
        record = self._record(job, loaded.source, styles.sources.__getitem__, in_tiles)
        file = OutputFile(picture, job.output, record_text(record, job.output))
        files = [file]
        if isinstance(job, StylizeJob) and job.lut:
            files.append(table_file(job, prepared.raster, raster, prepared.weight))
        told = [f"level {level}: {note}" if level else note for level, note in notes.items()]
        if prepared.highlights is not None and not keeps_highlights(job):
            told.append(HIGHLIGHTS_LEFT)
        return JobResult(tuple(files), (*prepared.warnings, *told), facts)

    def _read_frame(self, job: StyledJob, item: Input) -> tuple[Raster, Tensor | None, MakeCanvas]:
        """Read another frame of the take that `job` is in."""
        frame = replace(job, picture=item)
        prepared = prepare_content(frame, self.load(frame), self.run)
        return prepared.raster, prepared.weight, prepared.make_canvas

    def estimate(self, job: StyledJob) -> MemoryEstimate:
        """Estimate from the header of the content. Raises InputError, MemoryExhaustedError."""
        model, run, masks = self.model, self.run, job.spec.masks
        if job.settings.regions == "auto":
            masks = MOST_REGIONS
        size = probe_input(job.picture, run)[::-1]
        for style in (s for part in job.spec.styles for s in part.sources if not s.is_card):
            check_style(style, probe_input(style, run)[::-1], model, run)
        spills, longest = can_spill(job, size, run), max(size)
        reduced = min(longest, run.max_side or longest)
        height, width = (max(1, round(side * reduced / longest)) for side in size)
        check_sides(job, width, height)
        tiles = plan_tiles(
            job.picture, (height, width), model, job.settings, run,
            masks=masks, frames=job.held, can_spill=spills,
        )  # fmt: skip
        forecast = MemoryForecast.of(height, width, model, job.settings, masks, job.held)
        return MemoryEstimate(tiles, forecast.bytes(tiles))

    def _styles(self, job: StyledJob) -> MeasuredStyles:
        key = job.spec, job.settings.model_dump_json()
        if self._measured is None or self._measured[0] != key:
            styles = MeasuredStyles(job.spec, self.model, job.settings, self.run, self._fit)
            for warning in styles.warnings:
                self._note(warning)
            self._measured = key, styles
        return self._measured[1]

    def _masks(self, job: StyledJob) -> int:
        """Return the number of parts with a mask that the picture has at most."""
        if job.settings.regions == "auto":
            return MOST_REGIONS
        labels = job.spec.content_labels
        return len(self._labels(labels, self.run)[0].colours) if labels else job.spec.masks

    def _record(
        self, job: StyledJob, content: Source, source: Callable[[Input], Source], run: RunSettings
    ) -> Record:
        """source: of the other inputs."""

        def optional(item: Input | None) -> Source | None:
            return source(item) if item else None

        common: dict[str, Any] = {
            "content": content,
            "key": as_text(job.picture.key) if job.vary else None,
            "tween": self._tween(job),
            "stylize": job.settings,
            "run": run.model_copy(update={"memory_limit": None}),
            "model_sha256": self.model.sha256,
            "versions": Versions(texsynth=texsynth.__version__, torch=torch.__version__),
        }
        if isinstance(job, StylizeJob):
            return StylizeRecord(style=source(job.style), **common)
        styles = [
            BlendStyle(
                sources=tuple(map(source, part.sources)),
                weight=weight,
                levels=part.levels,
                mask=optional(part.mask),
                labels=optional(part.labels),
            )
            for part, weight in zip(job.spec.styles, job.weights, strict=True)
        ]
        return BlendRecord(
            styles=tuple(styles),
            content_labels=optional(job.spec.content_labels),
            sequential=job.spec.sequential,
            feather=job.spec.feather,
            **common,
        )

    def _tween(self, job: StyledJob) -> TweenRecord | None:
        """Record the frames that the statistics come from, but for those that nobody can read."""

        def sources(items: Sequence[Input]) -> Iterator[Source]:
            for item in items:
                with suppress(InputError):
                    yield self._source_of(item)

        if (tween := job.tween) is None:
            return None
        before, after = tuple(sources(tween.before)), tuple(sources(tween.after))
        return TweenRecord(before=before, after=after, share=tween.share)


HIGHLIGHTS_LEFT = "light stronger than 1 is painted as 1; --photo keeps it"


def keeps_highlights(job: StyledJob) -> bool:
    """Return True where pixels stay where they are, so that strong light can be put back."""
    return job.settings.mode == "photo"


LARGE_PIXELS = 1 << 24
"""Results of so many pixels are written by strips, even from memory: files shall not tell which it was."""


@dataclass(frozen=True)
class LoadedContent:
    """A picture to work on, and its path and hash for a record."""

    source: Source
    picture: images.Picture | None  # None for one that is read by strips, into scratch files
    tiles: TilePlan | None = None  # The way to work on that one


@dataclass(frozen=True)
class PreparedContent:
    """A content as the pipelines take it."""

    raster: Raster
    weight: Tensor | None  # (1, 1, H, W), its opacity in [0, 1]
    alpha: Pixels | None
    bit_depth: int
    warnings: tuple[str, ...]
    make_canvas: MakeCanvas = memory_canvas
    highlights: Pixels | None = None  # (H, W), how many times stronger than 1 the light is


def can_spill(job: StyledJob, size: tuple[int, int], run: RunSettings) -> bool:
    """Return True when the picture of `job` may be worked on in scratch files: large ones, file to file."""
    large = size[0] * size[1] >= LARGE_PIXELS
    if job.settings.finish.steps:
        return False  # Its optimizer keeps whole pictures in memory
    return large and max(size) <= (run.max_side or max(size)) and job.picture.is_file and not job.to_pipe


def prepare_content(job: Job, content: LoadedContent, run: RunSettings) -> PreparedContent:
    """Make tensors or scratch files of `content`. Raises InputError, OutputError for a full disk."""
    if content.picture is not None:
        picture = fit_within(content.picture, run.max_side)
        return PreparedContent(
            TensorRaster(to_image(picture)),
            to_weight(picture),
            picture.alpha,
            run.bit_depth or picture.bit_depth,
            picture.warnings,
            highlights=picture.highlights,
        )
    item, folder = job.picture, Path(os.environ.get("TMPDIR") or job.output.parent)
    # Without TMPDIR scratch files lie beside the output, where there is room.
    if folder == job.output.parent:
        make_folder(folder)
    reader = images.open_strips(
        item.path, name=str(item), max_pixels=run.max_pixels, frame=run.frame, lenient=run.lenient
    )
    size = reader.height, reader.width
    dtype = str(reader.kind.rgb.dtype)
    pixels = FileRaster(size, folder, dtype=dtype)
    alpha, weight, fill = None, None, None
    if reader.kind.alpha is not None:
        alpha = np.empty(size, dtype)
        # Nothing can be filled before all of it has been looked at.
        fill = fit_fill(reader.rows(strip_rows(size)), size)
    for rows, strip in zip(strips(size), reader.rows(strip_rows(size)), strict=True):
        if fill is not None:
            strip = fill.apply(strip, rows.start)
        pixels.write_raw(rows, EVERYTHING, strip.rgb.transpose(2, 0, 1))
        if alpha is not None and strip.alpha is not None:
            alpha[rows] = strip.alpha
    if alpha is not None:
        shown = images.Picture(alpha[..., None], alpha)
        refuse_transparent(item, shown)
        weight = to_weight(shown)
    depth = run.bit_depth or reader.kind.bit_depth
    return PreparedContent(
        pixels, weight, alpha, depth, reader.kind.warnings, lambda size: FileRaster(size, folder),
        highlights=reader.kind.highlights,  # Floats are never read by strips, so this is of all of it
    )  # fmt: skip


def to_output(job: StyledJob, result: Raster, prepared: PreparedContent) -> images.Picture | LargePicture:
    """Turn the result into the picture to write; that of a photograph has its highlights again."""
    kept = prepared.highlights if keeps_highlights(job) else None
    height, width = result.size
    large = partial(LargePicture, width, height, prepared.bit_depth, prepared.alpha is not None)

    def part(rows: slice) -> images.Picture:
        alpha = None if prepared.alpha is None else prepared.alpha[rows]
        picture = to_picture(result.read(rows, EVERYTHING), alpha, prepared.bit_depth)
        return picture if kept is None else replace(picture, highlights=kept[rows])

    if isinstance(result, FileRaster):
        return large(lambda: map(part, strips(result.size)))
    # Bytes wait for their turn to be written, instead of numbers four times as large.
    parts = [part(rows) for rows in strips(result.size)]
    alphas = [strip.alpha for strip in parts if strip.alpha is not None]
    whole = images.Picture(
        np.concatenate([strip.rgb for strip in parts]), np.concatenate(alphas) if alphas else None,
        is_float=prepared.bit_depth == 32, highlights=kept,
    )  # fmt: skip
    if height * width < LARGE_PIXELS or job.to_pipe:
        return whole
    return large(lambda: whole.strips(strip_rows(result.size)))
