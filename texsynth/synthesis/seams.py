"""Seams between copied pieces: where to cut them, how visible they are, how to even out their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from texsynth.ops.resample import box_mean, box_sum
from texsynth.synthesis.exemplar import Atlas

CONTRAST = 1e-3  # Squared contrast below which every difference is equally visible

MAX_STEP = 0.2
"""Steps larger than about this are contours that do not meet; to spread them would draw haloes."""

SMOOTH = 0.02
"""Deviation of colours from which on grain hides steps from pixel to pixel; local means still show them."""

LOCAL = 1 / 16  # Radius of the squares whose means the eye compares through grain, as a share of the exemplar

GRAIN_RADIUS = 3  # Pixels around a seam that count as its grain

ROUNDS = 20
"""Steps towards the solution where pixels are held fixed; without such pixels one FFT is exact."""


def min_error_cut(error: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cut strips along the path of least error, by dynamic programming (Efros and Freeman 2001, section 2).

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
    """Choose the pixels of a square that stay when others are laid over it.

    errors: (K, b, b) squared difference of K squares from what is there. known: (b, b) bool, pixels that have
    been laid. A strip of `overlap` px along each side is cut where anything is known in it.
    Returns (K, b, b) bool.
    """
    squares = errors * known
    # Each side in turn at the left: mirrored, transposed, or both.
    turns = [t for t in product((False, True), repeat=2) if bool(_turn(known, *t)[:, :overlap].any())]
    keep = torch.zeros_like(errors, dtype=torch.bool)
    if turns:
        strips = torch.cat([_turn(squares, *turn)[:, :, :overlap] for turn in turns])
        cuts = torch.from_numpy(min_error_cut(strips.numpy())).unflatten(0, (len(turns), len(errors)))
        for turn, before in zip(turns, cuts, strict=True):
            whole = F.pad(before, (0, errors.shape[2] - overlap))
            keep |= whole.flip(-1).mT if turn == (True, True) else _turn(whole, *turn)
    return keep & known


def _turn(squares: Tensor, mirror: bool, transpose: bool) -> Tensor:
    """Transpose (..., b, b), then mirror it: its left, right, top or bottom side comes to the left."""
    squares = squares.mT if transpose else squares
    return squares.flip(-1) if mirror else squares


def seam_cost(atlas: Atlas, image: Tensor, at: Tensor, known: Tensor | None = None) -> Tensor:
    """Measure how visible the joins of a layout are (Kwatra et al. 2003, equation 2).

    image: (C, H, W) gathered from `atlas`; at: (2, H, W) source positions; known: (H, W) bool, pixels that
    have been laid, None for all.
    Returns (H, W), zero inside copied pieces: the difference between what the pixel to the right or below
    would be if its piece went on here and what it is, over the contrast there. The last row and column lack
    a neighbour.
    """
    total = torch.zeros(image.shape[1:])
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
        (ahead_at, goes_on), (behind_at, came_from) = (
            _going_on(atlas.valid, place) for place in (here_at + flat, next_at - flat)
        )
        # A piece that ends here says nothing; where both do the step itself has to.
        ahead = torch.where(goes_on, atlas.image[:, *ahead_at], here)
        behind = torch.where(came_from, atlas.image[:, *behind_at], after)
        error = (goes_on * (ahead - after).square() + came_from * (behind - here).square()).sum(0)
        error = torch.where(goes_on & came_from, error, 2 * torch.where(
            goes_on | came_from, error, (after - here).square().sum(0)
        ))  # fmt: skip
        contrast = ((ahead - here).square() + (behind - after).square()).sum(0)
        total[rows, columns] += error / (contrast + CONTRAST).sqrt()
    return total


def _going_on(valid: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Move positions (2, ...) into the atlas, and tell which may be read: those that `valid` marks."""
    inside = at.clamp_min(0).minimum(at.new_tensor(valid.shape).view(2, *[1] * (at.dim() - 1)) - 1)
    return inside, valid[inside[0], inside[1]] & (inside == at).all(0)


def seam_correction(
    source: Tensor,
    at: Tensor,
    reach: float,
    *,
    wrap: bool,
    valid: Tensor | None = None,
    fixed: Tensor | None = None,
    parts: Sequence[slice] = (slice(None),),
    on_round: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """Solve for what to add to a layout so that its pieces meet without a step.

    source: (C, h, w) colours; at: (2, H, W) source positions. reach: distance in pixels over which a step is
    spread. valid: (h, w) bool, pixels of `source` that may be read, None for all. fixed: (H, W) bool, where
    the correction is zero. parts: columns of `source` that have nothing to do with each other. on_round:
    told the number of each of ROUNDS, where pixels are held fixed. Returns (C, H, W).
    """
    valid = torch.ones(source.shape[1:], dtype=torch.bool) if valid is None else valid
    means, sure = local_means(source, valid, parts)
    channels, source = len(source), torch.cat([source, means])
    known = sure[at[0], at[1]]
    image = source[:, at[0], at[1]]
    # Steps from pixel to pixel are seen where the texture is smooth, those of local means through its grain.
    mean = box_mean(image[:channels], GRAIN_RADIUS)
    variance = (box_mean(image[:channels].square(), GRAIN_RADIUS) - mean.square()).clamp_min(0).mean(0)
    visible = 1 / (1 + variance / SMOOTH**2)
    changes = []
    for dim in (1, 2):
        step = torch.tensor([2 - dim, dim - 1]).view(2, 1, 1)
        next_at, after = at.roll(-1, dim), image.roll(-1, dim)
        joined = (next_at != at + step).any(0)
        if not wrap:
            joined.narrow(dim - 1, joined.shape[dim - 1] - 1, 1).zero_()
        (ahead, goes_on), (behind, came_from) = (
            _going_on(valid, place) for place in (at + step, next_at - step)
        )
        # The mean of the gradients in the pieces that go on, less the one that the layout has there.
        gradient = goes_on * (source[:, *ahead] - image) + came_from * (after - source[:, *behind])
        change = gradient / (goes_on.float() + came_from).clamp_min(1) - (after - image)
        change, local = change.split([channels, channels])
        fine, coarse = (torch.exp(-c.square().sum(0) / MAX_STEP**2) * joined for c in (change, local))
        coarse = coarse * (known & known.roll(-1, dim - 1))
        changes.append(change * (visible * fine) + local * ((1 - visible) * coarse))
    right_side = sum(
        (g.roll(1, dim) - g for g, dim in zip(changes, (1, 2), strict=True)),
        torch.zeros_like(image[:channels]),
    )
    solve = _ScreenedPoisson(image.shape[1], image.shape[2], reach, wrap=wrap)
    return solve(right_side) if fixed is None else _solve_free(solve, right_side, (~fixed).float(), on_round)


def local_means(source: Tensor, valid: Tensor, parts: Sequence[slice]) -> tuple[Tensor, Tensor]:
    """Average squares around every position of (C, h, w), each part by itself.

    Returns the same shape, and (h, w) bool, where all of a square is `valid` (h, w) and in one part: the mean
    of less would differ by what happens to be cut off.
    """
    radius = max(round(LOCAL * min(source.shape[1:])), 2)
    means, sure = torch.zeros_like(source), torch.zeros_like(valid)
    for part in parts:
        means[:, :, part] = box_mean(torch.where(valid[:, part], source[:, :, part], 0), radius)
        sure[:, part] = (
            box_sum(F.pad(valid[:, part], (radius,) * 4), 2 * radius + 1) > (2 * radius + 1) ** 2 - 0.5
        )
    return means, sure


def _solve_free(
    solve: _ScreenedPoisson, right_side: Tensor, free: Tensor, on_round: Callable[[int], None]
) -> Tensor:
    """Solve with zeros where `free` (H, W) is zero: conjugate gradients, preconditioned by FFT."""
    x = torch.zeros_like(right_side)
    residual = right_side * free
    direction = better = solve(residual) * free
    product = (residual * better).sum((1, 2), keepdim=True)
    for done in range(1, ROUNDS + 1):
        image = solve.apply(direction) * free
        step = product / (direction * image).sum((1, 2), keepdim=True).clamp_min(1e-20)
        x, residual = x + step * direction, residual - step * image
        better = solve(residual) * free
        old, product = product, (residual * better).sum((1, 2), keepdim=True)
        direction = better + product / old.clamp_min(1e-20) * direction
        on_round(done)
    return x


class _ScreenedPoisson:
    """The operator (screening - Laplacian), on the torus or with a border that nothing crosses."""

    def __init__(self, height: int, width: int, reach: float, *, wrap: bool) -> None:
        self.size, self.wrap, self.screening = (height, width), wrap, 1 / reach**2
        rows, columns = (height, width) if wrap else (2 * height, 2 * width)
        down = 2 - 2 * torch.cos(2 * torch.pi * torch.fft.fftfreq(rows))
        along = 2 - 2 * torch.cos(2 * torch.pi * torch.fft.rfftfreq(columns))
        self.values = self.screening + down[:, None] + along[None]

    def __call__(self, right_side: Tensor) -> Tensor:
        """Solve for a right side (C, H, W), by one FFT."""
        if not self.wrap:  # an even continuation has no gradient across the border
            right_side = torch.cat([right_side, right_side.flip(1)], 1)
            right_side = torch.cat([right_side, right_side.flip(2)], 2)
        solved: Tensor = torch.fft.irfft2(torch.fft.rfft2(right_side) / self.values, s=right_side.shape[1:])
        return solved[:, : self.size[0], : self.size[1]].contiguous()

    def apply(self, x: Tensor) -> Tensor:
        """Apply the operator to (C, H, W)."""
        out = self.screening * x
        for dim in (1, 2):
            step = x.roll(-1, dim) - x
            if not self.wrap:
                step.narrow(dim, step.shape[dim] - 1, 1).zero_()
            out = out + step.roll(1, dim) - step
        return out
