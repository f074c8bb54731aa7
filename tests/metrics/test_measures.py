"""Measures of expanded textures, on cases whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers.nets import waves
from torch import Tensor

from texsynth.metrics.fit import misfit
from texsynth.metrics.structure import lattice_displacements, regularity, spectrum_distance
from texsynth.metrics.texture import (
    coherence,
    completeness,
    inner_seams,
    pyramid_wasserstein,
    seam_ranks,
    seams,
    sharpness,
    ssim,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """Noise with detail of a few pixels, (1, 3, H, W) in [0, 1]."""
    coarse = torch.rand(1, 3, height // 3 + 2, width // 3 + 2, generator=rng(seed))
    fine: Tensor = F.interpolate(coarse, scale_factor=3, mode="bilinear")
    return fine[:, :, :height, :width]


def dots(height: int, width: int, vectors: tuple[tuple[float, float], tuple[float, float]]) -> Tensor:
    """A smooth picture that repeats along two vectors (dy, dx)."""
    inverse = torch.linalg.inv(torch.tensor(vectors, dtype=torch.float64))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    phase = 2 * math.pi * (torch.stack([y, x], -1).double() @ inverse)
    grey: Tensor = ((1 + phase.cos()) / 2).prod(-1) ** 2
    return (0.2 + 0.6 * grey).float().expand(1, 3, -1, -1)


FLAT = torch.full((1, 3, 48, 40), 0.4)


@pytest.mark.parametrize("measure", [coherence, completeness, pyramid_wasserstein])
@pytest.mark.parametrize("picture", [noise(50, 44), waves(33, 20), FLAT, noise(16, 16)])
def test_a_picture_has_no_distance_from_itself(
    measure: Callable[[Tensor, Tensor, torch.Generator], float], picture: Tensor
) -> None:
    # Of equal patches the search may find another one, which differs by rounding.
    assert measure(picture, picture, rng()) < 1e-6
    assert spectrum_distance(picture, picture) == 0
    assert sharpness(picture, picture) == 1
    assert ssim(picture, picture) == pytest.approx(1)


@pytest.mark.parametrize("offset", [(0, 0), (5, 8), (11, 3)])
def test_any_piece_is_coherent_but_not_complete(offset: tuple[int, int]) -> None:
    exemplar = noise(60, 64)
    piece = exemplar[:, :, offset[0] : offset[0] + 40, offset[1] : offset[1] + 40]
    assert coherence(piece, exemplar, rng()) == 0
    assert completeness(exemplar, piece, rng()) == 0
    assert completeness(piece, exemplar, rng()) > 0.02


def test_coherence_is_the_distance_to_the_nearest_patch() -> None:
    """A uniform shift of colour moves every patch of a flat picture by just that."""
    assert coherence(FLAT + 0.1, FLAT, rng()) == pytest.approx(0.1, rel=1e-4)
    assert coherence(noise(40, 40, seed=1), FLAT, rng()) > 0.05


def test_the_search_is_exhaustive() -> None:
    """Against the plain definition at one resolution: pictures too small for two."""
    a, b = noise(16, 16, seed=1), noise(15, 16, seed=2)
    patches = [F.unfold(x, 7)[0].T for x in (a, b)]
    distance = torch.cdist(patches[0].double(), patches[1].double()) / math.sqrt(147)
    assert coherence(a, b, rng(), queries=1000) == pytest.approx(
        float(distance.min(1).values.mean()), rel=1e-5
    )
    assert completeness(a, b, rng(), queries=1000) == pytest.approx(
        float(distance.min(0).values.mean()), rel=1e-5
    )


def test_more_noise_is_less_coherent() -> None:
    exemplar = noise(64, 64)
    worse = [
        coherence((exemplar + a * torch.randn(exemplar.shape, generator=rng(3))).clamp(0, 1), exemplar, rng())
        for a in (0.01, 0.05, 0.2)
    ]
    assert worse == sorted(worse)
    assert worse[0] == pytest.approx(0.01 * 0.6, rel=0.3), "the mean of a patch and of a blurred one"


@pytest.mark.parametrize("factor", [0.5, 0.8])
def test_sharpness_is_quadratic_in_contrast(factor: float) -> None:
    image = noise(40, 40)
    assert sharpness(0.5 + factor * (image - 0.5), image) == pytest.approx(factor**2, rel=1e-3)


def test_blur_is_not_sharp_and_flat_pictures_are_as_sharp_as_each_other() -> None:
    image = noise(64, 64)
    blurred = F.avg_pool2d(image, 5, 1, 2)
    assert sharpness(blurred, image) < 0.5
    assert sharpness(FLAT, torch.full((1, 3, 20, 20), 0.9)) == 1
    assert math.isfinite(sharpness(image, FLAT))


def test_seams_of_periodic_and_cut_pictures() -> None:
    """waves() ends where it began, but for the phase of one channel; a ramp jumps by its whole height."""
    ramp = torch.linspace(0, 1, 51).expand(1, 3, 20, 51)
    found = seams(ramp)
    assert found.vertical == pytest.approx(50, rel=1e-2)
    assert found.horizontal == 1, "no change from top to bottom"
    turned = seams(ramp.transpose(2, 3))
    assert turned == pytest.approx((found.horizontal, found.vertical))
    periodic = dots(60, 60, ((12, 0), (0, 15)))
    # Over a whole period every line between pixels is as steep as the one a period away.
    rolled = periodic.roll((5, 4), (2, 3))
    assert seams(periodic.roll(-1, 3)).vertical < 2
    inside = torch.stack([torch.tensor(seams(rolled.roll((k, k), (2, 3)))) for k in range(60)])
    torch.testing.assert_close(inside.mean(0), torch.ones(2), rtol=0.05, atol=0)
    assert seams(FLAT) == (1, 1)


def test_seam_ranks() -> None:
    ramp = torch.linspace(0, 1, 51).expand(1, 3, 20, 51)
    assert seam_ranks(ramp) == (0, 1), "steeper than any line inside; no change from top to bottom"
    # On a torus each line is the border once, so the ranks are evenly spread.
    torus = torch.rand(1, 3, 30, 24, generator=rng())
    ranks = torch.stack([torch.tensor(seam_ranks(torus.roll((k, k), (2, 3)))) for k in range(120)])
    torch.testing.assert_close(ranks.mean(0), torch.full((2,), 0.5), atol=1e-5, rtol=0)


def test_inner_seams_are_on_the_lines_asked_for() -> None:
    """A step of 0.5 along a quarter of one side, on a ramp of a hundredth a pixel in both directions."""
    ramp = (torch.arange(48)[:, None] + torch.arange(60)) / 1000
    image = ramp.expand(1, 3, -1, -1).clone()
    assert inner_seams(image, [8, 4]) == pytest.approx([1] * 8, rel=1e-3)
    image[:, :, 40:, 8:19] += 0.5
    top, bottom, left, right = inner_seams(image, [8])
    # 11 of 44 pixels of the side step by 0.501; 11 of 60 x 47 pixels of all.
    assert bottom == pytest.approx((0.001 + 0.5 / 4) / (0.001 + 0.5 * 11 / (60 * 47)), rel=1e-2)
    assert top < 1
    # The shift's own sides are along columns 8 and 19, below the rectangle's left and right sides.
    assert max(left, right) < 1
    assert inner_seams(image.mT, [8]) == pytest.approx([left, right, top, bottom])
    assert max(inner_seams(image, [9])) < 1, "beside the line it is not seen"
    assert inner_seams(FLAT, [5]) == [1] * 4


def test_wasserstein_of_a_shift_is_its_length() -> None:
    """Only the coarse rest sees a change of colour; there SW^2 = |t|^2 / D, over the truth's deviation."""
    truth = noise(64, 64)
    last = pyramid_rest(truth)
    expected = 0.1 / float(last.std()) / 3
    assert pyramid_wasserstein(truth + 0.1, truth, rng(), directions=2000) == pytest.approx(
        expected, rel=0.05
    )


def pyramid_rest(image: Tensor) -> Tensor:
    """What three levels of a pyramid leave: two times blurred and reduced."""
    taps = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    kernel = torch.outer(taps, taps).expand(3, 1, 5, 5)
    for _ in range(2):
        padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
        image = F.conv2d(padded, kernel, groups=3)[:, :, ::2, ::2]
    return image


def test_wasserstein_takes_any_sizes_and_tells_textures_apart() -> None:
    truth, same, other = noise(128, 96), noise(80, 120, seed=5), waves(80, 120)
    near, far = (pyramid_wasserstein(x, truth, rng()) for x in (same, other))
    assert near < 0.3 * far


def test_wasserstein_sees_contrast() -> None:
    truth = noise(64, 64)
    faint = 0.5 + 0.5 * (truth - 0.5)
    assert pyramid_wasserstein(faint, truth, rng()) == pytest.approx(0.5, abs=0.1)


def test_spectrum_of_half_the_contrast() -> None:
    """Power falls to a quarter at every frequency and stays where it was in direction."""
    image = noise(64, 80)
    assert spectrum_distance(0.5 + 0.5 * (image - 0.5), image) == pytest.approx(math.log10(4), rel=0.01)


def test_spectrum_sees_direction_and_scale_apart() -> None:
    image = noise(96, 96)
    wide = F.interpolate(image, scale_factor=(1.0, 4.0), mode="bilinear")[:, :, :, :96]
    chance = spectrum_distance(noise(96, 96, seed=1), image)
    assert spectrum_distance(wide.transpose(2, 3), wide) > 3 * chance, "another direction"
    assert spectrum_distance(wide, image) > 3 * chance, "another size of detail"
    assert spectrum_distance(image.roll(10, 3), image) < 0.2
    assert spectrum_distance(noise(96, 96, seed=1), noise(64, 70)) < 0.5


@pytest.mark.parametrize("vectors", [((12.0, 0.0), (0.0, 17.0)), ((10.5, 4.0), (-6.0, 14.25))])
def test_lattice_is_found_where_it_is(vectors: tuple[tuple[float, float], tuple[float, float]]) -> None:
    found = lattice_displacements(dots(120, 110, vectors), torch.tensor(vectors))
    assert all(d.relative < 0.01 and d.height > 0.9 for d in found)


@pytest.mark.parametrize("stretch", [0.95, 1.03, 1.08])
def test_lattice_of_another_period_is_displaced_by_the_difference(stretch: float) -> None:
    vectors = ((24.0, 0.0), (0.0, 30.0))
    other = dots(200, 200, ((24 * stretch, 0.0), (0.0, 30.0)))
    down, right = lattice_displacements(other, torch.tensor(vectors))
    assert down.relative == pytest.approx(abs(stretch - 1), abs=0.005)
    assert right.relative < 0.005


def test_lattice_of_noise_is_low_and_of_too_small_a_picture_unknown() -> None:
    assert all(d.height < 0.3 for d in lattice_displacements(noise(120, 120), torch.eye(2) * 30))
    assert lattice_displacements(noise(40, 40), torch.tensor([[0.0, 30.0]])) == [(math.inf, 0.0)]
    assert lattice_displacements(FLAT, torch.tensor([[0.0, 12.0]]))[0].height == 0


def test_the_nearest_of_the_high_peaks_counts() -> None:
    """Ripples of a fine pattern lie on the slopes of the coarse one's peaks."""
    coarse, fine = dots(240, 240, ((40.0, 0.0), (0.0, 40.0))), dots(240, 240, ((5.0, 0.0), (0.0, 5.0)))
    mixed = 0.7 * coarse + 0.3 * fine
    assert all(d.relative < 0.01 for d in lattice_displacements(mixed, torch.eye(2) * 40.4))


def test_regularity_is_how_well_a_picture_repeats() -> None:
    assert regularity(dots(120, 110, ((24.0, 0.0), (0.0, 30.0)))) == pytest.approx(1, abs=0.03)
    assert regularity(noise(120, 120)) < 0.3
    tiled = noise(60, 60).repeat(1, 1, 3, 3)
    assert regularity(tiled) > 0.95, "tiling imposes a lattice"
    assert regularity(FLAT) == 0


def test_ssim_of_constants_is_the_luminance_term() -> None:
    a, b = torch.full((1, 3, 20, 20), 0.2), torch.full((1, 3, 24, 18), 0.6)
    assert ssim(a, b) == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), rel=1e-5)
    assert ssim(noise(40, 40), 1 - noise(40, 40)) < 0


def test_a_fill_that_goes_on_from_its_surroundings_is_less_strange_than_others() -> None:
    picture = dots(144, 144, ((12.0, 0.0), (0.0, 12.0)))
    filled = torch.zeros(144, 144, dtype=torch.bool)
    filled[60:84, 60:84] = True
    shifted = torch.where(filled, picture.roll(5, 3), picture)
    grey = torch.where(filled, torch.full((), 0.5), picture)
    usual, cut, flat = (misfit(image, filled, ~filled) for image in (picture, shifted, grey))
    assert usual < 0.01
    assert min(cut, flat) > 10 * usual
    hidden = torch.where(filled, picture, torch.rand(1, 3, 144, 144, generator=rng()))
    assert misfit(hidden, filled, torch.zeros_like(filled)) == 0, "nothing to compare with"
