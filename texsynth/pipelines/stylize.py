"""Style transfer: artistic through a cascade of autoencoders, photo-realistic through skips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texsynth.config.settings import DescentSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.ops.bilateral_grid import fit_field, fit_size
from texsynth.ops.color import with_chroma_of
from texsynth.ops.resample import resize
from texsynth.pipelines.gatys import descend_image
from texsynth.pipelines.progress import OnStep, Step, sub_progress
from texsynth.pipelines.rasters import (
    EVERYTHING,
    MakeCanvas,
    NoisyRaster,
    Raster,
    TensorRaster,
    map_strips,
    memory_canvas,
    read_all,
    read_resized,
    strips,
)
from texsynth.pipelines.transfer import TiledAutoencoder, level_autoencoder, photo_autoencoder, tiled_encoder
from texsynth.transforms import fit_mix
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments


@dataclass(frozen=True)
class FittedStyle:
    """Moments of a style at every level that is transformed."""

    moments: dict[int, Moments]

    def plus(self, other: FittedStyle) -> FittedStyle:
        """Both together, as if they were one picture."""
        return FittedStyle({level: m + other.moments[level] for level, m in self.moments.items()})

    def only(self, levels: Collection[int]) -> FittedStyle:
        """The same at some levels alone."""
        return FittedStyle({level: m for level, m in self.moments.items() if level in levels})


@dataclass(frozen=True)
class StyledRegion:
    """What a region of the content becomes like: one style, or something between several."""

    styles: tuple[FittedStyle, ...]
    weights: tuple[float, ...]
    """One for each style, non-negative; at every level those of the styles that have it count."""
    mask: Tensor | None = None
    """(1, 1, H, W) in [0, 1], how far each pixel belongs to it; None for what the other parts leave."""

    def has(self, level: int) -> bool:
        """Whether any of its styles has the level."""
        return bool(self._at(level))

    def counted(self, weight: Tensor | None) -> Tensor | None:
        """Whose statistics count: the mask's pixels by their opacity `weight`."""
        if self.mask is None or weight is None:
            return weight if self.mask is None else self.mask
        return self.mask * weight

    def map(self, content: Moments, settings: StylizeSettings, level: int, device: torch.device) -> AffineMap:
        """The map of a level that it has, for a region with the moments `content`. device: of features."""
        styles, weights = zip(*self._at(level), strict=True)
        found = fit_mix(settings.transform, content, styles, weights, device)
        return found.lerp(_strength(settings, level))

    def _at(self, level: int) -> list[tuple[Moments, float]]:
        pairs = zip(self.styles, self.weights, strict=True)
        return [(style.moments[level], w) for style, w in pairs if level in style.moments and w > 0]


def fit_style(
    style: Tensor,
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    tile: int | None = None,
) -> FittedStyle:
    """Measure a style once; the result serves any number of contents.

    style: (1, 3, H, W) in [0, 1]. weight: (1, 1, H, W) opacity, pixels of weight 0 do not count.
    tile: as in `stylize`. Raises ModelError when the model has no decoder for a level of `settings`,
    UsageError for a level that photo mode does not have.
    """
    check_levels(model, settings)
    return measure_style(style, model, settings.levels, scale=settings.style_scale, weight=weight, tile=tile)


@torch.inference_mode()
def measure_style(
    style: Tensor,
    model: Model,
    levels: Collection[int],
    *,
    scale: float = 1.0,
    weight: Tensor | None = None,
    tile: int | None = None,
) -> FittedStyle:
    """The moments of a style at some levels; those of a level are the same whatever the others are.

    style, weight: as in `fit_style`. scale: the style is resized by this factor first. tile: as in `stylize`.
    """
    size = [max(1, round(side * scale)) for side in style.shape[2:]]
    style = resize(style, size[0], size[1])
    weight = None if weight is None else resize(weight, size[0], size[1])
    encoder = tiled_encoder(model, max(levels))
    return FittedStyle(encoder.moments(TensorRaster(style), dict.fromkeys(levels, weight), tile))


def stylize(
    content: Tensor,
    style: FittedStyle | Sequence[StyledRegion],
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    seed: int = 0,
    tile: int | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """`stylize_raster` for a picture in memory, (1, 3, H, W) in [0, 1]. Returns the same shape and range."""
    raster = TensorRaster(content)
    return read_all(
        stylize_raster(raster, style, model, settings, weight=weight, seed=seed, tile=tile, on_step=on_step)
    )


@torch.inference_mode()
def stylize_raster(
    content: Raster,
    style: FittedStyle | Sequence[StyledRegion],
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    seed: int = 0,
    tile: int | None = None,
    make_canvas: MakeCanvas = memory_canvas,
    on_step: OnStep | None = None,
) -> Raster:
    """Give `content` the style, or each part of it its own.

    content: in [0, 1], any size from 1x1. style: one for all, or parts with masks of the content's size, of
    which one at most has no mask; what no part covers stays as it is. weight: (1, 1, H, W) opacity for the
    statistics. seed: of the grain. tile: side in pixels of what the networks work on at a time, besides the
    halo around it; only rounding differs from the whole picture at once, which is None. make_canvas:
    allocates results, the last and those on the way to it. Returns a picture of the same size, in [0, 1].
    """
    check_levels(model, settings)
    parts = [StyledRegion((style,), (1.0,))] if isinstance(style, FittedStyle) else covering(style)
    start = content
    deviation = settings.grain * _strength(settings, settings.levels[0])
    if settings.mode == "artistic" and deviation:
        # Noise for the transforms to turn into strokes; without any effect of theirs there is none.
        start = NoisyRaster(content, deviation, seed)
    # Every part is made as a whole picture and shown where its mask is: nothing draws the mask's border.
    result: Raster = content
    for number, part in enumerate(parts):
        task = Task(model, settings, weight, tile, make_canvas, sub_progress(on_step, number, len(parts)))
        made = task.done(start, part)
        result = made if part.mask is None else _shown(content, result, made, part.mask, make_canvas)
    if settings.preserve_color:
        result = map_strips(
            make_canvas, lambda ours, old: with_chroma_of(old.to(ours), ours), result, content
        )
    return result


def _shown(content: Raster, result: Raster, made: Raster, mask: Tensor, make_canvas: MakeCanvas) -> Raster:
    """`made` where its `mask` is, on `result`."""
    alpha = TensorRaster(mask)
    return map_strips(
        make_canvas,
        lambda new, ours, old, a: ours.to(new) + a.to(new) * (new - old.to(new)),
        made,
        result,
        content,
        alpha,
    )


def covering(parts: Sequence[StyledRegion]) -> list[StyledRegion]:
    """`parts` with masks that add up to at most 1 at every pixel; a single one without a mask stays so."""
    masks = [part.mask for part in parts if part.mask is not None]
    if not masks:
        return list(parts)
    total = torch.stack(masks).sum(0)
    over = total.clamp_min(1)
    rest = (1 - total).clamp_min(0)
    return [replace(p, mask=rest if p.mask is None else p.mask / over) for p in parts]


@dataclass(frozen=True)
class Task:
    """How one part of a picture is made, as if it were all of it."""

    model: Model
    settings: StylizeSettings
    weight: Tensor | None
    tile: int | None
    make_canvas: MakeCanvas
    on_step: OnStep

    def done(self, content: Raster, part: StyledRegion) -> Raster:
        """In the mode of the settings."""
        if isinstance(self.settings.transform, DescentSettings):
            return self._descended(content, part, self.settings.transform)
        return self._photo(content, part) if self.settings.mode == "photo" else self._artistic(content, part)

    def _artistic(self, content: Raster, part: StyledRegion) -> Raster:
        """Encode, map and decode at one level after the other, coarse to fine (Li et al. 2017; 002)."""
        image, levels = content, self.settings.levels
        for done, level in enumerate(levels, 1):
            if part.has(level):
                step = sub_progress(self.on_step, done - 1, len(levels))
                image = self._transferred(image, part, level_autoencoder(self.model, level), [level], step)
            else:
                self.on_step(Step("level", done, len(levels)))
        return image

    def _photo(self, content: Raster, part: StyledRegion) -> Raster:
        """Encode once, map every level, decode once with the mapped high frequencies as skips."""
        levels = [level for level in self.settings.levels if part.has(level)]
        result = self._transferred(content, part, photo_autoencoder(self.model), levels, self.on_step)
        if not self.settings.edge_aware:
            return result
        small = fit_size(content.size)
        near = read_resized(result, *small)
        field = fit_field(read_resized(content, *small).to(near), near, content.size)
        # The field alone is the result.
        del result
        out = self.make_canvas(content.size)
        for rows in strips(content.size):
            strip = content.read(rows, EVERYTHING).to(near).contiguous()
            out.write(rows, EVERYTHING, field.applied(strip, rows.start).clamp_(0, 1))
        return out

    def _descended(self, content: Raster, part: StyledRegion, settings: DescentSettings) -> Raster:
        """The picture itself optimized; statistics are those of all of it, whatever its mask and opacity."""
        strength = self.settings.strength / sum(part.weights)
        shares = [(s.moments, w * strength) for s, w in zip(part.styles, part.weights, strict=True) if w > 0]
        with torch.inference_mode(False), torch.enable_grad():
            image = descend_image(read_all(content).clone(), shares, self.model, settings, self.on_step)
        return TensorRaster(image.clamp(0, 1))

    def _transferred(
        self,
        image: Raster,
        part: StyledRegion,
        autoencoder: TiledAutoencoder,
        levels: Collection[int],
        on_step: OnStep,
    ) -> Raster:
        """`image` with the moments of `part` at all `levels`."""
        weights = dict.fromkeys(levels, part.counted(self.weight))

        def fit(level: int, own: Moments) -> AffineMap:
            return part.map(own, self.settings, level, self.model.device)

        return autoencoder.transfer(image, weights, fit, self.tile, self.make_canvas, on_step)


def _strength(settings: StylizeSettings, level: int) -> float:
    return settings.strength * settings.level_strength.get(level, 1.0)


def check_levels(model: Model, settings: StylizeSettings) -> None:
    """ModelError when `model` lacks a decoder for a level of `settings`, UsageError when photo mode does."""
    if settings.mode == "photo":
        deepest = len(model.photo_decoder().widths)
        if max(settings.levels) > deepest:
            raise UsageError(
                f"photo mode has levels 1 to {deepest}, not {max(settings.levels)}; change levels"
            )
    else:
        for level in settings.levels:
            model.decoder(level)
