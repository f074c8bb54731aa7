"""One stylized file from one content file, with a style that was measured once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import texsynth
from texsynth import presets
from texsynth.batch.files import Delivery, Made, as_text, memory_guard
from texsynth.batch.machine import decided
from texsynth.batch.originals import Content, finished, opened
from texsynth.batch.plan import Input, Job, file_seed
from texsynth.batch.styles import measured
from texsynth.batch.tiles import Room, chosen_room, halving
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.rasters import Raster
from texsynth.pipelines.stylize import FittedStyle, stylize_raster
from texsynth.records import Source, StylizeRecord, Versions
from texsynth.settings import RunSettings, StylizeSettings
from texsynth.strict_yaml import dump


@dataclass(frozen=True)
class Prepared:
    """A model, a style fitted with it, and the settings with every `auto` decided."""

    model: Model
    style: FittedStyle
    source: Source
    settings: StylizeSettings
    run: RunSettings
    warnings: tuple[str, ...] = ()


def prepare(style: Input, settings: StylizeSettings, run: RunSettings) -> Prepared:
    """Choose the device, load the model and measure the style."""
    run, device, dtype = decided(run)
    model = load_model(run.model, device, dtype)
    found = measured(style, model, settings, run)
    return Prepared(model, found.style, found.source, settings, run, found.warnings)


def stylize_content(job: Job, content: Content, prepared: Prepared, on_step: OnStep | None = None) -> Made:
    """Stylize one picture."""
    run, settings = prepared.run, prepared.settings
    with memory_guard(job.picture):
        original = opened(job, content, run)
        room = content.room or chosen_room(job.picture, original.raster.size, prepared.model, settings, run)

        def attempt(room: Room) -> Raster:
            return stylize_raster(
                original.raster,
                prepared.style,
                prepared.model,
                settings,
                weight=original.weight,
                seed=file_seed(run.seed, job.picture.key),
                tile=room.tile,
                blank=original.blank,
                on_step=on_step,
            )

        result, room = halving(attempt, room, original.raster.size, automatic=run.tile is None)
        picture = finished(job, result, original)
    run = run.model_copy(update={"tile": room.tile})
    record = record_of(job, content.source, prepared.source, settings, run, prepared.model)
    return Made((Delivery(picture, job.output, dump(presets.as_tree(record))),), original.warnings)


def record_of(
    job: Job, content: Source, style: Source, settings: StylizeSettings, run: RunSettings, model: Model
) -> StylizeRecord:
    """What the output of `job` carries, known before the work. run: with every `auto` decided."""
    return StylizeRecord(
        content=content,
        style=style,
        key=as_text(job.picture.key),
        stylize=settings,
        run=run.model_copy(update={"memory_limit": None}),
        model_sha256=model.sha256,
        versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
    )
