"""Maps for frames of a take: fitted to several at once, so that results flicker no more than the frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.config.settings import DescentSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, Step, silent
from texsynth.pipelines.rasters import MakeCanvas, Raster, memory_canvas
from texsynth.pipelines.stylize import Maps, StyledRegion, check_levels, complete, with_grain
from texsynth.pipelines.transfer import TiledAutoencoder, level_autoencoder, photo_autoencoder
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments


@dataclass(frozen=True)
class Frame:
    """A frame whose statistics count: what `stylize_raster` takes of it."""

    raster: Raster
    regions: Sequence[StyledRegion]  # As many, with the same styles, as those of the other frames
    weight: Tensor | None = None  # (1, 1, H, W) opacity
    make_canvas: MakeCanvas = memory_canvas


@torch.inference_mode()
def fit_maps(
    frames: Sequence[Frame],
    model: Model,
    settings: StylizeSettings,
    *,
    seed: int = 0,
    tile: int | None = None,
    on_step: OnStep = silent,
) -> list[Maps]:
    """Fit the maps of all levels to `frames`, at least one, as if they were one picture.

    In artistic mode all frames go down the cascade side by side, each level by a map that they share, so that
    the next level is fitted to what it will get. tile: as in `stylize_raster`. Returns the maps of each
    region. Raises UsageError for transform optimize, which fits none, and as `stylize` does.
    """
    if isinstance(settings.transform, DescentSettings):
        raise UsageError("transform optimize works on each picture alone; use another one for frames")
    check_levels(model, settings)
    starts = [with_grain(frame.raster, settings, seed) for frame in frames]
    regions = [complete(frame.regions) for frame in frames]
    total, done = len(frames) * len(settings.levels) * len(regions[0]), 0

    def fit(
        coder: TiledAutoencoder,
        images: Sequence[Raster],
        places: Sequence[StyledRegion],
        levels: Sequence[int],
    ) -> Maps:
        nonlocal done
        measured = []
        for image, place, frame in zip(images, places, frames, strict=True):
            measured.append(coder.moments(image, levels, place.weight(frame.weight), tile))
            on_step(Step("frame", done := done + len(levels), total))
        pools = {level: pooled(moments[level] for moments in measured) for level in levels}
        return {k: places[0].map(pool, settings, k, model.device) for k, pool in pools.items()}

    result: list[Maps] = []
    for number in range(len(regions[0])):
        places = [each[number] for each in regions]
        levels = [level for level in settings.levels if places[0].has(level)]
        if settings.mode == "photo":
            result.append(fit(photo_autoencoder(model), starts, places, levels))
            continue
        images, maps = starts, dict[int, AffineMap]()
        for level in levels:
            coder = level_autoencoder(model, level)
            maps |= fit(coder, images, places, [level])
            if level != levels[-1]:
                only = {level: maps[level]}
                images = [
                    coder.apply(image, only, tile, frame.make_canvas(image.size), silent)
                    for image, frame in zip(images, frames, strict=True)
                ]
        result.append(maps)
    return result


def pooled(moments: Iterable[Moments]) -> Moments:
    """Average sums, so that all pixels count alike; those of equal pictures stay as they are, bit for bit."""
    first, *others = moments
    share = 1 / (1 + len(others))
    return Moments(
        first.n + share * sum(m.n - first.n for m in others),
        first.sum + share * sum((m.sum - first.sum for m in others), torch.zeros_like(first.sum)),
        first.outer + share * sum((m.outer - first.outer for m in others), torch.zeros_like(first.outer)),
    )


def between(before: Sequence[Maps], after: Sequence[Maps], share: float) -> list[Maps]:
    """Interpolate the maps of each region, from `before` at 0 to `after` at 1; equal ones stay so."""

    def lerp(a: AffineMap, b: AffineMap) -> AffineMap:
        notes = tuple(dict.fromkeys((*a.notes, *b.notes)))
        matrix, offset = (torch.lerp(x, y, share) for x, y in ((a.matrix, b.matrix), (a.offset, b.offset)))
        return AffineMap(matrix, offset, notes)

    return [{level: lerp(a[level], b[level]) for level in a} for a, b in zip(before, after, strict=True)]
