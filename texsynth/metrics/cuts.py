"""Cuts through what should be whole: pieces that do not fit, and straight lines.

Images are (1, 3, H, W) in [0, 1].
"""

from collections.abc import Sequence

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

MOST_PATCHES = 256  # Patches on lines that are looked for; of more, some are drawn

MARGIN_PX, KNOWN = 5, 0.2
"""Width of the margins of a patch, and distance, in deviations of the exemplar, up to which one is a copy."""

QUERIES = 768  # Patches of a picture that are drawn to look for misfits


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
    distances = nearest_distances(patches, exemplar)
    share = (distances > UNLIKE * _deviation(exemplar)).double().mean()
    return 1000 * float(share) * len(corners) / output[0, 0].numel()


def misfits(output: Tensor, exemplar: Tensor, usual: float, rng: torch.Generator) -> float:
    """Share of patches that are strange in the middle of what is copied; 0 is best.

    768 patches of 15x15 px are drawn. A misfit is farther from every patch of the exemplar than `usual`,
    though its left and its right margin, of 5 px, are both copies, or its upper and its lower one: each is
    within 0.2 deviations of a margin of the exemplar. usual: `usual_distance` of other pieces of the surface,
    which hardly have misfits themselves, as nothing in them is a copy.

    It sees cuts along any path, and none where a cut is no stranger than what the texture shows anyway: in
    grass or noise. It lies by rewarding whoever changes the pixels beside a cut, by blur, noise or a network:
    then the margins are no copies. `straight_cuts` still sees those.
    """
    if min(*output.shape[2:], *exemplar.shape[2:]) < PATCH_PX:
        return 0.0
    patches = _drawn(output, rng)
    count = len(patches)
    patches = patches[nearest_distances(patches, exemplar) > max(usual, LEVEL)]
    limit = KNOWN * _deviation(exemplar)
    copied = torch.zeros(len(patches), dtype=torch.bool, device=patches.device)
    for across, picture in ((patches, exemplar), (patches.mT, exemplar.mT)):
        margins = across[..., :MARGIN_PX], across[..., -MARGIN_PX:]
        near, far = (nearest_distances(margin, picture) <= limit for margin in margins)
        copied |= near & far
    return int(copied.sum()) / count


def usual_distance(pieces: Sequence[Tensor], exemplar: Tensor, rng: torch.Generator) -> float:
    """Median distance of 15x15 patches of other pieces of a surface to the exemplar's most similar ones."""
    patches = torch.cat([_drawn(piece, rng, QUERIES // len(pieces)) for piece in pieces])
    return float(nearest_distances(patches, exemplar).median())


def _drawn(image: Tensor, rng: torch.Generator, most: int = QUERIES) -> Tensor:
    """Draw at most `most` patches, (n, C, 15, 15)."""
    rows, columns = (size - PATCH_PX + 1 for size in image.shape[2:])
    places = torch.randperm(rows * columns, generator=rng)[:most]
    return patches_at(image, places // columns, places % columns, PATCH_PX)


def _deviation(exemplar: Tensor) -> Tensor:
    """Root of the mean variance of the channels."""
    return exemplar.flatten(2).var(2, correction=0).mean().sqrt().clamp_min(LEVEL)


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
