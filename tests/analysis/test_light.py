"""Uneven light is told from texture, taken out, and given back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.analysis.light import find_light

SIDE = 96


def axes(height: int = SIDE, width: int = SIDE) -> tuple[Tensor, Tensor]:
    return torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")


def wall(height: int = SIDE, width: int = SIDE, seed: int = 0) -> Tensor:
    """Even grain around 0.5, (1, 3, height, width)."""
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return 0.5 + 0.05 * noise


def slope(strength: float = 0.15) -> Tensor:
    rows, columns = axes()
    return strength * (0.6 * rows + 0.8 * columns + 0.3 * columns.square())


def tilt(image: Tensor) -> float:
    """The difference of halves, the larger of the two directions."""
    half = SIDE // 2
    across = (image[..., half:] - image[..., :half]).mean()
    down = (image[..., half:, :] - image[..., :half, :]).mean()
    return float(torch.stack([across, down]).abs().max())


def test_a_lit_wall_becomes_even_and_gets_its_light_back() -> None:
    lit = wall() + slope()
    light = find_light(lit, "auto")
    assert light is not None
    even = light.remove(lit)
    assert tilt(lit) > 0.1
    assert tilt(even) < 0.01
    assert even.mean((2, 3)).numpy() == pytest.approx(lit.mean((2, 3)).numpy(), abs=0.01)
    assert torch.allclose(light.restore(even), lit.clamp(0, 1), atol=1e-5)


def test_contrast_that_follows_the_light_is_evened_out_too() -> None:
    lit = wall() * (1 + 4 * slope())
    light = find_light(lit, "auto")
    assert light is not None
    even = light.remove(lit)
    before, after = (float(x[..., 72:].diff().std() / x[..., :24].diff().std()) for x in (lit, even))
    assert before > 1.6
    assert after == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "texture",
    [
        wall(),
        (wall() > 0.5).float(),
        wall() + 0.2 * (axes()[1] > 0.3),
        wall() + 0.2 * torch.cos(axes()[0] * 8) * torch.cos(axes()[1] * 7),
        0.5 + slope().expand(1, 3, -1, -1),
        torch.full((1, 3, SIDE, SIDE), 0.4),
    ],
    ids=["even", "two colours", "two halves", "patches", "a gradient and nothing else", "one colour"],
)
def test_what_belongs_to_the_texture_stays(texture: Tensor) -> None:
    assert find_light(texture, "auto") is None


def test_a_share_is_taken_out_whatever_it_explains() -> None:
    lit = wall() + slope()
    assert find_light(lit, "off") is None
    assert find_light(lit, 0.0) is None
    half = find_light(lit, 0.5)
    assert half is not None
    assert tilt(half.remove(lit)) == pytest.approx(tilt(lit) / 2, rel=0.1)
    assert find_light(wall(), 1.0) is not None


def test_what_the_mask_hides_does_not_count() -> None:
    lit = wall() + slope()
    mask = torch.ones(1, 1, SIDE, SIDE)
    mask[..., 20:60, 30:70] = 0
    other = torch.where(mask > 0.5, lit, torch.tensor(1.0))
    one, two = find_light(lit, "auto", mask), find_light(other, "auto", mask)
    assert one is not None
    assert two is not None
    assert torch.equal(one.colours, two.colours)
    assert torch.equal(one.contrast, two.contrast)
    assert torch.equal(one.centre, two.centre)


def test_light_passes_over_into_that_of_the_other_side() -> None:
    light = find_light(wall() + slope(), "auto")
    assert light is not None
    flat = light.centre.view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)
    plain, periodic = light.restore(flat), light.restore(flat, band=16)
    assert torch.allclose(plain[..., 16:-16, 16:-16], periodic[..., 16:-16, 16:-16], atol=1e-6)
    usual = max(float(periodic.diff(dim=dim).abs().max()) for dim in (2, 3))
    for dim in (2, 3):
        ends = periodic.select(dim, 0) - periodic.select(dim, SIDE - 1)
        assert float(ends.abs().max()) <= usual
        assert float((plain.select(dim, 0) - plain.select(dim, SIDE - 1)).abs().max()) > 5 * usual
