from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from texsynth.transforms.moments import Moments


def make_features(seed: int, *shape: int) -> Tensor:
    """Correlated float64 features (N, C, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(shape[1], shape[1], generator=generator, dtype=torch.float64)
    noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
    features: Tensor = torch.einsum("cd,ndhw->nchw", mixing, noise) / shape[1] ** 0.5
    return features


def explicit(features: Tensor, weight: Tensor | None = None) -> Moments:
    """The definition, in float64."""
    rows = features.double().permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    w = torch.ones(len(rows), 1, dtype=torch.float64) if weight is None else weight.double().reshape(-1, 1)
    return Moments(float(w.sum()), (w * rows).sum(0), (w * rows).T @ rows)


def assert_same(a: Moments, b: Moments, tolerance: float) -> None:
    """Equal weight, and first and second moments equal relative to the largest entry."""
    assert a.n == pytest.approx(b.n, rel=tolerance)
    for x, y in ((a.sum, b.sum), (a.outer, b.outer)):
        assert_close(x, y, rtol=0, atol=tolerance * max(float(y.abs().max()), 1e-300))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("offset", [0.0, 3.0, 100.0, -100.0])
@pytest.mark.parametrize("shape", [(1, 16, 96, 120), (1, 64, 33, 31), (2, 5, 1, 7)])
def test_float32_sums_keep_the_covariance(
    shape: tuple[int, ...], offset: float, layout: torch.memory_format
) -> None:
    features = make_features(0, *shape)
    features = (features + offset * features.std()).float().contiguous(memory_format=layout)
    ours, reference = Moments.of(features), explicit(features)
    covariance = reference.covariance
    assert_close(ours.covariance, covariance, rtol=0, atol=1e-6 * float(covariance.abs().max()))
    assert_same(ours, reference, 1e-6)


def test_many_equal_values_do_not_round_alike() -> None:
    features = (make_features(1, 1, 16, 128, 128) + 0.4).relu().float()
    assert_same(Moments.of(features), explicit(features), 2e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_summed_in_float32(dtype: torch.dtype) -> None:
    features = (300 * make_features(2, 1, 8, 20, 20)).to(dtype)
    assert_same(Moments.of(features), explicit(features), 1e-6)


def test_autocast_does_not_reach_the_sums() -> None:
    features = make_features(3, 1, 8, 20, 20).float()
    with torch.autocast("cpu", torch.bfloat16):
        ours = Moments.of(features)
    assert_same(ours, Moments.of(features), 0)


@pytest.mark.parametrize("cut", [1, 13, 29])
def test_tiles_and_pictures_add_up(cut: int) -> None:
    features = make_features(4, 3, 6, 12, 30)
    tiles = Moments.of(features[..., :cut]) + Moments.of(features[..., cut:])
    pictures = sum((Moments.of(f[None]) for f in features), Moments.empty(6))
    assert_same(tiles, Moments.of(features), 1e-13)
    assert_same(pictures, Moments.of(features), 1e-13)


def test_a_weight_is_a_repetition() -> None:
    features = make_features(5, 1, 4, 9, 8)
    weight = torch.arange(72).reshape(1, 1, 9, 8) % 4
    repeated = features.flatten(2).repeat_interleave(weight.flatten(), 2)[..., None]
    assert_same(Moments.of(features, weight), Moments.of(repeated), 1e-13)


def test_soft_weights_follow_the_definition() -> None:
    features = make_features(6, 2, 4, 30, 31)
    weight = torch.rand(2, 1, 30, 31, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_same(Moments.of(features, weight), explicit(features, weight), 1e-13)


def test_a_small_region_far_from_the_rest_keeps_its_covariance() -> None:
    features = make_features(7, 1, 4, 128, 128).float()
    features[..., 3:5, 5:9] += 1000
    weight = torch.zeros(1, 1, 128, 128)
    weight[..., 3:5, 5:9] = 1
    inside = features[..., 3:5, 5:9]
    covariance = explicit(inside).covariance
    assert_close(Moments.of(features, weight).covariance, covariance, rtol=0, atol=1e-5)


def test_no_pixels() -> None:
    features = make_features(8, 1, 4, 6, 6)
    moments = Moments.of(features, torch.zeros(1, 1, 6, 6))
    assert moments.n == 0
    assert not moments.has_spread
    for value in (moments.mean, moments.second, moments.covariance, moments.regular_covariance(1e-3)):
        assert not value.any()


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.5])
def test_constant_features_have_no_spread(value: float) -> None:
    moments = Moments.of(torch.full((1, 8, 40, 40), value))
    assert not moments.has_spread
    assert_close(moments.mean, torch.full((8,), value, dtype=torch.float32).double(), rtol=1e-6, atol=0)


def test_one_pixel_has_no_covariance() -> None:
    moments = Moments.of(make_features(9, 1, 4, 1, 1))
    assert not moments.has_spread
    assert moments.covariance.abs().max() < 1e-14


def test_scaling_changes_the_weight_alone() -> None:
    moments = Moments.of(make_features(10, 1, 4, 9, 9))
    scaled = moments.scaled(0.25)
    assert scaled.n == 81 / 4
    assert_close(scaled.mean, moments.mean)
    assert_close(scaled.covariance, moments.covariance)


def test_a_blend_ignores_the_size_of_pictures() -> None:
    small, large = Moments.of(make_features(11, 1, 4, 5, 5)), Moments.of(make_features(12, 1, 4, 20, 20))
    blend = Moments.blend([small, large], [3, 1])
    assert_close(blend.second, (3 * small.second + large.second) / 4)
    assert_close(blend.mean, (3 * small.mean + large.mean) / 4)
    assert blend.n == pytest.approx((3 * 25 + 400) / 4)


def test_regularity_is_the_ridge_with_enough_pixels() -> None:
    moments = Moments.of(make_features(13, 1, 4, 9, 9))
    covariance = moments.covariance
    expected = covariance + 0.1 * covariance.trace() / 4 * torch.eye(4, dtype=torch.float64)
    assert_close(moments.regular_covariance(0.1), expected)


@pytest.mark.parametrize("n", [2, 5, 15])
def test_fewer_pixels_than_channels_are_shrunk(n: int) -> None:
    moments = Moments.of(make_features(14, 1, 16, 1, n))
    regular, covariance = moments.regular_covariance(1e-9), moments.covariance
    assert_close(regular.trace(), covariance.trace())
    assert torch.linalg.eigvalsh(regular)[0] > 0.01 * covariance.trace() / 16
    assert regular.diagonal().std() < covariance.diagonal().std()


def test_overflow_is_noticed() -> None:
    features = make_features(15, 1, 4, 5, 5)
    assert Moments.of(features).is_finite
    features[0, 1, 2, 3] = torch.inf
    assert not Moments.of(features).is_finite
