"""The stages of `texsynth bench`: what is got ready, and what then runs against the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.benchmark.names import FITS, LEVELS
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
from texsynth.reference.cascade import Transform, cascade, decoder_kernels, encoder_kernels, svd_wct
from texsynth.transforms import Moments, fit_map
from texsynth.transforms.ift import style_weight

Work = Callable[[], object]

Prepare = Callable[["Pair"], Work]
"""Gets a stage ready, which does not count, and returns what does."""

PAPER_IFT = IFTSettings(pull=0.01, n_upd=15, n_iter=1, step="fixed", rate=0.01, centred=False)
"""As in the paper's table. The pull, which it does not tell, is weak enough for its rate not to diverge, so
that all forms of the iteration compute the same."""

FIT_SETTINGS: Mapping[str, TransformSettings] = {
    "adain": AdaINSettings(),
    "wct": WCTSettings(),
    "ot": OTSettings(),
    "ift": IFTSettings(),
}

ARTISTIC = StylizeSettings(mode="artistic")
PHOTO = StylizeSettings(mode="photo")

SETTINGS: Mapping[str, StylizeSettings] = {
    "artistic": ARTISTIC,
    "photo": PHOTO,
    "paper-cascade": StylizeSettings(mode="artistic", transform=PAPER_IFT, grain=0),
    "paper-photo": StylizeSettings(mode="photo", transform=PAPER_IFT, edge_aware=False),
}
"""Of the stages that are whole pipelines."""

FINEST_PX = 4
"""Period of the finest waves in a picture."""


@dataclass(frozen=True)
class Pair:
    """A content and a style of one size, on the CPU as files leave them, and what a model makes of them."""

    model: Model
    size: int

    @cached_property
    def content(self) -> Tensor:
        """(1, 3, size, size) in [0, 1]."""
        return picture(self.size, 1)

    @cached_property
    def style(self) -> Tensor:
        """The same, another picture."""
        return picture(self.size, 2)

    @cached_property
    def features(self) -> tuple[list[Tensor], list[Tensor]]:
        """Of levels 1 to 4, of content and style."""
        content, style = (
            self.model.encoder(self.on_device(p), LEVELS[-1]) for p in (self.content, self.style)
        )
        return content, style

    def on_device(self, image: Tensor) -> Tensor:
        """`image` as networks want it."""
        placed = image.to(self.model.device, self.model.dtype)
        return placed.contiguous(memory_format=torch.channels_last)

    def level(self, level: int) -> tuple[Tensor, Tensor]:
        """Features (1, C, h, w) of content and style."""
        content, style = self.features
        return content[level - 1], style[level - 1]

    def rows(self, level: int) -> tuple[Tensor, Tensor]:
        """The same as (C, n), float32 and contiguous."""
        content, style = (f[0].float().flatten(1).contiguous() for f in self.level(level))
        return content, style

    def moments(self, level: int) -> tuple[Moments, Moments]:
        """Of the features of a level."""
        content, style = self.level(level)
        return Moments.of(content), Moments.of(style)


def picture(size: int, seed: int) -> Tensor:
    """Smooth noise at every scale, with contours, (1, 3, size, size) in [0, 1]; a seed gives one picture."""
    image, period, weight = torch.zeros(1, 3, size, size), float(size), 0.2
    while period >= FINEST_PX:
        knots = max(2, round(3 * size / period))
        waves = soft_noise((0, 0), (knots, knots), seed * 100 + knots)
        wide = F.interpolate(waves, (size, size), mode="bicubic", align_corners=False)
        # The coarsest waves also become areas that meet in contours.
        image += weight * (wide + (wide * 8).tanh() if period > size / 3 else wide)
        period, weight = period / 2, weight * 0.6
    return (0.5 + image).clamp_(0, 1)


def _encode(pair: Pair) -> Work:
    image = pair.on_device(pair.content)
    return lambda: pair.model.encoder(image, LEVELS[-1])


def _moments(pair: Pair, level: int) -> Work:
    features, _ = pair.level(level)
    return lambda: Moments.of(features)


def _fit(pair: Pair, level: int, name: str) -> Work:
    content, style = pair.moments(level)
    return lambda: fit_map(FIT_SETTINGS[name], content, style)


def _decode(pair: Pair, level: int) -> Work:
    decoder, (features, _) = pair.model.decoder(level), pair.level(level)
    return lambda: decoder(features)


def _photo_decode(pair: Pair) -> Work:
    decoder, (features, _) = pair.model.photo_decoder(), pair.features
    return lambda: decoder(features[: len(decoder.widths)])


def _edge_aware(pair: Pair) -> Work:
    return lambda: local_affine(pair.content, pair.style)


def _stylize(pair: Pair, name: str) -> Work:
    style = fit_style(pair.style, pair.model, SETTINGS[name])
    return lambda: stylize(pair.content, style, pair.model, SETTINGS[name])


def _stylize_with_style(pair: Pair, name: str) -> Work:
    model, settings = pair.model, SETTINGS[name]
    # A model without the networks shall say so before anything runs.
    fit_style(pair.style, model, settings)
    return lambda: stylize(pair.content, fit_style(pair.style, model, settings), model, settings)


def _transform(pair: Pair, level: int, settings: TransformSettings) -> Work:
    (features, _), (_, style) = pair.level(level), pair.moments(level)
    return lambda: fit_map(settings, Moments.of(features), style)(features)


def _direct_ift(pair: Pair, level: int, form: Callable[..., Tensor]) -> Work:
    content, style = pair.rows(level)
    second = ift_reference.second_moment(style)
    return partial(form, content, second, **_paper_steps(second))


def _svd_wct(pair: Pair, level: int) -> Work:
    return partial(svd_wct, *pair.rows(level))


def _published_ift(content: Tensor, style: Tensor) -> Tensor:
    second = ift_reference.second_moment(style)
    return ift_reference.direct(content, second, **_paper_steps(second))


def _paper_steps(second: Tensor) -> dict[str, Any]:
    weight = style_weight(second, second, PAPER_IFT.pull)
    return {"weight": weight, "rate": PAPER_IFT.rate, "n_upd": PAPER_IFT.n_upd}


def _published(pair: Pair, transform: Transform) -> Work:
    levels, device = LEVELS[::-1], pair.model.device
    kernels = {n: (encoder_kernels(pair.model, n), decoder_kernels(pair.model, n)) for n in levels}
    return lambda: cascade(pair.content.to(device), pair.style.to(device), kernels, levels, transform).cpu()


def _by_level(stage: str, prepare: Callable[..., Work], **fixed: Any) -> dict[str, Prepare]:  # noqa: ANN401
    return {f"{stage}-{level}": partial(prepare, level=level, **fixed) for level in LEVELS}


STAGES: Mapping[str, Prepare] = {
    "encode": _encode,
    **_by_level("moments", _moments),
    **{key: work for name in FITS for key, work in _by_level(f"fit-{name}", _fit, name=name).items()},
    **_by_level("decode", _decode),
    "photo-decode": _photo_decode,
    "edge-aware": _edge_aware,
    **{mode: partial(_stylize, name=mode) for mode in ("artistic", "photo")},
    **{f"{mode}-with-style": partial(_stylize_with_style, name=mode) for mode in ("artistic", "photo")},
    **{name: partial(_stylize_with_style, name=name) for name in ("paper-cascade", "paper-photo")},
    **_by_level("transform-ift", _transform, settings=PAPER_IFT),
    **_by_level("transform-wct", _transform, settings=FIT_SETTINGS["wct"]),
    **_by_level("reference-ift-direct", _direct_ift, form=ift_reference.direct),
    **_by_level("reference-ift-fused", _direct_ift, form=ift_reference.fused),
    **_by_level("reference-wct-svd", _svd_wct),
    "published-wct": partial(_published, transform=svd_wct),
    "published-ift": partial(_published, transform=_published_ift),
}
"""Every stage by its name in `bench_names`."""
