"""How copies are kept apart: small blocks where the texture allows it, and no copy near another."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from texsynth.analysis.cells import find_cells
from texsynth.analysis.coarseness import coarseness
from texsynth.analysis.lattice import Lattice
from texsynth.analysis.lines import line_strength
from texsynth.analysis.salience import salience
from texsynth.analysis.symmetry import alignment
from texsynth.synthesis.cells import CellDealer
from texsynth.synthesis.exemplar import Atlas
from texsynth.synthesis.quilting import Quilt, QuiltSettings

NEAR = 32.0  # Penalty of a copy beside a place at full variety, in units of a good error

REACH = 1.0  # Distance at which that penalty is a half, as a share of the exemplar's side

SMALLER = 1.0  # By which share blocks of fine textures are smaller for each unit of variety

LEAST_BLOCK = 32  # Pixels; smaller ones keep too little

COARSE = (0.55, 0.75)
"""Coarseness between which things become too large for small blocks: straw lies below, stones above."""

GENTLE = 0.25  # Share of the penalty that is left where things are so large that few blocks fit

SPARING = 0.1  # Share of the penalty of use that is left there: stones that are cut jump to the eye first

LINES = (2.5, 3.0)
"""Strength of long lines between which they come to hold variety back: a line that ends jumps to the eye."""

REGULAR_NEAR = 0.1  # The same on a lattice, for what stands out alone: more tears its lines


def varied_sizes(
    sizes: QuiltSettings, atlas: Atlas, variety: float, overlap: float, *, regular: bool
) -> QuiltSettings:
    """Change how blocks are laid so that copies are kept apart, as hard as `variety` says, 0 to 1.

    overlap: of neighbouring blocks, as a share of the block. regular: a lattice is kept.
    """
    whole = [n for n, part in enumerate(atlas.parts) if not part.orientation]
    large = _ramp(max(coarseness(atlas.part(atlas.image, n)[None]) for n in whole), COARSE)
    # All that is left of variety is what is asked for beyond a half.
    held = _lined(atlas, whole) * min(2 * (1 - variety), 1.0)
    variety *= 1 - held
    block = sizes.block
    if not regular:
        block = max(round(block * (1 - SMALLER * variety * (1 - large))), min(block, LEAST_BLOCK))
    near = NEAR * variety * (REGULAR_NEAR if regular else 1 - (1 - GENTLE) * large)
    overlap_px = max(2, min(round(overlap * block), block // 2))
    sparing = 1 - (1 - SPARING) * max(large, held)
    occurrence = sizes.occurrence if regular else sizes.occurrence * sparing
    return replace(
        sizes, block=block, overlap=overlap_px, occurrence=occurrence, near=near, reach=REACH * atlas.side
    )


def _lined(atlas: Atlas, parts: Sequence[int]) -> float:
    """Return from 0 to 1 how much there are long lines in the untouched `parts` of an atlas."""
    images = [(atlas.part(atlas.image, n)[None], atlas.part(atlas.valid, n)[None, None]) for n in parts]
    return _ramp(max(line_strength(image, valid.float()) for image, valid in images), LINES)


def _ramp(value: float, limits: tuple[float, float]) -> float:
    """Map the first limit to 0, the second to 1, and go straight between them."""
    return min(max((value - limits[0]) / (limits[1] - limits[0]), 0.0), 1.0)


def part_phases(atlas: Atlas) -> tuple[tuple[int, int], ...]:
    """Return by how many rows and columns each part of an atlas must be moved to lie on the first one."""
    first, *others = (atlas.part(atlas.image, number)[None] for number in range(len(atlas.parts)))
    return ((0, 0), *(alignment(first, other)[0] for other in others))


def atlas_salience(atlas: Atlas, *, regular: bool) -> Tensor:
    """Measure how much each untouched position of an atlas stands out in its exemplar, (n,).

    regular: zero for what does not stand out, as on a lattice the rest must be free to fit.
    """
    result = torch.ones(int(atlas.origin.max()) + 1)
    for number, part in enumerate(atlas.parts):
        if part.orientation == 0:
            image, valid = atlas.part(atlas.image, number)[None], atlas.part(atlas.valid, number)
            result[atlas.part(atlas.origin, number)] = salience(image, valid[None, None].float())
    return (result - 1).clamp_min(0) if regular else result


def deal_cells(quilt: Quilt, lattice: Lattice, variety: float, rng: torch.Generator, *, wrap: bool) -> None:
    """Let whole cells of a lattice change places in a layout, so that copies of one are few and far apart."""
    atlas = quilt.atlas
    cells = find_cells(atlas.part(atlas.image, 0), atlas.part(atlas.valid, 0), lattice)
    if cells is None:
        return
    dealer = CellDealer(atlas, quilt.at, cells, wrap=wrap)
    dealer.deal(variety, rng)
    quilt.at, quilt.image = dealer.at, dealer.image
