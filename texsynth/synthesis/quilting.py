"""Image quilting in source coordinates (Efros and Freeman 2001), exhaustive by FFT.

What is laid are positions in the atlas, not colours, so masks, sibling maps and later refinement follow. The
squared error of a block at every position of the atlas is a sum of correlations, so one block costs a few
FFTs of the atlas's size instead of a scan, whatever is known around it: raster order, a torus, a hole, or a
block laid again over a bad seam are all the same step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice, phase_error
from texsynth.ops.resample import box_mean, box_sum
from texsynth.synthesis.exemplar import Atlas, Exemplar, build_atlas, free_squares
from texsynth.synthesis.matching import PartErrors, Spectra
from texsynth.synthesis.nearness import shown_nearby, twins
from texsynth.synthesis.seams import keep_old, seam_cost

Place = tuple[Tensor, Tensor]  # Rows (n, 1) and columns (1, m) of a rectangle of the canvas

CLOSING_PHASE = 3.0
"""Pixels by which a block that closes a gap may be out of phase: its joints are seen beside those around."""

SIZES = (1.0, 0.7, 0.5, 0.35)  # Blocks of the refinement, as shares of those of the first layout

TWIN_PENALTY = 100.0
"""Penalty of a block beside its own mirror image, in units of the median error: the last resort."""

RANKED = 8192  # Errors among which the median is looked for


@dataclass(frozen=True)
class QuiltSettings:
    """Sizes in pixels; see PatchSettings for the rest."""

    block: int
    overlap: int
    tolerance: float
    occurrence: float
    phase: float = 0.3
    """Penalty of a block that is out of the lattice's phase, in units of the median error."""
    guide: float = 2.0
    tries: int = 6
    wrap: bool = False
    draws: int = 2  # Orientations, drawn anew for each block, in which it is looked for
    near: float = 0.0
    """Penalty of showing again what is shown nearby, in units of a good error."""
    reach: float = 0.0
    """Distance in pixels at which that penalty has fallen to a half."""
    closing: bool = False
    """Try blocks from all over the atlas, for those that close a gap have to fit on all sides."""


class Quilt:
    """A canvas of source positions that blocks are laid on."""

    def __init__(
        self,
        atlas: Atlas,
        size: tuple[int, int],
        settings: QuiltSettings,
        rng: torch.Generator,
        *,
        lattice: Lattice | None = None,
        guide: Tensor | None = None,
        salience: Tensor | None = None,
        phases: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Start empty, `size` rows and columns.

        guide: (g, H, W), values for the atlas's guide channels. salience: (n,) of the untouched positions,
        how much each stands out, 1 on average; None for all alike. phases: by how much each part of the atlas
        must be moved to lie on the first one, for a lattice.
        """
        self.atlas, self.settings, self.rng, self.lattice, self.guide = atlas, settings, rng, lattice, guide
        self.at = torch.zeros(2, *size, dtype=torch.long)
        self.image = torch.zeros(atlas.image.shape[0], *size)
        self.known = torch.zeros(size, dtype=torch.bool)
        self.used = torch.zeros(int(atlas.origin.max()) + 1)  # By untouched positions, in any orientation
        self._origin: tuple[int, int] | None = None
        self.fixed = torch.zeros(size, dtype=torch.bool)
        # True where a fit counts: everywhere, or around what is not fixed.
        self._near = torch.ones(size, dtype=torch.bool)
        self._colour = Spectra(atlas.image, atlas.parts)
        self._guide = Spectra(atlas.guide, atlas.parts) if guide is not None else None
        self._used = [n for n in range(len(atlas.parts)) if bool(atlas.part(atlas.valid, n).any())]
        self._orientations = max(part.orientation for part in atlas.parts) + 1
        # By column of the atlas, for its parts stand side by side.
        self._orientation = torch.zeros(atlas.valid.shape[1], dtype=torch.long)
        for part in atlas.parts:
            self._orientation[part.left : part.left + part.size[1]] = part.orientation
        # The inverse of how often each position should be used.
        weight = (1 / atlas.share.clamp_min(1e-6)).where(atlas.valid, torch.zeros(()))
        self.use_weight = torch.zeros(len(self.used))
        self.use_weight[atlas.origin[atlas.valid]] = weight[atlas.valid]
        self.salience = torch.ones(len(self.used)) if salience is None else salience
        self._distinct = atlas.valid.sum() / self._orientations
        self._free: dict[tuple[int, int], Tensor] = {}
        self._phases = phases or [(0, 0)] * len(atlas.parts)

    def fix(self, at: Tensor, known: Tensor, fixed: Tensor | None = None) -> None:
        """Lay source positions (2, H, W) where `known` (H, W) is True, for good where `fixed` is: everywhere.

        A lattice is then in their phase.
        """
        fixed = known if fixed is None else fixed
        self.fixed |= fixed
        reach = self.settings.block // 2
        self._near = box_mean((~fixed).float(), reach) > 0
        if bool(known.any()):
            row, column = known.nonzero()[0].tolist()
            self._origin = (int(at[0, row, column]) - row, int(at[1, row, column]) - column)
        self.at, self.known = torch.where(known, at, self.at), self.known | known
        self.image = torch.where(known, self.atlas.image[:, at[0], at[1]], self.image)

    def known_share(self, top: int, left: int) -> float:
        """Return the share of the block at (top, left) that has been laid."""
        return float(self.known[self._window(top, left, self.settings.block)].float().mean())

    def reaches(self, region: Tensor, top: int, left: int) -> bool:
        """Tell whether the block at (top, left) has any pixel of a region (H, W)."""
        return bool(region[self._window(top, left, self.settings.block)].any())

    def place_block(self, top: int, left: int) -> None:
        """Draw blocks that nearly fit best at (top, left), and join one of them to what is known there."""
        here = self._window(top, left, self.settings.block)
        known = self.known[here] & self._near[here]
        errors = self._errors((top, left), known, self._colours(here), self.settings.block)
        if self.settings.closing:
            chance = torch.rand(errors.errors.shape, generator=self.rng)
            errors = replace(errors, errors=errors.errors * (1 + self.settings.tolerance * chance))
            corners = errors.best(self.settings.tries)
        else:
            most = errors.errors.min() + self.settings.tolerance * errors.least
            good = (errors.errors <= most + 1e-9).nonzero()
            drawn = good[torch.randperm(len(good), generator=self.rng)[: self.settings.tries]]
            corners = errors.corners(drawn)
        self._join(here, corners, self.settings.overlap)

    def refine(self, rounds: int, on_round: Callable[[int], None] | None = None) -> None:
        """Lay blocks again over the worst seams, of changing sizes; only what makes them better stays.

        The idea of sub-patch refinement (Kwatra et al. 2003, section 3).
        """
        retry_penalty = torch.ones(self.known.shape)
        cost = torch.zeros(self.known.shape)
        self._refresh(cost, (0, 0), max(self.known.shape))
        for done in range(rounds):
            size = max(round(self.settings.block * SIZES[done % len(SIZES)]), 2)
            overlap = max(2, min(round(size * 0.4), self.settings.overlap))
            sums = box_sum(cost * retry_penalty, max(size - overlap, 1), wrap=self.settings.wrap)
            worst = int(sums.argmax())
            if float(sums.flatten()[worst]) <= 0:
                return
            corner = [worst // sums.shape[1] - overlap // 2, worst % sums.shape[1] - overlap // 2]
            if not self.settings.wrap:
                corner = [max(0, min(c, n - size)) for c, n in zip(corner, self.known.shape, strict=True)]
            here = self._window(corner[0], corner[1], size)
            ring = self.known[here] & self._near[here]
            ring[overlap:-overlap, overlap:-overlap] = False
            errors = self._errors((corner[0], corner[1]), ring, self._colours(here), size)
            if not self._join(here, errors.best(self.settings.tries), overlap, only_better=True):
                retry_penalty[here] *= 0.6  # elsewhere first
            else:
                self._refresh(cost, (corner[0] - 1, corner[1] - 1), size + 1)
            if on_round:
                on_round(done + 1)

    def _join(self, here: Place, corners: Tensor, overlap: int, *, only_better: bool = False) -> bool:
        """Join the block at `corners` (K, 2) whose seams are least visible into the square `here`.

        only_better: leave things as they are unless seams become less visible. Returns whether it was laid.
        """
        size = here[0].shape[0]
        span = torch.arange(size)
        grid = torch.stack([span[:, None].expand(size, size), span[None].expand(size, size)])
        known, old, old_at = self.known[here] | self.fixed[here], self._colours(here), self._at(here)
        blocks = corners[:, :, None, None] + grid
        fresh = self.atlas.image[:, blocks[:, 0], blocks[:, 1]].transpose(0, 1)
        keep = keep_old((fresh - old).square().sum(1), known, overlap) | self.fixed[here]
        at = torch.where(keep[:, None], old_at, blocks)
        image = torch.where(keep[:, None], old, fresh)
        best = 0
        if only_better:
            laid = torch.cat([self.known[here][None], torch.ones_like(keep)])
            totals = self._totals(here, torch.cat([old_at[None], at]), torch.cat([old[None], image]), laid)
            best = int(totals.argmin()) - 1
            if best < 0:
                return False
        elif len(corners) > 1:
            best = int(self._totals(here, at, image, torch.ones_like(keep)).argmin())
        self._count_use(old_at, known & ~keep[best], -1.0)
        self._count_use(blocks[best], ~keep[best], 1.0)
        self.at[:, here[0], here[1]], self.image[:, here[0], here[1]] = at[best], image[best]
        self.known[here] = True
        return True

    def _at(self, here: Place) -> Tensor:
        return self.at.index_select(1, here[0][:, 0]).index_select(2, here[1][0])

    def _colours(self, here: Place) -> Tensor:
        return self.image.index_select(1, here[0][:, 0]).index_select(2, here[1][0])

    def _cost(self, here: Place) -> Tensor:
        """Measure the seam cost between the pixels of a place that have been laid."""
        return seam_cost(self.atlas, self._colours(here), self._at(here), self.known[here])

    def _totals(self, here: Place, at: Tensor, image: Tensor, laid: Tensor) -> Tensor:
        """Sum the costs of K ways to lay a square, with its joins to what is around: seams and the guide.

        at: (K, 2, b, b) source positions, image: (K, C, b, b), laid: (K, b, b) bool. Returns (K,) float64.
        """
        size, (height, width) = here[0].shape[0], self.known.shape
        around = self._window(int(here[0][0, 0]) - 1, int(here[1][0, 0]) - 1, size + 2)
        # Where each of these pixels lies in the square; from `size` on it lies outside.
        row, column = (around[0] - here[0][0]) % height, (around[1] - here[1][0, 0]) % width
        inside = (row < size) & (column < size)
        row, column = row[:, 0].clamp_max(size - 1), column[0].clamp_max(size - 1)

        def side_by_side(square: Tensor, rest: Tensor) -> Tensor:
            # Each followed by a column that nothing is laid in: many small sums take long.
            whole = F.pad(
                torch.where(inside, square.index_select(-2, row).index_select(-1, column), rest), (0, 1)
            )
            return whole.movedim(0, -2).flatten(-2)

        cost = seam_cost(
            self.atlas,
            side_by_side(image, self._colours(around)),
            side_by_side(at, self._at(around)),
            side_by_side(laid, self.known[around]),
        )
        seams = cost.unflatten(1, (len(at), -1))[:, :, :-1].transpose(0, 1).flatten(1)
        totals: Tensor = seams.sum(1).double()
        if self.guide is not None:
            shown = self.atlas.guide[:, at[:, 0], at[:, 1]].transpose(0, 1)
            apart = (shown - self.guide[:, here[0], here[1]]).square().flatten(1)
            totals += self.settings.guide * apart.sum(1).double()
        return totals

    def _errors(self, corner: tuple[int, int], known: Tensor, old: Tensor, size: int) -> "PartErrors":
        """Compute the penalised errors of the source positions in a draw of the parts of the atlas."""
        parts = self._draw()
        allowed = torch.stack([self._allowed(number, size) for number in parts])
        error = torch.zeros(allowed.shape)
        if bool(known.any()):
            error = self._colour.errors(parts, old, known.float(), size)
        if self._guide is not None and self.guide is not None:
            here = self._window(*corner, size)
            weight = self.settings.guide * max(float(known.float().mean()), 0.5)
            target = self.guide[:, here[0], here[1]]
            error = error + weight * self._guide.errors(parts, target, torch.ones(size, size), size)
        error = error.masked_fill(~allowed, torch.inf)
        # Penalties are in units of errors that occur: the median, and one that few positions stay below.
        least, typical, good = error.min().clamp_min(0), torch.ones(()), torch.ones(())
        if bool(known.any()):
            fits = error[allowed]  # of which a few thousand are enough
            ranked = fits[:: -(-len(fits) // RANKED)].sort().values
            typical, good = ranked[len(ranked) // 2] + 1e-9, ranked[len(ranked) // 50] + 1e-9
        if self.lattice is not None:
            if self._origin is None:
                # The first block goes where it fits a guide, else anywhere.
                places = (allowed & (error <= error.min())).nonzero() if self._guide else allowed.nonzero()
                place = places[int(torch.randint(len(places), (), generator=self.rng))].tolist()
                shift = self._phases[parts[place[0]]]
                self._origin = (place[1] + shift[0] - corner[0], place[2] + shift[1] - corner[1])
            for row, number in enumerate(parts):
                dy, dx = self._phases[number]
                origin = (self._origin[0] - dy, self._origin[1] - dx)
                out = phase_error(self.lattice, error.shape[1:], corner, origin)
                error[row] += self.settings.phase * typical * (out - 1).clamp(0, 4).square()
                in_phase = error[row].isfinite() & (out <= CLOSING_PHASE)
                if self.settings.closing and bool(in_phase.any()):
                    error[row].masked_fill_(~in_phase, torch.inf)
        if self._orientations > 1 and bool(self.known.any()):
            around = self._window(corner[0] - size // 2, corner[1] - size // 2, 2 * size)
            at = self.at[:, around[0], around[1]][:, self.known[around]]
            shown, orientation = self.atlas.origin[*at], self._orientation[at[1]]
            for row, number in enumerate(parts):
                turned = orientation != self.atlas.parts[number].orientation
                if bool(turned.any()):
                    bad = twins(shown, turned, self.atlas.part(self.atlas.origin, number), size)
                    error[row, : bad.shape[0], : bad.shape[1]] += TWIN_PENALTY * typical * bad
        if bool(self.known.any()) and (self.settings.occurrence or self.settings.near):
            level = self.known.sum() / self._distinct
            spent = self.settings.occurrence / (level + 0.5) * self.used * self.use_weight
            if self.settings.near:
                near = shown_nearby(
                    self.at, self.known, self.atlas.origin, corner, size,
                    self.settings.reach, wrap=self.settings.wrap,
                )  # fmt: skip
                # About its mean, so that what stands out is kept apart but used as often as the rest.
                spent = spent + self.settings.near * self.salience * (near - near.mean())
            spent = spent * (good / size**2)
            for row, number in enumerate(parts):
                shown = box_sum(spent[self.atlas.part(self.atlas.origin, number)], size)
                error[row, : shown.shape[0], : shown.shape[1]] += shown
        return PartErrors(error, [self.atlas.parts[number].left for number in parts], float(least))

    def _draw(self) -> list[int]:
        """Draw orientations; return the numbers of the parts in them that may be used."""
        drawn = torch.randperm(self._orientations, generator=self.rng)[: self.settings.draws].tolist()
        return [number for number in self._used if self.atlas.parts[number].orientation in drawn]

    def _allowed(self, number: int, size: int) -> Tensor:
        """Mark the top left corners of the blocks that a part holds whole, padded to those of the largest."""
        if (number, size) not in self._free:
            free = free_squares(self.atlas.part(self.atlas.valid, number), size)
            largest = (n - size + 1 for n in self._colour.size)
            rows, columns = (n - m for n, m in zip(largest, free.shape, strict=True))
            self._free[number, size] = F.pad(free, (0, columns, 0, rows))
        return self._free[number, size]

    def _count_use(self, at: Tensor, where: Tensor, amount: float) -> None:
        rows, columns = at[:, where]
        index = self.atlas.origin[rows, columns]
        self.used.index_add_(0, index, torch.full((len(index),), amount))

    def _window(self, top: int, left: int, size: int) -> Place:
        """Return the rows and columns of a square, around the torus or cut off at the border."""
        sides = []
        for start, length in zip((top, left), self.known.shape, strict=True):
            index = start + torch.arange(size)
            sides.append(index % length if self.settings.wrap else index[(index >= 0) & (index < length)])
        return sides[0][:, None], sides[1][None]

    def _refresh(self, cost: Tensor, corner: tuple[int, int], size: int) -> None:
        """Write the seam cost of a square into `cost` (H, W); it takes one row and column more to know."""
        height, width = (min(size, n) for n in self.known.shape)
        here = self._window(*corner, size)
        here = here[0][:height], here[1][:, :width]
        more = self._window(*corner, size + 1)
        more = more[0][: height + 1], more[1][:, : width + 1]
        cost[here] = self._cost(more)[: here[0].shape[0], : here[1].shape[1]]


def block_corners(size: tuple[int, int], block: int, overlap: int, *, wrap: bool) -> list[tuple[int, int]]:
    """List the top left corners of blocks that cover `size`, row by row."""
    tops, lefts = (_starts(n, block, overlap, wrap=wrap) for n in size)
    return [(top, left) for top in tops for left in lefts]


def _starts(length: int, block: int, overlap: int, *, wrap: bool) -> list[int]:
    """Spread blocks evenly along a side, so that the last one ends where the picture does."""
    step = max(block - overlap, 1)
    if wrap:
        count = max(-(-length // step), 1)
        return [round(i * length / count) for i in range(count)]
    if length <= block:
        return [0]
    count = -(-(length - block) // step)
    return [round(i * (length - block) / count) for i in range(count + 1)]


def image_quilting(
    exemplar: Tensor, size: tuple[int, int], block: int, overlap: int, tolerance: float, rng: torch.Generator
) -> Tensor:
    """Run Efros and Freeman's algorithm as published: (1, 3, h, w) in [0, 1] to (1, 3, rows, columns)."""
    settings = QuiltSettings(block, overlap, tolerance, occurrence=0.0, tries=1)
    least = max(size[0], block), max(size[1], block)
    quilt = Quilt(build_atlas([Exemplar(exemplar)]), least, settings, rng)
    for top, left in block_corners(size, block, overlap, wrap=False):
        quilt.place_block(top, left)
    return quilt.image[None, :, : size[0], : size[1]]


def quilting(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Quilt blocks of 0.28 of the shorter side, which overlap by a sixth (Efros and Freeman 2001)."""
    block = max(4, round(0.28 * min(exemplar.shape[2:])))
    return image_quilting(exemplar, size, block, max(2, round(block / 6)), 0.1, rng)
