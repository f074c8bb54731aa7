"""How a lattice is described: what walls, weaves and tiles are called that were laid by these numbers."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from texsynth.analysis.appearance import measure_appearance
from texsynth.analysis.repeats import Repeats, in_words, repeats

BASES = [((1, 0), (0, 1)), ((1, 1), (0, 1)), ((1, 1), (1, 2)), ((-1, 0), (1, 1)), ((2, 1), (1, 1))]
"""Integer steps, all of determinant 1 or -1: any of them spans the same lattice."""


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize(
    ("across", "down", "shift"), product((175.0, 32.0), (50.0, 180.0), (0.0, 0.25, 0.5, 0.8))
)
def test_rows_whatever_vectors_a_lattice_is_given_by(
    across: float, down: float, shift: float, basis: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    row, step = (0.0, across), (down, shift * across)
    first, second = (tuple(i * a + j * b for a, b in zip(row, step, strict=True)) for i, j in basis)
    result = repeats(first, second)  # type: ignore[arg-type]
    assert result is not None
    assert (result.across, result.down) == pytest.approx((across, down))
    assert min(abs(result.shift - shift), 1 - abs(result.shift - shift)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("degrees", [20, 45, 80])
def test_turned_rows(degrees: float) -> None:
    """Its sides are named with their angles."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    first, second = (-175 * s, 175 * c), (50 * c, 50 * s)
    angles = f"every 50 px at {(degrees + 90) % 180:.0f}° and every 175 px at {degrees % 180:.0f}°"
    assert in_words(first, second, level=False) == angles


def test_sentences() -> None:
    assert in_words((0, 60), (40, 0)) == "every 60 px across and every 40 px down"
    bond = "every 175 px across, in rows of 50 px, of which every second one is shifted by half"
    assert in_words((50, 87.5), (-50, 87.5)) == bond
    assert in_words((50, 87.5), (100, 0)) == bond
    assert (
        str(Repeats(90, 30, 1 / 3))
        == "every 90 px across, in rows of 30 px, each shifted by 30 px to the right"
    )
    assert in_words((20, 20), (90, -90)) == "every 28 px at 135° and every 127 px at 45°"
    assert in_words((0, 16), (9, 3), (True, False)) == "stripes, one every 15 px"


@pytest.mark.parametrize(
    ("across", "down", "shift", "degrees", "sentence"),
    [
        (
            175,
            50,
            0.5,
            0,
            "every 175 px across, in rows of 50 px, of which every second one is shifted by half",
        ),
        (
            175,
            50,
            0.5,
            3,
            "every 175 px across, in rows of 50 px, of which every second one is shifted by half",
        ),
        (120, 60, 0.75, 0, "every 120 px across, in rows of 60 px, each shifted by 90 px to the right"),
        (100, 90, 0, 0, "every 100 px across and every 90 px down"),
        (100, 70, 0, 30, "every 70 px at 120° and every 100 px at 30°"),
    ],
)
def test_walls(across: int, down: int, shift: float, degrees: float, sentence: str) -> None:
    """Bricks of one colour with joints, in pixels that are asked for; angles are counter-clockwise."""
    y, x = torch.meshgrid(torch.arange(520.0), torch.arange(640.0), indexing="ij")
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along, below = x * c - y * s, x * s + y * c
    place = (along - (below // down) * shift * across) % across
    wall = torch.where((place < 5) | (below % down < 5), 0.9, 0.4).expand(1, 3, -1, -1)
    assert measure_appearance(wall).repeats_in_words == sentence


@pytest.mark.parametrize("seed", range(4))
def test_bricks_of_many_colours_are_still_bricks(seed: int) -> None:
    """Some of them are alike by chance, at longer shifts."""
    colours = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(seed)) * 0.5 + 0.1
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    row = y // 30
    along = x + row * 28
    wall = torch.where((along % 56 < 4) | (y % 30 < 4), torch.tensor(0.85), colours[:, row, along // 56])
    words = measure_appearance(wall[None]).repeats_in_words
    assert words == "every 56 px across, in rows of 30 px, of which every second one is shifted by half"


@pytest.mark.parametrize("varied", [0.0, 0.2])
@pytest.mark.parametrize(("across", "down"), [(240, 40), (160, 40), (120, 20), (200, 20), (128, 16)])
def test_thin_long_bricks_are_no_stripes(across: int, down: int, varied: float) -> None:
    """Their upright joints are a small part of the picture; with bricks of one grey, and of many."""
    random = torch.Generator().manual_seed(across)
    y, x = torch.meshgrid(torch.arange(384), torch.arange(500), indexing="ij")
    row = y // down
    along = x + row * across // 2
    greys = 0.5 + varied * (torch.rand(40, 40, generator=random) - 0.5)
    wall = torch.where((along % across < 3) | (y % down < 3), torch.tensor(0.85), greys[row, along // across])
    wall = (wall + 0.02 * torch.randn(wall.shape, generator=random)).clamp(0, 1).expand(1, 3, -1, -1)
    expected = f"every {across} px across, in rows of {down} px, of which every second one is shifted by half"
    assert measure_appearance(wall).repeats_in_words == expected


def test_waves_in_one_direction_stay_stripes() -> None:
    """Their slopes are steep twice in a period."""
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(300.0), indexing="ij")
    noise = 0.02 * torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    for place in (x, y):
        waves = (0.5 + 0.3 * (place * 2 * math.pi / 30).sin() + noise).clamp(0, 1).expand(1, 3, -1, -1)
        assert measure_appearance(waves).repeats_in_words == "stripes, one every 30 px"


@pytest.mark.parametrize(("length", "width"), [(64, 32), (96, 32)])
def test_herringbone(length: int, width: int) -> None:
    """Level and upright bricks in stairs: each row begins one width further to the right."""
    y, x = torch.meshgrid(torch.arange(512), torch.arange(512), indexing="ij")
    count, stair = length // width, (x // width - y // width) % (2 * length // width)
    level = stair < count
    along = torch.where(level, stair * width + x % width, (2 * count - 1 - stair) * width + y % width)
    beside = torch.where(level, y % width, x % width)
    floor = torch.where((along < 3) | (beside < 3), 0.85, 0.5).expand(1, 3, -1, -1)
    words = measure_appearance(floor).repeats_in_words
    assert (
        words
        == f"every {2 * length} px across, in rows of {width} px, each shifted by {width} px to the right"
    )


@pytest.mark.parametrize("period", [20, 40])
def test_dots_in_squares_and_in_triangles(period: int) -> None:
    y, x = torch.meshgrid(torch.arange(384.0), torch.arange(384.0), indexing="ij")
    for height, shift, words in (
        (float(period), 0.0, f"every {period} px across and every {period} px down"),
        (
            period * math.sqrt(3) / 2,
            0.5,
            f"every {period} px across, in rows of {period * math.sqrt(3) / 2:.0f} px, "
            "of which every second one is shifted by half",
        ),
    ):
        row = (y / height).round()
        dx = (x - row * shift * period + period / 2) % period - period / 2
        dots = torch.where(dx**2 + (y - row * height) ** 2 < (period / 3) ** 2, 0.8, 0.3)
        assert measure_appearance(dots.expand(1, 3, -1, -1)).repeats_in_words == words
