"""Measures of stylized pictures and the statistics over them, on cases whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.nets import tiny_model, waves
from torch import Tensor

from texsynth.evaluation.results import Estimate, bootstrap
from texsynth.evaluation.stylize import SAMPLES, Network, colour, content, frechet_figures
from texsynth.metrics.style import MOST_DB, edge_similarity, edges, feature_wasserstein, gram_distance, psnr
from texsynth.metrics.texture import ssim
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.transfer import tiled_encoder
from texsynth.transforms.moments import Moments


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(height: int = 12, width: int = 10, seed: int = 0) -> Tensor:
    return torch.rand(1, 5, height, width, generator=rng(seed))


# Distance to the style


def test_gram_distance_of_a_multiple() -> None:
    """G of a f is a^2 G, so the relative square of the gap is (a^2 - 1)^2."""
    style = features()
    for factor in (0.0, 0.5, 1.0, 2.0):
        found = gram_distance(Moments.of(factor * style), Moments.of(style))
        assert found == pytest.approx((factor**2 - 1) ** 2, abs=1e-6)


def test_gram_distance_knows_no_scale_and_no_size() -> None:
    output, style = features(seed=1), features(9, 14, seed=2)
    found = gram_distance(Moments.of(output), Moments.of(style))
    assert found > 1e-4
    scaled = gram_distance(Moments.of(100 * output), Moments.of(100 * style))
    assert scaled == pytest.approx(found, rel=1e-4)
    twice = gram_distance(Moments.of(output.repeat(1, 1, 2, 1)), Moments.of(style))
    assert twice == pytest.approx(found, rel=1e-4)


def test_gram_distance_by_hand() -> None:
    """One channel of ones against one of (0, 2): second moments 1 and 2."""
    output, style = torch.ones(1, 1, 1, 2), torch.tensor([[[[0.0, 2.0]]]])
    assert gram_distance(Moments.of(output), Moments.of(style)) == pytest.approx((1 - 2) ** 2 / 4)


def test_wasserstein_of_a_shift_of_one_channel_is_its_length_in_deviations() -> None:
    style = torch.randn(1, 1, 400, generator=rng()).double()
    deviation = float(style.std(correction=0))
    for shift in (0.0, 0.5, 2.0):
        found = feature_wasserstein(style + shift * deviation, style, rng(1))
        assert found == pytest.approx(shift, rel=1e-5, abs=1e-7)


def test_wasserstein_knows_no_order_no_scale_and_no_number_of_positions() -> None:
    output, style = features(seed=1).flatten(2), features(seed=2).flatten(2)
    found = feature_wasserstein(output, style, rng())
    assert found > 0.01
    shuffled = output[:, :, torch.randperm(120, generator=rng(3))]
    assert feature_wasserstein(shuffled, style, rng()) == pytest.approx(found, rel=1e-5)
    assert feature_wasserstein(7 * output, 7 * style, rng()) == pytest.approx(found, rel=1e-5)
    assert feature_wasserstein(output.repeat(1, 1, 3), style, rng()) == pytest.approx(found, rel=1e-5)
    assert feature_wasserstein(style.repeat(1, 1, 2), style, rng()) == pytest.approx(0, abs=1e-6)


def test_wasserstein_to_a_flat_style_is_finite() -> None:
    flat = torch.full((1, 3, 8), 2.0)
    assert feature_wasserstein(flat, flat, rng()) == 0
    assert math.isfinite(feature_wasserstein(flat + 1, flat, rng()))
    assert math.isfinite(feature_wasserstein(flat, torch.zeros_like(flat), rng()))


# What is kept of the content


def test_edges_of_a_step_and_of_nothing() -> None:
    step = torch.zeros(1, 3, 6, 8)
    step[..., 4:] = 1
    found = edges(step)
    assert found.shape == (1, 1, 6, 8)
    expected = torch.zeros(6, 8, dtype=torch.float64)
    expected[:, 3:5] = 1
    torch.testing.assert_close(found[0, 0], expected)
    torch.testing.assert_close(edges(step.transpose(2, 3))[0, 0], expected.T)
    assert edges(torch.full((1, 3, 5, 5), 0.7)).max() < 1e-12


def test_edges_do_not_see_light_and_sign() -> None:
    image = 0.2 + 0.5 * waves(40, 50)
    assert edge_similarity(image, image) == pytest.approx(1)
    assert edge_similarity(image + 0.2, image) == pytest.approx(1)
    assert edge_similarity(1 - image, image) == pytest.approx(1)
    other = 0.2 + 0.5 * waves(40, 50, 1.5)
    assert edge_similarity(other, image) < 0.95
    assert edge_similarity(other, image) == pytest.approx(edge_similarity(image, other))


def test_ssim_sees_luma_alone_and_is_symmetric() -> None:
    image, other = waves(30, 40), waves(30, 40, 1.0)
    assert ssim(image, image) == pytest.approx(1)
    assert ssim(image, other) == pytest.approx(ssim(other, image))
    assert ssim(image.flip(3), other.flip(3)) == pytest.approx(ssim(image, other))
    # A change of colour that leaves luma: red against green by their weights.
    moved = image * 0.5 + 0.25
    moved[:, 0] += 0.1 * 0.7152
    moved[:, 1] -= 0.1 * 0.2126
    assert ssim(moved, image * 0.5 + 0.25) == pytest.approx(1, abs=1e-6)


def test_psnr_of_a_constant_error_and_of_none() -> None:
    image = waves(20, 20) * 0.8
    assert psnr(image + 0.1, image) == pytest.approx(20, abs=1e-3)
    assert psnr(image + 0.01, image) == pytest.approx(40, abs=1e-2)
    assert psnr(image, image) == MOST_DB
    assert psnr(image.double() + 1e-9, image.double()) == MOST_DB


# Features


def test_features_leave_out_the_padding_as_moments_do() -> None:
    model = tiny_model()
    encoder = tiled_encoder(model, 4)
    raster = TensorRaster(waves(37, 45))
    found = encoder.features(raster)
    assert found[4].shape == (1, 10, 5, 6)
    for level, expected in encoder.moments(raster, (1, 2, 3, 4), None, None).items():
        own = Moments.of(found[level])
        assert own.n == expected.n
        torch.testing.assert_close(own.outer, expected.outer)


def test_samples_are_the_same_places_of_equal_sizes() -> None:
    network = Network(tiny_model(), 3)
    large, same = network.of(waves(200, 200)), network.of(waves(200, 200))
    assert large.samples[1].shape == (1, 4, SAMPLES)
    assert large.samples[2].shape == (1, 6, 100 * 100)
    assert torch.equal(large.samples[1], same.samples[1])
    assert large.moments[1].n == 200 * 200, "moments are those of all"


def test_frechet_distance_of_a_shift_is_its_square() -> None:
    results = features()
    shift = torch.tensor([1.0, 0, -2, 0, 0.5])[:, None, None]
    clouds = Moments.of(results), Moments.of(torch.cat([results + shift] * 2, 2))
    figures = frechet_figures(*clouds)
    assert figures["frechet.distance"] == pytest.approx(1 + 4 + 0.25, rel=1e-4)
    assert (figures["frechet.results"], figures["frechet.styles"]) == (120, 240)
    twice = frechet_figures(*(cloud + cloud for cloud in clouds))
    assert twice["frechet.distance"] == pytest.approx(figures["frechet.distance"])


# Baselines


def test_colour_has_the_moments_of_the_style() -> None:
    picture, style = 0.3 + 0.3 * waves(30, 40), 0.4 + 0.2 * waves(25, 20, 2.0)
    made, wanted = Moments.of(colour(picture, style)), Moments.of(style)
    torch.testing.assert_close(made.mean, wanted.mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(made.covariance, wanted.covariance, rtol=0, atol=1e-3)
    assert torch.equal(content(picture, style), picture)
    torch.testing.assert_close(colour(picture, picture), picture, rtol=0, atol=1e-5)


# Statistics


def test_the_interval_of_equal_values_has_no_width() -> None:
    assert bootstrap([0.3] * 7, 0) == pytest.approx((0.3, 0.3), abs=1e-12)
    found = Estimate.of([2.0] * 4, 0)
    assert found == Estimate(4, 2.0, 2.0, 2.0, 2.0)


def test_the_interval_of_two_values_is_all_between_them() -> None:
    """Both draws are the lower one a quarter of the time, more than the 2.5% that are left out."""
    assert bootstrap([1.0, 5.0], 3) == (1.0, 5.0)


def test_the_interval_of_many_values_is_the_normal_one() -> None:
    values = torch.randn(400, generator=rng(), dtype=torch.float64)
    low, high = bootstrap(values.tolist(), 1)
    half = 1.96 * float(values.std()) / math.sqrt(400)
    mean = float(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)
    assert bootstrap(values.tolist(), 1) == (low, high), "the same seed draws the same"
    assert bootstrap(values.tolist(), 2) != (low, high)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert Estimate.of([4.0], 0) == Estimate(1, 4.0, None, None, 4.0)
    assert Estimate.of([], 0) is None
