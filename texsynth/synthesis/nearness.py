"""What a canvas shows around a place, so that it is not shown there again."""

import torch
from torch import Tensor

from texsynth.ops.resample import box_sum

STEP = 4  # Every fourth row and column says what is shown nearby

REACHES = 3.0  # Reaches beyond which nothing counts as near

TWIN = 0.05  # Share of a block from which on it is a twin of what is beside it


def twins(shown: Tensor, turned: Tensor, origin: Tensor, size: int) -> Tensor:
    """Find the blocks of a part of an atlas that show what is beside them in another orientation.

    Such a mirror image would join without a seam, and catch the eye. shown: (k,) untouched positions
    that are seen around a place; turned: (k,) bool, in another orientation than the part. origin: (h, w)
    long, the untouched position of each of the part. Returns (h - size + 1, w - size + 1) bool.
    """
    seen = torch.zeros(int(max(origin.max(), shown.max())) + 1)
    seen[shown[turned]] = 1
    return box_sum(seen[origin], size) > TWIN * size**2


def shown_nearby(
    at: Tensor,
    known: Tensor,
    origin: Tensor,
    corner: tuple[int, int],
    size: int,
    reach: float,
    *,
    wrap: bool,
) -> Tensor:
    """Sum by untouched position the nearness of all that shows it around a square, but not inside of it.

    at: (2, H, W) positions in an atlas, where `known` (H, W) is True. origin: (h, w) long, the untouched
    position that each of the atlas shows, numbered from 0. corner, size: of the square, on a torus with
    `wrap`. reach: distance in pixels at which nearness is a half; beside the square it is 1. Returns (n,).
    """
    margin = round(REACHES * reach)
    sides, away = [], []
    for start, length in zip(corner, known.shape, strict=True):
        if wrap:
            span = min(size + 2 * margin, length)
            index = start - (span - size) // 2 + torch.arange(0, span, STEP)
        else:
            index = torch.arange(max(start - margin, 0), min(start + size + margin, length), STEP)
        away.append((start - index).clamp_min(0).maximum(index - (start + size - 1)))
        sides.append(index % length)
    rows, columns = sides[0][:, None], sides[1][None]
    squared = away[0][:, None].square() + away[1][None].square()
    nearness = known[rows, columns] * (squared > 0) * STEP**2 / (1 + squared / reach**2)
    shown = origin[at[0, rows, columns], at[1, rows, columns]]
    return torch.zeros(int(origin.max()) + 1).index_add_(0, shown.flatten(), nearness.flatten())
