"""Walls of bricks, drawn."""

from __future__ import annotations

import torch
from torch import Tensor

HEIGHT, WIDTH = 12, 24  # Of a brick with its mortar, in pixels


def wall(rows: int, columns: int, colours: Tensor) -> Tensor:
    """A running bond with mortar of two pixels, (1, 3, rows * 12, columns * 24)."""
    rng = torch.Generator().manual_seed(1)
    image = 0.5 + 0.03 * torch.rand(1, 3, rows * HEIGHT, columns * WIDTH, generator=rng)
    for row in range(rows):
        for column in range(columns + 1):
            left = column * WIDTH - WIDTH // 2 * (row % 2)
            across = slice(max(left + 1, 0), max(left + WIDTH - 1, 0))
            brick = image[:, :, row * HEIGHT + 1 : (row + 1) * HEIGHT - 1, across]
            brick *= 0.2 + 1.5 * colours[row, column].view(3, 1, 1)
    return image
