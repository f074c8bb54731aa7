"""Pooling and its derivatives: maxima (paper 003, section 1.2; paper 001, problem 5) and Haar means.

Maps are (H, W, C). With phi = im2row, entry (r, q, c) of phi(X) is pixel q of window r in channel c.

    Y_rc = sum_q phi(X)_rqc S_rqc,   dX = phi*(G_rc S_rqc),   S >= 0 and sum_q S_rqc = 1

Errata of paper 003: its Y = phi(X) S and G S^T are products of matrices of the wrong shapes, since S
selects per window and per channel; and its constraint 1^T S <= 1^T binds the columns, where every row must
sum to 1 ("<=" would give 0 for windows of negative values). Erratum of paper 001: dL/dy(k,i,j) is
dL/dy(c,i,j), and the indicator I(x, y) passes the gradient to every pixel that equals the maximum, once to
each, so that tied windows pass on more than they got. One winner per window, the first in row-major order
as in torch, is a subgradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from texsynth.reference.convolution import Pair, im2row, output_size, row2im


def _windows(x: Tensor, window: Pair, stride: int, padding: int) -> Tensor:
    """Return the windows (h' w', h_f w_f, C), padded by what no maximum ever is."""
    rows = im2row(x, window, stride=stride, padding=padding, fill=-math.inf)
    return rows.reshape(len(rows), -1, x.shape[2])


def max_pool(x: Tensor, window: Pair, *, stride: int, padding: int = 0) -> Tensor:
    """y = max over the window (paper 001, problem 5). x: (H, W, C), padding at most half a window.

    Returns (h', w', C).
    """
    size = output_size((x.shape[0], x.shape[1]), window, stride=stride, padding=padding)
    return _windows(x, window, stride, padding).amax(1).reshape(*size, -1)


def max_pool_backward(grad: Tensor, x: Tensor, window: Pair, *, stride: int, padding: int = 0) -> Tensor:
    """dX = phi*(G S) with one winner per window and channel, so that no gradient is lost or doubled.

    grad: (h', w', C); the others as for `max_pool`. Returns (H, W, C).
    """
    windows = _windows(x, window, stride, padding)
    chosen = torch.zeros_like(windows).scatter_(1, windows.argmax(1, keepdim=True), 1)
    passed = chosen * grad.flatten(0, 1)[:, None]
    return row2im(passed.flatten(1), x.shape, window, stride=stride, padding=padding)


def max_pool_backward_as_printed(grad: Tensor, x: Tensor, window: Pair, *, stride: int) -> Tensor:
    """Return the gradient of paper 001, problem 5, but for its index k: WRONG where maxima are tied.

    Every pixel that equals the maximum gets the whole gradient. For comparison only.
    """
    windows = _windows(x, window, stride, 0)
    passed = (windows == windows.amax(1, keepdim=True)) * grad.flatten(0, 1)[:, None]
    return row2im(passed.flatten(1), x.shape, window, stride=stride)


def haar_pool(x: Tensor) -> Tensor:
    """Compute the low band of the Haar wavelets, half the sum of 2 x 2 pixels (Yoo et al. 2019).

    x: (H, W, C) with even sides. Returns (H / 2, W / 2, C).
    """
    size = output_size((x.shape[0], x.shape[1]), (2, 2), stride=2)
    return im2row(x, (2, 2), stride=2).reshape(size[0] * size[1], 4, -1).sum(1).reshape(*size, -1) / 2


def haar_pool_backward(grad: Tensor, shape: torch.Size) -> Tensor:
    """Pass half of the gradient to each of the 2 x 2 pixels. grad: (H / 2, W / 2, C); shape: (H, W, C)."""
    half = (grad.flatten(0, 1) / 2)[:, None].expand(-1, 4, -1)
    return row2im(half.flatten(1), shape, (2, 2), stride=2)
