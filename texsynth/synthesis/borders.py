"""The other side of every border of a layout: what the neighbouring copy would show if it went on."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 << 15  # Packs the two parts of an offset into one number
FAR = 1 << 16  # Square of a distance beyond any reach


class Borders(NamedTuple):
    """What lies across the nearest border of each pixel of a layout."""

    other: Tensor  # (N, 2, H, W) long, positions in the copy beyond the border; may lie outside the exemplar
    distance: Tensor  # (N, 1, H, W) pixels to that border, large where none is near


def find_borders(layout: Tensor, reach: int, *, wrap: bool = False) -> Borders:
    """Find the nearest pixel of another copy for each pixel of a layout, by jump flooding at half size.

    layout: (N, 2, H, W) integer source positions, row and column; pixels of one copy keep their distance
    there. reach: pixels up to which borders are looked for. wrap: the layout is a torus.
    Rong and Tan 2006; approximate by about a pixel.
    """
    height, width = layout.shape[2:]
    grid = pixel_grid(height, width, layout.device)
    here, places = grid[:, ::2, ::2], layout[:, :, ::2, ::2]
    offset = places - here
    if wrap:  # a copy goes on over the border of the torus
        offset = offset.remainder(torch.tensor((height, width), device=layout.device).view(2, 1, 1))
    copy = (offset[:, 0] * SHIFT + offset[:, 1]).int()  # pixels of one copy share their offset
    # The copy of the nearest other pixel known so far, and the way there; at first the pixel's own.
    state = torch.stack([copy, copy, torch.zeros_like(copy), torch.zeros_like(copy)], 1)
    best = torch.full_like(copy, FAR)
    strides = [1 << k for k in reversed(range(max(1, (reach // 2 - 1).bit_length())))]
    for stride in (*strides, 1):
        padded = _pad(state, stride, wrap=wrap)
        inside = _pad(torch.ones_like(copy[:, None]), stride, wrap=wrap)[:, 0] > 0
        fresh = state.clone()
        for down in (0, stride, 2 * stride):
            for right in (0, stride, 2 * stride):
                window = (..., slice(down, down + copy.shape[1]), slice(right, right + copy.shape[2]))
                near_copy, seed, y, x = padded[window].unbind(1)
                elsewhere = near_copy != copy
                seed = torch.where(elsewhere, near_copy, seed)
                y = torch.where(elsewhere, 0, y) + down - stride
                x = torch.where(elsewhere, 0, x) + right - stride
                square = y * y + x * x
                nearer = inside[window] & (seed != copy) & (square < best)
                best = torch.where(nearer, square, best)
                fresh[:, 1:] = torch.where(nearer[:, None], torch.stack([seed, y, x], 1), fresh[:, 1:])
        state = fresh
    sides, size = (
        torch.tensor(n, device=layout.device).view(2, 1, 1) for n in (copy.shape[1:], (height, width))
    )
    target = state[:, 2:] + here // 2
    row, column = target.remainder(sides).unbind(1)
    index = (row * copy.shape[2] + column).flatten(1)[:, None].expand(-1, 2, -1)
    beyond = (places - here).flatten(2).gather(2, index).view_as(places) - target.div(
        sides, rounding_mode="floor"
    ) * size
    beyond = beyond.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :height, :width]
    distance = 2 * best[:, None].float().sqrt() - 1
    distance = F.pad(distance, (1,) * 4, mode="circular" if wrap else "replicate")
    distance = F.interpolate(distance, scale_factor=2.0, mode="bilinear")[..., 2 : height + 2, 2 : width + 2]
    return Borders(grid + beyond, distance)


def pixel_grid(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the row and column of every pixel, (2, height, width) long."""
    rows, columns = (torch.arange(n, device=device) for n in (height, width))
    return torch.stack(torch.broadcast_tensors(rows[:, None], columns))


def _pad(x: Tensor, width: int, *, wrap: bool) -> Tensor:
    """Pad (N, C, h, w) by zeros, or around a torus however often it takes."""
    if not wrap:
        return F.pad(x, (width,) * 4)
    for dim in (2, 3):
        index = torch.arange(-width, x.shape[dim] + width, device=x.device).remainder(x.shape[dim])
        x = x.index_select(dim, index)
    return x
