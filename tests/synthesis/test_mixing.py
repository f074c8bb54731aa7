"""Borders between layouts of several textures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.ops.resample import box_mean
from texsynth.synthesis.mixing import cut_regions, lead


def slope(size: int) -> Tensor:
    """Potentials of two regions that meet in the middle column, by 0.1 for each pixel, (2, size, size)."""
    x = (torch.arange(size) - (size - 1) / 2).expand(size, size) * 0.05
    return torch.stack([-x, x])


def noise(size: int, seed: int) -> Tensor:
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("wrap", [False, True])
def test_a_border_follows_the_line_along_which_two_layouts_agree(wrap: bool) -> None:
    size = 48
    y = torch.arange(size)
    line = (24 + 5 * torch.sin(2 * torch.pi * y / size)).round().long()
    first, second = noise(size, 0), noise(size, 1)
    for row in range(size):  # both show the same along a wave
        second[:, row, line[row] - 1 : line[row] + 2] = first[:, row, line[row] - 1 : line[row] + 2]
    chosen = cut_regions([first, second], slope(size), 1.0, wrap=wrap)
    border = (chosen == 0)[:, 8:40].sum(1) + 8
    assert float((border - line).abs().float().mean()) < 1.5


def test_borders_stay_within_reach_and_regions_beyond_are_kept() -> None:
    size, reach = 40, 0.45
    layouts = [noise(size, seed) for seed in range(3)]
    potentials = 4 * box_mean(torch.randn(3, size, size, generator=torch.Generator().manual_seed(4)), 6)
    chosen = cut_regions(layouts, potentials, reach, wrap=False)
    for number in range(3):
        ahead = lead(potentials, number)
        assert bool((chosen[ahead > reach] == number).all())
        assert not bool((chosen[ahead < -reach] == number).any())


def test_a_border_between_even_colours_is_straight() -> None:
    size = 32
    layouts = [torch.full((3, size, size), value) for value in (0.2, 0.8)]
    ragged = slope(size)
    ragged[0] += 0.3 * torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    chosen = cut_regions(layouts, ragged, 1.2, wrap=False)
    turns = (chosen.diff(dim=0) != 0).sum()
    assert int(turns) <= 8
