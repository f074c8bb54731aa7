"""Places for copies of an exemplar: the self-similarity map, extended along its own peaks.

Equation 1 of paper 004 compares an exemplar with one moved copy of itself. Here every copy that is laid adds
its map at its place, so the sums grow into one map of the whole output: at (u, v) it holds the squared
difference to all copies laid so far over their energy. The next copy goes to the best place near the next
point of a coarse grid. On a regular texture these places are points of its lattice, which nobody has to
detect; on an irregular one a little noise keeps the grid from showing.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SPACING = 0.4
"""Distance of the grid's points as a share of the exemplar: every pixel is covered about six times."""

WINDOW = 0.65
"""Steps that a copy may lie from its point of the grid; more than half, so that periods fit in."""

APART = 0.125
"""Copies lie at least this share of the exemplar apart; nearer ones only look alike because it is smooth."""

WORSE = 0.2  # A copy is left out where others that agree better by this much cover all of its place

NOISE = 0.03  # Deviation of the noise on the map, in shares of the energy

Pair = tuple[int, int]  # Numbers of rows and columns, or a row and a column


class Placement(NamedTuple):
    """A copy of the exemplar in the output."""

    row: int
    column: int  # row, column: top left corner in output pixels; may be negative
    agreement: float
    """The extended map at this place when the copy was laid, -1 or below for chance, 0 for perfect."""
    rank: float
    """Random in [0, 1), 1 for the first copy: in doubt the higher lies on top.

    With ranks some copies stay whole; without, all would show their middles only."""


@dataclass(frozen=True)
class Layout:
    """Copies in slots; those of one slot do not overlap, so a slot is one picture with holes."""

    exemplar: Pair
    size: Pair
    circular: bool
    slots: tuple[tuple[Placement, ...], ...]


class SlotSources(NamedTuple):
    """The sources of one slot on a grid of output pixels."""

    source: Tensor  # (r, c) long, source pixel in the flattened exemplar, 0 where there is none
    valid: Tensor  # (r, c) bool, where the slot has a source
    cues: Tensor
    """(3, r, c): distance to the copy's border (0..1), its agreement and its rank; empty if not wanted."""


def place_copies(
    difference: Tensor,
    energy: Tensor,
    exemplar: Pair,
    size: Pair,
    rng: torch.Generator,
    *,
    circular: bool = False,
    variation: float = 0.0,
) -> Layout:
    """Lay copies of an exemplar of (h, w) pixels until an output of `size` (H, W) is covered.

    difference, energy: (2 P + 1, 2 Q + 1) of the exemplar, from `self_difference`. The first copy lies in the
    middle. variation: 0..1, share of the map that noise replaces. circular: on a torus.
    """
    canvas = _Canvas(difference, energy, exemplar, size, circular)
    noise = (NOISE + variation) * torch.randn(canvas.shape, generator=rng).numpy()
    origin = ((size[0] - exemplar[0]) // 2, (size[1] - exemplar[1]) // 2)
    canvas.add(Placement(*origin, 0.0, 1.0))
    for rows, columns in _windows(exemplar, size, origin, circular):
        at = canvas.best(rows, columns, noise, 1 - variation)
        if at is not None:
            canvas.add(Placement(*at, float(torch.rand((), generator=rng))))
    while not canvas.covered.all():
        # A copy whose middle is the first pixel that none covers.
        hole = np.unravel_index(int(canvas.covered.argmin()), size)
        row, column = (int(n) - e // 2 for n, e in zip(hole, exemplar, strict=True))
        canvas.add(Placement(row, column, -1.0, 0.0))
    return Layout(exemplar, size, circular, _slots(canvas.worthwhile(), exemplar, size, circular))


def slot_sources(
    layout: Layout, slot: int, rows: Tensor, columns: Tensor, *, cues: bool = True
) -> SlotSources:
    """Look up the sources in a slot, if there is one, of output pixels at ascending `rows` x `columns`."""
    h, w = layout.exemplar
    shape = (len(rows), len(columns))
    index, valid = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    hints = torch.zeros(3, *shape) if cues else torch.zeros(3, 0, 0)
    for copy in layout.slots[slot] if slot < len(layout.slots) else ():
        for top, left in _corners(copy, layout):
            r, c = _inside(rows, top, h), _inside(columns, left, w)
            y, x = rows[r] - top, columns[c] - left
            index[r, c] = y[:, None] * w + x
            valid[r, c] = True
            if cues:
                hints[0, r, c] = torch.minimum(_edge(y, h)[:, None], _edge(x, w))
                hints[1, r, c] = copy.agreement
                hints[2, r, c] = copy.rank
    return SlotSources(index, valid, hints)


class _Canvas:
    """The extended map at every place where a copy may go, and the copies laid so far."""

    def __init__(
        self, difference: Tensor, energy: Tensor, exemplar: Pair, size: Pair, circular: bool
    ) -> None:
        # Energy of both sides, so that a shift and its opposite count the same.
        self.maps = np.stack([difference.numpy(), (energy + energy.flip(0, 1)).numpy()])
        self.reach = (difference.shape[0] // 2, difference.shape[1] // 2)
        self.exemplar, self.size, self.circular = exemplar, size, circular
        self.covered = np.zeros(size, dtype=bool)
        # A copy may stick out of the output by half.
        self.margin = (0, 0) if circular else (exemplar[0] // 2, exemplar[1] // 2)
        sides = zip(size, exemplar, self.margin, strict=True)
        self.shape = size if circular else tuple(n - e + 2 * m + 1 for n, e, m in sides)
        self.apart = tuple(max(1, int(APART * e)) for e in exemplar)
        self.sums = np.zeros((2, *self.shape), dtype=np.float32)
        self.free = np.ones(self.shape, dtype=bool)
        self.laid: list[Placement] = []

    def _span(self, at: int, radius: int, axis: int) -> tuple[slice, slice]:
        """Return rows or columns of the canvas near `at`, and their place among all 2 radius + 1."""
        first = at - radius + self.margin[axis]
        start, stop = max(first, 0), min(first + 2 * radius + 1, self.shape[axis])
        return slice(start, max(start, stop)), slice(start - first, max(start, stop) - first)

    def _wrapped_span(self, at: int, radius: int, axis: int) -> np.ndarray:
        """Return all 2 radius + 1 rows or columns within radius of `at`, around a torus."""
        return np.arange(at - radius, at + radius + 1) % self.shape[axis]

    def add(self, copy: Placement) -> None:
        """Lay a copy: its map adds to the sums, its surroundings are no longer free."""
        at = (copy.row, copy.column)
        if self.circular:  # the map may be larger than the torus
            place = np.ix_(*(self._wrapped_span(at[a], self.reach[a], a) for a in (0, 1)))
            for sums, values in zip(self.sums, self.maps, strict=True):
                np.add.at(sums, place, values)
            self.free[np.ix_(*(self._wrapped_span(at[a], self.apart[a], a) for a in (0, 1)))] = False
        else:
            here, of = zip(*(self._span(at[a], self.reach[a], a) for a in (0, 1)), strict=True)
            self.sums[:, *here] += self.maps[:, *of]
            self.free[tuple(self._span(at[a], self.apart[a], a)[0] for a in (0, 1))] = False
        self.covered[self._covers(copy)] = True
        self.laid.append(copy)

    def worthwhile(self) -> list[Placement]:
        """Return the copies laid, without those off the lattice that others on it make superfluous."""
        best = np.full(self.size, -np.inf, dtype=np.float32)
        places = [self._covers(copy) for copy in self.laid]
        for copy, place in zip(self.laid, places, strict=True):
            best[place] = np.maximum(best[place], copy.agreement)
        return [copy for k, (copy, place) in enumerate(zip(self.laid, places, strict=True))
                if k == 0 or (best[place] < copy.agreement + WORSE).any()]  # fmt: skip

    def _covers(self, copy: Placement) -> tuple[np.ndarray, ...]:
        """Index the output's pixels that a copy covers."""
        spans = [np.arange(at, at + e) for at, e in zip(copy[:2], self.exemplar, strict=True)]
        if self.circular:
            return np.ix_(*(np.unique(span % n) for span, n in zip(spans, self.size, strict=True)))
        inside = [span[(span >= 0) & (span < n)] for span, n in zip(spans, self.size, strict=True)]
        return np.ix_(*inside)

    def best(
        self, rows: range, columns: range, noise: np.ndarray, share: float
    ) -> tuple[int, int, float] | None:
        """Find the best free place in a window and its agreement; None when the window has none."""
        spans = []
        for axis, window in enumerate((rows, columns)):
            start, length = window.start + self.margin[axis], len(window)
            if self.circular:
                spans.append(np.arange(start, start + length) % self.shape[axis])
            elif start + length <= 0 or start >= self.shape[axis]:
                return None
            else:  # moved inside as a whole: what is cut off may hold the only good place
                length = min(length, self.shape[axis])
                start = min(max(start, 0), self.shape[axis] - length)
                spans.append(np.arange(start, start + length))
        where = np.ix_(*spans)
        difference, energy = (s[where] for s in self.sums)
        # A place that no copy reaches yet is as good as chance.
        agreement = np.where(energy > 1e-9, -difference / np.maximum(energy, 1e-9), -1)
        score = np.where(self.free[where], share * agreement + noise[where], -np.inf)
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        if not np.isfinite(score[row, column]):
            return None
        place = [int(span[k]) - m for span, k, m in zip(spans, (row, column), self.margin, strict=True)]
        return place[0], place[1], float(max(agreement[row, column], -2))


def _windows(exemplar: Pair, size: Pair, origin: Pair, circular: bool) -> list[tuple[range, range]]:
    """List windows around the points of the coarse grid, from the first copy outwards."""
    axes = []
    for n, e, o in zip(size, exemplar, origin, strict=True):
        if circular:  # a whole number of steps around the torus
            count = max(1, round(n / (SPACING * e)))
            step = n / count
            steps = range(-(count // 2), count - count // 2)
        else:
            step = SPACING * e
            steps = range(math.floor((-(e // 2) - o) / step), math.ceil((n - e + e // 2 - o) / step) + 1)
        spans = ((round(o + (k - WINDOW) * step), round(o + (k + WINDOW) * step)) for k in steps)
        axes.append([(abs(k), range(first, last + 1)) for k, (first, last) in zip(steps, spans, strict=True)])
    pairs = [(max(i, j), i + j, r, c) for i, r in axes[0] for j, c in axes[1] if (i, j) != (0, 0)]
    pairs.sort(key=lambda pair: pair[:2])
    return [(r, c) for _, _, r, c in pairs]


def _slots(
    laid: list[Placement], exemplar: Pair, size: Pair, circular: bool
) -> tuple[tuple[Placement, ...], ...]:
    """Put every copy into the first slot where its place is still empty."""
    slots: list[list[Placement]] = []
    corners: list[np.ndarray] = []  # of the copies in each slot, so that one comparison tests them all
    for copy in laid:
        here = np.array([copy[:2]])
        for k, others in enumerate(corners):
            gap = np.abs(others - here)
            if circular:
                gap %= size
                gap = np.minimum(gap, np.array(size) - gap)
            if (gap >= exemplar).any(1).all():
                slots[k].append(copy)
                corners[k] = np.concatenate([others, here])
                break
        else:
            slots.append([copy])
            corners.append(here)
    return tuple(tuple(slot) for slot in slots)


def _corners(copy: Placement, layout: Layout) -> list[tuple[int, int]]:
    """List the corners of a copy and, on a torus, of its images that reach into the output."""
    if not layout.circular:
        return [(copy.row, copy.column)]
    corners = []
    for at, e, n in zip(copy[:2], layout.exemplar, layout.size, strict=True):
        corners.append([at % n - k * n for k in range(-(-e // n) + 1)])
    return [(top, left) for top in corners[0] for left in corners[1]]


def _inside(positions: Tensor, start: int, length: int) -> slice:
    """Slice ascending positions to those from `start` on, `length` pixels far."""
    first, last = torch.searchsorted(positions, torch.tensor([start, start + length])).tolist()
    return slice(first, last)


def _edge(at: Tensor, length: int) -> Tensor:
    """Measure the distance to the nearer end, 0 at the first and last pixel, about 1 in the middle."""
    return torch.minimum(at, length - 1 - at) * (2 / length)
