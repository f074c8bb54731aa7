"""What keeps a picture from becoming a good tile, said before it disappoints."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Peak, peaks_within, self_correlation
from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean

FARTHEST = 0.7
"""Longest period that is looked for, as a share of the side."""

REPEATS = 0.55  # Least self-correlation at a period; accidental ones of large shifts reach .5

SHORTER = 0.7  # A shorter period counts when it is this strong in comparison

FINER = 1.5  # Detail at one border over that at the other from which on it is perspective

STRIPS = 4  # Strips in which detail has to become finer, one after the other

LARGE = ((2, 0.4), (4, 0.6))
"""Parts along each side, and the deviation of their means over that of pixels that a large motif has."""


def tile_advice(image: Tensor) -> str | None:
    """Say what is wrong with (1, 3, h, w) as the source of a tile and what to do; None if nothing is."""
    period = long_period(image)
    if period is not None:
        return (
            f"the pattern repeats every {period} pixels, so the picture has fewer than two periods of it and "
            f"copies of the tile may not join well; give a picture that shows at least two periods"
        )
    fine = finer_side(image)
    if fine is not None:
        return (
            f"detail is much finer at the {fine} than at the other side, as in perspective, and copies of "
            f"the tile will show that; straighten the picture first, or crop a part seen straight on"
        )
    if has_large_motif(image):
        return (
            "the picture is mainly one large motif or shade, which every copy of the tile will show again; "
            "give a picture of more of the surface, or crop an even part"
        )
    return None


def long_period(image: Tensor) -> int | None:
    """Return the only period of (1, 3, h, w) in pixels, where it is longer than half of the picture."""
    score = self_correlation(image)
    longest: Peak | None = None
    shorter = 0.0
    for height, dy, dx in peaks_within(score, [int(FARTHEST * n) for n in image.shape[2:]]):
        if abs(dy) > image.shape[2] / 2 or abs(dx) > image.shape[3] / 2:
            longest = max(longest, (height, dy, dx)) if longest else (height, dy, dx)
        else:
            shorter = max(shorter, height)
    if longest is None or longest[0] < REPEATS or shorter > SHORTER * longest[0]:
        return None
    return max(abs(longest[1]), abs(longest[2]))


def finer_side(image: Tensor) -> str | None:
    """Return the side (top, bottom, left or right) of (1, 3, h, w) at which detail is much finer, if any."""
    grey = luma(image)
    grey = grey - box_mean(grey, max(min(image.shape[2:]) // 8, 1))
    for dim, names in ((2, ("top", "bottom")), (3, ("left", "right"))):
        fineness = []
        for strip in grey.chunk(STRIPS, dim):
            slope = sum(float(strip.diff(dim=d).square().mean()) for d in (2, 3))
            fineness.append((slope / (float(strip.var()) + 1e-9)) ** 0.5)
        falls = all(a > b for a, b in pairwise(fineness))
        rises = all(a < b for a, b in pairwise(fineness))
        if falls and fineness[0] > FINER * fineness[-1]:
            return names[0]
        if rises and fineness[-1] > FINER * fineness[0]:
            return names[1]
    return None


def has_large_motif(image: Tensor) -> bool:
    """Tell whether large parts of (1, 3, h, w) differ nearly as much as its pixels do."""
    spread = image.flatten(2).std(2).norm()
    means = (F.adaptive_avg_pool2d(image, count).flatten(2).std(2).norm() for count, _ in LARGE)
    return any(bool(mean > share * spread) for mean, (_, share) in zip(means, LARGE, strict=True))
