"""Style transfer: artistic through a cascade of autoencoders, photo-realistic through skips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.ops.color import with_chroma_of
from texsynth.ops.local_affine import local_affine
from texsynth.ops.noise import soft_noise
from texsynth.ops.resample import resize
from texsynth.pipelines.codec import Codec, autoencoder, skipping, whole_encoder
from texsynth.pipelines.descent import descend_image
from texsynth.pipelines.progress import OnStep, Step, part_of
from texsynth.settings import DescentSettings, StylizeSettings
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
class Part:
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

    def map(self, content: Moments, settings: StylizeSettings, level: int) -> AffineMap:
        """The map of a level that it has, for a region with the moments `content`."""
        styles, weights = zip(*self._at(level), strict=True)
        return fit_mix(settings.transform, content, styles, weights).lerp(_strength(settings, level))

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
    _check(model, settings)
    return measure(style, model, settings.levels, scale=settings.style_scale, weight=weight, tile=tile)


@torch.inference_mode()
def measure(
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
    encoder = whole_encoder(model, max(levels))
    return FittedStyle(encoder.moments(style, dict.fromkeys(levels, weight), tile))


@torch.inference_mode()
def stylize(
    content: Tensor,
    style: FittedStyle | Sequence[Part],
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    rng: torch.Generator | None = None,
    tile: int | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Give `content` the style, or each part of it its own.

    content: (1, 3, H, W) in [0, 1], any size from 1x1. style: one for all, or parts with masks of the
    content's size, of which one at most has no mask; what no part covers stays as it is.
    weight: (1, 1, H, W) opacity for the statistics. rng: on the CPU, for the grain; None draws the same grain
    every time. tile: side in pixels of what the networks work on at a time, besides the halo around it; only
    rounding differs from the whole picture at once, which is None. Returns the same shape and range.
    """
    _check(model, settings)
    parts = [Part((style,), (1.0,))] if isinstance(style, FittedStyle) else covering(style)
    one = _photo if settings.mode == "photo" else _artistic
    if settings.transform.name == "optimize":
        one = _descended
    start = content
    if settings.mode == "artistic":
        start = _with_grain(content, settings, rng or torch.Generator().manual_seed(0))
    # Every part is made as a whole picture and shown where its mask is: nothing draws the mask's border.
    result = content.to(model.device)
    for number, part in enumerate(parts):
        made = one(start, part, model, settings, weight, tile, part_of(on_step, number, len(parts)))
        made = made.clamp(0, 1)
        result = made if part.mask is None else result + part.mask.to(made) * (made - content.to(made))
    return with_chroma_of(content.to(result.device), result) if settings.preserve_color else result


def covering(parts: Sequence[Part]) -> list[Part]:
    """`parts` with masks that add up to at most 1 at every pixel; a single one without a mask stays so."""
    masks = [part.mask for part in parts if part.mask is not None]
    if not masks:
        return list(parts)
    total = torch.stack(masks).sum(0)
    over = total.clamp_min(1)
    rest = (1 - total).clamp_min(0)
    return [replace(p, mask=rest if p.mask is None else p.mask / over) for p in parts]


def _with_grain(content: Tensor, settings: StylizeSettings, rng: torch.Generator) -> Tensor:
    """Noise for the transforms to turn into strokes; without any effect of theirs there is none."""
    deviation = settings.grain * _strength(settings, settings.levels[0])
    return content + deviation * soft_noise(content, rng) if deviation else content


def _artistic(
    content: Tensor,
    part: Part,
    model: Model,
    settings: StylizeSettings,
    weight: Tensor | None,
    tile: int | None,
    on_step: OnStep,
) -> Tensor:
    """Encode, map and decode at one level after the other, coarse to fine (Li et al. 2017; 002)."""
    image = content
    for done, level in enumerate(settings.levels, 1):
        if part.has(level):
            step = part_of(on_step, done - 1, len(settings.levels))
            codec = autoencoder(model, level)
            image = _transferred(image, part, codec, [level], settings, weight, tile, step).clamp_(0, 1)
        else:
            on_step(Step("level", done, len(settings.levels)))
    return image.to(model.device)


def _photo(
    content: Tensor,
    part: Part,
    model: Model,
    settings: StylizeSettings,
    weight: Tensor | None,
    tile: int | None,
    on_step: OnStep,
) -> Tensor:
    """Encode once, map every level, decode once with the mapped high frequencies as skips."""
    levels = [level for level in settings.levels if part.has(level)]
    result = _transferred(content, part, skipping(model), levels, settings, weight, tile, on_step)
    result = result.to(model.device)
    return local_affine(content.to(result.device), result) if settings.edge_aware else result


def _descended(
    content: Tensor,
    part: Part,
    model: Model,
    settings: StylizeSettings,
    weight: Tensor | None,
    tile: int | None,
    on_step: OnStep,
) -> Tensor:
    """The picture itself optimized; its statistics are those of all of it, whatever the mask and `weight`."""
    assert isinstance(settings.transform, DescentSettings)
    del weight, tile
    shares = [w * settings.strength / sum(part.weights) for w in part.weights]
    styles = [(style.moments, share) for style, share in zip(part.styles, shares, strict=True) if share > 0]
    with torch.inference_mode(False), torch.enable_grad():
        return descend_image(content.clone(), styles, model, settings.transform, on_step)


def _transferred(
    image: Tensor,
    part: Part,
    codec: Codec,
    levels: Collection[int],
    settings: StylizeSettings,
    weight: Tensor | None,
    tile: int | None,
    on_step: OnStep,
) -> Tensor:
    """`image` (1, 3, H, W) with the moments of `part` at all `levels`; float32, not clamped."""
    weights = dict.fromkeys(levels, part.counted(weight))
    return codec.transferred(image, weights, lambda level, own: part.map(own, settings, level), tile, on_step)


def _strength(settings: StylizeSettings, level: int) -> float:
    return settings.strength * settings.level_strength.get(level, 1.0)


def _check(model: Model, settings: StylizeSettings) -> None:
    if settings.mode == "photo":
        deepest = len(model.photo_decoder().widths)
        if max(settings.levels) > deepest:
            raise UsageError(
                f"photo mode has levels 1 to {deepest}, not {max(settings.levels)}; change levels"
            )
    else:
        for level in settings.levels:
            model.decoder(level)
