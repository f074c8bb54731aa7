"""Lattice and regularity of a texture, from its self-similarity map."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.self_similarity import masked_overlap, parabola_vertex, self_difference
from texsynth.ops.resample import box_mean

MIN_CONFIDENCE = 0.4  # Real lattices of photographs had .51 to .97, accidental ones .28 to .35

REGULAR = 0.7
"""Nets, weaves, tiles and walls of equal bricks are above it; honeycombs, old walls and ripples below."""

MAX_CHANGE = 0.15
"""Largest relative change of a length by which a texture may be warped to close over a torus."""

TILT = 3.0  # How much worse it is to tilt rows by some pixels than to stretch them by as many

MIN_SHIFT = 6  # Pixels; nearer peaks of the map are smoothness, not repetition

NEARLY = 0.8  # Share of the likeness on the points of a lattice that is enough between them

FLAT = 1e-9
"""Mean square of the detail of a picture of one colour: less than a hundredth of a step of 8 bits."""

MIN_DIP = 0.1  # Share of a peak by which the correlation must fall on the way to it, for a period

CLEAR_DIP = 0.3
"""The same where there may be more than stripes: of thin long bricks the upright joints hardly count."""

LEAST_OVERLAP = 0.1
"""Share of a masked texture that must overlap with its shifted self; less resembles it by chance."""

Kind = Literal["regular", "near-regular", "stochastic"]
"""Near-regular textures lie between MIN_CONFIDENCE, from which on a lattice is kept, and REGULAR."""

Peak = tuple[float, int, int]
"""Height of a local maximum of the self-correlation, and its shift (dy, dx) in pixels."""


@dataclass(frozen=True)
class Lattice:
    """Two independent vectors by which the texture repeats."""

    vectors: Tensor  # (2, 2) float64, one (dy, dx) in pixels in each row
    confidence: float  # Correlation of the texture with itself along the weaker vector, up to 1
    distinct: tuple[bool, bool] = (True, True)
    """True where the texture changes on the way along a vector; along a stripe its length means nothing."""

    @property
    def periods(self) -> tuple[float, ...]:
        """Lengths of the distinct vectors in pixels, the shortest one first."""
        lengths = torch.linalg.vector_norm(self.vectors, dim=1).tolist()
        return tuple(sorted(n for n, known in zip(lengths, self.distinct, strict=True) if known))

    def scaled(self, y: float, x: float) -> Lattice:
        """Return the lattice of the picture at `y` times the height and `x` times the width."""
        return replace(self, vectors=self.vectors * torch.tensor([y, x], dtype=torch.float64))


def find_lattice(image: Tensor) -> Lattice | None:
    """Find the two shortest independent strong repetitions of `image` (1, 3, h, w); None if irregular."""
    lattice = most_likely_lattice(image)
    return lattice if lattice is not None and lattice.confidence >= MIN_CONFIDENCE else None


def most_likely_lattice(image: Tensor, mask: Tensor | None = None) -> Lattice | None:
    """Find the lattice that `image` (1, 3, h, w) has if it has one; its confidence says how likely that is.

    mask: (1, 1, h, w), above 0.5 where the texture is; None for everywhere. Returns None when the
    self-similarity map has no two peaks in different directions.
    """
    score = self_correlation(image, mask)
    limit = [int(0.6 * side) for side in image.shape[2:]]
    peaks = peaks_within(score, limit)
    basis = _basis(peaks)
    if basis is None:
        return None
    vectors = _refine(score, torch.tensor([peak[1:] for peak in basis], dtype=torch.float64))
    first, second = (_dips(score, peak) for peak in basis)
    return Lattice(vectors, min(peak[0] for peak in basis), (first, second))


def finest_lattice(lattice: Lattice, image: Tensor, mask: Tensor | None = None) -> Lattice:
    """Divide a lattice as long as what lies between its points is nearly as alike as what lies on them.

    Where each brick has a colour of its own, some may resemble each other more than all do. Stripes get the
    lattice of the lines that cross them, where these have one. image, mask: as in `most_likely_lattice`.
    """
    score = self_correlation(image, mask)
    finest = _divided(lattice, score)
    if _is_clear(finest, score):
        return finest
    return _lattice_of_crossing_lines(image, mask) or finest


def _is_clear(lattice: Lattice, score: Tensor) -> bool:
    """Tell whether the texture changes much on the way to each of its nearest repetitions."""
    first, second = lattice.vectors
    nearest = first, second, first + second, first - second
    return all(_dips(score, _peak_at(score, vector), CLEAR_DIP) for vector in nearest)


def _divided(lattice: Lattice, score: Tensor) -> Lattice:
    """Divide as `finest_lattice` says, by a self-correlation; that of stripes stays as it is."""
    vectors = lattice.vectors
    while all(lattice.distinct) and (finer := _halved(score, vectors)):
        vectors = _refine(score, torch.tensor(finer, dtype=torch.float64))
    return replace(lattice, vectors=vectors)


def _lattice_of_crossing_lines(image: Tensor, mask: Tensor | None) -> Lattice | None:
    """Find the lattice of the upright lines of a texture, or of its level ones; None where none is clear.

    In a wall of thin long bricks the level joints hide that of the upright ones, as do their colours. The
    steps from a pixel to the next along a row see neither.
    """
    clear: list[Lattice] = []
    for axis in (3, 2):
        steps = image.diff(dim=axis).abs()
        inside = None if mask is None else mask.narrow(axis, 1, steps.shape[axis])
        lattice, score = most_likely_lattice(steps, inside), self_correlation(steps, inside)
        if lattice is None or lattice.confidence < MIN_CONFIDENCE:
            continue
        lattice = _divided(lattice, score)
        if _is_clear(lattice, score):
            clear.append(lattice)
    return max(clear, key=lambda each: each.confidence, default=None)


def _halved(score: Tensor, vectors: Tensor) -> list[list[float]] | None:
    """Return vectors of a lattice with twice as many points that are nearly as alike; None if none is."""
    first, second = vectors
    enough = NEARLY * _likeness(score, first, second)
    finer = [(first / 2, second), (first, second / 2), ((first + second) / 2, (first - second) / 2)]
    likeness = [_likeness(score, *pair) for pair in finer]
    best = max(range(3), key=likeness.__getitem__)
    return torch.stack(finer[best]).tolist() if likeness[best] >= enough > 0 else None


def _likeness(score: Tensor, first: Tensor, second: Tensor) -> float:
    """Return the least likeness at vectors of a lattice, or up to 2 pixels from them; 0 for one near zero."""
    least = 1.0
    for dy, dx in (first, second, first + second, first - second):
        row, column = round(float(dy)) + score.shape[0] // 2, round(float(dx)) + score.shape[1] // 2
        if math.hypot(dy, dx) < MIN_SHIFT:
            return 0.0
        around = score[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        least = min(least, float(around.max())) if around.numel() else least
    return least


def self_correlation(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Measure how alike the texture and its shifted self are: 1 for an exact repetition, 0 for unrelated.

    image: (1, 3, h, w). mask: as in `most_likely_lattice`. Slow shading and pixel noise are taken out first.
    Returns (2P + 1, 2Q + 1) with (P, Q) three quarters of the sides, shift zero in the middle.
    """
    h, w = image.shape[2:]
    reach = int(0.75 * h), int(0.75 * w)
    if mask is None:
        smooth = box_mean(image, 1)
        detail = smooth - box_mean(smooth, max(min(h, w) // 8, 1))
        detail = detail - detail.mean((2, 3), keepdim=True)
    else:
        mask = (mask > 0.5).to(image.dtype)
        smooth = _mean_inside(image, mask, 1)
        detail = smooth - _mean_inside(smooth, mask, max(min(h, w) // 8, 1))
        mean = (detail * mask).sum((2, 3), keepdim=True) / mask.sum().clamp_min(1)
        detail = (detail - mean) * mask
    if float(detail.square().mean()) < FLAT:
        return image.new_zeros(2 * reach[0] + 1, 2 * reach[1] + 1)
    difference, energy = self_difference(detail, reach)
    both = energy + energy.flip((1, 2))
    if mask is not None:
        # What lies beside a hole is not unlike it: products as they are, energy where both are inside.
        products, energy = both - difference, masked_overlap(detail.square().sum(1), mask[:, 0], reach)
        both = energy + energy.flip((1, 2))
        return (products / both.clamp_min(LEAST_OVERLAP * float(both.amax())))[0]
    floor = 1e-6 * energy.amax().clamp_min(1e-12)
    return (1 - difference / both.clamp_min(float(floor)))[0]


def regularity_score(lattice: Lattice | None) -> float:
    """Return the regularity of a picture by its most likely lattice, 0 to 1.

    Irregular textures reach 0.35, as they resemble themselves somewhere by chance. Stripes are regular: they
    repeat along themselves at any shift. `metrics.structure.regularity`, which judges outputs, is the highest
    peak in any one direction.
    """
    return 0.0 if lattice is None else max(0.0, min(1.0, lattice.confidence))


def regularity_kind(score: float) -> Kind:
    """Name textures of this regularity."""
    if score >= REGULAR:
        return "regular"
    return "near-regular" if score >= MIN_CONFIDENCE else "stochastic"


def phase_error(
    lattice: Lattice, shape: tuple[int, ...] | torch.Size, corner: tuple[int, int], origin: tuple[int, int]
) -> Tensor:
    """Measure the distance in pixels of every source position from the lattice's phase at an output position.

    shape: rows and columns of source positions. corner: output position. origin: source minus output of a
    block that is in phase. Returns (rows, columns).
    """
    rows = torch.arange(shape[0], dtype=torch.float64)[:, None] - corner[0] - origin[0]
    columns = torch.arange(shape[1], dtype=torch.float64)[None] - corner[1] - origin[1]
    offset = torch.stack(torch.broadcast_tensors(rows, columns), -1)
    periods = offset @ torch.linalg.inv(lattice.vectors)
    error = (periods - periods.round()) @ lattice.vectors
    distance: Tensor = torch.linalg.vector_norm(error, dim=-1)
    return distance.float()


def snap_to_torus(lattice: Lattice, size: tuple[int, int], limit: float = MAX_CHANGE) -> Lattice | None:
    """Find the nearest lattice that a torus of `size` (rows, columns) closes over.

    Rows may close with an offset, but are rather stretched than tilted. Returns None when that would change a
    length by more than `limit`.
    """
    torus = torch.tensor(size, dtype=torch.float64).diag()
    counts = torch.stack([_closing_count(lattice, axis, size[axis]) for axis in (0, 1)])
    if float(torch.linalg.det(counts).abs()) < 0.5:
        return None
    vectors = torch.linalg.solve(counts, torus)
    closed = Lattice(vectors, lattice.confidence)
    return closed if relative_change(lattice, closed) <= limit else None


def closing_size(lattice: Lattice, size: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns near `size` that whole periods fit into."""
    rows, columns = (
        round(abs(float((_closing_count(lattice, axis, size[axis]) @ lattice.vectors)[axis])))
        for axis in (0, 1)
    )
    return rows, columns


def _closing_count(lattice: Lattice, axis: int, length: int) -> Tensor:
    """Find the whole numbers (2,) of the lattice's vectors that come nearest to one side of a torus."""
    side = torch.zeros(2, dtype=torch.float64).index_fill(0, torch.tensor(axis), length)
    middle = (side @ torch.linalg.inv(lattice.vectors)).round()
    near = middle + torch.cartesian_prod(*[torch.arange(-3.0, 4.0, dtype=torch.float64)] * 2)
    along, across = (near @ lattice.vectors)[:, [axis, 1 - axis]].unbind(1)
    # To make twice as much of a length is as bad as to make half of it.
    change = (along.clamp_min(1e-3) / length).log().abs() + TILT * across.abs() / length
    nearest: Tensor = near[change.argmin()]
    return nearest


def relative_change(before: Lattice, after: Lattice) -> float:
    """Return the largest relative change of any length when one lattice is warped into another."""
    change = torch.linalg.solve(before.vectors, after.vectors) - torch.eye(2, dtype=torch.float64)
    return float(torch.linalg.matrix_norm(change, 2))


def _mean_inside(image: Tensor, inside: Tensor, radius: int) -> Tensor:
    """Average the pixels where `inside` is 1 over squares."""
    return box_mean(image * inside, radius) / box_mean(inside, radius).clamp_min(1e-6)


def peaks_within(score: Tensor, limit: list[int]) -> list[Peak]:
    """Find the local maxima within `limit` of one half plane, the strongest first."""
    top, left = score.shape[0] // 2, score.shape[1] // 2
    best = F.max_pool2d(score[None, None], 7, 1, 3)[0, 0]
    dy = torch.arange(score.shape[0])[:, None] - top
    dx = torch.arange(score.shape[1])[None] - left
    good = (score >= best) & ((dy > 0) | ((dy == 0) & (dx > 0)))
    good &= (dy.square() + dx.square() >= MIN_SHIFT**2) & (dy.abs() <= limit[0]) & (dx.abs() <= limit[1])
    rows, columns = good.nonzero().unbind(1)
    places = zip(rows.tolist(), columns.tolist(), strict=True)
    return sorted(((float(score[r, c]), r - top, c - left) for r, c in places), reverse=True)


def _basis(peaks: list[Peak]) -> list[Peak] | None:
    """Pick the shortest strong peak, and the shortest in another direction that is nearly as strong."""
    if not peaks or peaks[0][0] <= 0:
        return None
    first = min((p for p in peaks if p[0] > 0.8 * peaks[0][0]), key=_length)
    for share in (0.8, 0.6, 0.4, 0.25):
        other = [p for p in peaks if p[0] > share * peaks[0][0] and _sine(first, p) > 0.5]
        if other:
            return [first, min(other, key=_length)]
    return None


def _peak_at(score: Tensor, vector: Tensor) -> Peak:
    """Return the height of the self-correlation at a shift (dy, dx) in pixels, rounded."""
    limit = torch.tensor(score.shape) // 2
    dy, dx = (int(v) for v in vector.round().clamp(-limit, limit))
    return float(score[dy + score.shape[0] // 2, dx + score.shape[1] // 2]), dy, dx


def _dips(score: Tensor, peak: Peak, least: float = MIN_DIP) -> bool:
    """Tell whether the texture is less like itself at some shift between none and `peak`."""
    steps = int(_length(peak)) + 1
    way = torch.arange(1, steps) / steps
    rows = (way * peak[1]).round().long() + score.shape[0] // 2
    columns = (way * peak[2]).round().long() + score.shape[1] // 2
    return float(score[rows, columns].min()) < (1 - least) * peak[0]


def _length(peak: Peak) -> float:
    return math.hypot(peak[1], peak[2])


def _sine(a: Peak, b: Peak) -> float:
    return abs(a[1] * b[2] - a[2] * b[1]) / (_length(a) * _length(b))


def _refine(score: Tensor, vectors: Tensor) -> Tensor:
    """Fit the vectors to the peaks near integer combinations by least squares: errors do not add up."""
    middle = torch.tensor([score.shape[0] // 2, score.shape[1] // 2], dtype=torch.float64)
    radius = max(2, int(0.12 * float(vectors.norm(dim=1).min())))
    for reach in (1, 2, 3, 5, 8):
        span = torch.arange(-reach, reach + 1, dtype=torch.float64)
        combos = torch.cartesian_prod(span, span)
        rows = []
        for combo in combos:
            place = middle + combo @ vectors
            if not bool(combo.any()) or bool(((place - middle).abs() > 0.9 * middle).any()):
                continue
            peak, height = _nearest_peak(score, place, radius)
            if height > 0:
                rows.append((combo * height, (peak - middle) * height))
        if len(rows) < 2:
            continue
        left, right = torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows])
        if int(torch.linalg.matrix_rank(left)) == 2:
            vectors = torch.linalg.lstsq(left, right, driver="gelsd").solution
    return vectors


def _nearest_peak(score: Tensor, place: Tensor, radius: int) -> tuple[Tensor, float]:
    """Find the maximum within `radius` of `place`, by parabolas, and its height; 0 where it is at the rim."""
    row, column = (int(v) for v in place.round())
    if not (radius < row < score.shape[0] - radius - 1 and radius < column < score.shape[1] - radius - 1):
        return place, 0.0
    part = score[row - radius : row + radius + 1, column - radius : column + radius + 1]
    index = int(part.argmax())
    r, c = index // part.shape[1] + row - radius, index % part.shape[1] + column - radius
    if abs(r - row) == radius or abs(c - column) == radius:
        return place, 0.0
    lines = score[r - 1 : r + 2, c], score[r, c - 1 : c + 2]
    shift = [parabola_vertex(*line.tolist()) for line in lines]
    peak = torch.tensor([r, c], dtype=torch.float64) + torch.tensor(shift, dtype=torch.float64)
    return peak, float(score[r, c])
