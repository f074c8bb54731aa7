"""Image quilting in source coordinates (Efros and Freeman 2001), exhaustive by FFT.

What is laid are positions in the atlas, not colours, so masks, sibling maps and later refinement follow. The
squared error of a block at every position of the atlas is a sum of correlations, so one block costs a few
FFTs of the atlas's size instead of a scan, whatever is known around it: raster order, a torus, a hole, or a
block laid again over a bad seam are all the same step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice, phase_error
from texsynth.ops.resample import box_mean, box_sum
from texsynth.synthesis.exemplar import Atlas, Exemplar, build_atlas, free_squares
from texsynth.synthesis.seams import keep_old, seam_cost

Place = tuple[Tensor, Tensor]  # Rows (n, 1) and columns (1, m) of a rectangle of the canvas

CLOSING_PHASE = 3.0
"""Pixels by which a block that closes a gap may be out of phase: its joints are seen beside those around."""

SIZES = (1.0, 0.7, 0.5, 0.35)  # Blocks of the refinement, as shares of those of the first layout


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
    ) -> None:
        """Start empty, `size` rows and columns. guide: (g, H, W), values for the atlas's guide channels."""
        self.atlas, self.settings, self.rng, self.lattice, self.guide = atlas, settings, rng, lattice, guide
        self.at = torch.zeros(2, *size, dtype=torch.long)
        self.image = torch.zeros(atlas.image.shape[0], *size)
        self.known = torch.zeros(size, dtype=torch.bool)
        self.used = torch.zeros(atlas.valid.shape)
        self._origin: tuple[int, int] | None = None
        self.fixed = torch.zeros(size, dtype=torch.bool)
        # True where a fit counts: everywhere, or around what is not fixed.
        self._near = torch.ones(size, dtype=torch.bool)
        self._colour = _Spectra(atlas.image)
        self._guide = _Spectra(atlas.guide) if guide is not None else None
        # The inverse of how often each position should be used.
        self.use_weight = (1 / atlas.share.clamp_min(1e-6)).where(atlas.valid, torch.zeros(()))

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
            chance = torch.rand(errors.shape, generator=self.rng)
            drawn = self._best(errors * (1 + self.settings.tolerance * chance), self.settings.tries)
        else:
            good = (errors <= errors.min() * (1 + self.settings.tolerance) + 1e-9).nonzero()
            drawn = good[torch.randperm(len(good), generator=self.rng)[: self.settings.tries]]
        self._join(here, drawn, self.settings.overlap)

    def refine(self, rounds: int, on_round: Callable[[int], None] | None = None) -> None:
        """Lay blocks again over the worst seams, of changing sizes; only what makes them better stays.

        The idea of sub-patch refinement (Kwatra et al. 2003, section 3).
        """
        retry_penalty = torch.ones(self.known.shape)
        cost = torch.zeros(self.known.shape)
        self._refresh(cost, (0, 0), max(self.known.shape))
        for done in range(rounds):
            size = round(self.settings.block * SIZES[done % len(SIZES)])
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
            if not self._join(here, self._best(errors, self.settings.tries), overlap, only_better=True):
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
        known, old = self.known[here] | self.fixed[here], self._colours(here)
        blocks = corners[:, :, None, None] + grid
        fresh = self.atlas.image[:, blocks[:, 0], blocks[:, 1]].transpose(0, 1)
        keep = keep_old((fresh - old).square().sum(1), known, overlap) | self.fixed[here]
        before = (self.at[:, here[0], here[1]], old, known)
        best, least = None, self._total(here) if only_better else None
        laid, self.known[here] = known, True
        for number in range(len(corners) if len(corners) > 1 or only_better else 0):
            self._write(here, keep[number], blocks[number], fresh[number])
            cost = self._total(here)
            if least is None or cost < least:
                best, least = number, cost
            self._write(here, torch.zeros_like(known), *before[:2])
        self.known[here] = laid
        if best is None:
            if only_better:
                return False
            best = 0
        self._count_use(before[0], known & ~keep[best], -1.0)
        self._count_use(blocks[best], ~keep[best], 1.0)
        self._write(here, keep[best], blocks[best], fresh[best])
        self.known[here] = True
        return True

    def _write(self, here: Place, keep: Tensor, at: Tensor, image: Tensor) -> None:
        self.at[:, here[0], here[1]] = torch.where(keep, self.at[:, here[0], here[1]], at)
        self.image[:, here[0], here[1]] = torch.where(keep, self._colours(here), image)

    def _colours(self, here: Place) -> Tensor:
        return self.image[:, here[0], here[1]]

    def _cost(self, here: Place) -> Tensor:
        """Measure the seam cost between the pixels of a place that have been laid."""
        return seam_cost(self.atlas, self._colours(here), self.at[:, here[0], here[1]], self.known[here])

    def _total(self, here: Place) -> float:
        """Sum the cost of a square and its joins to the surroundings: seams and departures from the guide."""
        top, left, size = int(here[0][0, 0]), int(here[1][0, 0]), here[0].shape[0]
        cost = float(self._cost(self._window(top - 1, left - 1, size + 2)).sum())
        if self.guide is not None:
            guide = self.atlas.guide[:, *self.at[:, here[0], here[1]]]
            cost += self.settings.guide * float((guide - self.guide[:, here[0], here[1]]).square().sum())
        return cost

    def _errors(self, corner: tuple[int, int], known: Tensor, old: Tensor, size: int) -> Tensor:
        """Compute the penalised error of every source position; infinite where it is not allowed."""
        allowed = free_squares(self.atlas.valid, size)
        error = torch.zeros(allowed.shape)
        if bool(known.any()):
            error = self._colour.errors(old, known.float(), size)
        if self._guide is not None and self.guide is not None:
            here = self._window(*corner, size)
            weight = self.settings.guide * max(float(known.float().mean()), 0.5)
            target = self.guide[:, here[0], here[1]]
            error = error + weight * self._guide.errors(target, torch.ones(size, size), size)
        error = error.clamp_min(0).masked_fill(~allowed, torch.inf)
        typical, good = torch.ones(()), torch.ones(())
        if bool(known.any()):
            ranked = error[allowed].sort().values
            typical, good = ranked[len(ranked) // 2] + 1e-9, ranked[len(ranked) // 50] + 1e-9
        if self.lattice is not None:
            if self._origin is None:
                # The first block goes where it fits a guide, else anywhere.
                places = (allowed & (error <= error.min())).nonzero() if self._guide else allowed.nonzero()
                row, column = places[int(torch.randint(len(places), (), generator=self.rng))].tolist()
                self._origin = (row - corner[0], column - corner[1])
            out = phase_error(self.lattice, error.shape, corner, self._origin)
            error = error + self.settings.phase * typical * (out - 1).clamp(0, 4).square()
            in_phase = error.isfinite() & (out <= CLOSING_PHASE)
            if self.settings.closing and bool(in_phase.any()):
                error = error.masked_fill(~in_phase, torch.inf)
        if self.settings.occurrence and bool(self.known.any()):
            spent = box_sum(self.used * self.use_weight, size).float() / size**2
            level = self.known.sum() / self.atlas.valid.sum()
            error = error + self.settings.occurrence * good * spent / (level + 0.5)
        return error

    @staticmethod
    def _best(errors: Tensor, count: int) -> Tensor:
        """Pick the best source positions, none next to another, (K, 2)."""
        lowest = -F.max_pool2d(-errors[None, None], 5, 1, 2)[0, 0]
        places = ((errors <= lowest) & errors.isfinite()).nonzero()
        order = errors[places[:, 0], places[:, 1]].argsort()[:count]
        return places[order]

    def _count_use(self, at: Tensor, where: Tensor, amount: float) -> None:
        rows, columns = at[:, where]
        index = rows * self.used.shape[1] + columns
        self.used.view(-1).index_add_(0, index, torch.full((len(index),), amount))

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


class _Spectra:
    """Fourier transforms of planes and their squares, for errors at all positions."""

    def __init__(self, planes: Tensor) -> None:
        self.mean = planes.mean((1, 2), keepdim=True)  # smaller numbers, less rounding
        centred = planes - self.mean
        self.size = planes.shape[1:]
        self.plain = torch.fft.rfft2(centred)
        self.square = torch.fft.rfft2(centred.square().sum(0))

    def errors(self, target: Tensor, weight: Tensor, size: int) -> Tensor:
        """Sum weight * |atlas - target|^2 over a square at every position of its top left corner.

        target: (C, b, b), weight: (b, b). Returns (h - b + 1, w - b + 1). Positions inside do not wrap
        around, so circular correlation at the atlas's own size is exact.
        """
        centred = (target - self.mean) * weight
        stack = torch.fft.rfft2(torch.cat([centred, weight[None]]), s=self.size).conj()
        spectrum = stack[-1] * self.square - 2 * (stack[:-1] * self.plain).sum(0)
        sums: Tensor = torch.fft.irfft2(spectrum, s=self.size)
        own = (centred * (target - self.mean)).sum()
        return sums[: self.size[0] - size + 1, : self.size[1] - size + 1] + own


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
