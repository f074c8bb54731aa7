"""Features of pictures that are seen again and again, kept from one preview to the next."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from texsynth.config.settings import StylizeSettings
from texsynth.models.vgg import Encoder, LevelEncoders
from texsynth.pipelines.stylize import FittedStyle, fit_style
from texsynth.serve.memos import Memo

if TYPE_CHECKING:
    from texsynth.models.registry import Model

FeatureKey = tuple[str, int, int]
"""Hash of an input with its shape and type, and the levels from and to which it is taken."""


class RememberingEncoder(nn.Module):
    """An encoder that keeps features; nobody may change those that it returns."""

    def __init__(self, encoder: Encoder | LevelEncoders, memo: Memo[FeatureKey, Tensor]) -> None:
        """memo: for features, by what they are features of."""
        super().__init__()
        self.inner, self.widths, self._memo = encoder, encoder.widths, memo

    def names(self, level: int) -> list[tuple[int, int]]:
        """Return the convolutions that lead to the features of `level`."""
        return self.inner.names(level)

    def segment(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Go from level `start` to `stop`, as `Encoder.segment`."""
        return self._kept(_digest(x), x, start, stop)

    def forward(self, image: Tensor, level: int = 5) -> list[Tensor]:
        """Return the features of levels 1..`level`, as `Encoder.forward`."""
        digest, features = _digest(image), [image]
        # Networks of their own for each level begin with the picture.
        begins = isinstance(self.inner, LevelEncoders)
        for stop in range(1, level + 1):
            start = 0 if begins else stop - 1
            features.append(self._kept(digest, features[start], start, stop))
        return features[1:]

    def _kept(self, digest: str, x: Tensor, start: int, stop: int) -> Tensor:
        key = digest, start, stop
        if (features := self._memo.get(key)) is None:
            features = self.inner.segment(x, start, stop)
            self._memo.put(key, features)
        return features


def remembering(model: Model, memo: Memo[FeatureKey, Tensor]) -> Model:
    """Return a model that computes the same and keeps features in `memo`."""
    return replace(model, encoder=cast(Any, RememberingEncoder(model.encoder, memo)))


class RememberingFit:
    """Measures styles, and keeps their moments."""

    def __init__(self, memo: Memo[tuple[object, ...], FittedStyle]) -> None:
        """memo: for moments, by what they are of."""
        self._memo = memo

    def __call__(
        self,
        style: Tensor,
        model: Model,
        settings: StylizeSettings,
        *,
        weight: Tensor | None = None,
        tile: int | None = None,
    ) -> FittedStyle:
        """Return the moments of a picture, as `fit_style`."""
        shown = None if weight is None else _digest(weight)
        key = _digest(style), shown, settings.levels, settings.mode, tile
        if (fitted := self._memo.get(key)) is None:
            fitted = fit_style(style, model, settings, weight=weight, tile=tile)
            self._memo.put(key, fitted)
        return fitted


def _digest(x: Tensor) -> str:
    kind = f" {tuple(x.shape)} {x.dtype}"
    # As bytes, for numpy has not all types of numbers.
    values = x.detach().contiguous().cpu().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(values.numpy().data, digest_size=16).hexdigest() + kind
