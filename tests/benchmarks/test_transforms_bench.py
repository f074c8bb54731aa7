"""Speed of moments and transforms. Run with `pytest tests/benchmarks --benchmark-only`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from texsynth.config.settings import AdaINSettings, IFTSettings, OTSettings, TransformSettings, WCTSettings
from texsynth.transforms import Moments, fit_map
from texsynth.transforms.ift import style_weight

SETTINGS = IFTSettings(centred=False, pull=0.01, step="fixed", rate=0.01, n_upd=15)
"""Weak enough for the paper's rate not to diverge, so that all forms below compute the same."""


def make_features(seed: int, channels: int, side: int) -> Tensor:
    """Random features behind a ReLU, (1, C, side, side) float32, channels last as in the encoder."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, channels, side, side, generator=generator).relu()
    return features.contiguous(memory_format=torch.channels_last)


def on_matrices(content: Tensor, style: Moments) -> Tensor:
    """Ours: moments of the content, the fit, and its application."""
    return fit_map(SETTINGS, Moments.of(content), style)(content)


def on_features(content: Tensor, style: Moments) -> Tensor:
    """The paper's iteration as it stands, on C x n features."""
    start = content[0].flatten(1).contiguous()
    target, n, f = style.second.float(), start.shape[1], start
    weight = style_weight(target, target, SETTINGS.pull)
    for _ in range(SETTINGS.n_upd):
        f = f - SETTINGS.rate * (2 * (f - start) + 4 * weight * (f @ f.T / n - target) @ f)
    return f.reshape(content.shape)


def on_features_fused(content: Tensor, style: Moments) -> Tensor:
    """The same with one product for the whole update, the fastest form on features known to us."""
    start = content[0].flatten(1).contiguous()
    target, n, f = style.second.float(), start.shape[1], start
    weight, eye = style_weight(target, target, SETTINGS.pull), torch.eye(len(target))
    for _ in range(SETTINGS.n_upd):
        step = (1 - 2 * SETTINGS.rate) * eye - 4 * SETTINGS.rate * weight * (f @ f.T / n - target)
        f = torch.addmm(start, step, f, beta=2 * SETTINGS.rate)
    return f.reshape(content.shape)


@pytest.mark.benchmark(group="ift, 15 updates of 256 x 65,536")
@pytest.mark.parametrize("form", [on_matrices, on_features_fused, on_features])
def test_ift_forms(benchmark: BenchmarkFixture, form: Callable[[Tensor, Moments], Tensor]) -> None:
    content, style = make_features(0, 256, 256), Moments.of(2 * make_features(1, 256, 64))
    out = benchmark.pedantic(form, (content, style), rounds=3, warmup_rounds=1)
    torch.testing.assert_close(out, on_matrices(content, style), rtol=1e-4, atol=1e-4)


@pytest.mark.benchmark(group="fit, 128 channels")
@pytest.mark.parametrize(
    "settings", [AdaINSettings(), WCTSettings(), OTSettings(), IFTSettings()], ids=lambda s: s.name
)
def test_fit(benchmark: BenchmarkFixture, settings: TransformSettings) -> None:
    content, style = (Moments.of(make_features(i, 128, 64)) for i in (0, 1))
    affine = benchmark(fit_map, settings, content, style)
    assert affine.matrix.isfinite().all()


@pytest.mark.benchmark(group="moments of a 512 x 512 picture")
@pytest.mark.parametrize(("channels", "side"), [(16, 512), (32, 256), (64, 128), (128, 64), (128, 32)])
def test_moments(benchmark: BenchmarkFixture, channels: int, side: int) -> None:
    assert benchmark(Moments.of, make_features(0, channels, side)).n == side**2


@pytest.mark.benchmark(group="application to a 512 x 512 picture")
@pytest.mark.parametrize(("channels", "side"), [(16, 512), (32, 256), (64, 128), (128, 64), (128, 32)])
def test_application(benchmark: BenchmarkFixture, channels: int, side: int) -> None:
    features = make_features(0, channels, side)
    moments = Moments.of(features)
    affine = fit_map(WCTSettings(), moments, Moments.of(2 * features))
    assert benchmark(affine, features).shape == features.shape
