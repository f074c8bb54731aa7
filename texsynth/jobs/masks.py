"""Masks as arrays."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def has_square(mask: Mask, side: int) -> bool:
    """Return True when `mask` (H, W) holds a square of `side` x `side` pixels, all true."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(0).cumsum(1)
    if min(mask.shape) < side:
        return False
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return bool((boxes == side * side).any())
