"""Long straight edges of textures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from texsynth.analysis.lines import line_strength


def grain(side: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(seed)).expand(-1, 3, -1, -1)


def joints(side: int, degrees: float, every: int) -> Tensor:
    """Return dark lines, 3 pixels wide, on faint grain."""
    y, x = torch.meshgrid(*[torch.arange(float(side))] * 2, indexing="ij")
    angle = math.radians(degrees)
    across = (y * math.cos(angle) - x * math.sin(angle)) % every
    return 0.6 + 0.1 * grain(side) - 0.5 * (across < 3)


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 131])
def test_joints_in_any_direction_stand_out_and_grain_does_not(degrees: float) -> None:
    assert line_strength(joints(128, degrees, 48)) > 3
    assert line_strength(grain(128)) < 2


def test_the_size_of_the_picture_hardly_matters() -> None:
    large = joints(512, 20, 160)
    half = torch.nn.functional.avg_pool2d(large, 2)
    assert line_strength(large) == pytest.approx(line_strength(half), rel=0.1)


def test_short_lines_are_none() -> None:
    """Dashes that are shorter than a sixth of the side, scattered, beside one line of the same ink."""
    random = torch.Generator().manual_seed(0)
    dashes, line = 0.6 + 0.1 * grain(128), 0.6 + 0.1 * grain(128)
    for _ in range(60):
        row, column = torch.randint(118, (2,), generator=random).tolist()
        dashes[:, :, row : row + 3, column : column + 8] -= 0.5
    line[:, :, 60:63] -= 0.5
    assert line_strength(dashes) < 0.6 * line_strength(line)


def test_what_is_masked_is_not_seen() -> None:
    image, mask = grain(96), torch.ones(1, 1, 96, 96)
    mask[:, :, :, 40:52] = 0
    other = image.clone()
    other[:, :, :, 42:50] = 0
    assert line_strength(image, mask) == line_strength(other, mask)
    assert line_strength(other) > 2 * line_strength(other, mask)


def test_flat_and_tiny_pictures_have_none() -> None:
    assert line_strength(torch.full((1, 3, 64, 64), 0.3)) == 0
    assert line_strength(grain(16)) >= 0
    assert line_strength(grain(64), torch.zeros(1, 1, 64, 64)) == 0
