"""Where copies of an exemplar go: all is covered, and a regular texture keeps its lattice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.analysis.self_similarity import self_difference
from texsynth.synthesis.copy_choice import high_pass
from texsynth.synthesis.placement import Layout, Placement, place_copies, slot_sources

Pair = tuple[int, int]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def place(exemplar: Tensor, size: Pair, *, circular: bool = False, **more: float) -> Layout:
    height, width = exemplar.shape[2:]
    difference, energy = (x[0] for x in self_difference(high_pass(exemplar), (height // 2, width // 2)))
    rng = torch.Generator().manual_seed(0)
    return place_copies(difference, energy, (height, width), size, rng, circular=circular, **more)


def copies(layout: Layout) -> list[Placement]:
    return [copy for slot in layout.slots for copy in slot]


def pixels(layout: Layout) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.arange(n) for n in layout.size)
    return rows, columns


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("size", [(128, 128), (40, 50), (20, 17), (16, 150), (93, 64)])
@pytest.mark.parametrize("exemplar", [(64, 64), (31, 80), (16, 16)])
def test_copies_cover_every_pixel(size: Pair, exemplar: Pair, circular: bool) -> None:
    layout = place(noise(1, 3, *exemplar), size, circular=circular)
    slots = [slot_sources(layout, k, *pixels(layout)) for k in range(len(layout.slots))]
    assert torch.stack([slot.valid for slot in slots]).any(0).all()


@pytest.mark.parametrize("circular", [False, True])
def test_copies_of_one_slot_do_not_overlap(circular: bool) -> None:
    layout = place(noise(1, 3, 24, 32), (80, 90), circular=circular)
    for slot in layout.slots:
        count = torch.zeros(layout.size)
        for copy in slot:
            one = Layout(layout.exemplar, layout.size, circular, ((copy,),))
            count += slot_sources(one, 0, *pixels(one)).valid
        assert count.max() == 1


def test_the_first_copy_lies_in_the_middle() -> None:
    assert place(noise(1, 3, 32, 32), (64, 70)).slots[0][0][:2] == (16, 19)


def test_sources_are_those_of_the_copy() -> None:
    layout = place(noise(1, 3, 24, 30), (60, 70))
    copy = layout.slots[0][0]
    slot = slot_sources(layout, 0, *pixels(layout))
    y, x = copy.row + 3, copy.column + 7
    assert slot.valid[y, x]
    assert slot.source[y, x] == 3 * 30 + 7
    assert slot.cues[0, copy.row, copy.column] == 0
    assert slot_sources(layout, 99, *pixels(layout)).valid.sum() == 0, "no such slot"


@pytest.mark.parametrize("circular", [False, True])
def test_a_regular_texture_keeps_its_lattice(circular: bool) -> None:
    """All copies lie whole periods apart, though nobody told what the period is."""
    exemplar = noise(1, 3, 12, 12, seed=5).repeat(1, 1, 6, 6)[..., :64, :64]
    layout = place(exemplar, (132, 132), circular=circular)
    first = layout.slots[0][0]
    inside = [copy for copy in copies(layout) if copy.agreement > -0.5]
    assert len(inside) > 10
    assert all((c.row - first.row) % 12 == (c.column - first.column) % 12 == 0 for c in inside)


def test_an_irregular_texture_gets_no_lattice() -> None:
    laid = copies(place(noise(1, 3, 48, 48), (192, 192)))
    steps = [(a.row - b.row, a.column - b.column) for a in laid for b in laid
             if a is not b and abs(a.row - b.row) < 30 and abs(a.column - b.column) < 30]  # fmt: skip
    assert len(set(steps)) > 0.7 * len(steps)


def test_variation_moves_copies() -> None:
    exemplar = noise(1, 3, 32, 32)
    assert place(exemplar, (64, 64)) == place(exemplar, (64, 64))
    assert place(exemplar, (64, 64)) != place(exemplar, (64, 64), variation=0.8)
