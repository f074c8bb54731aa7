"""Self-similarity map and transposed convolution shift by shift (D'Orazio 2023; paper 004, equation 1).

What `texsynth.analysis.self_similarity` computes by FFT. Maps are (H, W, C); shift (p, q) of a map of shifts
up to (P, Q) lies at [P + p, Q + q]. Equation 1 does not say which (m, n) its sums run over; here, both over
those where F(m, n) and F(m - p, n - q) are inside the picture. Divided by the energy of the whole picture
instead, large shifts would win for having fewer terms.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from texsynth.reference.convolution import Pair, im2row, row2im

Area = tuple[slice, slice]


def _overlaps(size: Pair, reach: Pair) -> Iterator[tuple[Pair, Area, Area]]:
    """Yield for each shift its place in the map, where both are inside, and the same area moved back."""
    for p in range(-reach[0], reach[0] + 1):
        for q in range(-reach[1], reach[1] + 1):
            rows = slice(max(0, p), min(size[0], size[0] + p))
            columns = slice(max(0, q), min(size[1], size[1] + q))
            back = slice(rows.start - p, rows.stop - p), slice(columns.start - q, columns.stop - q)
            yield (reach[0] + p, reach[1] + q), (rows, columns), back


def self_difference(x: Tensor, reach: Pair) -> tuple[Tensor, Tensor]:
    """Return both sums of equation 1: sum |F(m, n) - F(m - p, n - q)|^2 and sum |F(m, n)|^2.

    x: (H, W, C); reach: (P, Q), below the size. Returns both as (2 P + 1, 2 Q + 1).
    """
    difference = x.new_zeros(2 * reach[0] + 1, 2 * reach[1] + 1)
    energy = torch.zeros_like(difference)
    for place, here, there in _overlaps((x.shape[0], x.shape[1]), reach):
        difference[place] = (x[here] - x[there]).square().sum()
        energy[place] = x[here].square().sum()
    return difference, energy


def self_difference_backward(grad: Tensor, x: Tensor, reach: Pair) -> Tensor:
    """Return the differences' gradient: dF(m, n) = 2 sum over (p, q) of g' (F(m, n) - F(m - p, n - q)).

    grad: (2 P + 1, 2 Q + 1), dz / d difference; g' = grad(p, q) + grad(-p, -q), since every pair is met at
    both shifts. Returns (H, W, C).
    """
    both = grad + grad.flip(0, 1)
    d_x = torch.zeros_like(x)
    for place, here, there in _overlaps((x.shape[0], x.shape[1]), reach):
        d_x[here] += 2 * both[place] * (x[here] - x[there])
    return d_x


def transposed_convolution(weights: Tensor, filters: Tensor) -> Tensor:
    """Lay copies of the filters at every place of the map and add: phi*(w f^T), as dX of paper 003, 1.1.

    weights: (a, b); filters: (h, w, C). Returns (a + h - 1, b + w - 1, C).
    """
    (a, b), (h, w, channels) = weights.shape, filters.shape
    shape = torch.Size((a + h - 1, b + w - 1, channels))
    return row2im(torch.outer(weights.reshape(-1), filters.reshape(-1)), shape, (h, w))


def transposed_convolution_backward(grad: Tensor, weights: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Return dw = phi(G) f and df = phi(G)^T w. grad: (a + h - 1, b + w - 1, C)."""
    rows = im2row(grad, (filters.shape[0], filters.shape[1]))
    d_weights, d_filters = rows @ filters.reshape(-1), rows.T @ weights.reshape(-1)
    return d_weights.reshape(weights.shape), d_filters.reshape(filters.shape)
