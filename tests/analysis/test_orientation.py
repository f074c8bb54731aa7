"""Orientation assignment: known angles, quarter turns, and what must not matter."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from texsynth.analysis.orientation import Orientation, texture_orientations
from texsynth.analysis.self_similarity import parabola_vertex, quadratic_vertex


def along(angle: float, height: int = 64, width: int = 60) -> Tensor:
    """Distance in pixels along the direction `angle`, degrees counter-clockwise, (1, 3, H, W)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    turn = math.radians(angle)
    return (x.double() * math.cos(turn) - y.double() * math.sin(turn)).expand(1, 3, -1, -1)


def grating(angle: float, period: float, height: int = 96, width: int = 90) -> Tensor:
    """Stripes that run along `angle`."""
    return 0.5 + 0.3 * torch.sin(2 * math.pi * along(angle + 90, height, width) / period)


def apart(a: float, b: float) -> float:
    """Distance of two angles."""
    return abs((a - b + 90) % 180 - 90)


@pytest.mark.parametrize("period", [4.0, 9.0, 21.0])
@pytest.mark.parametrize("angle", [0, 12.5, 45, 88, 90, 150, 179])
def test_stripes_run_along_their_angle(angle: float, period: float) -> None:
    (found,) = texture_orientations(grating(angle, period))
    assert apart(found.angle, angle) < 1
    assert 0 <= found.angle < 180


@pytest.mark.parametrize("angles", [(20, 80), (0, 90), (45, 135)])
def test_both_of_two_gratings_are_found(angles: tuple[float, float]) -> None:
    lines = [torch.exp(-(((along(a + 90, 96, 90) + 9) % 18 - 9) / 2).square()) for a in angles]
    found = texture_orientations(torch.stack(lines).amax(0), sigma=1.0)
    assert len(found) == 2
    assert all(min(apart(line.angle, a) for line in found) < 1.5 for a in angles)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_quarter_turn_of_the_picture_moves_angles_by_90_degrees(quarter: int) -> None:
    # Diagonals lie on the border of two bins, where rounding must not decide.
    for picture in (grating(45, 8), grating(10, 7), (grating(0, 6) + grating(90, 6)) / 2):
        lines = texture_orientations(picture)
        assert same(texture_orientations(torch.rot90(picture, quarter, (2, 3))), lines, quarter * 90)


def same(after: tuple[Orientation, ...], before: tuple[Orientation, ...], by: float) -> bool:
    """Whether all angles moved `by` and no weight changed; equal ones may come in another order."""
    return len(after) == len(before) > 0 and all(
        any(apart(a.angle, b.angle + by) < 1e-6 and abs(a.weight - b.weight) < 1e-6 for a in after)
        for b in before
    )


def test_brightness_and_contrast_do_not_matter() -> None:
    stripes = grating(33, 8)
    assert same(texture_orientations(0.01 * stripes + 0.9), texture_orientations(stripes), 0)


def test_what_has_no_direction_has_no_orientation() -> None:
    flat = torch.full((1, 3, 40, 33), 0.3)
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert texture_orientations(flat) == texture_orientations(noise) == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 5), (11, 11)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    image = (along(0, *size) / 40).clamp(0, 1)
    lines = texture_orientations(image)
    assert bool(lines) == (min(size) >= 11), "a picture smaller than the filter has no gradient to trust"


def test_a_mask_hides_pixels_and_its_own_border() -> None:
    mask = torch.zeros(1, 1, 96, 90)
    mask[:, :, 20:80, 8:70] = 1
    image = grating(30, 7).where(mask > 0, grating(120, 5))
    (found,) = texture_orientations(image, mask=mask)
    assert apart(found.angle, 30) < 1
    assert texture_orientations(torch.full((1, 3, 96, 90), 0.2) + 0.6 * mask, mask=mask) == ()
    assert texture_orientations(image, mask=torch.zeros_like(mask)) == ()


@pytest.mark.parametrize("top", [-0.4, 0.0, 0.2, 0.5])
def test_the_vertex_of_a_parabola(top: float) -> None:
    assert parabola_vertex(*(3 - 2 * (x - top) ** 2 for x in (-1, 0, 1))) == pytest.approx(top)
    assert parabola_vertex(1, 1, 1) == parabola_vertex(1, 0, 1) == 0
    assert parabola_vertex(1, 1.1, 1.3) == 0
    assert parabola_vertex(0, 1, 1.9) == 0.5, "no further than half a step"


def test_the_vertex_of_a_skewed_peak() -> None:
    y, x = torch.meshgrid(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0), indexing="ij")
    y, x = y - 0.3, x + 0.2
    assert quadratic_vertex(1 - y**2 - 2 * x**2 - 1.5 * x * y) == pytest.approx((0.3, -0.2), abs=1e-6)
    assert quadratic_vertex(y**2 + x**2) == (0.0, 0.0)
