"""Checks of the formulas of papers 000, 002 and 004 against autograd of the same in torch's functions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.reference import encoding, ift, self_similarity
from texsynth.reference import ift as style
from texsynth.reference.comparison import Check, Comparison, Problem, by_autograd, by_differences, slopes
from texsynth.reference.layer_checks import first, last

UPDATES = 15
"""Steps of IFT, those of the paper."""


def encoding_problem(problem: Problem) -> tuple[Tensor, ...]:
    """Draw upstream gradient (K, D), descriptors (N, D), codewords (K, D), smoothing factors (K,)."""
    x, codewords = problem.normal(20, 5), problem.normal(6, 5)
    return problem.normal(6, 5), x, codewords, problem.uniform(6)


def _encode_by_torch(x: Tensor, codewords: Tensor, smoothing: Tensor) -> Tensor:
    residual = x[:, None] - codewords
    share = F.softmax(-smoothing * residual.square().sum(2), 1)
    return torch.einsum("nk,nkd->kd", share, residual)


def _encoding(problem: Problem) -> Iterator[Comparison]:
    grad, *inputs = encoding_problem(problem)
    got = encoding.encode(*inputs), *encoding.encode_backward(grad, *inputs)
    yield from by_autograd("E dX dC ds", got, _encode_by_torch, inputs, grad)


def _encoding_differences(problem: Problem) -> Iterator[Comparison]:
    grad, x, c, s = encoding_problem(problem)
    d_x, d_c, d_s = encoding.encode_backward(grad, x, c, s)
    yield slopes(lambda x: (grad * encoding.encode(x, c, s)).sum(), x, d_x, problem.rng)
    yield slopes(lambda c: (grad * encoding.encode(x, c, s)).sum(), c, d_c, problem.rng)
    yield slopes(lambda s: (grad * encoding.encode(x, c, s)).sum(), s, d_s, problem.rng)


def _ift_problem(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Draw features F near their anchor F0, (C, n), and the second moment of a style."""
    anchor = problem.normal(5, 40)
    return anchor + 0.3 * problem.normal(5, 40), anchor, ift.second_moment(1.5 * problem.normal(5, 30))


def _ift(problem: Problem) -> Iterator[Comparison]:
    features, anchor, second = _ift_problem(problem)

    def plain(f: Tensor) -> Tensor:
        gap = torch.einsum("in,jn->ij", f, f) / f.shape[1] - second
        return (f - anchor).pow(2).sum() + 0.3 * f.shape[1] * gap.pow(2).sum()

    got = (ift.loss(features, anchor, second, weight=0.3), ift.gradient(features, anchor, second, weight=0.3))
    yield from by_autograd("loss dF", got, plain, (features,))


def _reduced_ift(problem: Problem) -> Iterator[Comparison]:
    _, anchor, second = _ift_problem(problem)
    matrix, sigma = problem.normal(5, 5), ift.second_moment(anchor)
    reduced = ift.reduced_loss(matrix, sigma, second, weight=0.3)
    yield Comparison("loss", reduced, ift.loss(matrix @ anchor, anchor, second, weight=0.3) / anchor.shape[1])
    stepped, fused = (
        form(anchor, second, weight=0.03, rate=0.02, n_upd=UPDATES) - anchor
        for form in (ift.direct, ift.fused)
    )
    yield Comparison("steps", fused, stepped)


def _ift_differences(problem: Problem) -> Iterator[Comparison]:
    features, anchor, second = _ift_problem(problem)
    gradient = ift.gradient(features, anchor, second, weight=0.3)
    yield slopes(lambda f: ift.loss(f, anchor, second, weight=0.3), features, gradient, problem.rng)


def style_problem(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Draw features of output and target (H W, C), and unit directions (K, C)."""
    directions = problem.normal(6, 4)
    return problem.normal(12, 4), problem.normal(12, 4), F.normalize(directions)


def _gram(problem: Problem) -> Iterator[Comparison]:
    output, target, _ = style_problem(problem)

    def plain(phi: Tensor) -> Tensor:
        own, goal = (torch.einsum("ni,nj->ij", f, f) / f.numel() for f in (phi, target))
        return F.l1_loss(own, goal)

    got = style.gram_loss(output, target), style.gram_loss_gradient(output, target)
    yield from by_autograd("loss dPhi", got, plain, (output,))


def _wasserstein(problem: Problem) -> Iterator[Comparison]:
    output, target, rows = style_problem(problem)

    def plain(phi: Tensor) -> Tensor:
        return F.mse_loss((rows @ phi.T).sort(1).values, (rows @ target.T).sort(1).values)

    losses = style.sliced_wasserstein, style.sliced_wasserstein_gradient
    yield from by_autograd("loss dPhi", [f(output, target, rows) for f in losses], plain, (output,))


def _self_similarity(problem: Problem) -> Iterator[Comparison]:
    x, reach, grad = problem.normal(6, 7, 3, offset=1), (3, 4), problem.normal(7, 9)
    pad = (reach[1], reach[1], reach[0], reach[0])
    difference, energy = self_similarity.self_difference(x, reach)

    def sums(x: Tensor) -> Tensor:
        """Sum the squares over the overlap: the convolution with a picture of ones."""
        squares = first(x).square().sum(1, keepdim=True)
        return F.conv2d(F.pad(squares, pad), torch.ones_like(squares))

    def plain(x: Tensor) -> Tensor:
        """Compute the difference from three convolutions: `sums`, those mirrored, the picture with itself."""
        products = F.conv2d(F.pad(first(x), pad), first(x))
        return (sums(x) + sums(x).flip(2, 3) - 2 * products)[0, 0]

    d_x = self_similarity.self_difference_backward(grad, x, reach)
    yield from by_autograd("difference dF", (difference, d_x), plain, (x,), grad)
    yield Comparison("energy", energy, sums(x)[0, 0])


def _transposed(problem: Problem) -> Iterator[Comparison]:
    weights, filters = problem.normal(4, 5), problem.normal(3, 2, 3)
    y = self_similarity.transposed_convolution(weights, filters)
    grad = problem.normal(*y.shape)
    got = y, *self_similarity.transposed_convolution_backward(grad, weights, filters)

    def plain(w: Tensor, f: Tensor) -> Tensor:
        return last(F.conv_transpose2d(w[None, None], first(f)))

    yield from by_autograd("Y dw dF", got, plain, (weights, filters), grad)


def _texture_differences(problem: Problem) -> Iterator[Comparison]:
    output, target, rows = style_problem(problem)
    gradient = style.gram_loss_gradient(output, target)
    yield slopes(lambda phi: style.gram_loss(phi, target), output, gradient, problem.rng)
    gradient = style.sliced_wasserstein_gradient(output, target, rows)
    yield slopes(lambda phi: style.sliced_wasserstein(phi, target, rows), output, gradient, problem.rng)
    x, reach, grad = problem.normal(5, 4, 2), (2, 3), problem.normal(5, 7)
    gradient = self_similarity.self_difference_backward(grad, x, reach)
    yield slopes(
        lambda x: (grad * self_similarity.self_difference(x, reach)[0]).sum(), x, gradient, problem.rng
    )


CHECKS = (
    Check("encoding", "paper 000, eq. 1 to 6", _encoding),
    by_differences("encoding", "paper 000, eq. 1 to 5", _encoding_differences),
    Check("IFT", "paper 002, eq. 1, 2 and 27", _ift),
    Check("IFT in other forms", "paper 002, eq. 1 and 27", _reduced_ift, roundings=UPDATES * 64),
    by_differences("IFT", "paper 002, eq. 27", _ift_differences),
    Check("Gram loss", "paper 004, eq. 2", _gram),
    Check("sliced Wasserstein", "paper 004, eq. 3 and 4", _wasserstein),
    Check("self-similarity", "paper 004, eq. 1", _self_similarity),
    Check("transposed convolution", "paper 004, section 4", _transposed),
    by_differences("texture", "paper 004, eq. 1 to 4", _texture_differences),
)
"""In the order of the papers."""
