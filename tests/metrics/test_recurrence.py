"""Near-copies inside a picture, in eight orientations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.metrics.recurrence import recurrence


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    """Noise with detail of a few pixels, (1, 3, H, W) in [0, 1]."""
    coarse = torch.rand(1, 3, height // 3 + 2, width // 3 + 2, generator=rng(seed))
    fine: Tensor = F.interpolate(coarse, scale_factor=3, mode="bilinear")
    return fine[:, :, :height, :width]


def turned(image: Tensor, k: int) -> Tensor:
    """One of eight orientations."""
    return torch.rot90(image.flip(3) if k >= 4 else image, k % 4, (2, 3))


def test_a_truth_has_no_copies_and_the_exemplar_nine_times_nothing_else() -> None:
    assert recurrence(noise(124, 155)) == (0, 0)
    assert recurrence(noise(62, 62).repeat(1, 1, 3, 3)) == (1, 1)


@pytest.mark.parametrize("k", range(8))
def test_every_orientation_counts(k: int) -> None:
    piece = noise(93, 93)
    both = torch.cat([piece, noise(93, 93, seed=1), turned(piece, k)], 3)
    found = recurrence(both)
    assert found.turned == pytest.approx(18 / 27)
    assert found.upright == (found.turned if k == 0 else 0)


def test_blocks_laid_anew_are_no_copies_of_each_other() -> None:
    """A picture cut into blocks that are shuffled and turned shows each of them once."""
    blocks = noise(155, 124).unfold(2, 31, 31).unfold(3, 31, 31).flatten(2, 3)[0].transpose(0, 1)
    places = torch.randperm(len(blocks), generator=rng()).tolist()
    shuffled = [turned(blocks[at][None], n % 8) for n, at in enumerate(places)]
    rows = [torch.cat(shuffled[n : n + 4], 3) for n in range(0, len(shuffled), 4)]
    assert recurrence(torch.cat(rows, 2)) == (0, 0)


def test_faint_noise_and_less_contrast_hide_no_copy_and_places_need_no_grid() -> None:
    piece = noise(93, 93)
    both = torch.cat([noise(13, 93, seed=7), piece, noise(20, 93, seed=8), 0.2 + 0.5 * turned(piece, 5)], 2)
    both = (both + 0.02 * torch.randn(both.shape, generator=rng())).clamp(0, 1)
    found = recurrence(both)
    assert found.turned > 0.5
    assert found.upright == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_ranking_loses_nothing_that_a_full_search_finds(seed: int) -> None:
    """Against the plain definition, on pieces that are blended into noise and become unlike."""
    image = noise(76, 100, seed)
    piece = noise(40, 40, seed + 10)
    image[:, :, 2:42, 1:41] = piece
    image[:, :, 33:73, 57:97] = (0.3 + 0.2 * seed) * turned(piece, seed + 3) + (0.7 - 0.2 * seed) * image[
        :, :, 33:73, 57:97
    ]
    grey = (image.double() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    windows = F.unfold(grey, 31)[0].T
    windows = windows - windows.mean(1, keepdim=True)
    windows = windows / windows.norm(dim=1, keepdim=True)
    columns = 100 - 30
    rows_of, columns_of = torch.arange(len(windows)) // columns, torch.arange(len(windows)) % columns
    again = []
    for y in range(0, 46, 31):
        for x in range(0, 70, 31):
            block = windows[y * columns + x].view(1, 1, 31, 31)
            apart = ((rows_of - y).abs() >= 31) | ((columns_of - x).abs() >= 31)
            likeness = [float((windows[apart] @ turned(block, k).flatten()).max()) for k in range(8)]
            again.append((max(likeness) > 0.8, likeness[0] > 0.8))
    shares = torch.tensor(again).double().mean(0)
    assert recurrence(image) == pytest.approx(tuple(shares.tolist()))


def test_flat_small_and_overlapping() -> None:
    assert recurrence(torch.full((1, 3, 100, 100), 0.5)) == (0, 0)
    assert recurrence(noise(30, 200)) == (0, 0)
    # A stripe every 20 px recurs, but at 20 px it would overlap itself: only from 40 px on.
    stripes = (torch.arange(124) % 20 < 10).float().expand(1, 3, 62, 124)
    assert recurrence(stripes) == (1, 1)
    assert recurrence(stripes[:, :, :31, :60]) == (0, 0)


def test_many_blocks_are_sampled() -> None:
    assert recurrence(noise(62, 62).repeat(1, 1, 3, 3), most=10) == (1, 1)
