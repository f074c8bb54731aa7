"""Style transfer: artistic through a cascade of autoencoders, photo-realistic through skips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.ops.color import with_chroma_of
from texsynth.ops.local_affine import local_affine
from texsynth.ops.noise import soft_noise
from texsynth.ops.resample import pad_to_multiple, resize
from texsynth.pipelines.progress import OnStep, Step
from texsynth.settings import StylizeSettings
from texsynth.transforms import fit_map
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments


@dataclass(frozen=True)
class FittedStyle:
    """Moments of a style at every level that is transformed."""

    moments: dict[int, Moments]


@torch.inference_mode()
def fit_style(
    style: Tensor, model: Model, settings: StylizeSettings, *, weight: Tensor | None = None
) -> FittedStyle:
    """Measure a style once; the result serves any number of contents.

    style: (1, 3, H, W) in [0, 1]. weight: (1, 1, H, W) opacity, pixels of weight 0 do not count.
    Raises ModelError when the model has no decoder for a level of `settings`, UsageError for a level that
    photo mode does not have.
    """
    _check(model, settings)
    size = [max(1, round(side * settings.style_scale)) for side in style.shape[2:]]
    style = resize(style, size[0], size[1])
    weight = None if weight is None else resize(weight, size[0], size[1])
    features = _encode(style, model, max(settings.levels))
    return FittedStyle(
        {level: _moments(features[level - 1], style, weight, level) for level in settings.levels}
    )


@torch.inference_mode()
def stylize(
    content: Tensor,
    style: FittedStyle,
    model: Model,
    settings: StylizeSettings,
    *,
    weight: Tensor | None = None,
    rng: torch.Generator | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Give `content` the style.

    content: (1, 3, H, W) in [0, 1], any size from 1x1. weight: (1, 1, H, W) opacity for the statistics.
    rng: on the CPU, for the grain; None draws the same grain every time.
    Returns the same shape and range.
    """
    _check(model, settings)
    if settings.mode == "photo":
        result = _photo(content, style, model, settings, weight, on_step)
    else:
        grainy = _with_grain(content, settings, rng or torch.Generator().manual_seed(0))
        result = _artistic(grainy, style, model, settings, weight, on_step)
    result = result.clamp(0, 1)
    return with_chroma_of(content.to(result.device), result) if settings.preserve_color else result


def _with_grain(content: Tensor, settings: StylizeSettings, rng: torch.Generator) -> Tensor:
    """Noise for the transforms to turn into strokes; without any effect of theirs there is none."""
    deviation = settings.grain * _strength(settings, settings.levels[0])
    return content + deviation * soft_noise(content, rng) if deviation else content


def _artistic(
    content: Tensor,
    style: FittedStyle,
    model: Model,
    settings: StylizeSettings,
    weight: Tensor | None,
    on_step: OnStep | None,
) -> Tensor:
    """Encode, map and decode at one level after the other, coarse to fine (Li et al. 2017; 002)."""
    image, (height, width) = content, content.shape[2:]
    for done, level in enumerate(settings.levels, 1):
        features = _encode(image, model, level, every=False)[-1]
        chosen = _map(features, image, weight, style, settings, level)
        image = model.decoder(level)(features, chosen).float()
        image = image[:, :, :height, :width].clamp(0, 1)
        if on_step:
            on_step(Step("level", done, len(settings.levels)))
    return image


def _photo(
    content: Tensor,
    style: FittedStyle,
    model: Model,
    settings: StylizeSettings,
    weight: Tensor | None,
    on_step: OnStep | None,
) -> Tensor:
    """Encode once, map every level, decode once with the mapped high frequencies as skips."""
    decoder = model.photo_decoder()
    features, maps = _encode(content, model, len(decoder.widths)), {}
    for done, level in enumerate(settings.levels, 1):
        maps[level] = _map(features[level - 1], content, weight, style, settings, level)
        if on_step:
            on_step(Step("level", done, len(settings.levels)))
    result = decoder(features, maps).float()[:, :, : content.shape[2], : content.shape[3]]
    return local_affine(content.to(result.device), result) if settings.edge_aware else result


def _encode(image: Tensor, model: Model, level: int, *, every: bool = True) -> list[Tensor]:
    """Features of levels 1..`level`, or of `level` alone, of the image padded to whole pooling cells."""
    padded = pad_to_multiple(image, 2 ** (level - 1), at_least=2**level)
    padded = padded.to(model.device, model.dtype).contiguous(memory_format=torch.channels_last)
    if every:
        return model.encoder(padded, level)  # type: ignore[no-any-return]
    return [model.encoder.segment(padded, 0, level)]


def _moments(features: Tensor, image: Tensor, weight: Tensor | None, level: int) -> Moments:
    """Moments over the cells that the image covers; padding does not count."""
    stride = 2 ** (level - 1)
    rows, columns = -(-image.shape[2] // stride), -(-image.shape[3] // stride)
    if weight is not None:
        padded = pad_to_multiple(weight.float(), stride, at_least=stride)
        weight = F.avg_pool2d(padded, stride)[:, :, :rows, :columns].to(features.device)
    return Moments.of(features[:, :, :rows, :columns], weight)


def _map(
    features: Tensor,
    image: Tensor,
    weight: Tensor | None,
    style: FittedStyle,
    settings: StylizeSettings,
    level: int,
) -> AffineMap:
    content = _moments(features, image, weight, level)
    chosen = fit_map(settings.transform, content, style.moments[level])
    return chosen.lerp(_strength(settings, level))


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
