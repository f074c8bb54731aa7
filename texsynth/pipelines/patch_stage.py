"""The patch-based stage of an expansion: quilt, lay again over bad seams, search and vote."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice
from texsynth.config.expand_rules import MIN_SIDE
from texsynth.config.settings import PatchSettings
from texsynth.ops.threads import one_thread
from texsynth.pipelines.progress import OnStep, Step, parts
from texsynth.pipelines.variety import atlas_salience, deal_cells, part_phases, varied_sizes
from texsynth.synthesis.exemplar import Atlas
from texsynth.synthesis.gaps import fullest_first
from texsynth.synthesis.patch_optimization import FixedPixels, optimization_parts, optimize_patches
from texsynth.synthesis.quilting import Quilt, QuiltSettings, block_corners
from texsynth.synthesis.seams import ROUNDS, seam_correction, seam_cost

LATTICE_OCCURRENCE = 1 / 12
"""Share of the penalty of what is used already that is enough on a lattice: more tears threads of a cloth."""

LATTICE_TOLERANCE = 0.05

HOLE_ROUNDS = 4
"""Rounds of search and vote in a hole for each elsewhere: its border cannot be cut, only voted over."""

LEAST_TRIES = 4  # Blocks tried at a place

CLOSING_TRIES = 16  # Blocks tried at each place where they have to fit on all sides

CLOSING_CHOICE = (
    0.7  # Largest block over the largest piece of the atlas, so that it can come from many places
)

CLOSING_OCCURRENCE = 0.1  # Share of that penalty where blocks have to fit on all sides

CLOSING_ROUNDS = 3  # Blocks laid again over bad seams for each one elsewhere

ENOUGH = 1.5
"""Elongation from which on blocks are larger, as a long narrow exemplar has more to choose from."""

LONG_BLOCK = 0.75  # Largest block of such an exemplar, as a share of its shorter side

LAYING, VOTING = 7.0, 2.5  # Times that the two halves of the stage take, in any unit

OVER_SEAMS = 1.4  # Time for as many blocks over bad seams as there are, over that of laying these

EVENING = 0.3  # Time that evening out steps of brightness takes, over that of the votes after it

USE_CELLS = 8  # Cells along each side of the exemplar among which its use is compared

SPREAD = 0.15
"""Distance over which brightness steps at seams are spread, as a share of the exemplar's side."""


@dataclass(frozen=True)
class Kept:
    """The part of an output that is laid before anything else: a picture with a hole or without borders."""

    at: Tensor  # (2, H, W) source positions
    known: Tensor  # (H, W) bool, where they are laid
    fixed: Tensor  # (H, W) bool, where nothing may be laid over them
    corners: Callable[[int, int], list[tuple[int, int]]]
    """Lists the top left corners of blocks that cover the rest, by the side of a block and its overlap."""
    block: int  # Side of a block in pixels, at most
    overlap: int  # Pixels, at most half a block


@dataclass(frozen=True)
class PatchSpec:
    """Specification of an output of the patch stage."""

    size: tuple[int, int]  # Rows and columns
    wrap: bool = False  # Make the output periodic
    lattice: Lattice | None = None  # Lattice to keep
    guide_target: Tensor | None = None  # (g, H, W), what the guide channels of the atlas should be
    kept: Kept | None = None
    elongation: float = 1.0  # Root of the exemplar's area over its shorter side
    region: Tensor | None = None  # (H, W) bool, what is to be laid; None for everything
    variety: float = 0.0
    """How hard copies are kept apart, 0 to 1."""
    salience: Tensor | None = None  # (n,) of the untouched positions, see `Quilt`
    phases: tuple[tuple[int, int], ...] | None = None  # Of the parts of the atlas, see `Quilt`
    used: Tensor | None = None  # How often others have used positions already, as `Quilt.used` counts it


def patch_stage(
    atlas: Atlas,
    spec: PatchSpec,
    settings: PatchSettings,
    rng: torch.Generator,
    on_step: OnStep,
) -> Tensor:
    """Lay out and refine a texture. Returns its colours and sibling maps, (3 + s, H, W)."""
    laying, voting = parts(on_step, LAYING, VOTING)
    quilt = lay_out(atlas, spec, settings, rng, laying)
    held = None if spec.kept is None else spec.kept.fixed
    return vote_on_layout(atlas, quilt.at, settings, rng, voting, wrap=spec.wrap, fixed=held)


@one_thread()
def lay_out(
    atlas: Atlas,
    spec: PatchSpec,
    settings: PatchSettings,
    rng: torch.Generator,
    on_step: OnStep,
) -> Quilt:
    """Lay blocks, and others over their worst seams."""
    if spec.lattice is not None and len(atlas.parts) > 1:
        spec = replace(spec, phases=part_phases(atlas))
    if spec.variety:
        spec = replace(spec, salience=atlas_salience(atlas, regular=spec.lattice is not None))
    sizes, kept = _block_sizes(atlas, spec, settings), spec.kept
    # Where blocks are small for the exemplar's area, there are many, and any layout is as good as another.
    ideal = spec.elongation * (settings.block * atlas.side if kept is None else kept.block)
    effort = min(1.0, (sizes.block * ENOUGH / ideal) ** 2)
    sizes = replace(sizes, tries=max(round(sizes.tries * effort), LEAST_TRIES))
    count = max(round(settings.layouts * effort), 1)
    *layouts, seams = parts(on_step, *[1.0] * count, OVER_SEAMS * settings.refine)
    reports = iter(layouts)
    quilt = best_layout(count, lambda name: _quilt_blocks(atlas, spec, sizes, rng, name, next(reports)))
    if settings.refine:
        free = int(quilt.known.sum()) if kept is None else CLOSING_ROUNDS * int((~kept.fixed).sum())
        rounds = round(settings.refine * effort * max(free / (sizes.block - sizes.overlap) ** 2, 1))
        quilt.refine(rounds, _reporter(seams, "seams", rounds))
    if spec.lattice is not None and spec.variety and kept is None and spec.region is None:
        deal_cells(quilt, spec.lattice, spec.variety, rng, wrap=spec.wrap)
    return quilt


@one_thread()
def vote_on_layout(
    atlas: Atlas,
    at: Tensor,
    settings: PatchSettings,
    rng: torch.Generator,
    on_step: OnStep,
    *,
    wrap: bool,
    fixed: Tensor | None = None,
) -> Tensor:
    """Search and vote along the seams of a layout (2, H, W), and even out their steps.

    fixed: (H, W) bool, pixels that stay. Returns colours and sibling maps, (3 + s, H, W).
    """
    image = atlas.image[:, at[0], at[1]]
    seam = seam_cost(atlas, image, at) > 0
    grow = settings.patch_px // 2
    active = F.max_pool2d(seam.float()[None, None], 2 * grow + 1, 1, grow)[0, 0] > 0
    own_columns = [slice(part.left, part.left + part.size[1]) for part in atlas.parts]
    evening, voting = parts(on_step, EVENING, 1.0)
    correction = seam_correction(
        atlas.image, at, SPREAD * atlas.side, wrap=wrap, valid=atlas.valid, fixed=fixed, parts=own_columns,
        on_round=_reporter(evening, "steps", ROUNDS),
    )  # fmt: skip
    evening(Step("steps", ROUNDS, ROUNDS))
    iterations = settings.iterations
    if fixed is not None:
        iterations = tuple(HOLE_ROUNDS * rounds for rounds in iterations)
    patch = min(settings.patch_px, MIN_SIDE // 2, *at.shape[1:])
    if not any(iterations) or patch < 4:
        voting(Step("patches", 1, 1))
        return torch.cat([image + correction, atlas.siblings[:, at[0], at[1]]])
    total = optimization_parts(iterations)
    report, count = _reporter(voting, "patches", total), itertools.count(1)
    held = None if fixed is None else FixedPixels(fixed, image)
    result = optimize_patches(
        atlas, at, patch, iterations, rng,
        wrap=wrap, active=active, fixed=held, on_part=lambda: report(next(count)),
    )  # fmt: skip
    report(total)
    result[:3] += correction
    return result


def elongation(image: Tensor) -> float:
    """Return the root of the area of (1, 3, h, w) over its shorter side."""
    return math.sqrt(image.shape[2] * image.shape[3]) / min(image.shape[2:])


def best_layout(count: int, make: Callable[[str], Quilt]) -> Quilt:
    """Make `count` quilts and keep the one with the least visible seams and most even use of the exemplar."""
    best, unit, least = make("layout"), None, 2.0
    for number in range(2, count + 1):
        unit = unit or layout_faults(best)
        other = make(f"layout {number}")
        total = sum(new / old for new, old in zip(layout_faults(other), unit, strict=True))
        if total < least:
            best, least = other, total
    return best


def layout_faults(quilt: Quilt) -> tuple[float, float]:
    """Measure the mean visibility of the seams and the deviation of the exemplar's use; both above 0.

    In layouts of one texture the first goes with coherence, the second with the Wasserstein distance to the
    truth (correlations of about 0.4 on textures that were not held out).
    """
    seam = float(seam_cost(quilt.atlas, quilt.image, quilt.at, quilt.known).sqrt().mean())
    cell = max(min(quilt.atlas.parts[0].size) // USE_CELLS, 1)
    # The untouched exemplars show every position once.
    parts = [number for number, part in enumerate(quilt.atlas.parts) if part.orientation == 0]
    use = quilt.used * quilt.use_weight
    shown = [F.avg_pool2d(use[quilt.atlas.part(quilt.atlas.origin, n)][None], cell).flatten() for n in parts]
    use = torch.cat(shown)
    return seam + 1e-6, float(use.std(correction=0) / use.mean().clamp_min(1e-6)) + 1e-6


def _block_sizes(atlas: Atlas, spec: PatchSpec, settings: PatchSettings) -> QuiltSettings:
    """Choose how large blocks are, and the rest of what laying them needs."""
    largest = min(atlas.largest_square(), *spec.size)
    share = settings.block * max(1.0, spec.elongation / ENOUGH)
    block = max(min(round(min(share, max(settings.block, LONG_BLOCK)) * atlas.side), largest), 4)
    overlap, kept = round(settings.overlap * block), spec.kept
    if kept is not None:
        choice = max(round(CLOSING_CHOICE * largest), MIN_SIDE)
        block, overlap = max(min(block, kept.block, choice), 4), kept.overlap
    overlap = max(2, min(overlap, block // 2))
    tolerance, occurrence = settings.tolerance, settings.occurrence
    if spec.lattice is not None:
        tolerance, occurrence = LATTICE_TOLERANCE, LATTICE_OCCURRENCE * occurrence
    if kept is not None:
        occurrence *= CLOSING_OCCURRENCE
    sizes = QuiltSettings(block, overlap, tolerance, occurrence, guide=settings.guide, wrap=spec.wrap)
    if kept is None:
        sizes = varied_sizes(sizes, atlas, spec.variety, settings.overlap, regular=spec.lattice is not None)
    return sizes if kept is None else replace(sizes, tries=CLOSING_TRIES, closing=True)


def _quilt_blocks(
    atlas: Atlas, spec: PatchSpec, sizes: QuiltSettings, rng: torch.Generator, name: str, on_step: OnStep
) -> Quilt:
    """Lay out an output block by block; progress goes under `name`."""
    block, overlap, kept = sizes.block, sizes.overlap, spec.kept
    quilt = Quilt(
        atlas, spec.size, sizes, rng,
        lattice=spec.lattice, guide=spec.guide_target, salience=spec.salience, phases=spec.phases,
    )  # fmt: skip
    if spec.used is not None:
        quilt.used += spec.used
    if kept is None:
        places = block_corners(spec.size, block, overlap, wrap=spec.wrap)
        if spec.region is not None:
            places = [place for place in places if quilt.reaches(spec.region, *place)]
        on_block = _reporter(on_step, name, len(places))
        for done, place in enumerate(places, 1):
            quilt.place_block(*place)
            on_block(done)
        return quilt
    quilt.fix(kept.at, kept.known, kept.fixed)
    places = kept.corners(block, overlap)
    on_block = _reporter(on_step, name, len(places))
    for done, place in enumerate(fullest_first(places, quilt.known_share, block, spec.size), 1):
        quilt.place_block(*place)
        on_block(done)
    return quilt


def _reporter(on_step: OnStep, name: str, total: int) -> Callable[[int], None]:
    """Make a function that reports how much of a stage is done."""
    return lambda done: on_step(Step(name, done, total))
