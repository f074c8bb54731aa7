"""Corner tiles: a set of 16 that makes any number of layouts without a repetition.

Every corner of a tile has one of two colours (Lagae and Dutré 2006, "An alternative for Wang tiles"). A
colour stands for one place of the exemplar, so tiles that meet at corners of equal colours show the same
there; an edge is laid once for each pair of colours at its ends, and both tiles beside it hold half of it.
The 16 tiles are all combinations; with random colours on a grid of corners there is a tile for every place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from texsynth.analysis.lattice import (
    MIN_CONFIDENCE,
    Lattice,
    most_likely_lattice,
    phase_error,
    relative_change,
    snap_to_torus,
)
from texsynth.config.expand_rules import MIN_SIDE
from texsynth.config.map_settings import TilesetSettings
from texsynth.config.settings import PatchSettings
from texsynth.errors import InputError
from texsynth.ops.resample import box_mean
from texsynth.pipelines.patch_stage import Kept, PatchSpec, lay_out, vote_on_layout
from texsynth.pipelines.progress import OnStep, Step, parts, silent
from texsynth.pipelines.variety import atlas_salience
from texsynth.synthesis.exemplar import Atlas, Exemplar, build_atlas, free_squares
from texsynth.synthesis.gaps import spread_starts
from texsynth.synthesis.seams import seam_cost
from texsynth.synthesis.warp import warp_to_lattice

CORNERS = ((1, 1, 1, 0), (1, 1, 0, 1), (0, 1, 0, 0), (1, 0, 0, 0))
"""Colours of the upper left corners of 4 x 4 tiles on a torus that has every one of the 16 tiles once."""

SHARE = 0.5  # Default side of a tile over the exemplar's shorter side
NEAREST = 0.7, 1.4  # Sides among which one is chosen for a regular texture, over that
MISFIT = 0.01  # Relative change of a lattice that is not worth another size, nor resampling

CORNER = 0.3  # Half a corner's width over a tile's shorter side
OVERLAP = 0.12  # Width in which pieces inside of a tile are cut from its edges, over that
EDGE_ROUNDS = 0.5  # Blocks laid again around an edge, over those in a tile
DRAWN = 6  # Places among which a corner is chosen
AVOID = 0.25  # How strongly tiles avoid what others show, over how they avoid to repeat themselves
SHY = 3.0
"""How strongly edges avoid what stands out: as if shown so often before, for each unit of salience."""
AGAIN = 20.0  # How much more strongly for each unit of salience
CORE = 3  # Pixels beside an edge that all tiles at it have in common
STRIP = 0.6  # Largest height over the exemplar's free square of what an edge is laid in
FILLING = 50.0  # Time for filling the tiles, over that of laying all edges once
CHOICE = 0.7  # A block over that, as the patch stage has it


@dataclass(frozen=True)
class TileSet:
    """Sixteen tiles in one picture, as CORNERS says, which is itself a torus."""

    image: Tensor  # (1, 3, 4 h, 4 w) in [0, 1]
    siblings: tuple[Tensor, ...]  # Each (1, c, 4 h, 4 w)
    size: tuple[int, int]  # Rows and columns of a tile
    notes: tuple[str, ...] = ()  # Remarks for the user


Edges = dict[tuple[int, int], Tensor]
"""Source positions (2, n, m) around an edge, half of them on each side of it, by the colours of its first and
last corner."""


def tile_corners(number: int) -> tuple[int, int, int, int]:
    """Return the colours of a tile's corners: upper left, upper right, lower right, lower left."""
    row, column = divmod(number, 4)
    below, right = (row + 1) % 4, (column + 1) % 4
    return CORNERS[row][column], CORNERS[row][right], CORNERS[below][right], CORNERS[below][column]


NUMBERS = {tile_corners(number): number for number in range(16)}
"""Tiles by the colours of their corners."""


def assemble(tiles: Tensor, colours: Tensor) -> Tensor:
    """Lay tiles (C, 4 h, 4 w) on a grid of corners (n + 1, m + 1) of 0 and 1. Returns (C, n h, m w)."""
    height, width = (side // 4 for side in tiles.shape[1:])
    rows = []
    for upper, lower in zip(colours[:-1].tolist(), colours[1:].tolist(), strict=True):
        corners = zip(upper, upper[1:], lower[1:], lower, strict=False)
        places = [divmod(NUMBERS[each], 4) for each in corners]
        rows.append(
            torch.cat(
                [tiles[:, y * height : (y + 1) * height, x * width : (x + 1) * width] for y, x in places], 2
            )
        )
    return torch.cat(rows, 1)


@torch.no_grad()
def make_tileset(
    exemplar: Exemplar, settings: TilesetSettings, rng: torch.Generator, on_step: OnStep = silent
) -> TileSet:
    """Make the tiles of a texture and of its sibling maps. Raises InputError for too little to take from."""
    exemplar, size, lattice, notes = _fit_lattice(exemplar, settings)
    atlas = build_atlas([exemplar])
    plan = _Plan.of(atlas, size, lattice, settings.patch)
    laying, filling = parts(on_step, settings.corners, FILLING)
    across, down = plan.lay_edges(settings.corners, rng, laying)
    tiles: list[Tensor] = []
    # What stands out is noticed the second time, the rest is not.
    avoid = AVOID * (1 + AGAIN * atlas_salience(atlas, regular=True))
    used = torch.zeros_like(avoid)
    for number in range(16):
        upper_left, upper_right, lower_right, lower_left = tile_corners(number)
        at, known, fixed = plan.frame(
            across[upper_left, upper_right], across[lower_left, lower_right],
            down[upper_left, lower_left], down[upper_right, lower_right],
        )  # fmt: skip
        kept = Kept(at, known, fixed, plan.corners_inside, plan.block, plan.overlap)
        spec = PatchSpec(size, lattice=lattice, kept=kept, used=used)
        quilt = lay_out(atlas, spec, settings.patch, rng, silent)
        used = used + avoid * (quilt.used - used)
        tiles.append(vote_on_layout(atlas, quilt.at, settings.patch, rng, silent, wrap=False, fixed=fixed))
        filling(Step("tiles", number + 1, 16))
    planes = torch.cat([torch.cat(tiles[row : row + 4], 2) for row in range(0, 16, 4)], 1)[None]
    split = torch.split(planes, [3, *(s.shape[1] for s in exemplar.siblings)], 1)
    return TileSet(split[0].clamp(0, 1), tuple(split[1:]), size, notes)


def _fit_lattice(
    exemplar: Exemplar, settings: TilesetSettings
) -> tuple[Exemplar, tuple[int, int], Lattice | None, tuple[str, ...]]:
    """Choose the size of tiles, and bend the exemplar until its lattice closes over one."""
    height, width = exemplar.image.shape[2:]
    side = max(MIN_SIDE, round(SHARE * min(height, width)))
    size = (side, side) if settings.size is None else (settings.size[1], settings.size[0])
    lattice = None
    if settings.patch.lattice == "auto" and exemplar.mask is None:
        lattice = most_likely_lattice(exemplar.image)
    if lattice is None or lattice.confidence < MIN_CONFIDENCE:
        return exemplar, size, None, ()
    closed = snap_to_torus(lattice, size)
    if settings.size is None:
        low, high = (max(MIN_SIDE, round(share * side)) for share in NEAREST)
        # The nearest size that is good enough, or else the best.
        span = range(low, high + 1)
        sizes = sorted(product(span, span), key=lambda s: abs(s[0] - side) + abs(s[1] - side))
        least = torch.inf
        for other in sizes:
            snapped = snap_to_torus(lattice, other)
            change = torch.inf if snapped is None else relative_change(lattice, snapped)
            if change < least:
                least, closed, size = change, snapped, other
            if least <= MISFIT:
                break
    if closed is None:
        periods = " and ".join(f"{period:.0f}" for period in lattice.periods)
        note = (
            f"the texture repeats every {periods} px, which does not fit into tiles of {size[1]} x {size[0]} "
            f"pixels; choose a --size of whole periods"
        )
        return exemplar, size, None, (note,)
    if relative_change(lattice, closed) > MISFIT:
        exemplar = warp_to_lattice(exemplar, lattice, closed)
    return exemplar, size, closed, ()


@dataclass(frozen=True)
class _Plan:
    """Sizes in pixels, and what edges and tiles are laid from."""

    atlas: Atlas
    size: tuple[int, int]  # Rows and columns of a tile
    lattice: Lattice | None
    patch: PatchSettings
    corner: int  # Half the length of a corner along an edge
    half: int  # Half the height of what an edge is laid in
    overlap: int
    block: int

    @classmethod
    def of(
        cls, atlas: Atlas, size: tuple[int, int], lattice: Lattice | None, patch: PatchSettings
    ) -> "_Plan":
        """Choose sizes by those of a tile and the exemplar. Raises InputError for too large tiles."""
        square, side = atlas.largest_square(), min(size)
        corner, overlap = round(CORNER * side), max(2, round(OVERLAP * side))
        # One block shall reach from corner to corner where the exemplar allows it.
        block = max(size) - 2 * corner + 2 * overlap
        half = max(corner, min(round(block / CHOICE / 2), round(STRIP * square / 2)))
        if max(2 * half, 2 * corner + 1) > square:
            most = next(n for n in range(2 * square, 0, -1) if 2 * round(CORNER * n) < square)
            raise InputError(
                f"tiles of {size[1]} x {size[0]} pixels are too large for an exemplar with a free square of "
                f"{square}; choose a --size up to {most}x{most}, or give a larger exemplar"
            )
        return cls(atlas, size, lattice, patch, corner, half, overlap, block)

    @property
    def margin(self) -> int:
        """Pixels of an edge that a tile beside it begins with."""
        return min(self.overlap + CORE, self.corner)

    def lay_edges(self, tries: int, rng: torch.Generator, on_step: OnStep) -> tuple[Edges, Edges]:
        """Lay all edges between the best of some pairs of corners: those across, and those down."""
        best, unit, least = None, None, torch.inf
        salience = atlas_salience(self.atlas, regular=True)
        odd = oddness(self.atlas, self.margin) + salience[self.atlas.origin]
        for number in range(tries):
            corners = self._draw_corners(odd, rng)
            both: list[Edges] = [{}, {}]
            faults = torch.zeros(2)
            for edges, turned in zip(both, (False, True), strict=True):
                for ends in product((0, 1), (0, 1)):
                    at, seams = self._lay_edge([corners[end] for end in ends], salience, rng, turned=turned)
                    edges[ends] = at
                    faults += torch.tensor([seams, float(odd[at[0], at[1]].mean())])
            unit = faults.clamp_min(1e-6) if unit is None else unit
            if float((faults / unit).sum()) < least:
                best, least = (both[0], both[1]), float((faults / unit).sum())
            on_step(Step("edges", number + 1, tries))
        assert best is not None
        return best

    def _draw_corners(self, odd: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Draw two places of the exemplar, (2,) each, far from each other and in one phase of the lattice.

        They come back at every second corner, so of some places the one counts where least is `odd` (h, w).
        """

        def draw(places: Tensor) -> Tensor:
            some = places[torch.randint(len(places), (DRAWN,), generator=rng)]
            return some[odd[some[:, 0], some[:, 1]].argmin()]

        # A corner reaches equally far to both sides of its middle.
        side = max(2 * self.half, 2 * self.corner + 1)
        middles = free_squares(self.atlas.valid, side).nonzero() + self.half
        first = draw(middles)
        others = middles
        if self.lattice is not None:
            shape = self.atlas.valid.shape
            out = phase_error(self.lattice, shape, (0, 0), (int(first[0]), int(first[1])))
            in_phase = out[middles[:, 0], middles[:, 1]] <= 1
            others = middles[in_phase]
        away = (others - first).float().norm(dim=1)
        far = others[away >= min(2 * self.corner, 0.7 * float(away.max()))]
        return [first, draw(far)]

    def _lay_edge(
        self, ends: Sequence[Tensor], salience: Tensor, rng: torch.Generator, *, turned: bool
    ) -> tuple[Tensor, float]:
        """Lay what is around an edge from corner to corner. turned: downwards, not across.

        salience: (n,) of the untouched positions, above 0 where they stand out; such are avoided.

        Returns source positions (2, 2 margin, length) or (2, length, 2 margin), and the cost of the seams.
        """
        length, corner, margin = self.size[not turned], self.corner, self.margin
        span, height = length + 2 * corner, 2 * self.half
        rows, columns = torch.arange(height) - self.half, torch.arange(span) - corner
        second = columns > length // 2
        along = torch.where(second, columns - length, columns)
        shift = torch.stack(
            torch.broadcast_tensors(
                *((along[:, None], rows[None]) if turned else (rows[:, None], along[None]))
            )
        )
        line = (slice(None), None) if turned else (None, slice(None))
        at = torch.where(second[line], ends[1].view(2, 1, 1), ends[0].view(2, 1, 1)) + shift
        known, fixed = (
            (along.abs() < reach)[line].expand(at.shape[1:]) for reach in (corner + 1, margin + 1)
        )
        at = torch.where(known, at, 0)

        def places(block: int, overlap: int) -> list[tuple[int, int]]:
            starts = _inside(
                spread_starts(2 * corner - overlap, length + overlap, block, overlap), block, span
            )
            near = _inside(
                spread_starts(self.half - margin, self.half + margin, block, overlap), block, height
            )
            return [(a, b) if turned else (b, a) for a, b in product(starts, near)]

        kept = Kept(at, known, fixed, places, self.block, self.overlap)
        shape = (at.shape[1], at.shape[2])
        spec = PatchSpec(shape, lattice=self.lattice, kept=kept, used=SHY * salience)
        # Only what is near the edge will show.
        fewer = {"layouts": 1, "refine": EDGE_ROUNDS * self.patch.refine}
        quilt = lay_out(self.atlas, spec, self.patch.model_copy(update=fewer), rng, silent)
        inside = slice(corner, corner + length), slice(self.half - margin, self.half + margin)
        inside = inside if turned else inside[::-1]
        cost = seam_cost(self.atlas, quilt.image, quilt.at, quilt.known)[inside].sum()
        return quilt.at[:, inside[0], inside[1]], float(cost)

    def frame(
        self, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Put the edges around a tile. Returns positions (2, h, w), where they are, and where they stay."""
        (height, width), margin = self.size, self.margin
        at = torch.zeros(2, height, width, dtype=torch.long)
        at[:, :margin], at[:, height - margin :] = top[:, margin:], bottom[:, :margin]
        at[:, :, :margin], at[:, :, width - margin :] = left[:, :, margin:], right[:, :, :margin]
        y, x = (torch.minimum(torch.arange(n), n - 1 - torch.arange(n)) for n in (height, width))
        border = torch.minimum(y[:, None], x[None])
        return at, border < margin, border < CORE

    def corners_inside(self, block: int, overlap: int) -> list[tuple[int, int]]:
        """List the places of blocks that cover the inside of a tile."""
        rows, columns = (_inside(spread_starts(CORE, n - CORE, block, overlap), block, n) for n in self.size)
        return list(product(rows, columns))


def oddness(atlas: Atlas, radius: int) -> Tensor:
    """Measure how far the colours around every position are from the usual ones, (h, w), 1 on average.

    It is the squared distance of the mean of a square from that of the valid exemplar.
    """
    weight = atlas.valid.float()
    means = box_mean(atlas.image * weight, radius) / box_mean(weight, radius).clamp_min(1e-6)
    usual = (atlas.image * weight).sum((1, 2)) / weight.sum()
    distance = (means - usual.view(3, 1, 1)).square().sum(0)
    return distance / ((distance * weight).sum() / weight.sum()).clamp_min(1e-9)


def _inside(starts: Sequence[int], block: int, length: int) -> list[int]:
    """Move blocks into a line of `length` pixels."""
    return [max(0, min(start, length - block)) for start in starts]
