"""Fixed points in fewer rounds than by going step after step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from texsynth.ops.fixed_point import fixed_point


def slow(size: int = 6) -> tuple[Tensor, Tensor]:
    """A symmetric matrix whose powers fall off slowly, and a start."""
    generator = torch.Generator().manual_seed(1)
    turned, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    rates = torch.linspace(-0.5, 0.999, size, dtype=torch.float64)
    return turned @ rates.diag() @ turned.T, torch.randn(size, generator=generator, dtype=torch.float64)


def test_a_slow_linear_step() -> None:
    """Step after step would take some 20 000 rounds."""
    matrix, start = slow()
    shift = torch.ones(6, dtype=torch.float64)
    rounds = []

    def step(x: Tensor) -> Tensor:
        rounds.append(x)
        return matrix @ x + shift

    end = fixed_point(step, start, rounds=100, tolerance=1e-10)
    truth = torch.linalg.solve(torch.eye(6, dtype=torch.float64) - matrix, shift)
    assert_close(end, truth, rtol=1e-6, atol=0)
    assert len(rounds) < 25


@pytest.mark.parametrize("start", [1e-6, 1e-3, 1.0, 1e4])
def test_steps_that_are_not_linear(start: float) -> None:
    """Heron's for roots, far from which nothing is linear."""
    squares = torch.tensor([[0.01, 2.0], [3.0, 400.0]]).double()
    roots = fixed_point(lambda x: (x + squares / x) / 2, squares * 0 + start, rounds=100, tolerance=1e-12)
    assert_close(roots.square(), squares)


@pytest.mark.parametrize("value", [torch.zeros(3, 3), torch.eye(3)])
def test_what_stays_is_looked_at_once(value: Tensor) -> None:
    steps = iter([value])
    assert fixed_point(lambda _: next(steps), value, rounds=9, tolerance=0) is value
