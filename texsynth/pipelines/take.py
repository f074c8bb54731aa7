"""Statistics of a take: of several frames at once, so that results flicker no more than the frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.config.settings import DescentSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.pipelines.preserve import LIGHT, light_of
from texsynth.pipelines.progress import OnStep, Step, silent, unnoted
from texsynth.pipelines.rasters import MakeCanvas, Raster, memory_canvas
from texsynth.pipelines.stroke_scale import brought_back
from texsynth.pipelines.stylize import RegionStylizer, Statistics, StyledRegion, complete
from texsynth.pipelines.transfer import check_levels, level_autoencoder, photo_autoencoder
from texsynth.transforms.moments import Moments


@dataclass(frozen=True)
class Frame:
    """A frame whose statistics count: what `stylize_raster` takes of it."""

    raster: Raster
    regions: Sequence[StyledRegion]  # As many, with the same styles, as those of the other frames
    weight: Tensor | None = None  # (1, 1, H, W) opacity
    make_canvas: MakeCanvas = memory_canvas


@torch.inference_mode()
def measure(
    frames: Sequence[Frame],
    model: Model,
    settings: StylizeSettings,
    *,
    seed: int = 0,
    tile: int | None = None,
    on_step: OnStep = silent,
) -> list[Statistics]:
    """Measure `frames`, at least one, at all levels, as if they were one picture.

    In artistic mode all frames go down the cascade side by side, each level by a map that they share, so that
    the moments of the next level are those of what it will get. tile: as in `stylize_raster`. Returns the
    moments of each region. Raises UsageError for transform optimize, which has none, and as `stylize` does.
    """
    if isinstance(settings.transform, DescentSettings):
        raise UsageError("transform optimize works on each picture alone; use another one for frames")
    check_levels(model, settings)
    regions = [complete(frame.regions) for frame in frames]
    total, done = len(frames) * len(settings.levels) * len(regions[0]), 0

    def count() -> None:
        nonlocal done
        on_step(Step("frame", done := done + 1, total))

    result: list[Statistics] = []
    for number in range(len(regions[0])):
        places = [each[number] for each in regions]
        levels = [level for level in settings.levels if places[0].has(level)]
        own: dict[int, Moments] = {}
        stylizers = [
            RegionStylizer(model, settings, f.weight, seed, tile, f.make_canvas, silent, unnoted, own)
            for f in frames
        ]
        whole = [(s, f.raster, place) for s, f, place in zip(stylizers, frames, places, strict=True)]
        coarse = () if settings.mode == "photo" else stylizers[0].coarse(places[0])
        # Each with its content and region: those that paint now.
        painters = [s.at_scale(raster, place, coarse) for s, raster, place in whole] if coarse else whole
        images = [raster for _, raster, _ in painters]
        if settings.mode == "artistic":
            images = [s.grainy(raster) for s, raster, _ in painters]
            # Levels that look at light all paint at this size.
            own[LIGHT] = averaged([light_of(raster, place.weight(s.weight)) for s, raster, place in painters])
        for group in [levels] if settings.mode == "photo" else [[level] for level in levels]:
            coder = (
                photo_autoencoder(model) if settings.mode == "photo" else level_autoencoder(model, group[0])
            )
            if coarse and group[0] not in coarse and painters is not whole:
                images = [
                    brought_back(stylizer.make_canvas, raster, small, image)
                    for (stylizer, raster, _), (_, small, _), image in zip(
                        whole, painters, images, strict=True
                    )
                ]
                painters = whole
            measured = []
            for image, (stylizer, _, place) in zip(images, painters, strict=True):
                measured.append(coder.moments(image, group, place.weight(stylizer.weight), tile))
                count()
            own |= {level: averaged([moments[level] for moments in measured]) for level in group}
            if group[-1] != levels[-1]:
                images = [
                    stylizer.paint(raster, image, place, group[0], silent)
                    for (stylizer, raster, place), image in zip(painters, images, strict=True)
                ]
        result.append(own)
    return result


def averaged(moments: Sequence[Moments]) -> Moments:
    """Average sums, so that all pixels count alike; those of equal pictures stay as they are, bit for bit."""
    first, share = moments[0], 1 / len(moments)
    n, total, outer = first.n, first.sum, first.outer
    for other in moments[1:]:
        n += share * (other.n - first.n)
        total = total + share * (other.sum - first.sum)
        outer = outer + share * (other.outer - first.outer)
    return Moments(n, total, outer)


def between(before: Sequence[Statistics], after: Sequence[Statistics], share: float) -> list[Statistics]:
    """Interpolate the moments of each region, from `before` at 0 to `after` at 1; equal ones stay so.

    Means and covariances are, for raw moments halfway would have the spread between both means, too.
    """

    def lerp(a: Moments, b: Moments) -> Moments:
        same = a.n == b.n and torch.equal(a.sum, b.sum) and torch.equal(a.outer, b.outer)
        return a if same else Moments.average([a, b], [1 - share, share])

    return [{level: lerp(a[level], b[level]) for level in a} for a, b in zip(before, after, strict=True)]
