"""Checks of the layers of papers 001 and 003: the formulas against torch's own layers and their autograd."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from texsynth.reference import convolution, layers
from texsynth.reference.comparison import Check, Comparison, Problem, by_autograd, by_differences, slopes

STEPS = ((1, 0), (1, 2), (2, 1), (3, 2))
"""Strides and paddings of the convolutions."""

NORM = {"kappa": 1.5, "alpha": 0.4, "beta": 0.75}
"""Constants of the response normalisation."""


def first(x: Tensor) -> Tensor:
    """Convert (H, W, C) to torch's (1, C, H, W)."""
    return x.permute(2, 0, 1)[None]


def last(x: Tensor) -> Tensor:
    """Convert (1, C, H, W) to (H, W, C)."""
    return x[0].permute(1, 2, 0)


def _im2row(problem: Problem) -> Iterator[Comparison]:
    x = problem.normal(7, 6, 3)
    for stride, padding in STEPS:
        step = {"stride": stride, "padding": padding}
        rows = convolution.im2row(x, (3, 2), **step)
        unfolded = F.unfold(first(x), (3, 2), **step)[0]
        yield Comparison("phi", rows, unfolded.unflatten(0, (3, 6)).permute(2, 1, 0).flatten(1))
        y = problem.normal(*rows.shape)
        columns = y.unflatten(1, (6, 3)).permute(2, 1, 0).flatten(0, 1)[None]
        folded = last(F.fold(columns, (7, 6), (3, 2), **step))
        yield Comparison("phi*", convolution.row2im(y, x.shape, (3, 2), **step), folded)


def _convolution(problem: Problem) -> Iterator[Comparison]:
    x, filters, bias = problem.normal(9, 7, 3), problem.normal(3, 2, 3, 4), problem.normal(4)
    for stride, padding in STEPS:
        step = {"stride": stride, "padding": padding}

        def torchs(x: Tensor, f: Tensor, b: Tensor, step: dict[str, int] = step) -> Tensor:
            return last(F.conv2d(first(x), f.permute(3, 2, 0, 1), b, **step))

        y = convolution.convolve(x, filters, bias, **step)
        grad = problem.normal(*y.shape)
        got = y, *convolution.convolve_backward(grad, x, filters, **step)
        yield from by_autograd("Y dX dF db", got, torchs, (x, filters, bias), grad)


def _convolution_by_index(problem: Problem) -> Iterator[Comparison]:
    x, filters = problem.normal(7, 6, 2), problem.normal(3, 2, 2, 3)
    for stride in (1, 2, 3):
        grad = problem.normal(*convolution.convolve(x, filters, stride=stride).shape)
        by_index = convolution.input_gradient_by_index(grad, filters, x.shape, stride)
        yield Comparison("dX", by_index, convolution.convolve_backward(grad, x, filters, stride=stride)[0])


def _reflection(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.normal(5, 4, 2), problem.normal(7, 6, 2)
    got = convolution.pad_reflect(x), convolution.pad_reflect_backward(grad)
    yield from by_autograd("Y dX", got, lambda x: last(F.pad(first(x), (1,) * 4, mode="reflect")), (x,), grad)


def _max_pooling(problem: Problem) -> Iterator[Comparison]:
    x = problem.distinct(9, 8, 3)
    for stride, padding in ((1, 0), (2, 1), (3, 1)):
        step = {"stride": stride, "padding": padding}
        y = layers.max_pool(x, (3, 2), **step)
        grad = problem.normal(*y.shape)
        got = y, layers.max_pool_backward(grad, x, (3, 2), **step)
        yield from by_autograd(
            "Y dX", got, lambda x, step=step: last(F.max_pool2d(first(x), (3, 2), **step)), (x,), grad
        )


def _haar_pooling(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.normal(6, 4, 3), problem.normal(3, 2, 3)
    got = layers.haar_pool(x), layers.haar_pool_backward(grad, x.shape)
    yield from by_autograd("Y dX", got, lambda x: 2 * last(F.avg_pool2d(first(x), 2)), (x,), grad)


def _normalization(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.normal(4, 3, 9), problem.normal(4, 3, 9)
    # Groups of 4 reach farther down than up, which tells G(d) from the groups that hold d.
    for width in (3, 4):
        groups = layers.window_groups(9, width, x)
        got = layers.normalize(x, groups, **NORM), layers.normalize_backward(grad, x, groups, **NORM)

        def torchs(x: Tensor, n: int = width) -> Tensor:
            return last(F.local_response_norm(first(x), n, n * NORM["alpha"], NORM["beta"], NORM["kappa"]))

        yield from by_autograd("Y dX", got, torchs, (x,), grad)


def _rearranged(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.normal(3, 4, 2), problem.normal(24)
    d_x = layers.relu_backward(layers.vec_backward(grad, x.shape), x)
    got = layers.vec(layers.relu(x)), d_x
    yield from by_autograd("Y dX", got, lambda x: F.relu(x).flatten(), (x,), grad)


def _connected(problem: Problem) -> Iterator[Comparison]:
    x, weight, bias, grad = (problem.normal(*shape) for shape in ((12,), (5, 12), (5,), (5,)))
    got = (layers.connected(x, weight, bias), *layers.connected_backward(grad, x, weight))
    yield from by_autograd("Y dX dW db", got, F.linear, (x, weight, bias), grad)


def _softmax(problem: Problem) -> Iterator[Comparison]:
    x, grad = 3 * problem.normal(6, 10), problem.normal(6, 10)
    y = layers.softmax(x)
    got = y, layers.softmax_backward(grad, y)
    yield from by_autograd("Y dX", got, lambda x: F.softmax(x, 1), (x,), grad)


def _log_loss(problem: Problem) -> Iterator[Comparison]:
    p, label = layers.softmax(problem.normal(6, 10)), problem.labels(6, 10)
    got = layers.log_loss(p, label), layers.log_loss_backward(p, label)
    yield from by_autograd("loss dX", got, lambda p: F.nll_loss(p.log(), label), (p,))


def _cross_entropy(problem: Problem) -> Iterator[Comparison]:
    x, label = 3 * problem.normal(6, 10), problem.labels(6, 10)
    got = layers.cross_entropy(x, label), layers.cross_entropy_backward(x, label)
    yield from by_autograd("loss dX", got, lambda x: F.cross_entropy(x, label), (x,))
    # One layer after the other, where no probability rounds to 0, is the same.
    p = layers.softmax(x)
    yield Comparison("chain", layers.softmax_backward(layers.log_loss_backward(p, label), p), got[1])


def _differences(problem: Problem) -> Iterator[Comparison]:
    x, filters, grad = problem.normal(6, 5, 2), problem.normal(3, 2, 2, 3), problem.normal(2, 2, 3)
    d_x, d_filters, _ = convolution.convolve_backward(grad, x, filters, stride=2)
    yield slopes(lambda x: (grad * convolution.convolve(x, filters, stride=2)).sum(), x, d_x, problem.rng)
    yield slopes(
        lambda f: (grad * convolution.convolve(x, f, stride=2)).sum(), filters, d_filters, problem.rng
    )
    x, grad, label = problem.normal(4, 7), problem.normal(4, 7), problem.labels(4, 7)
    groups = layers.window_groups(7, 4, x)
    d_x = layers.normalize_backward(grad, x, groups, **NORM)
    yield slopes(
        lambda x: (grad * layers.normalize(x, groups, **NORM)).sum(),
        x, d_x, problem.rng,
    )  # fmt: skip
    d_x = layers.cross_entropy_backward(x, label)
    yield slopes(lambda x: layers.cross_entropy(x, label), x, d_x, problem.rng)


CHECKS = (
    Check("im2row and row2im", "paper 003, 1.1", _im2row),
    Check("convolution", "paper 003, 1.1; 001, problem 4", _convolution),
    Check("convolution by index", "paper 001, problem 4", _convolution_by_index),
    Check("reflection padding", "ours, adjoint", _reflection),
    Check("max pooling", "paper 003, 1.2; 001, problem 5", _max_pooling),
    Check("Haar pooling", "Yoo et al. 2019", _haar_pooling),
    Check("response normalisation", "paper 003, 1.3", _normalization),
    Check("vectorisation and ReLU", "paper 003, 1.4 and 1.5", _rearranged),
    Check("fully connected", "paper 003, 1.6; 001, problem 3", _connected),
    Check("softmax", "paper 003, 1.7", _softmax),
    Check("log-loss", "paper 003, 1.8", _log_loss),
    Check("softmax and log-loss fused", "paper 001, problem 2", _cross_entropy),
    by_differences("layers", "papers 001 and 003", _differences),
)
"""In the order of paper 003."""
