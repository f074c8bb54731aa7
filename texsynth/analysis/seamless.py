"""Does a picture continue across its own borders?

What is seen across a border of a seamless picture occurs inside it, too: patches across the border have
neighbours among the patches inside that are as near as those of patches inside have.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 8  # Side of a patch in pixels of its scale

SCALES = (1, 2, 4)  # Pixels to one of a scale

LEAST_SIDE = 32  # Pixels of a scale; smaller ones hold too few patches

QUERIES = 48  # Patches along each line

LINES = 3  # Lines inside that the borders are compared with

INSIDE = 8192  # Patches inside among which the nearest is looked for, at most

BESIDE = 8  # Rows on both sides of a border whose steps are compared with it

STEP = 1.15  # Step across a border over those beside it, of which it may be among the largest

ALIGNED = 2.5
"""Step of the mean colour across a border, over the usual one inside, up to which it is one of them."""

STRIPS = (1, 2, 4, 8)  # Rows on each side of a line whose mean colours are compared

TOLERANCE = 1.2  # Distance across a border over that inside up to which nobody sees it


def is_seamless(image: Tensor) -> bool:
    """Tell whether copies of `image` (1, 3, h, w) can be laid side by side without a visible border."""
    return (
        border_step(image) <= STEP and aligned_step(image) <= ALIGNED and border_distance(image) <= TOLERANCE
    )


def border_step(image: Tensor) -> float:
    """Measure the step across the borders of (1, 3, h, w) over those beside them, the larger of both."""
    ratios = []
    for dim in (2, 3):
        steps = (image.roll(-1, dim) - image).abs().mean((0, 1, 5 - dim))
        beside = torch.cat([steps[:BESIDE], steps[-1 - BESIDE : -1]])
        ratios.append(float((steps[-1] + 1e-4) / (beside.mean() + 2 * beside.std() + 1e-4)))
    return max(ratios)


def aligned_step(image: Tensor) -> float:
    """Measure the step of the mean colour across the borders of (1, 3, h, w), over its deviation inside.

    Of rows on both sides, all along: the eye sees a faint step through strong grain when it is a straight
    line. The largest of both borders and all STRIPS.
    """
    worst = 0.0
    for dim in (2, 3):
        rows = image.mean(5 - dim)[0]
        for count in STRIPS:
            if 4 * count > rows.shape[1]:
                break
            strips = torch.stack([rows.roll(-number, 1) for number in range(count)]).mean(0)
            steps = (strips - strips.roll(count, 1)).square().sum(0)
            usual = steps[count : rows.shape[1] - count + 1].mean()
            worst = max(worst, float(((steps[0] + 1e-8) / (usual + 1e-8)).sqrt()))
    return worst


def border_distance(image: Tensor) -> float:
    """Measure how strange what is seen across the borders of (1, 3, h, w) is, 1 for as usual as the inside.

    The mean distance of patches across a border from their nearest patch inside, over that of patches inside;
    the largest of both borders and all scales.
    """
    worst = 0.0
    for scale in SCALES:
        if min(image.shape[2:]) < LEAST_SIDE * scale and scale > 1:
            break
        # The borders cross in the middle.
        middle = [n // 2 // scale for n in image.shape[2:]]
        rolled = F.avg_pool2d(image.roll((middle[0] * scale, middle[1] * scale), (2, 3)), scale)
        for planes, seam, other in (
            (rolled, middle[0], middle[1]),
            (rolled.transpose(2, 3), middle[1], middle[0]),
        ):
            worst = max(worst, _row_distance(planes, seam, other))
    return worst


def _row_distance(image: Tensor, seam: int, other: int) -> float:
    """Compare patches across row `seam` with others; column `other` is a border, too."""
    patches = F.unfold(image, PATCH)[0].T.contiguous()
    rows, columns = (n - PATCH + 1 for n in image.shape[2:])
    row, column = (torch.arange(rows * columns) // columns, torch.arange(rows * columns) % columns)
    crossing = ((row < seam) & (row > seam - PATCH)) | ((column < other) & (column > other - PATCH))
    inside = (~crossing).nonzero()[:, 0]
    # An odd stride meets all columns.
    inside = inside[:: (len(inside) // INSIDE) | 1]
    tops = torch.linspace(0, rows - 1, LINES + 2).round().long()[1:-1].tolist()
    tops = [top for top in tops if not seam - PATCH < top < seam]
    usual = [_nearest(patches, _along(top, columns, other), inside, row, column) for top in tops]
    across = _nearest(patches, _along(seam - PATCH // 2, columns, other), inside, row, column)
    return float((across + 1e-3) / (torch.stack(usual).mean() + 1e-3)) if usual else 1.0


def _along(top: int, columns: int, other: int) -> Tensor:
    """Return the numbers of patches along a row that do not cross column `other`."""
    places = torch.linspace(0, columns - 1, QUERIES).round().long().unique()
    numbers: Tensor = top * columns + places[(places >= other) | (places <= other - PATCH)]
    return numbers


def _nearest(patches: Tensor, queries: Tensor, inside: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Average the distances of patches from the nearest others `inside` that do not overlap with them."""
    distance = torch.cdist(patches[queries], patches[inside])
    beside = (row[queries][:, None] - row[inside]).abs() < PATCH
    beside &= (column[queries][:, None] - column[inside]).abs() < PATCH
    nearest: Tensor = distance.masked_fill(beside, torch.inf).amin(1).mean() / PATCH
    return nearest
