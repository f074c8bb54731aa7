"""How well a fill goes on from what is around it."""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 8  # Side of a window in pixels of its scale

SCALES = (1, 2, 4)  # Pixels to one of a scale

QUERIES = 1024  # Windows that are looked for, at most

KEYS = 8192  # Windows among which the nearest is looked for, at most


def misfit(image: Tensor, filled: Tensor, usable: Tensor) -> float:
    """Measure how strange a fill is: the mean distance of its windows from the nearest ones around it.

    image: (1, 3, h, w) in [0, 1]. filled, usable: (h, w) bool, what was filled and what may be compared with
    it. Windows that touch the fill count, at three scales, so joints count like the inside. Per scale the
    root of the mean squared difference; returns the sum. Copies have 0, and blur and flat areas little.
    """
    total = 0.0
    for scale in SCALES:
        small = F.avg_pool2d(image, scale)[0]
        touched = F.max_pool2d(filled[None, None].float(), scale)
        hidden = F.max_pool2d((~usable)[None, None].float(), scale)
        if min(small.shape[1:]) < WINDOW:
            break
        near, unknown = (F.max_pool2d(plane, WINDOW, 1)[0, 0] > 0 for plane in (touched, hidden))
        queries, keys = _windows(small, near, QUERIES), _windows(small, ~unknown, KEYS)
        if len(queries) and len(keys):
            total += float(torch.cdist(queries, keys).amin(1).mean()) / (WINDOW * 3**0.5)
    return total


def _windows(image: Tensor, where: Tensor, most: int) -> Tensor:
    """Return some of the windows of (3, h, w) whose upper left corners are in `where`, (n, 3 WINDOW^2)."""
    corners = where.nonzero()
    corners = corners[:: (len(corners) // most) | 1]  # an odd stride meets all columns
    span = torch.arange(WINDOW)
    rows, columns = (corners[:, dim, None] + span for dim in (0, 1))
    windows: Tensor = image[:, rows[:, :, None], columns[:, None, :]]
    return windows.transpose(0, 1).flatten(1)
