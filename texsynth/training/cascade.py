"""The cascade of `stylize`, differentiable: also by the statistics that the maps of features follow from.

With the statistics held fixed the decoders of coarse levels would learn means and spreads that the map of the
next level takes back. Derivatives of roots of matrices are the closed form of Daleckii and Krein, in which no
difference of eigenvalues is a divisor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from texsynth.config.settings import AdaINSettings, IFTSettings, OTSettings, TransformSettings, WCTSettings
from texsynth.models.autoencoder import Decoder
from texsynth.models.vgg import Encoder
from texsynth.ops.linalg import symmetric_eigh
from texsynth.transforms.ift import STEPS, Line, style_weight

MAPPED = (4, 3, 2, 1)
"""Levels from coarse to fine, as `stylize` takes them by default."""


FLAT = 1e-9
"""Share of the second moment up to which a variance is the rounding of networks."""


class Spread(NamedTuple):
    """Mean (C,) and covariance (C, C) of the features of one picture, float64."""

    mean: Tensor
    covariance: Tensor

    @property
    def has_spread(self) -> bool:
        """Tell whether the features differ by more than rounding."""
        variance = float(self.covariance.detach().trace())
        return variance > FLAT * (variance + float(self.mean.detach().square().sum()))

    def regular(self, ridge: float) -> Tensor:
        """Add `ridge` times the mean variance to the covariance, as `Moments.regular_covariance` does."""
        level = self.covariance.diagonal().mean()
        return self.covariance + ridge * level * torch.eye(len(self.mean), dtype=self.mean.dtype)


def spreads(features: Tensor) -> list[Spread]:
    """Measure every picture of (N, C, h, w), differentiably. Sums of centred values are float32."""
    with torch.autocast(features.device.type, enabled=False):
        rows = features.float().flatten(2)
        mean = rows.mean(2, keepdim=True)
        centred = rows - mean
        covariance = centred @ centred.mT / rows.shape[2]
    return [Spread(m[:, 0], c) for m, c in zip(mean.cpu().double(), covariance.cpu().double(), strict=True)]


class _Roots(torch.autograd.Function):
    """Root and inverse root of a positive definite matrix (C, C) float64."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401 (torch's signature)
        values, vectors = symmetric_eigh(matrix)
        # Rounding may leave eigenvalues below zero that the ridge has put above it.
        roots = values.clamp_min(1e-10 * float(values.amax()) + 1e-300).sqrt()
        ctx.save_for_backward(roots, vectors)
        return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T

    @staticmethod
    def backward(ctx: Any, root: Tensor, inverse: Tensor) -> Tensor:  # noqa: ANN401
        roots, vectors = ctx.saved_tensors
        sums, products = roots[:, None] + roots, roots[:, None] * roots
        inside = vectors.T @ root @ vectors - (vectors.T @ inverse @ vectors) / products
        grad: Tensor = vectors @ (inside / sums) @ vectors.T
        return (grad + grad.T) / 2


def roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Root and inverse root of a positive definite matrix (C, C) float64, differentiable."""
    both: tuple[Tensor, Tensor] = _Roots.apply(matrix)  # type: ignore[no-untyped-call]
    return both


def map_matrix(content: Spread, style: Spread, settings: TransformSettings) -> Tensor:
    """Compute the matrix (C, C) around the means of `transforms.fit_map`, differentiable by `content`."""
    if not content.has_spread:
        return torch.eye(len(content.mean), dtype=torch.float64)
    if isinstance(settings, AdaINSettings):
        own, target = (s.regular(settings.ridge).diagonal() for s in (content, style))
        return (target / own).sqrt().diag()
    if isinstance(settings, WCTSettings):
        return roots(style.regular(settings.ridge))[0] @ roots(content.regular(settings.ridge))[1]
    if isinstance(settings, OTSettings):
        root, inverse = roots(content.regular(settings.ridge))
        middle = roots(root @ style.regular(settings.ridge) @ root)[0]
        return inverse @ middle @ inverse
    assert isinstance(settings, IFTSettings)
    return _descended(content.covariance, style.covariance, settings)


def _descended(sigma: Tensor, target: Tensor, settings: IFTSettings) -> Tensor:
    """Do `ift.descend` with one anchor; the derivative takes the sizes of its steps as given."""
    assert isinstance(settings.pull, float)
    assert isinstance(settings.n_upd, int)
    eye = torch.eye(len(target), dtype=target.dtype)
    weight, mapped = style_weight(sigma.detach(), target, settings.pull), eye
    for _ in range(settings.n_upd):
        gap = mapped @ sigma @ mapped.T - target
        direction = 2 * (eye - mapped) - 4 * weight * gap @ mapped
        with torch.no_grad():
            size = STEPS["line"](_line(mapped, direction, gap, sigma, target, weight), 0.0)
        mapped = mapped + size * direction
    return mapped


def _line(
    mapped: Tensor, direction: Tensor, gap: Tensor, sigma: Tensor, target: Tensor, weight: float
) -> Line:
    """Expand the objective along `direction` as `ift` does, there in the eigenbasis of sigma."""
    by_sigma, away = direction @ sigma, mapped - torch.eye(len(target), dtype=target.dtype)
    half, square = mapped @ by_sigma.T, direction @ by_sigma.T
    cross = half + half.T
    slope = -float(square.trace())
    loss = float(((away @ sigma) * away).sum() + weight * gap.square().sum())
    coefficients = (
        slope,
        -slope + weight * float(cross.square().sum() + 2 * (gap * square).sum()),
        2 * weight * float((cross * square).sum()),
        weight * float(square.square().sum()),
    )
    radius = (loss / weight) ** 0.5 if weight else 0.0
    bound = 2 + 4 * weight * (2 * float(target.norm()) + 3 * radius)
    return Line(direction, cross, square, coefficients, 1 / bound)


class Cascade(nn.Module):
    """The decoders of levels 1 to 4, trained together."""

    def __init__(self, decoders: Mapping[int, Decoder]) -> None:
        """decoders: by level."""
        super().__init__()
        self.decoders = nn.ModuleDict({str(level): decoder for level, decoder in decoders.items()})

    def decoder(self, level: int) -> Decoder:
        """Return the decoder of a level."""
        decoder = self.decoders[str(level)]
        assert isinstance(decoder, Decoder)
        return decoder

    def forward(
        self,
        encoder: Encoder,
        image: Tensor,
        styles: Mapping[int, Sequence[Spread]],
        transforms: Sequence[TransformSettings],
        strength: Tensor,
    ) -> Tensor:
        """Stylize each picture of `image` (N, 3, H, W) by its own style, transform and strength.

        styles: by level one for each picture. strength: (N,) in [0, 1]. Returns (N, 3, H, W) in [0, 1].
        """
        for level in MAPPED:
            features = encoder.segment(image, 0, level)
            with torch.autocast(features.device.type, enabled=False):
                mapped = map_features(features, styles[level], transforms, strength)
            image = self.decoder(level)(mapped).float().clamp(0, 1)
        return image


def map_features(
    features: Tensor, styles: Sequence[Spread], transforms: Sequence[TransformSettings], strength: Tensor
) -> Tensor:
    """Map the features (N, C, h, w) of each picture. Returns the same shape in float32, channels last."""
    matrices, offsets = [], []
    for own, style, transform in zip(spreads(features), styles, transforms, strict=True):
        matrix = map_matrix(own, style, transform)
        matrices.append(matrix)
        offsets.append(style.mean - matrix @ own.mean)
    share = strength.double()[:, None]
    eye = torch.eye(features.shape[1], dtype=torch.float64)
    matrix = (eye + share[..., None] * (torch.stack(matrices) - eye)).to(features.device, torch.float32)
    offset = (share * torch.stack(offsets)).to(features.device, torch.float32)
    rows = features.float().permute(0, 2, 3, 1).flatten(1, 2)
    out = torch.baddbmm(offset[:, None], rows, matrix.mT)
    return out.reshape(len(out), *features.shape[2:], -1).permute(0, 3, 1, 2)
