"""One stylized file from one content file, with a style that was measured once."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

import texsynth
from texsynth import images, presets
from texsynth.batch.plan import Input, Job, file_seed
from texsynth.batch.run import Written
from texsynth.device import pick_device, pick_dtype, set_threads
from texsynth.errors import InputError, MemoryExhaustedError, OutputError
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.stylize import FittedStyle, fit_style, stylize
from texsynth.settings import Record, RunSettings, Source, StylizeSettings, Versions
from texsynth.strict_yaml import dump

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""How torch says on its various devices that memory is exhausted."""


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
    device = pick_device(run.device)
    dtype = pick_dtype(run.dtype, device)
    decided = {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": set_threads(run.threads),
    }
    run = run.model_copy(update=decided)
    model = load_model(run.model, device, dtype)
    picture, source = _read(style, run)
    with memory_guard(style):
        fitted = fit_style(to_image(picture), model, settings, weight=to_weight(picture))
    return Prepared(model, fitted, source, settings, run, tuple(f"{style}: {w}" for w in picture.warnings))


def stylize_file(
    job: Job, prepared: Prepared, *, force: bool = False, suffix: str = ".png", on_step: OnStep | None = None
) -> Written:
    """Read, stylize and write one picture. suffix: the format of an output to standard output."""
    run = prepared.run
    content, source = _read(job.content, run)
    with memory_guard(job.content):
        content = fit_within(content, run.max_side)
        result = stylize(
            to_image(content),
            prepared.style,
            prepared.model,
            prepared.settings,
            weight=to_weight(content),
            rng=torch.Generator().manual_seed(file_seed(run.seed, job.content.key)),
            on_step=on_step,
        )
        picture = to_picture(result, content.alpha, run.bit_depth or content.bit_depth)
    text = dump(presets.as_tree(_record(job, source, prepared)))
    warnings = _deliver(picture, job, text, run.quality, force=force, suffix=suffix)
    return Written(picture.width, picture.height, content.warnings + warnings)


@contextmanager
def memory_guard(what: object) -> Iterator[None]:
    """Turn every way of running out of memory into one error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        raise MemoryExhaustedError(f"{what} does not fit in memory; reduce it with --max-side") from error


def _read(item: Input, run: RunSettings) -> tuple[images.Picture, Source]:
    data = item.read()
    with memory_guard(item):
        picture = images.read(data, name=str(item), max_pixels=run.max_pixels, frame=run.frame)
    if picture.alpha is not None and not picture.alpha.any():
        raise InputError(f"{item} is fully transparent, so there is nothing to measure")
    # File names need not be text; settings must be.
    path = os.fsencode(item.path).decode(errors="replace")
    return picture, Source(path=path, sha256=hashlib.sha256(data).hexdigest())


def _record(job: Job, source: Source, prepared: Prepared) -> Record:
    return Record(
        content=source,
        style=prepared.source,
        key=os.fsencode(job.content.key).decode(errors="replace"),
        stylize=prepared.settings,
        run=prepared.run,
        model_sha256=prepared.model.sha256,
        versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
    )


def _deliver(
    picture: images.Picture, job: Job, text: str, quality: int, *, force: bool, suffix: str
) -> tuple[str, ...]:
    if not job.to_pipe:
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {job.output.parent} cannot be made: {error.strerror}") from error
        return images.write(picture, job.output, settings=text, quality=quality, force=force)
    name = images.output_format(Path(f"-{suffix}"))
    data, warnings = images.encode(picture, name, settings=text, quality=quality)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {(error.strerror or '').lower()}") from error
    return warnings
