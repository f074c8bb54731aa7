"""Cells of a lattice: walls of bricks made in the test."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers.walls import HEIGHT, WIDTH, wall
from torch import Tensor

from texsynth.analysis.cells import find_cells
from texsynth.analysis.lattice import Lattice
from texsynth.synthesis.cells import CellDealer
from texsynth.synthesis.exemplar import Exemplar, build_atlas

BOND = Lattice(torch.tensor([[12, 12], [0, 24]], dtype=torch.float64), 0.4)


def bricks(rows: int = 10, columns: int = 5) -> Tensor:
    colours = torch.rand(rows, columns + 1, 3, generator=torch.Generator().manual_seed(2))
    return wall(rows, columns, 0.6 + 0.3 * colours)


def test_the_cells_of_a_wall_are_its_bricks_even_if_its_lattice_is_that_of_four() -> None:
    image = bricks()
    valid = torch.ones(image.shape[2:], dtype=torch.bool)
    four = replace(BOND, vectors=torch.tensor([[24, 0], [0, 48]], dtype=torch.float64))
    for lattice in (BOND, four):
        cells = find_cells(image[0], valid, lattice)
        assert cells is not None
        assert float(torch.linalg.det(cells.vectors).abs()) == pytest.approx(HEIGHT * WIDTH)
        assert float(cells.gauge(torch.tensor([HEIGHT / 2, 0]))) == pytest.approx(1)
        assert float(cells.gauge(torch.tensor([0, WIDTH / 2]))) == pytest.approx(1)
        rows, columns = cells.centres.unbind(1)
        assert bool(((rows % HEIGHT - HEIGHT / 2).abs() <= 1).all())
        beside = (columns + WIDTH // 2 * (rows // HEIGHT % 2)) % WIDTH
        assert bool(((beside - WIDTH / 2).abs() <= 1).all())
        assert 30 <= len(cells.centres) <= 45


def test_equal_bricks_and_textures_without_mortar_have_no_cells() -> None:
    equal = wall(10, 5, torch.full((10, 6, 3), 0.7))
    valid = torch.ones(equal.shape[2:], dtype=torch.bool)
    noise = torch.rand(3, *equal.shape[2:], generator=torch.Generator().manual_seed(3))
    assert find_cells(equal[0], valid, BOND) is None
    assert find_cells(noise, valid, BOND) is None
    stripes = replace(BOND, distinct=(False, True))
    assert find_cells(bricks()[0], valid, stripes) is None


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("likeness", "ink", "grain", "joint"), [(0.35, 0.2, 0.1, 2), (0.5, 0.3, 0.2, 4)])
def test_parts_of_a_few_slabs_are_no_cells(
    seed: int, likeness: float, ink: float, grain: float, joint: int
) -> None:
    """Every second half would have a joint in its middle, and the others none."""
    rng = torch.Generator().manual_seed(seed)
    stains = F.interpolate(torch.rand(1, 1, 12, 12, generator=rng), 128, mode="bicubic")
    image = 0.5 + grain * torch.rand(1, 1, 128, 128, generator=rng) + 0.1 * stains
    for at in (32, 96):
        image[:, :, :, at : at + joint] = ink
    for at in (32, 96):
        image[:, :, at : at + 4] = 0.1
    slabs = Lattice(torch.tensor([[64, 0], [0, 64]], dtype=torch.float64), likeness)
    valid = torch.ones(128, 128, dtype=torch.bool)
    assert find_cells(image[0].expand(3, -1, -1), valid, slabs) is None


@pytest.mark.parametrize("wrap", [False, True])
def test_a_dark_brick_that_is_everywhere_becomes_rare_and_bricks_stay_whole(wrap: bool) -> None:
    colours = 0.6 + 0.3 * torch.rand(10, 6, 3, generator=torch.Generator().manual_seed(2))
    colours[4, 2] = 0.0
    image = wall(10, 5, colours)
    atlas = build_atlas([Exemplar(image)])
    cells = find_cells(image[0], atlas.valid, BOND)
    assert cells is not None
    # The same two rows of two bricks, the dark one among them, again and again.
    rows, columns = torch.arange(120), torch.arange(120 // 48 * 48)
    at = torch.stack(torch.broadcast_tensors((48 + rows % 24)[:, None], (24 + columns % 48)[None])).clone()
    dealer = CellDealer(atlas, at, cells, wrap=wrap)
    dealer.deal(0.5, torch.Generator().manual_seed(0))

    def dark(laid: Tensor) -> float:
        return float((image[0].mean(0)[laid[0], laid[1]] < 0.2).float().mean())

    assert dark(dealer.at) < 0.4 * dark(at)
    assert torch.equal(dealer.image, image[0][:, dealer.at[0], dealer.at[1]])
    # Mortar stays mortar: what is laid elsewhere differs from what was there inside of bricks alone.
    mortar = (rows[:, None] % HEIGHT).clamp(1, HEIGHT - 2) != rows[:, None] % HEIGHT
    moved = (dealer.image - image[0][:, at[0], at[1]]).abs().mean(0)
    assert float(moved[mortar.expand_as(moved)].mean()) < 0.2 * float(moved.mean())
    again = CellDealer(atlas, at, cells, wrap=wrap)
    again.deal(0.5, torch.Generator().manual_seed(0))
    assert torch.equal(again.at, dealer.at)
