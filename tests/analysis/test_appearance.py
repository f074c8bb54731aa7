"""What is said of a texture: how regular it is, how it repeats, its light and its colours."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from texsynth.analysis.appearance import measure_appearance
from texsynth.analysis.lattice import (
    find_lattice,
    most_likely_lattice,
    regularity_kind,
    regularity_score,
    self_correlation,
)
from texsynth.analysis.palette import palette, tone
from texsynth.analysis.self_similarity import masked_overlap, self_difference
from texsynth.ops.color import to_lab


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def cells(height: int, width: int, rows: float, columns: float) -> Tensor:
    """A smooth picture that repeats every `rows` and `columns` pixels and at no shorter shift."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    v, u = 2 * math.pi * y / rows, 2 * math.pi * x / columns
    grey = 0.5 + 0.2 * (v.cos() + 0.5 * (2 * v).sin()) * (u.cos() + 0.5 * (2 * u).sin())
    return (grey + 0.1 * u.cos() + 0.1 * v.cos()).clamp(0, 1).expand(1, 3, -1, -1)


def regularity(image: Tensor, mask: Tensor | None = None) -> float:
    return regularity_score(most_likely_lattice(image, mask))


def test_exact_repetition_is_regular_and_noise_is_not() -> None:
    assert regularity(cells(100, 120, 20, 30)) > 0.97
    assert regularity(noise(128, 128)) < 0.1
    assert regularity(noise(32, 32)) < 0.35


@pytest.mark.parametrize("shade", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 20), (9, 5), (40, 33), (300, 300)])
def test_one_colour_is_not_regular_but_zero(shade: float, size: tuple[int, int]) -> None:
    flat = torch.full((1, 3, *size), shade)
    assert regularity(flat) == 0
    assert regularity(flat, torch.ones(1, 1, *size)) == 0
    assert find_lattice(flat) is None


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_noise_on_it_makes_a_texture_less_regular(share: float) -> None:
    pictures = [(1 - s) * cells(96, 96, 16, 24) + s * noise(96, 96) for s in (share / 2, share)]
    scores = [regularity(picture) for picture in pictures]
    assert 0 <= scores[1] < scores[0] <= 1


def test_the_score_is_the_confidence_of_the_lattice_that_is_used() -> None:
    for picture in (cells(90, 80, 18, 20), 0.5 * cells(90, 80, 18, 20) + 0.5 * noise(90, 80)):
        found = find_lattice(picture)
        assert found is not None
        assert regularity(picture) == pytest.approx(min(1, found.confidence))
    assert [regularity_kind(score) for score in (0.0, 0.39, 0.4, 0.69, 0.7, 1.0)] == [
        "stochastic", "stochastic", "near-regular", "near-regular", "regular", "regular",
    ]  # fmt: skip


def test_a_mask_of_ones_changes_nothing_and_a_hole_is_not_unlike_its_surroundings() -> None:
    whole = cells(96, 96, 16, 24)
    ones = torch.ones(1, 1, 96, 96)
    # Beyond half the size, little of the picture overlaps and counts less under a mask.
    middle = slice(24, -24)
    one, other = (score[middle, middle] for score in (self_correlation(whole), self_correlation(whole, ones)))
    assert torch.allclose(one, other, atol=1e-5)
    ones[:, :, 20:60, 30:70] = 0
    damaged = whole.where(ones > 0, noise(96, 96))
    assert regularity(damaged, ones) > 0.95 > regularity(damaged)
    found = most_likely_lattice(damaged, ones)
    assert found is not None
    assert found.periods == pytest.approx((16, 24), abs=0.3)
    assert regularity(damaged, torch.zeros_like(ones)) == 0


def test_overlap_under_a_mask_by_brute_force() -> None:
    values, mask = noise(5, 6)[:, 0], (noise(5, 6, 1)[:, 1] > 0.4).float()
    found = masked_overlap(values, mask, (3, 2))
    for p in range(-3, 4):
        for q in range(-2, 3):
            pairs = [(m, n) for m in range(5) for n in range(6) if 0 <= m - p < 5 and 0 <= n - q < 6]
            wanted = sum(float(values[0, m, n] * mask[0, m - p, n - q]) for m, n in pairs)
            assert float(found[0, 3 + p, 2 + q]) == pytest.approx(wanted, abs=1e-5)
    _, energy = self_difference(noise(5, 6), (3, 2))
    squares = noise(5, 6).square().sum(1)
    assert torch.allclose(masked_overlap(squares, torch.ones(1, 5, 6), (3, 2)), energy, atol=1e-5)


def test_a_stripe_has_one_period() -> None:
    stripes = cells(80, 96, 1e9, 16)
    found = most_likely_lattice(stripes)
    assert found is not None
    assert found.periods == pytest.approx((16,), rel=0.015)


def test_appearance_of_a_large_picture_is_in_its_own_pixels() -> None:
    found = measure_appearance(cells(1100, 900, 110, 150))
    assert found.kind == "regular"
    assert found.periods == pytest.approx((110, 150), rel=0.01)
    assert found.lattice is not None
    assert abs(float(torch.linalg.det(torch.tensor(found.lattice)))) == pytest.approx(110 * 150, rel=0.02)


def test_appearance_of_a_stochastic_picture_and_of_one_colour() -> None:
    rough = measure_appearance(noise(64, 80))
    assert (rough.kind, rough.lattice, rough.periods, rough.orientations) == ("stochastic", None, (), ())
    flat = measure_appearance(torch.full((1, 3, 20, 30), 0.4))
    assert (flat.regularity, flat.kind) == (0, "stochastic")
    assert flat.contrast == pytest.approx(0, abs=1e-6)
    assert flat.lightness == pytest.approx(0.4)
    assert flat.palette == (((102, 102, 102), 1.0),)


def test_appearance_sees_only_what_the_mask_leaves() -> None:
    mask = torch.zeros(1, 1, 90, 100)
    mask[:, :, :, :60] = 1
    whole = cells(90, 100, 15, 20)
    hidden = whole.where(mask > 0, torch.tensor(0.9))
    found, alone = measure_appearance(hidden, mask), measure_appearance(whole[..., :60])
    assert found.contrast == pytest.approx(alone.contrast)
    assert found.lightness == pytest.approx(alone.lightness)
    assert found.palette == alone.palette
    assert found.regularity > 0.95
    nothing = measure_appearance(hidden, torch.zeros_like(mask))
    assert (nothing.regularity, nothing.palette, nothing.orientations) == (0, (), ())


def test_tone_of_two_halves() -> None:
    image = torch.full((1, 3, 10, 10), 0.2)
    image[..., 5:] = 0.8
    assert tone(image) == pytest.approx((0.5, 0.3), abs=1e-6)
    assert tone(image, (image[:, :1] > 0.5).float()) == pytest.approx((0.8, 0), abs=1e-6)


def test_palette_of_known_colours() -> None:
    colours = {(200, 30, 40): 60, (20, 160, 60): 30, (30, 30, 200): 10}
    pixels = torch.cat([torch.tensor(c).repeat(n, 1) for c, n in colours.items()]) / 255
    mixed = pixels[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    found = palette(mixed.T.reshape(1, 3, 10, 10))
    assert [colour.rgb for colour in found] == list(colours)
    assert [colour.share for colour in found] == pytest.approx([0.6, 0.3, 0.1])
    large = mixed.T.reshape(1, 3, 10, 10).repeat(1, 1, 40, 40)
    assert [colour.rgb for colour in palette(large)] == list(colours)
    assert [colour.share for colour in palette(large)] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    assert palette(large) == palette(large)


def test_palette_is_sorted_complete_and_of_visible_differences() -> None:
    found = palette(noise(60, 60), most=7)
    assert len(found) == 7
    assert sum(colour.share for colour in found) == pytest.approx(1)
    assert all(a.share >= b.share for a, b in pairwise(found))
    assert len(palette(0.5 + 0.01 * noise(40, 40))) == 1, "one grey to the eye"


def test_lab_of_known_colours() -> None:
    rgb = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    wanted = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]
    assert torch.allclose(to_lab(rgb), torch.tensor(wanted, dtype=torch.float64), atol=0.05)
