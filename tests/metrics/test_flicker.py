"""Flicker: closed forms on still, shaken and moving pictures."""

from __future__ import annotations

import pytest
import torch
from helpers.nets import waves

from texsynth.metrics.flicker import flicker


def test_a_shake_of_the_result_over_a_still_content_is_what_is_measured() -> None:
    content, shake = waves(20, 30), torch.zeros(1, 3, 20, 30)
    shake[:, :, :, ::2] = 3 / 255
    figures = flicker([(content, content), (content, content + shake), (content, content)])
    assert (figures.pairs, figures.still, figures.content) == (2, 1.0, 0.0)
    # Half of the pixels change by 3 levels.
    assert figures.result == pytest.approx(3 / 2**0.5, rel=1e-5)
    assert figures.worst == pytest.approx(figures.result, rel=1e-5)


def test_what_moves_in_the_content_does_not_count() -> None:
    before, after = torch.full((1, 3, 40, 60), 0.5), torch.full((1, 3, 40, 60), 0.5)
    after[..., :20] = 0.9
    result = torch.where(torch.arange(60) < 24, 1.0, 0.2).expand(1, 3, 40, 60)
    figures = flicker([(before, torch.full_like(before, 0.2)), (after, result)])
    # The blur reaches two columns beyond the change, and results are seen from column 22 on.
    assert figures.still == pytest.approx(38 / 60)
    assert figures.content == 0
    assert figures.result == pytest.approx(255 * 0.8 * (2 / 38) ** 0.5, rel=1e-5)


def test_noise_is_no_move_and_shows_in_the_figure_of_the_content() -> None:
    rng = torch.Generator().manual_seed(0)
    frames = [0.5 + torch.randn(1, 3, 64, 64, generator=rng) * 2 / 255 for _ in range(3)]
    figures = flicker([(frame, frame) for frame in frames], threshold=4)
    assert figures.still > 0.99
    assert figures.content == figures.result == pytest.approx(2 * 2**0.5, rel=0.03)


def test_nothing_still_has_no_figure() -> None:
    black, white = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    figures = flicker([(black, black), (white, black)])
    assert (figures.pairs, figures.still, figures.content, figures.result, figures.worst) == (
        1, 0.0, None, None, None,
    )  # fmt: skip
    assert flicker([]).pairs == 0
