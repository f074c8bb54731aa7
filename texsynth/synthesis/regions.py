"""Random regions of a mixed output, one kind for each exemplar."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDS = 60
"""Corrections of the offsets; shares are then met to a fraction of a percent."""


def label_field(
    size: tuple[int, int], shares: Sequence[float], scale: float, rng: torch.Generator, *, wrap: bool
) -> Tensor:
    """Draw smooth random regions, one kind for each exemplar.

    shares: of the area, one per exemplar, not all zero. scale: width of the regions in pixels. wrap: continue
    around the torus. Returns (len(shares), *size), one at one exemplar for every pixel and zero elsewhere.
    """
    target = torch.tensor(shares) / sum(shares)
    margin = 0 if wrap else 2 * round(scale)
    rows, columns = size[0] + margin, size[1] + margin
    noise = torch.randn(len(shares), rows, columns, generator=rng)
    # A Gaussian low-pass, on the torus; a margin is cut off where the picture is none.
    frequency = torch.fft.fftfreq(rows)[:, None].square() + torch.fft.rfftfreq(columns).square()
    smooth = torch.fft.rfft2(noise) * torch.exp(-frequency * (2 * scale**2))
    field = torch.fft.irfft2(smooth, s=(rows, columns))[:, : size[0], : size[1]]
    field = field / field.std().clamp_min(1e-9)
    offset = target.clamp_min(1e-9).log()
    for _ in range(ROUNDS):
        chosen = (field + offset[:, None, None]).argmax(0)
        area = torch.bincount(chosen.flatten(), minlength=len(shares)) / chosen.numel()
        offset = offset + 0.5 * (target - area)
    offset = offset.masked_fill(target == 0, -torch.inf)
    chosen = (field + offset[:, None, None]).argmax(0)
    return torch.nn.functional.one_hot(chosen, len(shares)).movedim(-1, 0).float()
