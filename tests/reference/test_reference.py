"""The published forms agree with ours."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from helpers.nets import tiny_model, waves
from torch import Tensor

from texsynth.config.settings import IFTSettings, StylizeSettings, WCTSettings
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.reference import cascade as published
from texsynth.reference.cascade import random_model, svd_wct
from texsynth.reference.ift import direct, fused, second_moment
from texsynth.transforms import Moments, fit_map
from texsynth.transforms.ift import style_weight

PULL, UPDATES = 0.03, 15
IFT = IFTSettings(pull=PULL, n_upd=UPDATES, step="fixed", rate=0.01, centred=False)
TINY = (4, 6, 8, 10, 12)


def features(seed: int, channels: int, n: int, dtype: torch.dtype) -> Tensor:
    """Correlated and positive, (C, n)."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=rng, dtype=torch.float64)
    return (mixing @ torch.randn(channels, n, generator=rng, dtype=torch.float64)).relu().to(dtype)


@pytest.mark.parametrize("form", [direct, fused])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize(("channels", "n"), [(8, 500), (24, 4096), (24, 16)])
def test_ift_on_features_equals_ift_on_matrices(
    form: partial[Tensor], dtype: torch.dtype, most: float, channels: int, n: int
) -> None:
    content, style = features(0, channels, n, dtype), 2 * features(1, channels, 300, dtype)
    ours = fit_map(IFT, *(Moments.of(f[None, :, None]) for f in (content, style)))(content[None, :, None])
    second = second_moment(style)
    weight = style_weight(second_moment(content).double(), second.double(), PULL)
    theirs = form(content, second, weight=weight, rate=IFT.rate, n_upd=UPDATES)
    moved = (theirs - content).norm()
    assert moved > 0.01 * content.norm(), "the iteration does something"
    assert (ours[0, :, 0] - theirs).norm() <= most * moved


def test_svd_wct_gives_the_mean_and_covariance_of_the_style() -> None:
    content, style = features(2, 12, 900, torch.float64), 3 * features(3, 12, 700, torch.float64)
    result = svd_wct(content, style)
    torch.testing.assert_close(result.cov(), style.cov(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(result.mean(1), style.mean(1), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(content.cov(), style.cov(), rtol=0.1)


def test_svd_wct_equals_ours_without_a_ridge() -> None:
    content, style = (features(seed, 12, 900, torch.float64) for seed in (2, 3))
    moments = [Moments.of(f[None, :, None]) for f in (content, style)]
    ours = fit_map(WCTSettings(ridge=1e-12), *moments)(content[None, :, None])[0, :, 0]
    torch.testing.assert_close(svd_wct(content, style), ours, rtol=1e-6, atol=1e-6)


def test_svd_wct_leaves_out_what_the_content_lacks() -> None:
    content, style = features(2, 6, 400, torch.float64), features(3, 6, 400, torch.float64)
    content[4] = 0
    result = svd_wct(content, style)
    assert result.isfinite().all()
    assert torch.linalg.matrix_rank(result.cov()) == 5


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_plain_layers_equal_those_of_the_models(level: int) -> None:
    model = random_model(TINY)
    image = waves(48, 64)
    encoded = published.plain_encoder(model, level)(image)
    torch.testing.assert_close(encoded, model.encoder.segment(image, 0, level), rtol=1e-4, atol=1e-5)
    decoded = published.plain_decoder(model, level)(encoded)
    torch.testing.assert_close(decoded, model.decoder(level)(encoded), rtol=1e-4, atol=1e-4)


def test_the_published_cascade_equals_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    # The published one does not give back what decoders lose.
    monkeypatch.setattr("texsynth.pipelines.transfer.WORTH", 1.0)
    model, levels = random_model((16,) * 5, seed=6), (4, 3, 2, 1)
    content, style = waves(48, 64), waves(64, 48, 2.0)
    settings = StylizeSettings(transform=IFT, grain=0, preserve_detail=0, preserve_light=0, levels=levels)
    ours = stylize(content, fit_style(style, model, settings), model, settings)

    def transform(own: Tensor, wanted: Tensor) -> Tensor:
        second = second_moment(wanted)
        weight = style_weight(second_moment(own), second, PULL)
        return direct(own, second, weight=weight, rate=IFT.rate, n_upd=UPDATES)

    networks = [(published.plain_encoder(model, n), published.plain_decoder(model, n)) for n in levels]
    theirs = published.cascade(content, style, networks, transform)
    assert ours.std() > 0.05, "not all black or white"
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def test_random_weights_keep_features_alive() -> None:
    """Neither numbers too small for a processor's fast path nor any that overflow float16."""
    model = random_model((16, 32, 64, 64, 64))
    found = model.encoder(waves(64, 64), 4)
    decoded = [model.decoder(level)(f) for level, f in enumerate(found, 1)]
    for values in (*found, *decoded):
        assert values.isfinite().all()
        assert 0.05 < float(values.square().mean().sqrt()) < 20
    assert torch.equal(found[3], random_model((16, 32, 64, 64, 64)).encoder(waves(64, 64), 4)[3])


def test_published_networks_are_plain_float32() -> None:
    for network in (published.plain_encoder, published.plain_decoder):
        values = list(network(tiny_model(torch.bfloat16), 3).parameters())
        assert values
        assert all(w.dtype == torch.float32 and w.is_contiguous() for w in values)
