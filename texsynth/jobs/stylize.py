"""One content through the pipelines, in as much room as there is."""

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
from texsynth.config.records import Source, StylizeRecord, Versions
from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.config.validation import dump
from texsynth.errors import InputError
from texsynth.images.files import as_text
from texsynth.images.picture import Pixels
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight
from texsynth.jobs import cards
from texsynth.jobs.inputs import Input, Job, StyledJob, file_seed
from texsynth.jobs.memory import Forecast, Prospect, Room, chosen_room, halving, style_tile
from texsynth.jobs.operation import (
    Delivery,
    LargePicture,
    Made,
    equipped,
    make_folder,
    memory_guard,
    read_input,
    recorded_path,
    refuse_transparent,
    source_of,
    unfinished,
    written_once,
)
from texsynth.jobs.outcomes import Stages, Written
from texsynth.jobs.scratch import FileRaster
from texsynth.models.registry import Model
from texsynth.pipelines.masks import resize_mask
from texsynth.pipelines.progress import OnStep, sub_progress
from texsynth.pipelines.rasters import (
    EVERYTHING,
    MakeCanvas,
    Raster,
    TensorRaster,
    memory_canvas,
    strip_rows,
    strips,
)
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style, stylize_raster

Style = FittedStyle | Sequence[StyledRegion]

Styles = Callable[[tuple[int, int]], Sequence[Style]]
"""What is laid over a content of a size (height, width), one after the other. Raises InputError."""


@dataclass(frozen=True)
class Transferred:
    """A finished picture, the tiles it was made in, and what to say about its content."""

    picture: images.Picture | LargePicture
    tile: int | None
    warnings: tuple[str, ...]


def transferred(
    job: Job,
    content: Content,
    styles: Styles,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    *,
    masks: int = 0,
    on_step: OnStep | None = None,
) -> Transferred:
    """Give `content` its styles. run: with every `auto` decided. masks: number of parts that have one."""
    with memory_guard(job.picture):
        original = opened(job, content, run)
        size = original.raster.size
        room = content.room or chosen_room(job.picture, size, model, settings, run, masks=masks)
        rounds = styles(size)

        def attempt(room: Room) -> Raster:
            result = original.raster
            for number, style in enumerate(rounds):
                result = stylize_raster(
                    result,
                    style,
                    model,
                    settings,
                    weight=original.weight,
                    seed=file_seed(run.seed, job.picture.key),
                    tile=room.tile,
                    make_canvas=original.make_canvas,
                    on_step=sub_progress(on_step, number, len(rounds)),
                )
            return result

        result, room = halving(attempt, room, size, automatic=run.tile is None)
        return Transferred(finished(job, result, original), room.tile, original.warnings)


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


class Styler:
    """A model, and the style of the last job fitted with it."""

    def __init__(self, run: RunSettings, note: Callable[[str], None]) -> None:
        """note: told about every style that something is odd about. Raises ModelError, UsageError."""
        self.run, self.model = equipped(run)
        self._note = note
        self._key: tuple[Input, str] | None = None
        self._prepared: Prepared | None = None
        self._sources: dict[Input, Source] = {}
        """Of styles; contents come and go, a style serves many jobs in turn."""

    def stages(self, *, force: bool, resume: bool, suffix: str = ".png") -> Stages[StyledJob]:
        """How jobs are done.

        resume: leave outputs that are made. force: replace what is not. suffix: format of standard output.
        """

        def load(job: StyledJob) -> Content | None:
            if resume and not unfinished([(job.output, self._record(job))], force=force):
                return None
            return load_content(job, self.model, job.settings, self.run)

        def make(job: StyledJob, content: Content, on_step: OnStep) -> Made:
            return stylize_content(job, content, self._fitted(job), on_step)

        def write(_: StyledJob, made: Made) -> Written | None:
            return written_once(made, quality=self.run.quality, force=force, resume=resume, suffix=suffix)

        return Stages(load, make, write)

    def _record(self, job: StyledJob) -> StylizeRecord:
        if job.style not in self._sources:
            self._sources[job.style] = source_of(job.style)
        style = self._sources[job.style]
        return record_of(job, source_of(job.picture), style, job.settings, self.run, self.model)

    def _fitted(self, job: StyledJob) -> Prepared:
        key = job.style, job.settings.model_dump_json()
        if self._key != key:
            found = measured(job.style, self.model, job.settings, self.run)
            for warning in found.warnings:
                self._note(warning)
            self._prepared = Prepared(self.model, found.style, found.source, job.settings, self.run)
            self._key = key
        assert self._prepared is not None
        return self._prepared


@dataclass(frozen=True)
class Measured:
    """The moments of a style and where they are from."""

    style: FittedStyle
    source: Source
    warnings: tuple[str, ...] = ()


def measured(
    item: Input,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    mask: Tensor | None = None,
) -> Measured:
    """The style in a picture or a card, at the levels of `settings`.

    mask: (1, 1, h, w), which part of a picture counts. Raises InputError, also for a card of other weights
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
    return Measured(style, source, tuple(f"{item}: {warning}" for warning in picture.warnings))


def _from_card(item: Input, model: Model, settings: StylizeSettings, mask: Tensor | None) -> Measured:
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
    return Measured(FittedStyle(card.moments).only(settings.levels), source, note)


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
    make_canvas: MakeCanvas = memory_canvas


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
