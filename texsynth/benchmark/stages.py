"""The stages of `texsynth bench`: each prepares its inputs and returns the call that is timed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.benchmark.names import LEVELS, PAPER
from texsynth.config.settings import (
    AdaINSettings,
    IFTSettings,
    OTSettings,
    StylizeSettings,
    TransformSettings,
    WCTSettings,
)
from texsynth.models.registry import Model
from texsynth.ops.bilateral_grid import local_affine
from texsynth.ops.noise import soft_noise
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.reference import ift as ift_reference
from texsynth.reference.cascade import Transform, cascade, plain_decoder, plain_encoder, svd_wct
from texsynth.transforms import Moments, fit_map
from texsynth.transforms.ift import style_weight

Work = Callable[[], Any]

PAPER_PULL, PAPER_UPDATES = 0.01, 15

PAPER_IFT = IFTSettings(
    pull=PAPER_PULL, n_upd=PAPER_UPDATES, n_iter=1, step="fixed", rate=0.01, centred=False
)
"""Settings of the paper's table. Its pull is not told; this one is so weak that the rate does not diverge and
all forms of the iteration compute the same."""

FIT_SETTINGS: Mapping[str, TransformSettings] = {
    settings.name: settings for settings in (AdaINSettings(), WCTSettings(), OTSettings(), IFTSettings())
}

ARTISTIC = StylizeSettings(mode="artistic")

SETTINGS: Mapping[str, StylizeSettings] = {
    "artistic": ARTISTIC,
    "photo": StylizeSettings(mode="photo"),
    "paper-cascade": StylizeSettings(transform=PAPER_IFT, grain=0, preserve_detail=0, preserve_light=0),
    "paper-photo": StylizeSettings(mode="photo", transform=PAPER_IFT, edge_aware=False),
}
"""Settings of the stages that are whole pipelines."""

FINEST_PX = 4  # Period of the finest waves in a picture


@dataclass(frozen=True)
class Pair:
    """A content and a style of one size, on the CPU as files leave them, and a model with their features."""

    model: Model
    size: int

    @cached_property
    def content(self) -> Tensor:
        """(1, 3, size, size) in [0, 1]."""
        return picture(self.size, 1)

    @cached_property
    def style(self) -> Tensor:
        """Another picture, (1, 3, size, size) in [0, 1]."""
        return picture(self.size, 2)

    @cached_property
    def features(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Features (1, C, h, w) of content and style by level, 1 to 4."""
        both = (self.model.encoder(self.placed(x), LEVELS[-1]) for x in (self.content, self.style))
        return dict(zip(LEVELS, zip(*both, strict=True), strict=True))

    def placed(self, image: Tensor) -> Tensor:
        """Return `image` on the model's device, in its number type, channels last."""
        return image.to(self.model.device, self.model.dtype).contiguous(memory_format=torch.channels_last)

    def rows(self, level: int) -> tuple[Tensor, Tensor]:
        """Return features (C, n) of content and style, float32 and contiguous."""
        content, style = (f[0].float().flatten(1).contiguous() for f in self.features[level])
        return content, style

    def moments(self, level: int) -> tuple[Moments, Moments]:
        """Return the moments of the features of content and style."""
        content, style = self.features[level]
        return Moments.of(content), Moments.of(style)


def picture(size: int, seed: int) -> Tensor:
    """Return smooth noise at every scale, with contours, (1, 3, size, size) in [0, 1], fixed by the seed."""
    image, period, weight = torch.zeros(1, 3, size, size), float(size), 0.2
    while period >= FINEST_PX:
        knots = max(2, round(3 * size / period))
        waves = soft_noise((0, 0), (knots, knots), seed * 100 + knots)
        wide = F.interpolate(waves, (size, size), mode="bicubic", align_corners=False)
        # The coarsest waves also become areas that meet in contours.
        image += weight * (wide + (wide * 8).tanh() if period > size / 3 else wide)
        period, weight = period / 2, weight * 0.6
    return (0.5 + image).clamp_(0, 1)


def _fit(pair: Pair, level: int, settings: TransformSettings) -> Work:
    return partial(fit_map, settings, *pair.moments(level))


def _photo_decode(pair: Pair) -> Work:
    decoder = pair.model.photo_decoder()
    return partial(decoder, [content for content, _ in pair.features.values()][: len(decoder.widths)])


def _stylize(pair: Pair, name: str, *, with_style: bool) -> Work:
    model, settings = pair.model, SETTINGS[name]
    # Also before a stage that fits the style itself: a model without the networks shall say so at once.
    style = fit_style(pair.style, model, settings)
    if with_style:
        return lambda: stylize(pair.content, fit_style(pair.style, model, settings), model, settings)
    return lambda: stylize(pair.content, style, model, settings)


def _transform(pair: Pair, level: int, settings: TransformSettings) -> Work:
    (features, _), (_, style) = pair.features[level], pair.moments(level)
    return lambda: fit_map(settings, Moments.of(features), style)(features)


def _paper_ift(form: Callable[..., Tensor], content: Tensor, style: Tensor) -> Work:
    """Prepare an iteration on features (C, n) in the paper's setting."""
    second = ift_reference.second_moment(style)
    weight = style_weight(second, second, PAPER_PULL)
    return partial(form, content, second, weight=weight, rate=PAPER_IFT.rate, n_upd=PAPER_UPDATES)


def _published(pair: Pair, transform: Transform) -> Work:
    device = pair.model.device
    networks = [(plain_encoder(pair.model, n), plain_decoder(pair.model, n)) for n in LEVELS[::-1]]
    return lambda: cascade(pair.content.to(device), pair.style.to(device), networks, transform).cpu()


BY_LEVEL: Mapping[str, Callable[..., Work]] = {
    "moments": lambda pair, level: partial(Moments.of, pair.features[level][0]),
    **{f"fit-{name}": partial(_fit, settings=settings) for name, settings in FIT_SETTINGS.items()},
    "decode": lambda pair, level: partial(pair.model.decoder(level), pair.features[level][0]),
    "transform-ift": partial(_transform, settings=PAPER_IFT),
    "transform-wct": partial(_transform, settings=FIT_SETTINGS["wct"]),
    "reference-ift-direct": lambda pair, level: _paper_ift(ift_reference.direct, *pair.rows(level)),
    "reference-ift-fused": lambda pair, level: _paper_ift(ift_reference.fused, *pair.rows(level)),
    "reference-wct-svd": lambda pair, level: partial(svd_wct, *pair.rows(level)),
}

STAGES: Mapping[str, Callable[[Pair], Work]] = {
    "encode": lambda pair: partial(pair.model.encoder, pair.placed(pair.content), LEVELS[-1]),
    **{f"{k}-{n}": partial(prepare, level=n) for k, prepare in BY_LEVEL.items() for n in LEVELS},
    "photo-decode": _photo_decode,
    "edge-aware": lambda pair: partial(local_affine, pair.content, pair.style),
    **{mode: partial(_stylize, name=mode, with_style=False) for mode in ("artistic", "photo")},
    **{f"{mode}-with-style": partial(_stylize, name=mode, with_style=True) for mode in ("artistic", "photo")},
    **{name: partial(_stylize, name=name, with_style=True) for name in PAPER},
    "published-wct": partial(_published, transform=svd_wct),
    "published-ift": partial(
        _published, transform=lambda *features: _paper_ift(ift_reference.direct, *features)()
    ),
}
"""Preparations of all stages, which are not timed; each returns the call that is."""
