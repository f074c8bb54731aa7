"""Where two layers of pixels are joined, and what a join costs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from texsynth.texture.atlas import Atlas, gather

CONTRAST = 1e-3
"""Squared contrast below which every difference is equally visible."""


def cut(error: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Minimum error boundary cuts by dynamic programming (Efros and Freeman 2001, section 2).

    error: (K, n, m), K strips that are cut along their n rows. Returns (K, n, m), True before the cut.
    """
    strips, rows, columns = error.shape
    cost = np.full((rows, strips, columns + 2), np.inf, np.float32)
    cost[:, :, 1:-1] = error.swapaxes(0, 1)
    for row in range(1, rows):
        above = cost[row - 1]
        cost[row, :, 1:-1] += np.minimum(np.minimum(above[:, :-2], above[:, 1:-1]), above[:, 2:])
    at = np.empty((strips, rows), np.int64)
    at[:, -1] = cost[-1].argmin(1)
    every = np.arange(strips)
    for row in range(rows - 2, -1, -1):
        below = at[:, row + 1]
        near = np.stack([cost[row, every, below + step] for step in (-1, 0, 1)])
        at[:, row] = below + near.argmin(0) - 1
    before: NDArray[np.bool_] = np.arange(columns) < at[:, :, None] - 1
    return before


def keep_old(errors: Tensor, known: Tensor, overlap: int) -> Tensor:
    """Which pixels of a square stay when others are laid over it.

    errors: (K, b, b) squared difference of K squares from what is there. known: (b, b) bool, pixels that have
    been laid. A strip of `overlap` px along each side is cut where anything is known in it.
    Returns (K, b, b) bool.
    """
    squares = errors * known
    # Each side in turn at the left: mirrored, transposed, or both.
    turns = [
        turn
        for turn in ((False, False), (True, False), (False, True), (True, True))
        if bool(_turned(known, *turn)[:, :overlap].any())
    ]
    keep = torch.zeros_like(errors, dtype=torch.bool)
    if turns:
        strips = torch.cat([_turned(squares, *turn)[:, :, :overlap] for turn in turns])
        cuts = torch.from_numpy(cut(strips.numpy())).unflatten(0, (len(turns), len(errors)))
        for turn, before in zip(turns, cuts, strict=True):
            whole = F.pad(before, (0, errors.shape[2] - overlap))
            keep |= whole.flip(-1).mT if turn == (True, True) else _turned(whole, *turn)
    return keep & known


def _turned(squares: Tensor, mirror: bool, transpose: bool) -> Tensor:
    """(..., b, b) transposed, then mirrored: its left, right, top or bottom side at the left."""
    squares = squares.mT if transpose else squares
    return squares.flip(-1) if mirror else squares


def seam_cost(atlas: Atlas, image: Tensor, at: Tensor, known: Tensor | None = None) -> Tensor:
    """How visible the joins of a layout are (Kwatra et al. 2003, equation 2).

    image: (C, H, W) gathered from `atlas`; at: (2, H, W) source positions; known: (H, W) bool, pixels that
    have been laid, None for all.
    Returns (H, W), zero inside copied pieces: the difference between what the pixel to the right or below
    would be if its piece went on here and what it is, over the contrast there. The last row and column lack
    a neighbour.
    """
    total = torch.zeros(image.shape[1:])
    limit = torch.tensor(atlas.valid.shape).view(2, 1, 1) - 1
    for dim in (1, 2):
        count = at.shape[dim] - 1
        step = torch.tensor([2 - dim, dim - 1]).view(2, 1, 1)
        here_at, next_at = at.narrow(dim, 0, count), at.narrow(dim, 1, count)
        joined = (next_at != here_at + step).any(0)
        if known is not None:
            joined &= known.narrow(dim - 1, 0, count) & known.narrow(dim - 1, 1, count)
        rows, columns = joined.nonzero().unbind(1)  # few pixels lie along a seam
        pick = rows * at.shape[2] + columns
        here_at, here = at.flatten(1)[:, pick], image.flatten(1)[:, pick]
        pick = pick + (at.shape[2] if dim == 1 else 1)
        next_at, after = at.flatten(1)[:, pick], image.flatten(1)[:, pick]
        flat = step[:, :, 0]
        ahead_at = (here_at + flat).clamp_min(0).minimum(limit[:, :, 0])
        behind_at = (next_at - flat).clamp_min(0).minimum(limit[:, :, 0])
        ahead, behind = gather(atlas.image, *ahead_at), gather(atlas.image, *behind_at)
        error = ((ahead - after).square() + (behind - here).square()).sum(0)
        contrast = ((ahead - here).square() + (behind - after).square()).sum(0)
        total[rows, columns] += error / (contrast + CONTRAST).sqrt()
    return total
