"""Convolution and its derivatives as matrix products.

Notes on the derivatives of CNN layers (paper 003, section 1.1) and problem 4 of the machine vision homework
(Zhang 2020; paper 001). Maps are (H, W, C), channels last as in paper 003, and the rows of a matrix are
positions in row-major order. What `torch.nn.functional.conv2d` and its backward pass compute, spelt out.

    Y = phi(X) F + 1 b^T,   dF = phi(X)^T G,   db = G^T 1,   dX = phi*(G F^T),   G = dz/dY

phi is im2row and phi* its adjoint row2im, so <phi(X), Y> = <X, phi*(Y)>.

With 0-based indices, stride s and padding p, phi(X)_(l,m,k,q,c) = X_(s l + k - p, s m + q - p, c), zero
outside. Errata of the papers: `texsynth docs mathematics`.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


def output_size(size: Pair, window: Pair, *, stride: int = 1, padding: int = 0) -> Pair:
    """Count windows down and across: floor((h + 2 p - h_f) / s) + 1 (paper 003, section 1.1, "Sizes").

    Paper 003 prints the largest index, which is one less. Raises ValueError when no window fits.
    """
    rows, columns = (
        (length + 2 * padding - extent) // stride + 1 for length, extent in zip(size, window, strict=True)
    )
    if min(rows, columns) < 1:
        raise ValueError(f"a window of {window} does not fit {size} padded by {padding}")
    return rows, columns


def im2row(x: Tensor, window: Pair, *, stride: int = 1, padding: int = 0, fill: float = 0.0) -> Tensor:
    """phi(X) of (H, W, C): a row of pixels for each window, (h' w', h_f w_f C). fill: of the padding."""
    h, w = output_size((x.shape[0], x.shape[1]), window, stride=stride, padding=padding)
    padded = F.pad(x, (0, 0, padding, padding, padding, padding), value=fill)
    columns = [padded[part] for part in _moved(window, (h, w), stride)]
    return torch.stack(columns, 2).reshape(h * w, -1)


def row2im(rows: Tensor, shape: torch.Size, window: Pair, *, stride: int = 1, padding: int = 0) -> Tensor:
    """phi*(Y), the adjoint of im2row: entries are added to the pixels, (H, W, C), they were read from."""
    height, width, channels = shape
    h, w = output_size((height, width), window, stride=stride, padding=padding)
    entries = rows.reshape(h, w, -1, channels)
    padded = rows.new_zeros(height + 2 * padding, width + 2 * padding, channels)
    for column, part in enumerate(_moved(window, (h, w), stride)):
        padded[part] += entries[:, :, column]
    return padded[padding : padding + height, padding : padding + width]


def _moved(window: Pair, size: Pair, stride: int) -> Iterator[tuple[slice, slice]]:
    """Yield for each pixel of the window its place in all windows: every stride-th pixel from there on."""
    for k in range(window[0]):
        for q in range(window[1]):
            down = slice(k, k + stride * (size[0] - 1) + 1, stride)
            yield down, slice(q, q + stride * (size[1] - 1) + 1, stride)


def convolve(
    x: Tensor, filters: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0
) -> Tensor:
    """Y = phi(X) F + 1 b^T (paper 003, section 1.1; paper 001, equation 1 of problem 4).

    x: (H, W, C); filters: (h_f, w_f, C, K); bias: (K,). Returns (h', w', K).
    """
    window = (filters.shape[0], filters.shape[1])
    h, w = output_size((x.shape[0], x.shape[1]), window, stride=stride, padding=padding)
    y = im2row(x, window, stride=stride, padding=padding) @ filters.flatten(0, 2)
    return (y if bias is None else y + bias).reshape(h, w, -1)


def convolve_backward(
    grad: Tensor, x: Tensor, filters: Tensor, *, stride: int = 1, padding: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dF and db (paper 003, section 1.1; paper 001, problem 4).

    grad: (h', w', K), dz/dY; the others as for `convolve`. Returns the shapes of x, filters and bias.
    """
    window, g = (filters.shape[0], filters.shape[1]), grad.flatten(0, 1)
    d_filters = im2row(x, window, stride=stride, padding=padding).T @ g
    d_rows = g @ filters.flatten(0, 2).T
    d_x = row2im(d_rows, x.shape, window, stride=stride, padding=padding)
    return d_x, d_filters.reshape(filters.shape), g.sum(0)


def input_gradient_by_index(grad: Tensor, filters: Tensor, shape: torch.Size, stride: int) -> Tensor:
    """dL/dx of paper 001, problem 4, pixel by pixel with the ranges put right; no padding.

    Pixel (i', j') is read by output (i, j) for i from ceil((i' - M + 1) / s) to floor(i' / s), likewise j.
    grad: (h', w', K); filters: (M, N, C, K); shape: (H, W, C) of x. Returns that shape.
    """
    d_x = grad.new_zeros(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            for i in _reached_by(row, filters.shape[0], grad.shape[0], stride):
                for j in _reached_by(column, filters.shape[1], grad.shape[1], stride):
                    d_x[row, column] += filters[row - i * stride, column - j * stride] @ grad[i, j]
    return d_x


def _reached_by(pixel: int, extent: int, count: int, stride: int) -> range:
    """Return ceil((pixel - extent + 1) / stride) to floor(pixel / stride), cut to the windows there are."""
    return range(max(0, -((extent - 1 - pixel) // stride)), min(count - 1, pixel // stride) + 1)


def pad_reflect(x: Tensor) -> Tensor:
    """Add one line on every side, mirrored without repeating the edge. x: (H, W, C), H and W at least 2."""
    rows, columns = (_mirrored(length, x.device) for length in x.shape[:2])
    return x[rows][:, columns]


def pad_reflect_backward(grad: Tensor) -> Tensor:
    """Add what `pad_reflect` copied to where it came from: the adjoint. grad: (H + 2, W + 2, C)."""
    rows, columns = (_mirrored(length - 2, grad.device) for length in grad.shape[:2])
    folded = grad.new_zeros(grad.shape[0] - 2, *grad.shape[1:]).index_add(0, rows, grad)
    return folded.new_zeros(len(folded), len(columns) - 2, grad.shape[2]).index_add(1, columns, folded)


def _mirrored(length: int, device: torch.device) -> Tensor:
    return torch.tensor([1, *range(length), length - 2], device=device)
