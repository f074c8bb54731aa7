"""Brightness steps along seams are spread until they cannot be seen.

Gradient-domain composition (Perez et al. 2003) with a pull towards the copies (screened Poisson equation): of a
step only its correction is solved for, so that everything away from seams keeps its gradients exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from texsynth.texture.atlas import gather

STEP = 0.12
"""Steps larger than about this are contours that do not meet; to spread them would draw haloes."""

ROUNDS = 12
"""Solutions one after the other where pixels are held fixed; without such pixels one is exact."""


def seam_correction(
    source: Tensor, at: Tensor, reach: float, *, wrap: bool, fixed: Tensor | None = None
) -> Tensor:
    """What to add to a layout so that its pieces meet without a step.

    source: (C, h, w), the colours and then siblings, which follow the colours; at: (2, H, W) source positions. reach: distance in pixels over which a step is spread.
    fixed: (H, W) bool, where the correction is zero. Returns (C, H, W).
    """
    image = gather(source, at[0], at[1])
    limit = torch.tensor(source.shape[1:]).view(2, 1, 1) - 1
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
        wanted.append(change * joined * torch.exp(-size))
    right_side = sum(
        (g.roll(1, dim) - g for g, dim in zip(wanted, (1, 2), strict=True)), torch.zeros_like(image)
    )
    solve = _Screened(image.shape[1], image.shape[2], reach, wrap=wrap)
    correction = solve(right_side)
    if fixed is None:
        return correction
    free = (~fixed).float()
    correction = correction * free
    for _ in range(ROUNDS):
        correction = free * (correction + solve(right_side - solve.applied(correction)))
    return correction


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
        solved = torch.fft.irfft2(torch.fft.rfft2(right_side) / self.values, s=right_side.shape[1:])
        return solved[:, : self.size[0], : self.size[1]]

    def applied(self, x: Tensor) -> Tensor:
        """The operator on (C, H, W)."""
        out = self.screening * x
        for dim in (1, 2):
            step = x.roll(-1, dim) - x
            if not self.wrap:
                step.narrow(dim, step.shape[dim] - 1, 1).zero_()
            out = out + step.roll(1, dim) - step
        return out
