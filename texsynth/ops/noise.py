"""Noise that survives pooling."""

import hashlib
import math

import torch
from torch import Tensor

BLOCK_PX = 256
"""Side of the squares that have a generator each, so that any part of the noise can be made alone."""


def soft_noise(corner: tuple[int, int], size: tuple[int, int], seed: int) -> Tensor:
    """Make a part of a noise field of mean 0, deviation 1, correlated over about three pixels, nearly normal.

    Half of white noise is lost in the first pooling of an encoder, and what is left lies along its grid.
    corner: row and column of its first pixel, not negative. size: height and width. Returns
    (1, 3, height, width), the same values for a pixel whatever else is asked for.
    """
    extents = [(start, length + 4) for start, length in zip(corner, size, strict=True)]
    rows, columns = (range(start // BLOCK_PX, -(-(start + n) // BLOCK_PX)) for start, n in extents)
    noise = torch.cat([torch.cat([_block(row, column, seed) for column in columns], 3) for row in rows], 2)
    for dim, (start, length) in enumerate(extents, 2):
        noise = noise.narrow(dim, start % BLOCK_PX, length)
    for dim in (2, 3, 2, 3):
        length = noise.shape[dim] - 2
        noise = noise.narrow(dim, 0, length) + noise.narrow(dim, 1, length) + noise.narrow(dim, 2, length)
    # Two box filters weigh a row 1, 2, 3, 2, 1, whose squares add up to 19 along either axis.
    return noise * (math.sqrt(12) / 19)


def _block(row: int, column: int, seed: int) -> Tensor:
    """Draw independent values in [-1/2, 1/2) for one square, (1, 3, BLOCK_PX, BLOCK_PX)."""
    digest = hashlib.sha256(f"{seed} {row} {column}".encode()).digest()
    # The generator takes 32 bits of its seed.
    rng = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
    return torch.rand(1, 3, BLOCK_PX, BLOCK_PX, generator=rng) - 0.5
