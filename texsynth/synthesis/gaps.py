"""Blocks that close a gap: where they lie, so that each reaches what is known on both sides of it."""


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
