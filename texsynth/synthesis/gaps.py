"""Blocks that close a gap: places that reach what is known on both sides of it, and their order."""

from collections.abc import Callable, Iterator

import torch


def spread_starts(first: int, last: int, block: int, overlap: int) -> list[int]:
    """Spread blocks evenly from `first` to `last` (excluded); one that is too large lies in the middle."""
    room = last - first - block
    if room <= 0:
        return [first + room // 2]
    count = -(-room // max(block - overlap, 1))
    return [first + round(i * room / count) for i in range(count + 1)]


def torus_starts(length: int, band: int, block: int, overlap: int) -> list[int]:
    """Spread blocks around a torus so that some cover the `band` pixels around its origin symmetrically."""
    first = -(band // 2)
    across = spread_starts(first, first + band, block, overlap)
    rest = length - (across[-1] - across[0])
    count = max(-(-rest // max(block - overlap, 1)), 1)
    along = [across[-1] + round(i * rest / count) for i in range(1, count)]
    return [start % length for start in (*across, *along)]


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
