"""Photo mode as a loss: the photo decoder of a frozen encoder, trained on what it is used for.

Photo mode takes from two decodings, of mapped features and of plain ones, the field of colour maps that turns
the second into the first, and applies that to the picture itself. So the decoder need not give detail back;
what counts is which colours and which light the field gets. The maps of features depend on the encoder alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import (
    AdaINSettings,
    IFTSettings,
    OTSettings,
    StylizeSettings,
    TransformSettings,
    WCTSettings,
)
from texsynth.config.training import StylisedSettings
from texsynth.metrics.style import psnr
from texsynth.models.autoencoder import PhotoDecoder
from texsynth.models.registry import Model
from texsynth.models.vgg import Encoder
from texsynth.pipelines.photo import transferred
from texsynth.pipelines.stylize import FittedStyle, StyledRegion
from texsynth.training.decoder import IMAGE_VARIANCE
from texsynth.training.style_judge import Judge, measure_pairs
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

TRANSFORMS: Mapping[str, TransformSettings] = {
    "ift": IFTSettings(pull=1.0, n_upd=15),
    "wct": WCTSettings(),
    "ot": OTSettings(),
    "adain": AdaINSettings(),
}
"""Transforms that are drawn, by the names of their odds in the settings; ift as the preset `photo` has it."""

WEAKEST = 0.2  # Least strength that is drawn


def photo_losses(
    encoder: Encoder,
    decoder: PhotoDecoder,
    judge: Judge,
    content: Tensor,
    style: Tensor,
    settings: StylisedSettings,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """Compute the weighted terms for one batch of contents and styles, (N, 3, S, S) in [0, 1] both."""
    odds = torch.tensor([getattr(settings, name) for name in TRANSFORMS])
    drawn = torch.multinomial(odds, len(content), replacement=True, generator=rng).tolist()
    strength, chance = torch.rand(2, len(content), generator=rng)
    strength = torch.where(chance < settings.full_strength, 1.0, WEAKEST + (1 - WEAKEST) * strength)
    looks = [
        StylizeSettings(mode="photo", transform=list(TRANSFORMS.values())[k], strength=share)
        for k, share in zip(drawn, strength.tolist(), strict=True)
    ]
    results, plains = [], []
    # The difference of two decodings is small, so they need all digits.
    with torch.autocast(content.device.type, enabled=False):
        for one, other, look in zip(content.split(1), style.split(1), looks, strict=True):
            features, maps = mapped_features(encoder, len(decoder.widths), one, other, look)
            plain = decoder(features)
            results.append(transferred(one, decoder(features, maps), plain).clamp(0, 1))
            plains.append(plain)
    terms = judge(torch.cat(results), content, style, strength)
    error = F.mse_loss(torch.cat(plains), content) / IMAGE_VARIANCE
    return {**terms, "reconstruction": settings.reconstruction * error}


@torch.no_grad()
def mapped_features(
    encoder: Encoder, deepest: int, content: Tensor, style: Tensor, look: StylizeSettings
) -> tuple[list[Tensor], dict[int, AffineMap]]:
    """Return the features of a content (1, 3, S, S), and by level the maps that `stylize` fits to a style."""
    features = encoder(content, deepest)
    own, target = ([Moments.of(f) for f in fs] for fs in (features, encoder(style, deepest)))
    region = StyledRegion((FittedStyle(dict(enumerate(target, 1))),), (1.0,))
    return features, {
        level: region.map(moments, look, level, content) for level, moments in enumerate(own, 1)
    }


def judged_photo(
    encoder: Encoder, decoder: PhotoDecoder, teacher: Encoder, pairs: Sequence[tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """Measure photo mode on pairs: medians of the Gram distance to the style and of edges' SSIM.

    With ift as the preset `photo` has it, and with optimal transport at two thirds strength. psnr: median of
    what the decoder makes of contents as they are, in dB. As their own style they come back exactly.
    """
    device = next(encoder.parameters()).device
    model = Model("", "", encoder, {}, decoder, device, torch.float32, {})
    usual = StylizeSettings(mode="photo", transform=TRANSFORMS["ift"])
    ways = {"photo": usual, "soft": StylizeSettings(mode="photo", transform=OTSettings(), strength=0.67)}

    def measure(content: Tensor) -> dict[str, float]:
        with torch.no_grad():
            plain = decoder(encoder(content.to(device), len(decoder.widths))).float().clamp(0, 1).cpu()
        return {"psnr": psnr(plain, content)}

    return measure_pairs(model, ways, teacher, pairs, measure)
