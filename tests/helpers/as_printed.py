"""Formulas of papers 000, 001 and 004 as they are printed, which is WRONG, to compare the right ones with."""

from __future__ import annotations

from torch import Tensor

from texsynth.reference import encoding
from texsynth.reference.convolution import im2row, row2im


def encode_backward_as_printed(
    grad: Tensor, x: Tensor, codewords: Tensor, smoothing: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of the paper's independent sub-encoders: dx is right, the others WRONG for K > 1.

    Equations 3 to 5 with the sums over i, and equation 5 times r_ik; only the terms j unlike k are left out,
    as printed. Arguments and result as for `encode_backward`.
    """
    r, a = encoding.residuals(x, codewords), encoding.assignment(x, codewords, smoothing)
    p, distance = (grad * r).sum(2), r.square().sum(2)
    # f g / h^2 of equations 4 and 5, where g is the sum of the other f.
    own = a * (1 - a)
    d_codewords = ((2 * smoothing * own * p)[:, :, None] * r - a[:, :, None] * grad).sum(0)
    d_smoothing = -(own * distance * p).sum(0)
    return encoding.encode_backward(grad, x, codewords, smoothing)[0], d_codewords, d_smoothing


def max_pool_backward_as_printed(grad: Tensor, x: Tensor, window: tuple[int, int], *, stride: int) -> Tensor:
    """Return the gradient of paper 001, problem 5, but for its index k: WRONG where maxima are tied.

    Every pixel that equals the maximum gets the whole gradient.
    """
    rows = im2row(x, window, stride=stride)
    windows = rows.reshape(len(rows), -1, x.shape[2])
    passed = (windows == windows.amax(1, keepdim=True)) * grad.flatten(0, 1)[:, None]
    return row2im(passed.flatten(1), x.shape, window, stride=stride)


def gram_loss_as_printed(output: Tensor, target: Tensor) -> Tensor:
    """Equation 2 as printed, one level: WRONG, 0 for all multiples of the target."""
    cross = output.T @ target
    return (cross - cross.T).abs().sum() / (output.numel() * output.shape[1] ** 2)
