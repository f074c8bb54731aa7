"""What a decoder is trained for: the image back, and its features back."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.vgg import Encoder
from texsynth.training.distillation import IMAGE_VARIANCE, cycle_terms
from texsynth.training_settings import DecoderSettings

Rebuild = Callable[[Tensor], Tensor]
"""Image (N, 3, H, W) in [0, 1] through encoder and decoder."""


def losses(
    encoder: Encoder, decoder: nn.Module, level: int, image: Tensor, settings: DecoderSettings
) -> dict[str, Tensor]:
    """Weighted terms for one batch. level: 0 for the photo decoder, which has no feature error.

    With `errors: sum` they are the squared norms of (002, eq. 28) for each picture, averaged over the batch;
    with `relative` mean squares over the variance of what they are to match, so that levels compare.
    """
    with torch.no_grad():
        features = encoder.segment(image, 0, level) if level else None
    if features is None:
        rebuilt = rebuild(encoder, decoder, 0)(image).float()
        error = (
            _squares(rebuilt, image)
            if settings.errors == "sum"
            else F.mse_loss(rebuilt, image) / IMAGE_VARIANCE
        )
        return {"reconstruction": settings.reconstruction * error}
    if settings.errors == "sum":
        made = decoder(features)
        again = encoder.segment(made, 0, level)
        error, cycle = _squares(made.float(), image), _squares(again.float(), features.float())
    else:
        error, cycle = cycle_terms(encoder, decoder, features, level, image)
    return {"reconstruction": settings.reconstruction * error, "cycle": settings.cycle * cycle}


def rebuild(encoder: Encoder, decoder: nn.Module, level: int) -> Rebuild:
    """Through the features of `level`, or those of levels 1 to 4 at level 0, the photo decoder."""

    def through(image: Tensor) -> Tensor:
        with torch.no_grad():
            features = encoder.segment(image, 0, level) if level else encoder(image, 4)
        out: Tensor = decoder(features)
        return out

    return through


def _squares(made: Tensor, wanted: Tensor) -> Tensor:
    return F.mse_loss(made, wanted, reduction="sum") / len(wanted)
