"""One stylized file from one content file, with a style that was measured once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import texsynth
from texsynth import images, presets
from texsynth.batch.files import Delivery, Made, as_text, memory_guard, read_input, refuse_transparent
from texsynth.batch.machine import decided
from texsynth.batch.plan import Input, Job, file_seed
from texsynth.batch.styles import measured
from texsynth.batch.tiles import chosen_tile
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.stylize import FittedStyle, stylize
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


@dataclass(frozen=True)
class Content:
    """A picture to work on, and what a record says about it."""

    picture: images.Picture
    source: Source


def prepare(style: Input, settings: StylizeSettings, run: RunSettings) -> Prepared:
    """Choose the device, load the model and measure the style."""
    run, device, dtype = decided(run)
    model = load_model(run.model, device, dtype)
    found = measured(style, model, settings, run)
    return Prepared(model, found.style, found.source, settings, run, found.warnings)


def load_content(job: Job, run: RunSettings) -> Content:
    """Read the picture of `job`. Raises InputError."""
    picture, source = read_input(job.picture, run)
    refuse_transparent(job.picture, picture)
    return Content(picture, source)


def stylize_content(job: Job, content: Content, prepared: Prepared, on_step: OnStep | None = None) -> Made:
    """Stylize one picture."""
    run = prepared.run
    with memory_guard(job.picture):
        picture = fit_within(content.picture, run.max_side)
        size = picture.height, picture.width
        tile = chosen_tile(job.picture, size, prepared.model, prepared.settings, run)
        result = stylize(
            to_image(picture),
            prepared.style,
            prepared.model,
            prepared.settings,
            weight=to_weight(picture),
            seed=file_seed(run.seed, job.picture.key),
            tile=tile,
            on_step=on_step,
        )
        finished = to_picture(result, picture.alpha, run.bit_depth or picture.bit_depth)
    run = run.model_copy(update={"tile": tile})
    record = record_of(job, content.source, prepared.source, prepared.settings, run, prepared.model)
    delivery = Delivery(finished, job.output, dump(presets.as_tree(record)))
    return Made((delivery,), content.picture.warnings)


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
