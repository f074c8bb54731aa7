"""The choice among copies: only what is there, the same on all of a torus, exact where copies agree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.synthesis.copy_choice import centres, choose_copies, high_pass, lay_copies
from texsynth.synthesis.placement import Layout, Placement, slot_sources

Pair = tuple[int, int]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=rng(seed))


def shown(exemplar: Tensor, layout: Tensor) -> Tensor:
    """The picture of a layout, (3, H, W)."""
    return exemplar[0][:, layout[0], layout[1]]


def random_layout(size: Pair, exemplar: Pair, *, circular: bool) -> Layout:
    """Copies on a coarse grid, moved at random, each in a slot of its own."""
    step = [e // 2 for e in exemplar]
    where = [(y, x) for y in range(0, size[0], step[0]) for x in range(0, size[1], step[1])]
    moves = torch.randint(-4, 5, (len(where), 2), generator=rng(3)).tolist()
    ranks = noise(len(where)).tolist()
    slots = [
        (Placement(y - step[0] // 2 + dy, x - step[1] // 2 + dx, -0.5, rank),)
        for (y, x), (dy, dx), rank in zip(where, moves, ranks, strict=True)
    ]
    return Layout(exemplar, size, circular, tuple(slots))


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("size", [(48, 64), (41, 30)])
def test_only_pixels_that_a_copy_has_are_chosen(size: Pair, circular: bool) -> None:
    exemplar, layout = noise(1, 3, 24, 20), random_layout(size, (24, 20), circular=circular)
    index = choose_copies(exemplar, layout)
    rows, columns = (torch.arange(n) for n in size)
    slots = [slot_sources(layout, k, rows, columns) for k in range(len(layout.slots))]
    assert index.shape == size
    assert torch.stack([slot.valid & (slot.source == index) for slot in slots]).any(0).all()


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (41, 99), (20, 70), (16, 150), (17, 16)])
@pytest.mark.parametrize("exemplar", [(16, 16), (17, 30), (48, 33)])
def test_any_size(exemplar: Pair, size: Pair, wrap: bool) -> None:
    layout = lay_copies(noise(1, 3, *exemplar), size, rng(), wrap=wrap)
    assert layout.shape == (2, *size)
    assert layout.dtype == torch.long
    assert layout.min() >= 0
    assert layout[0].max() < exemplar[0]
    assert layout[1].max() < exemplar[1]


def test_seed_and_variation_decide() -> None:
    exemplar = noise(1, 3, 32, 32)
    layout = lay_copies(exemplar, (64, 64), rng())
    assert torch.equal(layout, lay_copies(exemplar, (64, 64), rng()))
    assert not torch.equal(layout, lay_copies(exemplar, (64, 64), rng(1)))
    assert not torch.equal(layout, lay_copies(exemplar, (64, 64), rng(), variation=0.8))


@pytest.mark.parametrize("wrap", [False, True])
def test_an_exact_pattern_is_continued_exactly(wrap: bool) -> None:
    pattern = noise(1, 3, 12, 12, seed=5).repeat(1, 1, 11, 11)
    exemplar = pattern[..., 34:98, 34:98]
    layout = lay_copies(exemplar, (132, 132), rng(), wrap=wrap)
    assert torch.equal(shown(exemplar, layout), pattern[0])


def test_a_plain_exemplar_stays_plain() -> None:
    exemplar = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
    for wrap in (False, True):
        picture = shown(exemplar, lay_copies(exemplar, (45, 50), rng(), wrap=wrap))
        assert torch.equal(picture, exemplar[0, :, :1, :1].expand_as(picture))


def test_no_place_of_a_torus_is_special() -> None:
    """Copies moved around the torus move the choice with them. In float64, as rounds amplify rounding."""
    exemplar, step = noise(1, 3, 32, 32).double(), (8, 16)
    layout = random_layout((64, 48), (32, 32), circular=True)
    slots = [[c._replace(row=c.row + step[0], column=c.column + step[1]) for c in s] for s in layout.slots]
    moved = Layout(layout.exemplar, layout.size, True, tuple(map(tuple, slots)))
    expected = choose_copies(exemplar, layout).roll(step, (0, 1))
    assert torch.equal(choose_copies(exemplar, moved), expected)


def test_parts_of_the_choice() -> None:
    assert high_pass(torch.full((1, 3, 20, 20), 0.5)).std() < 1e-6
    assert centres(8, 4).tolist() == [0, 2, 4, 6]
    assert centres(7, 4).max() <= 6
