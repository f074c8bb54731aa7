"""One blended picture from one content, with styles that were measured once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

import texsynth
from texsynth.config import presets
from texsynth.config.records import BlendRecord, BlendStyle, Source, Versions
from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.config.validation import dump
from texsynth.errors import InputError
from texsynth.images.files import as_text
from texsynth.images.picture import as_depth
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs.blend_recipe import BlendJob, Ingredient, Recipe
from texsynth.jobs.inputs import Input
from texsynth.jobs.operation import Delivery, Made, equipped, read_input
from texsynth.jobs.stylize import Content, measured, transferred
from texsynth.models.registry import Model
from texsynth.ops.color import luma
from texsynth.pipelines.masks import MIN_SHARE, label_masks, resize_mask, share_masks
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.stylize import FittedStyle, StyledRegion

MAX_LABELS = 64

ASPECT = 0.02
"""How much the proportions of a mask may differ from those of its content."""


@dataclass(frozen=True)
class FittedIngredient:
    """A style of a blend with its moments."""

    style: FittedStyle
    by_label: dict[int, FittedStyle]
    """The same of each of its labels."""
    mask: Tensor | None
    record: BlendStyle


@dataclass(frozen=True)
class PreparedBlend:
    """A model, the styles measured with it, and the settings with every `auto` decided."""

    model: Model
    parts: tuple[FittedIngredient, ...]
    content_labels: tuple[Tensor, Source] | None
    recipe: Recipe
    settings: StylizeSettings
    run: RunSettings
    warnings: tuple[str, ...] = ()


def prepare_blend(recipe: Recipe, settings: StylizeSettings, run: RunSettings) -> PreparedBlend:
    """Choose the device, load the model, measure the styles, read masks and labels."""
    run, model = equipped(run)
    labels = read_labels(recipe.content_labels, run) if recipe.content_labels else None
    warnings: list[str] = []
    parts = tuple(_fit(item, model, settings, run, labels, warnings) for item in recipe.ingredients)
    return PreparedBlend(model, parts, labels, recipe, settings, run, tuple(warnings))


def _fit(
    item: Ingredient,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    content_labels: tuple[Tensor, Source] | None,
    warnings: list[str],
) -> FittedIngredient:
    own = settings.model_copy(update={"levels": item.levels or settings.levels})
    found = [measured(source, model, own, run) for source in item.sources]
    style = reduce(FittedStyle.plus, (f.style for f in found))
    warnings += [w for f in found for w in f.warnings]
    by_label, labels = {}, None
    if item.labels and content_labels:
        where, labels = read_labels(item.labels, run)
        for value in content_labels[0].unique().tolist():
            mask = (where == value).float()
            if float(mask.mean()) < MIN_SHARE:
                warnings.append(
                    f"{item.labels} has next to nothing of label #{int(value):06x}; "
                    f"the whole of {item.sources[0]} stands in for it"
                )
            else:
                by_label[int(value)] = measured(item.sources[0], model, own, run, mask).style
    mask = read_mask(item.mask, run) if item.mask else None
    record = BlendStyle(
        sources=tuple(f.source for f in found),
        weight=item.weight,
        levels=item.levels,
        mask=mask[1] if mask else None,
        labels=labels,
    )
    return FittedIngredient(style, by_label, mask[0] if mask else None, record)


def read_mask(item: Input, run: RunSettings) -> tuple[Tensor, Source]:
    """Lightness times opacity of a picture, (1, 1, H, W) in [0, 1]."""
    picture, source = read_input(item, run, as_data=True)
    mask, opaque = luma(to_image(picture)), to_weight(picture)
    return (mask if opaque is None else mask * opaque), source


def read_labels(item: Input, run: RunSettings) -> tuple[Tensor, Source]:
    """The colours of a picture as whole numbers, (1, 1, H, W); InputError for more than MAX_LABELS."""
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


def blend_content(
    job: BlendJob, content: Content, prepared: PreparedBlend, on_step: OnStep | None = None
) -> Made:
    """Blend one picture."""
    made = transferred(
        job,
        content,
        lambda size: _rounds(job, prepared, size),
        prepared.model,
        prepared.settings,
        prepared.run,
        masks=masks_of(prepared),
        on_step=on_step,
    )
    text = dump(presets.as_tree(record_of(job, content.source, prepared, made.tile)))
    return Made((Delivery(made.picture, job.output, text),), made.warnings)


def masks_of(prepared: PreparedBlend) -> int:
    """How many parts with a mask a picture has at most."""
    if prepared.content_labels:
        return len(prepared.content_labels[0].unique())
    return prepared.recipe.masks


def _rounds(job: BlendJob, prepared: PreparedBlend, size: tuple[int, int]) -> list[Sequence[StyledRegion]]:
    """What is laid over the content, one after the other."""
    pairs = [(part, weight) for part, weight in zip(prepared.parts, job.weights, strict=True) if weight > 0]
    styles = tuple(part.style for part, _ in pairs)
    weights = tuple(weight for _, weight in pairs)
    if prepared.recipe.sequential:
        return [[StyledRegion((style,), (1.0,))] for style in styles]
    if prepared.content_labels:
        labels = prepared.content_labels[0]
        _check_proportions(prepared.recipe.content_labels, labels, job, size)
        values = [int(value) for value in labels.unique().tolist()]
        masks = label_masks(resize_mask(labels, *size, smooth=False), values, prepared.recipe.feather)
        return [[
            StyledRegion(tuple(part.by_label.get(value, part.style) for part, _ in pairs), weights, mask)
            for value, mask in zip(values, masks, strict=True)
        ]]  # fmt: skip
    masked = [(part, weight) for part, weight in pairs if part.mask is not None]
    if not masked:
        return [[StyledRegion(styles, weights)]]
    for item, part in zip(prepared.recipe.ingredients, prepared.parts, strict=True):
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


def record_of(job: BlendJob, source: Source, prepared: PreparedBlend, tile: int | None = None) -> BlendRecord:
    """What the output of `job` carries, known before the work but for the tile."""
    recipe = prepared.recipe
    return BlendRecord(
        content=source,
        styles=tuple(
            part.record.model_copy(update={"weight": weight})
            for part, weight in zip(prepared.parts, job.weights, strict=True)
        ),
        content_labels=prepared.content_labels[1] if prepared.content_labels else None,
        sequential=recipe.sequential,
        feather=recipe.feather,
        key=as_text(job.picture.key),
        stylize=prepared.settings,
        run=prepared.run.model_copy(update={"memory_limit": None, "tile": tile}),
        model_sha256=prepared.model.sha256,
        versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
    )
