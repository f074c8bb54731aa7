"""Resize and pad images; sums and means over squares."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bicubic resize. image: (N, C, H, W) in [0, 1]. Returns (N, C, height, width) in [0, 1]."""
    if image.shape[2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def pad_to_multiple(image: Tensor, multiple: int, at_least: int) -> Tensor:
    """Reflect `image` (N, C, H, W) at its right and bottom border until both sides are multiples.

    The sides become multiples of `multiple` and no less than `at_least`; a picture smaller than the padding
    is reflected to and fro, so any size from 1x1 works.
    """
    for dim in (2, 3):
        size = image.shape[dim]
        length = max(-(-size // multiple) * multiple, at_least)
        if length > size:
            image = image.index_select(dim, reflected_index(size, length, image.device))
    return image


def reflected_index(size: int, length: int, device: torch.device | str = "cpu") -> Tensor:
    """Return (length,) indices 0, 1, ..., size - 1, size - 2, ..., 0, 1, ...: reflection about the ends."""
    period = max(2 * (size - 1), 1)
    phase = torch.arange(length, device=device) % period
    return torch.minimum(phase, period - phase) if size > 1 else torch.zeros_like(phase)


def box_sum(values: Tensor, size: int, *, wrap: bool = False) -> Tensor:
    """Sum size x size squares by their top left corner, from a summed-area table.

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
    """Average squares of 2 * radius + 1 px around every position, cut off at the border.

    values: (..., H, W). Returns the same shape and type.
    """
    size, pad = 2 * radius + 1, (radius,) * 4
    count = box_sum(F.pad(torch.ones_like(values), pad), size)
    return (box_sum(F.pad(values, pad), size) / count).to(values.dtype)


def soft_mean(values: Tensor, radius: int) -> Tensor:
    """Average around every position with weights that fall from its own to none at `radius` px, a pyramid.

    values: (N, 1, H, W), replicated beyond the border. Returns the same shape and type.
    """
    ramp = radius - torch.arange(1 - radius, radius, device=values.device).abs()
    weights = (ramp / radius**2).to(values)
    padded = F.pad(values, (radius - 1,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
