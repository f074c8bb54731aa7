"""Resize and pad images; sums and means over squares."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bicubic resize. image: (N, C, H, W) in [0, 1]. Returns (N, C, height, width) in [0, 1]."""
    if image.shape[2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def resize_rows(image: Tensor, length: int, size: int, part: slice) -> Tensor:
    """Make some rows of an antialiased bicubic resize to `size` rows, up to rounding those of `resize`.

    image: (N, C, h, W), the rows `rows_for_resize(length, size, part)` of one of `length` rows. part: the
    rows to make, from 0 to `size`. Returns (N, C, rows, W), unclamped.
    """
    first = rows_for_resize(length, size, part).start
    centre, stretch = _centres(length, size, part)
    reach = math.ceil(2 * stretch)
    places = centre.floor().long()[:, None] + torch.arange(-reach, reach + 1)
    x = ((places + 0.5 - centre[:, None]) / stretch).abs()
    # Keys' kernel with a = -0.5, as in torch and Pillow.
    weights = torch.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    weights = weights * ((x < 2) & (places >= 0) & (places < length))
    weights = (weights / weights.sum(1, keepdim=True)).to(image)
    places = (places - first).clamp(0, image.shape[2] - 1).to(image.device)
    return torch.stack(
        [image.index_select(2, row) * w[:, None] for row, w in zip(places.T, weights.T, strict=True)]
    ).sum(0)


def rows_for_resize(length: int, size: int, part: slice) -> slice:
    """Return which of `length` rows the rows `part` of a resize to `size` rows depend on."""
    centre, stretch = _centres(length, size, part)
    reach = math.ceil(2 * stretch)
    return slice(max(int(centre[0]) - reach, 0), min(int(centre[-1]) + reach + 1, length))


def _centres(length: int, size: int, part: slice) -> tuple[Tensor, float]:
    """Return where rows lie in what is resized, float64, and by how much the kernel is stretched."""
    return (torch.arange(part.start, part.stop, dtype=torch.float64) + 0.5) * (length / size), max(
        length / size, 1
    )


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


TURNED = 200_000  # Values from which on a summed-area table is faster made in two directions


def box_sum(values: Tensor, size: int, *, wrap: bool = False) -> Tensor:
    """Sum size x size squares by their top left corner, from a summed-area table.

    values: (..., H, W). Returns float64 (..., H, W) on a torus, else (..., H - size + 1, W - size + 1).
    """
    values = values.double()
    height, width = values.shape[-2:]
    if wrap:
        for dim in (-2, -1):
            length = values.shape[dim]
            index = torch.arange(length + size - 1, device=values.device) % length
            values = values.index_select(dim, index)
    # Rows are summed fast where each lies in memory as a whole; below this size turning takes longer.
    turn = height * width > TURNED
    down = values.mT.contiguous().cumsum(-1).mT.contiguous() if turn else values.cumsum(-2)
    table = F.pad(down.cumsum(-1), (1, 0, 1, 0))
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
    along = [
        (torch.arange(n).clamp_max(n - 1 - radius) + radius - (torch.arange(n) - radius).clamp_min(0) + 1)
        for n in values.shape[-2:]
    ]
    count = (along[0][:, None] * along[1]).to(values.device, torch.float64)
    return (box_sum(F.pad(values, pad), size) / count).to(values.dtype)


def soft_mean(values: Tensor, radius: int) -> Tensor:
    """Average around every position with weights that fall from its own to none at `radius` px, a pyramid.

    values: (N, 1, H, W), replicated beyond the border. Returns the same shape and type.
    """
    ramp = radius - torch.arange(1 - radius, radius, device=values.device).abs()
    weights = (ramp / radius**2).to(values)
    padded = F.pad(values, (radius - 1,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
