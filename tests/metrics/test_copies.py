"""Copies of what stands out most."""

from __future__ import annotations

import pytest
import torch

from texsynth.metrics.copies import salient_copies
from texsynth.ops.orientations import ORIENTATIONS


def test_copies_are_counted_by_area_in_any_orientation_and_not_when_covered() -> None:
    rng = torch.Generator().manual_seed(0)
    exemplar = 0.5 + 0.02 * torch.rand(1, 3, 64, 64, generator=rng)
    mark = torch.rand(1, 3, 12, 12, generator=rng)
    exemplar[:, :, 20:32, 30:42] = mark
    assert salient_copies(exemplar, exemplar) == 1
    assert salient_copies(exemplar.repeat(1, 1, 2, 2), exemplar) == 1
    plain = 0.5 + 0.02 * torch.rand(1, 3, 128, 128, generator=rng)
    assert salient_copies(plain, exemplar) == 0
    for number, orientation in enumerate(ORIENTATIONS[:6]):
        row, column = 20 + 40 * (number // 3), 10 + 40 * (number % 3)
        plain[:, :, row : row + 12, column : column + 12] = orientation.apply(mark)
    assert salient_copies(plain, exemplar) == pytest.approx(6 / 4)
    cut = plain.clone()
    cut[:, :, :, :24] = 0.5
    assert salient_copies(cut, exemplar) == pytest.approx(4 / 4)
    assert salient_copies(plain, torch.full((1, 3, 64, 64), 0.5)) is None
