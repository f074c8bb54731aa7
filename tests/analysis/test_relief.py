"""Relief from lightness: closed forms, flat areas, slow light, and the torus."""

import math

import pytest
import torch
from torch import Tensor

from texsynth.analysis import relief
from texsynth.analysis.seamless import is_seamless
from texsynth.config.map_settings import MapsSettings
from texsynth.pipelines.maps import surface_maps


def waves(side: int = 64, *, seed: int = 0) -> Tensor:
    """A periodic texture, (1, 3, side, side) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    at = torch.arange(side) * (2 * math.pi / side)
    total = torch.zeros(side, side)
    for _ in range(12):
        k, j, phase = (int(torch.randint(n, (), generator=rng)) for n in (9, 9, 7))
        total += torch.sin(k * at[:, None] + (j - 4) * at[None] + phase)
    return (0.5 + total / 24).expand(1, 3, -1, -1).contiguous()


def test_occlusion_in_a_groove() -> None:
    """At the bottom of a groove of slope t, the mean over directions of 1 / (1 + t^2 sin^2) is known."""
    for slope in (0.3, 1.0):
        height = (torch.arange(-30.0, 31) * slope).abs().expand(61, 61)
        seen = relief.occlusion(height, 1.0, 12, relief.Grid(wrap=False))
        assert float(seen[30, 30]) == pytest.approx(1 / math.sqrt(1 + slope**2), abs=0.02)
        assert float(seen[30, 45]) < 1


def test_on_a_plane_everything_is_seen() -> None:
    flat = torch.full((20, 30), 0.7)
    for wrap in (False, True):
        grid = relief.Grid(wrap)
        assert bool((relief.occlusion(flat, 9.0, 5, grid) == 1).all())
        assert torch.equal(relief.normals(flat, 9.0, grid)[:, 3, 3], torch.tensor([0.5, 0.5, 1.0]))


def test_normals_of_a_slope() -> None:
    height = torch.arange(20.0)[:, None].expand(20, 30) / 40  # Rises downwards
    for green_down, sign in ((False, 1), (True, -1)):
        x, y, z = (
            relief.normals(height, 20.0, relief.Grid(wrap=False), green_down=green_down)[:, 7, 7] * 2 - 1
        )
        assert (float(x), float(y / z)) == pytest.approx((0, sign * 0.5), abs=1e-6)
        assert float(z) == pytest.approx(1 / math.sqrt(1.25), abs=1e-6)


def test_steps_are_summed_up_exactly() -> None:
    values = waves(24)[0, 0] + torch.arange(24.0) / 50
    for wrap in (False, True):
        grid = relief.Grid(wrap)
        back = grid.sum_up(*grid.steps(values))
        assert torch.allclose(back, values - values.mean(), atol=1e-5)


def test_bands_add_up() -> None:
    values = waves()[0, 0]
    total = sum(relief.bands(values, relief.Grid(wrap=True)), torch.zeros(()))
    assert float((total - values).abs().max()) <= len(relief.BANDS) * relief.NOISE + 1e-5


def test_slow_light_is_found() -> None:
    grid, at = relief.Grid(wrap=False), torch.arange(128.0) / 128
    ramp = 0.3 * at[None] + 0.1 * torch.cos(2 * at)[:, None]
    grain = torch.randn(128, 128, generator=torch.Generator().manual_seed(0)) * 0.1
    light = relief.slow_light(ramp + grain, grid)
    assert float((light - (ramp - ramp.mean())).std()) < 0.15 * float(ramp.std())


def test_steps_and_shingles_are_no_light() -> None:
    at = torch.arange(128)
    board = ((at[:, None] // 32 + at[None] // 32) % 2).float() * 0.4
    shingles = ((at % 16) / 40.0).expand(128, 128).contiguous()
    for wrap in (False, True):
        for values in (board, shingles):
            assert float(relief.slow_light(values, relief.Grid(wrap)).std()) < 0.1 * float(values.std())


def test_flat_areas_are_flat_under_slow_light() -> None:
    at = torch.arange(192)
    tiles = ((at[:, None] // 64 + at[None] // 64) % 2).float() * 0.3 + 0.3
    lit = ((tiles + at[None] * 0.0008) * 255).round() / 255
    maps = surface_maps(lit.expand(1, 3, -1, -1), MapsSettings())
    angle = torch.rad2deg((maps.normal[0, 2] * 2 - 1).clamp(-1, 1).arccos())
    inside = ((at % 64) > 12) & ((at % 64) < 52)
    assert float(angle[inside][:, inside].mean()) < 0.7
    assert float(angle[inside][:, inside].max()) < 2
    assert float(maps.roughness[0, 0][inside][:, inside].max()) < 0.36


def test_maps_of_a_torus_move_with_it() -> None:
    image = waves()
    settings = MapsSettings(tileable=True)
    maps = surface_maps(image, settings)
    moved = surface_maps(image.roll((17, 40), (2, 3)), settings)
    for name in ("height", "normal", "roughness", "ao"):
        want = getattr(maps, name).roll((17, 40), (2, 3))
        assert torch.allclose(getattr(moved, name), want, atol=2e-4), name


def test_inverted() -> None:
    image = waves()
    up, down = (surface_maps(image, MapsSettings(invert=invert)).height for invert in (False, True))
    assert torch.allclose(up, 1 - down, atol=1e-5)


def test_what_is_seamless() -> None:
    assert is_seamless(waves())
    assert is_seamless(torch.full((1, 3, 20, 20), 0.5))
    assert not is_seamless(waves()[..., :40])
    joints = torch.zeros(1, 3, 32, 32)
    joints[..., 1::8, :] = 1
    assert is_seamless(joints), "a joint that lies at the border is usual there"


def test_no_more_contrast_than_there_is() -> None:
    faint = 0.5 + (waves() - 0.5) * 0.02
    assert float(surface_maps(faint, MapsSettings()).height.std()) < 0.03
    assert float(surface_maps(waves(), MapsSettings()).height.std()) > 0.15
