"""Cells of a lattice, like the bricks of a wall.

What differs from cell to cell lies inside of a cell; its outline runs where all are alike, in the mortar.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice, self_correlation
from texsynth.ops.resample import box_mean

BINS = 32  # Phases along each vector at which an outline is tried

STRIDE = 1.5  # Pixels between the places on an outline that are looked at

ALIGNED = 0.04  # Share of its length by which a vector may deviate from an axis to count as level or upright

LEAST_PX = 8.0  # Height of a cell; smaller ones are grain, of which none stands out

SLIVER = 5.0  # Length of a cell over its height; longer ones are stripes

LEAST_CELLS = 4  # Whole cells of an exemplar

VARIED = 0.15  # Variance from cell to cell over the texture's, from which on a cell can stand out

PLAIN = 0.75  # Variance along an outline over that of whole cells, above which no mortar is seen

RANDOM = 1.3  # How much more parts of cells may differ from each other than the cells; more has an order

CLEARER = 0.8  # Variance along an outline over that of a larger one from which on it needs no likeness

LIKE = 0.6
"""Likeness of fewer cells to those around, over that of the given ones, from which on they are cells at all:
every second half of a slab has a joint in its middle, or none."""

SHARP = 0.25  # Variance along an outline, over that of whole cells, below which these are cells without doubt

MANY = 6  # Cells from which on their variance is known well enough to say so

NEAR = 2  # Pixels around a vector within which the correlation may peak

MOST = 6.0  # Times the median that a cell may stand out


@dataclass(frozen=True)
class Cells:
    """The whole cells of an exemplar; all have the same shape."""

    vectors: Tensor  # (2, 2) float64, the lattice's
    normals: Tensor
    """(m, 2) float64; the outline around a middle is where max |normals @ (dy, dx)| is 1."""
    phase: Tensor  # (2,) float64, the middle of one cell
    centres: Tensor  # (n, 2) long, middles in the exemplar
    salience: Tensor  # (n,) how much each differs from those most like it, 1 on average
    likeness: Tensor  # (n, n) 1 for the same colours, 0 for other ones

    def number(self, at: Tensor) -> Tensor:
        """Return by how many vectors (..., 2) the cells that hold positions (..., 2) are off the first."""
        index: Tensor = ((at.double() - self.phase) @ torch.linalg.inv(self.vectors)).round().long()
        return index

    def gauge(self, offset: Tensor) -> Tensor:
        """Measure how far offsets (..., 2) from a middle are on the way to the outline, 1 on it."""
        far: Tensor = (offset.double() @ self.normals.T).abs().amax(-1)
        return far


_NONE = torch.zeros(0, 2, dtype=torch.long), torch.zeros(0), torch.zeros(0, 0)


def find_cells(image: Tensor, valid: Tensor, lattice: Lattice) -> Cells | None:
    """Find the cells of `image` (3, h, w) in [0, 1]; None without anything that varies between like outlines.

    valid: (h, w) bool, where the texture may be taken from.
    """
    if not all(lattice.distinct):
        return None
    smooth = box_mean(image[None], 1)[0]
    given = _best_outline(smooth, lattice.vectors)
    if given is None or given.everywhere < VARIED * float(smooth.var((1, 2)).sum()):
        return None
    # The lattice of what repeats may be that of four bricks.
    score, best = self_correlation(image[None]), given
    while (finer := _smallest(smooth, best, score, lattice.confidence)).area < 0.99 * best.area:
        best = finer
    if best.relative > PLAIN:
        return None
    cells = best.cells
    corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0]) for n in valid.shape))
    index = cells.number(corners)
    spans = [torch.arange(int(i.min()) - 1, int(i.max()) + 2) for i in index.T]
    centres = (cells.phase + torch.cartesian_prod(*spans).double() @ cells.vectors).round().long()
    ring = outline(cells.normals).round().long()
    spots = centres[:, None] + ring
    inside = ((spots >= 0) & (spots < torch.tensor(valid.shape))).all(-1)
    spots = spots.clamp_min(0).minimum(torch.tensor(valid.shape) - 1)
    whole = (inside & valid[spots[..., 0], spots[..., 1]]).all(1)
    centres = centres[whole]
    if len(centres) < LEAST_CELLS:
        return None
    salience, likeness = _compare(image, centres, cells.normals)
    return replace(cells, centres=centres, salience=salience, likeness=likeness)


def _smallest(smooth: Tensor, given: "_Outline", score: Tensor, confidence: float) -> "_Outline":
    """Find the smallest cells among the given ones and equal parts of them.

    The less clear an outline, the more the texture must be like itself from one to the next. score:
    self-correlation. confidence: of the given lattice, the correlation along its vectors.
    """
    outlines = [o for basis in _finer(given.cells.vectors) if (o := _best_outline(smooth, basis))]
    known = given.area * MANY <= smooth[0].numel()  # else how much large cells differ is a guess
    good = []
    for o in outlines:
        like = _correlation(score, o.cells.vectors) / confidence
        # If small cells differ more than large ones, their order means something.
        random = o.everywhere <= RANDOM * given.everywhere or not known
        clear = o.relative <= like or (known and o.relative <= CLEARER * given.relative)
        if random and clear and (known or o is outlines[0] or like >= LIKE or o.relative <= SHARP):
            good.append(o)
    least = min((o.area for o in good), default=math.inf)
    small = [o for o in good if o.area <= 1.01 * least]
    return min(small, key=lambda o: o.relative, default=given)


def _correlation(score: Tensor, vectors: Tensor) -> float:
    """Look up the least correlation between a cell and those around it."""
    heights = []
    for step in (vectors[0], vectors[1], vectors[0] + vectors[1], vectors[0] - vectors[1]):
        row, column = (n // 2 + round(v) for n, v in zip(score.shape, step.tolist(), strict=True))
        near = score[max(row - NEAR, 0) : row + NEAR + 1, max(column - NEAR, 0) : column + NEAR + 1]
        heights.append(float(near.max()) if near.numel() else 0.0)
    return min(heights)


def _finer(vectors: Tensor) -> list[Tensor]:
    """List a lattice and those that have up to four cells in one of its own."""
    result = []
    for rows, columns in ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1), (2, 2)):
        for shift in range(columns):
            basis = torch.tensor([[columns, shift], [0, rows]], dtype=torch.float64)
            result.append(_reduced(torch.linalg.solve(basis, vectors)))
    return result


def _reduced(vectors: Tensor) -> Tensor:
    """Choose the shortest vectors of a lattice (Lagrange and Gauss)."""
    first, second = sorted(vectors, key=lambda v: float(v.norm()))
    while True:
        second = second - (second @ first / first.square().sum()).round() * first
        if float(second.norm()) >= 0.999 * float(first.norm()):
            return torch.stack([first, second])
        first, second = second, first


@dataclass(frozen=True)
class _Outline:
    """An outline, and how much the texture changes along it from a cell to the next ones."""

    cells: Cells
    area: float
    change: float  # Variance
    everywhere: float  # That of the whole cell

    @property
    def relative(self) -> float:
        """The one over the other."""
        return self.change / max(self.everywhere, 1e-12)


def _best_outline(smooth: Tensor, vectors: Tensor) -> _Outline | None:
    """Find the outline along which cells are most alike; None if they are too small."""
    area = float(torch.linalg.det(vectors).abs())
    if area < LEAST_PX**2:
        return None
    change = _folded_change(smooth, vectors)
    everywhere = float(change.mean().clamp_min(1e-9))
    phases = torch.cartesian_prod(*[torch.arange(BINS, dtype=torch.float64) / BINS] * 2)
    best: _Outline | None = None
    for normals in _shapes(vectors):
        points = outline(normals)
        radii = points.norm(dim=1)
        if float(radii.min()) * 2 < LEAST_PX or float(radii.max()) > SLIVER * float(radii.min()):
            continue
        index = ((phases[:, None] + points @ torch.linalg.inv(vectors)) * BINS).round().long() % BINS
        along = change[index[..., 0], index[..., 1]]
        # The worst half of eight arcs: a narrow rectangle hides its ends.
        arcs = torch.stack([arc.mean(1) for arc in along.tensor_split(8, 1)], 1)
        changes = arcs.topk(4, 1).values.mean(1)
        least = int(changes.argmin())
        lowest = float(changes[least])
        if best is None or lowest < best.change:
            cells = Cells(vectors, normals, phases[least] @ vectors, *_NONE)
            best = _Outline(cells, area, lowest, everywhere)
    return best


def _folded_change(smooth: Tensor, vectors: Tensor) -> Tensor:
    """Measure by phase how much the texture differs from cell to cell, (BINS, BINS) variances."""
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in smooth.shape[1:])
    places = torch.stack(torch.broadcast_tensors(rows[:, None], columns[None]), -1)
    index = ((places @ torch.linalg.inv(vectors)) * BINS).floor().long() % BINS
    flat = (index[..., 0] * BINS + index[..., 1]).flatten()
    values = smooth.flatten(1)
    sums = torch.zeros(len(values) + 2, BINS * BINS)
    sums.index_add_(1, flat, torch.cat([values, values.square().sum(0)[None], torch.ones(1, len(flat))]))
    reach = round(0.75 * BINS / math.sqrt(float(torch.linalg.det(vectors).abs())))  # so that none is empty
    near = F.avg_pool2d(F.pad(sums.view(1, -1, BINS, BINS), (reach,) * 4, mode="circular"), 2 * reach + 1, 1)[
        0
    ]
    mean = near[:-1] / near[-1].clamp_min(1e-6)
    cells = max(len(flat) / float(torch.linalg.det(vectors).abs()), 1.5)
    return (mean[-1] - mean[:-1].square().sum(0)) * (cells / (cells - 1))  # free from bias


def _shapes(vectors: Tensor) -> list[Tensor]:
    """List outlines that fill the plane: rows or columns of rectangles, parallelograms, and hexagons."""
    span = torch.arange(-3, 4, dtype=torch.float64)
    combos = torch.cartesian_prod(span, span)
    steps = combos[combos.any(1)] @ vectors
    lengths, area = steps.norm(dim=1), float(torch.linalg.det(vectors).abs())
    shapes = [2 * torch.linalg.inv(vectors).T]
    for axis in (0, 1):
        along = lengths.where(steps[:, 1 - axis].abs() <= ALIGNED * lengths, torch.inf)
        if bool(along.isfinite().any()):
            side = float(along.min())
            sides = torch.tensor([side, area / side] if axis == 0 else [area / side, side]).double()
            shapes.append(torch.diag(2 / sides))
    shapes.append(2 * steps / lengths[:, None].square())
    return shapes


def outline(normals: Tensor) -> Tensor:
    """Walk around an outline in steps of about STRIDE pixels, (T, 2) offsets from its middle."""
    angle = torch.linspace(0, 2 * torch.pi, 2049, dtype=torch.float64)[:-1]
    way = torch.stack([angle.sin(), angle.cos()], 1)
    points = way / (way @ normals.T).abs().amax(1, keepdim=True)
    steps = (points.roll(-1, 0) - points).norm(dim=1).cumsum(0)
    count = max(int(steps[-1] / STRIDE), 16)
    at = torch.searchsorted(steps, torch.arange(count, dtype=torch.float64) / count * steps[-1])
    return points[at.clamp_max(len(points) - 1)]


def _compare(image: Tensor, centres: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Compare the colours of nine places in each cell. Returns salience (n,) and likeness (n, n)."""
    ring = outline(normals)
    eight = ring[torch.arange(8) * len(ring) // 8] * 0.5
    radius = max(round(float(ring.norm(dim=1).min()) / 4), 1)
    smooth = box_mean(image[None], radius)[0]
    spots = (centres[:, None] + torch.cat([eight, eight[:1] * 0])).round().long()
    spots = spots.clamp_min(0).minimum(torch.tensor(image.shape[1:]) - 1)
    colours = smooth[:, spots[..., 0], spots[..., 1]].permute(1, 2, 0).flatten(1)
    distance = torch.cdist(colours, colours)
    rank = min(1 + max(round(0.1 * len(centres)), 1), len(centres))
    rarity = distance.kthvalue(rank, 1).values
    usual = rarity.median().clamp_min(1e-6)
    strength = (rarity / usual).square().clamp(0.25, MOST)
    return strength / strength.mean(), torch.exp(-0.5 * (distance / usual).square()).double()
