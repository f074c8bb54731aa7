"""The explicit layers of papers 001 and 003: worked examples, adjoints, and torch for many sizes."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from helpers.as_printed import max_pool_backward_as_printed
from torch import Tensor
from torch.testing import assert_close

from texsynth.models import vgg
from texsynth.reference import layers
from texsynth.reference.convolution import (
    convolve,
    convolve_backward,
    im2row,
    input_gradient_by_index,
    output_size,
    pad_reflect,
    pad_reflect_backward,
    row2im,
)
from texsynth.reference.layers import (
    haar_pool,
    haar_pool_backward,
    max_pool,
    max_pool_backward,
    normalize,
    normalize_backward,
    window_groups,
)

STEPS = [*product((1, 2, 3), (0, 1, 2))]


def exact(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(mine: Tensor, oracle: Tensor) -> None:
    assert_close(mine, oracle, rtol=1e-12, atol=1e-12)


def first(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1)[None]


def last(x: Tensor) -> Tensor:
    return x[0].permute(1, 2, 0)


# Convolution


@pytest.mark.parametrize(
    ("stride", "y", "d_filters", "d_x"),
    [(1, (-1, -1, -1), (6, 9), (1, 0, 0, -1)), (2, (-1, -1), (4, 6), (1, -1, 1, -1))],
)
def test_convolution_by_hand(
    stride: int, y: tuple[int, ...], d_filters: tuple[int, ...], d_x: tuple[int, ...]
) -> None:
    x, filters = exact(1, 2, 3, 4).view(4, 1, 1), exact(1, -1).view(2, 1, 1, 1)
    found = convolve(x, filters, stride=stride)
    same(found.flatten(), exact(*y))
    by_x, by_filters, by_bias = convolve_backward(torch.ones_like(found), x, filters, stride=stride)
    same(by_x.flatten(), exact(*d_x))
    same(by_filters.flatten(), exact(*d_filters))
    same(by_bias, exact(len(y)))


def test_row2im_counts_how_often_a_pixel_is_read() -> None:
    ones = torch.ones(3, 3, 1, dtype=torch.float64)
    counts = row2im(im2row(ones, (2, 2)), ones.shape, (2, 2))[..., 0]
    same(counts, torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).double())


def test_patches_are_rows_with_the_printed_index() -> None:
    """phi(X)_(l,m,k,q,c) = X_(s l + k - p, s m + q - p, c), zero outside."""
    x, stride, padding = draw(5, 4, 2), 2, 1
    rows = im2row(x, (3, 2), stride=stride, padding=padding).view(3, 3, 3, 2, 2)
    for l, m, k, q, c in product(range(3), range(3), range(3), range(2), range(2)):  # noqa: E741
        i, j = stride * l + k - padding, stride * m + q - padding
        assert rows[l, m, k, q, c] == (x[i, j, c] if 0 <= i < 5 and 0 <= j < 4 else 0)


@pytest.mark.parametrize(("stride", "padding"), STEPS)
def test_row2im_is_the_adjoint_of_im2row(stride: int, padding: int) -> None:
    x = draw(7, 5, 3)
    rows = im2row(x, (3, 2), stride=stride, padding=padding)
    y = draw(*rows.shape, seed=1)
    same((rows * y).sum(), (x * row2im(y, x.shape, (3, 2), stride=stride, padding=padding)).sum())


@pytest.mark.parametrize(("stride", "padding"), STEPS)
@pytest.mark.parametrize("size", [(7, 5), (9, 4), (3, 3)])
def test_convolution_and_its_gradients_are_those_of_torch(
    size: tuple[int, int], stride: int, padding: int
) -> None:
    x, filters, bias = draw(*size, 2), draw(3, 2, 2, 4, seed=1), draw(4, seed=2)
    leaves = [t.clone().requires_grad_() for t in (x, filters, bias)]
    kernel = leaves[1].permute(3, 2, 0, 1)
    expected = last(F.conv2d(first(leaves[0]), kernel, leaves[2], stride=stride, padding=padding))
    same(convolve(x, filters, bias, stride=stride, padding=padding), expected.detach())
    grad = draw(*expected.shape, seed=3)
    oracles = torch.autograd.grad(expected, leaves, grad)
    for mine, oracle in zip(
        convolve_backward(grad, x, filters, stride=stride, padding=padding), oracles, strict=True
    ):
        same(mine, oracle)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(7, 5), (8, 9), (4, 3)])
def test_index_ranges_put_right_give_the_gradient(size: tuple[int, int], stride: int) -> None:
    x, filters = draw(*size, 2), draw(3, 2, 2, 4, seed=1)
    grad = draw(*convolve(x, filters, stride=stride).shape, seed=2)
    by_index = input_gradient_by_index(grad, filters, x.shape, stride)
    same(by_index, convolve_backward(grad, x, filters, stride=stride)[0])


def test_output_sizes() -> None:
    assert [output_size((7, 7), (3, 3), stride=s)[0] for s in (1, 2)] == [5, 3]
    for width, window, stride, padding in product(range(1, 9), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2)):
        starts = range(0, width + 2 * padding - window + 1, stride)
        if len(starts) == 0:
            with pytest.raises(ValueError, match="does not fit"):
                output_size((9, width), (1, window), stride=stride, padding=padding)
        else:
            found = output_size((9, width), (1, window), stride=stride, padding=padding)
            assert found[1] == len(starts) == (width + 2 * padding - window) // stride + 1


def test_reflection_and_its_adjoint() -> None:
    x, y = draw(4, 3, 2), draw(6, 5, 2, seed=1)
    same(pad_reflect(x), last(F.pad(first(x), (1, 1, 1, 1), mode="reflect")))
    same((pad_reflect(x) * y).sum(), (x * pad_reflect_backward(y)).sum())


# Pooling


def test_a_constant_window_passes_its_gradient_on_once() -> None:
    x, grad = torch.full((2, 2, 1), 0.3, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    assert max_pool_backward(grad, x, (2, 2), stride=2).sum() == 1
    assert max_pool_backward(grad, x, (2, 2), stride=2)[0, 0, 0] == 1, "the first, as torch has it"
    assert max_pool_backward_as_printed(grad, x, (2, 2), stride=2).sum() == 4


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 0), (2, 1), (3, 1)])
def test_tied_maxima_keep_the_gradient(stride: int, padding: int) -> None:
    x = draw(7, 9, 3).round()
    y = max_pool(x, (3, 2), stride=stride, padding=padding)
    grad = draw(*y.shape, seed=1).abs()
    leaf = x.clone().requires_grad_()
    expected = last(F.max_pool2d(first(leaf), (3, 2), stride, padding))
    same(y, expected.detach())
    mine = max_pool_backward(grad, x, (3, 2), stride=stride, padding=padding)
    same(mine, torch.autograd.grad(expected, leaf, grad)[0])
    same(mine.sum(), grad.sum())
    if not padding:
        assert max_pool_backward_as_printed(grad, x, (3, 2), stride=stride).sum() > 1.1 * grad.sum()


def test_the_networks_pooling_keeps_the_gradient_of_ties() -> None:
    for size in ((4, 6), (5, 3)):
        x = draw(1, 2, *size).round().requires_grad_()
        y = vgg.max_pool(x)
        assert torch.autograd.grad(y.sum(), x)[0].sum() == y.numel()


def test_negative_windows_have_negative_maxima() -> None:
    x = -1 - draw(6, 6, 2).abs()
    assert max_pool(x, (3, 3), stride=2, padding=1).max() <= -1


def test_haar_pooling_and_its_adjoint() -> None:
    x, y = draw(4, 6, 2), draw(2, 3, 2, seed=1)
    same(haar_pool(x), 2 * last(F.avg_pool2d(first(x), 2)))
    same((haar_pool(x) * y).sum(), (x * haar_pool_backward(y, x.shape)).sum())


# Normalisation


@pytest.mark.parametrize(
    ("groups", "grad", "y", "d_x"),
    [
        (((1, 1), (1, 1)), (1, 0), (1 / 6, 1 / 3), (1 / 9, -1 / 9)),
        (((1, 1), (0, 1)), (0, 1), (1 / 6, 2 / 5), (0, -3 / 25)),
    ],
)
def test_normalisation_by_hand(
    groups: tuple[tuple[int, int], ...], grad: tuple[int, int], y: tuple[float, ...], d_x: tuple[float, ...]
) -> None:
    x, members = exact(1, 2), torch.tensor(groups).double()
    same(normalize(x, members, kappa=1, alpha=1, beta=1), exact(*y))
    same(normalize_backward(exact(*grad), x, members, kappa=1, alpha=1, beta=1), exact(*d_x))


@pytest.mark.parametrize("width", [1, 3, 4, 7])
def test_normalisation_is_that_of_torch(width: int) -> None:
    x, grad = draw(3, 4, 6), draw(3, 4, 6, seed=1)
    groups, leaf = window_groups(6, width, x), x.clone().requires_grad_()
    expected = last(F.local_response_norm(first(leaf), width, 0.4 * width, 0.75, 1.5))
    same(normalize(x, groups, kappa=1.5, alpha=0.4, beta=0.75), expected.detach())
    mine = normalize_backward(grad, x, groups, kappa=1.5, alpha=0.4, beta=0.75)
    same(mine, torch.autograd.grad(expected, leaf, grad)[0])


# The rest


def test_softmax_and_losses_by_hand() -> None:
    x, label = exact(0, math.log(2), math.log(3))[None], torch.tensor([0])
    p = layers.softmax(x)
    same(p, exact(1 / 6, 1 / 3, 1 / 2)[None])
    same(layers.softmax_backward(exact(1, 0, 0)[None], p), exact(5 / 36, -1 / 18, -1 / 12)[None])
    same(layers.cross_entropy(x, label), exact(math.log(6))[0])
    same(layers.log_loss(p, label), exact(math.log(6))[0])
    same(layers.log_loss_backward(p, label), exact(-6, 0, 0)[None])
    same(layers.cross_entropy_backward(x, label), exact(-5 / 6, 1 / 3, 1 / 2)[None])


def test_the_fused_loss_is_finite_where_a_probability_rounds_to_nothing() -> None:
    x, label = exact(1000, 0, -1000)[None], torch.tensor([2])
    assert layers.cross_entropy(x, label) == 2000
    same(layers.cross_entropy_backward(x, label), exact(1, 0, -1)[None])
    p = layers.softmax(x)
    assert layers.log_loss(p, label).isinf()
    assert layers.softmax_backward(layers.log_loss_backward(p, label), p).isnan().any()


def test_losses_are_means_over_the_examples() -> None:
    x, label = 2 * draw(5, 7), torch.tensor([3, 0, 6, 6, 2])
    leaf = x.clone().requires_grad_()
    expected = F.cross_entropy(leaf, label)
    same(layers.cross_entropy(x, label), expected.detach())
    same(layers.cross_entropy_backward(x, label), torch.autograd.grad(expected, leaf)[0])


def test_relu_has_no_slope_at_nothing() -> None:
    x = exact(-1, 0, 2)
    assert layers.relu(x).tolist() == [0, 0, 2]
    assert layers.relu_backward(exact(5, 6, 7), x).tolist() == [0, 0, 7]


def test_vectorisation_is_undone() -> None:
    x = draw(3, 4, 2)
    assert torch.equal(layers.vec_backward(layers.vec(x), x.shape), x)


def test_a_connected_layer_is_an_outer_product_backwards() -> None:
    weight = torch.tensor([[1.0, 2, 3], [4, 5, 6]]).double()
    x, grad = exact(1, 0, -1), exact(2, 1)
    same(layers.connected(x, weight, exact(1, 1)), exact(-1, -1))
    d_x, d_weight, d_bias = layers.connected_backward(grad, x, weight)
    same(d_x, exact(6, 9, 12))
    same(d_weight, torch.tensor([[2.0, 0, -2], [1, 0, -1]]).double())
    same(d_bias, grad)
