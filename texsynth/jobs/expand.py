"""One variation of a texture from its exemplars and maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import texsynth
from texsynth.config import presets
from texsynth.config.records import ExpandRecord, Sibling, Source, Versions
from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.config.validation import dump
from texsynth.images import Picture
from texsynth.images.files import as_text
from texsynth.images.picture import Pixels
from texsynth.images.tensors import to_image, to_picture
from texsynth.jobs.expand_inputs import ExpandJob, Map, Mask, Material, Task
from texsynth.jobs.operation import Delivery, Made, decided, memory_guard
from texsynth.models.hub.cache import file_hash
from texsynth.models.hub.catalog import ASSETS
from texsynth.ops.color import luma
from texsynth.pipelines import expand as pipeline
from texsynth.pipelines.method import ExpandPlan, plan_expand
from texsynth.pipelines.progress import OnStep
from texsynth.synthesis.exemplar import Exemplar


@dataclass(frozen=True)
class Prepared:
    """The networks, and the settings with every `auto` decided that no exemplar decides."""

    networks: pipeline.Networks
    settings: ExpandSettings
    """With the method open where the exemplar decides it."""
    run: RunSettings
    transposer_sha256: str | None = None
    """Of the embedded transposer, when the method may need it."""


def prepare(settings: ExpandSettings, run: RunSettings) -> Prepared:
    """Choose the device and load what the method needs."""
    run, device, dtype = decided(run)
    networks = pipeline.load_networks(settings, run.model, device, dtype)
    digest = file_hash(ASSETS / "transposer.safetensors") if networks.transposer else None
    return Prepared(networks, settings, run, digest)


def ready_material(task: Task, material: Material, prepared: Prepared) -> ExpandPlan | None:
    """What is decided from the exemplars, for all variations; None where a part of a picture is kept."""
    if not task.resizes:
        return None
    with memory_guard(task.exemplars[0], task.cure):
        return plan_expand(_exemplars(task, material), prepared.settings, guided=material.guide is not None)


def expand_material(
    job: ExpandJob,
    material: Material,
    found: ExpandPlan | None,
    prepared: Prepared,
    on_step: OnStep | None = None,
) -> Made:
    """Make one variation and its siblings; the first file is the first part of the job.

    found: from `ready_material`.
    """
    run = prepared.run
    settings = found.settings if found else prepared.settings
    with memory_guard(job.picture, job.task.cure):
        result = _computed(job, material, found, prepared, on_step)
        pictures = [_texture(result.image, material, run)]
        for values, like in zip(result.siblings, material.siblings, strict=True):
            pictures.append(_as_map(values, like.picture))
    records = records_of(job, material, settings, prepared)
    deliveries = tuple(
        Delivery(pictures[part], path, dump(presets.as_tree(record)))
        for (part, path), (_, record) in zip(job.parts, records, strict=True)
    )
    return Made(deliveries, material.warnings + result.notes, {"method": settings.method})


def _computed(
    job: ExpandJob, material: Material, found: ExpandPlan | None, prepared: Prepared, on_step: OnStep | None
) -> pipeline.Expanded:
    settings, networks = prepared.settings, prepared.networks
    rng = torch.Generator().manual_seed(job.seed(prepared.run.seed))
    if found is not None:
        guide = None
        if material.guide:
            guide = _guide(material.guide, alone=material.guide_of is None)
        return pipeline.expand_planned(found, networks, guide=guide, rng=rng, on_step=on_step)
    picture, hole = _exemplars(job.task, material)[0], material.hole_mask
    if hole is None:
        return pipeline.tile(picture, settings, networks, rng=rng, on_step=on_step)
    return pipeline.fill(picture, _from_mask(hole), settings, networks, rng=rng, on_step=on_step)


def _exemplars(task: Task, material: Material) -> list[Exemplar]:
    weights = task.weights or (1.0,) * len(material.exemplars)
    siblings = tuple(_values(found.picture) for found in material.siblings)
    return [
        Exemplar(
            image=to_image(found.picture),
            siblings=siblings,
            mask=None if allowed is None else _from_mask(allowed),
            guide=_guide(material.guide_of, alone=False) if material.guide_of else None,
            weight=weight,
        )
        for found, allowed, weight in zip(material.exemplars, material.allowed, weights, strict=True)
    ]


def _from_mask(mask: Mask) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def _guide(guide: Map, *, alone: bool) -> Tensor:
    """(1, 3, H, W); (1, 1, H, W), its lightness, when it is `alone` and meets the exemplar's lightness."""
    image = to_image(guide.picture)
    return luma(image) if alone else image


def _values(picture: Picture) -> Tensor:
    """All channels of a map as they are, alpha among them. Returns (1, c, H, W) in [0, 1], c from 1 to 4."""
    image = to_image(picture)[:, : 1 if picture.grey else 3]
    if picture.alpha is None:
        return image
    alpha = picture.alpha.astype(np.float32) / np.iinfo(picture.alpha.dtype).max
    return torch.cat([image, torch.from_numpy(alpha)[None, None]], 1)


def _as_map(values: Tensor, like: Picture) -> Picture:
    """The inverse of `_values`: a picture of the kind of `like`."""
    colours = 1 if like.grey else 3
    picture = to_picture(values[:, :colours].expand(-1, 3, -1, -1), None, like.bit_depth)
    alpha = None
    if like.alpha is not None:
        alpha = to_picture(values[:, colours:].expand(-1, 3, -1, -1), None, like.bit_depth).rgb[..., 0]
    return replace(picture, alpha=alpha, grey=like.grey, is_data=True)


def _texture(image: Tensor, material: Material, run: RunSettings) -> Picture:
    """The opaque result at the exemplar's depth, grey when all exemplars are."""
    pictures = [found.picture for found in material.exemplars]
    grey = all(picture.grey for picture in pictures)
    if grey:
        image = image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    depth = run.bit_depth or max(picture.bit_depth for picture in pictures)
    return replace(to_picture(image, _kept_alpha(material), depth), grey=grey)


def _kept_alpha(material: Material) -> Pixels | None:
    """A filled picture stays transparent where it was, except in the hole."""
    hole, alpha = material.hole_mask, material.exemplars[0].picture.alpha
    if hole is None or alpha is None or alpha.min() == np.iinfo(alpha.dtype).max:
        return None
    return np.where(hole, np.iinfo(alpha.dtype).max, alpha).astype(alpha.dtype)


def records_of(
    job: ExpandJob, material: Material, settings: ExpandSettings, prepared: Prepared
) -> list[tuple[Path, ExpandRecord]]:
    """What each of the files of `job` carries, in the order of its parts, known before the work.

    settings: with the method decided.
    """
    record = _record(job, material, settings, prepared)
    return [(path, record.model_copy(update={"part": part})) for part, path in job.parts]


def _record(job: ExpandJob, material: Material, settings: ExpandSettings, prepared: Prepared) -> ExpandRecord:
    return ExpandRecord(
        command=job.task.command,
        exemplars=tuple(found.source for found in material.exemplars),
        weights=job.task.weights,
        siblings=tuple(
            Sibling(path=found.source.path, sha256=found.source.sha256, output=as_text(name))
            for found, name in zip(material.siblings, job.names, strict=True)
        ),
        mask=_source(material.mask),
        guide=_source(material.guide),
        guide_of=_source(material.guide_of),
        hole=_source(material.hole),
        key=as_text(job.task.key),
        index=job.index,
        expand=settings,
        run=prepared.run,
        model_sha256=prepared.networks.model.sha256,
        transposer_sha256=prepared.transposer_sha256 if "transposer" in settings.method else None,
        versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
    )


def _source(found: Map | None) -> Source | None:
    return found.source if found else None
