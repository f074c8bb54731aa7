"""Blocks that close a gap: places that reach what is known on both sides of it, and their order."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch


def spread_starts(first: int, last: int, block: int, overlap: int) -> list[int]:
    """Spread blocks evenly from `first` to `last` (excluded); one that is too large lies in the middle."""
    room = last - first - block
    if room <= 0:
        return [first + room // 2]
    count = -(-room // max(block - overlap, 1))
    return [first + round(i * room / count) for i in range(count + 1)]


def torus_corners(
    size: tuple[int, int], bands: Sequence[int], block: int, overlap: int
) -> list[tuple[int, int]]:
    """List the top left corners of blocks that cover the bands along the borders of a torus.

    size: rows and columns. bands: their widths, half on either side of a border. Blocks lie across a border,
    symmetrically: one beside it would lie on what stays, and be cut along the straight side of that.
    """
    across, around = [], []
    for length, band in zip(size, bands, strict=True):
        starts = spread_starts(-(band // 2), band - band // 2, block, overlap)
        rest = length - (starts[-1] - starts[0])
        count = max(-(-rest // max(block - overlap, 1)), 1)
        along = [starts[-1] + round(i * rest / count) for i in range(1, count)]
        across.append({start % length for start in starts})
        around.append([start % length for start in (*starts, *along)])
    return [(top, left) for top, left in product(*around) if top in across[0] or left in across[1]]


def fullest_first(
    places: list[tuple[int, int]], share: Callable[[int, int], float], block: int, size: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield places of blocks, always the one that has most to go by; those that are full are left out.

    share: tells how much of a block is known, 0 to 1; asked again for those beside the last. size: rows and
    columns of the torus, or of a picture.
    """
    corners = torch.tensor(places)
    shares = torch.tensor([share(*place) for place in places])
    sides = torch.tensor(size)
    while bool((shares < 1).any()):
        chosen = int(shares.where(shares < 1, -1.0).argmax())
        yield places[chosen]
        away = (corners - corners[chosen]).abs()
        beside = (torch.minimum(away, sides - away) < block).all(1) & (shares < 1)
        beside[chosen] = False
        shares[chosen] = 1.0
        for number in beside.nonzero()[:, 0].tolist():
            shares[number] = share(*places[number])
