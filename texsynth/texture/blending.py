"""Brightness steps along seams are spread until they cannot be seen.

Gradient-domain composition (Perez et al. 2003) with a pull towards the copies (screened Poisson equation).
Only a correction is solved for, so that everything away from seams keeps its gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from texsynth.ops.boxes import box_mean
from texsynth.texture.atlas import gather

STEP = 0.2
"""Steps larger than about this are contours that do not meet; to spread them would draw haloes."""

SMOOTH = 0.02
"""Deviation of colours at which the grain of a texture begins to hide steps; there copies stay exact."""

GRAIN_RADIUS = 3
"""Pixels around a seam that count as its grain."""

ROUNDS = 20
"""Steps towards the solution where pixels are held fixed; without such pixels one FFT is exact."""


def seam_correction(
    source: Tensor, at: Tensor, reach: float, *, wrap: bool, fixed: Tensor | None = None
) -> Tensor:
    """What to add to a layout so that its pieces meet without a step.

    source: (C, h, w), the colours and then siblings, which follow the colours; at: (2, H, W) source
    positions. reach: distance in pixels over which a step is spread. fixed: (H, W) bool, where the
    correction is zero. Returns (C, H, W).
    """
    image = gather(source, at[0], at[1])
    limit = torch.tensor(source.shape[1:]).view(2, 1, 1) - 1
    visible = _visibility(image[:3])
    wanted = []
    for dim in (1, 2):
        step = torch.tensor([2 - dim, dim - 1]).view(2, 1, 1)
        next_at, after = at.roll(-1, dim), image.roll(-1, dim)
        joined = (next_at != at + step).any(0)
        if not wrap:
            joined.narrow(dim - 1, joined.shape[dim - 1] - 1, 1).zero_()
        ahead = gather(source, *(at + step).clamp_min(0).minimum(limit))
        behind = gather(source, *(next_at - step).clamp_min(0).minimum(limit))
        # The mean of the gradients in both pieces, less the one that the layout has there.
        change = 0.5 * ((ahead - image) + (after - behind)) - (after - image)
        size = change[:3].square().sum(0) / STEP**2
        wanted.append(change * (joined * visible * torch.exp(-size)))
    right_side = sum(
        (g.roll(1, dim) - g for g, dim in zip(wanted, (1, 2), strict=True)), torch.zeros_like(image)
    )
    solve = _Screened(image.shape[1], image.shape[2], reach, wrap=wrap)
    return solve(right_side) if fixed is None else _held(solve, right_side, (~fixed).float())


def _visibility(image: Tensor) -> Tensor:
    """(H, W), near 1 where the texture is smooth and near 0 where its grain hides any step."""
    mean = box_mean(image, GRAIN_RADIUS)
    variance = (box_mean(image.square(), GRAIN_RADIUS) - mean.square()).clamp_min(0).mean(0)
    return 1 / (1 + variance / SMOOTH**2)


def _held(solve: _Screened, right_side: Tensor, free: Tensor) -> Tensor:
    """The solution that is zero where `free` (H, W) is: conjugate gradients, the FFT as preconditioner."""
    x = torch.zeros_like(right_side)
    residual = right_side * free
    direction = better = solve(residual) * free
    product = (residual * better).sum((1, 2), keepdim=True)
    for _ in range(ROUNDS):
        image = solve.applied(direction) * free
        step = product / (direction * image).sum((1, 2), keepdim=True).clamp_min(1e-20)
        x, residual = x + step * direction, residual - step * image
        better = solve(residual) * free
        old, product = product, (residual * better).sum((1, 2), keepdim=True)
        direction = better + product / old.clamp_min(1e-20) * direction
    return x


class _Screened:
    """(screening - Laplacian), on the torus or with a border that nothing crosses, and its inverse by FFT."""

    def __init__(self, height: int, width: int, reach: float, *, wrap: bool) -> None:
        self.size, self.wrap, self.screening = (height, width), wrap, 1 / reach**2
        rows, columns = (height, width) if wrap else (2 * height, 2 * width)
        down = 2 - 2 * torch.cos(2 * torch.pi * torch.fft.fftfreq(rows))
        along = 2 - 2 * torch.cos(2 * torch.pi * torch.fft.rfftfreq(columns))
        self.values = self.screening + down[:, None] + along[None]

    def __call__(self, right_side: Tensor) -> Tensor:
        """The solution for (C, H, W)."""
        if not self.wrap:  # an even continuation has no gradient across the border
            right_side = torch.cat([right_side, right_side.flip(1)], 1)
            right_side = torch.cat([right_side, right_side.flip(2)], 2)
        solved: Tensor = torch.fft.irfft2(torch.fft.rfft2(right_side) / self.values, s=right_side.shape[1:])
        return solved[:, : self.size[0], : self.size[1]].contiguous()

    def applied(self, x: Tensor) -> Tensor:
        """The operator on (C, H, W)."""
        out = self.screening * x
        for dim in (1, 2):
            step = x.roll(-1, dim) - x
            if not self.wrap:
                step.narrow(dim, step.shape[dim] - 1, 1).zero_()
            out = out + step.roll(1, dim) - step
        return out
