"""Corner tiles: whatever may meet joins as within the exemplar."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from texsynth.config.map_settings import TilesetSettings
from texsynth.config.settings import PatchSettings
from texsynth.errors import InputError
from texsynth.pipelines.tileset import CORE, NUMBERS, TileSet, assemble, make_tileset, tile_corners
from texsynth.synthesis.exemplar import Exemplar

PLAIN = TilesetSettings(corners=1, patch=PatchSettings(layouts=1, refine=0.5, iterations=()))


def positions(side: int = 64) -> Exemplar:
    """Grain, and as siblings the row and column of every pixel, over 256."""
    grain = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    at = torch.arange(float(side)) / 256
    return Exemplar(
        grain, (at.view(1, 1, -1, 1).expand(-1, -1, -1, side), at.view(1, 1, 1, -1).expand(-1, -1, side, -1))
    )


def make(exemplar: Exemplar, settings: TilesetSettings = PLAIN, seed: int = 0) -> TileSet:
    return make_tileset(exemplar, settings, torch.Generator().manual_seed(seed))


def cut(planes: Tensor, number: int) -> Tensor:
    """One tile of (1, C, 4 h, 4 w), (C, h, w)."""
    height, width = (side // 4 for side in planes.shape[2:])
    row, column = divmod(number, 4)
    return planes[0, :, row * height : (row + 1) * height, column * width : (column + 1) * width]


@pytest.fixture(scope="module")
def tiles() -> tuple[Exemplar, TileSet, Tensor]:
    """An exemplar, its tiles, and the source positions that they show, (1, 2, 4 h, 4 w)."""
    exemplar = positions()
    made = make(exemplar)
    return exemplar, made, (torch.cat(made.siblings, 1) * 256).round()


def test_every_combination_of_corners_is_there_once() -> None:
    assert set(NUMBERS) == set(product((0, 1), repeat=4))
    assert sorted(NUMBERS.values()) == list(range(16))


def test_the_picture_of_the_tiles_is_a_layout_itself(tiles: tuple[Exemplar, TileSet, Tensor]) -> None:
    from texsynth.pipelines.tileset import CORNERS

    grid = torch.tensor(CORNERS)
    grid = torch.cat([grid, grid[:1]])
    grid = torch.cat([grid, grid[:, :1]], 1)
    assert torch.equal(assemble(tiles[1].image[0], grid), tiles[1].image[0])


def test_tiles_that_may_meet_join_as_within_the_exemplar(tiles: tuple[Exemplar, TileSet, Tensor]) -> None:
    """All pairs, side by side and one above the other: nearly all neighbours are some in the exemplar."""
    for first, second in product(range(16), repeat=2):
        one, two = tile_corners(first), tile_corners(second)
        here, there = cut(tiles[2], first), cut(tiles[2], second)
        if (one[1], one[2]) == (two[0], two[3]):
            step = there[:, :, 0] - here[:, :, -1]
            assert float((step == torch.tensor([[0.0], [1.0]])).all(0).float().mean()) > 0.85
        if (one[3], one[2]) == (two[0], two[1]):
            step = there[:, 0] - here[:, -1]
            assert float((step == torch.tensor([[1.0], [0.0]])).all(0).float().mean()) > 0.85


def test_all_tiles_at_an_edge_have_it_in_common(tiles: tuple[Exemplar, TileSet, Tensor]) -> None:
    for first, second in product(range(16), repeat=2):
        one, two = tile_corners(first), tile_corners(second)
        here, there = cut(tiles[1].image, first), cut(tiles[1].image, second)
        if one[:2] == two[:2]:
            assert torch.equal(here[:, :CORE], there[:, :CORE])
        if one[2:] == two[2:]:
            assert torch.equal(here[:, -CORE:], there[:, -CORE:])
        if (one[0], one[3]) == (two[0], two[3]):
            assert torch.equal(here[:, :, :CORE], there[:, :, :CORE])
        if one[1:3] == two[1:3]:
            assert torch.equal(here[:, :, -CORE:], there[:, :, -CORE:])


def test_tiles_differ_and_show_what_the_exemplar_has(tiles: tuple[Exemplar, TileSet, Tensor]) -> None:
    exemplar, made, at = tiles
    insides = [cut(made.image, number)[:, 8:-8, 8:-8] for number in range(16)]
    assert all(not torch.equal(a, b) for k, a in enumerate(insides) for b in insides[:k])
    rows, columns = at[0].long()
    shown = exemplar.image[0][:, rows, columns]
    assert float((made.image[0] - shown).abs().mean()) < 0.01


def test_voted_tiles_join_as_well_as_they_go_on_inside() -> None:
    rng = torch.Generator().manual_seed(1)
    smooth = torch.fft.irfft2(
        torch.fft.rfft2(torch.randn(3, 64, 64, generator=rng))
        * torch.exp(-((torch.fft.fftfreq(64)[:, None] ** 2 + torch.fft.rfftfreq(64) ** 2) * 120))
    )
    image = (0.5 + 0.15 * smooth / smooth.std()).clamp(0, 1)[None]
    made = make(Exemplar(image), TilesetSettings(patch=PatchSettings(layouts=1)))
    colours = torch.randint(2, (5, 6), generator=rng)
    layout = assemble(made.image[0], colours)
    for dim, side in ((1, made.size[0]), (2, made.size[1])):
        steps = (layout - layout.roll(1, dim)).abs().mean((0, 3 - dim))[1:]
        joints = torch.arange(1, len(steps) + 1) % side == 0
        assert float(steps[joints].mean()) < 1.25 * float(steps[~joints].mean())


def test_tiles_of_a_regular_texture_hold_whole_periods() -> None:
    at = torch.arange(80.0)
    waves = 0.5 + 0.2 * torch.sin(at * 2 * math.pi / 10)[:, None] + 0.2 * torch.sin(at * 2 * math.pi / 9)
    grain = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0)) * 0.05
    made = make(Exemplar((waves + grain).clamp(0, 1)))
    assert made.size[0] % 10 == 0
    assert made.size[1] % 9 == 0
    layout = assemble(made.image[0], torch.randint(2, (4, 4), generator=torch.Generator().manual_seed(2)))
    for dim, period in ((1, 10), (2, 9)):
        assert float((layout - layout.roll(period, dim)).abs().mean()) < 0.06
    odd = make(Exemplar((waves + grain).clamp(0, 1)), PLAIN.model_copy(update={"size": (24, 24)}))
    assert odd.size == (24, 24)
    assert "choose a --size of whole periods" in odd.notes[0]


def test_a_mask_is_kept() -> None:
    exemplar = positions()
    mask = torch.ones(1, 1, 64, 64)
    mask[..., 50:] = 0
    made = make(Exemplar(exemplar.image, exemplar.siblings, mask))
    assert float(made.siblings[1].max()) * 256 < 50


def test_tiles_that_are_too_large() -> None:
    with pytest.raises(InputError, match="too large"):
        make(positions(32), PLAIN.model_copy(update={"size": (200, 200)}))


def test_the_same_seed_gives_the_same_tiles() -> None:
    exemplar = positions(40)
    first, second, other = (make(exemplar, seed=seed).image for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
