"""Straight cuts: where the border of a copy runs through what should be whole.

Images are (1, 3, H, W) in [0, 1].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.metrics.texture import LEVEL, nearest_distances, patches_at

RUN_PX = 32  # Length of the runs of a row or column that are looked at

ALIGNED = 24
"""Pixels of a run whose step is larger than its neighbours', so that there is a line.

On noise a third of the pixels are, so a run is one by chance with a probability of 1e-6.
"""

PATCH_PX = 15  # Side of the patches that are looked for in the exemplar

UNLIKE = 0.25  # Distance, in deviations of the exemplar, from which on a patch does not occur there

MOST_PATCHES = 256  # Patches that are looked for; of more, some are drawn


def straight_cuts(output: Tensor, exemplar: Tensor, rng: torch.Generator) -> float:
    """Count the pixels on straight lines that the exemplar does not have, in a thousand; 0 is best.

    A line is a run of 32 pixels between two rows or two columns, at 24 of which at least the step across
    is larger than those beside it, however faint: nature seldom keeps to a row of pixels,
    the edge of a copy does. A pixel on a line counts when the 15x15 patch around it is more than a quarter
    of the exemplar's deviation (root of mean square) away from every patch of the exemplar: a copied joint or
    plank is no cut. At most 256 such patches are searched for.

    It is blind to cuts along any other path, as quilting makes them. It lies on textures with straight
    edges along rows that are not the same everywhere, planks and bricks, and on blocks of a JPEG file:
    compare it with the truth's. Blur hides cuts.
    """
    reach = PATCH_PX - 1
    if min(*output.shape[2:], *exemplar.shape[2:]) < PATCH_PX:
        return 0.0
    middle = (slice(reach // 2, -(reach // 2)),) * 2
    corners = torch.cat([mark[middle].nonzero() for mark in (_lines(output), _lines(output.mT).mT)])
    if not len(corners):
        return 0.0
    drawn = corners[torch.randperm(len(corners), generator=rng)[:MOST_PATCHES].to(corners.device)]
    patches = patches_at(output, drawn[:, 0], drawn[:, 1], PATCH_PX)
    distances = nearest_distances(patches, exemplar, PATCH_PX)
    deviation = exemplar.flatten(2).var(2, correction=0).mean().sqrt()
    share = (distances > UNLIKE * deviation.clamp_min(LEVEL)).double().mean()
    return 1000 * float(share) * len(corners) / output[0, 0].numel()


def _lines(image: Tensor) -> Tensor:
    """Mark the pixels to the left of lines between two columns, (H, W) bool."""
    steps = image.diff(dim=3).abs().mean(1, keepdim=True)
    # On a ramp every step is as large as the next, but for rounding to 8 bits and to floats.
    inner = steps[..., 1:-1] - LEVEL / 4
    largest = ((inner > steps[..., :-2]) & (inner > steps[..., 2:]) & (inner > LEVEL)).to(image)
    if largest.shape[2] < RUN_PX or not largest.shape[3]:
        return torch.zeros_like(image[0, 0], dtype=torch.bool)
    runs = (F.avg_pool2d(largest, (RUN_PX, 1), 1) > (ALIGNED - 0.5) / RUN_PX).to(image)
    # Every pixel of a run, not only its first.
    whole = F.max_pool2d(F.pad(runs, (0, 0, RUN_PX - 1, RUN_PX - 1)), (RUN_PX, 1), 1)
    return F.pad(whole * largest, (1, 2))[0, 0] > 0
