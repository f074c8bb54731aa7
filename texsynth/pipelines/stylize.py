"""Style transfer: artistic through a cascade of autoencoders, photo-realistic through skips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from texsynth.config.settings import DescentSettings, FinishSettings, StylizeSettings, at_level
from texsynth.models.registry import Model
from texsynth.ops.color import with_chroma_of
from texsynth.ops.resample import resize
from texsynth.pipelines.finish import finish
from texsynth.pipelines.gatys import descend_image
from texsynth.pipelines.masks import complete_masks
from texsynth.pipelines.photo import chroma_power, photo, without_guesses
from texsynth.pipelines.preserve import LIGHT, LightMap, keep_detail, keep_light, light_of, light_of_colours
from texsynth.pipelines.progress import OnNote, OnStep, Step, parts, silent, sub_progress, unnoted
from texsynth.pipelines.rasters import (
    GrainyRaster,
    MakeCanvas,
    Raster,
    TensorRaster,
    map_strips,
    memory_canvas,
    read_all,
)
from texsynth.pipelines.stroke_scale import brought_back, resized, size_for_strokes, stroke_levels
from texsynth.pipelines.transfer import TiledAutoencoder, check_levels, level_autoencoder, tiled_encoder
from texsynth.transforms import fit_mix
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments
from texsynth.transforms.optimal_transport import barycentre

Statistics = Mapping[int, Moments]  # By level; at LIGHT those of the content's lightness

COARSE = 4  # Level from which on cells, of 8 px and more, are as large as small features of faces

LEVEL_TIMES = {5: 6.0, 4: 5.0, 3: 2.0, 2: 1.5, 1: 0.5}  # Of painting at each level, in any unit

DETAILING, LIGHTING = 0.3, 0.15  # Times of what follows on the transfer at a level, in its time

BLOTCHED = 3  # Level from which on light and dark may change places over whole objects


@dataclass(frozen=True)
class FittedStyle:
    """Moments of a style at every level that is transformed."""

    moments: dict[int, Moments]
    colours: Moments | None = None  # Those of its RGB values; None where they are not known

    def plus(self, other: FittedStyle) -> FittedStyle:
        """Add the moments of both, as if they were one picture."""
        colours = self.colours + other.colours if self.colours and other.colours else None
        return FittedStyle({level: m + other.moments[level] for level, m in self.moments.items()}, colours)

    def only(self, levels: Collection[int]) -> FittedStyle:
        """Keep the moments of some levels alone."""
        return replace(self, moments={level: m for level, m in self.moments.items() if level in levels})


@dataclass(frozen=True)
class StyledRegion:
    """A region of the content with the styles that it takes: one, or something between several."""

    styles: tuple[FittedStyle, ...]
    weights: tuple[float, ...]
    """One for each style, non-negative; at every level those of the styles that have it count."""
    mask: Tensor | None = None
    """(1, 1, H, W) in [0, 1], how far each pixel belongs to it; None for what the others leave."""

    def has(self, level: int) -> bool:
        """Tell whether any of its styles has the level."""
        return bool(self._at(level))

    def acts(self, settings: StylizeSettings) -> bool:
        """Tell whether it changes anything by `settings`."""
        if isinstance(settings.transform, DescentSettings):
            return settings.strength > 0
        return any(self.has(level) and _strength(settings, level) > 0 for level in settings.levels)

    @property
    def chroma(self) -> float | None:
        """Mean square chroma of its styles by weight; None where it is not known."""
        shares = [w / sum(self.weights) for w in self.weights]
        known = [s.colours for s in self.styles if s.colours]
        if len(known) < len(shares):
            return None
        return sum(share * chroma_power(m) for share, m in zip(shares, known, strict=True))

    def light(self, content: Moments, settings: StylizeSettings, level: int) -> LightMap | None:
        """Fit the map of lightness, which has the moments `content`; None where a style's is not known."""
        styles, shares = self._shares(settings, level)
        colours = [style.colours for style in styles if style.colours]
        if len(colours) < len(styles):
            return None
        return LightMap.between(content, barycentre([content, *map(light_of_colours, colours)], shares))

    def map(self, content: Moments, settings: StylizeSettings, level: int, like: Model | Tensor) -> AffineMap:
        """Fit the map of a level that it has to the moments `content`. like: computed or is the features."""
        styles, weights = zip(*self._at(level), strict=True)
        moments, transform = [style.moments[level] for style in styles], at_level(settings.transform, level)
        full = fit_mix(transform, content, moments, weights, like.device, like.dtype)
        if settings.mode == "photo":
            full = without_guesses(full, content)
        return full.lerp(_strength(settings, level))

    def weight(self, opacity: Tensor | None) -> Tensor | None:
        """Return by how much each pixel counts, (1, 1, H, W): mask times opacity; None for all alike."""
        return opacity if self.mask is None else self.mask if opacity is None else self.mask * opacity

    def goal(self, content: Moments, settings: StylizeSettings, level: int) -> Moments:
        """Return the moments between those of the content and of the styles that a full map would give."""
        styles, shares = self._shares(settings, level)
        return barycentre([content, *(style.moments[level] for style in styles)], shares)

    def _shares(self, settings: StylizeSettings, level: int) -> tuple[tuple[FittedStyle, ...], list[float]]:
        """Return the styles that have the level, and the shares of the content and of each of them."""
        styles, weights = zip(*self._at(level), strict=True)
        strength = _strength(settings, level)
        return styles, [1 - strength, *(strength * w / sum(weights) for w in weights)]

    def _at(self, level: int) -> list[tuple[FittedStyle, float]]:
        pairs = zip(self.styles, self.weights, strict=True)
        return [(style, w) for style, w in pairs if level in style.moments and w > 0]


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
    return measure_style(style, model, settings.levels, weight=weight, tile=tile)


@torch.inference_mode()
def measure_style(
    style: Tensor,
    model: Model,
    levels: Collection[int],
    *,
    weight: Tensor | None = None,
    tile: int | None = None,
) -> FittedStyle:
    """Measure the moments of a style at some levels; each level's are the same whatever the others are.

    style, weight: as in `fit_style`. tile: as in `stylize`.
    """
    encoder = tiled_encoder(model, max(levels))
    return FittedStyle(encoder.moments(TensorRaster(style), levels, weight, tile), Moments.of(style, weight))


def stylize(
    content: Tensor,
    style: FittedStyle | Sequence[StyledRegion],
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    seed: int = 0,
    tile: int | None = None,
    on_step: OnStep = silent,
) -> Tensor:
    """Run `stylize_raster` on a picture in memory, (1, 3, H, W) in [0, 1]. Returns the same."""
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
    moments: Sequence[Statistics] | None = None,
    make_canvas: MakeCanvas = memory_canvas,
    on_step: OnStep = silent,
    on_note: OnNote = unnoted,
) -> Raster:
    """Give `content` the style, or each region of it its own.

    content: in [0, 1], any size from 1x1. style: one for all, or regions with masks of the content's size, of
    which one at most has no mask; what no region covers stays as it is. weight: (1, 1, H, W) opacity for the
    statistics. seed: of the grain. tile: side in pixels of what the networks work on at a time, besides the
    halo around it; only rounding differs from the whole picture at once, which is None. moments: of
    each region, instead of those of the content, as `take.measure` gives them. make_canvas: allocates
    results, the last and those on the way to it. on_note: is told of fits that went wrong, by every region.
    Returns a picture of the same size, in [0, 1].
    """
    check_levels(model, settings)
    regions = [StyledRegion((style,), (1.0,))] if isinstance(style, FittedStyle) else list(style)
    if not any(region.acts(settings) for region in regions):
        return content
    regions = complete(regions)

    def blend(new: Tensor, ours: Tensor, old: Tensor, alpha: Tensor) -> Tensor:
        return ours.to(new) + alpha.to(new) * (new - old.to(new))

    # Every region is made as a whole picture and shown where its mask is: nothing draws the mask's border.
    result: Raster = content
    for number, region in enumerate(regions):
        step, own = sub_progress(on_step, number, len(regions)), None if moments is None else moments[number]
        stylizer = RegionStylizer(model, settings, weight, seed, tile, make_canvas, step, on_note, own)
        # Without any effect nothing goes through a network, which would lose something.
        styled = stylizer.run(content, region) if region.acts(settings) else content
        if region.mask is None:
            result = styled
        else:
            result = map_strips(make_canvas, blend, styled, result, content, TensorRaster(region.mask))
    if settings.preserve_color:
        result = map_strips(
            make_canvas, lambda ours, old: with_chroma_of(old.to(ours), ours), result, content
        )
    return result


def complete(regions: Sequence[StyledRegion]) -> list[StyledRegion]:
    """Give every region a mask if any has one; masks then add up to at most 1 at every pixel."""
    masks = complete_masks([region.mask for region in regions])
    return [replace(region, mask=mask) for region, mask in zip(regions, masks, strict=True)]


@dataclass(frozen=True)
class RegionStylizer:
    """The settings by which one region of a picture is stylized, as if it were all of it."""

    model: Model
    settings: StylizeSettings
    weight: Tensor | None
    seed: int
    tile: int | None
    make_canvas: MakeCanvas
    on_step: OnStep
    on_note: OnNote
    moments: Statistics | None = None
    """Those that maps are fitted to; None for those of the picture."""

    def run(self, content: Raster, region: StyledRegion) -> Raster:
        """Stylize in the mode of the settings."""
        if self.settings.mode == "photo":
            return self._photo(content, region)
        if not (coarse := self.coarse(region)):
            return self._paint(content, self.grainy(content), region)
        painter, small, place = self.at_scale(content, region, coarse)
        painted = replace(painter, on_step=sub_progress(self.on_step, 0, 2)).run(small, place)
        image = brought_back(self.make_canvas, content, small, painted)
        # For the fine levels that follow there is more memory without these.
        del small, painted
        finer = self._with(self.settings.levels[len(coarse) :])
        # Strokes were finished at their size; here descent would bring back the content and small ones.
        plain = finer.settings.model_copy(update={"finish": FinishSettings()})
        finer = replace(finer, settings=plain, on_step=sub_progress(self.on_step, 1, 2))
        return finer._paint(content, image, region) if finer.settings.levels else image

    def coarse(self, region: StyledRegion) -> tuple[int, ...]:
        """Return the levels that paint the content at another size: those that make strokes, if any do."""
        settings = self._with(stroke_levels(self.settings)).settings
        return settings.levels if region.acts(settings) else ()

    def at_scale(
        self, content: Raster, region: StyledRegion, levels: tuple[int, ...]
    ) -> tuple[RegionStylizer, Raster, StyledRegion]:
        """Return what paints `levels` in strokes of the wanted size, the content for it, and its region."""
        size = size_for_strokes(content.size, self.settings.style_scale)
        weight, mask = (None if m is None else resize(m, *size) for m in (self.weight, region.mask))
        small = resized(self.make_canvas, content, size)
        return replace(self._with(levels), weight=weight), small, replace(region, mask=mask)

    def _with(self, levels: tuple[int, ...]) -> RegionStylizer:
        """Paint some levels at the size that pictures have."""
        return replace(self, settings=self.settings.model_copy(update={"levels": levels, "style_scale": 1.0}))

    def _paint(self, content: Raster, start: Raster, region: StyledRegion) -> Raster:
        """Paint all levels over `start`, which is what there is of the picture so far."""
        if isinstance(self.settings.transform, DescentSettings):
            return self._descend(start, region, self.settings.transform)
        if not (steps := self.settings.finish.steps):
            return self._artistic(content, start, region)
        painter, finisher = (replace(self, on_step=step) for step in parts(self.on_step, 1.0, steps))
        return finisher._finish(painter._artistic(content, start, region), content, region)

    def _finish(self, painted: Raster, content: Raster, region: StyledRegion) -> Raster:
        """Give the painted picture itself the moments that a full map would have given its features."""
        weight, settings = region.weight(self.weight), self.settings
        levels = [level for level in settings.levels if region.has(level)]
        if not levels:
            return painted
        encoder = tiled_encoder(self.model, max(levels))
        own = encoder.moments(content, levels, weight, self.tile)
        goals = {level: region.goal(own[level], settings, level) for level in levels}
        return TensorRaster(
            finish(
                painted, content, goals, self.model, settings.finish,
                weight=weight, tile=self.tile, on_step=self.on_step,
            )
        )  # fmt: skip

    def grainy(self, content: Raster) -> Raster:
        """Add noise for transforms to turn into strokes; without any effect of theirs there is none."""
        deviation = self.settings.grain * _strength(self.settings, self.settings.levels[0])
        return GrainyRaster(content, deviation, self.seed) if deviation else content

    def _artistic(self, content: Raster, start: Raster, region: StyledRegion) -> Raster:
        """Encode, map and decode at one level after the other, coarse to fine (Li et al. 2017; 002)."""
        image, levels = start, self.settings.levels
        steps = parts(self.on_step, *(LEVEL_TIMES[level] for level in levels))
        for level, step in zip(levels, steps, strict=True):
            if region.has(level):
                image = self.paint(content, image, region, level, step)
            step(Step("level", 1, 1))
        return image

    def paint(
        self, content: Raster, image: Raster, region: StyledRegion, level: int, on_step: OnStep
    ) -> Raster:
        """Give `image`, what coarser levels made of `content`, the style of one level.

        Leaves the papers where a cell of a level is as large as an eye: there the picture keeps detail. And
        where features are matched without regard to light: there it keeps what is light and what is dark.
        """
        settings, make = self.settings, self.make_canvas
        detail = settings.preserve_detail if level >= COARSE else 0.0
        light = settings.preserve_light if level >= BLOTCHED else 0.0
        steps = parts(on_step, 1.0, DETAILING * (detail > 0), LIGHTING * (light > 0))
        image = self._transfer(image, region, level_autoencoder(self.model, level), [level], steps[0])
        if detail:
            image = keep_detail(make, content, image, detail, 2 ** (level - 1), steps[1])
        if light:
            own = (self.moments or {}).get(LIGHT) or light_of(content, region.weight(self.weight))
            if fitted := region.light(own, settings, level):
                image = keep_light(make, content, image, light, fitted, steps[2])
        return image

    def _photo(self, content: Raster, region: StyledRegion) -> Raster:
        """Encode once, map every level, decode once with the mapped high frequencies as skips."""
        levels = [level for level in self.settings.levels if region.has(level)]
        return photo(
            content,
            self.model,
            lambda coder, make: self._transfer(content, region, coder, levels, self.on_step, make),
            self.make_canvas,
            smooth=self.settings.edge_aware,
            weight=region.weight(self.weight),
            chroma=region.chroma,
        )

    def _descend(self, content: Raster, region: StyledRegion, settings: DescentSettings) -> Raster:
        """Optimize the picture itself; statistics are those of all of it, whatever its mask and opacity."""
        strength = self.settings.strength / sum(region.weights)
        shares = [
            (s.moments, w * strength) for s, w in zip(region.styles, region.weights, strict=True) if w > 0
        ]
        with torch.inference_mode(False), torch.enable_grad():
            start, note = read_all(content).clone(), partial(self.on_note, 0)
            image = descend_image(start, shares, self.model, settings, self.on_step, note)
        return TensorRaster(image.clamp(0, 1))

    def _transfer(
        self,
        image: Raster,
        region: StyledRegion,
        autoencoder: TiledAutoencoder,
        levels: Collection[int],
        on_step: OnStep,
        make_canvas: MakeCanvas | None = None,
    ) -> Raster:
        """Give `image` the moments of `region` at all `levels`."""

        def fit(level: int, own: Moments) -> AffineMap:
            fitted = region.map(own, self.settings, level, self.model)
            for note in fitted.notes:
                self.on_note(level, note)
            return fitted

        weight, make_canvas = region.weight(self.weight), make_canvas or self.make_canvas
        return autoencoder.transfer(image, levels, weight, fit, self.tile, make_canvas, on_step, self.moments)


def _strength(settings: StylizeSettings, level: int) -> float:
    return settings.strength * settings.level_strength.get(level, 1.0)
