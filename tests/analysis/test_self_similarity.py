"""Self-similarity map and transposed convolution against their direct forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.self_similarity import good_size, self_difference, transposed_convolution


def directly(x: Tensor, reach: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Difference and energy of one picture, shift by shift."""
    height, width = x.shape[2:]
    shape = (x.shape[0], 2 * reach[0] + 1, 2 * reach[1] + 1)
    difference, energy = x.new_zeros(shape), x.new_zeros(shape)
    for p in range(-reach[0], reach[0] + 1):
        for q in range(-reach[1], reach[1] + 1):
            rows = slice(max(0, p), min(height, height + p))
            columns = slice(max(0, q), min(width, width + q))
            here = x[:, :, rows, columns]
            there = x[:, :, rows.start - p : rows.stop - p, columns.start - q : columns.stop - q]
            difference[:, reach[0] + p, reach[1] + q] = (here - there).square().sum((1, 2, 3))
            energy[:, reach[0] + p, reach[1] + q] = here.square().sum((1, 2, 3))
    return difference, energy


def features(*shape: int, seed: int = 0, offset: float = 0.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=rng) + offset


def test_the_map_of_a_two_by_two_picture() -> None:
    difference, energy = self_difference(torch.tensor([[[[1.0, 2], [3, 4]]]]), (1, 1))
    torch.testing.assert_close(difference[0], torch.tensor([[9.0, 8, 1], [2, 0, 2], [1, 8, 9]]))
    torch.testing.assert_close(energy[0], torch.tensor([[1.0, 5, 4], [10, 30, 20], [9, 25, 16]]))


@pytest.mark.parametrize(("shape", "reach"), [
    ((2, 3, 6, 8), (3, 4)), ((1, 5, 7, 9), (6, 8)), ((3, 2, 5, 11), (4, 2)), ((1, 1, 4, 4), (0, 3)),
])  # fmt: skip
def test_fft_and_direct_sums_agree(shape: tuple[int, ...], reach: tuple[int, int]) -> None:
    x = features(*shape, offset=3)
    for mine, oracle in zip(self_difference(x, reach), directly(x, reach), strict=True):
        torch.testing.assert_close(mine, oracle, rtol=1e-11, atol=1e-11)


def test_three_dense_convolutions_agree() -> None:
    x, reach = features(1, 4, 8, 10, offset=1), (4, 5)
    pad = (reach[1], reach[1], reach[0], reach[0])
    ones = torch.ones_like(x[:, :1])
    energy = F.conv2d(F.pad(x.square().sum(1, keepdim=True), pad), ones)
    product = F.conv2d(F.pad(x, pad), x)
    difference, mine = self_difference(x, reach)
    torch.testing.assert_close(mine, energy[:, 0])
    torch.testing.assert_close(difference, (energy + energy.flip(2, 3) - 2 * product)[:, 0])


def test_a_large_constant_costs_no_precision() -> None:
    x = features(1, 4, 16, 16)
    exact, _ = self_difference(x, (8, 8))
    mine, _ = self_difference((x + 100).float(), (8, 8))
    assert mine.dtype == torch.float32
    assert (mine - exact).abs().max() < 1e-4 * exact.max()


def test_the_map_is_zero_where_the_texture_repeats() -> None:
    tile = features(1, 3, 4, 3)
    difference, energy = self_difference(tile.repeat(1, 1, 4, 5), (8, 6))
    similarity = -difference / energy
    assert similarity[0, ::4, ::3].abs().max() < 1e-12
    assert similarity.max() <= 0
    similarity[0, ::4, ::3] = -1
    assert similarity.max() < -0.05


def test_the_gradient_is_that_of_the_definition() -> None:
    x = features(1, 2, 5, 6).requires_grad_()
    upstream = features(1, 5, 7, seed=1)
    (mine,) = torch.autograd.grad((self_difference(x, (2, 3))[0] * upstream).sum(), x)
    (oracle,) = torch.autograd.grad((directly(x, (2, 3))[0] * upstream).sum(), x)
    torch.testing.assert_close(mine, oracle)


def test_autocast_does_not_lower_the_precision() -> None:
    x = features(1, 4, 12, 12).float()
    with torch.autocast("cpu", torch.bfloat16):
        difference, _ = self_difference(x.bfloat16(), (6, 6))
        laid = transposed_convolution(x[:, :1].bfloat16(), x.bfloat16())
    assert difference.dtype == laid.dtype == torch.float32
    torch.testing.assert_close(difference, self_difference(x.bfloat16().float(), (6, 6))[0])


def test_a_reach_beyond_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reach \(4, 2\)"):
        self_difference(features(1, 1, 4, 4), (4, 2))


@pytest.mark.parametrize(("a", "b", "h", "w"), [(5, 4, 3, 6), (1, 1, 4, 4), (9, 8, 7, 5)])
def test_transposed_convolution_agrees_with_the_direct_one(a: int, b: int, h: int, w: int) -> None:
    weights, filters = features(3, 1, a, b), features(3, 2, h, w, seed=1)
    oracle = torch.cat([F.conv_transpose2d(m[None], f[None]) for m, f in zip(weights, filters, strict=True)])
    torch.testing.assert_close(transposed_convolution(weights, filters), oracle)


def test_good_sizes_have_small_factors() -> None:
    assert [good_size(n) for n in (1, 7, 11, 97, 513)] == [1, 8, 12, 100, 540]
