"""Blends of several styles in files, as an operation; styles are measured once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

import texsynth
from texsynth.config import presets
from texsynth.config.records import BlendRecord, BlendStyle, Record, Source, Versions
from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.config.validation import dump
from texsynth.errors import InputError
from texsynth.images import Picture, contact_sheet, read, thumbnails
from texsynth.images.files import as_text
from texsynth.images.picture import as_depth
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs.blend_inputs import BlendJob, BlendSpec, StyleSource, sweep_rows
from texsynth.jobs.files import JobResult, OutputFile, read_input, source_of
from texsynth.jobs.inputs import Input
from texsynth.jobs.memory import MemoryEstimate
from texsynth.jobs.operation import Operation, other_weights, resolve_run_and_model
from texsynth.jobs.outcomes import Report
from texsynth.jobs.stylize import LoadedContent, estimate_memory, load_content, load_style, transfer
from texsynth.models.registry import Model
from texsynth.ops.color import luma
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.stylize import (
    MIN_SHARE,
    FittedStyle,
    StyledRegion,
    label_masks,
    resize_mask,
    share_masks,
)

MAX_LABELS = 64

ASPECT = 0.02
"""Largest relative difference between the proportions of a mask and those of its content."""


class Blend(Operation[BlendJob]):
    """Mixes several styles, by weight, level or region."""

    def __init__(
        self,
        run: RunSettings,
        shared: BlendJob | None = None,
        recorded_sha256: str | None = None,
        model: Model | None = None,
    ) -> None:
        """Take the same as `Stylize`."""
        self.run, self._shared, self._recorded_sha256, self._given = run, shared, recorded_sha256, model
        self._prepared: dict[tuple[BlendSpec, str], PreparedBlend] = {}

    def prepare(self, note: Callable[[str], None]) -> None:
        """Load the model, and measure the styles that all jobs share."""
        self.run, self.model = resolve_run_and_model(self.run, self._given)
        self._note, self._lock = note, Lock()
        if self._shared:
            self._styles(self._shared)
        for remark in other_weights(self._recorded_sha256, self.model.sha256, self.run.model):
            note(remark)

    def records(self, job: BlendJob) -> list[tuple[Path, Record]]:
        """Say what the output of `job` will carry."""
        return [(job.output, self._record(job, source_of(job.picture), self._styles(job)))]

    def load(self, job: BlendJob) -> LoadedContent:
        """Read the content."""
        return load_content(job, self.model, job.settings, self.run, self._styles(job).masks)

    def compute(self, job: BlendJob, loaded: LoadedContent, on_step: OnStep) -> JobResult:
        """Blend one picture."""
        styles = self._styles(job)
        blended = transfer(
            job,
            loaded,
            lambda size: _layers(job, styles, size),
            self.model,
            job.settings,
            self.run,
            masks=styles.masks,
            on_step=on_step,
        )
        text = dump(presets.as_tree(self._record(job, loaded.source, styles, blended.tile)))
        return JobResult((OutputFile(blended.picture, job.output, text),), blended.warnings)

    def forecaster(self) -> Callable[[BlendJob], MemoryEstimate]:
        """Load the model, which decides on the memory."""
        run, model = resolve_run_and_model(self.run)
        return lambda job: estimate_memory(job, model, job.settings, run, job.spec.masks)

    def _styles(self, job: BlendJob) -> PreparedBlend:
        """Return the measured styles of `job`; those of two blends are kept, for one is read ahead."""
        key = job.spec, job.settings.model_dump_json()
        with self._lock:
            if key not in self._prepared:
                prepared = _prepare(job.spec, self.model, job.settings, self.run)
                for warning in prepared.warnings:
                    self._note(warning)
                self._prepared = dict([*self._prepared.items()][-1:]) | {key: prepared}
            return self._prepared[key]

    def _record(
        self, job: BlendJob, source: Source, styles: PreparedBlend, tile: int | None = None
    ) -> BlendRecord:
        return BlendRecord(
            content=source,
            styles=tuple(
                style.record.model_copy(update={"weight": weight})
                for style, weight in zip(styles.styles, job.weights, strict=True)
            ),
            content_labels=styles.content_labels[1] if styles.content_labels else None,
            sequential=job.spec.sequential,
            feather=job.spec.feather,
            key=as_text(job.picture.key),
            stylize=job.settings,
            run=self.run.model_copy(update={"memory_limit": None, "tile": tile}),
            model_sha256=self.model.sha256,
            versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
        )


def sweep_sheet(report: Report, steps: int) -> Picture:
    """Lay the results of a sweep side by side. steps: along every side."""
    done = {outcome.job.output: outcome.job for outcome in report.done}
    jobs = [job for job in sorted(done.values(), key=lambda job: job.output) if isinstance(job, BlendJob)]
    small, rows = iter(thumbnails([read(job.output) for job in jobs])), []
    for length in sweep_rows(len(jobs[0].spec.styles), steps):
        row = [cell for cell, _ in zip(small, range(length), strict=False)]
        rows += [row] if row else []
    return contact_sheet(rows)


@dataclass(frozen=True)
class MeasuredStyle:
    """A style of a blend with its moments."""

    style: FittedStyle
    by_label: dict[int, FittedStyle]
    """The same of each of its labels."""
    mask: Tensor | None
    record: BlendStyle


@dataclass(frozen=True)
class PreparedBlend:
    """The measured styles of a blend, and the label map of the content."""

    spec: BlendSpec
    styles: tuple[MeasuredStyle, ...]
    content_labels: tuple[Tensor, Source] | None
    warnings: tuple[str, ...] = ()

    @property
    def masks(self) -> int:
        """The number of parts with a mask that a picture has at most."""
        return len(self.content_labels[0].unique()) if self.content_labels else self.spec.masks


def _prepare(spec: BlendSpec, model: Model, settings: StylizeSettings, run: RunSettings) -> PreparedBlend:
    labels = read_labels(spec.content_labels, run) if spec.content_labels else None
    warnings: list[str] = []
    styles = tuple(_measure(item, model, settings, run, labels, warnings) for item in spec.styles)
    return PreparedBlend(spec, styles, labels, tuple(warnings))


def _measure(
    item: StyleSource,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    content_labels: tuple[Tensor, Source] | None,
    warnings: list[str],
) -> MeasuredStyle:
    own = settings.model_copy(update={"levels": item.levels or settings.levels})
    loaded = [load_style(source, model, own, run) for source in item.sources]
    style = reduce(FittedStyle.plus, (one.fitted for one in loaded))
    warnings += [warning for one in loaded for warning in one.warnings]
    by_label, labels = {}, None
    if item.labels and content_labels:
        label_map, labels = read_labels(item.labels, run)
        for value in content_labels[0].unique().tolist():
            mask = (label_map == value).float()
            if float(mask.mean()) < MIN_SHARE:
                warnings.append(
                    f"{item.labels} has next to nothing of label #{int(value):06x}; "
                    f"the whole of {item.sources[0]} stands in for it"
                )
            else:
                by_label[int(value)] = load_style(item.sources[0], model, own, run, mask).fitted
    mask = read_mask(item.mask, run) if item.mask else None
    record = BlendStyle(
        sources=tuple(one.source for one in loaded),
        weight=item.weight,
        levels=item.levels,
        mask=mask[1] if mask else None,
        labels=labels,
    )
    return MeasuredStyle(style, by_label, mask[0] if mask else None, record)


def read_mask(item: Input, run: RunSettings) -> tuple[Tensor, Source]:
    """Return lightness times opacity of a picture, (1, 1, H, W) in [0, 1], and its record."""
    picture, source = read_input(item, run, as_data=True)
    mask, opaque = luma(to_image(picture)), to_weight(picture)
    return (mask if opaque is None else mask * opaque), source


def read_labels(item: Input, run: RunSettings) -> tuple[Tensor, Source]:
    """Return the colours of a picture as whole numbers, (1, 1, H, W). InputError for more than MAX_LABELS."""
    picture, source = read_input(item, run, as_data=True)
    rgb = as_depth(picture.rgb, 8).astype(np.int64)
    codes = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    count = len(np.unique(codes))
    if count > MAX_LABELS:
        raise InputError(
            f"{item} has {count} colours, so it is no label map; give one flat colour for each of at most "
            f"{MAX_LABELS} labels, in a lossless format"
        )
    return torch.from_numpy(codes)[None, None].float(), source


def _layers(job: BlendJob, prepared: PreparedBlend, size: tuple[int, int]) -> list[Sequence[StyledRegion]]:
    """Return the styles that are laid over the content, one after the other."""
    pairs = [(part, weight) for part, weight in zip(prepared.styles, job.weights, strict=True) if weight > 0]
    styles = tuple(part.style for part, _ in pairs)
    weights = tuple(weight for _, weight in pairs)
    if prepared.spec.sequential:
        return [[StyledRegion((style,), (1.0,))] for style in styles]
    if prepared.content_labels:
        labels = prepared.content_labels[0]
        _check_proportions(prepared.spec.content_labels, labels, job, size)
        values = [int(value) for value in labels.unique().tolist()]
        masks = label_masks(resize_mask(labels, *size, smooth=False), values, prepared.spec.feather)
        return [[
            StyledRegion(tuple(part.by_label.get(value, part.style) for part, _ in pairs), weights, mask)
            for value, mask in zip(values, masks, strict=True)
        ]]  # fmt: skip
    masked = [(part, weight) for part, weight in pairs if part.mask is not None]
    if not masked:
        return [[StyledRegion(styles, weights)]]
    for item, part in zip(prepared.spec.styles, prepared.styles, strict=True):
        if part.mask is not None:
            _check_proportions(item.mask, part.mask, job, size)
    masks = share_masks([resize_mask(p.mask, *size, smooth=True) for p, _ in masked if p.mask is not None],
                   [w for _, w in masked])  # fmt: skip
    parts = [StyledRegion((p.style,), (1.0,), m) for (p, _), m in zip(masked, masks, strict=True)]
    rest = [(part.style, weight) for part, weight in pairs if part.mask is None]
    if rest:
        parts.append(StyledRegion(tuple(s for s, _ in rest), tuple(w for _, w in rest)))
    return [parts]


def _check_proportions(item: Input | None, mask: Tensor, job: BlendJob, size: tuple[int, int]) -> None:
    height, width = int(mask.shape[2]), int(mask.shape[3])
    if abs(height * size[1] / (width * size[0]) - 1) > ASPECT:
        raise InputError(
            f"{item} has {width} x {height} pixels, which does not fit the {size[1]} x {size[0]} of "
            f"{job.picture}; give it the same proportions"
        )
