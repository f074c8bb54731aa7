"""Objects that are cut, told from whole ones by features: one linear detector for each texture.

Whether a stone was cut does not show in how near patches are to the exemplar's: a new stone is as new as half
of one. But cuts can be made: pieces of the truth, laid at random and joined along seams of least error, show
what cuts through this texture look like, and the truth shows it whole. Images are (1, 3, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.orientations import ORIENTATIONS
from texsynth.synthesis.exemplar import free_squares
from texsynth.synthesis.seams import keep_old

Maps = Callable[[Tensor], Sequence[Tensor]]
"""(1, 3, H, W) -> maps of features, (1, C, h, w) each, of any sizes."""

GRID_PX = 6  # Pixels between places that are looked at

MARGIN_PX = 12  # Pixels along the borders where features see what the border made up

NEAR_PX = 5  # Distance up to which a place is at a seam

BLOCKS = (0.22, 0.31, 0.31, 0.44)  # Sides of pieces, as shares of the exemplar's shorter side

LEAST_PX = 12  # Side of the smallest piece

LEAST_SIDE_PX = 48  # Shorter side of an exemplar from which on it can teach what cuts in it look like

OVERLAP = 0.3  # Of neighbouring pieces, as a share of their side

TRIES = (1, 6)  # Pieces of which the best is laid: by chance, and as careless methods do

MOST_PX = 256  # Side of the pictures of cuts

PART_PX = 170 * GRID_PX  # Side of the parts of a picture that are looked at one after the other

OWN_PX = 384  # Side of what is learned from of an exemplar, at most

RIDGE = 0.01  # Weight of the norm, for features of deviation 1

ORDINARY = 0.9
"""Share of the exemplar's own places that look less like a cut than the places that count."""


@dataclass(frozen=True)
class CutDetector:
    """A linear detector of cuts in one texture, see `learn_cuts`."""

    maps: Maps
    mean: Tensor  # (C,)
    weight: Tensor  # (C,)
    limit: float  # Reached by 1 - ORDINARY of the exemplar's places

    def scores(self, image: Tensor) -> Tensor:
        """Rate how much places on a grid look like cuts, (n,); in parts, however large the image is."""
        side = PART_PX + 2 * MARGIN_PX
        starts = [range(0, max(n - 2 * MARGIN_PX, 1), PART_PX) for n in image.shape[2:]]
        parts = [image[:, :, y : y + side, x : x + side] for y in starts[0] for x in starts[1]]
        return torch.cat([(_places(self.maps, part)[0] - self.mean) @ self.weight for part in parts])

    def broken(self, output: Tensor) -> float:
        """Share of places that look cut, beyond the exemplar's: 0 is like the exemplar, 1 cut everywhere.

        A place counts when it looks more like a cut than nine tenths of the exemplar's places do.

        A copy in any orientation is no cut, but where it ends. It lies by calling cut whatever is not
        whole: smears, blends, noise and objects that the truth does not have; it is that of a linear test,
        which misses cuts that leave no trace in features of 20 to 50 pixels, and it is flattering for
        methods that look at the same features.
        """
        share = float((self.scores(output) > self.limit).float().mean())
        return (share - (1 - ORDINARY)) / ORDINARY


def learn_cuts(maps: Maps, exemplar: Tensor, truth: Tensor, rng: torch.Generator) -> CutDetector | None:
    """Fit a detector on the truth around the exemplar, which is its middle, and on cuts made of that.

    The exemplar, of which outputs consist, takes no part but in the limit. None where there is too little
    around it.
    """
    outside = torch.ones(truth.shape[2:], dtype=torch.bool)
    side = min(exemplar.shape[2:])
    tops = [(n - m) // 2 for n, m in zip(truth.shape[2:], exemplar.shape[2:], strict=True)]
    rows, columns = (slice(t, t + m) for t, m in zip(tops, exemplar.shape[2:], strict=True))
    outside[rows, columns] = False
    sizes = [min(round(share * side), max(tops)) for share in BLOCKS]
    if min(sizes) < LEAST_PX or side <= 2 * MARGIN_PX:
        return None
    mean, weight = _fit(maps, truth, outside, sizes, rng)
    return _limited(CutDetector(maps, mean, weight, 0.0), exemplar)


def learn_own_cuts(maps: Maps, exemplar: Tensor, usable: Tensor, rng: torch.Generator) -> CutDetector | None:
    """Fit a detector on an exemplar itself and on cuts made of it, where nothing around it is known.

    usable: (h, w) bool, where the texture may be taken from. None where that is too little. Outputs consist
    of what it has learned as whole, so it is fair between outputs of one method alone.
    """
    # Of a large exemplar the part of which most is usable.
    height, width = (min(n, OWN_PX) for n in usable.shape)
    counts = F.avg_pool2d(usable[None].float(), (height, width), 1)[0]
    top, left = divmod(int(counts.argmax()), counts.shape[1])
    here = (slice(top, top + height), slice(left, left + width))
    exemplar, usable = exemplar[:, :, *here], usable[here]
    side = min(exemplar.shape[2:])
    sizes = [max(round(share * side), LEAST_PX) for share in BLOCKS]
    if side < LEAST_SIDE_PX or not bool(free_squares(usable, max(sizes)).any()):
        return None
    mean, weight = _fit(maps, exemplar, usable, sizes, rng)
    return _limited(CutDetector(maps, mean, weight, 0.0), exemplar)


def can_be_judged(size: tuple[int, int]) -> bool:
    """Tell whether pictures of `size` (H, W) have places to look at."""
    return min(size) > 2 * MARGIN_PX


def _limited(detector: CutDetector, exemplar: Tensor) -> CutDetector:
    """Give a detector the limit that is ordinary in its exemplar."""
    return replace(detector, limit=float(detector.scores(exemplar).quantile(ORDINARY)))


def _fit(
    maps: Maps, picture: Tensor, usable: Tensor, sizes: Sequence[int], rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Tell the `usable` (H, W) places of a picture from those at seams between squares of it.

    sizes: sides of the squares, in turn. Returns mean and weights (C,).
    """
    samples, marks = [], []
    for number, orientation in enumerate(ORIENTATIONS):
        features, inside = _places(maps, orientation.apply(picture), orientation.apply(usable))
        samples.append(features[inside])
        marks.append(torch.zeros(len(samples[-1])))
        size = sizes[number % len(sizes)]
        laid, seams = _cut_up(picture, free_squares(usable, size), size, TRIES[number // 4], rng)
        near = F.max_pool2d(seams[None, None].float(), 2 * NEAR_PX + 1, 1, NEAR_PX)[0, 0] > 0
        features, inside = _places(maps, orientation.apply(laid), orientation.apply(near))
        samples.append(features[inside])
        marks.append(torch.ones(len(samples[-1])))
    return _discriminant(torch.cat(samples), torch.cat(marks))


def _places(maps: Maps, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sample features on a grid, (n, C); and a mask (H, W) there, (n,) bool."""
    rows, columns = (torch.arange(MARGIN_PX, n - MARGIN_PX, GRID_PX) for n in image.shape[2:])
    y, x = ((2 * at + 1) / n - 1 for at, n in zip((rows, columns), image.shape[2:], strict=True))
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].to(image)
    sampled = [F.grid_sample(m.to(grid), grid, align_corners=False)[0].flatten(1) for m in maps(image)]
    inside = torch.ones(grid.shape[1:3], dtype=torch.bool) if mask is None else mask[rows][:, columns]
    return torch.cat(sampled).T, inside.flatten()


def _cut_up(
    source: Tensor, corners: Tensor, size: int, tries: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Lay squares of `size` px from random places: (1, 3, H, W), and the pixels at seams, (H, W) bool.

    corners: bool, where squares may begin. Of `tries` squares the one that fits best is laid.
    """
    overlap = max(2, round(OVERLAP * size))
    step, places = size - overlap, corners.nonzero()
    count = [max(1, (min(n, MOST_PX) - overlap) // step) for n in source.shape[2:]]
    side = [overlap + n * step for n in count]
    laid, piece = torch.zeros(source.shape[1], *side), torch.full(side, -1)
    for number in range(count[0] * count[1]):
        top, left = number // count[1] * step, number % count[1] * step
        here = (slice(top, top + size), slice(left, left + size))
        drawn = places[torch.randint(len(places), (tries,), generator=rng)].tolist()
        squares = torch.stack([source[0, :, y : y + size, x : x + size] for y, x in drawn])
        old, known = laid[:, *here], piece[here] >= 0
        errors = (squares - old).square().sum(1)
        best = int((errors * known).sum((1, 2)).argmin())
        keep = keep_old(errors[best : best + 1], known, overlap)[0]
        laid[:, *here] = torch.where(keep, old, squares[best])
        piece[here] = torch.where(keep, piece[here], number)
    seams = torch.zeros(side, dtype=torch.bool)
    seams[1:] |= piece[1:] != piece[:-1]
    seams[:, 1:] |= piece[:, 1:] != piece[:, :-1]
    return laid[None], seams


def _discriminant(samples: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """Regress marks (n,), 0 and 1 of equal weight, on samples (n, C). Returns mean and weights (C,)."""
    share = marks.mean().clamp(1e-6, 1 - 1e-6)
    weight = torch.where(marks > 0, 0.5 / share, 0.5 / (1 - share))[:, None] / len(marks)
    mean = (samples * weight).sum(0)
    centred = samples - mean
    scale = (centred.square() * weight).sum(0).sqrt().clamp_min(1e-6)
    centred = centred / scale
    normal = (centred * weight).T @ centred + RIDGE * torch.eye(samples.shape[1]).to(samples)
    right = (centred * weight).T @ (marks - 0.5)
    return mean, torch.linalg.solve(normal, right) / scale
