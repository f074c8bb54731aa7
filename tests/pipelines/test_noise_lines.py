"""Long lines, which noise by example would end, are told from grain."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from texsynth.config.settings import ExpandSettings
from texsynth.pipelines.method import plan_expand
from texsynth.pipelines.noise_gate import LONG_LINES, SIDE, noise_suits
from texsynth.pipelines.noise_lines import line_excess
from texsynth.synthesis.exemplar import Exemplar


def grain(down: float = 300.0, along: float = 300.0, side: int = SIDE) -> Tensor:
    """Gaussian noise, (1, 3, side, side); larger numbers make it smoother that way."""
    rng = torch.Generator().manual_seed(0)
    rows, columns = torch.fft.fftfreq(side)[:, None].square(), torch.fft.rfftfreq(side).square()
    spectrum = torch.fft.rfft2(torch.randn(side, side, generator=rng))
    field: Tensor = torch.fft.irfft2(spectrum / (1 + down * rows + along * columns).sqrt(), s=(side, side))
    return (0.5 + 0.12 * field / field.std()).expand(1, 3, -1, -1).clamp(0, 1)


def strokes(length: float, count: int, side: int = SIDE) -> Tensor:
    """Bright strokes in random places and directions, (side, side), 1 on them."""
    rng = torch.Generator().manual_seed(0)
    down, right = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    result = torch.zeros(side, side)
    for y, x, turn in torch.rand(count, 3, generator=rng).tolist():
        angle, dy, dx = turn * math.pi, down - y * side, right - x * side
        off = (dy * math.cos(angle) - dx * math.sin(angle)).abs()
        along = (dy * math.sin(angle) + dx * math.cos(angle)).abs()
        result = torch.maximum(result, (1.5 - off).clamp(0, 1) * (along <= length / 2))
    return result


def net() -> Tensor:
    return (grain() + 0.35 * strokes(4 * SIDE, 4)).clamp(0, 1)


@pytest.mark.parametrize(("down", "along"), [(0.0, 0.0), (300.0, 300.0), (3000.0, 10.0)])
def test_filtered_noise_has_no_more_lines_than_its_noise(down: float, along: float) -> None:
    assert line_excess(grain(down, along), SIDE) == pytest.approx(1, abs=0.3)


def test_a_net_has_more_whichever_way_it_lies_and_whatever_its_contrast() -> None:
    excess = line_excess(net(), SIDE)
    assert excess > LONG_LINES
    assert line_excess(net().mT, SIDE) > LONG_LINES
    assert line_excess(net().flip(3), SIDE) > LONG_LINES
    assert line_excess(0.4 + 0.3 * net(), SIDE) == pytest.approx(excess, rel=0.05)


def test_strokes_shorter_than_a_patch_are_no_lines() -> None:
    short = (grain() + 0.35 * strokes(SIDE / 10, 40)).clamp(0, 1)
    assert line_excess(short, SIDE) < LONG_LINES


def test_a_net_on_noise_is_made_of_patches() -> None:
    assert noise_suits(grain())
    assert not noise_suits(net())
    methods = [plan_expand([Exemplar(x)], ExpandSettings()).settings.method for x in (grain(), net())]
    assert methods == ["noise", "patch"]


def test_the_same_picture_has_the_same_excess() -> None:
    torch.manual_seed(0)
    first = line_excess(net(), SIDE)
    torch.manual_seed(1)
    assert line_excess(net(), SIDE) == first
