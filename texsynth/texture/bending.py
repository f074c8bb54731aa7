"""Resample an exemplar so that its lattice becomes another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.texture.lattice import Lattice
from texsynth.texture.source import Exemplar


def bent(exemplar: Exemplar, before: Lattice, after: Lattice) -> Exemplar:
    """`exemplar` stretched and sheared until the lattice `before` is `after`; what sticks out is masked.

    Detail lies a fraction of a pixel off the grid of pixels afterwards, so this costs a little sharpness.
    """
    change = torch.linalg.solve(before.vectors, after.vectors)  # rows (dy, dx) times this
    height, width = exemplar.image.shape[2:]
    rows, columns = round(height * float(change[0, 0])), round(width * float(change[1, 1]))
    y = torch.arange(rows, dtype=torch.float64)[:, None] - (rows - 1) / 2
    x = torch.arange(columns, dtype=torch.float64)[None] - (columns - 1) / 2
    place = torch.stack(torch.broadcast_tensors(y, x), -1) @ torch.linalg.inv(change)
    # grid_sample wants x before y, with -1 and 1 at the middles of the outer pixels.
    size = torch.tensor([max(height - 1, 1), max(width - 1, 1)], dtype=torch.float64)
    grid = (2 * place / size).flip(-1).float()[None]
    inside = (grid.abs() <= 1).all(-1)[:, None].float()
    given = torch.ones(1, 1, height, width) if exemplar.mask is None else exemplar.mask.float()
    mask = inside * (_sampled(given, grid) > 0.99)

    return Exemplar(
        _sampled(exemplar.image, grid).clamp(0, 1),
        tuple(_sampled(s, grid).clamp(0, 1) for s in exemplar.siblings),
        mask,
        None if exemplar.guide is None else _sampled(exemplar.guide, grid),
        exemplar.weight,
    )


def _sampled(planes: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(planes, grid, mode="bicubic", padding_mode="border", align_corners=True)
