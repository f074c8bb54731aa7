"""Orientations in which a texture is the same, and what stands out in it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.analysis.lattice import find_lattice
from texsynth.analysis.salience import salience
from texsynth.analysis.symmetry import alignment, same_orientations
from texsynth.ops.orientations import ORIENTATIONS, Orientation, turn_normals
from texsynth.ops.resample import box_mean

UPRIGHT, TURNED, OVER = Orientation(), Orientation(1), Orientation(2)
LEFT_RIGHT, UP_DOWN = Orientation(mirror=True), Orientation(2, mirror=True)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


def grey(values: Tensor) -> Tensor:
    """A picture (1, 3, h, w) of values that are brought to 0 to 1."""
    low, high = values.amin(), values.amax()
    return ((values - low) / (high - low)).expand(1, 3, -1, -1)


def smooth(height: int = 96, width: int = 96, seed: int = 0) -> Tensor:
    return box_mean(box_mean(noise(height, width, seed), 1), 1)


def lit_from_above(height: int = 96, width: int = 96) -> Tensor:
    """Flat ground with bumps that are light above and dark below, steep between."""
    bumps = (smooth(height, width) - 0.55).clamp_min(0)
    return bumps - bumps.roll(2, 2) + 0.3 * (bumps.roll(2, 2) - bumps.roll(6, 2))


def test_turns_and_mirror_images_are_a_group() -> None:
    image = noise(5, 7)
    seen = [o.apply(image) for o in ORIENTATIONS]
    assert {tuple(s.shape[2:]) for s in seen} == {(5, 7), (7, 5)}
    assert len({tuple(s.flatten().tolist()) for s in seen}) == 8
    assert torch.equal(TURNED.apply(TURNED.apply(image)), OVER.apply(image))
    assert torch.equal(TURNED.apply(image)[0, 0, 0], image[0, 0, :, -1]), "counter-clockwise"


def test_grain_without_direction_is_the_same_in_all_orientations() -> None:
    assert len(same_orientations(grey(smooth()))) == 8


def test_grain_keeps_its_direction() -> None:
    wood = grey(noise(96, 96).unfold(2, 12, 1).mean(-1))
    assert set(same_orientations(wood)) == {UPRIGHT, OVER, LEFT_RIGHT, UP_DOWN}


def test_light_from_above_stays_above() -> None:
    assert set(same_orientations(grey(lit_from_above()))) == {UPRIGHT, LEFT_RIGHT}


def test_what_a_mask_hides_does_not_matter() -> None:
    image, mask = grey(smooth()).clone(), torch.ones(1, 1, 96, 96)
    mask[..., 30:70, 20:50] = 0
    other = torch.where(mask > 0, image, grey(torch.arange(96.0).expand(1, 1, 96, 96)))
    assert same_orientations(image, mask) == same_orientations(other, mask)


def test_a_lattice_has_its_own_symmetries_alone() -> None:
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    walls = {
        "bricks": (y % 12 < 2) | ((x + 12 * (y // 12 % 2)) % 24 < 2),
        "tiles": (y % 16 < 2) | (x % 16 < 2),
    }
    images = {name: grey((1.0 * wall)[None, None] + 0.1 * noise(96, 96)) for name, wall in walls.items()}
    lattice = find_lattice(images["bricks"])
    assert set(same_orientations(images["bricks"], None, lattice)) == {UPRIGHT, OVER, LEFT_RIGHT, UP_DOWN}
    assert len(same_orientations(images["tiles"], None, find_lattice(images["tiles"]))) == 8


@pytest.mark.parametrize("shift", [(0, 0), (5, -9), (-12, 3)])
def test_alignment_finds_the_shift(shift: tuple[int, int]) -> None:
    whole = grey(smooth(120, 130))
    (row, column), height = alignment(
        whole[:, :, 20:90, 20:100], whole[:, :, 20 + shift[0] : 95 + shift[0], 20 + shift[1] : 90 + shift[1]]
    )
    assert (row, column) == shift
    assert height > 0.95


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("green_down", [False, True])
def test_normals_turn_with_the_surface(orientation: Orientation, *, green_down: bool) -> None:
    """The normals of a turned height map are the turned normals of the height map."""

    def normals(height: Tensor) -> Tensor:
        dx = (height.roll(-1, -1) - height.roll(1, -1))[..., 1:-1, 1:-1]
        down = (height.roll(-1, -2) - height.roll(1, -2))[..., 1:-1, 1:-1]
        up = down if green_down else -down
        return 0.5 - 0.2 * torch.cat([dx, -up if green_down else up, 0 * dx], 1) * torch.tensor(
            [1.0, -1.0 if green_down else 1.0, 1.0]
        ).view(1, 3, 1, 1)

    height = noise(9, 12)
    turned = turn_normals(orientation.apply(normals(height)), orientation, green_down=green_down)
    assert torch.allclose(turned, normals(orientation.apply(height)), atol=1e-6)


def test_what_is_rare_stands_out() -> None:
    image = grey(smooth(96, 96)).clone() * 0.3 + 0.5
    image[:, 0, 40:52, 60:72] = 0.05
    field = salience(image)
    assert float(field.mean()) == pytest.approx(1, abs=1e-3)
    assert float(field[42:50, 62:70].mean()) > 3 * float(field[:30, :50].mean())
    row, column = divmod(int(field.argmax()), 96)
    assert 36 <= row < 56
    assert 56 <= column < 76


def test_salience_sees_nothing_under_a_mask() -> None:
    image, mask = grey(smooth()), torch.ones(1, 1, 96, 96)
    mask[..., :40, :40] = 0
    hidden = torch.where(mask > 0, image, torch.ones(()))
    assert torch.allclose(salience(image, mask), salience(hidden, mask), atol=1e-4)
