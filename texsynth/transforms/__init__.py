"""Feature transforms: from the moments of content and style to one affine map of the features."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from texsynth.config.settings import IFTSettings, OTSettings, TransformSettings
from texsynth.errors import overflow
from texsynth.transforms import adain, ift, optimal_transport, wct
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

__all__ = ["TRANSFORMS", "AffineMap", "Fit", "Moments", "fit_map", "fit_mix"]

GPU_CHANNELS = 256
"""Maps of so many channels and more are fitted on the GPU; chosen by operation counts, not yet measured."""


class Fit(Protocol):
    """A transform: a function from moments and its own settings to a map."""

    def __call__(self, content: Moments, style: Moments, settings: Any) -> AffineMap:  # noqa: ANN401
        """Fit the map that gives the content the look of the style."""


TRANSFORMS: dict[str, Fit] = {"adain": adain.fit, "wct": wct.fit, "ot": optimal_transport.fit, "ift": ift.fit}
"""Transforms by the name in their settings."""


def fit_map(
    settings: TransformSettings, content: Moments, style: Moments, *, dtype: torch.dtype = torch.float32
) -> AffineMap:
    """Map that gives features with the moments `content` the look of those with the moments `style`.

    It is computed where the moments are, and stays there. dtype: of the features. Raises UsageError where
    they have overflowed.
    """
    for what, moments in (("content", content), ("style", style)):
        if not moments.is_finite:
            raise overflow(f"the features of the {what} have", dtype)
    return TRANSFORMS[settings.name](content, style, settings)


def fit_mix(
    settings: TransformSettings,
    content: Moments,
    styles: Sequence[Moments],
    weights: Sequence[float],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> AffineMap:
    """Map that gives features with the moments `content` the look between `styles`.

    weights: non-negative, not all zero; they need not add up to 1. IFT mixes second moments and optimal
    transport takes the Wasserstein barycentre; the others mix what each style makes of the content. device,
    dtype: of the features; a GPU with float64 fits the large maps of wide networks. Returns the map on the
    CPU. Raises UsageError where features have overflowed.
    """
    # The calls alone take longer than small matrices do on a GPU.
    on_gpu = torch.device(device).type == "cuda" and len(content.sum) >= GPU_CHANNELS
    where = torch.device(device if on_gpu else "cpu")
    content, styles = content.to(where), [style.to(where) for style in styles]
    if len(styles) > 1 and isinstance(settings, IFTSettings):
        styles, weights = [ift.mixed(styles, weights, settings)], [1.0]
    elif len(styles) > 1 and isinstance(settings, OTSettings):
        styles, weights = [optimal_transport.barycentre(styles, weights)], [1.0]
    return AffineMap.mix([fit_map(settings, content, style, dtype=dtype) for style in styles], weights).to(
        "cpu"
    )
