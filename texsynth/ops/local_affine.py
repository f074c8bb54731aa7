"""Edge-aware finishing: replace a result by the smooth field of colour maps that explains it best.

The field lives in a bilateral grid (Chen, Paris and Durand 2007; fitted as in Chen et al. 2016, "Bilateral
Guided Upsampling"): position times lightness of the content. Within a cell the result is an affine function
of the content's colour, so every contour of the output is one of the content, and haloes along skylines and
blotches, which the content does not have, average out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import resize

FIT_SIDE = 256
"""The field is fitted on pictures reduced to this many pixels on the longer side; it is smooth anyway."""


def local_affine(
    content: Tensor, result: Tensor, cells: int = 12, tones: int = 8, prior: float = 0.02
) -> Tensor:
    """Edge-aware version of `result`.

    content, result: (1, 3, H, W) in [0, 1]. cells: grid cells along the longer side. tones: steps of
    lightness. prior: pull towards the one colour map of the whole picture, as a share of the mean weight
    of a cell.
    Returns (1, 3, H, W), not clamped. result == content gives content back.
    """
    height, width = content.shape[2:]
    factor = min(1.0, FIT_SIDE / max(height, width))
    small = (max(1, round(height * factor)), max(1, round(width * factor)))
    per_cell = max(small) / cells
    grid = (tones, max(2, round(small[0] / per_cell) + 1), max(2, round(small[1] / per_cell) + 1))
    field = _fit(resize(content, *small), resize(result.clamp(0, 1), *small), grid, prior)
    return _apply(field, content)


def _fit(content: Tensor, result: Tensor, grid: tuple[int, int, int], prior: float) -> Tensor:
    """Least squares per grid cell. Returns the maps (3, 4, tones, rows, columns)."""
    tones, rows, columns = grid
    height, width = content.shape[2:]
    homogeneous = torch.cat([content[0], torch.ones_like(content[0, :1])])
    both = torch.cat([homogeneous, result[0]])
    products = torch.einsum("ihw,jhw->ijhw", homogeneous, both).flatten(0, 1)
    tone = luma(content)[0, 0] * (tones - 1)
    share = (1 - (tone - torch.arange(tones, device=tone.device)[:, None, None]).abs()).clamp_min(0)
    over = _hats(rows, height, content)
    across = _hats(columns, width, content)
    sums = torch.stack([over @ (products * part) @ across.T for part in share], 1)
    sums = _blur(sums).double()
    square, cross = sums.unflatten(0, (4, 7)).split([4, 3], 1)
    whole = sums.sum((1, 2, 3)).unflatten(0, (4, 7))
    eye = torch.eye(4, dtype=torch.float64, device=content.device)
    scale = float(whole[3, 3])
    middle = torch.linalg.solve(whole[:, :4] + 1e-6 * scale * eye, whole[:, 4:] + 1e-6 * scale * eye[:, :3])
    # Pull towards the global map: its own normal equations, shrunk to a fraction of a mean cell's weight.
    anchor = prior / share[:, 0, 0].numel() / (rows * columns) * (whole[:, :4] + 0.05 * scale * eye)
    left = square.permute(2, 3, 4, 0, 1) + anchor
    right = cross.permute(2, 3, 4, 0, 1) + anchor @ middle
    field: Tensor = torch.linalg.solve(left, right)
    return field.permute(4, 3, 0, 1, 2).to(content.dtype)


def _apply(field: Tensor, content: Tensor) -> Tensor:
    """Interpolate the maps at position and lightness of every pixel and apply them."""
    height, width = content.shape[2:]
    y = torch.linspace(-1, 1, height).to(content)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width).to(content)[None].expand(height, width)
    where = torch.stack([x, y, 2 * luma(content)[0, 0] - 1], 2)[None, None]
    maps = F.grid_sample(field.flatten(0, 1)[None], where, padding_mode="border", align_corners=True)
    maps = maps[0, :, 0].unflatten(0, (3, 4))
    mapped: Tensor = (maps[:, :3] * content).sum(1)[None] + maps[:, 3][None]
    return mapped


def _hats(count: int, size: int, like: Tensor) -> Tensor:
    """(count, size) linear interpolation weights of `size` samples around `count` evenly spaced knots."""
    position = torch.linspace(0, count - 1, size, dtype=like.dtype, device=like.device)
    knots = torch.arange(count, dtype=like.dtype, device=like.device)
    return (1 - (position - knots[:, None]).abs()).clamp_min(0)


def _blur(sums: Tensor) -> Tensor:
    """1-2-1 along the three axes of the grid, so that neighbours share evidence. sums: (K, t, r, c)."""
    kernel = sums.new_tensor([0.25, 0.5, 0.25])
    for axis in (1, 2, 3):
        moved = sums.movedim(axis, -1)
        padded = F.pad(moved.flatten(0, -2)[:, None], (1, 1), mode="replicate")
        sums = F.conv1d(padded, kernel[None, None])[:, 0].unflatten(0, moved.shape[:-1]).movedim(-1, axis)
    return sums
