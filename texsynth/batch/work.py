"""One stylized file from one content file, with a style that was measured once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import texsynth
from texsynth import presets
from texsynth.batch.files import Delivery, Made, as_text
from texsynth.batch.machine import equipped
from texsynth.batch.originals import Content
from texsynth.batch.plan import Input, Job
from texsynth.batch.styles import measured
from texsynth.batch.transfer import transferred
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.stylize import FittedStyle
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
    run, model = equipped(run)
    found = measured(style, model, settings, run)
    return Prepared(model, found.style, found.source, settings, run, found.warnings)


def stylize_content(job: Job, content: Content, prepared: Prepared, on_step: OnStep | None = None) -> Made:
    """Stylize one picture."""
    model, settings, run = prepared.model, prepared.settings, prepared.run
    made = transferred(job, content, lambda _: [prepared.style], model, settings, run, on_step=on_step)
    run = run.model_copy(update={"tile": made.tile})
    record = record_of(job, content.source, prepared.source, settings, run, model)
    return Made((Delivery(made.picture, job.output, dump(presets.as_tree(record))),), made.warnings)


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
