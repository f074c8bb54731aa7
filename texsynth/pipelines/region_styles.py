"""Styles by region: each region of a content takes the statistics of its counterpart in the style."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from texsynth.analysis.clusters import SharedClusters
from texsynth.config.settings import StylizeSettings
from texsynth.models.registry import Model
from texsynth.pipelines.rasters import Raster, TensorRaster
from texsynth.pipelines.shared_regions import Overview, look_over, region_masks, shared_regions
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style


def fit_regions(
    style: Tensor,
    view: Overview,
    shared: SharedClusters,
    number: int,
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    tile: int | None = None,
) -> list[FittedStyle | None]:
    """Measure the regions of a style; None for those that are tiny in it or too different.

    style, weight, tile: as in `fit_style`. view: of the style. number: of the style among the pictures that
    share regions; 0 is the content. Raises as `fit_style` does.
    """
    masks = region_masks(TensorRaster(style), view, shared.labels[number], shared.count)
    return [
        fit_style(style, model, settings, weight=mask if weight is None else mask * weight, tile=tile)
        if alike
        else None
        for mask, alike in zip(masks, shared.alike[number].tolist(), strict=True)
    ]


def lay_regions(
    content: Raster,
    view: Overview,
    shared: SharedClusters,
    styles: Sequence[Sequence[FittedStyle]],
    weights: Sequence[float],
) -> list[StyledRegion]:
    """Give each region of the content its part of every style. view: of the content. styles: by region."""
    masks = region_masks(content, view, shared.labels[0], shared.count)
    return [
        StyledRegion(tuple(style[k] for style in styles), tuple(weights), mask)
        for k, mask in enumerate(masks)
    ]


def regional_style(
    content: Raster, style: Tensor, model: Model, settings: StylizeSettings, *, tile: int | None = None
) -> FittedStyle | list[StyledRegion]:
    """Measure a style for one content: by region where `settings` say so and there are several, else whole.

    content: in [0, 1]. style, tile: as in `fit_style`. Returns what `stylize` takes. Raises as
    `fit_style` does.
    """
    whole = fit_style(style, model, settings, tile=tile)
    if settings.regions == "off":
        return whole
    views = [look_over(picture, model) for picture in (content, TensorRaster(style))]
    shared = shared_regions(views[0], views[1:])
    if shared.count == 1:
        return whole
    parts = fit_regions(style, views[1], shared, 1, model, settings, tile=tile)
    return lay_regions(content, views[0], shared, [[part or whole for part in parts]], [1.0])
