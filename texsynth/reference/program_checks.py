"""Checks of the program's own parts, on the device and in the type in question, against the plain formulas.

The formulas are evaluated from the same inputs in float64 on the CPU, so the error is that of the part alone.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.self_similarity import self_difference, transposed_convolution
from texsynth.config.settings import IFTSettings
from texsynth.metrics.losses import gram, sliced_wasserstein
from texsynth.models import vgg
from texsynth.models.encoding import encode
from texsynth.models.wavelets import BANDS, pool, unpool
from texsynth.reference import convolution, encoding, ift, layers, self_similarity
from texsynth.reference import ift as style
from texsynth.reference.comparison import ALL, Check, Comparison, Problem, comparisons, exact, gradients
from texsynth.reference.formula_checks import (
    FORMULA_CHECKS,
    UPDATES,
    encoding_problem,
    first,
    last,
    style_problem,
)
from texsynth.reference.texture_checks import TEXTURE_CHECKS
from texsynth.reference.transfer_checks import TRANSFER_CHECKS
from texsynth.transforms.ift import fit, style_weight
from texsynth.transforms.moments import Moments


def _encode(problem: Problem, offset: float) -> Iterator[Comparison]:
    grad, x, codewords, smoothing = encoding_problem(problem)
    working = torch.promote_types(problem.dtype, torch.float32)
    inputs = (x + offset, codewords.to(working) + offset, smoothing.to(working))
    got = gradients(lambda x, c, s: encode(x[None], c, s)[0], inputs, grad)
    g, *same = exact(grad, *inputs)
    yield from comparisons("E dX dC ds", got, (encoding.encode(*same), *encoding.encode_backward(g, *same)))


def _conv_by_program(x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
    return last(vgg.conv_reflect(first(x), filters.permute(3, 2, 0, 1), bias))


def _conv_reflect(problem: Problem) -> Iterator[Comparison]:
    # Three outputs and even sides are computed by blocks of 2 x 2 pixels, all else as it stands.
    for height, width, outputs in ((6, 4, 3), (5, 6, 4)):
        x, bias = problem.normal(height, width, 3), problem.normal(outputs)
        filters, grad = problem.normal(3, 3, 3, outputs), problem.normal(height, width, outputs)
        got = gradients(_conv_by_program, (x, filters, bias), grad)
        x, filters, bias, grad = exact(x, filters, bias, grad)
        padded = convolution.pad_reflect(x)
        d_padded, *others = convolution.convolve_backward(grad, padded, filters)
        y, d_x = convolution.convolve(padded, filters, bias), convolution.pad_reflect_backward(d_padded)
        yield from comparisons("Y dX dF db", got, (y, d_x, *others))


def _max_pool(problem: Problem) -> Iterator[Comparison]:
    for height, width in ((6, 4), (5, 7)):
        x = problem.distinct(height, width, 3)
        grad = problem.normal((height + 1) // 2, (width + 1) // 2, 3)
        got = gradients(lambda x: last(vgg.max_pool(first(x))), (x,), grad)
        x, grad = exact(x, grad)
        whole = F.pad(x, (0, 0, 0, width % 2, 0, height % 2), value=-torch.inf)
        d_x = layers.max_pool_backward(grad, whole, (2, 2), stride=2)[:height, :width]
        yield from comparisons("Y dX", got, (layers.max_pool(whole, (2, 2), stride=2), d_x))


def _haar(problem: Problem) -> Iterator[Comparison]:
    x, grad = problem.normal(6, 4, 3), problem.normal(3, 2, 3)
    got = gradients(lambda x: last(vgg.haar_pool(first(x))), (x,), grad)
    expected, back = exact(x, grad)
    yield from comparisons(
        "Y dX", got, (layers.haar_pool(expected), layers.haar_pool_backward(back, x.shape))
    )
    yield Comparison("band", last(pool(first(x), 0)), layers.haar_pool(expected))
    yield Comparison("unpool", last(unpool(first(grad), 0)), layers.haar_pool_backward(back, x.shape))
    bands = (unpool(pool(first(x), band), band) for band in range(BANDS))
    yield Comparison("all bands", last(torch.stack([*bands]).sum(0)), expected)


def _ift(problem: Problem) -> Iterator[Comparison]:
    pull = 0.1
    settings = IFTSettings(pull=pull, n_upd=UPDATES, step="fixed", rate=0.02, centred=False)
    content, target = problem.normal(6, 80, offset=0.3), 1.5 * problem.normal(6, 50)
    own, goal = (Moments.of(f[None, :, None]) for f in (content, target))
    moved = fit(own, goal, settings)(content[None, :, None])[0, :, 0] - content
    anchor, second = exact(content)[0], ift.second_moment(exact(target)[0])
    weight = style_weight(ift.second_moment(anchor), second, pull)
    end = ift.direct(anchor, second, weight=weight, rate=settings.rate, n_upd=UPDATES)
    yield Comparison("moved", moved, end - anchor)


def _gram(problem: Problem) -> Iterator[Comparison]:
    output, target, _ = style_problem(problem)

    def by_program(features: Tensor) -> Tensor:
        own, goal = (gram(f.T[None, :, None]) for f in (features, target))
        return (own - goal).abs().mean()

    got = gradients(by_program, (output,))
    same = exact(output, target)
    yield from comparisons("loss dF", got, (style.gram_loss(*same), style.gram_loss_gradient(*same)))


def _wasserstein(problem: Problem) -> Iterator[Comparison]:
    output, target, rows = style_problem(problem)
    got = gradients(lambda f: sliced_wasserstein(f.T[None], target.T[None], rows), (output,))
    same = exact(output, target, rows)
    expected = style.sliced_wasserstein(*same), style.sliced_wasserstein_gradient(*same)
    yield from comparisons("loss dF", got, expected)


def _self_similarity(problem: Problem) -> Iterator[Comparison]:
    x, reach, grad = problem.normal(6, 7, 3, offset=1), (3, 4), problem.normal(7, 9)
    got = gradients(lambda x: self_difference(first(x), reach)[0][0], (x,), grad)
    energy = self_difference(first(x), reach)[1][0]
    x, grad = exact(x, grad)
    difference, expected_energy = self_similarity.self_difference(x, reach)
    d_x = self_similarity.self_difference_backward(grad, x, reach)
    yield from comparisons("difference dF energy", (*got, energy), (difference, d_x, expected_energy))


def _transposed(problem: Problem) -> Iterator[Comparison]:
    weights, filters, grad = problem.normal(4, 5), problem.normal(3, 2, 3), problem.normal(6, 6, 3)
    got = gradients(
        lambda w, f: last(transposed_convolution(w[None, None], first(f))), (weights, filters), grad
    )
    weights, filters, grad = exact(weights, filters, grad)
    y = self_similarity.transposed_convolution(weights, filters)
    back = self_similarity.transposed_convolution_backward(grad, weights, filters)
    yield from comparisons("Y dw dF", got, (y, *back))


PROGRAM_CHECKS = (
    Check("program: encoding", "paper 000, eq. 1 to 6", lambda p: _encode(p, 0), ALL),
    Check("program: encoding at 100", "paper 000, eq. 1 to 6", lambda p: _encode(p, 100)),
    Check("program: convolution", "paper 003, 1.1", _conv_reflect, ALL),
    Check("program: max pooling", "paper 003, 1.2", _max_pool, ALL),
    Check("program: Haar pooling", "Yoo et al. 2019", _haar, ALL),
    Check("program: IFT on matrices", "paper 002, eq. 27", _ift, roundings=UPDATES * 64),
    Check("program: Gram loss", "paper 004, eq. 2", _gram, ALL),
    Check("program: sliced Wasserstein", "paper 004, eq. 3 and 4", _wasserstein, ALL),
    Check("program: self-similarity", "paper 004, eq. 1", _self_similarity, ALL),
    Check("program: transposed convolution", "paper 004, section 4", _transposed, ALL),
)
"""In the order of the papers. All but the layers of networks compute in float32 or float64."""

CHECKS = (*FORMULA_CHECKS, *PROGRAM_CHECKS, *TRANSFER_CHECKS, *TEXTURE_CHECKS)
"""The formulas of the papers against torch, then the program's own parts against the formulas."""
