"""Stylization of files, as an operation: contents of any size, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import texsynth
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
from texsynth.jobs.blend import FitStyle, MeasuredStyles
from texsynth.jobs.blend_inputs import BlendSpec, StyledJob, StylizeJob
from texsynth.jobs.checks import check_sides
from texsynth.jobs.color_tables import table_file
from texsynth.jobs.contents import (
    HIGHLIGHTS_LEFT,
    LoadedContent,
    can_spill,
    keeps_highlights,
    prepare_content,
    to_output,
)
from texsynth.jobs.files import (
    JobResult,
    OutputFile,
    memory_guard,
    probe_input,
    read_visible,
    source_of,
)
from texsynth.jobs.inputs import Input
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
from texsynth.jobs.take import LayerStatistics, TakeMeasurer
from texsynth.models.openvino import left_to_torch
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, parts, sub_progress
from texsynth.pipelines.rasters import (
    MakeCanvas,
    Raster,
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
        picture, source = read_visible(item, run, own_space=True)
        return LoadedContent(source, picture)

    def compute(self, job: StyledJob, loaded: LoadedContent, on_step: OnStep) -> JobResult:
        """Stylize one picture."""
        styles, settings, run = self._styles(job), job.settings, self.run
        # Of several regions, layers and attempts the first is told of at each level.
        notes: dict[int, str] = {}
        with memory_guard(job.picture):
            prepared = prepare_content(job, loaded, run, keep=keeps_highlights(job))
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
