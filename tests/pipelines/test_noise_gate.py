"""Noise is chosen for textures without shapes, and for no others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.config.settings import ExpandSettings
from texsynth.pipelines.method import plan_expand
from texsynth.pipelines.noise_gate import noise_figures, noise_suits
from texsynth.synthesis.exemplar import Exemplar

SIDE = 128


def straw(side: int = SIDE) -> Tensor:
    """Gaussian noise without a scale of its own, up to a few pixels, (1, 3, side, side)."""
    rng = torch.Generator().manual_seed(0)
    frequency = torch.fft.fftfreq(side)[:, None].square() + torch.fft.rfftfreq(side).square()
    spectrum = torch.fft.rfft2(torch.randn(side, side, generator=rng)) / (1 + frequency * 300).sqrt()
    field = torch.fft.irfft2(spectrum, s=(side, side))
    return (0.5 + 0.12 * field / field.std()).expand(1, 3, -1, -1).clamp(0, 1)


def cracks() -> Tensor:
    """Dark borders between the cells of random points."""
    rng = torch.Generator().manual_seed(0)
    points = torch.rand(30, 2, generator=rng) * SIDE
    places = torch.stack(torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij"), -1)
    nearest = torch.cdist(places.flatten(0, 1), points).topk(2, largest=False).values
    edge = (nearest[:, 1] - nearest[:, 0]).view(SIDE, SIDE) < 2.5
    return (straw() * 0.5 + 0.3) * torch.where(edge, 0.3, 1.0)


def blobs() -> Tensor:
    return torch.nn.functional.interpolate(straw(16), SIDE, mode="bicubic").clamp(0, 1)


def rows() -> Tensor:
    return straw() * 0.4 + 0.3 * (torch.arange(SIDE) % 24 < 12).float()[:, None]


def test_noise_suits_noise() -> None:
    assert noise_suits(straw())
    assert noise_suits(straw(200)[..., :160])
    assert noise_suits(0.5 + 0.1 * (straw() - 0.5)), "whatever the contrast"


@pytest.mark.parametrize(
    "texture", [cracks(), blobs(), rows(), (straw() > 0.5).float(), torch.ones(1, 3, 128, 128)]
)
def test_noise_suits_no_shapes(texture: Tensor) -> None:
    assert not noise_suits(texture)


def test_small_exemplars_are_not_judged() -> None:
    assert not noise_suits(straw(80))


def test_figures_do_not_depend_on_size_and_contrast() -> None:
    figures = noise_figures(cracks())
    assert noise_figures(0.5 + 0.5 * (cracks() - 0.5)) == pytest.approx(figures, abs=1e-3)


def chosen(*exemplars: Exemplar, **changes: object) -> str:
    return plan_expand(exemplars, ExpandSettings.model_validate(changes)).settings.method


def test_the_open_method_is_noise_where_it_suits() -> None:
    plain = Exemplar(straw())
    assert chosen(plain) == chosen(plain, tileable=True) == "noise"
    assert chosen(Exemplar(cracks())) != "noise"
    assert chosen(plain, plain) == "patch"
    assert chosen(Exemplar(straw(), mask=torch.ones(1, 1, SIDE, SIDE))) == "patch"
    assert chosen(Exemplar(straw(), siblings=(straw()[:, :1],))) != "noise", "whose patches would show"
