"""Checks of the papers' formulas against torch's own layers and functions, and their autograd."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.reference import convolution, encoding, ift, layers, self_similarity
from texsynth.reference import ift as style
from texsynth.reference.comparison import Check, Comparison, Problem, by_autograd, by_differences, slopes

STEPS = ((1, 0), (1, 2), (2, 1), (3, 2))  # Strides and paddings of the convolutions

NORM = {"kappa": 1.5, "alpha": 0.4, "beta": 0.75}  # Constants of the response normalisation

UPDATES = 15  # Steps of IFT, those of the paper


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
    distinct = problem.distinct(9, 8, 3)
    # Of values that are tied the first wins.
    for x, stride, padding in ((distinct, 1, 0), (distinct, 2, 1), (distinct, 3, 1), (distinct // 50, 2, 1)):
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
    for shift in (0, 1000):
        y = layers.softmax(x + shift)
        got = y, layers.softmax_backward(grad, y)
        yield from by_autograd("Y dX", got, lambda x: F.softmax(x, 1), (x + shift,), grad)


def _log_loss(problem: Problem) -> Iterator[Comparison]:
    p, label = layers.softmax(problem.normal(6, 10)), problem.labels(6, 10)
    got = layers.log_loss(p, label), layers.log_loss_backward(p, label)
    yield from by_autograd("loss dX", got, lambda p: F.nll_loss(p.log(), label), (p,))


def _cross_entropy(problem: Problem) -> Iterator[Comparison]:
    x, label = 3 * problem.normal(6, 10), problem.labels(6, 10)
    for logits in (1000 * x, x):
        got = layers.cross_entropy(logits, label), layers.cross_entropy_backward(logits, label)
        yield from by_autograd("loss dX", got, lambda x: F.cross_entropy(x, label), (logits,))
    # One layer after the other, where no probability rounds to 0, is the same.
    p = layers.softmax(x)
    yield Comparison("chain", layers.softmax_backward(layers.log_loss_backward(p, label), p), got[1])


def _layer_differences(problem: Problem) -> Iterator[Comparison]:
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


LAYER_CHECKS = (
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
    by_differences("layers", "papers 001 and 003", _layer_differences),
)

FORMULA_CHECKS = (
    *LAYER_CHECKS,
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
"""The layers in the order of paper 003, then the others in that of the papers."""
