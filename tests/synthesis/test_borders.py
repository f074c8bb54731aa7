"""Borders of layouts against every pair of pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.synthesis.borders import find_borders, pixel_grid

REACH = 12
SLACK = 4.0  # Pixels that half the size costs


def voronoi(height: int, width: int, *, wrap: bool, seed: int = 0) -> Tensor:
    """A layout (2, H, W) of a few copies, each where its middle is the nearest."""
    rng = torch.Generator().manual_seed(seed)
    size = torch.tensor([height, width]).view(2, 1, 1)
    middles = (torch.rand(5, 2, 1, 1, generator=rng) * size).long()
    sources = torch.randint(100, 900, (5, 2, 1, 1), generator=rng)
    way = pixel_grid(height, width) - middles
    if wrap:
        way = (way + size // 2) % size - size // 2
    nearest = way.square().sum(1).argmin(0)[None, None].expand(1, 2, height, width)
    return (sources + way).gather(0, nearest)[0]


def by_all_pairs(layout: Tensor, *, wrap: bool) -> tuple[Tensor, Tensor]:
    """Distances of all pixels to those of other copies, and the positions beyond, each over n x n pairs.

    The copy of a pixel is that of the even one before it, which stands for four.
    """
    _, height, width = layout.shape
    size = torch.tensor([height, width])
    here, places = pixel_grid(height, width).flatten(1).T, layout.flatten(1).T
    way = here[None] - here[:, None]
    offset = places - here
    if wrap:
        way = (way + size // 2) % size - size // 2
        offset = offset % size
    row, column = (here // 2 * 2).unbind(1)
    own = offset[row * width + column]
    other = (offset[None] != own[:, None]).any(2)
    distance = way.square().sum(2).double().sqrt()
    return torch.where(other, distance, torch.inf), places[None] - way


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [(32, 40), (26, 18), (31, 25)])
@pytest.mark.parametrize("seed", [0, 1])
def test_borders_are_those_of_all_pairs(size: tuple[int, int], wrap: bool, seed: int) -> None:
    layout = voronoi(*size, wrap=wrap, seed=seed)
    borders = find_borders(layout[None], REACH, wrap=wrap)
    distances, beyond = by_all_pairs(layout, wrap=wrap)
    nearest = distances.min(1).values
    assert borders.other.shape == (1, 2, *size)
    assert borders.distance.shape == (1, 1, *size)
    near = nearest < REACH - SLACK
    assert near.any()
    assert (borders.distance.flatten()[near] - nearest[near]).abs().max() < SLACK
    assert (borders.distance.flatten()[nearest > REACH + SLACK] > REACH).all()
    # What is beyond is what a copy about as near as the nearest one would show here.
    found = (beyond == borders.other[0].flatten(1).T[:, None]).all(2)
    assert (found & (distances <= nearest[:, None] + SLACK)).any(1)[near].all()


def test_one_copy_has_no_border() -> None:
    layout = pixel_grid(40, 48)[None] + 7
    assert find_borders(layout, REACH).distance.min() > REACH


@pytest.mark.parametrize("size", [(40, 48), (33, 25)])
def test_a_copy_moved_around_a_torus_has_no_border(size: tuple[int, int]) -> None:
    sides = torch.tensor(size).view(2, 1, 1)
    layout = ((pixel_grid(*size) + 11) % sides)[None]
    assert find_borders(layout, REACH, wrap=True).distance.min() > REACH
    assert find_borders(layout, REACH).distance.min() < 2


def test_each_layout_of_a_batch_is_on_its_own() -> None:
    layouts = torch.stack([voronoi(32, 32, wrap=False, seed=k) for k in range(3)])
    together = find_borders(layouts, REACH)
    for k in range(3):
        alone = find_borders(layouts[k : k + 1], REACH)
        assert torch.equal(together.other[k], alone.other[0])
        assert torch.equal(together.distance[k], alone.distance[0])
