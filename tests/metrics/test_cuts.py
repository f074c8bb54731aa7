"""Straight cuts, on lines whose length is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.metrics.cuts import misfits, straight_cuts, usual_distance
from texsynth.metrics.texture import pyramid_wasserstein


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discs(side: int, seed: int = 0) -> Tensor:
    """Smooth discs that overlap, each with a colour of its own, (1, 3, side, side) in [0, 1]."""
    rows, columns = torch.arange(side)[:, None], torch.arange(side)
    image, random = torch.full((1, 3, side, side), 0.1), rng(seed)
    for y, x, size, *colour in torch.rand(side * side // 150, 6, generator=random).tolist():
        distance = torch.hypot(rows - y * side, columns - x * side)
        inside = ((6 + 8 * size) - distance).clamp(0, 1)
        image = torch.lerp(image, torch.tensor(colour).view(1, 3, 1, 1), inside)
    return image


def cut(image: Tensor, other: Tensor, length: int) -> Tensor:
    """The right half comes from elsewhere, down to `length`."""
    result = image.clone()
    half = image.shape[3] // 2
    result[:, :, :length, half:] = other[:, :, :length, half:]
    return result


FLAT = torch.full((1, 3, 64, 80), 0.4)


@pytest.mark.parametrize(("length", "counted"), [(64, 50), (40, 33), (24, 17), (23, 0)])
def test_a_line_is_counted_from_24_pixels_on(length: int, counted: int) -> None:
    """All pixels of the line whose patch is inside the picture, in a thousand."""
    output = cut(FLAT, FLAT + 0.02, length)
    other = cut(FLAT, FLAT, 0)
    # The short side of what was laid over it is a line of its own, of 40 pixels less the border.
    across = 0 if length == 64 else 33
    assert straight_cuts(output, other, rng()) == pytest.approx(1000 * (counted + across) / (64 * 80))
    assert straight_cuts(output.mT, other.mT, rng()) == pytest.approx(
        1000 * (counted + across) / (64 * 80)
    ), "rows are as columns"


def test_what_the_exemplar_shows_is_no_cut() -> None:
    output = cut(FLAT, FLAT + 0.3, 64)
    assert straight_cuts(output, FLAT, rng()) > 9
    assert straight_cuts(output, output, rng()) == 0
    assert straight_cuts(output.repeat(1, 1, 2, 1), output, rng()) == 0


def test_ramps_curves_noise_and_slanted_edges_are_no_lines() -> None:
    ramp = torch.linspace(0, 1, 80).expand(1, 3, 64, 80)
    slanted = (torch.arange(64)[:, None] + 2 * torch.arange(80) < 110).float().expand(1, 3, 64, 80)
    noise = torch.rand(1, 3, 200, 200, generator=rng())
    for picture in (ramp, slanted, noise, discs(128)):
        assert straight_cuts(picture, FLAT, rng()) == 0


def test_cut_discs_are_seen_where_the_mixture_of_patches_is_not_worse() -> None:
    exemplar, truth = discs(96), discs(192, seed=1)
    squares = [truth[:, :, y : y + 48, x : x + 48] for y in range(0, 192, 48) for x in range(0, 192, 48)]
    order = torch.randperm(16, generator=rng()).tolist()
    rows = [torch.cat([squares[n] for n in order[start : start + 4]], 3) for start in range(0, 16, 4)]
    shuffled = torch.cat(rows, 2)
    assert straight_cuts(truth, exemplar, rng()) == 0
    assert straight_cuts(shuffled, exemplar, rng()) > 5
    fresh = pyramid_wasserstein(discs(192, seed=2), truth, rng())
    assert pyramid_wasserstein(shuffled, truth, rng()) < fresh, "it likes the cut picture better"


def test_sizes_without_room_have_no_cuts() -> None:
    assert straight_cuts(torch.rand(1, 3, 14, 90, generator=rng()), FLAT, rng()) == 0
    assert straight_cuts(torch.rand(1, 3, 31, 31, generator=rng()), FLAT, rng()) == 0


def noise(height: int, width: int, seed: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=rng(seed))


def test_misfits_are_the_patches_around_a_cut() -> None:
    """Both margins of 5 px are copies in 6 of 26 places for a patch of 15: the cut is between them."""
    exemplar = noise(48, 60, 0)
    output = torch.cat([exemplar[:, :, 3:33, 2:22], exemplar[:, :, 11:41, 37:57]], 3)
    assert misfits(output, exemplar, 0.0, rng()) == pytest.approx(6 / 26)
    assert misfits(output.mT, exemplar.mT, 0.0, rng()) == pytest.approx(6 / 26)
    piece = noise(30, 40, 1)
    usual = usual_distance([piece, noise(40, 30, 2)], exemplar, rng())
    assert misfits(output, exemplar, usual, rng()) == 0, "in noise a cut is like anything else"
    assert misfits(piece, exemplar, 0.0, rng()) == 0, "nothing is copied"
    assert misfits(exemplar, exemplar, 0.0, rng()) == 0, "everything is"


def test_misfits_among_objects() -> None:
    """Squares of the exemplar side by side cut discs; another picture of such discs does not."""
    exemplar, other, corner = discs(96), discs(192, seed=1), rng(5)
    rows = []
    for _ in range(4):
        at = torch.randint(96 - 47, (4, 2), generator=corner).tolist()
        rows.append(torch.cat([exemplar[:, :, y : y + 48, x : x + 48] for y, x in at], 3))
    usual = usual_distance([other], exemplar, rng())
    laid = torch.cat(rows, 2)
    assert misfits(laid, exemplar, usual, rng()) > 0.02
    assert misfits(discs(192, seed=2), exemplar, usual, rng()) < 0.002
    blurred = torch.nn.functional.avg_pool2d(laid, 9, 1, 4)
    assert misfits(blurred, exemplar, usual, rng()) == 0, "as it says, blur hides them"


def test_the_usual_distance_is_the_median() -> None:
    """Flat pieces 0.1 and 0.3 from a flat exemplar, the second of twice as many."""
    exemplar = torch.full((1, 3, 20, 20), 0.4)
    pieces = [exemplar + 0.1, exemplar + 0.3, exemplar + 0.3]
    assert usual_distance(pieces, exemplar, rng()) == pytest.approx(0.3)
    assert misfits(pieces[0], exemplar, 0.05, rng()) == 0
