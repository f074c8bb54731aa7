"""Sums over squares at a cost that does not grow with their size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box_sum(values: Tensor, size: int, *, wrap: bool = False) -> Tensor:
    """Sums over size x size squares by their top left corner, from a summed-area table.

    values: (..., H, W). Returns float64 (..., H, W) on a torus, else (..., H - size + 1, W - size + 1).
    """
    values = values.double()
    if wrap:
        for dim in (-2, -1):
            length = values.shape[dim]
            index = torch.arange(length + size - 1, device=values.device) % length
            values = values.index_select(dim, index)
    table = F.pad(values.cumsum(-2).cumsum(-1), (1, 0, 1, 0))
    return (
        table[..., size:, size:]
        - table[..., :-size, size:]
        - table[..., size:, :-size]
        + table[..., :-size, :-size]
    )


def box_mean(values: Tensor, radius: int) -> Tensor:
    """Mean over squares of 2 * radius + 1 px around every position, cut off at the border.

    values: (..., H, W). Returns the same shape and type.
    """
    size, pad = 2 * radius + 1, (radius,) * 4
    count = box_sum(F.pad(torch.ones_like(values), pad), size)
    return (box_sum(F.pad(values, pad), size) / count).to(values.dtype)
