"""The pictures of an expansion: read, and refused for whatever is wrong with them, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from texsynth import images
from texsynth.batch.expand_plan import ExpandJob, Task
from texsynth.batch.files import read_input, refuse_transparent
from texsynth.batch.memory import check_memory
from texsynth.batch.plan import Input
from texsynth.batch.run import Failed
from texsynth.errors import InputError, TexsynthError, UsageError
from texsynth.records import Source
from texsynth.settings import ExpandSettings, RunSettings

MIN_SIDE = 16
"""Smallest exemplar and smallest region to sample, in pixels."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Map:
    """A picture that belongs to a task, and what a record says about it."""

    picture: images.Picture
    source: Source


@dataclass(frozen=True)
class Material:
    """All pictures of a task."""

    exemplars: tuple[Map, ...]
    allowed: tuple[Mask | None, ...]
    """For every exemplar, (h, w) where it may be sampled; None for everywhere."""
    siblings: tuple[Map, ...] = ()
    mask: Map | None = None
    guide: Map | None = None
    guide_of: Map | None = None
    hole: Map | None = None

    @property
    def hole_mask(self) -> Mask | None:
        """(h, w), what to fill."""
        return None if self.hole is None else as_mask(self.hole.picture)

    @property
    def warnings(self) -> tuple[str, ...]:
        """About the files."""
        maps = (*self.exemplars, *self.siblings, self.mask, self.guide, self.guide_of, self.hole)
        return tuple(warning for found in maps if found for warning in found.picture.warnings)


def read_material(task: Task, settings: ExpandSettings, run: RunSettings) -> Material:
    """Read and check all pictures of `task`.

    Raises InputError for a damaged, too small or fully transparent picture, a map of another size than the
    exemplar, a mask that leaves too little, a hole that covers all or nothing; UsageError for what the method
    cannot do or an output above --max-pixels; MemoryExhaustedError for an output that cannot fit.
    """
    exemplars = tuple(Map(*read_input(item, run)) for item in task.exemplars)
    siblings = tuple(Map(*read_input(item, run, as_data=True)) for item in task.siblings)
    maps = {
        name: Map(*read_input(item, run, as_data=True))
        for name in ("mask", "guide", "guide_of", "hole")
        if (item := getattr(task, name))
    }
    for item, exemplar in zip(task.exemplars, exemplars, strict=True):
        refuse_transparent(item, exemplar.picture)
        check_size(item, exemplar.picture.width, exemplar.picture.height, settings, run, task)
    _check_maps(task, exemplars[0].picture, siblings, maps)
    mask = as_mask(maps["mask"].picture) if "mask" in maps else None
    allowed = tuple(
        _allowed(item, exemplar.picture, mask, task, settings)
        for item, exemplar in zip(task.exemplars, exemplars, strict=True)
    )
    material = Material(exemplars, allowed, siblings, **maps)
    _check_hole(task, allowed[0], material.hole_mask)
    return material


def check_batch(
    jobs: Sequence[ExpandJob], settings: ExpandSettings, run: RunSettings
) -> tuple[list[ExpandJob], list[Failed]]:
    """Jobs whose exemplars have sound headers, and the others; only the maps that all share are decoded.

    Raises InputError for a damaged guide.
    """
    for guide in {job.task.guide for job in jobs if job.task.guide}:
        read_input(guide, run, as_data=True)
    good, failed = [], []
    for job in jobs:
        try:
            for item in job.task.exemplars:
                header = images.probe(item.source, name=str(item), max_pixels=run.max_pixels, frame=run.frame)
                check_size(item, header.width, header.height, settings, run, job.task)
            good.append(job)
        except TexsynthError as error:
            failed.append(Failed(job, error))
    return good, failed


def check_size(
    item: Input, width: int, height: int, settings: ExpandSettings, run: RunSettings, task: Task
) -> None:
    """Refuse an exemplar that is too small and an output that is too small or too large."""
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{item} has {width} x {height} pixels, but an exemplar needs at least {MIN_SIDE} on both sides; "
            f"crop a larger piece"
        )
    if task.resizes:
        width, height = output_size(settings, width, height)
    if min(width, height) < MIN_SIDE:
        raise UsageError(
            f"{item}: the output would have {width} x {height} pixels, but needs at least {MIN_SIDE} on both "
            f"sides; choose a larger --size or --scale"
        )
    if width * height > run.max_pixels:
        raise UsageError(
            f"{item}: the output would have {width} x {height} = {width * height} pixels, more than "
            f"--max-pixels {run.max_pixels}; choose a smaller --size or --scale"
        )
    check_memory(item, width, height, method=settings.method, siblings=len(task.siblings), cure=task.cure)


def output_size(settings: ExpandSettings, width: int, height: int) -> tuple[int, int]:
    """Width and height of the output for an exemplar of `width` x `height` pixels."""
    if settings.size:
        return settings.size
    return round(width * settings.scale), round(height * settings.scale)


def as_mask(picture: images.Picture) -> Mask:
    """Where `picture` is light and opaque. Returns (H, W)."""
    top = np.iinfo(picture.rgb.dtype).max
    light: Mask = picture.rgb.mean(2) > top / 2
    return light if picture.alpha is None else light & (picture.alpha > top / 2)


def _check_maps(
    task: Task, exemplar: images.Picture, siblings: tuple[Map, ...], maps: dict[str, Map]
) -> None:
    same_size = [(item, found) for item, found in zip(task.siblings, siblings, strict=True)]
    same_size += [(getattr(task, n), maps[n]) for n in ("mask", "guide_of", "hole") if n in maps]
    for item, found in same_size:
        size, wanted = (found.picture.width, found.picture.height), (exemplar.width, exemplar.height)
        if size != wanted:
            raise InputError(
                f"{item} has {size[0]} x {size[1]} pixels, but its exemplar {task.exemplars[0]} has "
                f"{wanted[0]} x {wanted[1]}; give both the same size"
            )


def _allowed(
    item: Input, exemplar: images.Picture, mask: Mask | None, task: Task, settings: ExpandSettings
) -> Mask | None:
    """Where the exemplar may be sampled: under the mask and where it is opaque."""
    allowed = mask
    if exemplar.alpha is not None and not (opaque := _opaque(exemplar.alpha)).all():
        if task.command == "tile":
            raise InputError(
                f"{item} has transparent parts, but a tile must be opaque; fill them first with "
                f"`texsynth expand --hole`"
            )
        if "transposer" in settings.method:
            raise UsageError(
                f"{item} has transparent parts, which method {settings.method} cannot leave out; "
                f"use --method patch+optimize"
            )
        allowed = opaque if mask is None else mask & opaque
    if allowed is not None and not has_square(allowed, MIN_SIDE):
        where = f"the mask {task.mask} leaves" if task.mask else "its transparency leaves"
        if task.mask and not allowed.any():
            raise InputError(
                f"{where} nothing of {item} to sample; make it white where the texture may be taken from"
            )
        raise InputError(
            f"{where} no whole {MIN_SIDE} x {MIN_SIDE} pixels of {item} to sample; it must leave more"
        )
    return allowed


def _opaque(alpha: NDArray[Any]) -> Mask:
    return np.asarray(alpha > np.iinfo(alpha.dtype).max / 2)


def _check_hole(task: Task, allowed: Mask | None, hole: Mask | None) -> None:
    if hole is None:
        return
    if not hole.any():
        raise InputError(f"the hole {task.hole} is all black; make it white where pixels are to be filled")
    if hole.all():
        raise InputError(
            f"the hole {task.hole} covers all of {task.exemplars[0]}; make it black where pixels are to stay"
        )
    rest = ~hole if allowed is None else ~hole & allowed
    if not has_square(rest, MIN_SIDE):
        raise InputError(
            f"the hole {task.hole} leaves no whole {MIN_SIDE} x {MIN_SIDE} pixels of {task.exemplars[0]} "
            f"to fill it from; make it smaller"
        )


def has_square(mask: Mask, side: int) -> bool:
    """Whether `mask` (H, W) holds a square of `side` x `side` pixels, all true."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(0).cumsum(1)
    if min(mask.shape) < side:
        return False
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return bool((boxes == side * side).any())
