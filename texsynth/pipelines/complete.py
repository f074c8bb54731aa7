"""Completion of a picture of a texture: fill a hole in it, make its borders meet."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from texsynth.analysis.lattice import (
    MIN_CONFIDENCE,
    Lattice,
    closing_size,
    most_likely_lattice,
    snap_to_torus,
)
from texsynth.analysis.seamless import border_step, is_seamless
from texsynth.analysis.tile_advice import tile_advice
from texsynth.config.expand_rules import MIN_SIDE
from texsynth.config.settings import ExpandSettings
from texsynth.metrics.fit import misfit
from texsynth.ops.threads import one_thread
from texsynth.pipelines.candidates import best_of, cut_rate
from texsynth.pipelines.expand import Expanded, Networks, split_siblings
from texsynth.pipelines.feature_optimization import optimize
from texsynth.pipelines.orientations import piece_orientations
from texsynth.pipelines.patch_stage import (
    CLOSING_CHOICE,
    LAYING,
    VOTING,
    Kept,
    PatchSpec,
    elongation,
    lay_out,
    patch_stage,
    vote_on_layout,
)
from texsynth.pipelines.progress import OnStep, Step, parts, silent
from texsynth.synthesis.exemplar import Atlas, Exemplar, build_atlas, largest_square
from texsynth.synthesis.gaps import spread_starts, torus_corners
from texsynth.synthesis.hidden import paint_hidden
from texsynth.synthesis.warp import warp_to_lattice

HOLE_BLOCK = 1.6  # Blocks that fill a hole, over the largest square inside it

HOLE_OVERLAP = 0.25  # Share of such a block

FILL_BLOCKS = (1.0, 0.5, 0.7, 0.5)
"""Sides of the blocks of one fill after another, over the largest that can come from many places."""

BAND = 0.14
"""Share of the shorter side that `tile` may change along each border; its outer quarter is laid anew."""

RING = 0.75
"""Share of that band, from the inside, where old and new overlap; a narrower one is cut along its border."""

MAX_BEND = 0.2
"""Largest relative change of a length: from two periods on some whole number of them is as near."""

MISFIT = 0.75
"""Pixels by which a lattice may miss itself around a torus; more is bent, as it would show as a step."""

LAID_STEP = 1.5
"""Step across the borders of pictures that were laid anew, over those beside them; at most 1.4 in 40 of them,
and at least 1.9 in those that were left open."""

LOOKING = 1.0  # Time that the analysis of a picture takes, in the unit of LAYING and VOTING

ALREADY_SEAMLESS = "the picture is seamless already and was left as it is"


@torch.no_grad()
def fill(
    picture: Exemplar,
    hole: Tensor,
    settings: ExpandSettings,
    networks: Networks,
    *,
    rng: torch.Generator,
    on_step: OnStep = silent,
) -> Expanded:
    """Fill a hole: the texture goes on over it, everything else stays.

    The fill does not depend on what is in the hole or under the mask. hole: (1, 1, h, w), above 0.5 what is
    to be filled. settings: as `check_combination` allows them. Raises InputError when too little is left.
    """
    empty = hole[0, 0] > 0.5
    usable = ~empty if picture.mask is None else ~empty & (picture.mask[0, 0] > 0.5)
    looking, on_step = parts(on_step, LOOKING, LAYING + VOTING)
    source = paint_hidden(replace(picture, mask=usable[None, None].float()))
    lattice = _lattice(source, settings)
    looking(Step("analysis", 1, 2))
    side = min(empty.shape)
    block = max(round(HOLE_BLOCK * largest_square(empty, side)), MIN_SIDE)
    # Only what is near a hole can matter to it.
    rows, columns = (_around(empty.any(1 - dim), min(block, side)) for dim in (0, 1))
    at = _grid(rows, columns)
    known = usable[rows][:, columns]

    def corners(block: int, overlap: int) -> list[tuple[int, int]]:
        starts = []
        for dim, length in enumerate(known.shape):
            inside = (~known).any(1 - dim).nonzero()[:, 0]
            first, last = max(int(inside[0]) - overlap, 0), min(int(inside[-1]) + 1 + overlap, length)
            spread = spread_starts(first, last, block, overlap)
            starts.append([max(0, min(start, length - block)) for start in spread])
        return [(top, left) for top in starts[0] for left in starts[1]]

    atlas = _atlas(source, settings, lattice)
    looking(Step("analysis", 2, 2))
    block = min(block, max(round(CLOSING_CHOICE * atlas.largest_square()), MIN_SIDE))
    patch = settings.patch.model_copy(update={"layouts": 1})
    result, best, least = torch.cat([source.image, *source.siblings], 1)[0], None, torch.inf
    near = result[:, rows[:, None], columns]
    # What fits depends on how large things are beside the hole, which no single size of blocks serves.
    tries = 2 * settings.patch.layouts * settings.candidates
    *layouts, voting, polishing = parts(on_step, *[LAYING] * tries, VOTING, _polishing_time(settings))
    for number, laying in enumerate(layouts):
        side = max(round(FILL_BLOCKS[number % len(FILL_BLOCKS)] * block), MIN_SIDE)
        kept = Kept(at, known, known, corners, side, round(HOLE_OVERLAP * side))
        spec = PatchSpec((len(rows), len(columns)), lattice=lattice, kept=kept, variety=settings.variety)
        quilt = lay_out(atlas, spec, patch, rng, laying)
        # Before votes smooth it, for what is smooth fits everywhere.
        result[:3, rows[:, None], columns] = torch.where(known, near[:3], quilt.image)
        strange = misfit(result[None, :3], empty, usable)
        if strange < least:
            best, least = quilt.at, strange
    assert best is not None
    planes = vote_on_layout(atlas, best, patch, rng, voting, wrap=False, fixed=known)
    result[:, rows[:, None], columns] = torch.where(known, near, planes)
    image, notes = _polish(result[None, :3], source, settings, networks, rng, usable, polishing, wrap=False)
    result = torch.cat([image, result[None, 3:]], 1)
    result = torch.where(empty, result, torch.cat([picture.image, *picture.siblings], 1))
    return Expanded(result[:, :3].clamp(0, 1), split_siblings(result[:, 3:], picture), notes)


def as_it_is(picture: Exemplar) -> Expanded:
    """Return a seamless picture, with a note."""
    return Expanded(picture.image, picture.siblings, (ALREADY_SEAMLESS,))


def still_closes(picture: Exemplar, settings: ExpandSettings) -> bool:
    """Tell whether a picture that was made seamless before, as `is_seamless` may not see, needs nothing.

    Where it was left as it was, for its lattice, a larger step is at its borders.
    """
    height, width = picture.image.shape[2:]
    same = picture.mask is None and settings.size in (None, (width, height))
    return same and border_step(picture.image) <= LAID_STEP


@torch.no_grad()
def tile(
    picture: Exemplar,
    settings: ExpandSettings,
    networks: Networks,
    *,
    rng: torch.Generator,
    on_step: OnStep = silent,
) -> Expanded:
    """Make a picture seamless: a band along its borders is laid anew on the torus, the inside stays.

    The inside is cut where the band joins it best, on all sides alike. A lattice is bent until it closes.
    A picture that is seamless, or whose lattice cannot be bent so far, is left as it is, with a note.
    """
    own = (picture.image.shape[2], picture.image.shape[3])
    rows, columns = own if settings.size is None else (settings.size[1], settings.size[0])
    if picture.mask is None and (rows, columns) == own and is_seamless(picture.image):
        return as_it_is(picture)
    looking, on_step = parts(on_step, LOOKING, LAYING + VOTING)
    source = paint_hidden(picture)
    lattice = _lattice(source, settings)
    looking(Step("analysis", 1, 3))
    advice = tile_advice(source.image)
    looking(Step("analysis", 2, 3))
    if lattice is not None:
        closed = snap_to_torus(lattice, (rows, columns), MAX_BEND)
        if closed is not None and _misfit(lattice, closed, (rows, columns)) > MISFIT:
            source = warp_to_lattice(source, lattice, closed)
        if closed is None:
            fitting = closing_size(lattice, (rows, columns))
            advice = advice or (
                f"whole periods of the pattern do not fit into {columns} x {rows} pixels; give --size "
                f"{fitting[1]}x{fitting[0]}, or --set patch.lattice=off"
            )
            if (rows, columns) == own:
                return Expanded(picture.image, picture.siblings, (f"left as it is: {advice}",))
        lattice = closed
    height, width = source.image.shape[2:]
    shift = ((height - rows) // 2, (width - columns) // 2)
    at = _grid(torch.arange(rows) + shift[0], torch.arange(columns) + shift[1])
    inside = ((at >= 0) & (at < torch.tensor([height, width]).view(2, 1, 1))).all(0)
    at = at.clamp_min(0).minimum(torch.tensor([height - 1, width - 1]).view(2, 1, 1))
    if source.mask is not None:
        inside &= source.mask[0, 0][at[0], at[1]] > 0.5
    reach = max(4, round(BAND * min(rows, columns, height, width)))
    bands = [2 * reach + max(n - m, 0) for n, m in zip((rows, columns), (height, width), strict=True)]
    near = _border_distance(rows, columns)
    overlap = max(2, round(RING * reach))
    fixed, known = (
        inside & (near[0] >= -(-bands[0] // 2) - less) & (near[1] >= -(-bands[1] // 2) - less)
        for less in (0, overlap)
    )

    corners = partial(torus_corners, (rows, columns), bands)
    kept = Kept(at, known, fixed, corners, min(bands), overlap)
    spec = PatchSpec(
        (rows, columns), wrap=True, lattice=lattice, kept=kept,
        elongation=elongation(source.image), variety=settings.variety,
    )  # fmt: skip
    atlas = _atlas(source, settings, lattice)
    looking(Step("analysis", 3, 3))
    notes = () if advice is None else (advice,)

    def make(on_step: OnStep) -> Expanded:
        laying, polishing = parts(on_step, LAYING + VOTING, _polishing_time(settings))
        planes = patch_stage(atlas, spec, settings.patch, rng, laying)
        image, remarks = _polish(
            planes[None, :3], source, settings, networks, rng, fixed, polishing, wrap=True
        )
        siblings = split_siblings(planes[None, 3:], picture)
        return Expanded(image.clamp(0, 1), siblings, notes + remarks)

    rate = cut_rate([source], (rows, columns), networks.model) if settings.candidates > 1 else None
    half = (rows // 2, columns // 2)  # What is laid anew comes to the middle
    return best_of(
        settings.candidates,
        make,
        None if rate is None else lambda made: rate(made.image.roll(half, (2, 3))),
        on_step,
    )


@one_thread()
def _atlas(source: Exemplar, settings: ExpandSettings, lattice: Lattice | None) -> Atlas:
    return build_atlas([source], orientations=piece_orientations([source], settings, lattice))


@one_thread()
def _lattice(source: Exemplar, settings: ExpandSettings) -> Lattice | None:
    """Find the lattice of what is visible, if it is to be kept."""
    if settings.patch.lattice != "auto":
        return None
    lattice = most_likely_lattice(source.image, source.mask)
    return lattice if lattice is not None and lattice.confidence >= MIN_CONFIDENCE else None


def _misfit(lattice: Lattice, closed: Lattice, size: tuple[int, int]) -> float:
    """Return by how many pixels `lattice` misses itself around a torus of `size`, as `closed` does not."""
    change = torch.linalg.solve(lattice.vectors, closed.vectors) - torch.eye(2, dtype=torch.float64)
    return float((torch.tensor(size, dtype=torch.float64).diag() @ change).abs().amax())


def _polishing_time(settings: ExpandSettings) -> float:
    return LAYING + VOTING if "optimize" in settings.method else 0.0


def _polish(
    image: Tensor,
    source: Exemplar,
    settings: ExpandSettings,
    networks: Networks,
    rng: torch.Generator,
    fixed: Tensor,
    on_step: OnStep,
    *,
    wrap: bool,
) -> tuple[Tensor, tuple[str, ...]]:
    """Run the statistics stage on an image (1, 3, H, W) where the method names it."""
    if "optimize" not in settings.method:
        return image, ()
    result, notes = optimize(
        image, [source], networks.model, settings.optimize, rng, wrap=wrap, fixed=fixed, on_step=on_step
    )
    return torch.where(fixed, image, result), notes


def _around(marked: Tensor, margin: int) -> Tensor:
    """Return the numbers of the rows from the first to the last that is marked, (h,) bool, and around."""
    rows = marked.nonzero()[:, 0]
    return torch.arange(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, len(marked)))


def _grid(rows: Tensor, columns: Tensor) -> Tensor:
    return torch.stack(torch.broadcast_tensors(rows[:, None], columns[None]))


def _border_distance(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return how many rows (rows, 1) and columns (1, columns) lie between each and the nearer border."""
    y, x = (torch.minimum(torch.arange(n), n - 1 - torch.arange(n)) for n in (rows, columns))
    return y[:, None], x[None]
