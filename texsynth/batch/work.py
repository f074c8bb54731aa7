"""One stylized file from one content file, with a style that was measured once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import texsynth
from texsynth import presets
from texsynth.batch.files import Delivery, as_text, deliver, memory_guard, read_input, refuse_transparent
from texsynth.batch.machine import decided
from texsynth.batch.plan import Input, Job, file_seed
from texsynth.batch.run import Written
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


def prepare(style: Input, settings: StylizeSettings, run: RunSettings) -> Prepared:
    """Choose the device, load the model and measure the style."""
    run, device, dtype = decided(run)
    model = load_model(run.model, device, dtype)
    found = measured(style, model, settings, run)
    return Prepared(model, found.style, found.source, settings, run, found.warnings)


def stylize_file(
    job: Job, prepared: Prepared, *, force: bool = False, suffix: str = ".png", on_step: OnStep | None = None
) -> Written:
    """Read, stylize and write one picture. suffix: the format of an output to standard output."""
    run = prepared.run
    content, source = read_input(job.picture, run)
    refuse_transparent(job.picture, content)
    with memory_guard(job.picture):
        content = fit_within(content, run.max_side)
        size = content.height, content.width
        tile = chosen_tile(job.picture, size, prepared.model, prepared.settings, run)
        result = stylize(
            to_image(content),
            prepared.style,
            prepared.model,
            prepared.settings,
            weight=to_weight(content),
            rng=torch.Generator().manual_seed(file_seed(run.seed, job.picture.key)),
            tile=tile,
            on_step=on_step,
        )
        picture = to_picture(result, content.alpha, run.bit_depth or content.bit_depth)
    run = run.model_copy(update={"tile": tile})
    record = record_of(job, source, prepared.source, prepared.settings, run, prepared.model)
    text = dump(presets.as_tree(record))
    delivery = Delivery(picture, job.output, text)
    warnings = deliver([delivery], quality=run.quality, force=force, suffix=suffix)
    return Written(picture.width, picture.height, content.warnings + warnings)


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
